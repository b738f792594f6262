//! Arguments, environment, exit codes, and standard streams.

use crate::program::*;
use minirt::wasi::{FsPerms, I32Exit, Input, Output, OutputBuffer, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Engine, Linker, Module, Store, Val};

#[test]
fn a_guest_gets_exactly_the_arguments_and_variables_given() {
    let mut p = Program::new(WasiCtxBuilder::new().args(["prog", ""]).env("A", "b=c"));
    assert_eq!(p.call("args_sizes_get", &[OUT.into(), (OUT + 4).into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4)), (2, 6));
    assert_eq!(p.call("args_get", &[OUT.into(), BYTES.into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4), p.bytes(6)), (BYTES, BYTES + 5, b"prog\0\0".to_vec()));
    assert_eq!(p.call("environ_sizes_get", &[OUT.into(), (OUT + 4).into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4)), (1, 6));
    assert_eq!(p.call("environ_get", &[OUT.into(), BYTES.into()]), 0);
    assert_eq!(p.bytes(6), b"A=b=c\0");
}

#[test]
fn an_exit_code_comes_back_as_an_error_of_its_own() {
    for code in [0, 1, 33, 255, -1] {
        let mut p = Program::new(&mut WasiCtxBuilder::new());
        let exit = p.instance.get_func(&p.store, "exit").unwrap();
        let error = exit.call(&mut p.store, &[Val::I32(code)], &mut []).unwrap_err();
        assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(code)));
    }
    assert_eq!(I32Exit(33).to_string(), "exited with code 33");
}

#[test]
fn a_guest_without_an_exported_memory_is_told_so() {
    let engine = Engine::default();
    let text = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
                    (func (export "f") (result i32) (call $yield)))"#;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build().unwrap());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let error = instance.get_func(&store, "f").unwrap().call(&mut store, &[], &mut [Val::I32(0)]).unwrap_err();
    assert!(format!("{error:?}").contains("must export its memory as `memory`"), "{error:?}");
}

#[test]
fn what_cannot_be_given_is_refused_with_a_reason() {
    let error = WasiCtxBuilder::new().preopened_dir("/no/such/place", "/", FsPerms::ReadOnly).unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot open the directory `/no/such/place` for the guest: "));
    let error = WasiCtxBuilder::new().arg("a\0b").build().unwrap_err();
    assert!(error.to_string().contains("arguments hold a NUL"), "{error}");
    let error = WasiCtxBuilder::new().max_descriptors(2).build().unwrap_err();
    assert!(error.to_string().contains("more than 2 descriptors"), "{error}");
}

#[test]
fn a_context_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<WasiCtx>();
    check::<WasiCtxBuilder>();
}

#[test]
fn output_is_captured_and_input_read_to_its_end() {
    let (out, err) = (OutputBuffer::new(100), OutputBuffer::new(100));
    let mut p = Program::new(
        WasiCtxBuilder::new()
            .stdin(Input::Bytes(b"some input".to_vec()))
            .stdout(Output::Buffer(out.clone()))
            .stderr(Output::Buffer(err.clone())),
    );
    assert_eq!((p.write(1, b"out"), p.write(2, b"err")), (Ok(3), Ok(3)));
    p.put(BYTES, b"abcdef");
    p.buffers(&[1, 0, 2, 3]);
    assert_eq!(p.io("fd_write", 1, 4, None), Ok(6));
    assert_eq!((out.contents(), err.contents()), (b"outabcdef".to_vec(), b"err".to_vec()));
    assert_eq!((p.read(0, 4), p.read(0, 100), p.read(0, 100)), (Ok(b"some".into()), Ok(b" input".into()), Ok(vec![])));
    assert_eq!((p.write(0, b"x"), p.read(1, 1)), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
    assert_eq!(p.seek(1, 0, 1), Err(SPIPE));
}

#[test]
fn captured_output_is_bounded() {
    let out = OutputBuffer::new(4);
    let mut p = Program::new(WasiCtxBuilder::new().stdout(Output::Buffer(out.clone())));
    assert_eq!((p.write(1, b"abcdef"), p.write(1, b"g"), p.write(1, b"")), (Ok(4), Err(NOSPC), Ok(0)));
    assert_eq!(out.contents(), b"abcd");
}

#[test]
fn without_streams_input_ends_and_output_vanishes() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    assert_eq!((p.read(0, 10), p.write(1, b"gone"), p.write(2, b"gone")), (Ok(vec![]), Ok(4), Ok(4)));
    assert_eq!(p.call("sock_shutdown", &[1.into(), 1.into()]), NOTSOCK);
    assert_eq!(p.call("sock_shutdown", &[9.into(), 1.into()]), BADF);
}

#[test]
fn inherited_streams_reach_the_host() {
    let mut p = Program::new(WasiCtxBuilder::new().inherit_stdio());
    assert_eq!(p.write(1, b""), Ok(0));
    assert_eq!(p.call("fd_filestat_get", &[1.into(), OUT.into()]), 0);
    assert_eq!(p.close(1), 0);
    assert_eq!(p.write(1, b"x"), Err(BADF));
    println!("the host's own standard output is still open");
}
