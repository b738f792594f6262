//! WASI preview 1 as a guest meets it.
#![cfg(all(feature = "wasi", feature = "wat"))]

#[path = "../process/child.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod child;
#[path = "../common/mod.rs"]
mod common;
mod deadlines;
mod directories;
mod escape;
mod files;
mod host_limits;
mod hostile;
mod names;
mod program;
mod sockets;
mod streams;
mod suite;
mod waiting;
