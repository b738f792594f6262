//! What is written is read back, and what was not written is told apart.

mod damage;

use super::file::assemble;
use super::header::{self, Sections};
use super::wire::Writer;
use super::*;
use crate::base::bytes::Bytes;
use crate::base::sparse::SparseBytes;
use crate::instance::compiled::Compiled;
use crate::instance::image::Remaining;
use crate::instance::layout::PAGE_MIN;
use crate::settings::Metering;
use crate::{Compiler, OptLevel, Settings};
use cranelift_codegen::settings::Configurable;
use std::sync::LazyLock;

/// Some of everything that is stored.
const RICH: &str = r#"(module $rich
  (type $t (func (param i32 f64) (result i64)))
  (rec (type $open (sub (func (param (ref null $closed))))) (type $closed (sub final $open (func (param funcref)))))
  (import "env" "f" (func $imported (type $t)))
  (import "env" "g" (global $base i32))
  (memory (export "m") 40 100)
  (table $t (export "t") 10 funcref) (table 3 3 externref)
  (table 2 (ref $t) (ref.func $imported)) (table 1 nullexternref) (global nullfuncref (ref.null nofunc))
  (global (export "g") (mut i64) (i64.const -5)) (global f32 (f32.const 1.5)) (global i32 (global.get $base))
  (global f64 (f64.const -0)) (global i64 (i64.const 0x8000000000000000))
  (global i32 (i32.mul (i32.const -2147483648) (i32.const 2147483647)))
  (func $one (export "one") (param i32) (result i32) (i32.div_s (i32.const 100) (local.get 0)))
  (func $two (param i32 f64) (result i64) (call $imported (local.get 0) (local.get 1)))
  (elem (i32.const 1) $one $two $imported) (elem $passive funcref (ref.null func) (ref.func $two))
  (elem declare func $one)
  (data (i32.const 5) "hello") (data (i32.const 131000) "there") (data $late "later") (data (global.get $base) "x")
  (func $start (drop (i32.load (i32.const 0)))) (start $start))"#;

const SPARSE: &str = r#"(module (memory 65536) (data (i32.const 0) "a") (data (i32.const -1) "z"))"#;

const SMALL: &str = r#"(module (memory 1) (table 2 funcref) (elem (i32.const 0) $f) (data (i32.const 9) "data")
  (func $f (export "f") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// Bytes in a host page.
const PAGE: usize = PAGE_MIN as usize;

static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new(&Settings::default()).unwrap());
static RICH_FILE: LazyLock<Vec<u8>> = LazyLock::new(|| written(RICH));

fn compiled(text: &str) -> Compiled {
    COMPILER.compile(&wat::parse_str(text).unwrap()).unwrap()
}

fn written(text: &str) -> Vec<u8> {
    COMPILER.serialize(&compiled(text))
}

fn read(file: Vec<u8>, check_all: bool) -> Result<Artifact, ArtifactError> {
    COMPILER.deserialize(&file.into(), check_all)
}

fn sections(file: &[u8]) -> Sections {
    header::open(file, true).unwrap().0
}

fn flipped(file: &[u8], bit: usize) -> Vec<u8> {
    let mut bad = file.to_vec();
    bad[bit / 8] ^= 1 << (bit % 8);
    bad
}

/// Numbers that look random and are the same every time (xorshift).
fn random() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

/// A file that differs in its metadata and has digests that fit: what another build could have
/// written.
fn rewritten(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let Sections { metadata, bulk, text, memory } = sections(file);
    let mut out = Writer { metadata: file[metadata].to_vec(), bulk: file[bulk].to_vec() };
    change(&mut out.metadata);
    assemble(&out, &file[text], &file[memory], PAGE)
}

/// The same module, as if it had been made for another target.
fn made_for(change: impl FnOnce(&mut Target)) -> Vec<u8> {
    let mut target = Target::of(&*COMPILER.isa, Metering::default());
    change(&mut target);
    write(&compiled(SMALL), &target)
}

