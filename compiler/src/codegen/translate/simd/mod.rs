//! Vectors: the fixed-width SIMD instructions and the relaxed ones (specification, section 4.4.3).
//!
//! Cranelift types a vector by its lanes, and Wasm does not: there all vectors are v128. So a vector is sixteen bytes
//! wherever values meet (on the stack, in locals, blocks, calls and globals), and an instruction that works on
//! other lanes takes a view of its operands. A view is a change of type; it costs no machine code.

mod vector;
mod lane;
mod memory;
mod integer;
mod float;
mod relaxed;
