//! Constant expressions: what they consist of, and what they evaluate to.

use super::types::HeapType;

/// One instruction of a constant expression (specification, section 3.3.10, with extended constants).
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

impl ConstOp {
    /// Returns the result of one of the instructions that take two numbers.
    ///
    /// # Panics
    /// Panics for the other instructions.
    fn arithmetic(self, left: u128, right: u128) -> u128 {
        let (left, right) = (left as u64, right as u64);
        let wide = match self {
            Self::I32Add | Self::I64Add => left.wrapping_add(right),
            Self::I32Sub | Self::I64Sub => left.wrapping_sub(right),
            Self::I32Mul | Self::I64Mul => left.wrapping_mul(right),
            other => unreachable!("{other:?} takes no operands"),
        };
        let narrow = matches!(self, Self::I32Add | Self::I32Sub | Self::I32Mul);
        if narrow { u128::from(wide as u32) } else { u128::from(wide) }
    }
}

/// A constant expression: valid, and without its final `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstExpr(pub Vec<ConstOp>);

impl ConstExpr {
    /// Returns its value (specification, section 4.4.11), given what stands for a function and what a global holds.
    /// `None` if one of these is `None`.
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
                _ => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    op.arithmetic(left, right)
                }
            };
            stack.push(value);
        }
        stack.pop()
    }
}
