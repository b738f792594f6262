//! Adds functions to a generated module that work with objects: *workers*.
//!
//! wasm-smith makes types, and functions that use them. But nearly all of these trap, because a
//! reference is null or an index outside, and hardly any leaves an object behind. Workers make
//! objects of wasm-smith's types (and of a few more), store them in globals, tables, fields and
//! elements, and find them there in a later call. They only trap where that is meant, and they call
//! wasm-smith's functions with what these ask for.

// In reading order: a file uses only what stands above it.
mod types;
mod values;
mod statements;
mod module;

pub(crate) use module::with_workers;
