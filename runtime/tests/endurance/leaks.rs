//! Mappings, descriptors and resident memory of the process, over many rounds.

use crate::alone;
use crate::common::{self, call, engines, instance};
use minirt::{
    Config, Engine, Func, FuncType, Instance, Linker, Module, Ref, RefType, Store, Table, TableType, Trap, Val, ValType,
};

#[test]
fn two_bytes_far_apart_do_not_cost_what_lies_between() {
    let _alone = alone();
    let text = r#"(module (memory (export "m") 65536) (data (i32.const 0) "a") (data (i32.const -1) "z"))"#;
    let engine = Engine::default();
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let memory = instance.get_memory(&store, "m").unwrap();
    assert_eq!((memory.data(&store)[0], memory.data(&store)[(1 << 32) - 1]), (b'a', b'z'));
    let resident = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = resident.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(pages * 4096 < 1 << 30, "{pages} pages are resident");
}

#[test]
fn dropping_modules_and_stores_leaves_no_mapping_and_no_descriptor() {
    let _alone = alone();
    for (name, engine) in engines() {
        let round = |i: usize| {
            let text = format!(
                r#"(module (memory {}) (data (i32.const {i}) "x") (func (export "f") (i32.store (i32.const 0) (i32.const 1))))"#,
                1 + i % 3
            );
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            call(&mut store, instance, "f", &[]).unwrap();
        };
        (0..10).for_each(round);
        let before = (common::mappings(), common::descriptors());
        (0..500).for_each(round);
        let after = (common::mappings(), common::descriptors());
        assert!(after.0 <= before.0 + 8 && after.1 <= before.1 + 1, "{name}: {before:?} became {after:?}");
    }
}

#[test]
fn a_dropped_module_leaves_its_image_in_no_slot() {
    let _alone = alone();
    let engine = Engine::default();
    let first = Module::new(&engine, r#"(module (memory (export "m") 1) (data (i32.const 0) "secret"))"#).unwrap();
    Instance::new(&mut Store::new(&engine, ()), &first, &[]).unwrap();
    drop(first);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("minirt-image"), "{maps}");
}

#[test]
fn ten_thousand_traps_leave_nothing_behind() {
    let _alone = alone();
    let engine = Engine::default();
    let text = r#"(module (memory 1) (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let (mut store, instance) = instance(&engine, text);
    let mut round = || {
        let error = call(&mut store, instance, "load", &[Val::I32(-4)]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    };
    round();
    let before = common::mappings();
    (0..10_000).for_each(|_| round());
    assert!(common::mappings() <= before + 2);
}

/// Returns how many bytes of the heap are in use.
#[cfg(target_env = "gnu")]
fn heap() -> usize {
    // SAFETY: it only counts.
    unsafe { libc::mallinfo2() }.uordblks
}

#[cfg(target_env = "gnu")]
#[test]
fn two_thousand_threads_leave_nothing_behind() {
    let _alone = alone();
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "f")))"#).unwrap();
    let round = |_| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                call(&mut store, instance, "f", &[]).unwrap();
            });
        });
    };
    (0..100).for_each(round);
    let before = (heap(), common::mappings());
    (0..2_000).for_each(round);
    let after = (heap(), common::mappings());
    assert!(after.0 <= before.0 + 64 * 1024 && after.1 <= before.1 + 100, "{before:?} became {after:?}");
}

#[test]
fn artifacts_leave_no_mapping_and_no_descriptor() {
    let _alone = alone();
    let engine = Engine::default();
    let text = r#"(module (memory 2) (data (i32.const 0) "data") (table 2 funcref) (elem (i32.const 0) func $f)
      (func $f (export "f") (i32.store (i32.const 0) (i32.const 1))))"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.cwasm");
    std::fs::write(&path, engine.precompile_module(text.as_bytes()).unwrap()).unwrap();
    let round = || {
        // SAFETY: the file is an artifact of this process, and nobody writes to it.
        let module = unsafe { Module::deserialize_file(&engine, &path) }.unwrap();
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        call(&mut store, it, "f", &[]).unwrap();
    };
    (0..5).for_each(|_| round());
    let before = (common::mappings(), common::descriptors());
    (0..300).for_each(|_| round());
    let after = (common::mappings(), common::descriptors());
    assert!(after.0 <= before.0 + 8 && after.1 <= before.1, "{before:?} became {after:?}");
}

