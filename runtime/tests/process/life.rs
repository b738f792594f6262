//! Lives of instances of one module: each is fresh at first, and dirty in a way of its own at the
//! end.

use crate::common::heaps::{assert_fresh as assert_objects_fresh, mess};
use crate::common::{STRATEGIES, call, call_i32, is_zero};
use minirt::{Engine, ExternRef, Instance, Memory, Module, ResetStrategy, Store, Trap, Val};

pub(crate) const PAGE: usize = 4096;
pub(crate) const WASM_PAGE: usize = 65_536;

pub(crate) const TEXT: &str = r#"(module
  (memory (export "m") 4 30)
  (data (i32.const 100) "first") (data (i32.const 200000) "last")
  (global (export "g") (mut i32) (i32.const 7))
  (table $t (export "t") 3 3000 funcref)
  (table $big (export "big") 2000 2000 funcref)
  (elem (i32.const 1) $f)
  (func $f (result i32) (i32.const 42))
  (func (export "write") (param $at i32) (i64.store (local.get $at) (i64.const -1)))
  (func (export "load") (param $at i32) (result i32) (i32.load8_u (local.get $at)))
  (func (export "dirty") (param $at i32) (param $step i32) (param $count i32)
    (global.set 0 (i32.const -1))
    (table.set $t (i32.const 0) (ref.func $f))
    (loop
      (i32.store8 (local.get $at) (i32.const 0xcc))
      (local.set $at (i32.add (local.get $at) (local.get $step)))
      (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func (export "table") (param $at i32) (table.set $big (local.get $at) (ref.func $f)))
  (func (export "nulls in big") (result i32) (local $at i32) (local $nulls i32)
    (loop
      (local.set $nulls (i32.add (local.get $nulls) (ref.is_null (table.get $big (local.get $at)))))
      (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 2000))))
    (local.get $nulls))
  (func (export "tgrow") (result i32) (table.grow $t (ref.func $f) (i32.const 2000)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

/// A module with no data and another size, to take slots away from the first.
pub(crate) const OTHER: &str = r#"(module (memory (export "m") 20 30)
  (func (export "load") (param $at i32) (result i32) (i32.load8_u (local.get $at))))"#;

pub(crate) fn assert_fresh(store: &mut Store<()>, it: Instance) {
    let memory = it.get_memory(&*store, "m").unwrap();
    let mut fresh = vec![0; 4 * WASM_PAGE];
    fresh[100..105].copy_from_slice(b"first");
    fresh[200_000..200_004].copy_from_slice(b"last");
    assert!(memory.data(&*store) == fresh, "memory is not fresh");
    assert_eq!(it.get_global(&*store, "g").unwrap().get(&*store).unwrap_i32(), 7);
    let table = it.get_table(&*store, "t").unwrap();
    let nulls: Vec<_> = (0..table.size(&*store)).map(|at| table.get(&*store, at).unwrap().is_null()).collect();
    assert_eq!(nulls, [true, false, true]);
    assert_eq!(call_i32(store, it, "nulls in big", &[]).unwrap(), 2000);
    assert_traps_behind(store, it, memory);
}

fn assert_traps_behind(store: &mut Store<()>, it: Instance, memory: Memory) {
    for behind in [0, 5 * WASM_PAGE] {
        let error = call_i32(store, it, "load", &[(memory.data_size(&*store) + behind) as i32]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
    }
}

/// One life: fresh at first, then dirty in a way that depends on the round.
pub(crate) fn live(engine: &Engine, module: &Module, round: usize) -> minirt::Result<()> {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, module, &[])?;
    call_i32(&mut store, it, "load", &[0])?; // The first call on a thread needs something of the system.
    assert_fresh(&mut store, it);
    let dirty = |store: &mut Store<()>, args: [usize; 3]| {
        call(store, it, "dirty", &args.map(|arg| Val::I32(arg as i32))).map(drop)
    };
    match round % 5 {
        0 | 1 => dirty(&mut store, [PAGE, 2 * PAGE, 3]),
        2 => dirty(&mut store, [round * 977 % WASM_PAGE, PAGE, 30]),
        3 => {
            let before = call_i32(&mut store, it, "grow", &[3])?;
            if before == -1 {
                return Ok(()); // There was no memory for it.
            }
            let memory = it.get_memory(&store, "m").unwrap();
            assert!(is_zero(&memory.data(&store)[4 * WASM_PAGE..]), "grown memory is not zero");
            dirty(&mut store, [4 * WASM_PAGE, PAGE, 48])
        }
        _ => {
            call_i32(&mut store, it, "tgrow", &[])?;
            call(&mut store, it, "table", &[Val::I32((round * 37 % 1000) as i32)])?;
            it.get_memory(&store, "m").unwrap().write(&mut store, round * 4093 % (3 * WASM_PAGE), b"from the host")?;
            Ok(())
        }
    }
}

/// Makes an instance of the other module, whose memory must be zero all over.
pub(crate) fn live_elsewhere(engine: &Engine, other: &Module) -> minirt::Result<()> {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, other, &[])?;
    call_i32(&mut store, it, "load", &[0])?;
    let memory = it.get_memory(&store, "m").unwrap();
    assert!(is_zero(memory.data(&store)), "the other module's memory is not zero");
    assert_traps_behind(&mut store, it, memory);
    Ok(())
}

/// One life of an instance with objects. Whatever the system refuses, the store can be used
/// further.
pub(crate) fn live_with_objects(engine: &Engine, objects: &Module, round: usize) -> minirt::Result<()> {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, objects, &[]).inspect_err(|_| store.gc())?;
    live_with_objects_in(&mut store, it, round).inspect_err(|_| {
        store.gc();
        // An error or not: the system may still refuse.
        let _ = mess(&mut store, it, 3);
        let _ = ExternRef::new(&mut store, round);
        store.gc();
    })
}

fn live_with_objects_in(store: &mut Store<()>, it: Instance, round: usize) -> minirt::Result<()> {
    // Without room for what the check makes, it traps.
    call(store, it, "large", &[])?;
    it.reset(&mut *store)?;
    assert_objects_fresh(store, it, "with objects");
    // Traps and exceptions are as they should be.
    match mess(store, it, round) {
        Err(error) if matches!(round % 8, 4 | 6) && is_expected(&error) => Ok(()),
        ended => ended,
    }?;
    // A snapshot can hold neither a value of the host nor a pending exception.
    it.snapshot(&mut *store).map(drop).or_else(|error| if matches!(round % 8, 5 | 6) { Ok(()) } else { Err(error) })
}

fn is_expected(error: &minirt::Error) -> bool {
    error.is::<minirt::ThrownException>() || error.downcast_ref() == Some(&Trap::NullReference)
}

pub(crate) fn rounds(engine: &Engine, module: &Module, other: &Module, rounds: usize) {
    for round in 0..rounds {
        live(engine, module, round).unwrap();
        if round % 7 == 6 {
            live_elsewhere(engine, other).unwrap();
        }
    }
}

pub(crate) fn strategy_named(name: &str) -> ResetStrategy {
    STRATEGIES.into_iter().find(|strategy| format!("{strategy:?}") == name).unwrap()
}

pub(crate) fn names() -> [String; 4] {
    STRATEGIES.map(|strategy| format!("{strategy:?}"))
}

pub(crate) fn instance_of(engine: &Engine, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, module, &[]).unwrap();
    (store, it)
}
