//! Reset in place, and snapshots: going back to the beginning, and beginning from the middle.

use crate::common::{call, call_i32, engines, instance};
use minirt::{Config, Engine, Extern, Func, Instance, Linker, Module, Ref, Store, Val};

/// A module with some of everything that can change.
const EVERYTHING: &str = r#"(module
  (memory (export "m") 1 10)
  (data (i32.const 100) "initial")
  (global $g (export "g") (mut i32) (i32.const 5))
  (table (export "t") 2 1000 funcref)
  (elem (i32.const 0) $one)
  (elem $more func $one $two)
  (data $late "late")
  (type $f (func (result i32)))
  (func $one (result i32) i32.const 1)
  (func $two (result i32) i32.const 2)
  (elem declare func $two)
  (func (export "work") (param $n i32)
    (global.set $g (i32.add (global.get $g) (local.get $n)))
    (i32.store (i32.const 100) (local.get $n))
    (drop (memory.grow (i32.const 2)))
    (i32.store (i32.const 150000) (local.get $n))
    (drop (table.grow (ref.func $two) (i32.const 600)))
    (table.set (i32.const 1) (ref.func $two))
    (memory.init $late (i32.const 200) (i32.const 0) (i32.const 4))
    (data.drop $late) (elem.drop $more))
  (func (export "init_late") (memory.init $late (i32.const 300) (i32.const 0) (i32.const 4)))
  (func (export "call") (param i32) (result i32) (call_indirect (type $f) (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// Returns all that can be seen of an instance of `EVERYTHING`.
fn seen(store: &mut Store<()>, it: Instance) -> String {
    let memory = it.get_memory(&*store, "m").unwrap();
    let bytes = memory.data(&*store);
    let written: Vec<(usize, u8)> = bytes.iter().copied().enumerate().filter(|(_, byte)| *byte != 0).collect();
    let size = bytes.len();
    let global = it.get_global(&*store, "g").unwrap().get(&*store);
    let table = it.get_table(&*store, "t").unwrap().size(&*store);
    let calls: Vec<String> =
        [0, 1, 2, 601, 602].map(|i| format!("{:?}", call_i32(store, it, "call", &[i]).ok())).into();
    format!("{written:?} {size} {global:?} {table} {calls:?}")
}

#[test]
fn reset_goes_back_to_the_beginning_and_handles_stay_valid() {
    for (name, engine) in engines() {
        let (mut store, it) = instance(&engine, EVERYTHING);
        let fresh = seen(&mut store, it);
        let memory = it.get_memory(&store, "m").unwrap();
        for round in 1..20 {
            call(&mut store, it, "work", &[Val::I32(round)]).unwrap();
            assert_ne!(seen(&mut store, it), fresh);
            assert!(call(&mut store, it, "init_late", &[]).is_err(), "dropped segments are empty");
            memory.write(&mut store, 5, b"host").unwrap();
            it.reset(&mut store).unwrap();
            assert_eq!(seen(&mut store, it), fresh, "{name}, round {round}");
            assert!(call_i32(&mut store, it, "load", &[70_000]).is_err(), "grown memory is not accessible");
            assert_eq!(memory.data_size(&store), 65_536);
            call(&mut store, it, "init_late", &[]).unwrap();
            it.reset(&mut store).unwrap();
        }
    }
}

#[test]
fn a_start_function_runs_again_at_a_reset_but_not_in_a_snapshot() {
    let engine = Engine::default();
    let text = r#"(module (import "h" "count" (func $count)) (global (export "g") (mut i32) (i32.const 0))
      (func $start (call $count) (global.set 0 (i32.const 7))) (start $start))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, 0);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("h", "count", |mut caller: minirt::Caller<'_, i32>| *caller.data_mut() += 1).unwrap();
    let it = linker.instantiate(&mut store, &module).unwrap();
    it.reset(&mut store).unwrap();
    assert_eq!(*store.data(), 2);
    let snapshot = it.snapshot(&mut store).unwrap();
    let copy = linker.instantiate(&mut store, snapshot.module()).unwrap();
    assert_eq!(*store.data(), 2);
    assert_eq!(copy.get_global(&store, "g").unwrap().get(&store).unwrap_i32(), 7);
}

#[test]
fn a_snapshot_is_what_the_instance_was_and_both_go_on_apart() {
    for (name, engine) in engines() {
        let (mut store, it) = instance(&engine, EVERYTHING);
        call(&mut store, it, "work", &[Val::I32(3)]).unwrap();
        let then = seen(&mut store, it);
        let snapshot = it.snapshot(&mut store).unwrap();
        // Its segments are dropped, so it traps half-way.
        call(&mut store, it, "work", &[Val::I32(4)]).unwrap_err();
        let later = seen(&mut store, it);
        assert_ne!(then, later);
        for _ in 0..10 {
            let mut other = Store::new(&engine, ());
            let copy = snapshot.instantiate(&mut other, &[]).unwrap();
            assert_eq!(seen(&mut other, copy), then, "{name}");
            assert!(call(&mut other, copy, "init_late", &[]).is_err(), "the segment was dropped before");
            call(&mut other, copy, "work", &[Val::I32(9)]).unwrap_err();
            copy.reset(&mut other).unwrap();
            assert_eq!(seen(&mut other, copy), then, "{name}");
        }
        assert_eq!(seen(&mut store, it), later, "{name}");
        let again = snapshot.instantiate(&mut store, &[]).unwrap().snapshot(&mut store).unwrap();
        let copy = again.instantiate(&mut store, &[]).unwrap();
        assert_eq!(seen(&mut store, copy), then, "{name}: a snapshot of a snapshot");
    }
}

#[test]
fn ten_thousand_children_of_one_warmed_instance_diverge() {
    let engine = Engine::default();
    let text = r#"(module (memory (export "m") 4)
      (func (export "warm") (memory.fill (i32.const 0) (i32.const 7) (i32.const 200000)))
      (func (export "child") (param i32) (result i32)
        (i32.store (i32.mul (local.get 0) (i32.const 16)) (local.get 0))
        (i32.add (i32.load8_u (i32.const 199999)) (i32.load (i32.mul (local.get 0) (i32.const 16))))))"#;
    let (mut store, it) = instance(&engine, text);
    call(&mut store, it, "warm", &[]).unwrap();
    let snapshot = it.snapshot(&mut store).unwrap();
    for child in 0..10_000 {
        let mut store = Store::new(&engine, ());
        let it = snapshot.instantiate(&mut store, &[]).unwrap();
        assert_eq!(call_i32(&mut store, it, "child", &[child]).unwrap(), child + 7);
        if child % 100 == 0 {
            let bytes = it.get_memory(&store, "m").unwrap().data(&store);
            let other = bytes[..200_000].chunks(16).enumerate().filter(|(i, _)| *i != child as usize);
            assert!(other.flat_map(|(_, bytes)| bytes).all(|byte| *byte == 7), "what a sibling wrote shows in {child}");
        }
    }
}

#[test]
fn imports_are_supplied_again() {
    let engine = Engine::default();
    let text = r#"(module (import "h" "f" (func $f (result i32))) (import "h" "m" (memory 1))
      (table (export "t") 1 funcref) (elem (i32.const 0) $f)
      (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0)))
      (func (export "load") (result i32) (i32.load (i32.const 0))))"#;
    let module = Module::new(&engine, text).unwrap();
    let imports = |store: &mut Store<()>, value: i32| -> Vec<Extern> {
        let memory =
            minirt::Memory::new(&mut *store, minirt::MemoryType { minimum: 1, maximum: None, ..Default::default() });
        let memory = memory.unwrap();
        memory.write(&mut *store, 0, &value.to_le_bytes()).unwrap();
        vec![Func::wrap(&mut *store, move || value).into(), memory.into()]
    };
    let mut store = Store::new(&engine, ());
    let given = imports(&mut store, 1);
    let it = Instance::new(&mut store, &module, &given).unwrap();
    let snapshot = it.snapshot(&mut store).unwrap();
    let given = imports(&mut store, 2);
    let copy = snapshot.instantiate(&mut store, &given).unwrap();
    for (it, value) in [(it, 1), (copy, 2)] {
        assert_eq!(call_i32(&mut store, it, "call", &[]).unwrap(), value);
        assert_eq!(call_i32(&mut store, it, "load", &[]).unwrap(), value);
    }
    assert!(snapshot.instantiate(&mut store, &[]).is_err());
}