#[test]
fn room_for_tables_to_grow_takes_no_memory_in_the_image() {
    let _alone = alone();
    // Two tables that may grow to millions of elements have as much address space between them.
    let engine = Engine::default();
    let text = r#"(module (table 3 funcref) (table 3 10 funcref) (table 3 funcref) (memory 1)
      (func $f (export "the function whose image is looked at")) (elem (table 2) (i32.const 0) func $f $f $f))"#;
    let _module = Module::new(&engine, text).unwrap();
    let mut files = image_file_sizes();
    files.retain(|(len, _)| *len > 20 << 20);
    let [(len, taken)] = files[..] else { panic!("one long file is made: {files:?}") };
    assert!(taken < 1 << 20, "{taken} bytes of {len} are in memory");
}

/// Lengths of this process's image files, and how many bytes they take in memory.
fn image_file_sizes() -> Vec<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let images =
        entries.filter(|path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("minirt-")));
    images.filter_map(|path| std::fs::metadata(path).ok()).map(|file| (file.len(), file.blocks() * 512)).collect()
}

#[test]
fn idle_instances_with_many_imports_keep_no_more_than_they_may() {
    let _alone = alone();
    const IMPORTS: usize = 20_000;
    const KEEP: usize = 8 << 20;
    let engine = Engine::new(Config::new().keep_resident(KEEP)).unwrap();
    let text = format!("(module {})", r#"(import "h" "f" (func))"#.repeat(IMPORTS));
    let module = Module::new(&engine, text).unwrap();
    let host_cell = module.image_info().host_cell;
    assert!(host_cell > 1 << 20);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("h", "f", || {}).unwrap();
    let many = |count: usize| {
        let stores = (0..count).map(|_| {
            let mut store = Store::new(&engine, ());
            linker.instantiate(&mut store, &module).unwrap();
            store
        });
        drop(stores.collect::<Vec<_>>());
    };
    many(1);
    let before = resident();
    for _ in 0..3 {
        many(50);
        let stats = engine.stats();
        assert!(stats.idle == 50 && stats.kept_bytes <= KEEP && stats.kept_bytes > KEEP / 2, "{stats:?}");
        // The allocator may have kept what 50 lists of closures took.
        let most = before + KEEP + 50 * IMPORTS * size_of::<[usize; 2]>() + (4 << 20);
        assert!(most < before + 50 * host_cell / 2 && resident() < most, "{before} became {}", resident());
    }
    // As many as fit are warm.
    let warm = engine.stats().warm_instantiations;
    many(50);
    let warm = (engine.stats().warm_instantiations - warm) as usize;
    assert!(warm > 0 && warm <= KEEP / host_cell, "{warm}");
    drop((linker, module));
    assert_eq!(engine.stats().kept_bytes, 0);
}

#[test]
fn an_engine_forgets_the_types_of_modules_and_host_functions_that_are_gone() {
    let _alone = alone();
    const TYPES: u32 = 2000;
    let engine = Engine::default();
    // Types that no other number gives.
    let types = |n: u32| (0..20).map(move |i| if n >> i & 1 == 0 { ValType::I32 } else { ValType::I64 });
    let round = |round: u32| {
        let all = (0..TYPES).map(|i| format!("(type {})", FuncType::new(types(round * TYPES + i), [])));
        drop(Module::new(&engine, format!("(module {})", all.collect::<String>())).unwrap());
        // Each of these needs an exit trampoline, because Wasm gets a reference to it.
        let mut store = Store::new(&engine, ());
        let ty = TableType::new(RefType::FUNCREF, 20, None);
        let table = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
        for i in 0..20 {
            let ty = FuncType::new(types(round * 20 + i), [ValType::F32]);
            let func = Func::new(&mut store, ty, |_, _, _| Ok(()));
            table.set(&mut store, i.into(), func.into()).unwrap();
        }
    };
    (0..30).for_each(round);
    let before = (resident(), common::mappings());
    (30..100).for_each(round);
    let after = (resident(), common::mappings());
    assert!(after.0 < before.0 + (16 << 20) && after.1 <= before.1 + 20, "{before:?} became {after:?}");
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
