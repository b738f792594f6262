//! Compile once, load often: an artifact is mapped from its file, and nothing is compiled.
//!
//! ```sh
//! cargo run -p minirt-examples --example artifact
//! ```

use minirt::{Engine, Instance, Module, Result, Store};

const GUEST: &str = r#"(module
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add
        (call $fib (i32.sub (local.get $n) (i32.const 1)))
        (call $fib (i32.sub (local.get $n) (i32.const 2))))))))"#;

fn main() -> Result<()> {
    // A folder that nobody else writes to, for artifacts are machine code.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fib.cwasm");

    // Perhaps in another process, at another time.
    let module = Module::new(&Engine::default(), GUEST)?;
    std::fs::write(&path, module.serialize()?)?;

    let engine = Engine::default();
    // SAFETY: the file is what `serialize` gave, and nobody writes to it while the module exists.
    #[allow(unsafe_code, reason = "loading machine code is a matter of trust")]
    let module = unsafe { Module::deserialize_file(&engine, &path) }?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    println!("fib(20) = {}", instance.get_typed_func::<i32, i32>(&store, "fib")?.call(&mut store, 20)?);

    // What is no artifact is refused, and the error says why.
    std::fs::write(folder.path().join("not.cwasm"), "something else")?;
    // SAFETY: as above; this one is not run.
    #[allow(unsafe_code, reason = "as above")]
    let error = unsafe { Module::deserialize_file(&engine, folder.path().join("not.cwasm")) }.unwrap_err();
    println!("refused: {}", error.root_cause());
    Ok(())
}
