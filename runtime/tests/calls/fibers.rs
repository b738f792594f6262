//! Guests that take turns on the stacks of one thread, or move to another thread: whatever order
//! they come back in, each is in its own call.

use crate::child::passes;
use crate::common::{call, call_i32, expect_trap};
use crate::masks::block_all_signals;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use minirt::{
    AsContextMut, Caller, Config, Engine, Instance, Linker, Module, ResetStrategy, ResourceLimiter, Store, Trap,
    TypedFunc, UpdateDeadline, Val, WasmBacktrace,
};
use std::sync::Arc;

/// Writes to a page of its own at each step, and lets others run in between. At the end it returns
/// the sum of what is in these pages, or traps.
const GUEST: &str = r#"(module
  (import "host" "pause" (func $pause))
  (memory (export "m") 64)
  (func (export "touch") (param $at i32) (i32.store (local.get $at) (i32.const 1)))
  (func $steps (param $steps i32) (param $step i32) (param $first i32) (result i32) (local $n i32) (local $sum i32)
    (loop
      (i32.store
        (i32.add (local.get $first) (i32.mul (local.get $n) (local.get $step)))
        (i32.add (local.get $n) (i32.const 1)))
      (call $pause)
      (local.set $sum (i32.add (local.get $sum)
        (i32.load (i32.add (local.get $first) (i32.mul (local.get $n) (local.get $step))))))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $steps))))
    (local.get $sum))
  (func (export "run") (param i32 i32 i32) (result i32)
    (i32.add (call $steps (local.get 0) (local.get 1) (local.get 2)) (i32.const 0)))
  (func $trap (export "trap") (param i32) (result i32)
    (drop (call $steps (i32.const 3) (i32.const 8192) (i32.const 0)))
    (i32.load (i32.sub (i32.const 0) (local.get 0)))))"#;

/// What a guest can reach its fiber with.
type Pause = *const Yielder<(), ()>;
type Fiber<R> = Coroutine<(), (), R>;

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "pause", |caller: Caller<'_, Host>| caller.data().pause()).unwrap();
    linker
}

/// The data of a store that is called on a fiber.
#[derive(Default)]
struct Host {
    yielder: Option<Pause>,
}

// SAFETY: a store is used on the thread that its fiber runs on, and so is the way out of that
// fiber.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    fn pause(&self) {
        if let Some(yielder) = self.yielder {
            // SAFETY: the yielder is on the stack of the fiber that this code runs on.
            unsafe { (*yielder).suspend(()) }
        }
    }
}

/// A fiber that makes an instance and does `work` with it.
fn fiber<R: 'static>(
    engine: &Engine,
    module: &Module,
    work: impl FnOnce(&mut Store<Host>, Instance) -> R + 'static,
) -> Fiber<R> {
    let (engine, module) = (engine.clone(), module.clone());
    Coroutine::with_stack(DefaultStack::new(1 << 20).unwrap(), move |yielder: &Yielder<(), ()>, ()| {
        let mut store = Store::new(&engine, Host { yielder: Some(yielder) });
        let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
        work(&mut store, instance)
    })
}

/// Resumes fibers in an order that `next` chooses among those that are left, until all have
/// returned.
fn take_turns<R>(mut fibers: Vec<Fiber<R>>, mut next: impl FnMut(usize) -> usize) -> Vec<R> {
    let mut left: Vec<usize> = (0..fibers.len()).collect();
    let mut results: Vec<Option<R>> = fibers.iter().map(|_| None).collect();
    while !left.is_empty() {
        let at = next(left.len());
        if let CoroutineResult::Return(result) = fibers[left[at]].resume(()) {
            results[left.remove(at)] = Some(result);
        }
    }
    results.into_iter().map(Option::unwrap).collect()
}

fn engine(strategy: ResetStrategy) -> Engine {
    Engine::new(Config::new().reset_strategy(strategy)).unwrap()
}

/// An engine and a module of which instances are known to write to one page, so that all others are
/// write-protected.
fn tracked() -> (Engine, Module) {
    let engine = engine(ResetStrategy::HotSet);
    let module = Module::new(&engine, GUEST).unwrap();
    for _ in 0..20 {
        let mut store = Store::new(&engine, Host::default());
        let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
        instance.get_typed_func::<i32, ()>(&store, "touch").unwrap().call(&mut store, 100).unwrap();
    }
    assert!(engine.stats().resets_hot_set > 0, "{:?}", engine.stats());
    (engine, module)
}

