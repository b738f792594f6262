//! Threads that block signals, as servers' workers do. The kernel ends a process for a fault whose
//! signal is blocked, and even a valid write can fault.

use crate::child::passes;
use crate::common::expect_trap;
use minirt::{Caller, Config, Engine, Instance, Linker, Module, ResetStrategy, Store, Trap};

const PAGES: &str = r#"(module (memory 64)
  (func (export "write") (param i32) (i32.store (local.get 0) (i32.const 1)))
  (func (export "read") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "stop") unreachable))"#;

pub(crate) fn block_all_signals() {
    // SAFETY: the set is initialised by sigfillset and outlives the calls.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        assert_eq!(libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()), 0);
    }
}

fn is_blocked(signal: i32) -> bool {
    // SAFETY: the set outlives the call, which fills it in.
    unsafe {
        let mut now = std::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut now), 0);
        libc::sigismember(&now, signal) == 1
    }
}

/// An engine whose instances of a module are known to write to one page.
pub(crate) fn tracked(instances: usize) -> (Engine, Module) {
    let engine = Engine::new(Config::new().reset_strategy(ResetStrategy::HotSet)).unwrap();
    let module = Module::new(&engine, PAGES).unwrap();
    (0..instances).for_each(|_| write_in_new_instance(&engine, &module, 100));
    assert!(instances == 0 || engine.stats().resets_hot_set > instances as u64 / 2, "{:?}", engine.stats());
    (engine, module)
}

pub(crate) fn write_in_new_instance(engine: &Engine, module: &Module, at: i32) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<i32, ()>(&store, "write").unwrap().call(&mut store, at).unwrap();
    let read = instance.get_typed_func::<i32, i32>(&store, "read").unwrap();
    assert_eq!(read.call(&mut store, at).unwrap(), 1);
}

/// All kinds of faults that end in traps.
pub(crate) fn trap_in_new_instance(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let read = instance.get_typed_func::<i32, i32>(&store, "read").unwrap();
    expect_trap(read.call(&mut store, -4), Trap::MemoryOutOfBounds);
    let divide = instance.get_typed_func::<i32, i32>(&store, "divide").unwrap();
    expect_trap(divide.call(&mut store, 0), Trap::IntegerDivisionByZero);
    let stop = instance.get_typed_func::<(), ()>(&store, "stop").unwrap();
    expect_trap(stop.call(&mut store, ()), Trap::UnreachableCodeReached);
    assert_eq!(read.call(&mut store, 0).unwrap(), 0);
}

#[test]
fn a_valid_write_to_a_new_page_runs_in_a_thread_that_blocks_all_signals() {
    let test = a_valid_write_to_a_new_page_runs_in_a_thread_that_blocks_all_signals;
    for case in ["the same thread", "a new thread", "a thread that inherits it"] {
        passes(test, case, |case| {
            let (engine, module) = tracked(300);
            let work = || write_in_new_instance(&engine, &module, 900_000);
            match case {
                "the same thread" => {
                    block_all_signals();
                    work();
                }
                "a new thread" => std::thread::scope(|scope| {
                    let worker = || {
                        block_all_signals();
                        work();
                    };
                    scope.spawn(worker).join().unwrap();
                }),
                _ => {
                    block_all_signals();
                    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
                }
            }
        });
    }
}

#[test]
fn traps_are_traps_in_a_thread_that_blocks_all_signals() {
    let test = traps_are_traps_in_a_thread_that_blocks_all_signals;
    for case in ["from the start", "later"] {
        passes(test, case, |case| {
            if case == "from the start" {
                block_all_signals();
            }
            let (engine, module) = tracked(if case == "later" { 300 } else { 0 });
            block_all_signals();
            trap_in_new_instance(&engine, &module);
            std::thread::scope(|scope| {
                scope.spawn(|| trap_in_new_instance(&engine, &module)).join().unwrap();
            });
        });
    }
}

#[test]
fn a_thread_that_blocks_signals_again_and_again_is_helped_each_time() {
    passes(a_thread_that_blocks_signals_again_and_again_is_helped_each_time, "again", |_| {
        let (engine, module) = tracked(30);
        for round in 0..100 {
            block_all_signals();
            write_in_new_instance(&engine, &module, (round * 37 % 63) * 65_536);
            trap_in_new_instance(&engine, &module);
        }
    });
}

#[test]
fn a_thread_that_has_changed_its_mask_can_say_so_at_any_time() {
    passes(a_thread_that_has_changed_its_mask_can_say_so_at_any_time, "said", |_| {
        // So many that this thread trusts its mask.
        let (engine, module) = tracked(5_000);
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let read = instance.get_typed_func::<i32, i32>(&store, "read").unwrap();
        assert_eq!(read.call(&mut store, 0).unwrap(), 0);
        block_all_signals();
        Engine::tls_eager_initialize();
        expect_trap(read.call(&mut store, -4), Trap::MemoryOutOfBounds);
    });
}

#[test]
fn only_signals_of_faults_are_unblocked() {
    passes(only_signals_of_faults_are_unblocked, "others", |_| {
        block_all_signals();
        let (engine, module) = tracked(3);
        trap_in_new_instance(&engine, &module);
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
        // Two signals are the C library's own.
        for signal in (1..=64).filter(|signal| ![32, 33, libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
            assert_eq!(is_blocked(signal), !faults.contains(&signal), "signal {signal}");
        }
    });
}

#[test]
fn a_host_function_that_moves_to_a_thread_with_blocked_signals_comes_back_to_working_wasm() {
    // Without a fiber: another thread makes the call, and its first one is in the middle of a call
    // of this thread.
    passes(a_host_function_that_moves_to_a_thread_with_blocked_signals_comes_back_to_working_wasm, "nested", |_| {
        let (engine, module) = tracked(300);
        let mut linker = Linker::new(&engine);
        let inner = (engine.clone(), module.clone());
        let elsewhere = move |_: Caller<'_, ()>| {
            std::thread::scope(|scope| {
                let work = || {
                    block_all_signals();
                    write_in_new_instance(&inner.0, &inner.1, 800_000);
                    trap_in_new_instance(&inner.0, &inner.1);
                };
                scope.spawn(work).join().unwrap();
            });
        };
        linker.func_wrap("host", "elsewhere", elsewhere).unwrap();
        let text = r#"(module (import "host" "elsewhere" (func $elsewhere)) (memory 1)
              (func (export "run") (call $elsewhere) (drop (i32.load (i32.const -1)))))"#;
        let outer = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &outer).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        expect_trap(run.call(&mut store, ()), Trap::MemoryOutOfBounds);
    });
}
