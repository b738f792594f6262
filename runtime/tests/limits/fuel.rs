//! What costs how much fuel: always the same, and known exactly however a call ends.

use crate::common::{expect_trap, fuelled};
use minirt::{Caller, Engine, Func, Instance, Linker, Module, OptLevel, Store, Trap, Val};

const ANSWER: &str = r#"(module (func (export "answer") (result i32) (i32.const 42)))"#;

const WORK: &str = r#"(module
  (import "host" "f" (func $host))
  (memory (export "memory") 1)
  (table $t 10 funcref) (table $grows 1 funcref)
  (data $d "abcdefghijklmnopqrstuvwxyz")
  (elem $e func $callee $callee)
  (func $callee)
  (func (export "nothing"))
  (func (export "structure") (block (nop) (block (drop (i32.const 1)))))
  (func (export "sum") (param i32) (result i32) (local i32)
    (loop (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "calls") (call $callee) (call $callee) (call $callee))
  (func (export "host") (drop (i32.const 1)) (call $host) (drop (i32.const 2)))
  (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))
  (func (export "fill 64") (memory.fill (i32.const 0) (i32.const 7) (i32.const 64)))
  (func (export "copy") (param i32) (memory.copy (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "init") (param i32) (memory.init $d (i32.const 0) (i32.const 0) (local.get 0)))
  (func (export "table.fill") (param i32) (table.fill $t (i32.const 0) (ref.null func) (local.get 0)))
  (func (export "table.copy") (param i32) (table.copy $t $t (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "table.init") (param i32) (table.init $t $e (i32.const 0) (i32.const 0) (local.get 0)))
  (func (export "table.grow") (param i32) (result i32) (table.grow $grows (ref.null func) (local.get 0)))
  (func (export "load") (param i32) (result i32)
    (i32.add (i32.load (local.get 0)) (i32.const 1)))
  (func (export "divide") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (drop (i32.const 1)) (drop (i32.const 1))))
    (i32.add (i32.div_u (i32.const 1) (local.get 0)) (i32.const 1)))
  (func (export "null") (param i32) (result i32) (call_indirect $t (i32.const 5)) (i32.const 1))
  (func (export "unreachable") (param i32) (result i32) (drop (i32.const 1)) (unreachable)))"#;

/// `WORK` on an engine, with a host function that writes down what fuel it finds.
fn work(engine: &Engine) -> (Store<Vec<u64>>, Instance) {
    let mut linker = Linker::new(engine);
    let note = |mut caller: Caller<'_, Vec<u64>>| {
        let fuel = caller.get_fuel().unwrap();
        caller.data_mut().push(fuel);
    };
    linker.func_wrap("host", "f", note).unwrap();
    let mut store = Store::new(engine, Vec::new());
    let instance = linker.instantiate(&mut store, &Module::new(engine, WORK).unwrap()).unwrap();
    (store, instance)
}

/// Returns what a call costs, and how it ends.
fn cost(store: &mut Store<Vec<u64>>, instance: Instance, name: &str, arguments: &[i32]) -> (u64, Option<Trap>) {
    const PLENTY: u64 = 1 << 40;
    store.set_fuel(PLENTY).unwrap();
    let func = instance.get_func(&*store, name).unwrap();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    let arguments: Vec<Val> = arguments.iter().map(|value| Val::I32(*value)).collect();
    let ended = func.call(&mut *store, &arguments, &mut results);
    let trap = ended.err().map(|error| *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("{error:?}")));
    (PLENTY - store.get_fuel().unwrap(), trap)
}

#[test]
fn what_is_executed_costs_the_same_in_every_run_at_every_level() {
    // The function itself, and every instruction but those that only give others a structure.
    let costs: &[(&str, &[i32], u64)] = &[
        ("nothing", &[], 1),
        ("structure", &[], 1 + 1),
        ("sum", &[1], 1 + 9 + 1),
        ("sum", &[1000], 1 + 1000 * 9 + 1),
        ("calls", &[], 1 + 3 + 3),
        ("host", &[], 1 + 3),
        ("fill", &[0], 5),
        ("fill", &[7], 5),
        ("fill", &[8], 5 + 1),
        ("fill", &[65536], 5 + 8192),
        ("fill 64", &[], 5),
        ("copy", &[800], 5 + 100),
        ("init", &[26], 5 + 3),
        ("table.fill", &[10], 5 + 10),
        ("table.copy", &[9], 5 + 9),
        ("table.init", &[2], 5 + 2),
        ("table.grow", &[100], 4 + 100),
        ("table.grow", &[-1], 4),
    ];
    for level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        let (mut store, instance) = work(&fuelled(level));
        for round in 0..2 {
            for (name, arguments, expected) in costs {
                let found = cost(&mut store, instance, name, arguments);
                assert_eq!(found, (*expected, None), "{level:?}, round {round}: {name} {arguments:?}");
            }
        }
    }
}