fn run(store: &mut Store<Host>, instance: Instance, steps: i32, step: i32, first: i32) -> minirt::Result<i32> {
    instance.get_typed_func::<(i32, i32, i32), i32>(&*store, "run")?.call(store, (steps, step, first))
}

fn trap(store: &mut Store<Host>, instance: Instance) -> minirt::Error {
    let trap = instance.get_typed_func::<i32, i32>(&*store, "trap").unwrap();
    let error = trap.call(store, 8).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
    error
}

/// What the guests of one fiber do: everything that a fault can be.
fn everything(number: i32) -> impl FnOnce(&mut Store<Host>, Instance) -> i32 + 'static {
    move |store, instance| {
        for _ in 0..3 {
            let error = trap(store, instance);
            let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
            assert_eq!(backtrace.frames().iter().map(|f| f.func_name()).collect::<Vec<_>>(), [Some("trap")]);
            assert_eq!(run(store, instance, 5, 4096 * 3, 4096 * number).unwrap(), 15);
        }
        number
    }
}

#[test]
fn guests_on_two_fibers_trap_and_write_whichever_resumes_first() {
    for case in ["in turn", "the last first", "random"] {
        passes(guests_on_two_fibers_trap_and_write_whichever_resumes_first, case, |case| {
            let (engine, module) = tracked();
            let mut random = crate::common::Random(7);
            for round in 0..20 {
                let fibers = (0..5).map(|number| fiber(&engine, &module, everything(number))).collect();
                let mut turn = round;
                let results = take_turns(fibers, |left| match case {
                    "in turn" => {
                        turn += 1;
                        turn % left
                    }
                    "the last first" => left - 1,
                    _ => random.below(left),
                });
                assert_eq!(results, [0, 1, 2, 3, 4]);
            }
        });
    }
}

#[test]
fn valid_writes_of_guests_that_take_turns_reach_their_own_memory() {
    passes(valid_writes_of_guests_that_take_turns_reach_their_own_memory, "writes", |_| {
        let (engine, module) = tracked();
        for round in 0..50 {
            let guest = |number: i32| {
                let work = move |store: &mut Store<Host>, it: Instance| run(store, it, 60, 65_536, number * 4).unwrap();
                fiber(&engine, &module, work)
            };
            let mut turn = round;
            let sums = take_turns((0..4).map(guest).collect(), |left| {
                turn = (turn * 31 + 7) % 1000;
                turn % left
            });
            assert_eq!(sums, [60 * 61 / 2; 4]);
        }
    });
}

/// Moves what may not be sent by itself.
struct Moved<T>(T);
// SAFETY: the tests use what they move on one thread at a time.
unsafe impl<T> Send for Moved<T> {}

impl<T> Moved<T> {
    fn on_another_thread<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let (this, result) = (Moved((self, work)), std::sync::Mutex::new(None));
        std::thread::scope(|scope| {
            let result = &result;
            let run = move || {
                let Moved((this, work)) = { this };
                *result.lock().unwrap() = Some(Moved(work(&mut this.0)));
            };
            scope.spawn(run).join().unwrap();
        });
        result.into_inner().unwrap().unwrap().0
    }
}

#[test]
fn a_fiber_moves_to_another_thread_while_its_guest_waits_in_a_host_function() {
    for case in ["as threads are", "with all signals blocked", "while others run there"] {
        passes(a_fiber_moves_to_another_thread_while_its_guest_waits_in_a_host_function, case, |case| {
            let (engine, module) = tracked();
            let mut here = Moved(fiber(&engine, &module, everything(1)));
            loop {
                let done = here.on_another_thread(|fiber| {
                    if case == "with all signals blocked" {
                        block_all_signals();
                    }
                    if case == "while others run there" {
                        let results = take_turns(vec![crate::fibers::fiber(&engine, &module, everything(2))], |_| 0);
                        assert_eq!(results, [2]);
                    }
                    matches!(fiber.resume(()), CoroutineResult::Return(1))
                });
                if done || matches!(here.0.resume(()), CoroutineResult::Return(1)) {
                    break;
                }
            }
        });
    }
}

/// Lets others run whenever a memory grows.
struct Pausing(Option<Pause>);

