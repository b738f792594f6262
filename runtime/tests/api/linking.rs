//! Instances linked to each other and to the host: what fits, what does not, and what is said about
//! it.

use crate::common::{self, call, call_i32, engines};
use minirt::{
    Caller, Engine, Extern, ExternRef, Func, FuncType, Global, GlobalType, Instance, Linker, Memory, MemoryType,
    Module, Ref, RefType, Store, Table, TableType, Trap, Val, ValType,
};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

const EXPORTER: &str = r#"(module
  (memory (export "memory") 1 4) (data (i32.const 0) "\2a")
  (table (export "table") 4 8 funcref) (elem (i32.const 0) $get)
  (global $n (export "n") (mut i32) (i32.const 10))
  (func $get (export "get") (result i32) (global.get $n)))"#;

const IMPORTER: &str = r#"(module
  (import "a" "memory" (memory 1))
  (import "a" "table" (table 4 funcref))
  (import "a" "n" (global $n (mut i32)))
  (import "a" "get" (func $get (result i32)))
  (elem (i32.const 1) $mine $get)
  (data (i32.const 8) "data")
  (func $mine (result i32) (i32.add (global.get $n) (i32.const 100)))
  (export "again" (func $get))
  (func (export "load") (result i32) (i32.load8_u (i32.const 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "size") (result i32) (memory.size))
  (func (export "add") (param i32) (global.set $n (i32.add (global.get $n) (local.get 0))))
  (func (export "call") (result i32) (call $get))
  (func (export "tail") (result i32) (return_call $get))
  (func (export "grow table") (result i32) (table.grow (ref.func $mine) (i32.const 2)))
  (func (export "copy") (table.copy (i32.const 3) (i32.const 1) (i32.const 1)))
  (func (export "indirect") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#;

fn linked(engine: &Engine) -> (Store<()>, Instance, Instance) {
    let mut store = Store::new(engine, ());
    let a = Instance::new(&mut store, &Module::new(engine, EXPORTER).unwrap(), &[]).unwrap();
    let mut linker = Linker::new(engine);
    linker.instance(&store, "a", a).unwrap();
    let b = linker.instantiate(&mut store, &Module::new(engine, IMPORTER).unwrap()).unwrap();
    (store, a, b)
}

#[test]
fn instances_share_memories_tables_globals_and_functions() {
    for (name, engine) in engines() {
        println!("{name}");
        let (mut store, a, b) = linked(&engine);
        let b_call = |store: &mut Store<()>, func: &str, args: &[i32]| call_i32(store, b, func, args).unwrap();
        assert_eq!(b_call(&mut store, "load", &[]), 42);
        assert_eq!(b_call(&mut store, "call", &[]), 10);
        assert_eq!(b_call(&mut store, "tail", &[]), 10);
        call(&mut store, b, "add", &[Val::I32(5)]).unwrap();
        assert_eq!(call_i32(&mut store, a, "get", &[]).unwrap(), 15);
        assert_eq!(b_call(&mut store, "again", &[]), 15);
        assert_eq!([0, 1, 2].map(|i| b_call(&mut store, "indirect", &[i])), [15, 115, 15]);
        assert_eq!(b_call(&mut store, "grow", &[]), 1);
        assert_eq!(b_call(&mut store, "size", &[]), 2);
        assert_eq!(a.get_memory(&store, "memory").unwrap().size(&store), 2);
        assert_eq!(&a.get_memory(&store, "memory").unwrap().data(&store)[8..12], b"data");
        assert_eq!(b_call(&mut store, "grow table", &[]), 4);
        assert_eq!(b_call(&mut store, "indirect", &[5]), 115);
        call(&mut store, b, "copy", &[]).unwrap();
        assert_eq!(b_call(&mut store, "indirect", &[3]), 115);
        // The host sees the same functions in the table.
        let table = a.get_table(&store, "table").unwrap();
        let Some(Ref::Func(Some(mine))) = table.get(&store, 1) else { panic!("no function") };
        assert_eq!(mine.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 115);
    }
}

#[test]
fn a_slot_that_was_shared_is_clean_for_the_next_store() {
    for (name, engine) in engines() {
        let a = Module::new(&engine, EXPORTER).unwrap();
        for _ in 0..5 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &a, &[]).unwrap();
            assert_eq!(call_i32(&mut store, instance, "get", &[]).unwrap(), 10, "{name}");
            let memory = instance.get_memory(&store, "memory").unwrap();
            assert_eq!((memory.size(&store), memory.data(&store)[8]), (1, 0), "{name}");
            let mut linker = Linker::new(&engine);
            linker.instance(&store, "a", instance).unwrap();
            let b = linker.instantiate(&mut store, &Module::new(&engine, IMPORTER).unwrap()).unwrap();
            for func in ["grow", "grow table", "copy"] {
                call(&mut store, b, func, &[]).map(drop).unwrap();
            }
            call(&mut store, b, "add", &[Val::I32(7)]).unwrap();
        }
    }
}

