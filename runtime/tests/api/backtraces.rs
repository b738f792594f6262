//! What the error of a call says about where it happened: functions, places in the module,
//! addresses of memory.

use minirt::{
    Caller, Config, Engine, Error, Func, Instance, MemoryFault, Module, Result, Store, Trap, TypedFunc, WasmBacktrace,
};
use std::num::NonZeroUsize;

/// Calls itself as often as it is told, then traps.
const DEEP: &str = r#"(module $deep
  (func $down (export "down") (param i32)
    (drop (i32.div_u (i32.const 1) (local.get 0)))
    (call $down (i32.sub (local.get 0) (i32.const 1))))
  (func $start (export "start") (param i32) (call $down (local.get 0))))"#;

fn error_of(engine: &Engine, text: &str, export: &str, argument: i32) -> Error {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, text).unwrap(), &[]).unwrap();
    let func: TypedFunc<i32, ()> = instance.get_typed_func(&store, export).unwrap();
    func.call(&mut store, argument).unwrap_err()
}

fn backtrace(error: &Error) -> &WasmBacktrace {
    error.downcast_ref().expect("a backtrace")
}

#[test]
fn a_frame_knows_its_module_and_where_in_it_and_in_its_function_it_is() {
    let bytes = wat::parse_str(DEEP).unwrap();
    let engine = Engine::default();
    // Neither the module nor the store is there any more when the error is looked at.
    let error = error_of(&engine, DEEP, "start", 2);
    let frames = backtrace(&error).frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.func_name().unwrap()).collect();
    assert_eq!(names, ["down", "down", "down", "start"]);
    for (frame, opcode) in frames.iter().zip([0x6e, 0x10, 0x10, 0x10]) {
        assert_eq!((frame.module().name(), frame.module_name()), (Some("deep"), Some("deep")));
        assert_eq!(frame.module().exports().len(), 2);
        let (at, in_func) = (frame.module_offset().unwrap(), frame.func_offset().unwrap());
        assert_eq!(bytes[at], opcode, "`i32.div_u` is active, or `call`");
        let body = at - in_func;
        assert_eq!(bytes[body], 0, "a body starts with its locals, of which it has none");
        let end = body + usize::from(bytes[body - 1]);
        assert!(bytes[end - 1] == 0x0b && (body..end).contains(&at), "its size stands before it");
    }
}

#[test]
fn equal_frames_are_one_line() {
    let text = backtrace(&error_of(&Engine::default(), DEEP, "start", 40)).to_string();
    let lines: Vec<&str> = text.lines().collect();
    let (head, rest) = lines.split_at(1);
    assert_eq!(head, ["error while executing at wasm backtrace:"]);
    let shown: Vec<String> = rest.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let place = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    let expected = [
        format!("0: {} - deep!down", place(&shown[0])),
        format!("1: {} - deep!down (40 times)", place(&shown[1])),
        format!("41: {} - deep!start", place(&shown[2])),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn there_are_as_many_frames_as_the_configuration_says() {
    let with = |limit| Engine::new(Config::new().wasm_backtrace_max_frames(limit)).unwrap();
    for (limit, depth, expected) in [(1, 5, 1), (3, 5, 3), (100, 5, 7), (100, 1000, 100), (1000, 1000, 256)] {
        let error = error_of(&with(NonZeroUsize::new(limit)), DEEP, "start", depth);
        assert_eq!(backtrace(&error).frames().len(), expected, "{limit}");
    }
    assert_eq!(backtrace(&error_of(&Engine::default(), DEEP, "start", 1000)).frames().len(), 64);

    let error = error_of(&with(None), DEEP, "start", 5);
    assert!(error.downcast_ref::<WasmBacktrace>().is_none(), "{error:?}");
    assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
}

/// Captures in a host function that the guest's `f` calls: with `capture`, and with
/// `force_capture`.
fn captured(engine: &Engine) -> Result<[usize; 2]> {
    let mut store = Store::new(engine, [0; 2]);
    let capture = Func::wrap(&mut store, |mut caller: Caller<'_, [usize; 2]>| {
        let found = [WasmBacktrace::capture(&caller), WasmBacktrace::force_capture(&caller)];
        *caller.data_mut() = found.map(|backtrace| backtrace.frames().len());
    });
    let text = r#"(module (import "" "" (func $capture))
      (func $f (call $capture)) (func (export "f") (call $f)))"#;
    let instance = Instance::new(&mut store, &Module::new(engine, text)?, &[capture.into()])?;
    instance.get_typed_func::<(), ()>(&store, "f")?.call(&mut store, ())?;
    Ok(*store.data())
}

