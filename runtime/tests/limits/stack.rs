//! The stack: recursion without end is a trap wherever it begins, and the stack's size says how
//! deep it goes.

use crate::common::{call, expect_trap, instance};
use minirt::{AsContextMut, Caller, Config, Engine, Func, Instance, Linker, Module, Store, Trap, Val};

/// Counts how often it calls itself.
const FOREVER: &str = r#"(module (global $depth (export "depth") (mut i32) (i32.const 0))
  (func $f (export "f") (global.set $depth (i32.add (global.get $depth) (i32.const 1))) (call $f) (call $f)))"#;

#[test]
fn recursion_ends_before_a_small_stack_does() {
    let engine = Engine::default();
    let module = Module::new(&engine, FOREVER).unwrap();
    for size in [256 * 1024, 1024 * 1024] {
        let (engine, module) = (engine.clone(), module.clone());
        let run = move || {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            expect_trap(call(&mut store, instance, "f", &[]), Trap::StackOverflow);
        };
        std::thread::Builder::new().stack_size(size).spawn(run).unwrap().join().unwrap();
    }
}

#[test]
fn a_larger_stack_allows_deeper_recursion() {
    let depth = |bytes| {
        let mut config = Config::new();
        config.max_wasm_stack(bytes);
        let engine = Engine::new(&config).unwrap();
        let (mut store, instance) = instance(&engine, FOREVER);
        expect_trap(call(&mut store, instance, "f", &[]), Trap::StackOverflow);
        instance.get_global(&store, "depth").unwrap().get(&store).unwrap_i32()
    };
    let (small, large) = (depth(256 * 1024), depth(1024 * 1024));
    assert!(small > 1000 && large > 3 * small && large < 5 * small, "{small} and {large} calls deep");
}

#[test]
fn infinite_recursion_through_the_host_ends_with_a_trap_too() {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (import "host" "again" (func $again))
          (func $f (export "f") (call $again) (call $again)))"#,
    )
    .unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "again", |mut caller: Caller<'_, ()>| {
            let f = caller.get_export("f").unwrap().into_func().unwrap();
            f.call(&mut caller, &[], &mut [])
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    for _ in 0..3 {
        expect_trap(call(&mut store, instance, "f", &[]), Trap::StackOverflow);
    }
}

#[test]
fn a_call_from_another_thread_in_the_middle_of_one_has_that_threads_stack() {
    let text = r#"(module (import "" "elsewhere" (func $elsewhere))
      (func $recurse (export "recurse") (call $recurse) (call $recurse))
      (func (export "one") (result i32) (i32.const 1))
      (func (export "run") (call $elsewhere) (call $recurse)))"#;
    let engine = Engine::default();
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let elsewhere = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        let [one, recurse] = ["one", "recurse"].map(|name| caller.get_export(name).unwrap().into_func().unwrap());
        let mut context = caller.as_context_mut();
        // Stacks of one size come where the kernel finds room; one of these lies above the others.
        for stack in [512 << 10, 64 << 20] {
            let context = &mut context;
            let work = move || {
                let mut result = [Val::I32(0)];
                one.call(&mut *context, &[], &mut result).unwrap();
                assert_eq!(result[0].unwrap_i32(), 1);
                expect_trap(recurse.call(&mut *context, &[], &mut []), Trap::StackOverflow);
            };
            std::thread::scope(|scope| {
                std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).unwrap().join().unwrap();
            });
        }
    });
    let instance = Instance::new(&mut store, &module, &[elsewhere.into()]).unwrap();
    // Here and on a thread whose stack is elsewhere: the limit that counts afterwards is this
    // thread's again.
    expect_trap(call(&mut store, instance, "run", &[]), Trap::StackOverflow);
    let other = std::thread::Builder::new().stack_size(1 << 20);
    other
        .spawn(move || expect_trap(call(&mut store, instance, "run", &[]), Trap::StackOverflow))
        .unwrap()
        .join()
        .unwrap();
}
