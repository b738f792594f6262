//! Fuel and epochs stop a guest that never ends, its host goes on, and the fuel that was used is
//! known exactly.

use crate::common::{call, call_i32, expect_trap, fuelled, instance};
use minirt::{ArtifactError, WasmBacktrace};
use minirt::{Config, Engine, Error, Instance, Module, OptLevel, Store, Trap, UpdateDeadline};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Every way in which code can go on forever.
const FOREVER: &str = r#"(module $forever
  (type $none (func))
  (memory 1)
  (table $t 8 funcref)
  (elem (table $t) (i32.const 0) func $tail_indirect $indirect)
  (elem declare func $tail_ref $ref)
  (global $n (mut i32) (i32.const 0))
  (func (export "loop") (loop (br 0)))
  (func (export "loop with a condition") (loop (br_if 0 (i32.const 1))))
  (func (export "loop in a loop") (loop (loop (br 1))))
  (func (export "loop that works") (local i64)
    (loop (local.set 0 (i64.add (local.get 0) (i64.const 1))) (i64.store (i32.const 8) (local.get 0)) (br 0)))
  (func (export "loop with values") (i32.const 1) (loop (param i32) (i32.const 1) (i32.add) (br 0)))
  (func (export "branch table") (loop $l (block (br_table $l 0 $l $l (global.get $n)))))
  (func (export "branch table with values")
    (i32.const 0) (loop $l (param i32) (br_table $l $l (i32.const 1) (global.get $n))))
  (func (export "two loops in turns") (local i32)
    (loop $a (local.set 0 (i32.eqz (local.get 0))) (loop $b (br_if $a (local.get 0)) (br $a))))
  (func $tail (export "tail call") (return_call $tail))
  (func $tail_indirect (export "tail call through a table") (return_call_indirect $t (type $none) (i32.const 0)))
  (func $tail_ref (export "tail call of a reference") (return_call_ref $none (ref.func $tail_ref)))
  (func $ping (export "two tail calls in turns") (return_call $pong))
  (func $pong (return_call $ping))
  (func $indirect (call_indirect $t (type $none) (i32.const 1)))
  (func $ref (call_ref $none (ref.func $ref)))
  (func $calls (export "loop of calls") (loop (call $nothing) (br 0)))
  (func $nothing)
  (func (export "fills") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)))
  (func (export "answer") (result i32) (i32.const 42)))"#;

/// The same with objects, some of which stay: collections do not keep code from being stopped.
const FOREVER_WITH_OBJECTS: &str = r#"(module
  (type $node (struct (field (ref null $node)) (field i64)))
  (type $bytes (array (mut i8)))
  (type $all (array (mut (ref null $node))))
  (tag $tag)
  (global $list (mut (ref null $node)) (ref.null $node))
  (func (export "makes nodes") (loop (drop (struct.new_default $node)) (br 0)))
  (func (export "makes nodes beside a list") (local $n i32)
    (loop
      (global.set $list (struct.new $node (global.get $list) (i64.const 1)))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
    (loop (drop (struct.new $node (global.get $list) (i64.const 2))) (br 0)))
  (func (export "makes large arrays") (loop (drop (array.new_default $bytes (i32.const 10000))) (br 0)))
  (func (export "fills arrays") (local $bytes (ref null $bytes))
    (local.set $bytes (array.new_default $bytes (i32.const 10000)))
    (loop
      (array.fill $bytes (local.get $bytes) (i32.const 0) (i32.const 1) (i32.const 10000))
      (br 0)))
  (func (export "copies arrays") (local $all (ref null $all))
    (local.set $all (array.new $all (struct.new_default $node) (i32.const 1000)))
    (loop
      (array.copy $all $all (local.get $all) (i32.const 1) (local.get $all) (i32.const 0) (i32.const 999))
      (br 0)))
  (func (export "throws and catches")
    (loop $again (drop (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $tag)) (unreachable)))
      (br $again)))
  (func (export "casts") (local $any anyref)
    (local.set $any (struct.new_default $node))
    (loop (drop (ref.cast (ref $node) (local.get $any))) (br 0)))
  (func (export "answer") (result i32) (i32.const 42)))"#;

/// The same by recursion, which the end of the stack would stop as well.
const RECURSION: &str = r#"(module
  (type $none (func))
  (table $t 8 funcref)
  (elem (table $t) (i32.const 0) func $indirect)
  (elem declare func $ref)
  (func $direct (export "direct") (call $direct))
  (func $indirect (export "through a table") (call_indirect $t (type $none) (i32.const 0)))
  (func $ref (export "of a reference") (call_ref $none (ref.func $ref)))
  (func $two (export "twice") (call $two) (call $two)))"#;

fn with_epochs() -> Engine {
    Engine::new(Config::new().epoch_interruption(true)).unwrap()
}

/// Returns names of the functions in `text` that never return.
fn endless(text: &str) -> Vec<&str> {
    let names = text.split("(export \"").skip(1).filter_map(|rest| rest.split('"').next());
    names.filter(|name| *name != "answer").collect()
}

