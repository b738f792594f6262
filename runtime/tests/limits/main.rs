//! What a store may use up: fuel, time, memory, tables, stack.

#[path = "../common/mod.rs"]
mod common;
mod fuel;
mod limiter;
mod stack;
mod stopping;
