//! Measures what it costs to note who writes each page first: one run writes some pages, then there
//! is a reset.
//!
//! ```sh
//! cargo bench -p minirt --bench drive_attribution -- 1000
//! ```

use minirt::{Config, Engine, Instance, Module, Result, Store};
use std::time::{Duration, Instant};

const WRITER: &str = r#"(module (memory 64) (func (export "write") (param $pages i32)
  (loop
    (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
    (i32.store (i32.mul (local.get $pages) (i32.const 8192)) (i32.const 1))
    (br_if 0 (local.get $pages)))))"#;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let count = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let count: usize = count.map_or(Ok(1000), |count| count.parse())?;
    for pages in [1, 10, 100] {
        for attribute in [false, true] {
            let engine = Engine::new(Config::new().attribute_writes(attribute))?;
            let module = Module::new(&engine, WRITER)?;
            let mut times: Vec<Duration> = (0..count).map(|_| life(&engine, &module, pages)).collect::<Result<_>>()?;
            times.sort_unstable();
            let name = if attribute { "attributed" } else { "not attributed" };
            println!("{pages} pages, {name}: {:.2} us", times[count / 2].as_secs_f64() * 1e6);
        }
    }
    Ok(())
}

fn life(engine: &Engine, module: &Module, pages: i32) -> Result<Duration> {
    let began = Instant::now();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<i32, ()>(&store, "write")?.call(&mut store, pages)?;
    drop(store);
    Ok(began.elapsed())
}
