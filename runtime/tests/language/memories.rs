//! Several memories in a module, and memories with 64-bit addresses: everything that can be done
//! with one.

use crate::common::{call, call_i32, each_config, engines};
use minirt::{Config, Engine, Extern, Instance, Memory, MemoryType, Module, Store, Trap, Val};

/// One imported memory and three of its own, with data in all, and accesses to each.
const FOUR: &str = r#"(module
  (import "env" "m" (memory $given 1))
  (memory $a (export "a") 1 4) (memory $b (export "b") 2 4) (memory $c (export "c") i64 1 4)
  (data (memory $given) (i32.const 0) "given") (data (memory $a) (i32.const 10) "aaa")
  (data (memory $b) (i32.const 70000) "bbb") (data (memory $c) (i64.const 20) "ccc")
  (func (export "store") (param $at i32) (param $value i32)
    (i32.store8 $given (local.get $at) (local.get $value))
    (i32.store8 $a (local.get $at) (i32.add (local.get $value) (i32.const 1)))
    (i32.store8 $b (local.get $at) (i32.add (local.get $value) (i32.const 2)))
    (i32.store8 $c (i64.extend_i32_u (local.get $at)) (i32.add (local.get $value) (i32.const 3))))
  (func (export "grow") (result i32)
    (drop (memory.grow $a (i32.const 1))) (drop (memory.grow $c (i64.const 2))) (memory.grow $b (i32.const 1)))
  (func (export "copy") (memory.copy $c $b (i64.const 100) (i32.const 70000) (i32.const 3)))
  (func (export "load_b") (param i32) (result i32) (i32.load8_u $b (local.get 0)))
  (func (export "load_c") (param i64) (result i32) (i32.load8_u $c (local.get 0)))
  (func (export "far_c") (param i64) (result i32) (i32.load8_u $c offset=0xfffffffffffffff0 (local.get 0))))"#;

fn given(store: &mut Store<()>) -> Memory {
    Memory::new(store, MemoryType { minimum: 1, maximum: None, ..MemoryType::default() }).unwrap()
}

fn start(engine: &Engine, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let memory = given(&mut store);
    let it = Instance::new(&mut store, module, &[Extern::Memory(memory)]).unwrap();
    (store, it)
}

/// Size and bytes that are not zero of each of the three memories.
fn seen(store: &Store<()>, it: Instance) -> Vec<(usize, Vec<(usize, u8)>)> {
    let memory = |name| {
        let bytes = it.get_memory(store, name).unwrap().data(store);
        (bytes.len(), bytes.iter().copied().enumerate().filter(|(_, byte)| *byte != 0).collect())
    };
    ["a", "b", "c"].map(memory).into()
}

#[test]
fn each_memory_starts_with_its_data_again_and_again() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, FOUR).unwrap();
        let (store, it) = start(&engine, &module);
        let fresh = seen(&store, it);
        assert_eq!(
            fresh.iter().map(|(size, bytes)| (*size, bytes.len())).collect::<Vec<_>>(),
            [(65_536, 3), (2 * 65_536, 3), (65_536, 3)]
        );
        drop(store);
        for round in 0..20 {
            let (mut store, it) = start(&engine, &module);
            assert_eq!(seen(&store, it), fresh, "{name}, round {round}");
            call(&mut store, it, "store", &[Val::I32(round * 700), Val::I32(9)]).unwrap();
            assert_eq!(call_i32(&mut store, it, "grow", &[]).unwrap(), 2);
            call(&mut store, it, "store", &[Val::I32(65_000), Val::I32(9)]).unwrap();
            call(&mut store, it, "copy", &[]).unwrap();
            assert_eq!(call_i32(&mut store, it, "load_b", &[round * 700]).unwrap(), 11);
            assert_ne!(seen(&store, it), fresh);
            it.reset(&mut store).unwrap();
            assert_eq!(seen(&store, it), fresh, "{name}, round {round}: reset in place");
        }
    }
}

