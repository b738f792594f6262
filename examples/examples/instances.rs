//! A thousand instances of one module, all alive: what one writes, no other sees; and what they
//! cost in memory.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example instances
//! ```

use minirt::{Engine, Instance, Module, Result, Store};

/// A mebibyte of memory, of which one page holds data.
const GUEST: &str = r#"(module
  (memory (export "memory") 16)
  (data (i32.const 4096) "shared until it is written")
  (func (export "swap") (param $value i32) (result i32)
    (i32.load (i32.const 65536))
    (i32.store (i32.const 65536) (local.get $value))))"#;

const TENANTS: i32 = 1000;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut tenants = Vec::new();
    for tenant in 0..TENANTS {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let swap = instance.get_typed_func::<i32, i32>(&store, "swap")?;
        assert_eq!(swap.call(&mut store, tenant)?, 0, "it is fresh");
        tenants.push((store, instance, swap));
    }
    let mut own = 0;
    for (tenant, (store, _, swap)) in (0..TENANTS).zip(&mut tenants) {
        own += usize::from(swap.call(&mut *store, 0)? == tenant);
    }
    println!("{own} of {} found what they had written", engine.stats().live);
    let (store, instance, _) = &tenants[0];
    println!("pages of one: {:?}", instance.page_stats(store));
    Ok(())
}