#[test]
fn what_belongs_to_the_process_cannot_be_frozen_and_the_error_names_the_place() {
    let engine = Engine::default();
    let text = r#"(module (global (export "g") (mut funcref) (ref.null func)) (global (mut externref) (ref.null extern))
      (func (export "set") (param externref) (global.set 1 (local.get 0)))
      (table (export "t") 4 funcref))"#;
    let (mut store, it) = instance(&engine, text);
    it.snapshot(&mut store).unwrap();
    let host = Func::wrap(&mut store, || 1);
    let global = it.get_global(&store, "g").unwrap();
    global.set(&mut store, Val::FuncRef(Some(host))).unwrap();
    let error = it.snapshot(&mut store).unwrap_err().to_string();
    assert!(error.starts_with("global 0 (`g`) holds a function that belongs to another"), "{error}");
    global.set(&mut store, Val::FuncRef(None)).unwrap();
    let table = it.get_table(&store, "t").unwrap();
    table.set(&mut store, 3, Ref::Func(Some(host))).unwrap();
    let error = it.snapshot(&mut store).unwrap_err().to_string();
    assert!(error.starts_with("element 3 of table 0 (`t`) holds a function"), "{error}");
    table.set(&mut store, 3, Ref::Func(None)).unwrap();
    let value = minirt::ExternRef::new(&mut store, 5).unwrap();
    call(&mut store, it, "set", &[Val::ExternRef(Some(value))]).unwrap();
    let error = it.snapshot(&mut store).unwrap_err().to_string();
    assert!(error.starts_with("global 1 holds a value of the host"), "{error}");
    it.reset(&mut store).unwrap();
    it.snapshot(&mut store).unwrap();
}