#[test]
fn a_guest_that_never_ends_is_stopped_by_fuel() {
    assert_eq!([FOREVER, FOREVER_WITH_OBJECTS].map(|text| endless(text).len()), [14, 7]);
    let levels = [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize];
    for (level, text) in levels.into_iter().flat_map(|level| [(level, FOREVER), (level, FOREVER_WITH_OBJECTS)]) {
        let engine = fuelled(level);
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for name in endless(text) {
            println!("{level:?}: {name}");
            store.set_fuel(100_000).unwrap();
            expect_trap(call(&mut store, instance, name, &[]), Trap::OutOfFuel);
            assert_eq!(store.get_fuel().unwrap(), 0);
            expect_trap(call(&mut store, instance, "answer", &[]), Trap::OutOfFuel);
            store.set_fuel(10).unwrap();
            assert_eq!(call_i32(&mut store, instance, "answer", &[]).unwrap(), 42);
        }
    }
}

#[test]
fn recursion_is_stopped_by_whatever_ends_first_fuel_or_stack() {
    let (mut store, instance) = instance(&fuelled(OptLevel::Speed), RECURSION);
    for name in endless(RECURSION) {
        store.set_fuel(100).unwrap();
        expect_trap(call(&mut store, instance, name, &[]), Trap::OutOfFuel);
        store.set_fuel(u64::MAX).unwrap();
        expect_trap(call(&mut store, instance, name, &[]), Trap::StackOverflow);
        assert!(store.get_fuel().unwrap() < u64::MAX);
    }
}

#[test]
fn a_guest_that_never_ends_is_stopped_at_its_epoch_deadline_by_another_thread() {
    let engine = with_epochs();
    let over = Arc::new(AtomicBool::new(false));
    let clock = std::thread::spawn({
        let (engine, over) = (engine.clone(), over.clone());
        move || {
            while !over.load(SeqCst) {
                engine.increment_epoch();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    });
    for text in [FOREVER, FOREVER_WITH_OBJECTS] {
        let (mut store, instance) = instance(&engine, text);
        for name in endless(text) {
            println!("{name}");
            store.set_epoch_deadline(3);
            expect_trap(call(&mut store, instance, name, &[]), Trap::Interrupt);
            store.set_epoch_deadline(u64::MAX);
            assert_eq!(call_i32(&mut store, instance, "answer", &[]).unwrap(), 42);
        }
    }
    over.store(true, SeqCst);
    clock.join().unwrap();
}

#[test]
fn before_a_deadline_is_set_it_has_passed_and_before_the_next_tick_it_has_not() {
    let engine = with_epochs();
    let (mut store, instance) = instance(&engine, FOREVER);
    expect_trap(call(&mut store, instance, "answer", &[]), Trap::Interrupt);
    store.set_epoch_deadline(1);
    assert_eq!(call_i32(&mut store, instance, "answer", &[]).unwrap(), 42);
    engine.increment_epoch();
    expect_trap(call(&mut store, instance, "answer", &[]), Trap::Interrupt);
    store.set_epoch_deadline(0);
    expect_trap(call(&mut store, instance, "answer", &[]), Trap::Interrupt);
}

#[test]
fn a_callback_lets_code_go_on_until_it_does_not() {
    let engine = with_epochs();
    let module = Module::new(&engine, FOREVER).unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let forever = instance.get_typed_func::<(), ()>(&store, "loop").unwrap();
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        let times = *store.data();
        // The next deadline is the next tick: this one.
        store.engine().increment_epoch();
        Ok(if times % 10 == 0 { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(0) })
    });
    for times in [10, 20] {
        expect_trap(forever.call(&mut store, ()), Trap::Interrupt);
        assert_eq!(*store.data(), times);
    }
    store.epoch_deadline_trap();
    expect_trap(forever.call(&mut store, ()), Trap::Interrupt);
    assert_eq!(*store.data(), 20);
}

#[test]
fn a_callback_sees_what_the_code_was_doing() {
    let engine = with_epochs();
    let text = r#"(module (func $inner (loop $l (br $l))) (func (export "run") (call $inner)))"#;
    let mut store = Store::new(&engine, Vec::new());
    let instance = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    store.set_epoch_deadline(1);
    engine.increment_epoch();
    store.epoch_deadline_callback(|mut store| {
        let seen = WasmBacktrace::capture(&store);
        store.data_mut().extend(seen.frames().iter().map(|frame| frame.func_index()));
        Ok(if store.data().len() < 3 { UpdateDeadline::Continue(0) } else { UpdateDeadline::Interrupt })
    });
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    expect_trap(run.call(&mut store, ()), Trap::Interrupt);
    assert_eq!(store.data()[..], [1, 0, 1], "where it began, and then further in");
}

