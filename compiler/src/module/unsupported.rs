//! What function bodies may not use, although wasmparser finds it valid.
//!
//! To wasmparser, garbage collection is one feature. Of that, minirt has what types of functions need; the instructions
//! are for objects that are not there, and so are the types that instructions name.

use super::convert::{heap_type, invalid, value_type};
use crate::base::error::CompileError;
use wasmparser::{BlockType, FunctionBody, Operator};

macro_rules! proposals {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// Whether an instruction is one of the proposal for garbage collection.
        fn is_gc(op: &Operator<'_>) -> bool {
            match op {
                $(Operator::$op { .. } => proposals!(@is_gc $proposal),)*
                _ => false,
            }
        }
    };
    (@is_gc gc) => { true };
    (@is_gc $other:ident) => { false };
}

wasmparser::for_each_operator!(proposals);

/// Checks an instruction that wasmparser finds valid.
///
/// # Errors
/// When it is not there yet, or names a type that is not.
pub(crate) fn check(op: &Operator<'_>, offset: u64) -> Result<(), CompileError> {
    let types = match op {
        Operator::RefNull { hty } => heap_type(*hty).map(drop),
        Operator::TypedSelect { ty } => value_type(*ty).map(drop),
        Operator::Block { blockty: BlockType::Type(ty) }
        | Operator::Loop { blockty: BlockType::Type(ty) }
        | Operator::If { blockty: BlockType::Type(ty) } => value_type(*ty).map(drop),
        op if is_gc(op) => Err(format!("gc support is not complete: {} is not supported yet", name(op))),
        _ => Ok(()),
    };
    types.map_err(|message| CompileError::invalid(message, offset as usize))
}

/// Checks a whole body that wasmparser finds valid.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_body(body: &FunctionBody<'_>) -> Result<(), CompileError> {
    let mut locals = body.get_locals_reader().map_err(invalid)?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position() as usize;
        let (_, ty) = locals.read().map_err(invalid)?;
        value_type(ty).map_err(|message| CompileError::invalid(message, offset))?;
    }
    for op in body.get_operators_reader().map_err(invalid)?.into_iter_with_offsets() {
        let (op, offset) = op.map_err(invalid)?;
        check(&op, offset)?;
    }
    Ok(())
}

/// An instruction's name, as wasmparser has it.
pub(crate) fn name(op: &Operator<'_>) -> String {
    let text = format!("{op:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}
