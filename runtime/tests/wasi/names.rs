//! The names that wasmtime's crate for WASI has are there, and stand for the same.

use minirt::wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use minirt::wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{Engine, Linker, Module, Store};

/// Ends with the number of its arguments, and of bytes in them.
const COUNT: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (call $exit (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 100000)) (i32.load (i32.const 4))))))"#;

fn exit_of(wasi: WasiP1Ctx) -> i32 {
    let engine = Engine::default();
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    add_to_linker_sync(&mut linker, |ctx| ctx).unwrap();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &Module::new(&engine, COUNT).unwrap()).unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    start.call(&mut store, ()).unwrap_err().downcast_ref::<I32Exit>().unwrap().0
}

#[test]
fn a_host_that_was_written_for_wasmtime_finds_the_names() {
    let given = WasiCtx::builder().arg("program").args(["a", "bc"]).env("NAME", "value").build_p1();
    assert_eq!(exit_of(given), 3 * 100_000 + "program.a.bc.".len() as i32);
}

#[test]
fn a_guest_can_have_the_arguments_of_this_process() {
    let own: Vec<_> = std::env::args_os().collect();
    let bytes: usize = own.iter().map(|arg| arg.len() + 1).sum();
    let wasi = WasiCtxBuilder::new().inherit_args().inherit_stdin().inherit_stdout().inherit_stderr().build_p1();
    assert_eq!(exit_of(wasi), (own.len() * 100_000 + bytes) as i32);
}

#[test]
#[should_panic(expected = "hold a NUL")]
fn what_no_guest_can_have_is_a_panic_only_in_wasmtimes_shape() {
    assert!(WasiCtxBuilder::new().arg("a\0b").build().is_err());
    WasiCtxBuilder::new().arg("a\0b").build_p1();
}
