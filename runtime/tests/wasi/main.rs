//! WASI preview 1 as a guest meets it.
#![cfg(all(feature = "wasi", feature = "wat"))]

#[path = "../common/mod.rs"]
mod common;
mod directories;
mod escape;
mod files;
mod hostile;
mod program;
mod sockets;
mod streams;
mod suite;
mod waiting;