#[test]
fn what_the_embedder_defines_can_be_imported() {
    for (name, engine) in engines() {
        println!("{name}");
        let mut store = Store::new(&engine, ());
        let memory =
            Memory::new(&mut store, MemoryType { minimum: 1, maximum: Some(2), ..MemoryType::default() }).unwrap();
        let table_type = TableType { element: RefType::FUNCREF, minimum: 2, maximum: None, table64: false };
        let seven = Func::wrap(&mut store, || 7i32);
        let table = Table::new(&mut store, table_type, Ref::Func(Some(seven))).unwrap();
        let global =
            Global::new(&mut store, GlobalType { content: ValType::I64, mutable: true }, Val::I64(-3)).unwrap();
        let text = r#"(module
          (import "" "m" (memory 1 2)) (import "" "t" (table 2 funcref)) (import "" "g" (global $g (mut i64)))
          (func (export "f") (result i32)
            (global.set $g (i64.add (global.get $g) (i64.const 1)))
            (i32.store (i32.const 4) (i32.const 99))
            (call_indirect (result i32) (i32.const 1))))"#;
        let module = Module::new(&engine, text).unwrap();
        let imports: [Extern; 3] = [memory.into(), table.into(), global.into()];
        let instance = Instance::new(&mut store, &module, &imports).unwrap();
        assert_eq!(call_i32(&mut store, instance, "f", &[]).unwrap(), 7);
        assert_eq!(global.get(&store).unwrap_i64(), -2);
        assert_eq!(memory.data(&store)[4], 99);
        assert_eq!(table.grow(&mut store, 3, Ref::Func(None)).unwrap(), 2);
        assert_eq!(memory.grow(&mut store, 1).unwrap(), 1);
        assert!(memory.grow(&mut store, 1).is_err());
    }
}

#[test]
fn a_host_function_is_callable_through_a_table_by_a_module_that_does_not_import_it() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0u64);
    let text = r#"(module (table (export "t") 1 funcref)
      (func (export "f") (param i32 i64 f32 f64) (result f64)
        (call_indirect (param i32 i64 f32 f64) (result f64)
          (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0))))"#;
    let module = Module::new(&engine, text).unwrap();
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, u64>, a: i32, b: i64, c: f32, d: f64| {
        *caller.data_mut() += 1;
        assert!(caller.get_export("f").is_none(), "nobody imports this function");
        f64::from(a) + b as f64 + f64::from(c) + d
    });
    instance.get_table(&store, "t").unwrap().set(&mut store, 0, Ref::Func(Some(host))).unwrap();
    let f = instance.get_typed_func::<(i32, i64, f32, f64), f64>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, (1, 20, 300.5, 4000.25)).unwrap(), 4321.75);
    assert_eq!(*store.data(), 1);
}

#[test]
fn external_references_pass_through_wasm_unchanged() {
    for (_, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let text = r#"(module (table (export "t") 2 externref) (global $g (mut externref) (ref.null extern))
          (func (export "keep") (param externref) (global.set $g (local.get 0)) (table.set (i32.const 1) (local.get 0)))
          (func (export "back") (result externref) (global.get $g))
          (func (export "null") (result i32) (ref.is_null (table.get (i32.const 0)))))"#;
        let module = Module::new(&engine, text).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let value = ExternRef::new(&mut store, String::from("mine")).unwrap();
        call(&mut store, instance, "keep", &[Val::ExternRef(Some(value))]).unwrap();
        let Val::ExternRef(Some(back)) = call(&mut store, instance, "back", &[]).unwrap()[0] else { panic!() };
        assert_eq!(back.data(&store).unwrap().unwrap().downcast_ref::<String>().unwrap(), "mine");
        assert!(matches!(instance.get_table(&store, "t").unwrap().get(&store, 1), Some(Ref::Extern(Some(_)))));
        assert_eq!(call_i32(&mut store, instance, "null", &[]).unwrap(), 1);
    }
}

