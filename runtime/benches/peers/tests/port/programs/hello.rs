//! A module, a function of the host, and a call: what everybody writes first.

use super::super::api::{Caller, Engine, Func, Instance, Module, Result, Store, TypedFunc};

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module $greeter
        (import "" "greet" (func $greet (param i32)))
        (func (export "run") (call $greet (i32.const 3)) (call $greet (i32.const 4))))"#,
        )?,
    )?;
    let mut lines = vec![format!("{:?}", module.name())];
    lines.extend(
        module
            .imports()
            .map(|import| format!("{}::{} {}", import.module(), import.name(), import.ty().func().is_some())),
    );
    lines.extend(
        module.exports().map(|export| format!("{} {}", export.name(), export.ty().unwrap_func().params().len())),
    );

    let mut store = Store::new(&engine, Vec::<String>::new());
    let greet = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<String>>, n: i32| {
        caller.data_mut().push(format!("hello {n}"));
    });
    let instance = Instance::new(&mut store, &module, &[greet.into()])?;
    let run: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "run")?;
    run.call(&mut store, ())?;
    lines.extend(store.into_data());
    lines.push(format!("{}", Module::new(&engine, b"\0asm\x01\0\0\0\xff").is_err()));
    lines.push(format!("{}", Module::validate(&engine, &wat::parse_str("(module)")?).is_ok()));
    Ok(lines)
}
