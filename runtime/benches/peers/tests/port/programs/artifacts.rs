//! Compiled modules as bytes and files, and modules whose imports are looked up once.

use super::super::api::{Config, Engine, InstancePre, Linker, Module, Result, Store};

const TEXT: &str = r#"(module $kept (import "host" "base" (func $base (result i32)))
    (memory 1) (data (i32.const 3) "\05") (global $n (mut i32) (i32.const 0))
    (func (export "run") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (i32.add (i32.add (call $base) (global.get $n)) (i32.load8_u (i32.const 3)))))"#;

fn linker(engine: &Engine) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "base", || 100_i32)?;
    Ok(linker)
}

fn result(engine: &Engine, module: &Module) -> Result<i32> {
    let mut store = Store::new(engine, ());
    let instance = linker(engine)?.instantiate(&mut store, module)?;
    instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())
}

pub(crate) fn serialised() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(TEXT)?)?;
    let bytes = module.serialize()?;
    // SAFETY: the bytes were made above.
    let again = unsafe { Module::deserialize(&engine, &bytes) }?;
    let mut lines = vec![format!("{} {} {:?}", result(&engine, &module)?, result(&engine, &again)?, again.name())];
    let other = Engine::default();
    // SAFETY: as above.
    let elsewhere = unsafe { Module::deserialize(&other, &bytes) }?;
    lines.push(format!("{}", result(&other, &elsewhere)?));
    let ahead = engine.precompile_module(&wat::parse_str(TEXT)?)?;
    let file = std::env::temp_dir().join(format!("port-{}-{}.cwasm", std::process::id(), module_path!().len()));
    std::fs::write(&file, &ahead)?;
    // SAFETY: the file was made above, and nobody writes to it.
    let mapped = unsafe { Module::deserialize_file(&engine, &file) };
    std::fs::remove_file(&file)?;
    lines.push(format!("{}", result(&engine, &mapped?)?));
    let metered = Engine::new(Config::new().consume_fuel(true))?;
    // SAFETY: as above; it is refused.
    lines.push(format!("{}", unsafe { Module::deserialize(&metered, &bytes) }.is_err()));
    // SAFETY: these are no artifact, and refused.
    lines.push(format!("{}", unsafe { Module::deserialize(&engine, b"nonsense") }.is_err()));
    lines.push(format!("{}", Module::new(&engine, &bytes).is_err()));
    Ok(lines)
}

pub(crate) fn looked_up_once() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(TEXT)?)?;
    let pre: InstancePre<()> = linker(&engine)?.instantiate_pre(&module)?;
    let mut lines = vec![format!("{:?}", pre.module().name())];
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let [one, other] = [pre.instantiate(&mut store)?, pre.clone().instantiate(&mut store)?];
        let run = one.get_typed_func::<(), i32>(&mut store, "run")?;
        run.call(&mut store, ())?;
        let other = other.get_typed_func::<(), i32>(&mut store, "run")?;
        lines.push(format!("{} {}", run.call(&mut store, ())?, other.call(&mut store, ())?));
    }
    let nothing: Linker<()> = Linker::new(&engine);
    lines.push(format!("{}", nothing.instantiate_pre(&module).is_err()));
    Ok(lines)
}
