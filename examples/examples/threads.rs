//! One engine, one compiled module, and a store for each piece of work, on as many threads as there
//! are.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example threads
//! ```

use minirt::{Engine, Linker, Module, Result, Store};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

const GUEST: &str = r#"(module
  (func (export "collatz") (param $n i64) (result i64) (local $steps i64)
    (loop $next
      (if (i64.ne (local.get $n) (i64.const 1))
        (then
          (local.set $n
            (select
              (i64.add (i64.mul (local.get $n) (i64.const 3)) (i64.const 1))
              (i64.shr_u (local.get $n) (i64.const 1))
              (i32.wrap_i64 (i64.and (local.get $n) (i64.const 1)))))
          (local.set $steps (i64.add (local.get $steps) (i64.const 1)))
          (br $next))))
    (local.get $steps)))"#;

const THREADS: i64 = 4;
const TASKS: i64 = 1000;

fn main() -> Result<()> {
    let engine = Engine::default();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&Module::new(&engine, GUEST)?)?;
    let longest = AtomicI64::new(0);

    // What is shared is borrowed; nothing is locked, and no two tasks see each other.
    let work = &|thread: i64| -> Result<()> {
        for n in (1..=TASKS).filter(|n| n % THREADS == thread) {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store)?;
            let steps = instance.get_typed_func::<i64, i64>(&store, "collatz")?.call(&mut store, n)?;
            longest.fetch_max(steps, Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    println!("{TASKS} tasks, each in an instance of its own; the longest took {} steps", longest.into_inner());
    Ok(())
}
