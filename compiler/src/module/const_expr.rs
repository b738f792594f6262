//! Represents constant expressions, and evaluates them.

use super::types::HeapType;

/// One instruction of a constant expression (specification, section 3.3.10, with extended
/// constants).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the instruction of its name; floats are kept as their bits")]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    F32Const(u32),
    F64Const(u64),
    V128Const(u128),
    RefNull(HeapType),
    RefFunc(u32),
    GlobalGet(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// A constant expression: valid, and without its final `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstExpr(pub Vec<ConstOp>);

impl ConstExpr {
    /// Returns its value (specification, section 4.4.11), given what stands for a function and what
    /// a global holds. `None` if one of these is `None`.
    pub fn evaluate(&self, func: impl Fn(u32) -> Option<u128>, global: impl Fn(u32) -> Option<u128>) -> Option<u128> {
        let mut stack = Vec::with_capacity(1);
        for op in &self.0 {
            let value = match *op {
                ConstOp::I32Const(v) => u128::from(v as u32),
                ConstOp::I64Const(v) => u128::from(v as u64),
                ConstOp::F32Const(bits) => u128::from(bits),
                ConstOp::F64Const(bits) => u128::from(bits),
                ConstOp::V128Const(v) => v,
                ConstOp::RefNull(_) => 0,
                ConstOp::RefFunc(index) => func(index)?,
                ConstOp::GlobalGet(index) => global(index)?,
                ConstOp::I32Add => i32_binary(&mut stack, u32::wrapping_add)?,
                ConstOp::I32Sub => i32_binary(&mut stack, u32::wrapping_sub)?,
                ConstOp::I32Mul => i32_binary(&mut stack, u32::wrapping_mul)?,
                ConstOp::I64Add => i64_binary(&mut stack, u64::wrapping_add)?,
                ConstOp::I64Sub => i64_binary(&mut stack, u64::wrapping_sub)?,
                ConstOp::I64Mul => i64_binary(&mut stack, u64::wrapping_mul)?,
            };
            stack.push(value);
        }
        stack.pop()
    }
}

fn i32_binary(stack: &mut Vec<u128>, op: fn(u32, u32) -> u32) -> Option<u128> {
    let (right, left) = (stack.pop()?, stack.pop()?);
    Some(op(left as u32, right as u32).into())
}

fn i64_binary(stack: &mut Vec<u128>, op: fn(u64, u64) -> u64) -> Option<u128> {
    let (right, left) = (stack.pop()?, stack.pop()?);
    Some(op(left as u64, right as u64).into())
}
