//! Makes instances, runs a function in each, and drops them, as fast as possible on some threads.
//!
//! ```sh
//! # 10,000,000 instances on each of two threads; each dirties one page of a memory of 64 KiB
//! cargo bench -p minirt --bench drive_round_trips -- 10000000 1 2
//! # In the steady state, a system call is made for about a thousand instances: a look at the thread's signals.
//! cargo bench -p minirt --bench drive_round_trips --no-run    # prints where PROGRAM is
//! strace -c -f PROGRAM 100000 1
//! strace -c -f PROGRAM 1000000 1
//! ```
//!
//! Without a number of pages, nothing runs in the instances.

use minirt::{Engine, InstancePre, Linker, Module, Result, Store};
use std::sync::Barrier;
use std::time::Instant;

/// Stores to one address in each of the first `k` host pages.
const MODULE: &str = r#"(module
  (memory 1)
  (data (i32.const 0) "initial")
  (func (export "touch") (param $k i32)
    (local $at i32)
    (loop $next
      (if (local.get $k) (then
        (i32.store offset=64 (local.get $at) (i32.const 1))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next))))))"#;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut arguments = arguments.map(|argument| argument.parse::<u32>().expect("a number"));
    let count = arguments.next().unwrap_or(1_000_000);
    let pages = arguments.next();
    let threads = arguments.next().unwrap_or(1);
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;
    let start = Barrier::new(threads as usize);
    let rates: Vec<(f64, f64)> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| rate(&engine, &pre, count, pages, &start));
        let handles: Vec<_> = (0..threads).map(|_| run()).collect();
        handles.into_iter().map(|handle| handle.join().expect("no panic")).collect::<Result<_>>()
    })?;
    let total: f64 = rates.iter().map(|(mean, _)| mean).sum();
    let least = rates.iter().map(|(_, least)| *least).fold(f64::INFINITY, f64::min);
    println!("{:.2} million fresh instances a second on {threads} thread(s)", total / 1e6);
    println!("{least:.1} ns for one, the mean of the best {BATCH}");
    println!("{:#?}", engine.stats());
    Ok(())
}

/// How many round trips are timed together. On a busy machine some batches are not disturbed.
const BATCH: u32 = 1_000;

/// Returns how many instances a second there were, and how many nanoseconds one took in the best
/// batch.
fn rate(engine: &Engine, pre: &InstancePre<()>, count: u32, pages: Option<u32>, start: &Barrier) -> Result<(f64, f64)> {
    (0..100).try_for_each(|_| round_trip(engine, pre, pages))?;
    start.wait();
    let began = Instant::now();
    let mut least = f64::INFINITY;
    for _ in 0..count.div_ceil(BATCH) {
        let began = Instant::now();
        (0..BATCH).try_for_each(|_| round_trip(engine, pre, pages))?;
        least = least.min(began.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    let batches = f64::from(count.div_ceil(BATCH));
    Ok((batches * f64::from(BATCH) / began.elapsed().as_secs_f64(), least))
}

fn round_trip(engine: &Engine, pre: &InstancePre<()>, pages: Option<u32>) -> Result<()> {
    let mut store = Store::new(engine, ());
    let instance = pre.instantiate(&mut store)?;
    if let Some(pages) = pages {
        instance.get_typed_func::<u32, ()>(&store, "touch")?.call(&mut store, pages)?;
    }
    Ok(())
}