#[test]
fn what_is_read_is_what_was_written() {
    let imports = r#"(module (import "a" "t" (table 1 funcref)) (import "a" "m" (memory 1)) (import "a" "f" (func $f))
        (elem (i32.const 0) func $f) (data (i32.const 0) "dynamic"))"#;
    for text in ["(module)", RICH, SPARSE, SMALL, imports, "(module (func) (memory 1))", "(module (table 9 9 funcref))"]
    {
        let compiled = compiled(text);
        let file = COMPILER.serialize(&compiled);
        for check_all in [false, true] {
            assert_eq!(read(file.clone(), check_all).unwrap().compiled, compiled, "{text}");
        }
    }
}

#[test]
fn a_module_without_code_can_be_written_too() {
    let info = crate::module::ModuleInfo { name: Some("described".to_owned()), ..Default::default() };
    let compiled = COMPILER.without_code(info).unwrap();
    assert_eq!(read(COMPILER.serialize(&compiled), true).unwrap().compiled, compiled);
}

/// Returns the same bytes, with zeros behind them.
fn resized(state: &SparseBytes, len: usize) -> SparseBytes {
    let mut resized = SparseBytes::new(len);
    state.runs().iter().for_each(|(at, run)| resized.put(*at, run));
    resized
}

#[test]
fn a_snapshot_keeps_what_has_grown() {
    let mut compiled = compiled(RICH);
    let image = &mut compiled.image;
    let room = compiled.layout.state_room as usize;
    image.state = resized(&image.state, room);
    image.state.put(room - 1, &[7]);
    (image.memory_size, image.remaining) = (100 * crate::module::WASM_PAGE, Remaining::of_snapshot());
    assert_eq!(read(COMPILER.serialize(&compiled), true).unwrap().compiled, compiled);
}

#[test]
fn the_same_module_gives_the_same_file() {
    assert_eq!(*RICH_FILE, written(RICH));
    let again = read(RICH_FILE.clone(), true).unwrap();
    assert_eq!(COMPILER.serialize(&again.compiled), *RICH_FILE);
}

#[test]
fn what_is_large_is_used_where_it_lies_in_the_file() {
    let file = Bytes::from(RICH_FILE.clone());
    let Artifact { compiled: Compiled { module, image, code, .. }, .. } = COMPILER.deserialize(&file, true).unwrap();
    let whole = file.as_ptr_range();
    let tables =
        [code.tables.funcs.as_bytes(), code.tables.traps.as_bytes(), code.tables.address_map.as_bytes(), &code.text];
    for part in tables.into_iter().chain([&module.data_bytes]).chain(image.memory.iter().map(|e| &e.bytes)) {
        assert!(!part.is_empty() && whole.contains(&part.as_ptr()));
    }
    assert_eq!(module.func_name(1), Some("one"));
}

#[test]
fn text_and_memory_are_whole_pages_of_the_file_as_they_will_be_mapped() {
    let compiled = compiled(RICH);
    let artifact = read(RICH_FILE.clone(), true).unwrap();
    assert!(artifact.text.start.is_multiple_of(PAGE) && artifact.text.end.is_multiple_of(PAGE));
    assert!(RICH_FILE[artifact.text.clone()].starts_with(&compiled.code.text));
    let memory = artifact.memory.unwrap();
    assert!(memory.start.is_multiple_of(PAGE));
    assert_eq!(&RICH_FILE[memory.start + 5..memory.start + 10], b"hello");
    assert_eq!(&RICH_FILE[memory.start + 131_000..memory.start + 131_005], b"there");
    assert_eq!(memory.len(), 32 * PAGE);
}

#[test]
fn an_image_with_large_gaps_is_stored_without_them() {
    let file = written(SPARSE);
    assert!(file.len() < 20 * PAGE, "{} bytes", file.len());
    assert_eq!(read(file, true).unwrap().memory, None);
    assert_eq!(read(written("(module (memory 1))"), true).unwrap().memory, None, "there is nothing to map");
}

