//! A process that forks, with instances alive and with other threads at work.

use crate::child::passes;
use crate::common::heaps::{OBJECTS, mess};
use crate::common::{call, call_i32, config};
use crate::life::{OTHER, PAGE, TEXT, WASM_PAGE, live_with_objects, names, rounds, strategy_named};
use minirt::{Engine, Func, Instance, Module, Store, Trap, Val};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// Makes a child process, by the C library or by the bare system call, and gives its number, or 0
/// in the child.
fn fork(bare: bool) -> libc::pid_t {
    // SAFETY: the child does what the tests are about, and ends in `_exit`.
    let child =
        unsafe { if bare { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 } else { libc::fork() } };
    assert!(child >= 0);
    child
}

/// Ends a child without running anything that belongs to its parent.
fn exit_child(work: impl FnOnce()) -> ! {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: it ends the process at once; nothing of the parent's is flushed twice.
    unsafe { libc::_exit(i32::from(done.is_err())) }
}

/// Waits for a child and gives its status.
fn wait_for(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the child is ours, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

#[test]
fn after_a_fork_both_processes_reset_their_own_pages() {
    for case in names() {
        passes(after_a_fork_both_processes_reset_their_own_pages, &case, |case| {
            for (images, bare) in [(true, false), (false, false), (true, true), (false, true)] {
                let engine = Engine::new(config(strategy_named(case), images).max_instances(2)).unwrap();
                let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                rounds(&engine, &module, &other, 40);
                // An instance that is alive at the fork, and dirty where the parent's goes on to be
                // clean.
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                call(&mut store, it, "dirty", &[0, PAGE as i32, 20].map(Val::I32)).unwrap();
                let child = fork(bare);
                if child == 0 {
                    exit_child(|| {
                        call(&mut store, it, "dirty", &[WASM_PAGE as i32, PAGE as i32, 20].map(Val::I32)).unwrap();
                        drop(store);
                        rounds(&engine, &module, &other, 60);
                    });
                }
                drop(store);
                rounds(&engine, &module, &other, 60);
                assert_eq!(wait_for(child), 0, "{case}, images {images}, bare {bare}: the child failed");
                rounds(&engine, &module, &other, 20);
            }
        });
    }
}

/// Writes 20 pages from one on, calls the host, writes 20 others, and returns how many bytes of
/// both are what was written.
const WRITES_AROUND_THE_HOST: &str = r#"(module (import "" "host" (func $host)) (memory 4 4)
  (data (i32.const 100) "image") (global $g (mut i32) (i32.const 0))
  (func $write (param $at i32) (local $left i32)
    (local.set $left (i32.const 20))
    (loop
      (i32.store8 (local.get $at) (i32.const 1))
      (global.set $g (i32.add (global.get $g) (i32.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func (export "f") (result i32)
    (call $write (i32.const 8)) (call $host) (call $write (i32.const 81928)) (global.get $g))
  (func (export "trap") (drop (i32.load (i32.const -1)))))"#;

#[test]
fn after_a_fork_both_processes_collect_and_reset_their_own_heaps() {
    for case in names() {
        passes(after_a_fork_both_processes_collect_and_reset_their_own_heaps, &case, |case| {
            for (images, bare) in [(true, false), (false, true)] {
                let engine = Engine::new(config(strategy_named(case), images).max_instances(4)).unwrap();
                let objects = Module::new(&engine, OBJECTS).unwrap();
                let lives = |count: usize| (0..count).for_each(|n| live_with_objects(&engine, &objects, n).unwrap());
                lives(20);
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &objects, &[]).unwrap();
                mess(&mut store, it, 0).unwrap();
                let before = call_i32(&mut store, it, "sum", &[]).unwrap();
                let go_on = |store: &mut Store<()>, garbage: i32| {
                    call(store, it, "garbage", &[Val::I32(garbage)]).unwrap();
                    store.gc();
                    assert_eq!(call_i32(store, it, "sum", &[]).unwrap(), before);
                    it.reset(&mut *store).unwrap();
                    assert_eq!(call_i32(store, it, "check", &[]).unwrap(), 0);
                };
                let child = fork(bare);
                if child == 0 {
                    exit_child(|| {
                        go_on(&mut store, 100);
                        drop(store);
                        lives(20);
                    });
                }
                go_on(&mut store, 1);
                drop(store);
                lives(20);
                assert_eq!(wait_for(child), 0, "{case}, images {images}, bare {bare}: the child failed");
            }
        });
    }
}

#[test]
fn a_guest_goes_on_in_both_processes_when_a_host_function_forks() {
    for case in names() {
        passes(a_guest_goes_on_in_both_processes_when_a_host_function_forks, &case, |case| {
            for (images, bare) in [(true, false), (false, false), (true, true), (false, true)] {
                let engine = Engine::new(config(strategy_named(case), images).max_instances(2)).unwrap();
                let module = Module::new(&engine, WRITES_AROUND_THE_HOST).unwrap();
                let child = Arc::new(AtomicI32::new(-1));
                let forks = {
                    let child = Arc::clone(&child);
                    move || {
                        if child.load(SeqCst) == -1 {
                            child.store(fork(bare), SeqCst);
                        }
                    }
                };
                let lives = |times: usize| {
                    for _ in 0..times {
                        let mut store = Store::new(&engine, ());
                        let host = Func::wrap(&mut store, forks.clone());
                        let it = Instance::new(&mut store, &module, &[host.into()]).unwrap();
                        assert_eq!(call_i32(&mut store, it, "f", &[]).unwrap(), 40);
                        let error = call(&mut store, it, "trap", &[]).unwrap_err();
                        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
                    }
                };
                child.store(-2, SeqCst);
                lives(10);
                child.store(-1, SeqCst);
                lives(1);
                if child.load(SeqCst) == 0 {
                    exit_child(|| lives(20));
                }
                lives(20);
                let ended = wait_for(child.load(SeqCst));
                assert_eq!(ended, 0, "{case}, images {images}, bare {bare}: the child failed");
            }
        });
    }
}

#[test]
fn a_child_of_a_process_whose_threads_use_the_engine_uses_it_too() {
    passes(a_child_of_a_process_whose_threads_use_the_engine_uses_it_too, "threads", |_| {
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        let use_it = |engine: &Engine, module: &Module| {
            let mut store = Store::new(engine, ());
            let it = Instance::new(&mut store, module, &[]).unwrap();
            call(&mut store, it, "dirty", &[0, PAGE as i32, 3].map(Val::I32)).unwrap();
        };
        let compile = |engine: &Engine| drop(Module::new(engine, "(module (func (export \"f\")))").unwrap());
        let stop = std::sync::atomic::AtomicBool::new(false);
        let ended = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended() {
                    use_it(&engine, &module)
                }
            });
            scope.spawn(|| {
                while !ended() {
                    compile(&engine)
                }
            });
            scope.spawn(|| {
                while !ended() {
                    drop(Engine::default())
                }
            });
            for round in 0..200 {
                let child = fork(false);
                if child == 0 {
                    // SAFETY: a child that hangs is ended by this signal.
                    unsafe { libc::alarm(20) };
                    exit_child(|| {
                        use_it(&engine, &module);
                        compile(&engine);
                        drop(Engine::default());
                    });
                }
                let status = wait_for(child);
                if status != 0 {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("child {round} ended with status {status:#x}; {:#x} is a hang", libc::SIGALRM);
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}
