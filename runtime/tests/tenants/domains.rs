//! Tenants of one module in different trust domains: what those of one do shows in no other.

use crate::common::call_i32;
use minirt::{Engine, Instance, Linker, Module, Store};

const MODULE: &str = r#"(module
  (import "host" "base" (func $base (result i32)))
  (memory (export "memory") 16 21) (memory $other 1)
  (data (i32.const 100) "\05") (data (memory $other) (i32.const 7) "\06")
  (global $n (mut i32) (i32.const 10))
  (table 2 funcref) (elem (i32.const 1) $next)
  (func $next (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.add (global.get $n) (i32.add (call $base)
      (i32.add (i32.load8_u (i32.const 100)) (i32.load8_u $other (i32.const 7))))))
  (func (export "through table") (result i32) (call_indirect (result i32) (i32.const 1)))
  (func (export "write") (param i32) (result i32) (i32.store (local.get 0) (i32.const 1)) (i32.const 0))
  (func (export "grow") (result i32) (memory.grow (i32.const 5))))"#;

/// How many pages a new instance has of its own, before it has done anything.
fn private_pages(engine: &Engine, linker: &Linker<()>, module: &Module) -> u64 {
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, module).unwrap();
    instance.page_stats(&store).private
}

/// Runs of tenants who always write the same pages.
fn run_often(engine: &Engine, linker: &Linker<()>, module: &Module) {
    for _ in 0..50 {
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, module).unwrap();
        for page in [5, 9, 11, 15] {
            call_i32(&mut store, instance, "write", &[page * rustix::param::page_size() as i32]).unwrap();
        }
    }
}

fn setting() -> (Engine, Linker<()>, Module) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "base", || 1000_i32).unwrap();
    let module = Module::new(&engine, MODULE).unwrap();
    (engine, linker, module)
}

#[test]
fn what_one_domain_writes_shows_in_no_other() {
    let (engine, linker, module) = setting();
    let other = module.separate();
    let untouched = private_pages(&engine, &linker, &other);
    run_often(&engine, &linker, &module);
    let known = private_pages(&engine, &linker, &module);
    assert!(known >= untouched + 4, "the hot set is there in the domain: {known} pages, {untouched} without");
    assert_eq!(private_pages(&engine, &linker, &other), untouched);
    // A clone is the same domain, and a later one learns nothing of what was before.
    assert_eq!(private_pages(&engine, &linker, &module.clone()), known);
    assert_eq!(private_pages(&engine, &linker, &module.separate()), untouched);
}

#[test]
fn each_domain_is_fast_by_itself() {
    let (engine, linker, module) = setting();
    let domains = [module.separate(), module.separate(), module.separate().separate()];
    for domain in &domains {
        run_often(&engine, &linker, domain);
        let before = engine.stats();
        run_often(&engine, &linker, domain);
        let after = engine.stats();
        // Twice for each run: there is a second memory, in a slot of its own.
        assert_eq!(after.warm_instantiations - before.warm_instantiations, 100);
        assert_eq!(after.cold_instantiations, before.cold_instantiations);
        assert!(after.resets_hot_set - before.resets_hot_set >= 40, "{before:?} {after:?}");
    }
}

#[test]
fn a_separate_module_is_the_same_module() {
    let (engine, linker, module) = setting();
    let separate = module.separate();
    assert!(separate.exports().map(|it| it.name()).eq(module.exports().map(|it| it.name())));
    assert_eq!(separate.image_info(), module.image_info());
    assert_eq!(separate.serialize().unwrap(), module.serialize().unwrap());
    drop(module);
    let pre = linker.instantiate_pre(&separate).unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store).unwrap();
        assert_eq!(call_i32(&mut store, instance, "next", &[]).unwrap(), 1022);
        assert_eq!(call_i32(&mut store, instance, "through table", &[]).unwrap(), 1023);
        assert_eq!(call_i32(&mut store, instance, "grow", &[]).unwrap(), 16);
        instance.reset(&mut store).unwrap();
        assert_eq!(call_i32(&mut store, instance, "next", &[]).unwrap(), 1022);
    }
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &separate).unwrap();
    call_i32(&mut store, instance, "next", &[]).unwrap();
    let snapshot = instance.snapshot(&mut store);
    let error = snapshot.map(|snapshot| snapshot.module().separate());
    let copy = linker.instantiate(&mut store, &error.unwrap()).unwrap();
    assert_eq!(call_i32(&mut store, copy, "next", &[]).unwrap(), 1023, "also of a snapshot");
    drop(store);
    drop((pre, separate));
    assert_eq!(engine.stats().live, 0);
}

#[test]
fn a_separate_artifact_outlives_the_one_it_was_loaded_as() {
    let (engine, linker, module) = setting();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), module.serialize().unwrap()).unwrap();
    // SAFETY: it was made above, and nobody writes to it.
    let loaded = unsafe { Module::deserialize_file(&engine, file.path()) }.unwrap();
    let separate = loaded.separate();
    drop((loaded, file));
    let mut store = Store::new(&engine, ());
    let instance: Instance = linker.instantiate(&mut store, &separate).unwrap();
    assert_eq!(call_i32(&mut store, instance, "next", &[]).unwrap(), 1022);
}
