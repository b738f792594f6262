//! Implements WASI preview 1: files, clocks, randomness and the rest, for guests that import
//! `wasi_snapshot_preview1`.
//!
//! ```no_run
//! use minirt::wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, add_to_linker};
//! use minirt::{Engine, Linker, Module, Store};
//!
//! let engine = Engine::default();
//! let module = Module::from_file(&engine, "program.wasm")?;
//! let mut linker: Linker<WasiCtx> = Linker::new(&engine);
//! add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! let mut wasi = WasiCtxBuilder::new();
//! wasi.arg("program").inherit_stdio().preopened_dir("data", "/data", FsPerms::ReadOnly)?;
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
//! `link` alone knows the runtime, through its public interface. It hands each function a `Call`:
//! the guest's memory with every access checked, the `WasiCtx`, whose `FdTable` is all that a guest
//! has, and the store's deadline. Arguments are of types of their own (`params`, `flags`,
//! `rights`), results are `records`. Functions stand in `file` and `io` (open descriptors), `dir`
//! (listing), `path` and `open` (paths), `clock`, `poll`, `process` and `socket`.
//!
//! Paths are cap-std's to resolve, beneath the directory they are relative to; other calls to the
//! host are rustix's. The only unsafe code is in `signals`, which keeps the host from being ended
//! by a guest's writes. No number of a guest makes the host allocate without a bound, and no call
//! keeps a guest from its deadline. Whatever a guest passes is answered with an error number at
//! worst.

#![deny(unsafe_code)]

mod errno;
mod params;
mod flags;
mod filetype;
mod rights;
mod records;
mod exit;
mod failure;
mod guest;
mod strings;
mod signals;
mod stdio;
mod fd_table;
mod descriptor;
mod host_io;
mod ctx;
mod call;
mod transfer;
mod clock;
mod times;
mod process;
mod file;
mod io;
mod dir;
mod path;
mod open;
mod poll;
mod socket;
mod builder;
mod link;
pub mod p1;

pub use builder::{FsPerms, WasiCtxBuilder};
pub use ctx::WasiCtx;
pub use exit::I32Exit;
pub use link::add_to_linker;
pub use stdio::{Input, Output, OutputBuffer};
