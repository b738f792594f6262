//! Calls that the compiler replaces by the code of the function: nobody notices.

use minirt::{
    Config, Engine, Inlining, Instance, Module, Store, Trap, TypedFunc, WasmBacktrace, WasmParams, WasmResults,
};
use std::num::NonZero;

const ALL: [Inlining; 3] = [Inlining::No, Inlining::Yes, Inlining::Always];

/// Small functions, called from others in every way.
const FUNCTIONS: &str = r#"(module $calls
    (memory 1)
    (tag $t)
    (global $count (mut i32) (i32.const 0))
    (func $divide (param i32 i32) (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.div_u (local.get 0) (local.get 1)))
    (func $read (param i32) (result i32) (i32.load (local.get 0)))
    (func $two (param i32) (result i32 i32)
        (if (local.get 0) (then (return (i32.const 1) (i32.const 2))))
        (i32.const 3) (i32.const 4))
    (func $never (unreachable))
    (func $both (param i32 i32) (result i32)
        (i32.add (call $divide (i32.const 8) (local.get 0)) (call $read (local.get 1))))
    (func (export "run") (param i32 i32) (result i32)
        (i32.add (i32.mul (call $two (local.get 0))) (call $both (local.get 0) (local.get 1))))
    (func (export "tail") (param i32 i32) (result i32) (return_call $divide (local.get 0) (local.get 1)))
    (func (export "caught") (param i32 i32) (result i32)
        (block $h
            (try_table (catch $t $h)
                (return (call $both (local.get 0) (call $divide (local.get 1) (i32.const 2))))))
        (i32.const -1))
    (func (export "loop") (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (i32.add (local.get 1) (call $divide (local.get 0) (i32.const 3))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "never") (call $never))
    (func (export "count") (result i32) (global.get $count)))"#;

fn engine(inlining: Inlining, fuel: bool) -> Engine {
    Engine::new(Config::new().compiler_inlining(inlining).consume_fuel(fuel)).unwrap()
}

/// A function in a backtrace, and where it was: in its module, and in its body.
type Frame = (String, Option<usize>, Option<usize>);

/// An instance of these functions.
struct Calls {
    store: Store<()>,
    instance: Instance,
}

impl Calls {
    fn new(engine: &Engine) -> Self {
        let module = Module::new(engine, FUNCTIONS).unwrap();
        let mut store = Store::new(engine, ());
        let _ = store.set_fuel(1_000_000); // An error where there is no fuel.
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Self { store, instance }
    }

    fn func<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> TypedFunc<P, R> {
        self.instance.get_typed_func(&mut self.store, name).unwrap()
    }

    /// The trap of a call, and the functions in its backtrace with the places where they were.
    fn trap<P: WasmParams>(&mut self, name: &str, params: P) -> (Trap, Vec<Frame>) {
        let error = self.func::<P, i32>(name).call(&mut self.store, params).unwrap_err();
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        let name = |frame: &minirt::FrameInfo| format!("{}: {}", frame.func_index(), frame.func_name().unwrap_or(""));
        let frames = frames.iter().map(|frame| (name(frame), frame.module_offset(), frame.func_offset()));
        (*error.downcast_ref().unwrap(), frames.collect())
    }
}

/// How many calls of functions of the module are left in an exported function and `$both`.
fn calls_left(inlining: Inlining) -> usize {
    let clif = engine(inlining, false).clif(FUNCTIONS.as_bytes()).unwrap();
    clif.lines()
        .filter(|line| [" call fn", " try_call fn", "return_call fn"].iter().any(|op| line.contains(op)))
        .count()
}

#[test]
fn small_functions_are_replaced_unless_nobody_wants_that() {
    // The calls of `$both` stay, and the tail call.
    assert_eq!(ALL.map(calls_left), [9, 3, 3]);
    let clif = |epochs| {
        let engine = Engine::new(Config::new().epoch_interruption(epochs)).unwrap();
        engine.clif(FUNCTIONS.as_bytes()).unwrap()
    };
    assert!(clif(true).matches("call fn").count() > clif(false).matches("call fn").count());
}

