//! Modules that use each other, names that are taken, missing or of another type, commands and
//! reactors.

use super::super::api::{Caller, Engine, Extern, Linker, Module, Result, Store, UnknownImportError, Val};

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = |text: &str| -> Result<Module> { Module::new(&engine, wat::parse_str(text)?) };
    let mut store = Store::new(&engine, 0_u64);
    let mut linker: Linker<u64> = Linker::new(&engine);
    let mut lines = Vec::new();

    // Two instances, of which one has the other's memory.
    let keeper = module(
        r#"(module (memory (export "memory") 1) (data (i32.const 4) "kept")
        (func (export "length") (result i32) (i32.const 4)))"#,
    )?;
    let keeper = linker.instantiate(&mut store, &keeper)?;
    linker.instance(&mut store, "keeper", keeper)?;
    linker.func_wrap("host", "note", |mut caller: Caller<'_, u64>, n: u64| *caller.data_mut() += n)?;
    let reader = module(
        r#"(module
        (import "keeper" "memory" (memory 1)) (import "keeper" "length" (func $length (result i32)))
        (import "host" "note" (func $note (param i64)))
        (func (export "sum") (result i32) (local $i i32) (local $sum i32)
          (loop
            (local.set $sum (i32.add (local.get $sum) (i32.load8_u offset=4 (local.get $i))))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (call $length))))
          (call $note (i64.extend_i32_u (local.get $sum))) (local.get $sum)))"#,
    )?;
    let instance = linker.instantiate(&mut store, &reader)?;
    let sum = instance.get_typed_func::<(), i32>(&mut store, "sum")?.call(&mut store, ())?;
    lines.push(format!("{sum} {}", store.data()));

    // What is there, what is not, and what is taken.
    for name in ["length", "width"] {
        let found = linker.iter(&mut store).find(|(module, defined, _)| (*module, *defined) == ("keeper", name));
        lines.push(format!("{}", found.and_then(|(_, _, item)| Extern::into_func(item)).is_some()));
    }
    lines.push(format!("{}", linker.func_wrap("host", "note", || {}).is_err()));
    linker.allow_shadowing(true);
    lines.push(format!("{}", linker.func_wrap("host", "note", |_: u64| {}).is_ok()));
    linker.alias("host", "note", "other", "name")?;
    linker.alias_module("host", "guest")?;
    let mut names: Vec<String> = linker.iter(&mut store).map(|(module, name, _)| format!("{module}.{name}")).collect();
    names.sort();
    lines.push(names.join(" "));
    let lacking = module(r#"(module (import "host" "nothing" (func (param i32))))"#)?;
    let error = linker.instantiate(&mut store, &lacking).expect_err("it is missing");
    let unknown: &UnknownImportError = error.downcast_ref().expect("the error says what");
    lines.push(format!("{}::{} {}", unknown.module(), unknown.name(), unknown.ty().func().is_some()));
    let wrong = module(r#"(module (import "host" "note" (func (param i32))))"#)?;
    lines.push(format!(
        "{} {}",
        linker.instantiate(&mut store, &wrong).is_err(),
        linker.instantiate_pre(&wrong).is_err()
    ));

    // Imports that nobody defines, as failures or as zeros.
    let mut lenient = linker.clone();
    let user = module(
        r#"(module (import "host" "nothing" (func $f (param i32) (result i64)))
        (func (export "run") (result i64) (call $f (i32.const 1))))"#,
    )?;
    lenient.define_unknown_imports_as_traps(&user)?;
    let instance = lenient.instantiate(&mut store, &user)?;
    let error = instance.get_typed_func::<(), i64>(&mut store, "run")?.call(&mut store, ()).expect_err("it is called");
    lines.push(format!("{}", error.downcast_ref::<UnknownImportError>().is_some()));
    let mut lenient = linker.clone();
    lenient.define_unknown_imports_as_default_values(&mut store, &user)?;
    let instance = lenient.instantiate(&mut store, &user)?;
    lines.push(format!("{}", instance.get_typed_func::<(), i64>(&mut store, "run")?.call(&mut store, ())?));

    // A reactor keeps what it knows, a command starts afresh.
    let counter = r#"(global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"#;
    let user = r#"(module (import "counter" "next" (func $next (result i32)))
        (func (export "twice") (result i32) (drop (call $next)) (call $next)))"#;
    for start in ["", r#"(func (export "_start"))"#] {
        let mut linker: Linker<u64> = Linker::new(&engine);
        linker.module(&mut store, "counter", &module(&format!("(module {counter} {start})"))?)?;
        let instance = linker.instantiate(&mut store, &module(user)?)?;
        let mut results = [Val::I32(0)];
        instance.get_func(&mut store, "twice").expect("exported").call(&mut store, &[], &mut results)?;
        lines.push(format!("{:?}", results[0].i32()));
    }
    Ok(lines)
}
