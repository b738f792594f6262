//! Host functions that share state: each store has its own, and the guest sees only what it is
//! given.
//!
//! ```sh
//! cargo run -p minirt-examples --example state
//! ```

use minirt::{Caller, Engine, Linker, Module, Result, Store};

/// The data that the host keeps for one guest.
struct Account {
    owner: &'static str,
    balance: i64,
}

const GUEST: &str = r#"(module
  (import "bank" "pay" (func $pay (param i64) (result i64)))
  (func (export "shop") (result i64)
    (drop (call $pay (i64.const 30)))
    (call $pay (i64.const 45))))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;

    // One linker serves all stores, so the closure owns nothing: what it works on is the caller's.
    let mut linker = Linker::new(&engine);
    linker.func_wrap("bank", "pay", |mut caller: Caller<'_, Account>, amount: i64| -> Result<i64> {
        let account = caller.data_mut();
        if amount > account.balance {
            // An error ends the guest's call and reaches whoever made it.
            return Err(minirt::Error::msg(format!("{} cannot pay {amount}", account.owner)));
        }
        account.balance -= amount;
        Ok(account.balance)
    })?;

    for (owner, balance) in [("Ada", 100), ("Ben", 50)] {
        let mut store = Store::new(&engine, Account { owner, balance });
        let instance = linker.instantiate(&mut store, &module)?;
        match instance.get_typed_func::<(), i64>(&store, "shop")?.call(&mut store, ()) {
            Ok(left) => println!("{owner} has {left} left"),
            Err(error) => println!("stopped: {}", error.root_cause()),
        }
        println!("the store says {}", store.into_data().balance);
    }
    Ok(())
}
