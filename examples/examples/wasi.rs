//! A program written in C, run with WASI; what it prints is caught.
//!
//! ```sh
//! cargo run -p minirt-examples --example wasi
//! ```

use minirt::wasi::{I32Exit, Input, Output, OutputBuffer, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Engine, Linker, Module, Result, Store};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/filetool.wasm");

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, PROGRAM)?;
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx)?;

    for arguments in [&["echo"][..], &["exit", "3"]] {
        // At most a mebibyte is kept; a guest that writes more gets an error.
        let caught = OutputBuffer::new(1 << 20);
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg("filetool").args(arguments);
        wasi.stdin(Input::Bytes(b"echoed".to_vec())).stdout(Output::Buffer(caught.clone()));
        let mut store = Store::new(&engine, wasi.build()?);
        let instance = linker.instantiate(&mut store, &module)?;
        let code = match instance.get_typed_func::<(), ()>(&store, "_start")?.call(&mut store, ()) {
            Ok(()) => 0,
            Err(error) => error.downcast::<I32Exit>()?.0,
        };
        let printed = caught.take();
        println!(
            "{arguments:?}: exit code {code}, {} bytes: {}",
            printed.len(),
            String::from_utf8_lossy(&printed).trim()
        );
    }
    Ok(())
}
