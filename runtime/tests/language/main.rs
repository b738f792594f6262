//! What WebAssembly says that code does: its instructions, types and traps, and which modules are
//! refused.

#[path = "../common/mod.rs"]
mod common;
mod atomics;
mod bad_input;
mod collector;
mod exceptions;
mod gc;
mod heap_hosts;
mod heap_limits;
mod gc_host;
mod gc_random;
mod legacy_exceptions;
mod loops;
mod memories;
mod objects;
mod references;
mod roots;
mod simd;
mod traps;
mod types;