// SAFETY: as for `Host`.
unsafe impl Send for Pausing {}
// SAFETY: as for `Host`.
unsafe impl Sync for Pausing {}

impl ResourceLimiter for Pausing {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> minirt::Result<bool> {
        if let Some(yielder) = self.0 {
            // SAFETY: the yielder is on the stack of the fiber that this code runs on.
            unsafe { (*yielder).suspend(()) }
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> minirt::Result<bool> {
        Ok(true)
    }
}

/// The guest pauses fifty times and then traps.
fn pausing_guest(case: &str) -> Fiber<()> {
    let by_epoch = case.starts_with("an epoch callback");
    let engine = Engine::new(Config::new().epoch_interruption(by_epoch)).unwrap();
    // In one case it is asked for the loop, in the other for the memory.
    let grow = if by_epoch { "" } else { "(drop (memory.grow (i32.const 1)))" };
    let text = format!(
        r#"(module (memory 1 100)
      (func (export "run") (param i32) (result i32) (local i32)
        (loop
          {grow}
          (local.set 1 (i32.add (local.get 1) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get 1) (i32.const 50))))
        (i32.load (local.get 0))))"#
    );
    let module = Module::new(&engine, text).unwrap();
    let stack = DefaultStack::new(1 << 20).unwrap();
    Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
        let mut store = Store::new(&engine, Pausing(None));
        if by_epoch {
            store.set_epoch_deadline(0);
            store.epoch_deadline_callback(|mut store| {
                store.data_mut().memory_growing(0, 0, None)?;
                Ok(UpdateDeadline::Continue(0))
            });
        } else {
            store.limiter(|pausing| pausing);
        }
        let it = Instance::new(&mut store, &module, &[]).unwrap();
        store.data_mut().0 = Some(yielder);
        let run = it.get_typed_func::<i32, i32>(&store, "run").unwrap();
        expect_trap(run.call(&mut store, -1), Trap::MemoryOutOfBounds);
    })
}

#[test]
fn embedders_that_are_asked_something_may_let_others_run_and_move_the_stack() {
    let test = embedders_that_are_asked_something_may_let_others_run_and_move_the_stack;
    for case in ["an epoch callback stays", "an epoch callback moves", "a limiter stays", "a limiter moves"] {
        passes(test, case, |case| {
            let mut guests = [pausing_guest(case), pausing_guest(case)].map(Moved);
            let mut left = vec![0, 1];
            while !left.is_empty() {
                left.retain(|guest| {
                    let resume = |fiber: &mut Fiber<()>| matches!(fiber.resume(()), CoroutineResult::Yield(()));
                    if case.ends_with("stays") {
                        return resume(&mut guests[*guest].0);
                    }
                    // Where Wasm has never been, and signals are blocked.
                    guests[*guest].on_another_thread(|fiber| {
                        block_all_signals();
                        resume(fiber)
                    })
                });
            }
        });
    }
}

#[test]
fn a_host_function_sees_its_own_callers_while_another_fiber_is_in_a_call() {
    passes(a_host_function_sees_its_own_callers_while_another_fiber_is_in_a_call, "", |_| {
        let engine = Engine::default();
        let text = r#"(module
          (import "host" "see" (func $see (param i32)))
          (func $even (export "even") (call $see (i32.const 0)))
          (func $odd (export "odd") (call $see (i32.const 1))))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut linker = Linker::new(&engine);
        let see = |caller: Caller<'_, Host>, odd: i32| {
            for _ in 0..3 {
                caller.data().pause();
                let seen = WasmBacktrace::capture(&caller);
                assert_eq!(seen.frames()[0].func_name(), Some(["even", "odd"][odd as usize]));
                assert_eq!(seen.frames().len(), 1);
            }
        };
        linker.func_wrap("host", "see", see).unwrap();
        let linker = Arc::new(linker);
        let guest = |name: &'static str| {
            let (engine, module, linker) = (engine.clone(), module.clone(), Arc::clone(&linker));
            Fiber::new(move |yielder: &Yielder<(), ()>, ()| {
                let mut store = Store::new(&engine, Host { yielder: Some(yielder) });
                let instance = linker.instantiate(&mut store, &module).unwrap();
                instance.get_typed_func::<(), ()>(&store, name).unwrap().call(&mut store, ()).unwrap();
            })
        };
        take_turns(vec![guest("even"), guest("odd")], |left| left - 1);
        let mut turn = 0;
        take_turns(vec![guest("even"), guest("odd"), guest("even")], |left| {
            turn += 1;
            turn % left
        });
    });
}