#[test]
fn room_for_tables_to_grow_takes_no_room_in_the_file() {
    let text = "(module (table 10 funcref) (table 10 funcref) (func $f) (elem (table 1) (i32.const 9) func $f))";
    let compiled = compiled(text);
    assert!(compiled.image.state.len() > 1 << 20);
    let file = COMPILER.serialize(&compiled);
    assert!(file.len() < 20 * PAGE, "{} bytes", file.len());
    assert_eq!(read(file, true).unwrap().compiled, compiled);
}

#[test]
fn gaps_are_stored_up_to_a_mebibyte_or_if_half_of_all_is_used() {
    let whole = |second: u64, len: usize| {
        let text = format!(
            r#"(module (memory 999) (data (i32.const 0) "a") (data (i32.const {second}) "{}"))"#,
            "b".repeat(len)
        );
        read(written(&text), true).unwrap().memory.is_some()
    };
    assert!(whole((1 << 20) - 1, 1) && !whole(1 << 20, 1));
    assert!(whole(1 << 21, 2 << 20) && !whole(1 << 21, 1 << 20));
}

#[test]
fn a_file_that_ends_too_early_or_too_late_is_refused_whatever_its_length() {
    for text in [SMALL, SPARSE] {
        let mut file = written(text);
        for len in 0..file.len() {
            let error = read(file[..len].to_vec(), false).unwrap_err();
            assert!(matches!(error, ArtifactError::NotAnArtifact | ArtifactError::Damaged(_)), "{len}: {error}");
        }
        let (good, whole) = (file.len(), file.len() + 1);
        file.push(0);
        let error = read(file, false).unwrap_err().to_string();
        assert!(error.contains(&format!("it has {whole} bytes instead of {good}")), "{error}");
    }
}

#[test]
fn a_flipped_bit_in_header_or_metadata_is_always_found() {
    for bit in 0..sections(&RICH_FILE).metadata.end * 8 {
        assert!(read(flipped(&RICH_FILE, bit), false).is_err(), "bit {bit}");
    }
}

#[test]
fn many_flipped_bits_in_header_or_metadata_are_always_found() {
    let (mut random, end) = (random(), sections(&RICH_FILE).metadata.end);
    for round in 0..5_000 {
        let mut bad = RICH_FILE.clone();
        (0..2 + random(30)).for_each(|_| bad[random(end)] ^= 1 << random(8));
        assert!(bad == *RICH_FILE || read(bad, false).is_err(), "round {round}");
    }
}

#[test]
fn a_flipped_bit_behind_the_metadata_is_found_when_asked_for_and_else_does_no_harm_here() {
    let from = sections(&RICH_FILE).metadata.end * 8;
    for bit in (from..RICH_FILE.len() * 8).step_by(1237).chain(from..from + 4000) {
        let error = read(flipped(&RICH_FILE, bit), true).unwrap_err();
        assert!(error.to_string().contains("its code or data is not as it was written"), "{error}");
        let Compiled { module, code, .. } = read(flipped(&RICH_FILE, bit), false).unwrap().compiled;
        (0..code.text.len() as u32)
            .for_each(|at| _ = (code.tables.trap_at(at), code.tables.func_at(at), code.tables.wasm_offset(at)));
        (0..9).for_each(|func| _ = module.func_name(func));
    }
}

