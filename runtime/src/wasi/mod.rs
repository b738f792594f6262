//! WASI preview 1: files, clocks, randomness and the rest, for guests that import `wasi_snapshot_preview1`.
//!
//! ```no_run
//! use minirt::wasi::{DirAccess, I32Exit, WasiCtx, WasiCtxBuilder, add_to_linker};
//! use minirt::{Engine, Linker, Module, Store};
//!
//! let engine = Engine::default();
//! let module = Module::from_file(&engine, "program.wasm")?;
//! let mut linker: Linker<WasiCtx> = Linker::new(&engine);
//! add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! let mut wasi = WasiCtxBuilder::new();
//! wasi.arg("program").inherit_stdio().preopened_dir("data", "/data", DirAccess::ReadOnly)?;
//! let mut store = Store::new(&engine, wasi.build()?);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let result = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ());
//! let code = match result {
//!     Ok(()) => 0,
//!     Err(error) => error.downcast::<I32Exit>()?.0,
//! };
//! # minirt::Result::<()>::Ok(())
//! ```
//!
//! # Layout
//!
//! `link` alone knows the runtime, through its public interface; it hands each function a `Guest`, the guest's
//! memory with every access checked, and the `WasiCtx`, whose `Table` of descriptors is all that a guest has. Functions
//! stand in `file` (open descriptors), `dir` (listing), `path` and `open` (paths), `clock`, `poll`, `process` and
//! `socket`. `types`, `rights` and `errno` are the standard's data.
//!
//! Paths are cap-std's to resolve, beneath the directory they are relative to; other calls to the host are rustix's.
//! There is no unsafe code here, no number of a guest makes the host allocate without a bound, and whatever it passes is
//! answered with an error number at worst.

#![forbid(unsafe_code)]

mod builder;
mod clock;
mod ctx;
mod descriptor;
mod dir;
mod errno;
mod exit;
mod file;
mod guest;
mod link;
mod open;
mod path;
mod poll;
mod process;
mod rights;
mod socket;
mod stdio;
mod strings;
mod table;
mod times;
mod types;

pub use builder::{DirAccess, WasiCtxBuilder};
pub use ctx::WasiCtx;
pub use exit::I32Exit;
pub use link::add_to_linker;
pub use stdio::{Input, Output, OutputBuffer};
