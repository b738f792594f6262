//! A process that forks with instances alive.

use crate::child::passes;
use crate::common::{call, config};
use crate::life::{OTHER, PAGE, TEXT, WASM_PAGE, names, rounds, strategy_named};
use minirt::{Engine, Instance, Module, Store, Val};

#[test]
fn after_a_fork_both_processes_reset_their_own_pages() {
    for case in names() {
        passes(after_a_fork_both_processes_reset_their_own_pages, &case, |case| {
            for images in [true, false] {
                let engine = Engine::new(config(strategy_named(case), images).max_instances(2)).unwrap();
                let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                rounds(&engine, &module, &other, 40);
                // An instance that is alive at the fork, and dirty where the parent's goes on to be clean.
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                call(&mut store, it, "dirty", &[0, PAGE as i32, 20].map(Val::I32)).unwrap();
                // SAFETY: this process has no other threads that do anything, and the child ends in `_exit`.
                let child = unsafe { libc::fork() };
                assert!(child >= 0);
                if child == 0 {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        call(&mut store, it, "dirty", &[WASM_PAGE as i32, PAGE as i32, 20].map(Val::I32)).unwrap();
                        drop(store);
                        rounds(&engine, &module, &other, 60);
                    }));
                    // SAFETY: it ends the process at once; nothing of the parent's is flushed twice.
                    unsafe { libc::_exit(i32::from(done.is_err())) }
                }
                drop(store);
                rounds(&engine, &module, &other, 60);
                let mut status = 0;
                // SAFETY: the child is ours, and `status` outlives the call.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0, "{case}, images {images}: the child failed");
                rounds(&engine, &module, &other, 20);
            }
        });
    }
}
