//! Function bodies: whether they are valid, and whether minirt has what they use.
//!
//! All bodies of a module are validated before any is compiled, so a module that will be refused costs no more than that.

use super::convert::FromParser;
use super::instruction::Instruction;
use super::parse::Body;
use super::types::ValType;
use crate::base::error::CompileError;
use wasmparser::FuncValidatorAllocations;

/// Validates bodies, given in order.
///
/// # Errors
/// That of the first body that breaks a rule of the specification or uses what minirt does not have, with the offset of
/// the instruction in the module.
pub(crate) fn bodies<'a>(bodies: impl IntoIterator<Item = Body<'a>>) -> Result<(), CompileError> {
    let mut allocations = FuncValidatorAllocations::default();
    bodies.into_iter().try_for_each(|it| body(it, &mut allocations))
}

fn body(it: Body<'_>, allocations: &mut FuncValidatorAllocations) -> Result<(), CompileError> {
    let Body { validator, body } = it;
    let mut validator = validator.into_validator(std::mem::take(allocations));
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read()?;
        validator.define_locals(offset, count, ty)?;
        ValType::from_parser(ty).map_err(|missing| missing.at(offset as usize))?;
    }
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (op, offset) = operators.read_with_offset()?;
        validator.op(offset, &op)?;
        Instruction::new(op).map_err(|missing| missing.at(offset as usize))?;
    }
    operators.finish()?;
    *allocations = validator.into_allocations();
    Ok(())
}
