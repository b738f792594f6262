//! One warmed instance, ten thousand children: each starts where the parent stood, and goes its own
//! way.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example fork
//! ```

use minirt::{Engine, Instance, Module, Result, Store};
use std::time::Instant;

/// Fills a table of squares, which takes a while, and then answers questions from it, counting
/// them.
const GUEST: &str = r#"(module
  (memory 16)
  (global $asked (mut i32) (i32.const 0))
  (func (export "warm_up") (local $i i32)
    (loop $next
      (i32.store (i32.mul (local.get $i) (i32.const 4)) (i32.mul (local.get $i) (local.get $i)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000)))))
  (func (export "square") (param $i i32) (result i32)
    (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
    (i32.load (i32.mul (local.get $i) (i32.const 4))))
  (func (export "forget") (param $i i32)
    (i32.store (i32.mul (local.get $i) (i32.const 4)) (i32.const 0)))
  (func (export "asked") (result i32) (global.get $asked)))"#;

const CHILDREN: i32 = 10_000;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;

    // The parent does the slow part once.
    let mut store = Store::new(&engine, ());
    let parent = Instance::new(&mut store, &module, &[])?;
    let began = Instant::now();
    parent.get_typed_func::<(), ()>(&store, "warm_up")?.call(&mut store, ())?;
    println!("warming up took {:?}", began.elapsed());

    // What it holds now becomes the start of others.
    let snapshot = parent.snapshot(&mut store)?;
    let began = Instant::now();
    let mut sum = 0_i64;
    for child in 0..CHILDREN {
        let mut store = Store::new(&engine, ());
        let instance = snapshot.instantiate(&mut store, &[])?;
        let square = instance.get_typed_func::<i32, i32>(&store, "square")?;
        sum += i64::from(square.call(&mut store, child)?);
        // The children diverge: what one forgets, the others still know.
        instance.get_typed_func::<i32, ()>(&store, "forget")?.call(&mut store, child)?;
        assert_eq!(square.call(&mut store, child)?, 0);
        assert_eq!(square.call(&mut store, (child + 1) % CHILDREN)?, ((child + 1) % CHILDREN).pow(2));
        assert_eq!(instance.get_typed_func::<(), i32>(&store, "asked")?.call(&mut store, ())?, 3);
    }
    println!("{CHILDREN} children took {:?} each", began.elapsed() / CHILDREN as u32);
    assert_eq!(sum, (0..i64::from(CHILDREN)).map(|i| i * i).sum());

    // The parent has noticed nothing.
    assert_eq!(parent.get_typed_func::<(), i32>(&store, "asked")?.call(&mut store, ())?, 0);
    println!("the parent has not been asked anything");
    Ok(())
}