#[test]
fn a_fiber_that_ends_in_the_middle_of_a_call_leaves_the_others_alone() {
    // Dropping a fiber unwinds its stack: a panic that no code of ours has caused passes through
    // the call.
    passes(a_fiber_that_ends_in_the_middle_of_a_call_leaves_the_others_alone, "dropped", |_| {
        let (engine, module) = tracked();
        for _ in 0..20 {
            let mut fibers: Vec<_> = (0..3).map(|number| fiber(&engine, &module, everything(number))).collect();
            for fiber in &mut fibers {
                assert!(matches!(fiber.resume(()), CoroutineResult::Yield(())));
            }
            let mut ended = fibers.remove(1);
            assert!(matches!(ended.resume(()), CoroutineResult::Yield(())));
            drop(ended);
            assert_eq!(take_turns(fibers, |left| left - 1), [0, 2]);
        }
        assert_eq!(engine.stats().live, 0);
    });
}

#[test]
fn a_nested_call_on_another_fiber_that_pauses_comes_back_to_the_right_call() {
    // Wasm -> host -> a fiber -> Wasm of the same store -> host, which pauses.
    passes(a_nested_call_on_another_fiber_that_pauses_comes_back_to_the_right_call, "nested", |_| {
        let engine = Engine::default();
        let text = r#"(module
          (import "host" "inside" (func $inside))
          (import "host" "pause" (func $pause))
          (memory 1)
          (func $deep (export "deep") (param i32) (result i32) (call $pause) (i32.load (local.get 0)))
          (func $outer (export "outer") (param i32) (result i32) (call $inside) (i32.load (local.get 0))))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut linker = linker(&engine);
        let inside = |mut caller: Caller<'_, Host>| {
            let deep = caller.get_export("deep").unwrap().into_func().unwrap();
            let deep: TypedFunc<i32, i32> = deep.typed(&caller).unwrap();
            let mut store = caller.as_context_mut();
            let mut body = |yielder: &Yielder<(), ()>, ()| {
                let outer = store.data_mut().yielder.replace(yielder);
                assert_eq!(deep.call(&mut store, 0).unwrap(), 0);
                let error = deep.call(&mut store, -1).unwrap_err();
                let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
                assert!(frames.iter().map(|f| f.func_name()).eq([Some("deep"), Some("outer")]), "{error:?}");
                store.data_mut().yielder = outer;
            };
            corosensei::ScopedCoroutine::with_stack(DefaultStack::new(1 << 20).unwrap(), |yielder, input| {
                body(yielder, input);
            })
            .scope(|mut fiber| while let CoroutineResult::Yield(()) = fiber.as_mut().resume(()) {});
        };
        linker.func_wrap("host", "inside", inside).unwrap();
        let mut store = Store::new(&engine, Host::default());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let outer = instance.get_typed_func::<i32, i32>(&store, "outer").unwrap();
        for _ in 0..3 {
            assert_eq!(outer.call(&mut store, 0).unwrap(), 0);
            expect_trap(outer.call(&mut store, -1), Trap::MemoryOutOfBounds);
        }
    });
}

#[test]
fn a_store_is_called_on_one_stack_after_the_other() {
    passes(a_store_is_called_on_one_stack_after_the_other, "", |_| {
        let engine = Engine::default();
        let text = r#"(module (memory 1)
          (func $recurse (export "recurse") (call $recurse) (call $recurse))
          (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for round in 0..30 {
            let work = |store: &mut Store<()>| {
                expect_trap(call(store, instance, "recurse", &[]), Trap::StackOverflow);
                expect_trap(call(store, instance, "load", &[Val::I32(-1)]), Trap::MemoryOutOfBounds);
                assert_eq!(call_i32(store, instance, "load", &[0]).unwrap(), 0);
            };
            if round % 3 == 0 {
                work(&mut store);
                continue;
            }
            let stack = DefaultStack::new(if round % 2 == 0 { 256 << 10 } else { 2 << 20 }).unwrap();
            corosensei::on_stack(stack, || work(&mut store));
        }
    });
}