#[test]
fn after_any_trap_it_is_known_what_was_paid() {
    for level in [OptLevel::None, OptLevel::Speed] {
        let (mut store, instance) = work(&fuelled(level));
        let mut check = |name: &str, argument: i32, expected: u64, trap: Trap| {
            let found = cost(&mut store, instance, name, &[argument]);
            assert_eq!(found, (expected, Some(trap)), "{level:?}: {name}");
        };
        // The rest of a stretch is paid for, too.
        check("load", -1, 1 + 4, Trap::MemoryOutOfBounds);
        check("divide", 0, 1 + 3 + 2 + 5, Trap::IntegerDivisionByZero);
        check("null", 0, 1 + 2, Trap::IndirectCallToNull);
        check("unreachable", 0, 1 + 1, Trap::UnreachableCodeReached);
        check("fill", 65537, 5 + 8192, Trap::MemoryOutOfBounds);
    }
}

#[test]
fn work_that_one_instruction_does_is_not_begun_without_the_fuel_for_it() {
    let (mut store, instance) = work(&fuelled(OptLevel::Speed));
    let fill = instance.get_typed_func::<i32, ()>(&store, "fill").unwrap();
    let memory = instance.get_memory(&store, "memory").unwrap();
    store.set_fuel(5 + 999).unwrap();
    expect_trap(fill.call(&mut store, 8000), Trap::OutOfFuel);
    assert_eq!(memory.data(&store)[0], 0);
    store.set_fuel(5 + 1000).unwrap();
    fill.call(&mut store, 8000).unwrap();
    assert_eq!((memory.data(&store)[7999], store.get_fuel().unwrap()), (7, 0));
    for len in [-1, i32::MIN, i32::MAX] {
        store.set_fuel(1000).unwrap();
        expect_trap(fill.call(&mut store, len), Trap::OutOfFuel);
    }
}

#[test]
fn exactly_enough_is_enough_and_one_less_is_not() {
    let (mut store, instance) = work(&fuelled(OptLevel::Speed));
    for (name, cost) in [("nothing", 1), ("structure", 2)] {
        let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
        store.set_fuel(cost).unwrap();
        func.call(&mut store, ()).unwrap();
        assert_eq!(store.get_fuel().unwrap(), 0);
        store.set_fuel(cost - 1).unwrap();
        expect_trap(func.call(&mut store, ()), Trap::OutOfFuel);
    }
}

#[test]
fn all_fuel_there_can_be_is_counted() {
    let (mut store, instance) = work(&fuelled(OptLevel::Speed));
    for fuel in [u64::MAX, 1 << 63, (1 << 63) - 1] {
        store.set_fuel(fuel).unwrap();
        assert_eq!(store.get_fuel().unwrap(), fuel);
        instance.get_typed_func::<(), ()>(&store, "nothing").unwrap().call(&mut store, ()).unwrap();
        assert_eq!(store.get_fuel().unwrap(), fuel - 1);
    }
}

#[test]
fn a_host_function_sees_what_was_paid_until_then_and_can_change_it() {
    let (mut store, instance) = work(&fuelled(OptLevel::Speed));
    store.set_fuel(100).unwrap();
    instance.get_typed_func::<(), ()>(&store, "host").unwrap().call(&mut store, ()).unwrap();
    assert_eq!((store.data().as_slice(), store.get_fuel().unwrap()), (&[97][..], 96));

    let engine = fuelled(OptLevel::Speed);
    let mut linker = Linker::new(&engine);
    let refuel = |mut caller: Caller<'_, u32>| {
        *caller.data_mut() += 1;
        let fuel = if *caller.data() < 1000 { 3 } else { 0 };
        caller.set_fuel(fuel)
    };
    linker.func_wrap("", "refuel", refuel).unwrap();
    let text = r#"(module (import "" "refuel" (func $f)) (func (export "run") (loop (call $f) (br 0))))"#;
    let mut store = Store::new(&engine, 0);
    store.set_fuel(3).unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    expect_trap(run.call(&mut store, ()), Trap::OutOfFuel);
    assert_eq!(*store.data(), 1000);
}

