//! A guest that asks for too much: instructions, time, memory.
//!
//! ```sh
//! cargo run -p minirt-examples --example limits
//! ```

use minirt::{Config, Engine, Instance, Module, Result, Store, StoreLimits, StoreLimitsBuilder, Trap};
use std::time::Duration;

const GREEDY: &str = r#"(module
  (memory 1)
  (func (export "forever") (loop $again (br $again)))
  (func (export "count") (param $n i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

fn main() -> Result<()> {
    fuel()?;
    epochs()?;
    sizes()
}

/// Fuel counts instructions, so it stops at the same place in every run.
fn fuel() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let module = Module::new(&engine, GREEDY)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(10_000)?;
    let instance = Instance::new(&mut store, &module, &[])?;
    instance.get_typed_func::<i32, ()>(&store, "count")?.call(&mut store, 100)?;
    println!("counting to 100 took {} units of fuel", 10_000 - store.get_fuel()?);
    let error = instance.get_typed_func::<(), ()>(&store, "forever")?.call(&mut store, ()).unwrap_err();
    println!("without end: {}", error.downcast_ref::<Trap>().expect("it is a trap"));
    Ok(())
}

/// Epochs cost less: somebody else ticks, and code looks whether its time has come.
fn epochs() -> Result<()> {
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let module = Module::new(&engine, GREEDY)?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let clock = std::thread::spawn({
        let engine = engine.clone();
        move || {
            std::thread::sleep(Duration::from_millis(20));
            engine.increment_epoch();
        }
    });
    let instance = Instance::new(&mut store, &module, &[])?;
    let error = instance.get_typed_func::<(), ()>(&store, "forever")?.call(&mut store, ()).unwrap_err();
    println!("after 20 ms: {}", error.downcast_ref::<Trap>().expect("it is a trap"));
    clock.join().expect("the clock does not panic");
    Ok(())
}

/// A limiter says how large things may become.
fn sizes() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GREEDY)?;
    let limits: StoreLimits = StoreLimitsBuilder::new().memory_size(2 << 16).instances(1).build();
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<i32, i32>(&store, "grow")?;
    println!("a second page: memory.grow returns {}", grow.call(&mut store, 1)?);
    println!("a third page: memory.grow returns {}", grow.call(&mut store, 1)?);
    println!("a second instance is refused: {}", Instance::new(&mut store, &module, &[]).is_err());
    Ok(())
}