#[test]
fn a_backtrace_can_be_captured_although_errors_have_none() {
    assert_eq!(captured(&Engine::default()).unwrap(), [2, 2]);
    let with = |limit| Engine::new(Config::new().wasm_backtrace_max_frames(limit)).unwrap();
    assert_eq!(captured(&with(None)).unwrap(), [0, 2]);
    assert_eq!(captured(&with(NonZeroUsize::new(1))).unwrap(), [1, 1]);
    assert_eq!(WasmBacktrace::force_capture(Store::new(&Engine::default(), ())).frames().len(), 0);
}

fn fault(engine: &Engine, text: &str, argument: i32) -> Option<MemoryFault> {
    let error = error_of(engine, text, "f", argument);
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
    error.downcast_ref().copied()
}

#[test]
fn an_access_out_of_bounds_says_where_it_went_and_how_large_the_memory_was() {
    let engine = Engine::default();
    let at = |wasm_address, memory_size| Some(MemoryFault { wasm_address, memory_size });
    let load = r#"(module (memory 1) (func (export "f") (param i32) (drop (i32.load (local.get 0)))))"#;
    assert_eq!(fault(&engine, load, 0x1_0000), at(0x1_0000, 0x1_0000));
    assert_eq!(fault(&engine, load, -4), at(0xffff_fffc, 0x1_0000));
    assert_eq!(fault(&engine, load, 0xfffe), at(0x1_0000, 0x1_0000), "it begins inside");
    let store =
        r#"(module (memory 0) (func (export "f") (param i32) (i64.store offset=16 (local.get 0) (i64.const 1))))"#;
    assert_eq!(fault(&engine, store, 0x20), at(0x30, 0));
    let grown = r#"(module (memory 1) (func (export "f") (param i32)
      (drop (memory.grow (i32.const 2))) (drop (i32.load8_u (local.get 0)))))"#;
    assert_eq!(fault(&engine, grown, 0x4_0000), at(0x4_0000, 0x3_0000));
    let second =
        r#"(module (memory 1) (memory 3) (func (export "f") (param i32) (drop (i32.load8_u 1 (local.get 0)))))"#;
    assert_eq!(fault(&engine, second, 0x5_0000), at(0x5_0000, 0x3_0000));

    let error = error_of(&engine, load, "f", 0x1_2345);
    let layers: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let expected = "memory fault at wasm address 0x12345 in linear memory of size 0x10000";
    assert_eq!(layers, [expected, "out of bounds memory access"]);
}

#[test]
fn a_memory_of_another_instance_is_the_one_that_is_described() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let owner = Module::new(&engine, r#"(module (memory (export "m") 2))"#).unwrap();
    let owner = Instance::new(&mut store, &owner, &[]).unwrap();
    let memory = owner.get_memory(&store, "m").unwrap();
    let text = r#"(module (import "" "m" (memory 1)) (memory 5)
      (func (export "f") (param i32) (drop (i32.load8_u (local.get 0)))))"#;
    let user = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[memory.into()]).unwrap();
    let f = user.get_typed_func::<i32, ()>(&store, "f").unwrap();
    let error = f.call(&mut store, 0x4_0000).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&MemoryFault { wasm_address: 0x4_0000, memory_size: 0x2_0000 }));
}

#[test]
fn where_code_checks_bounds_itself_and_for_other_traps_there_is_no_address() {
    let engine = Engine::default();
    for text in [
        r#"(module (memory i64 1) (func (export "f") (param i32)
            (drop (i32.load8_u (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))))))"#,
        r#"(module (memory 1) (func (export "f") (param i32) (memory.fill (local.get 0) (i32.const 0) (local.get 0))))"#,
    ] {
        // One that has an address comes before, on the same thread.
        let load = r#"(module (memory 1) (func (export "f") (param i32) (drop (i32.load (local.get 0)))))"#;
        assert!(fault(&engine, load, 0x1_0000).is_some());
        assert_eq!(fault(&engine, text, 0x1_0001), None, "{text}");
    }
    let error = error_of(&engine, DEEP, "start", 0);
    assert!(error.downcast_ref::<MemoryFault>().is_none());
}
