//! Nothing of one instance is visible in the next one that gets its slot.

use crate::common::{call, call_i32, each_config, engines};
use minirt::{Engine, Func, Instance, Linker, Module, Store, Trap, Val};

/// A module that can be made dirty everywhere: memory, grown memory, globals, tables, dropped
/// segments.
const DIRTY: &str = r#"(module
  (memory (export "memory") 2 8)
  (data (i32.const 16) "initial")
  (data $passive "passive")
  (global $g (export "g") (mut i64) (i64.const 5))
  (table $t (export "t") 3 20 funcref)
  (elem (table $t) (i32.const 1) func $f)
  (elem $passive_elem func $f $f)
  (func $f (result i32) (i32.const 42))
  (func (export "dirty")
    (memory.fill (i32.const 0) (i32.const 0xee) (i32.const 131072))
    (drop (memory.grow (i32.const 3)))
    (memory.fill (i32.const 131072) (i32.const 0xee) (i32.const 196608))
    (global.set $g (i64.const 77))
    (table.set $t (i32.const 0) (ref.func $f))
    (table.set $t (i32.const 1) (ref.null func))
    (drop (table.grow $t (ref.func $f) (i32.const 5)))
    (data.drop $passive)
    (elem.drop $passive_elem))
  (func (export "init") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 7)))
  (func (export "table init") (table.init $t $passive_elem (i32.const 0) (i32.const 0) (i32.const 2)))
  (func (export "call") (param i32) (result i32) (call_indirect $t (result i32) (local.get 0))))"#;

fn assert_fresh(store: &mut Store<()>, instance: Instance) {
    let memory = instance.get_memory(&*store, "memory").unwrap();
    let mut expected = vec![0u8; 2 * 65536];
    expected[16..23].copy_from_slice(b"initial");
    assert_eq!(memory.size(&*store), 2);
    assert!(memory.data(&*store) == expected, "memory differs from the module's");
    assert_eq!(instance.get_global(&*store, "g").unwrap().get(&*store).unwrap_i64(), 5);
    let table = instance.get_table(&*store, "t").unwrap();
    assert_eq!(table.size(&*store), 3);
    let nulls: Vec<_> = (0..3).map(|i| table.get(&*store, i).unwrap().is_null()).collect();
    assert_eq!(nulls, [true, false, true]);
    assert_eq!(call_i32(store, instance, "call", &[1]).unwrap(), 42);
    for export in ["init", "table init"] {
        call(store, instance, export, &[]).unwrap();
    }
    // What is grown now must be zero, though it was dirty before.
    assert_eq!(memory.grow(&mut *store, 6).unwrap(), 2);
    assert!(memory.data(&*store)[131072..].iter().all(|b| *b == 0), "grown memory is not zero");
    assert!(table.grow(&mut *store, 17, minirt::Ref::Func(None)).is_ok());
    assert!((3..20).all(|i| table.get(&*store, i).unwrap().is_null()));
}

#[test]
fn a_second_tenant_sees_nothing_of_the_first() {
    for (name, engine) in engines() {
        println!("{name}");
        let module = Module::new(&engine, DIRTY).unwrap();
        for _ in 0..20 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            assert_fresh(&mut store, instance);
            drop(store);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            call(&mut store, instance, "dirty", &[]).unwrap();
        }
    }
}

#[test]
fn what_the_host_writes_is_undone_as_well() {
    for (name, engine) in engines() {
        println!("{name}");
        let module = Module::new(&engine, DIRTY).unwrap();
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let memory = instance.get_memory(&store, "memory").unwrap();
            match round {
                0 => memory.data_mut(&mut store).fill(9),
                1 => memory.write(&mut store, 131071, &[9]).unwrap(),
                2 => instance.get_global(&store, "g").unwrap().set(&mut store, Val::I64(9)).unwrap(),
                _ => instance.get_table(&store, "t").unwrap().set(&mut store, 1, minirt::Ref::Func(None)).unwrap(),
            }
            drop(store);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            assert_fresh(&mut store, instance);
        }
    }
}