#[test]
fn results_and_side_effects_are_the_same() {
    for inlining in ALL {
        let mut calls = Calls::new(&engine(inlining, false));
        assert_eq!(calls.func::<(i32, i32), i32>("run").call(&mut calls.store, (2, 0)).unwrap(), 2 + 4);
        assert_eq!(calls.func::<(i32, i32), i32>("tail").call(&mut calls.store, (9, 3)).unwrap(), 3);
        assert_eq!(calls.func::<(i32, i32), i32>("caught").call(&mut calls.store, (4, 8)).unwrap(), 2);
        assert_eq!(calls.func::<i32, i32>("loop").call(&mut calls.store, 10).unwrap(), 15);
        assert_eq!(calls.func::<(), i32>("count").call(&mut calls.store, ()).unwrap(), 1 + 1 + 2 + 10, "{inlining:?}");
    }
}

#[test]
fn a_backtrace_has_the_function_whose_code_stands_for_a_call_and_its_caller() {
    let traps = |inlining| {
        let mut calls = Calls::new(&engine(inlining, false));
        [
            calls.trap("run", (0, 0)),
            calls.trap("run", (1, -1)),
            calls.trap("caught", (0, 0)),
            calls.trap("caught", (1, i32::MAX)),
            calls.trap("tail", (1, 0)),
        ]
    };
    let expected = traps(Inlining::No);
    let names: Vec<Vec<&str>> =
        expected.iter().map(|(_, frames)| frames.iter().map(|(name, ..)| &**name).collect()).collect();
    assert_eq!(names[0], ["0: divide", "4: both", "5: "]);
    assert_eq!(names[1], ["1: read", "4: both", "5: "]);
    assert_eq!(names[4], ["0: divide"], "a tail call leaves nothing of its caller");
    for inlining in [Inlining::Yes, Inlining::Always] {
        assert_eq!(traps(inlining), expected, "{inlining:?}");
    }
    for inlining in ALL {
        let mut calls = Calls::new(&engine(inlining, false));
        let error = calls.func::<(), ()>("never").call(&mut calls.store, ()).unwrap_err();
        let names = error.downcast_ref::<WasmBacktrace>().unwrap().frames().iter().map(|frame| frame.func_index());
        assert_eq!(names.collect::<Vec<_>>(), [3, 9], "{inlining:?}");
    }
}

#[test]
fn a_module_from_an_artifact_has_the_same_backtraces() {
    let engine = engine(Inlining::Yes, false);
    let module = Module::new(&engine, FUNCTIONS).unwrap();
    // SAFETY: the bytes come from `serialize`.
    let loaded = unsafe { Module::deserialize(&engine, module.serialize().unwrap()) }.unwrap();
    let frames = [module, loaded].map(|module| {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let mut calls = Calls { store, instance };
        calls.trap("run", (0, 0))
    });
    assert_eq!(frames[0].1.len(), 3);
    assert_eq!(frames[0], frames[1]);
}

#[test]
fn a_backtrace_has_no_more_functions_than_are_allowed() {
    for (most, inlining) in [1, 2].into_iter().flat_map(|most| ALL.map(|inlining| (most, inlining))) {
        let mut config = Config::new();
        let engine = config.compiler_inlining(inlining).wasm_backtrace_max_frames(NonZero::new(most));
        let (_, frames) = Calls::new(&Engine::new(engine).unwrap()).trap("run", (0, 0));
        assert_eq!(frames.len(), most, "{inlining:?}");
        assert_eq!(frames[0].0, "0: divide");
    }
}

#[test]
fn fuel_is_the_same() {
    let left = ALL.map(|inlining| {
        let mut calls = Calls::new(&engine(inlining, true));
        calls.func::<(i32, i32), i32>("run").call(&mut calls.store, (2, 0)).unwrap();
        calls.func::<i32, i32>("loop").call(&mut calls.store, 100).unwrap();
        let after_calls = calls.store.get_fuel().unwrap();
        calls.trap("run", (0, 0));
        (after_calls, calls.store.get_fuel().unwrap())
    });
    assert_eq!(left[0], left[1]);
    assert_eq!(left[0], left[2]);
}
