//! Calls an empty Wasm function over and over, for `perf` and `valgrind --tool=callgrind`.
//!
//! ```sh
//! cargo bench -p minirt --bench drive_calls -- 100000000
//! ```
//!
//! With `--no-run` instead of a number, cargo prints where the program is.

use minirt::{Engine, Instance, Module, Result, Store};
use std::time::Instant;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let count = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let count: u32 = count.map_or(Ok(10_000_000), |count| count.parse())?;
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "nop")))"#)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let nop = instance.get_typed_func::<(), ()>(&store, "nop")?;
    let began = Instant::now();
    (0..count).try_for_each(|_| nop.call(&mut store, ()))?;
    println!("{:.2} ns a call", began.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    Ok(())
}