#[test]
fn what_code_relies_on_is_always_checked_even_where_it_is_used_in_place() {
    // State and starts of functions are bytes in the file like the tables, and yet damage to them
    // is no matter of chance: references are made of them.
    let compiled = compiled(SMALL);
    let metadata = sections(&written(SMALL)).metadata;
    let file = written(SMALL);
    for part in [&compiled.code.tables.funcs.as_bytes()[..], &compiled.image.state.get::<8>(0)] {
        assert!(file[metadata.clone()].windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn parts_of_two_files_do_not_make_one() {
    let (one, other) = (written(SMALL), written(&SMALL.replace("data\"", "DATA\"")));
    assert_eq!(one.len(), other.len());
    for at in (sections(&one).metadata.end..one.len()).step_by(PAGE / 2) {
        let spliced = [&one[..at], &other[at..]].concat();
        assert!(spliced == one || read(spliced, true).is_err(), "{at}");
    }
}

#[test]
fn metadata_that_somebody_else_wrote_is_refused_or_read_but_never_a_panic() {
    for text in [RICH, SPARSE, SMALL] {
        let (file, mut random) = (written(text), random());
        for _ in 0..5_000 {
            let changed = rewritten(&file, |metadata| match random(4) {
                0 => metadata.truncate(random(metadata.len())),
                1 => _ = metadata.splice(random(metadata.len())..metadata.len(), vec![0xff; random(40)]),
                _ => (0..1 + random(3)).for_each(|_| {
                    let at = random(metadata.len());
                    metadata[at] = random(256) as u8;
                }),
            });
            _ = read(changed, false);
        }
    }
}

#[test]
fn a_count_that_can_not_be_reserves_nothing() {
    // The list of settings, second to the two strings in front, would have 2^60 entries.
    let file = rewritten(&RICH_FILE, |metadata| {
        let target = Target::of(&*COMPILER.isa, Metering::default());
        metadata.truncate(2 + target.version.len() + target.machine.len());
        metadata.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    });
    assert!(matches!(read(file, false).unwrap_err(), ArtifactError::Damaged(_)));
}

#[test]
fn other_versions_and_machines_are_told_apart() {
    assert!(read(made_for(|_| ()), true).is_ok());
    let version = read(made_for(|target| target.version = "minirt 0.0.9".into()), false).unwrap_err().to_string();
    assert!(version.contains("was made by minirt 0.0.9, and this is minirt 0.1.0"), "{version}");
    let machine = read(made_for(|target| target.machine = "riscv64".into()), false).unwrap_err().to_string();
    let here = format!("was made for riscv64, and this is {}", std::env::consts::ARCH);
    assert!(machine.contains(&here), "{machine}");
    let mut format = RICH_FILE.clone();
    format[8] = 99;
    let format = read(format, false).unwrap_err().to_string();
    assert!(format.contains("made by format 99") && format.ends_with("compile the module again"), "{format}");
}

#[test]
fn a_processor_with_more_is_good_and_one_with_less_is_not() {
    let feature = made_for(|target| target.features.push("has_time_travel".into()));
    let feature = read(feature, false).unwrap_err().to_string();
    assert!(feature.contains("needs a processor with has_time_travel"), "{feature}");
    assert!(read(made_for(|target| target.features.clear()), false).is_ok());
}

#[test]
fn code_that_follows_other_rules_is_refused_and_the_rule_is_named() {
    let here = Target::of(&*COMPILER.isa, Metering::default());
    let setting = here.settings.iter().position(|setting| setting == "preserve_frame_pointers = true").unwrap();
    let file = made_for(|target| target.settings[setting] = "preserve_frame_pointers = false".into());
    let error = read(file, false).unwrap_err().to_string();
    assert!(error.contains("made with preserve_frame_pointers = false, and here it is preserve_frame_pointers = true"));
}

#[test]
fn how_hard_the_compiler_worked_makes_no_difference() {
    let module = wat::parse_str(SMALL).unwrap();
    for opt_level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        let other = Compiler::new(&Settings { opt_level, parallel: false, ..Settings::default() }).unwrap();
        let file = other.serialize(&other.compile(&module).unwrap());
        assert!(read(file, true).is_ok(), "{opt_level:?}");
    }
}

#[test]
fn every_setting_counts_unless_it_is_known_to_have_no_effect() {
    let of = |name: &str, value: &str| {
        let mut flags = cranelift_codegen::settings::builder();
        flags.set(name, value).unwrap();
        let isa = cranelift_native::builder().unwrap().finish(cranelift_codegen::settings::Flags::new(flags)).unwrap();
        Target::of(&*isa, Metering::default())
    };
    assert_eq!(of("opt_level", "none"), of("opt_level", "speed"));
    assert_eq!(of("enable_verifier", "true"), of("enable_verifier", "false"));
    for name in ["enable_nan_canonicalization", "enable_heap_access_spectre_mitigation", "enable_pinned_reg"] {
        assert!(of(name, "true").check(&of(name, "false")).is_err(), "{name}");
    }
}

#[test]
fn what_is_made_for_large_pages_fits_small_ones_and_not_the_other_way_round() {
    let compiler = |page_size| Compiler::new(&Settings { page_size, ..Settings::default() }).unwrap();
    let sizes = [4096, 16_384, 65_536];
    for made_for in sizes {
        let compiled = compiler(made_for).compile(&wat::parse_str(RICH).unwrap()).unwrap();
        let file = Bytes::from(compiler(made_for).serialize(&compiled));
        for here in sizes {
            let read = compiler(here).deserialize(&file, true);
            if made_for >= here {
                let Artifact { compiled: again, text, memory } = read.unwrap();
                assert_eq!(again, compiled);
                let starts = [text.start, memory.unwrap().start];
                assert!(starts.iter().all(|start| (*start as u64).is_multiple_of(made_for)), "{starts:?}");
            } else {
                assert_eq!(read.unwrap_err(), ArtifactError::OtherPageSize { found: made_for, here });
            }
        }
    }
    for page in [0, 1, 2048, 4097, 131_072, u64::MAX] {
        let mut file = RICH_FILE.clone();
        file[80..88].copy_from_slice(&page.to_le_bytes());
        let error = read(file, false).unwrap_err().to_string();
        assert!(error.contains("header makes no sense"), "{page}: {error}");
        assert!(compiler(page).compile(&wat::parse_str(SMALL).unwrap()).is_err(), "{page}");
    }
}

#[test]
fn another_layout_of_instances_is_noticed() {
    let mut compiled = compiled(SMALL);
    compiled.layout.state_size += 8;
    let error = read(COMPILER.serialize(&compiled), true).unwrap_err().to_string();
    assert!(error.contains("laid its instances out differently"), "{error}");
}

#[test]
fn what_lies_outside_is_refused() {
    let refused = |change: fn(&mut Compiled), what: &str| {
        let mut compiled = compiled(RICH);
        change(&mut compiled);
        let error = read(COMPILER.serialize(&compiled), true).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(|c| c.code.tables.entries[0].1 = u32::MAX, "its code");
    refused(
        |c| c.code.tables.funcs = [crate::instance::code::FuncRange { start: 0, end: 1 << 20 }].into_iter().collect(),
        "its code",
    );
    refused(|c| c.code.tables.funcs = Default::default(), "its functions");
    refused(|c| c.module.data[0].bytes = 0..1000, "its description");
    refused(|c| c.module.num_imported_globals = u32::MAX, "its description");
    refused(|c| c.module.memories[0].page_size_log2 = 200, "its description");
    refused(|c| c.image.state = SparseBytes::default(), "its state");
    refused(|c| c.image.state = resized(&c.image.state, c.layout.state_room as usize + 1), "its state");
}

#[test]
fn what_is_no_artifact_is_told_so() {
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", b"\x7fminirt"] {
        assert_eq!(read(bytes.to_vec(), false).unwrap_err(), ArtifactError::NotAnArtifact);
        assert!(!is_artifact(bytes));
    }
    assert!(is_artifact(&RICH_FILE));
}

#[test]
fn data_is_in_the_image_or_kept_for_later_but_never_both() {
    let bytes = "0123456789abcdef".repeat(1 << 16);
    let file = written(&format!(
        r#"(module (import "m" "base" (global $base i32)) (memory 32) (data (i32.const 0) "{bytes}") (data "passive")
            (data (global.get $base) "dynamic") (data (i32.const 9) "after it") (data "nobody asks for it")
            (func (data.drop 1)))"#
    ));
    // A page or two of description besides.
    assert!(file.len() < (1 << 20) + (16 << 10), "{}", file.len());
    let module = read(file, true).unwrap().compiled.module;
    let kept: Vec<&[u8]> = module.data.iter().map(|segment| module.segment_bytes(segment)).collect();
    assert_eq!(kept, [&b"passive"[..], b"dynamic", b"after it"]);
}
