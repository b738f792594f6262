//! Expresses Wasm's types, functions and traps in Cranelift's terms.
//!
//! Knows nothing of instructions.

use crate::base::trap::Trap;
use crate::instance::builtin::{Builtin, BuiltinSignature, Width};
use crate::module::{FuncType, RefKind, ValType};
use cranelift_codegen::ir::types::{F32, F64, I8X16, I32, I64};
use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, TrapCode, Type};
use cranelift_codegen::isa::CallConv;

/// Returns how a value of this type is held.
pub(crate) fn value_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => I32,
        ValType::I64 => I64,
        ValType::F32 => F32,
        ValType::F64 => F64,
        ValType::V128 => I8X16,
        ValType::Ref(ty) => reference_type(ty.heap.kind()),
    }
}

/// Returns how a reference is held. Null is 0.
pub(crate) fn reference_type(kind: RefKind) -> Type {
    match kind {
        RefKind::Func | RefKind::Extern | RefKind::Any | RefKind::Exn => I64,
    }
}

/// Returns the signature of a Wasm function: the callee's vmctx, then the parameters.
pub(crate) fn wasm_signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::special(I64, ArgumentPurpose::VMContext));
    signature.params.extend(ty.params().iter().map(|ty| AbiParam::new(value_type(*ty))));
    signature.returns.extend(ty.results().iter().map(|ty| AbiParam::new(value_type(*ty))));
    signature
}

/// Returns the signature of what code calls when its epoch deadline has passed. It takes the
/// caller's vmctx, and changes no register, so that it costs little where it is never called.
pub(crate) fn new_epoch_signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.push(AbiParam::special(I64, ArgumentPurpose::VMContext));
    signature
}

/// Returns the signature of a builtin, in the platform's calling convention.
pub(crate) fn builtin_signature(builtin: Builtin, convention: CallConv) -> Signature {
    let BuiltinSignature { params, result } = builtin.signature();
    let vmctx = AbiParam::new(I64);
    let mut signature = Signature::new(convention);
    signature.params.extend(std::iter::once(vmctx).chain(params.iter().copied().map(integer)));
    signature.returns.push(integer(result));
    signature
}

fn integer(width: Width) -> AbiParam {
    AbiParam::new(match width {
        Width::W32 => I32,
        Width::W64 => I64,
    })
}

/// The traps that Cranelift raises by itself, with its codes for them. The others keep their own
/// codes.
const RESERVED: [(Trap, TrapCode); 5] = [
    (Trap::StackOverflow, TrapCode::STACK_OVERFLOW),
    (Trap::MemoryOutOfBounds, TrapCode::HEAP_OUT_OF_BOUNDS),
    (Trap::IntegerOverflow, TrapCode::INTEGER_OVERFLOW),
    (Trap::IntegerDivisionByZero, TrapCode::INTEGER_DIVISION_BY_ZERO),
    (Trap::BadConversionToInteger, TrapCode::BAD_CONVERSION_TO_INTEGER),
];

/// Returns the code that Cranelift attaches to an instruction for a trap.
pub(crate) fn trap_code(trap: Trap) -> TrapCode {
    let reserved = RESERVED.iter().find(|(known, _)| *known == trap);
    reserved.map_or_else(|| TrapCode::unwrap_user(trap.code()), |(_, code)| *code)
}

/// Returns the trap of a code. It is the inverse of [`trap_code`], and `None` for any other code.
pub(crate) fn from_trap_code(code: TrapCode) -> Option<Trap> {
    let reserved = RESERVED.iter().find(|(_, known)| *known == code);
    reserved.map_or_else(|| Trap::from_code(code.as_raw().get()), |(trap, _)| Some(*trap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_survives_the_way_through_cranelift() {
        for trap in (0..=u8::MAX).filter_map(Trap::from_code) {
            assert_eq!(from_trap_code(trap_code(trap)), Some(trap));
        }
    }
}
