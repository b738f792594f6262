use super::*;
use crate::Settings;

/// Some of everything that is stored.
const RICH: &str = r#"(module $rich
  (type $t (func (param i32 f64) (result i64)))
  (import "env" "f" (func $imported (type $t)))
  (import "env" "g" (global $base i32))
  (memory (export "m") 40 100)
  (table $t (export "t") 10 funcref) (table 3 3 externref)
  (global (export "g") (mut i64) (i64.const -5)) (global f32 (f32.const 1.5)) (global i32 (global.get $base))
  (func $one (export "one") (param i32) (result i32) (i32.div_s (i32.const 100) (local.get 0)))
  (func $two (param i32 f64) (result i64) (call $imported (local.get 0) (local.get 1)))
  (elem (i32.const 1) $one $two $imported) (elem $passive funcref (ref.null func) (ref.func $two))
  (elem declare func $one)
  (data (i32.const 5) "hello") (data (i32.const 131000) "there") (data $late "later") (data (global.get $base) "x")
  (func $start (drop (i32.load (i32.const 0)))) (start $start))"#;

const SPARSE: &str = r#"(module (memory 65536) (data (i32.const 0) "a") (data (i32.const -1) "z"))"#;

fn compiler() -> Compiler {
    Compiler::new(&Settings::default()).unwrap()
}

fn compiled(text: &str) -> Compiled {
    compiler().compile(&wat::parse_str(text).unwrap()).unwrap()
}

fn read(file: Vec<u8>, check_all: bool) -> Result<Artifact, ArtifactError> {
    compiler().deserialize(&file.into(), check_all)
}

fn assert_same(a: &Compiled, b: &Compiled) {
    assert_eq!(a.module, b.module);
    assert_eq!((&a.layout, &a.image, &a.code), (&b.layout, &b.image, &b.code));
}

#[test]
fn what_is_read_is_what_was_written() {
    for text in ["(module)", RICH, SPARSE, "(module (func) (memory 1))"] {
        let compiled = compiled(text);
        let artifact = read(compiler().serialize(&compiled), true).unwrap();
        assert_same(&artifact.compiled, &compiled);
    }
}

#[test]
fn text_and_memory_are_whole_pages_of_the_file_as_they_will_be_mapped() {
    let compiled = compiled(RICH);
    let file = compiler().serialize(&compiled);
    let artifact = read(file.clone(), true).unwrap();
    assert!(artifact.text.start.is_multiple_of(PAGE) && artifact.text.end.is_multiple_of(PAGE));
    assert!(file[artifact.text.clone()].starts_with(&compiled.code.text));
    let memory = artifact.memory.unwrap();
    assert_eq!(memory.start % PAGE, 0);
    assert_eq!(&file[memory.start + 5..memory.start + 10], b"hello");
    assert_eq!(&file[memory.start + 131_000..memory.start + 131_005], b"there");
    assert_eq!(memory.len(), 32 * PAGE);
}

#[test]
fn an_image_with_large_gaps_is_stored_without_them() {
    let compiled = compiled(SPARSE);
    let file = compiler().serialize(&compiled);
    assert!(file.len() < 20 * PAGE, "{} bytes", file.len());
    assert_eq!(read(file, true).unwrap().memory, None);
}

#[test]
fn room_for_tables_to_grow_takes_no_room_in_the_file() {
    let compiled =
        compiled("(module (table 10 funcref) (table 10 funcref) (func $f) (elem (table 1) (i32.const 9) func $f))");
    assert!(compiled.image.state.len() > 1 << 20);
    let file = compiler().serialize(&compiled);
    assert!(file.len() < 20 * PAGE, "{} bytes", file.len());
    assert_same(&read(file, true).unwrap().compiled, &compiled);
}

#[test]
fn a_file_that_ends_too_early_is_refused_wherever_it_ends() {
    let file = compiler().serialize(&compiled(RICH));
    for len in (0..file.len()).filter(|len| *len < 2000 || len % 97 == 0 || *len + 20 > file.len()) {
        let error = read(file[..len].to_vec(), false).unwrap_err();
        assert!(matches!(error, ArtifactError::NotAnArtifact | ArtifactError::Damaged(_)), "{len}: {error}");
    }
}

#[test]
fn a_flipped_bit_in_header_or_metadata_is_always_found() {
    let file = compiler().serialize(&compiled(RICH));
    let header = Header::read(&file.clone().into()).unwrap();
    // The digest of the whole file is compared only when asked for, and behind the format a field is unused.
    for bit in (0..header.metadata.end * 8).filter(|bit| !Header::FILE_DIGEST.contains(&(bit / 8))) {
        let mut bad = file.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read(bad, false).is_err(), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_when_asked_for_and_else_does_no_harm_here() {
    let file = compiler().serialize(&compiled(RICH));
    for bit in (0..file.len() * 8).step_by(1237) {
        let mut bad = file.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read(bad.clone(), true).is_err(), "bit {bit}");
        if let Ok(artifact) = read(bad, false) {
            let code = &artifact.compiled.code;
            (0..code.text.len() as u32).for_each(|at| _ = (code.trap_at(at), code.func_at(at), code.wasm_offset(at)));
            (0..9).for_each(|func| _ = artifact.compiled.module.func_name(func));
        }
    }
}

/// An artifact whose metadata was written by somebody else, with digests that fit.
fn resealed(file: &[u8], change: impl FnOnce(&mut Target)) -> Vec<u8> {
    let file: Bytes = file.to_vec().into();
    let header = Header::read(&file).unwrap();
    let part = |range: &Range<usize>| file.part(range.clone()).unwrap();
    let mut from = Reader::new(part(&header.metadata), part(&header.bulk));
    let mut target = Target::take(&mut from).unwrap();
    let mut before = Writer::default();
    target.put(&mut before);
    change(&mut target);
    let mut out = Writer::default();
    target.put(&mut out);
    out.metadata.extend_from_slice(&part(&header.metadata)[before.metadata.len()..]);
    out.bulk = part(&header.bulk).to_vec();
    assemble(&out, &part(&header.text), &part(&header.memory))
}

#[test]
fn other_versions_machines_and_processors_are_told_apart() {
    let file = compiler().serialize(&compiled(RICH));
    assert!(read(resealed(&file, |_| ()), true).is_ok());
    let version = read(resealed(&file, |target| target.version = "minirt 0.0.9".into()), false).unwrap_err();
    assert!(version.to_string().contains("was made by minirt 0.0.9, and this is minirt 0.1.0"), "{version}");
    let machine = read(resealed(&file, |target| target.machine = "riscv64".into()), false).unwrap_err();
    assert!(machine.to_string().contains("was made for riscv64, and this is x86_64"), "{machine}");
    let feature = read(resealed(&file, |target| target.features.push("has_time_travel".into())), false).unwrap_err();
    assert!(feature.to_string().contains("needs a processor with has_time_travel"), "{feature}");
    // What another processor lacks is no obstacle here.
    assert!(read(resealed(&file, |target| target.features.clear()), false).is_ok());
    let mut format = file;
    format[8] = 99;
    assert!(read(format, false).unwrap_err().to_string().contains("made by format 99"));
}

#[test]
fn what_is_no_artifact_is_told_so() {
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(read(bytes.to_vec(), false).unwrap_err(), ArtifactError::NotAnArtifact);
    }
}
