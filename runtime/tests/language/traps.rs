//! Every kind of trap: the right reason, the right backtrace, and a host that goes on.

use crate::common::{call, call_i32, engines, expect_trap, instance};
use minirt::{Caller, Engine, Func, Instance, Linker, Module, Store, Trap, Val, WasmBacktrace};

const TRAPS: &str = r#"(module $traps
  (type $unary (func (param i32) (result i32)))
  (memory 1 2)
  (table $t 4 funcref)
  (elem (table $t) (i32.const 0) func $id $nullary)
  (func $id (param i32) (result i32) local.get 0)
  (func $nullary)
  (func (export "unreachable") unreachable)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store8") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
  (func (export "far") (param i32) (result i32) (i32.load offset=0xfffffffc (local.get 0)))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "rem") (param i32 i32) (result i32) (i32.rem_s (local.get 0) (local.get 1)))
  (func (export "trunc") (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect $t (type $unary) (i32.const 7) (local.get 0)))
  (func (export "table.get") (param i32) (result funcref) (table.get $t (local.get 0)))
  (func (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 1) (i32.const 8)))
  (func $forever (export "forever") (call $forever) (call $nullary)))"#;

#[test]
fn each_trap_of_the_specification_is_told_from_the_others() {
    for (name, engine) in engines() {
        let (mut store, instance) = instance(&engine, TRAPS);
        let mut run = |func: &str, args: &[Val], trap| {
            println!("{name}: {func} {args:?}");
            expect_trap(call(&mut store, instance, func, args), trap);
        };
        run("unreachable", &[], Trap::UnreachableCodeReached);
        run("load", &[Val::I32(65536)], Trap::MemoryOutOfBounds);
        run("load", &[Val::I32(65533)], Trap::MemoryOutOfBounds);
        run("load", &[Val::I32(-1)], Trap::MemoryOutOfBounds);
        run("store8", &[Val::I32(65536)], Trap::MemoryOutOfBounds);
        run("far", &[Val::I32(0)], Trap::MemoryOutOfBounds);
        run("far", &[Val::I32(-1)], Trap::MemoryOutOfBounds);
        run("fill", &[Val::I32(65529)], Trap::MemoryOutOfBounds);
        run("div", &[Val::I32(1), Val::I32(0)], Trap::IntegerDivisionByZero);
        run("div", &[Val::I32(i32::MIN), Val::I32(-1)], Trap::IntegerOverflow);
        run("rem", &[Val::I32(1), Val::I32(0)], Trap::IntegerDivisionByZero);
        run("trunc", &[Val::F64(f64::NAN.to_bits())], Trap::BadConversionToInteger);
        run("trunc", &[Val::F64(1e10f64.to_bits())], Trap::IntegerOverflow);
        run("indirect", &[Val::I32(1)], Trap::BadSignature);
        run("indirect", &[Val::I32(2)], Trap::IndirectCallToNull);
        run("indirect", &[Val::I32(4)], Trap::UndefinedElement);
        run("indirect", &[Val::I32(-1)], Trap::UndefinedElement);
        run("table.get", &[Val::I32(4)], Trap::TableOutOfBounds);
        run("forever", &[], Trap::StackOverflow);
        // The instance goes on living.
        assert_eq!(call_i32(&mut store, instance, "indirect", &[0]).unwrap(), 7);
        assert_eq!(call_i32(&mut store, instance, "rem", &[i32::MIN, -1]).unwrap(), 0);
        assert_eq!(call_i32(&mut store, instance, "load", &[65532]).unwrap(), 0);
    }
}

#[test]
fn a_backtrace_names_the_functions_from_the_inside_out() {
    let engine = Engine::default();
    let text = r#"(module $m
      (memory 1)
      (func $inner (param i32) (result i32) (i32.load (local.get 0)))
      (func $middle (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
      (func $outer (export "run") (result i32) (i32.add (call $middle (i32.const -1)) (i32.const 1))))"#;
    let (mut store, instance) = instance(&engine, text);
    let error = call(&mut store, instance, "run", &[]).unwrap_err();
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
    let names: Vec<_> = backtrace.frames().iter().map(|f| f.func_name().unwrap()).collect();
    assert_eq!(names, ["inner", "middle", "outer"]);
    let bytes = wat::parse_str(text).unwrap();
    let load = bytes.iter().position(|b| *b == 0x28).unwrap();
    assert_eq!(backtrace.frames()[0].module_offset(), Some(load));
    assert!(format!("{error}").contains("m!middle"), "{error}");
    assert_eq!(format!("{}", error.root_cause()), "out of bounds memory access");
}

#[test]
fn a_backtrace_reaches_through_the_host_to_the_calls_around_it() {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (import "host" "again" (func $again))
          (func $deep (export "deep") unreachable)
          (func $outer (export "outer") (call $again) (call $again)))"#,
    )
    .unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "again", |mut caller: Caller<'_, ()>| {
            let deep = caller.get_export("deep").unwrap().into_func().unwrap();
            deep.call(&mut caller, &[], &mut [])
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let error = call(&mut store, instance, "outer", &[]).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
    let names: Vec<_> = frames.iter().map(|f| f.func_name().unwrap()).collect();
    assert_eq!(names, ["deep", "outer"]);
}