#[test]
fn a_snapshot_and_an_artifact_have_all_memories() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, FOUR).unwrap();
        let (mut store, it) = start(&engine, &module);
        call(&mut store, it, "grow", &[]).unwrap();
        call(&mut store, it, "store", &[Val::I32(300), Val::I32(50)]).unwrap();
        let then = seen(&store, it);
        let snapshot = it.snapshot(&mut store).unwrap();
        call(&mut store, it, "store", &[Val::I32(301), Val::I32(60)]).unwrap();
        let bytes = snapshot.module().serialize().unwrap();
        // SAFETY: the bytes are an artifact of this process.
        let loaded = unsafe { Module::deserialize(&engine, &bytes) }.unwrap();
        for module in [snapshot.module(), &loaded] {
            let (mut store, it) = start(&engine, module);
            assert_eq!(seen(&store, it), then, "{name}");
            call(&mut store, it, "store", &[Val::I32(7), Val::I32(1)]).unwrap();
            it.reset(&mut store).unwrap();
            assert_eq!(seen(&store, it), then, "{name}");
        }
    }
}

#[test]
fn an_index_that_does_not_fit_32_bits_is_outside_whatever_is_added() {
    let engine = Engine::default();
    let module = Module::new(&engine, FOUR).unwrap();
    let (mut store, it) = start(&engine, &module);
    assert_eq!(call(&mut store, it, "load_c", &[Val::I64(20)]).unwrap()[0].unwrap_i32(), i32::from(b'c'));
    for index in [65_536, 1 << 32, (1 << 32) + 20, 1 << 47, i64::MAX, i64::MIN, -1, -65_536, -(1 << 30), -(1 << 32)] {
        for name in ["load_c", "far_c"] {
            let error = call(&mut store, it, name, &[Val::I64(index)]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{name} {index:#x}");
        }
    }
    // 0xfffffffffffffff0 + 0x24 would be 20 if it wrapped around.
    let error = call(&mut store, it, "far_c", &[Val::I64(0x24)]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
}

#[test]
fn a_large_offset_and_a_64_bit_index_are_compared_with_the_size() {
    let engine = Engine::default();
    let text = r#"(module (memory (export "m") i64 20000) (data (i64.const 0x40000005) "x")
      (func (export "load") (param i64) (result i32) (i32.load8_u offset=0x40000000 (local.get 0))))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    assert_eq!(call(&mut store, it, "load", &[Val::I64(5)]).unwrap()[0].unwrap_i32(), i32::from(b'x'));
    let end = 20_000 * 65_536 - 0x4000_0000;
    assert_eq!(call(&mut store, it, "load", &[Val::I64(end - 1)]).unwrap()[0].unwrap_i32(), 0);
    for index in [end, 1 << 32, -0x4000_0000, -1, i64::MIN, (1 << 32) + 5, -(1 << 62)] {
        let error = call(&mut store, it, "load", &[Val::I64(index)]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{index:#x}");
    }
}

#[test]
fn features_can_be_switched_off() {
    let mut config = Config::new();
    config.wasm_multi_memory(false).wasm_memory64(false);
    let engine = Engine::new(&config).unwrap();
    for (text, reason) in [("(memory 1) (memory 1)", "multiple memories"), ("(memory i64 1)", "memory64")] {
        let error = Module::new(&engine, format!("(module {text})")).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Returns a memory of 5,000 bytes that may grow to 70,000, the whole of it after another of the
/// usual pages or in front of it.
fn bytewise(first: bool) -> String {
    let (small, usual) =
        (r#"(memory $small (export "small") 5000 70000 (pagesize 1))"#, r#"(memory $usual (export "usual") 1)"#);
    let (one, two) = if first { (small, usual) } else { (usual, small) };
    format!(
        r#"(module {one} {two} (data (memory $small) (i32.const 4998) "yz") (data $passive "passive")
          (func (export "load") (param i32) (result i32) (i32.load8_u $small (local.get 0)))
          (func (export "load wide") (param i32) (result i32) (i32.load $small offset=4 (local.get 0)))
          (func (export "load far") (param i32) (result i32) (i32.load $small offset=4294967295 (local.get 0)))
          (func (export "vector") (param i32) (drop (v128.load $small (local.get 0))))
          (func (export "store") (param i32) (i64.store $small (local.get 0) (i64.const -1)))
          (func (export "fill") (param i32 i32) (memory.fill $small (local.get 0) (i32.const 9) (local.get 1)))
          (func (export "init") (param i32 i32) (memory.init $small $passive (local.get 0) (i32.const 0) (local.get 1)))
          (func (export "size") (result i32) (memory.size $small))
          (func (export "grow") (param i32) (result i32) (memory.grow $small (local.get 0))))"#
    )
}

#[test]
fn a_memory_of_single_bytes_ends_at_its_last_byte() {
    each_config(|case, _, config| {
        let engine = Engine::new(&config).unwrap();
        for first in [true, false] {
            let module = Module::new(&engine, bytewise(first)).unwrap();
            let traps = |store: &mut Store<()>, it, name: &str, args: &[i32]| {
                let args: Vec<Val> = args.iter().copied().map(Val::I32).collect();
                let error = call(store, it, name, &args).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{case}: {name} {args:?}");
            };
            let check = |store: &mut Store<()>, it: Instance| {
                let memory = it.get_memory(&*store, "small").unwrap();
                assert_eq!((memory.size(&*store), memory.data_size(&*store)), (5000, 5000), "{case}");
                assert_eq!(memory.ty(&*store).to_string(), "(memory 5000 70000 (pagesize 1))");
                assert_eq!(memory.data(&*store)[4997..], *b"\0yz", "{case}");
                assert_eq!(call_i32(store, it, "load", &[4999]).unwrap(), i32::from(b'z'));
                assert_eq!(call_i32(store, it, "load wide", &[4992]).unwrap().to_le_bytes(), *b"\0\0yz");
                for (name, args) in [
                    ("load", &[5000][..]),
                    ("load", &[-1]),
                    ("load wide", &[4993]),
                    ("load wide", &[-1]),
                    ("load far", &[0]),
                    ("load far", &[-1]),
                    ("vector", &[4985]),
                    ("store", &[4993]),
                    ("fill", &[4990, 11]),
                    ("init", &[4996, 5]),
                ] {
                    traps(store, it, name, args);
                }
                assert!(memory.write(&mut *store, 4999, &[1, 2]).is_err());
            };
            for _ in 0..5 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                check(&mut store, it);
                // To the end of a host page, over it, and as far as it may.
                for (delta, before) in [(3191, 5000), (1, 8191), (1, 8192), (61807, 8193), (1, -1), (0, 70_000)] {
                    assert_eq!(call_i32(&mut store, it, "grow", &[delta]).unwrap(), before, "{case}");
                }
                call(&mut store, it, "fill", &[Val::I32(0), Val::I32(70_000)]).unwrap();
                traps(&mut store, it, "load", &[70_000]);
                let snapshot = it.snapshot(&mut store).unwrap();
                it.reset(&mut store).unwrap();
                check(&mut store, it);
                // SAFETY: the bytes are an artifact of this process.
                let loaded = unsafe { Module::deserialize(&engine, snapshot.module().serialize().unwrap()) }.unwrap();
                for module in [snapshot.module(), &loaded] {
                    let mut store = Store::new(&engine, ());
                    let it = Instance::new(&mut store, module, &[]).unwrap();
                    assert_eq!(call_i32(&mut store, it, "size", &[]).unwrap(), 70_000, "{case}");
                    assert!(it.get_memory(&store, "small").unwrap().data(&store).iter().all(|byte| *byte == 9));
                    traps(&mut store, it, "load", &[70_000]);
                }
            }
        }
    });
}

#[test]
fn a_memory_is_imported_with_the_pages_that_it_has() {
    let engine = Engine::default();
    let user = Module::new(&engine, r#"(module (import "" "m" (memory 1 (pagesize 1))))"#).unwrap();
    let mut store = Store::new(&engine, ());
    let small = Memory::new(&mut store, MemoryType { minimum: 3, page_size_log2: 0, ..MemoryType::default() }).unwrap();
    assert_eq!(small.page_size(&store), 1);
    Instance::new(&mut store, &user, &[small.into()]).unwrap();
    assert_eq!(small.grow(&mut store, 2).unwrap(), 3);
    assert_eq!(small.data(&store), [0; 5]);
    let usual = Memory::new(&mut store, MemoryType { minimum: 3, ..MemoryType::default() }).unwrap();
    let error = Instance::new(&mut store, &user, &[usual.into()]).unwrap_err();
    assert!(error.to_string().contains("`(memory 1 (pagesize 1))`, but `(memory 3)` was given"), "{error:#}");
}
