//! Represents constant expressions, and evaluates them.

use super::composite::TypeDef;
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
    /// `struct.new`, of the structure type with this index.
    StructNew(u32),
    StructNewDefault(u32),
    /// `array.new`, of the array type with this index.
    ArrayNew(u32),
    ArrayNewDefault(u32),
    ArrayNewFixed {
        ty: u32,
        len: u32,
    },
    RefI31,
    AnyConvertExtern,
    ExternConvertAny,
}

/// The contents of a new object: values as Wasm sees them.
#[derive(Clone, Copy, Debug)]
pub enum Contents<'a> {
    /// These, one for each field or element.
    Values(&'a [u128]),
    /// Zero or null in all fields.
    Default,
    /// An array of `len` elements, which all have this value.
    Repeat(u128, u32),
}

/// The surroundings of constant expressions: everything that they depend on.
pub trait Surroundings {
    /// Returns a reference to a function, if that is known.
    fn func(&mut self, index: u32) -> Option<u128>;
    /// Returns the value of a global, if that is known.
    fn global(&mut self, index: u32) -> Option<u128>;
    /// Makes an object of the type with this index, and returns a reference to it. `None` if that
    /// is not possible.
    fn object(&mut self, ty: u32, contents: Contents<'_>) -> Option<u128>;
}

/// A constant expression: valid, and without its final `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstExpr(pub Vec<ConstOp>);

impl ConstExpr {
    /// Returns the globals that it reads.
    pub fn globals(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter_map(|op| if let ConstOp::GlobalGet(global) = op { Some(*global) } else { None })
    }

    /// Returns whether it makes objects, so that each evaluation has another value.
    pub fn makes_objects(&self) -> bool {
        self.0.iter().any(|op| match op {
            ConstOp::StructNew(_) | ConstOp::StructNewDefault(_) | ConstOp::ArrayNew(_) => true,
            ConstOp::ArrayNewDefault(_) | ConstOp::ArrayNewFixed { .. } => true,
            ConstOp::I32Const(_) | ConstOp::I64Const(_) | ConstOp::F32Const(_) | ConstOp::F64Const(_) => false,
            ConstOp::V128Const(_) | ConstOp::RefNull(_) | ConstOp::RefFunc(_) | ConstOp::GlobalGet(_) => false,
            ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => false,
            ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => false,
            ConstOp::RefI31 | ConstOp::AnyConvertExtern | ConstOp::ExternConvertAny => false,
        })
    }

    /// Returns its value (specification, section 4.4.11), given the types of the module and what it
    /// depends on. `None` if something of that is not known.
    pub fn evaluate(&self, types: &[TypeDef], surroundings: &mut impl Surroundings) -> Option<u128> {
        let mut stack = Vec::with_capacity(1);
        for op in &self.0 {
            let value = match *op {
                ConstOp::I32Const(v) => u128::from(v as u32),
                ConstOp::I64Const(v) => u128::from(v as u64),
                ConstOp::F32Const(bits) => u128::from(bits),
                ConstOp::F64Const(bits) => u128::from(bits),
                ConstOp::V128Const(v) => v,
                ConstOp::RefNull(_) => 0,
                ConstOp::RefFunc(index) => surroundings.func(index)?,
                ConstOp::GlobalGet(index) => surroundings.global(index)?,
                ConstOp::I32Add => i32_binary(&mut stack, u32::wrapping_add)?,
                ConstOp::I32Sub => i32_binary(&mut stack, u32::wrapping_sub)?,
                ConstOp::I32Mul => i32_binary(&mut stack, u32::wrapping_mul)?,
                ConstOp::I64Add => i64_binary(&mut stack, u64::wrapping_add)?,
                ConstOp::I64Sub => i64_binary(&mut stack, u64::wrapping_sub)?,
                ConstOp::I64Mul => i64_binary(&mut stack, u64::wrapping_mul)?,
                ConstOp::StructNew(ty) => {
                    let fields = types.get(ty as usize)?.composite.as_struct()?.fields().len();
                    let values = stack.split_off(stack.len().checked_sub(fields)?);
                    surroundings.object(ty, Contents::Values(&values))?
                }
                ConstOp::StructNewDefault(ty) => surroundings.object(ty, Contents::Default)?,
                ConstOp::ArrayNew(ty) => {
                    let (len, value) = (stack.pop()?, stack.pop()?);
                    surroundings.object(ty, Contents::Repeat(value, len as u32))?
                }
                ConstOp::ArrayNewDefault(ty) => {
                    let len = stack.pop()?;
                    surroundings.object(ty, Contents::Repeat(0, len as u32))?
                }
                ConstOp::ArrayNewFixed { ty, len } => {
                    let values = stack.split_off(stack.len().checked_sub(len as usize)?);
                    surroundings.object(ty, Contents::Values(&values))?
                }
                ConstOp::RefI31 => u128::from((stack.pop()? as u32) << 1 | 1),
                // Both have the same representation.
                ConstOp::AnyConvertExtern | ConstOp::ExternConvertAny => stack.pop()?,
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