#[test]
fn a_callback_that_goes_on_costs_the_code_nothing_but_time() {
    let engine = with_epochs();
    let text = r#"(module (func (export "sum") (param i32) (result i32) (local i32)
        (loop (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1)))"#;
    let (mut store, instance) = instance(&engine, text);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    store.epoch_deadline_callback(move |_| {
        counter.fetch_add(1, SeqCst);
        Ok(UpdateDeadline::Continue(0))
    });
    assert_eq!(call_i32(&mut store, instance, "sum", &[1000]).unwrap(), 500_500);
    assert_eq!(asked.load(SeqCst), 1001, "at the start of the function and of each turn");
}

#[test]
fn what_a_callback_fails_with_is_what_the_call_fails_with() {
    let engine = with_epochs();
    let (mut store, instance) = instance(&engine, FOREVER);
    store.epoch_deadline_callback(|_| Err(Error::msg("the day is over")));
    let error = call(&mut store, instance, "answer", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("the day is over"), "{error:?}");
    store.epoch_deadline_callback(|_| panic!("no more"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&mut store, instance, "loop", &[])));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "no more");
    store.set_epoch_deadline(1);
    assert_eq!(call_i32(&mut store, instance, "answer", &[]).unwrap(), 42);
}

#[test]
fn code_that_a_callback_runs_is_stopped_at_the_deadline() {
    let engine = with_epochs();
    let (mut store, instance) = instance(&engine, FOREVER);
    store.epoch_deadline_callback(move |mut store| {
        let inner = instance.get_typed_func::<(), i32>(&store, "answer")?;
        expect_trap(inner.call(&mut store, ()), Trap::Interrupt);
        store.set_epoch_deadline(1);
        assert_eq!(inner.call(&mut store, ())?, 42);
        Ok(UpdateDeadline::Interrupt)
    });
    expect_trap(call(&mut store, instance, "loop", &[]), Trap::Interrupt);
}

#[test]
fn a_backtrace_says_where_code_was_stopped_and_what_had_been_interrupted_for_it() {
    let engine = with_epochs();
    let text = r#"(module
      (func (export "outer") (call $middle)) (func $middle (loop $here (br $here)))
      (func $inner (export "inner") (unreachable)))"#;
    let (mut store, instance) = instance(&engine, text);
    let names = |error: &Error| {
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        frames.iter().map(|frame| frame.func_name().unwrap_or("outer").to_owned()).collect::<Vec<_>>()
    };
    // At the start of a function, and then in its loop.
    let stopped = call(&mut store, instance, "outer", &[]).unwrap_err();
    assert_eq!(names(&stopped), ["outer"]);
    store.set_epoch_deadline(1);
    let asked = AtomicUsize::new(0);
    store.epoch_deadline_callback(move |mut store| {
        if asked.fetch_add(1, SeqCst) < 100 {
            return Ok(UpdateDeadline::Continue(0));
        }
        store.set_epoch_deadline(1);
        let inner = instance.get_typed_func::<(), ()>(&store, "inner")?;
        inner.call(&mut store, ()).map(|()| UpdateDeadline::Interrupt)
    });
    engine.increment_epoch();
    let nested = call(&mut store, instance, "outer", &[]).unwrap_err();
    assert_eq!(nested.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(names(&nested), ["inner", "middle", "outer"]);
    store.epoch_deadline_trap();
    store.set_epoch_deadline(0);
    assert_eq!(names(&call(&mut store, instance, "outer", &[]).unwrap_err()), ["outer"]);
}

#[test]
fn without_fuel_configured_there_is_none_to_set_or_get() {
    for engine in [Engine::default(), with_epochs()] {
        let mut store = Store::new(&engine, ());
        for error in [store.set_fuel(1).unwrap_err(), store.get_fuel().unwrap_err()] {
            assert!(error.to_string().contains("fuel is not configured in this store"), "{error}");
        }
    }
    // Deadlines that nobody looks at do no harm.
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, FOREVER);
    engine.increment_epoch();
    store.set_epoch_deadline(0);
    assert_eq!(call_i32(&mut store, instance, "answer", &[]).unwrap(), 42);
}

#[test]
fn an_artifact_runs_only_where_code_is_metered_as_it_is() {
    let engine = |fuel, epochs| Engine::new(Config::new().consume_fuel(fuel).epoch_interruption(epochs)).unwrap();
    let all = [(false, false), (true, false), (false, true), (true, true)];
    for made in all {
        let artifact = engine(made.0, made.1).precompile_module(FOREVER.as_bytes()).unwrap();
        for here in all {
            let engine = engine(here.0, here.1);
            // SAFETY: it was made above.
            let loaded = unsafe { Module::deserialize(&engine, &artifact) };
            if made == here {
                loaded.unwrap();
                continue;
            }
            let error = loaded.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(ArtifactError::OtherSettings { .. })), "{error:?}");
            let text = format!("{error:#}");
            assert_eq!(text.contains("consume_fuel"), made.0 != here.0, "{text}");
            assert_eq!(text.contains("epoch_interruption"), made.1 != here.1, "{text}");
        }
    }
}
