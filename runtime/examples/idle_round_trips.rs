//! A thousand instances in which nothing runs. For `strace -c`: the count of system calls does not depend on
//! the number given, because a slot in which nothing ran needs no reset.
//!
//! ```sh
//! strace -c -f target/release/examples/idle_round_trips 1000
//! ```

use minirt::{Engine, Instance, Module, Store};

fn main() -> minirt::Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(1000), |n| n.parse())?;
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (memory 16) (data (i32.const 0) "initial") (table 100 funcref))"#)?;
    for _ in 0..rounds {
        let mut store = Store::new(&engine, ());
        Instance::new(&mut store, &module, &[])?;
    }
    println!("{rounds} instances");
    Ok(())
}