#[test]
fn a_missing_import_is_named_together_with_what_there_is() {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("env", "log", |_: i32| {}).unwrap();
    linker.func_wrap("env", "exit", || {}).unwrap();
    let missing = |text: &str| {
        let module = Module::new(&engine, text).unwrap();
        linker.instantiate_pre(&module).unwrap_err().to_string()
    };
    let message = missing(r#"(module (import "env" "lg" (func (param i32))))"#);
    assert_eq!(
        message,
        "unknown import: `env::lg` has not been defined; the module asks for `(func (param i32))`; `env` has: `log`, `exit`"
    );
    let message = missing(r#"(module (import "evn" "log" (memory 1)))"#);
    assert_eq!(
        message,
        "unknown import: `evn::log` has not been defined; the module asks for `(memory 1)`; modules that are defined: `env`"
    );
}

#[test]
fn an_import_of_the_wrong_type_is_refused_and_both_types_are_shown() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    linker.func_wrap("env", "f", |_: i32| {}).unwrap();
    let memory = Memory::new(&mut store, MemoryType { minimum: 1, maximum: None, ..MemoryType::default() }).unwrap();
    linker.define(&store, "env", "m", memory).unwrap();
    for (text, expected) in [
        (
            r#"(module (import "env" "f" (func (param i64))))"#,
            "incompatible import type for `env::f`: the module asks for `(func (param i64))`, but `(func (param i32))` was given",
        ),
        (
            r#"(module (import "env" "m" (memory 2)))"#,
            "incompatible import type for `env::m`: the module asks for `(memory 2)`, but `(memory 1)` was given",
        ),
        (
            r#"(module (import "env" "m" (func)))"#,
            "incompatible import type for `env::m`: the module asks for `(func)`, but `(memory 1)` was given",
        ),
    ] {
        let module = Module::new(&engine, text).unwrap();
        assert_eq!(linker.instantiate(&mut store, &module).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_function_asked_for_with_the_wrong_type_shows_both() {
    let engine = Engine::default();
    let (mut store, instance) =
        common::instance(&engine, r#"(module (func (export "f") (param i32) (result f64) (f64.const 1)))"#);
    let error = instance.get_typed_func::<i64, f64>(&store, "f").unwrap_err();
    assert!(
        format!("{error:#}")
            .contains("has type `(func (param i32) (result f64))`, not `(func (param i64) (result f64))`")
    );
    let func = instance.get_func(&store, "f").unwrap();
    let message = |args: &[Val], results: &mut [Val], store: &mut Store<()>| {
        func.call(store, args, results).unwrap_err().to_string()
    };
    assert_eq!(message(&[], &mut [Val::I32(0)], &mut store), "expected 1 argument, found 0");
    assert_eq!(
        message(&[Val::I64(0)], &mut [Val::I32(0)], &mut store),
        "argument 0 is of type i64, where the function takes i32"
    );
    assert_eq!(message(&[Val::I32(0)], &mut [], &mut store), "expected room for 1 result, found room for 0");
}

#[test]
#[should_panic(expected = "a handle was used with a store that it does not belong to")]
fn a_handle_used_with_another_store_is_caught() {
    let engine = Engine::default();
    let (_store, instance) = common::instance(&engine, r#"(module (memory (export "m") 1))"#);
    let mut other = Store::new(&engine, ());
    let _ = instance.get_memory(&mut other, "m");
}

/// Exports one of each kind.
const ONE_OF_EACH: &str = r#"(module (func (export "f")) (global (export "g") i32 (i32.const 7))
  (memory (export "m") 1) (table (export "t") 1 funcref))"#;

#[test]
fn imports_of_another_store_are_errors_that_name_them() {
    let engine = Engine::default();
    let (owner, exporter) = common::instance(&engine, ONE_OF_EACH);
    for (name, text) in [
        ("f", r#"(module (import "a" "f" (func)))"#),
        ("g", r#"(module (import "a" "g" (global i32)))"#),
        ("m", r#"(module (import "a" "m" (memory 1)))"#),
        ("t", r#"(module (import "a" "t" (table 1 funcref)))"#),
    ] {
        let module = Module::new(&engine, text).unwrap();
        let foreign = exporter.get_export(&owner, name).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define(&owner, "a", name, foreign).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        let mut store = Store::new(&engine, ());
        for result in [
            Instance::new(&mut store, &module, &[foreign]),
            linker.instantiate(&mut store, &module),
            pre.instantiate(&mut store),
        ] {
            let expected = format!("`a::{name}` cannot be imported: it belongs to another store");
            assert_eq!(format!("{:#}", result.unwrap_err()), expected);
        }
        assert_eq!(engine.stats().live, 1, "{name}: no slot is lost");
    }
}

#[test]
fn a_linker_takes_nothing_of_another_store_or_engine() {
    let engine = Engine::default();
    let (owner, exporter) = common::instance(&engine, ONE_OF_EACH);
    let store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    for name in ["f", "g", "m", "t"] {
        let foreign = exporter.get_export(&owner, name).unwrap();
        let error = linker.define(&store, "a", name, foreign).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("`a::{name}` cannot be defined: it belongs to another store"));
    }
    let error = linker.instance(&store, "a", exporter).unwrap_err();
    assert_eq!(error.to_string(), "`a` cannot be defined: the instance belongs to another store");
    let mut elsewhere = Linker::new(&Engine::default());
    let error = elsewhere.instance(&owner, "a", exporter).unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[test]
fn a_linker_checks_types_before_there_is_a_store() {
    let engine = Engine::default();
    let (mut store, exporter) = common::instance(&engine, ONE_OF_EACH);
    let mut linker = Linker::new(&engine);
    linker.instance(&store, "a", exporter).unwrap();
    linker.func_wrap("h", "f", |_: i32| {}).unwrap();
    for (import, wanted, found) in [
        (r#""h" "f" (func (param i64))"#, "(func (param i64))", "(func (param i32))"),
        (r#""a" "f" (func (param i32))"#, "(func (param i32))", "(func)"),
        (r#""a" "g" (global (mut i32))"#, "(global (mut i32))", "(global i32)"),
        (r#""a" "t" (table 1 externref)"#, "(table 1 externref)", "(table 1 funcref)"),
        (r#""a" "m" (memory 1 2)"#, "(memory 1 2)", "(memory 1)"),
        (r#""a" "m" (func)"#, "(func)", "(memory 1)"),
    ] {
        let module = Module::new(&engine, format!("(module (import {import}))")).unwrap();
        let error = linker.instantiate_pre(&module).unwrap_err().to_string();
        assert!(error.ends_with(&format!("the module asks for `{wanted}`, but `{found}` was given")), "{error}");
        assert_eq!(error, linker.instantiate(&mut store, &module).unwrap_err().to_string());
    }
    // What is too small now may have grown when an instance is made.
    let module = Module::new(&engine, r#"(module (import "a" "m" (memory 2)))"#).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    assert!(pre.instantiate(&mut store).unwrap_err().to_string().contains("`(memory 2)`, but `(memory 1)`"));
    exporter.get_memory(&store, "m").unwrap().grow(&mut store, 1).unwrap();
    pre.instantiate(&mut store).unwrap();
}

#[test]
fn a_module_of_another_engine_is_refused() {
    let module = Module::new(&Engine::default(), "(module)").unwrap();
    let error = Instance::new(&mut Store::new(&Engine::default(), ()), &module, &[]).unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[test]
fn effects_of_a_failed_instantiation_on_what_it_imports_remain() {
    // Specification, section 4.7.2: earlier segments were written when a later one traps.
    for (name, engine) in engines() {
        let (mut store, a, _) = linked(&engine);
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "a", a).unwrap();
        let text = r#"(module (import "a" "table" (table 4 funcref)) (import "a" "memory" (memory 1))
          (func $f (result i32) (i32.const 31))
          (elem (i32.const 3) $f)
          (data (i32.const 100) "xyz")
          (data (i32.const 65536) "far")
          (func $s unreachable) (start $s))"#;
        let error = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{name}: {error:?}");
        let table = a.get_table(&store, "table").unwrap();
        let Some(Ref::Func(Some(f))) = table.get(&store, 3) else { panic!("{name}: nothing was written") };
        assert_eq!(f.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 31);
        assert_eq!(&a.get_memory(&store, "memory").unwrap().data(&store)[100..103], b"xyz");
    }
}

#[test]
fn host_functions_of_run_time_types_check_what_they_return() {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::F64, ValType::I32]);
    linker
        .func_new("h", "swap", ty.clone(), |_, args, results| {
            results.copy_from_slice(&[args[1], args[0]]);
            Ok(())
        })
        .unwrap();
    linker
        .func_new("h", "bad", FuncType::new([], [ValType::I32]), |_, _, results| {
            results[0] = Val::I64(1);
            Ok(())
        })
        .unwrap();
    let text = r#"(module (import "h" "swap" (func $swap (param i32 f64) (result f64 i32))) (import "h" "bad" (func $bad (result i32)))
      (func (export "swap") (param i32 f64) (result f64 i32) (call $swap (local.get 0) (local.get 1)))
      (func (export "bad") (result i32) (call $bad)))"#;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let swap = instance.get_typed_func::<(i32, f64), (f64, i32)>(&store, "swap").unwrap();
    assert_eq!(swap.call(&mut store, (3, 4.5)).unwrap(), (4.5, 3));
    let error = call(&mut store, instance, "bad", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("returned i64 as result 0, but its type has i32"), "{error:#}");
}

#[test]
fn imports_too_many_are_refused_also_when_a_slot_of_the_module_is_idle() {
    let engine = Engine::default();
    let module = Module::new(&engine, "(module)").unwrap();
    for idle in [0, 1] {
        assert_eq!(engine.stats().idle, idle);
        let mut store = Store::new(&engine, ());
        let surplus = Func::wrap(&mut store, || ());
        let error = Instance::new(&mut store, &module, &[surplus.into()]).unwrap_err();
        assert!(error.to_string().contains("asks for 0 imports, but 1 were given"), "{error:#}");
        drop(store);
        Instance::new(&mut Store::new(&engine, ()), &module, &[]).unwrap();
    }
}

#[test]
fn a_closure_that_panics_as_it_is_dropped_takes_no_instance_with_it() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("dropped");
        }
    }
    let engine = Engine::default();
    let plain = Module::new(&engine, "(module)").unwrap();
    let asking = Module::new(&engine, r#"(module (import "" "f" (func)))"#).unwrap();
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &plain, &[]).unwrap();
    let mut linker = Linker::new(&engine);
    let bomb = Bomb;
    linker.func_wrap("", "f", move || _ = &bomb).unwrap();
    linker.instantiate(&mut store, &asking).unwrap();
    drop(linker);
    Instance::new(&mut store, &plain, &[]).unwrap();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(store)));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"dropped"));
    assert_eq!((engine.stats().live, engine.stats().idle), (0, 3));
}

/// Returns the time that this thread has had a processor while it did `f`: the least of three.
fn own_time<T>(mut f: impl FnMut() -> T) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let mut once = || {
        let start = now();
        f();
        now() - start
    };
    (0..3).map(|_| once()).min().unwrap()
}

#[test]
fn importing_globals_that_are_exported_again_takes_time_in_proportion_to_their_number() {
    const FEW: usize = 3_000;
    const TIMES: u32 = 8;
    let engine = Engine::default();
    let time_for = |count: usize| {
        let all = |item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<String>();
        let kind = |i: usize| if i.is_multiple_of(3) { "v128" } else { "i64" };
        let zero = |i: usize| if i.is_multiple_of(3) { "(v128.const i64x2 0 0)" } else { "(i64.const 0)" };
        let own = all(&|i| format!("(global (export \"{i}\") {} {})", kind(i), zero(i)));
        let passed_on = all(&|i| format!("(global (export \"{i}\") (import \"own\" \"{i}\") {})", kind(i)));
        let last = all(&|i| format!("(import \"passed on\" \"{i}\" (global {}))", kind(i)));
        let mut store = Store::new(&engine, ());
        let mut imports = Vec::new();
        for items in [own, passed_on] {
            let module = Module::new(&engine, format!("(module {items})")).unwrap();
            let instance = Instance::new(&mut store, &module, &imports).unwrap();
            imports = instance.exports(&store).map(minirt::Export::into_extern).collect();
        }
        let last = Module::new(&engine, format!("(module {last})")).unwrap();
        own_time(|| Instance::new(&mut store, &last, &imports).unwrap())
    };
    let (few, many) = (time_for(FEW), time_for(FEW * TIMES as usize));
    // A search among all for each would take 64 times as long.
    assert!(many < 3 * TIMES * few, "{FEW} globals: {few:?}, {TIMES} times as many: {many:?}");
}
