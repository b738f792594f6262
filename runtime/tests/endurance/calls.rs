//! Calls and traps without end take no more memory than the first ones, and calls nest until a trap
//! says stop.

use crate::{alone, common};
use minirt::{Caller, Engine, Instance, Linker, Module, Store, Trap};

const PAGE: usize = 4096;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

/// Runs a round ten times after a first one, and checks that resident memory does not grow.
fn assert_flat(mut round: impl FnMut()) {
    round();
    let before = resident();
    (0..10).for_each(|_| round());
    let grown = resident().saturating_sub(before);
    assert!(grown <= 1 << 20, "ten rounds took {grown} bytes more than one");
}

const TEXT: &str = r#"(module
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (import "host" "again" (func $again (param i32) (result i32)))
  (memory 1)
  ;; Calls the host n times.
  (func (export "calls") (param $n i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (call $add (local.get $sum) (i32.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  ;; Calls the host, which calls this again, n times deep.
  (func (export "nest") (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n))
      (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $again (i32.sub (local.get $n) (i32.const 1)))))))
  (func (export "trap") (param i32)
    (if (local.get 0) (then (drop (i32.load (i32.const 0x7ffffff0)))))
    unreachable))"#;

fn start() -> (Store<()>, Instance) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b)).unwrap();
    let again = |mut caller: Caller<'_, ()>, n: i32| {
        let nest = caller.get_export("nest").unwrap().into_func().unwrap();
        nest.typed::<i32, i32>(&caller)?.call(&mut caller, n)
    };
    linker.func_wrap("host", "again", again).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, TEXT).unwrap()).unwrap();
    (store, instance)
}

#[test]
fn a_million_host_calls_leave_nothing_behind() {
    let _alone = alone();
    let (mut store, it) = start();
    let calls = it.get_typed_func::<i32, i32>(&store, "calls").unwrap();
    assert_flat(|| assert_eq!(calls.call(&mut store, 100_000).unwrap(), 100_000));
}

#[test]
fn a_million_nested_calls_leave_nothing_behind() {
    let _alone = alone();
    let (mut store, it) = start();
    let nest = it.get_typed_func::<i32, i32>(&store, "nest").unwrap();
    let depth = 20;
    assert_flat(|| (0..100_000 / depth).for_each(|_| assert_eq!(nest.call(&mut store, depth).unwrap(), depth)));
}

#[test]
fn nesting_without_end_is_one_trap_and_the_instance_goes_on() {
    let _alone = alone();
    let (mut store, it) = start();
    let nest = it.get_typed_func::<i32, i32>(&store, "nest").unwrap();
    assert_flat(|| {
        let error = nest.call(&mut store, i32::MAX).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
        assert_eq!(nest.call(&mut store, 10).unwrap(), 10);
    });
}

#[test]
fn a_hundred_thousand_traps_leave_nothing_behind() {
    let _alone = alone();
    let (mut store, it) = start();
    let trap = it.get_typed_func::<i32, ()>(&store, "trap").unwrap();
    assert_flat(|| {
        for i in 0..10_000 {
            let expected = if i % 2 == 0 { Trap::UnreachableCodeReached } else { Trap::MemoryOutOfBounds };
            let error = trap.call(&mut store, i % 2).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&expected));
        }
    });
}

#[test]
fn stores_of_one_module_move_between_threads_in_the_middle_of_their_work() {
    let _alone = alone();
    let engine = Engine::default();
    let text = r#"(module (global $n (mut i32) (i32.const 0))
      (func (export "next") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
    let module = Module::new(&engine, text).unwrap();
    let make = |_| {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        (store, it)
    };
    let mut stores: Vec<_> = (0..8).map(make).collect();
    for round in 1..=50 {
        // Each thread has two stores, and they change threads from round to round.
        stores.rotate_left(3);
        std::thread::scope(|scope| {
            for pair in stores.chunks_mut(2) {
                scope.spawn(move || {
                    for (store, it) in pair {
                        assert_eq!(common::call_i32(store, *it, "next", &[]).unwrap(), round);
                    }
                });
            }
        });
    }
}
