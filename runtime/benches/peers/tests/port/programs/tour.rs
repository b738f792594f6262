//! A tour in the manner of wasmtime's documentation.

use super::super::api::{AsContextMut, Caller, Config, Engine, Extern, Func, Global, GlobalType, Instance, Linker};
use super::super::api::{
    Memory, MemoryType, Module, Mutability, Ref, RefType, Result, Store, StoreLimits, StoreLimitsBuilder,
};
use super::super::api::{Table, TableType, Trap, Val, ValType};
use super::super::func_type;

pub(crate) fn run() -> Result<Vec<String>> {
    struct State {
        log: Vec<String>,
        limits: StoreLimits,
    }

    let mut config = Config::new();
    config.consume_fuel(true).wasm_multi_memory(true);
    let engine = Engine::new(&config)?;

    // A module, and what it says of itself.
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module $greeter
          (import "host" "log" (func $log (param i32 i32)))
          (import "host" "base" (global $base i32))
          (import "host" "table" (table 2 funcref))
          (memory (export "memory") 1)
          (data (i32.const 8) "hello")
          (global (export "count") (mut i64) (i64.const 0))
          (func (export "greet") (result i32)
            (global.set 1 (i64.add (global.get 1) (i64.const 1)))
            (call $log (i32.const 8) (i32.const 5))
            (global.get $base))
          (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "spin") (loop (br 0)))
          (func (export "indirect") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
        )?,
    )?;
    let mut lines = vec![format!("{:?}", module.name())];
    lines.extend(module.imports().map(|it| format!("{}::{}", it.module(), it.name())));
    lines.extend(module.exports().map(|it| it.name().to_owned()));

    // A store with state and limits, and a linker with what the module imports.
    let limits = StoreLimitsBuilder::new().memory_size(3 << 16).build();
    let mut store = Store::new(&engine, State { log: Vec::new(), limits });
    store.limiter(|state| &mut state.limits);
    store.set_fuel(100_000)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "log", |mut caller: Caller<'_, State>, at: i32, len: i32| {
        let memory = caller.get_export("memory").and_then(Extern::into_memory).expect("a memory");
        let bytes = &memory.data(&caller)[at as usize..][..len as usize];
        let text = String::from_utf8_lossy(bytes).into_owned();
        caller.data_mut().log.push(text);
    })?;
    let base = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(7))?;
    linker.define(&store, "host", "base", base)?;
    let answer = Func::wrap(&mut store, || 42_i32);
    let double = Func::new(&mut store, func_type(&engine, [ValType::I64], [ValType::I64]), |_, arguments, results| {
        results[0] = Val::I64(arguments[0].unwrap_i64() * 2);
        Ok(())
    });
    let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 2, None), Ref::Func(None))?;
    table.set(&mut store, 1, Ref::Func(Some(answer)))?;
    linker.define(&store, "host", "table", table)?;

    // An instance, typed and untyped calls, memory, globals, tables.
    let instance = linker.instantiate(&mut store, &module)?;
    let greet = instance.get_typed_func::<(), i32>(&mut store, "greet")?;
    lines.push(format!("{} {}", greet.call(&mut store, ())?, greet.call(&mut store, ())?));
    lines.push(store.data().log.join(" "));
    let swap = instance.get_func(&mut store, "swap").expect("a function");
    let mut results = [Val::I32(0), Val::I32(0)];
    swap.call(&mut store, &[Val::I32(5), Val::F64(1.5_f64.to_bits())], &mut results)?;
    lines.push(format!("{:?} {:?}", results[0].f64(), results[1].i32()));
    let swap = swap.typed::<(i32, f64), (f64, i32)>(&store)?;
    lines.push(format!("{:?}", swap.call(&mut store, (6, 2.5))?));
    let memory = instance.get_memory(&mut store, "memory").expect("a memory");
    memory.write(&mut store, 8, b"HELLO")?;
    memory.data_mut(&mut store)[8] = b'J';
    greet.call(&mut store, ())?;
    lines.push(store.data().log.last().expect("a line").clone());
    let count = instance.get_global(&mut store, "count").expect("a global");
    lines.push(format!("{:?}", count.get(&mut store).i64()));
    count.set(&mut store, Val::I64(-1))?;
    let mut doubled = [Val::I64(0)];
    double.call(&mut store, &[Val::I64(21)], &mut doubled)?;
    lines.push(format!("{:?} {}", doubled[0].i64(), table.size(&store)));

    // Limits and traps: each is an error that says what it was.
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow")?;
    lines.push(format!("{} {} {}", grow.call(&mut store, 2)?, grow.call(&mut store, 1)?, memory.size(&store)));
    let indirect = instance.get_typed_func::<i32, i32>(&mut store, "indirect")?;
    lines.push(format!("{}", indirect.call(&mut store, 1)?));
    let error = indirect.call(&mut store, 0).expect_err("nothing to call");
    lines.push(format!("{:?}", error.downcast_ref::<Trap>()));
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    let error = spin.call(&mut store, ()).expect_err("no end");
    lines.push(format!("{:?} {}", error.downcast_ref::<Trap>(), store.get_fuel()?));

    // Two instances that share a memory, and an import that is not there.
    store.set_fuel(1000)?;
    let shared = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
    let text = r#"(module (import "" "" (memory 1)) (func (export "get") (result i32) (i32.load8_u (i32.const 3))))"#;
    let reader = Module::new(&engine, wat::parse_str(text)?)?;
    let reader = Instance::new(store.as_context_mut(), &reader, &[shared.into()])?;
    shared.data_mut(&mut store)[3] = 99;
    lines.push(format!("{}", reader.get_typed_func::<(), i32>(&mut store, "get")?.call(&mut store, ())?));
    let lacking = Module::new(&engine, wat::parse_str(r#"(module (import "host" "missing" (func)))"#)?)?;
    lines.push(format!("{}", linker.instantiate(&mut store, &lacking).is_err()));
    Ok(lines)
}
