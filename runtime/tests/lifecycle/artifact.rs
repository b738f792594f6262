//! Artifacts: what was compiled in one process and is mapped by another.

use crate::common::{call, call_i32, engines};
use minirt::{ArtifactError, Config, Engine, Func, Instance, Linker, Module, Store, WasmBacktrace};
use std::path::PathBuf;

const TEXT: &str = r#"(module $rich
  (import "h" "double" (func $double (param i32) (result i32)))
  (memory (export "m") 20)
  (data (i32.const 10) "initial") (data (i32.const 70000) "second") (data $late "late")
  (table (export "t") 4 100 funcref) (elem (i32.const 1) $one $double)
  (global (export "g") (mut i32) (i32.const 5))
  (func $one (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "call") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 1))
    (i32.store (i32.const 70000) (local.get 1))
    (global.set 0 (local.get 1))
    (call_indirect (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "late") (memory.init $late (i32.const 0) (i32.const 0) (i32.const 4)))
  (func $deep (export "trap") (drop (i32.load (i32.const -4)))))"#;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Uses everything in `TEXT` a few times, with fresh instances.
fn works(engine: &Engine, module: &Module) {
    for round in 0..5 {
        let mut store = Store::new(engine, ());
        let double = Func::wrap(&mut store, |x: i32| 2 * x);
        let it = Instance::new(&mut store, module, &[double.into()]).unwrap();
        let memory = it.get_memory(&store, "m").unwrap();
        assert_eq!(&memory.data(&store)[10..17], b"initial");
        assert_eq!(&memory.data(&store)[70_000..70_006], b"second");
        assert_eq!(memory.data(&store).iter().filter(|byte| **byte != 0).count(), 13);
        assert_eq!(it.get_global(&store, "g").unwrap().get(&store).unwrap_i32(), 5);
        assert_eq!(call_i32(&mut store, it, "call", &[1, round]).unwrap(), round + 1);
        assert_eq!(call_i32(&mut store, it, "call", &[2, round]).unwrap(), round * 2);
        call(&mut store, it, "late", &[]).unwrap();
        assert_eq!(&memory.data(&store)[..4], b"late");
        let error = call(&mut store, it, "trap", &[]).unwrap_err();
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        assert_eq!(backtrace.frames()[0].func_name(), Some("deep"));
    }
}

#[test]
fn an_artifact_is_the_module_wherever_it_comes_from() {
    for (name, engine) in engines() {
        let bytes = engine.precompile_module(TEXT.as_bytes()).unwrap();
        assert_eq!(bytes, Module::new(&engine, TEXT).unwrap().serialize().unwrap(), "{name}");
        // SAFETY: the bytes are an artifact of this process.
        let module = unsafe { Module::deserialize(&engine, &bytes) }.unwrap();
        works(&engine, &module);
        assert_eq!(module.serialize().unwrap(), bytes, "{name}");
        let (_folder, path) = file("rich.cwasm", &bytes);
        // SAFETY: as above, and nobody writes to the file.
        let module = unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
        works(&engine, &module);
        assert_eq!(module.name(), Some("rich"));
        assert_eq!(module.serialize().unwrap(), bytes, "{name}");
        // The instances wrote to code, state and memory of theirs, and not to the file.
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
    }
}

/// Calls in both directions, a constant after the code, and a jump table: everything that the
/// linker or Cranelift fills in.
const LINKED: &str = r#"(module
  (func $even (export "even") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 1))
      (else (call $odd (i32.sub (local.get 0) (i32.const 1))))))
  (func $odd (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 0))
      (else (call $even (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "constant") (param i32) (result i32)
    (i8x16.extract_lane_u 0 (i8x16.swizzle
      (v128.const i8x16 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25)
      (i8x16.splat (local.get 0)))))
  (func (export "jump") (param i32) (result i32)
    (block (block (block (block (br_table 0 1 2 3 (local.get 0)))
      (return (i32.const 100))) (return (i32.const 101))) (return (i32.const 102))) (i32.const 103)))"#;

/// Returns where a file is mapped executable in this process.
fn executable_mappings(of: &std::path::Path) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with(of.to_str().unwrap()));
    lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_text_runs_the_same_at_two_addresses() {
    let engine = Engine::default();
    let bytes = engine.precompile_module(LINKED.as_bytes()).unwrap();
    assert_eq!(engine.precompile_module(LINKED.as_bytes()).unwrap(), bytes, "two compilations");
    let (_folder, path) = file("linked.cwasm", &bytes);
    // SAFETY: the file is an artifact of this process, and nobody writes to it.
    let loaded = || unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
    let modules = [loaded(), loaded(), Module::new(&engine, LINKED).unwrap()];
    let mappings = executable_mappings(&path);
    assert!(mappings.len() == 2 && mappings[0] != mappings[1], "{mappings:?}");
    for module in modules {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        let mut results = |name, arguments: [i32; 4]| arguments.map(|n| call_i32(&mut store, it, name, &[n]).unwrap());
        assert_eq!(results("even", [0, 1, 100, 101]), [1, 0, 1, 0]);
        assert_eq!(results("constant", [0, 5, 15, 16]), [10, 15, 25, 0]);
        assert_eq!(results("jump", [0, 1, 2, 99]), [100, 101, 102, 103]);
        // The text is read back from where it has run.
        assert!(module.serialize().unwrap() == bytes, "running or placing it has changed the text");
    }
}

#[test]
fn an_artifact_outlives_its_name() {
    let engine = Engine::default();
    let (folder, path) = file("rich.cwasm", &engine.precompile_module(TEXT.as_bytes()).unwrap());
    // SAFETY: the file is an artifact of this process, and nobody writes to it: removing its name
    // does not.
    let module = unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
    drop(folder);
    works(&engine, &module);
}

