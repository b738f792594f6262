//! A process that forks, with instances alive and with other threads at work.

use crate::child::passes;
use crate::common::{call, config};
use crate::life::{OTHER, PAGE, TEXT, WASM_PAGE, names, rounds, strategy_named};
use minirt::{Engine, Instance, Module, Store, Val};

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
