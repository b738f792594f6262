//! One function body to Cranelift IR.
//!
//! `state` holds what is known on the way, and `branch` the ways between blocks. The files from
//! `numeric` on add the instructions, a family each
//! ([`Instruction`](crate::module::instruction::Instruction) lists the families). Nothing here
//! knows other functions' bodies, or what becomes of the IR.

mod clause;
mod tries;
mod repeated;
mod state;
mod branch;
mod meter;
mod numeric;
mod memory;
mod atomic;
mod simd;
mod bulk;
mod table;
mod reference;
mod variable;
mod handler;
mod exception;
mod legacy;
mod gc;
mod control;
mod call;
mod function;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use function::translate;
pub(crate) use state::ModuleContext;