#[test]
fn all_instances_of_a_store_and_all_calls_within_calls_use_the_same_fuel() {
    let engine = fuelled(OptLevel::Speed);
    let mut store = Store::new(&engine, None::<Instance>);
    let mut linker = Linker::new(&engine);
    let nested = |mut caller: Caller<'_, Option<Instance>>| {
        let Some(inner) = *caller.data() else { return Ok(()) };
        inner.get_typed_func::<(), ()>(&caller, "ten")?.call(&mut caller, ())
    };
    linker.func_wrap("", "nested", nested).unwrap();
    let ten =
        "(func (export \"ten\") (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1))
        (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)))";
    let inner = linker.instantiate(&mut store, &Module::new(&engine, format!("(module {ten})")).unwrap()).unwrap();
    linker.instance(&store, "inner", inner).unwrap();
    *store.data_mut() = Some(inner);
    let text = r#"(module (import "" "nested" (func $nested)) (import "inner" "ten" (func $ten))
        (func (export "run") (call $nested) (call $ten) (drop (i32.const 1))))"#;
    let outer = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let run = outer.get_typed_func::<(), ()>(&store, "run").unwrap();
    store.set_fuel(100).unwrap();
    run.call(&mut store, ()).unwrap();
    assert_eq!(store.get_fuel().unwrap(), 100 - 1 - 1 - 10 - 1 - 10 - 1);
    // The inner call uses up what there is, and the outer one ends with it.
    store.set_fuel(5).unwrap();
    expect_trap(run.call(&mut store, ()), Trap::OutOfFuel);
}

#[test]
fn fuel_belongs_to_the_store_and_not_to_what_an_instance_goes_back_to() {
    let (mut store, instance) = work(&fuelled(OptLevel::Speed));
    store.set_fuel(1000).unwrap();
    instance.get_typed_func::<i32, i32>(&store, "sum").unwrap().call(&mut store, 10).unwrap();
    let left = store.get_fuel().unwrap();
    let snapshot = instance.snapshot(&mut store).unwrap();
    instance.reset(&mut store).unwrap();
    assert_eq!(store.get_fuel().unwrap(), left);
    let engine = store.engine().clone();
    let mut other = Store::new(&engine, ());
    let host = Func::wrap(&mut other, || ());
    let copy = snapshot.instantiate(&mut other, &[host.into()]).unwrap();
    let nothing = copy.get_typed_func::<(), ()>(&other, "nothing").unwrap();
    expect_trap(nothing.call(&mut other, ()), Trap::OutOfFuel);
    other.set_fuel(1).unwrap();
    nothing.call(&mut other, ()).unwrap();
    assert_eq!(store.get_fuel().unwrap(), left);
}

#[test]
fn a_start_function_needs_fuel_and_what_it_fails_with_is_the_reason() {
    let engine = fuelled(OptLevel::Speed);
    let module = Module::new(&engine, "(module (func $start (loop (br 0))) (start $start))").unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(1000).unwrap();
    expect_trap(Instance::new(&mut store, &module, &[]), Trap::OutOfFuel);
}

#[test]
fn a_slot_that_is_used_again_runs_on_the_fuel_of_its_new_store() {
    let engine = fuelled(OptLevel::Speed);
    let module = Module::new(&engine, ANSWER).unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    for fuel in [0, 10, 0, 10] {
        let mut store = Store::new(&engine, ());
        store.set_fuel(fuel).unwrap();
        let instance = pre.instantiate(&mut store).unwrap();
        let answer = instance.get_typed_func::<(), i32>(&store, "answer").unwrap().call(&mut store, ());
        assert_eq!(answer.is_ok(), fuel > 0);
    }
}