#[test]
fn an_instance_is_neither_reset_nor_frozen_while_it_runs() {
    let engine = Engine::default();
    let module =
        Module::new(&engine, r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#).unwrap();
    let mut store = Store::new(&engine, None::<Instance>);
    let mut linker = Linker::new(&engine);
    let host = |mut caller: minirt::Caller<'_, Option<Instance>>| {
        let it = caller.data().expect("set before the call");
        assert!(it.reset(&mut caller).unwrap_err().to_string().contains("while code of its store is running"));
        assert!(it.snapshot(&mut caller).is_err());
    };
    linker.func_wrap("h", "f", host).unwrap();
    let it = linker.instantiate(&mut store, &module).unwrap();
    *store.data_mut() = Some(it);
    it.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
}

#[test]
fn pages_are_counted_where_they_are() {
    let engine = Engine::default();
    let page = rustix::param::page_size();
    let (near, far) = (page, 3 * page + 5);
    let text = format!(
        r#"(module (memory (export "m") 4) (data (i32.const 0) "x") (func (export "f")
          (drop (i32.load (i32.const 0)))
          (i32.store (i32.const {near}) (i32.const 1))
          (i32.store (i32.const {far}) (i32.const 1))))"#
    );
    let (mut store, it) = instance(&engine, &text);
    call(&mut store, it, "f", &[]).unwrap();
    let memory = it.get_memory(&store, "m").unwrap();
    let stats = memory.page_stats(&store);
    assert_eq!(stats.private, 2, "{stats:?}");
    assert!(stats.shared >= 1, "{stats:?}");
    assert_eq!(stats.untouched + stats.zero + stats.shared + stats.private + stats.swapped, (4 * 65_536 / page) as u64);
    // Host cell and state are in one page.
    assert_eq!(it.page_stats(&store).private, 3);
}

/// A guest that writes 700 pages of the host to get ready, and 50 of them, scattered, to serve.
const SERVES: &str = r#"(module
  (memory (export "m") WASM_PAGES)
  (func $write (param $pages i32) (param $distance i32) (param $value i32) (local $at i32)
    (loop $next
      (i32.store offset=64 (local.get $at) (local.get $value))
      (local.set $at (i32.add (local.get $at) (i32.mul (local.get $distance) (i32.const HOST_PAGE))))
      (br_if $next (local.tee $pages (i32.sub (local.get $pages) (i32.const 1))))))
  (func (export "setup") (call $write (i32.const 700) (i32.const 2) (i32.const 1)))
  (func (export "serve") (result i32)
    (call $write (i32.const 50) (i32.const 20) (i32.const 2))
    (i32.load (i32.const 64)))
  (func (export "wander") (param i32) (call $write (i32.const 100) (i32.const 3) (local.get 0))))"#;

#[test]
fn what_idle_instances_keep_is_what_requests_write_also_after_the_module_ran_unfrozen() {
    let page = rustix::param::page_size();
    let text =
        SERVES.replace("WASM_PAGES", &(1600 * page / 65_536).to_string()).replace("HOST_PAGE", &page.to_string());
    let engine = Engine::new(&Config::new()).unwrap();
    let module = Module::new(&engine, text).unwrap();
    for _ in 0..5 {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        call(&mut store, it, "setup", &[]).unwrap();
        call(&mut store, it, "serve", &[]).unwrap();
    }
    let before = engine.stats().kept_bytes;
    assert!((700 * page..704 * page).contains(&before), "the module's own idle instance keeps {before}");
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    call(&mut store, it, "setup", &[]).unwrap();
    let snapshot = it.snapshot(&mut store).unwrap();
    drop((store, module));
    assert!(engine.stats().kept_bytes < 4 * page, "its instances went with the module");
    for request in 0..14 {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, snapshot.module(), &[]).unwrap();
        if request < 2 {
            call(&mut store, it, "wander", &[Val::I32(request)]).unwrap();
        }
        assert_eq!(call_i32(&mut store, it, "serve", &[]).unwrap(), 2);
    }
    let kept = engine.stats().kept_bytes;
    assert!((50 * page..54 * page).contains(&kept), "{} pages", kept / page);
}