#[test]
fn two_bytes_far_apart_make_a_small_artifact() {
    let engine = Engine::default();
    let text = r#"(module (memory (export "m") 65536) (data (i32.const 0) "a") (data (i32.const -1) "z"))"#;
    let bytes = engine.precompile_module(text.as_bytes()).unwrap();
    // Two pages of memory, and little else, whatever a page has here.
    assert!(bytes.len() < 100_000.max(6 * rustix::param::page_size()), "{} bytes", bytes.len());
    let (_folder, path) = file("sparse.cwasm", &bytes);
    // SAFETY: the file is an artifact of this process, and nobody writes to it.
    let module = unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let data = it.get_memory(&store, "m").unwrap().data(&store);
    assert_eq!((data[0], data[1 << 31], data[(1 << 32) - 1]), (b'a', 0, b'z'));
}

/// The file that is written first had the same name for all paths of the same length.
#[test]
fn snapshots_saved_to_one_folder_at_the_same_time_do_not_mix() {
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (global (export "g") (mut i32) (i32.const -1)))"#).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let save_and_load = |thread: i32| {
        let path = folder.path().join(format!("{thread}.cwasm"));
        for round in 0..50 {
            let value = 100 * thread + round;
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            it.get_global(&store, "g").unwrap().set(&mut store, value.into()).unwrap();
            it.snapshot(&mut store).unwrap().save(&path).unwrap();
            // SAFETY: the file is an artifact of this process, and its bytes are not written again:
            // the next save puts another file in its place.
            let saved = unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
            let it = Instance::new(&mut store, &saved, &[]).unwrap();
            assert_eq!(it.get_global(&store, "g").unwrap().get(&store).unwrap_i32(), value);
        }
    };
    let save_and_load = &save_and_load;
    std::thread::scope(|scope| (0..4).for_each(|thread| _ = scope.spawn(move || save_and_load(thread))));
}

#[test]
fn a_saved_snapshot_goes_on_where_it_was() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("h", "double", |x: i32| 2 * x).unwrap();
    let it = linker.instantiate(&mut store, &Module::new(&engine, TEXT).unwrap()).unwrap();
    call_i32(&mut store, it, "call", &[2, 77]).unwrap();
    let memory = it.get_memory(&store, "m").unwrap();
    memory.grow(&mut store, 3).unwrap();
    memory.write(&mut store, 22 * 65_536, b"grown").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("warm.cwasm");
    it.snapshot(&mut store).unwrap().save(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let elsewhere = Engine::default();
    // Other modules have been there first, so that type numbers differ.
    Module::new(&elsewhere, "(module (func (export \"f\") (param f64 f32 i64)))").unwrap();
    // SAFETY: the file is an artifact of this process, and nobody writes to it.
    let module = unsafe { Module::deserialize_file(&elsewhere, &path) }.unwrap();
    assert!(module.is_snapshot());
    for _ in 0..3 {
        let mut store = Store::new(&elsewhere, ());
        let double = Func::wrap(&mut store, |x: i32| 2 * x);
        let it = Instance::new(&mut store, &module, &[double.into()]).unwrap();
        let memory = it.get_memory(&store, "m").unwrap();
        assert_eq!(memory.size(&store), 23);
        assert_eq!(&memory.data(&store)[22 * 65_536..][..5], b"grown");
        assert_eq!(memory.data(&store)[70_000], 77);
        assert_eq!(it.get_global(&store, "g").unwrap().get(&store).unwrap_i32(), 77);
        assert_eq!(call_i32(&mut store, it, "call", &[2, 4]).unwrap(), 8);
        memory.write(&mut store, 22 * 65_536, b"other").unwrap();
    }
}

#[test]
fn what_is_off_is_an_error_that_says_what_and_nothing_is_run() {
    let engine = Engine::default();
    let good = engine.precompile_module(TEXT.as_bytes()).unwrap();
    let refused = |bytes: &[u8]| {
        let (_folder, path) = file("bad.cwasm", bytes);
        // SAFETY: the file is refused before anything in it is run.
        let error = unsafe { Module::deserialize_file(&engine, &path) }.unwrap_err();
        assert!(error.to_string().starts_with("could not load the artifact `"), "{error}");
        error.downcast::<ArtifactError>().unwrap()
    };
    assert_eq!(refused(b""), ArtifactError::NotAnArtifact);
    assert_eq!(refused(b"\0asm\x01\0\0\0"), ArtifactError::NotAnArtifact);
    assert!(matches!(refused(&good[..good.len() / 2]), ArtifactError::Damaged(_)));
    let mut flipped = good;
    flipped[200] ^= 4;
    assert!(matches!(refused(&flipped), ArtifactError::Damaged(_)));
    // SAFETY: neither is there to be run.
    let (missing, folder) = unsafe {
        (Module::deserialize_file(&engine, "/no/such/file"), Module::deserialize_file(&engine, std::env::temp_dir()))
    };
    assert!(format!("{:#}", missing.unwrap_err()).contains("No such file"));
    assert!(format!("{:#}", folder.unwrap_err()).contains("it is not a regular file"));
}

#[test]
fn damage_to_the_code_is_found_when_asked_for() {
    let mut config = Config::new();
    config.check_artifacts(true);
    let engine = Engine::new(&config).unwrap();
    let mut bytes = engine.precompile_module(TEXT.as_bytes()).unwrap();
    // SAFETY: the bytes are an artifact of this process.
    unsafe { Module::deserialize(&engine, &bytes) }.unwrap();
    let last = bytes.len() - 4096 * 20;
    bytes[last] ^= 1;
    // SAFETY: the damage is found before anything is run.
    let error = unsafe { Module::deserialize(&engine, &bytes) }.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ArtifactError::Damaged(_))), "{error}");
}
