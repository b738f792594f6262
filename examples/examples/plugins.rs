//! A plugin system: plugins are modules that share a library, which is a module too.
//!
//! ```sh
//! cargo run -p minirt-examples --example plugins
//! ```

use minirt::{Engine, Linker, Module, Result, Store};

/// The library that plugins share: a memory, and a function that takes room in it.
const LIBRARY: &str = r#"(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $next (i32.const 1024)))
  (func (export "take") (param $bytes i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $bytes)))))"#;

/// Turns a text, which the host puts where the plugin says, into another.
fn plugin(step: &str) -> String {
    format!(
        r#"(module
  (import "library" "memory" (memory 1))
  (import "library" "take" (func $take (param i32) (result i32)))
  (export "room" (func $take))
  (func (export "change") (param $at i32) (param $len i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (loop $next
      (i32.store8 (local.get $at) {step})
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))))"#
    )
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.module(&mut store, "library", &Module::new(&engine, LIBRARY)?)?;
    let memory = linker.get(&mut store, "library", "memory").and_then(|it| it.into_memory()).expect("it is exported");

    let upper = plugin("(i32.and (i32.load8_u (local.get $at)) (i32.const 0xdf))");
    let next = plugin("(i32.add (i32.load8_u (local.get $at)) (i32.const 1))");
    let mut text = "hal".to_owned();
    for (name, source) in [("upper", upper), ("next", next)] {
        let plugin = linker.instantiate(&mut store, &Module::new(&engine, source)?)?;
        let room = plugin.get_typed_func::<u32, u32>(&store, "room")?;
        let change = plugin.get_typed_func::<(u32, u32), ()>(&store, "change")?;
        // The text goes through the memory that all of them share, each time in a place of its own.
        let at = room.call(&mut store, text.len() as u32)?;
        memory.write(&mut store, at as usize, text.as_bytes())?;
        change.call(&mut store, (at, text.len() as u32))?;
        let changed = &memory.data(&store)[at as usize..][..text.len()];
        text = String::from_utf8_lossy(changed).into_owned();
        println!("{name} at {at}: {text}");
    }
    Ok(())
}
