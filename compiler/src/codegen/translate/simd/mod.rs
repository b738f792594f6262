//! Vectors: the fixed-width SIMD instructions and the relaxed ones (specification, section 4.4.3).
//!
//! In Cranelift, the type of a vector says what its lanes are. In Wasm all vectors are v128. So a
//! vector is sixteen bytes wherever values meet (on the stack, in locals, blocks, calls and
//! globals), and an instruction that works on other lanes takes a view of its operands. A view is a
//! change of type that costs no machine code.

mod vector;
mod lane;
mod memory;
mod integer;
mod float;
mod relaxed;
