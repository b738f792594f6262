//! One instance, used again and again, that goes back to its beginning in between.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example reset
//! ```

use minirt::{Engine, Instance, Module, Result, Store};

const GUEST: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 0) "clean")
  (global $runs (mut i32) (i32.const 0))
  (func (export "run") (result i32)
    (memory.fill (i32.const 0) (i32.const 0x58) (i32.const 5))
    (drop (memory.grow (i32.const 1)))
    (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
    (global.get $runs)))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    // Handles stay valid over a reset.
    let run = instance.get_typed_func::<(), i32>(&store, "run")?;
    let memory = instance.get_memory(&store, "memory").expect("it is exported");

    for _ in 0..3 {
        let runs = run.call(&mut store, ())?;
        let text = String::from_utf8_lossy(&memory.data(&store)[..5]).into_owned();
        println!("run {runs}: {text}, {} pages", memory.size(&store));
        instance.reset(&mut store)?;
        let text = String::from_utf8_lossy(&memory.data(&store)[..5]).into_owned();
        println!("reset: {text}, {} page", memory.size(&store));
    }
    Ok(())
}