#[test]
fn a_host_function_sees_which_functions_led_to_it() {
    for (name, engine) in engines() {
        let text = r#"(module
          (import "host" "see" (func $see (param i32)))
          (func $inner (param i32) (call $see (local.get 0)))
          (func $outer (export "run") (param i32) (call $inner (local.get 0))))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut linker = Linker::new(&engine);
        let see = |mut caller: Caller<'_, Vec<String>>, again: i32| -> minirt::Result<()> {
            if again > 0 {
                let run = caller.get_export("run").unwrap().into_func().unwrap();
                return run.typed::<i32, ()>(&caller)?.call(&mut caller, again - 1);
            }
            let seen = WasmBacktrace::capture(&caller);
            let names = seen.frames().iter().map(|frame| frame.func_name().unwrap().to_owned()).collect();
            *caller.data_mut() = names;
            // Another store has no part in this.
            assert!(WasmBacktrace::capture(Store::new(caller.engine(), ())).frames().is_empty());
            Ok(())
        };
        linker.func_wrap("host", "see", see).unwrap();
        let mut store = Store::new(&engine, Vec::new());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, ()>(&store, "run").unwrap();
        run.call(&mut store, 0).unwrap();
        assert_eq!(store.data(), &["inner", "outer"], "{name}");
        run.call(&mut store, 1).unwrap();
        assert_eq!(store.data(), &["inner", "outer", "inner", "outer"], "{name}");
        assert!(WasmBacktrace::capture(&store).frames().is_empty(), "{name}: nothing is active any more");
    }
}

#[test]
fn a_trap_in_the_start_function_gives_the_slot_back() {
    for (name, engine) in engines() {
        let bad = Module::new(&engine, "(module (memory 1) (func $s unreachable) (start $s))").unwrap();
        for _ in 0..100 {
            let mut store = Store::new(&engine, ());
            let error = Instance::new(&mut store, &bad, &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached), "{name}");
        }
    }
}

#[test]
fn an_error_of_a_host_function_comes_back_as_itself() {
    #[derive(Debug, PartialEq)]
    struct Mine(u32);
    impl std::fmt::Display for Mine {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "mine: {}", self.0)
        }
    }
    impl std::error::Error for Mine {}

    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let fail = Func::wrap(&mut store, |code: u32| -> minirt::Result<()> { Err(Mine(code).into()) });
    let text =
        r#"(module (import "" "fail" (func $fail (param i32))) (func (export "run") (call $fail (i32.const 5))))"#;
    let module = Module::new(&engine, text).unwrap();
    let instance = Instance::new(&mut store, &module, &[fail.into()]).unwrap();
    let error = call(&mut store, instance, "run", &[]).unwrap_err();
    assert_eq!(error.downcast_ref::<Mine>(), Some(&Mine(5)));
    assert!(error.downcast_ref::<Trap>().is_none());
    // Called by the host directly as well.
    let error = fail.call(&mut store, &[Val::I32(6)], &mut []).unwrap_err();
    assert_eq!(error.downcast_ref::<Mine>(), Some(&Mine(6)));
}

#[test]
fn a_panic_in_a_host_function_reaches_the_embedder_as_that_panic() {
    struct Payload(u32);
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let panic = Func::wrap(&mut store, || -> () { std::panic::panic_any(Payload(9)) });
    let text = r#"(module (import "" "p" (func $p)) (func (export "run") (call $p)) (func (export "one") (result i32) (i32.const 1)))"#;
    let module = Module::new(&engine, text).unwrap();
    let instance = Instance::new(&mut store, &module, &[panic.into()]).unwrap();
    for _ in 0..10 {
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = call(&mut store, instance, "run", &[]);
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref::<Payload>().unwrap().0, 9);
        assert_eq!(call_i32(&mut store, instance, "one", &[]).unwrap(), 1);
    }
}

#[test]
fn traps_on_many_threads_do_not_disturb_each_other() {
    let engine = Engine::default();
    let module = Module::new(&engine, TRAPS).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (engine, module) = (&engine, &module);
            scope.spawn(move || {
                for round in 0..200 {
                    let mut store = Store::new(engine, ());
                    let instance = Instance::new(&mut store, module, &[]).unwrap();
                    if (thread + round) % 2 == 0 {
                        expect_trap(call(&mut store, instance, "load", &[Val::I32(-4)]), Trap::MemoryOutOfBounds);
                        // Code comes and goes meanwhile.
                        Module::new(engine, "(module (func (export \"f\")))").unwrap();
                    } else {
                        assert_eq!(call_i32(&mut store, instance, "indirect", &[0]).unwrap(), 7);
                    }
                }
            });
        }
    });
}

#[test]
fn a_trap_in_a_nested_instance_ends_the_outer_call_and_both_go_on() {
    for (name, engine) in engines() {
        let inner = Module::new(&engine, TRAPS).unwrap();
        let outer = r#"(module (import "t" "load" (func $load (param i32) (result i32)))
          (func $outer (export "outer") (param i32) (result i32) (i32.add (call $load (local.get 0)) (i32.const 1))))"#;
        let outer = Module::new(&engine, outer).unwrap();
        let mut store = Store::new(&engine, ());
        let inner = Instance::new(&mut store, &inner, &[]).unwrap();
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "t", inner).unwrap();
        let outer = linker.instantiate(&mut store, &outer).unwrap();
        let error = call(&mut store, outer, "outer", &[Val::I32(-1)]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{name}");
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 2, "{name}");
        assert_eq!(call_i32(&mut store, outer, "outer", &[0]).unwrap(), 1);
        assert_eq!(call_i32(&mut store, inner, "load", &[0]).unwrap(), 0);
    }
}
