//! One engine, one module and one linker for many threads, and a store that moves between them.

use super::super::api::{Engine, InstancePre, Linker, Module, Result, Store};
use std::sync::Arc;

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module
        (import "host" "twice" (func $twice (param i32) (result i32)))
        (global $calls (mut i32) (i32.const 0))
        (func (export "run") (param i32) (result i32)
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (i32.add (call $twice (local.get 0)) (global.get $calls))))"#,
        )?,
    )?;
    let mut linker: Linker<usize> = Linker::new(&engine);
    linker.func_wrap("host", "twice", |n: i32| 2 * n)?;
    let pre: Arc<InstancePre<usize>> = Arc::new(linker.instantiate_pre(&module)?);
    let threads: Vec<_> = (0..4)
        .map(|number: usize| {
            let (engine, pre) = (engine.clone(), Arc::clone(&pre));
            std::thread::spawn(move || -> Result<Vec<i32>> {
                (0..10)
                    .map(|round: i32| {
                        let mut store = Store::new(&engine, number);
                        let instance = pre.instantiate(&mut store)?;
                        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
                        run.call(&mut store, round)?;
                        run.call(&mut store, round + number as i32)
                    })
                    .collect()
            })
        })
        .collect();
    let mut lines = Vec::new();
    for thread in threads {
        lines.push(format!("{:?}", thread.join().expect("no panic")?));
    }
    let mut store = Store::new(&engine, 0);
    let run = pre.instantiate(&mut store)?.get_typed_func::<i32, i32>(&mut store, "run")?;
    let first = run.call(&mut store, 1)?;
    let thread = std::thread::spawn(move || (run.call(&mut store, 1), run, store));
    let (second, run, mut store) = thread.join().expect("no panic");
    lines.push(format!("{first} {} {}", second?, run.call(&mut store, 1)?));
    Ok(lines)
}
