//! A module that calls the host: compile, link a closure, instantiate, call.
//!
//! ```sh
//! cargo run -p minirt-examples --example hello
//! ```

use minirt::{Caller, Engine, Linker, Module, Store};

const GREETER: &str = r#"(module
  (import "host" "print" (func $print (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from WebAssembly")
  (func (export "greet") (call $print (i32.const 16) (i32.const 22))))"#;

fn main() -> minirt::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GREETER)?;

    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "print", |mut caller: Caller<'_, Vec<String>>, at: u32, len: u32| {
        let memory = caller.get_export("memory").and_then(|it| it.into_memory()).expect("it is exported");
        let mut bytes = vec![0; len as usize];
        memory.read(&caller, at as usize, &mut bytes)?;
        caller.data_mut().push(String::from_utf8_lossy(&bytes).into_owned());
        minirt::Result::<()>::Ok(())
    })?;

    let mut store = Store::new(&engine, Vec::new());
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&store, "greet")?.call(&mut store, ())?;
    println!("{}", store.data().join("\n"));
    Ok(())
}
