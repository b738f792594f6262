//! Loads an artifact over and over, for `perf` and `valgrind --tool=callgrind`.
//!
//! ```sh
//! cargo bench -p minirt --bench drive_loads -- FILE.cwasm 1000
//! ```
//!
//! With `--no-run` instead of a file, cargo prints where the program is.

use minirt::{Engine, Module, Result};
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(file) = arguments.next() else { return Ok(()) };
    let count: u32 = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    let engine = Engine::default();
    let mut best = Duration::MAX;
    for _ in 0..count {
        let began = Instant::now();
        // SAFETY: whoever runs this says that it is an artifact.
        let module = unsafe { Module::deserialize_file(&engine, &file) }?;
        best = best.min(began.elapsed());
        drop(module);
    }
    println!("{:.1} us a load, at best", best.as_secs_f64() * 1e6);
    Ok(())
}