#[test]
fn a_slot_changes_between_modules_with_and_without_images_and_of_other_sizes() {
    // The classic order of a copy-on-write bug: image A, then none, then B, then A again.
    let texts = [
        (r#"(module (memory (export "m") 1) (data (i32.const 0) "aaaa"))"#, 1, 0, &b"aaaa"[..]),
        (r#"(module (memory (export "m") 3))"#, 3, 0, &b"\0\0\0\0"[..]),
        (r#"(module (memory (export "m") 2) (data (i32.const 70000) "bbbb"))"#, 2, 70000, &b"bbbb"[..]),
        (r#"(module (memory (export "m") 0))"#, 0, 0, &b""[..]),
    ];
    for (name, engine) in engines() {
        let modules: Vec<_> = texts.iter().map(|t| Module::new(&engine, t.0).unwrap()).collect();
        for order in [[0, 1, 2, 0], [3, 2, 1, 0], [0, 3, 0, 2], [2, 1, 3, 1]] {
            for which in order {
                let (text, pages, offset, bytes) = texts[which];
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &modules[which], &[]).unwrap();
                let memory = instance.get_memory(&store, "m").unwrap();
                let data = memory.data(&store);
                assert_eq!(data.len(), pages * 65536, "{name}: {text}");
                assert_eq!(&data[offset..offset + bytes.len()], bytes, "{name}: {text}");
                assert_eq!(data.iter().filter(|b| **b != 0).count(), bytes.iter().filter(|b| **b != 0).count());
                memory.data_mut(&mut store).fill(0xcc);
            }
        }
    }
}

#[test]
fn a_smaller_tenant_traps_where_the_larger_one_had_memory() {
    for (name, engine) in engines() {
        let large = Module::new(&engine, r#"(module (memory (export "m") 1 10) (func (export "g") (drop (memory.grow (i32.const 9))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 655360))))"#).unwrap();
        let small = r#"(module (memory 1 10) (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))) (func (export "grow") (result i32) (memory.grow (i32.const 9))))"#;
        let small = Module::new(&engine, small).unwrap();
        for module in [&large, &small, &large, &small] {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, module, &[]).unwrap();
            if std::ptr::eq(module, &large) {
                call(&mut store, instance, "g", &[]).unwrap();
                continue;
            }
            for at in [65536, 65536 * 9, 655359] {
                let error = call_i32(&mut store, instance, "load", &[at]).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{name}");
            }
            assert_eq!(call_i32(&mut store, instance, "grow", &[]).unwrap(), 1);
            for at in [65536, 65536 * 9, 655359] {
                assert_eq!(call_i32(&mut store, instance, "load", &[at]).unwrap(), 0, "{name}");
            }
        }
    }
}

#[test]
fn many_live_instances_do_not_share_anything() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, DIRTY).unwrap();
        let mut live: Vec<_> = (0..50)
            .map(|i| {
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let memory = instance.get_memory(&store, "memory").unwrap();
                memory.data_mut(&mut store)[1000] = i;
                (store, memory)
            })
            .collect();
        for (i, (store, memory)) in live.iter_mut().enumerate() {
            assert_eq!(memory.data(&*store)[1000], i as u8, "{name}");
        }
    }
}

/// Holds objects in globals that nothing can set, in 700 of them so that they take pages, and in an
/// element segment that is kept. The last global's value depends on the number of objects.
fn constants(first: i32) -> String {
    let globals: String =
        (0..700).map(|i| format!("(global (ref $box) (struct.new $box (i32.const {})))", first + i)).collect();
    format!(
        r#"(module (type $box (struct (field i32))) (type $many (array (ref $box))) (table 3 3 anyref)
          {globals}
          (elem $kept (ref $box) (struct.new $box (i32.const {first})))
          (func (export "first") (result i32) (struct.get $box 0 (global.get 0)))
          (func (export "last") (result i32) (struct.get $box 0 (global.get 699)))
          (func (export "kept") (result i32)
            (struct.get $box 0 (array.get $many (array.new_elem $many $kept (i32.const 0) (i32.const 1)) (i32.const 0))))
          (func (export "litter") (param i32)
            (loop (table.set 0 (i32.const 1) (struct.new $box (i32.const -1)))
              (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#
    )
}

#[test]
fn objects_in_globals_are_the_next_tenants_own_although_those_of_the_last_had_moved() {
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.wasm_gc(true).max_instances(6)).unwrap();
        let modules = [1_000, 2_000, 3_000].map(|first| (first, Module::new(&engine, constants(first)).unwrap()));
        for round in 0..12 {
            // Whoever comes first in a store brings the heap. The objects of the others are behind
            // its own, and move there when something is collected.
            let mut store = Store::new(&engine, ());
            for at in 0..if round % 3 == 0 { 1 } else { 3 } {
                let (first, module) = &modules[(round + at) % 3];
                let it = Instance::new(&mut store, module, &[]).unwrap();
                for again in 0..3 {
                    for (name, expected) in [("first", *first), ("last", first + 699), ("kept", *first)] {
                        assert_eq!(
                            call_i32(&mut store, it, name, &[]).unwrap(),
                            expected,
                            "{case}, {round}.{at}: {name}"
                        );
                    }
                    if again == 1 {
                        call(&mut store, it, "litter", &[Val::I32(3_000)]).unwrap();
                        store.gc();
                    }
                }
            }
        }
    });
}

#[test]
fn a_tenant_calls_its_own_imports_whatever_kind_the_last_one_had() {
    let engine = Engine::default();
    let text = r#"(module (import "" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))"#;
    let module = Module::new(&engine, text).unwrap();
    for round in 0..3 {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.func_wrap("", "f", move || 10 + round).unwrap();
        let mut store = Store::new(&engine, ());
        let it = linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(call_i32(&mut store, it, "g", &[]).unwrap(), 10 + round);
        // The closure goes with them.
        drop((linker, store));
        let mut store = Store::new(&engine, ());
        let func = Func::wrap(&mut store, move || 20 + round);
        let it = Instance::new(&mut store, &module, &[func.into()]).unwrap();
        assert_eq!(call_i32(&mut store, it, "g", &[]).unwrap(), 20 + round);
    }
}
