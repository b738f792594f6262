//! Constant expressions, where their value depends on imports and so on the instance.

use crate::vmctx::View;
use minirt_compiler::module::{ConstExpr, ConstOp};

/// The value of a constant expression (specification, section 4.4.11) in an instance, as Wasm sees it.
///
/// # Safety
/// The view's imports must be written, and the globals that the expression names be initialised.
pub(crate) unsafe fn evaluate(view: View<'_>, expr: &ConstExpr) -> u128 {
    let mut stack: Vec<u128> = Vec::with_capacity(1);
    for op in &expr.0 {
        let value = match *op {
            ConstOp::I32Const(v) => u128::from(v as u32),
            ConstOp::I64Const(v) => u128::from(v as u64),
            ConstOp::F32Const(bits) => u128::from(bits),
            ConstOp::F64Const(bits) => u128::from(bits),
            ConstOp::V128Const(v) => v,
            ConstOp::RefNull(_) => 0,
            ConstOp::RefFunc(func) => {
                let record = view.layout.func_record(func).expect("a function named by ref.func escapes");
                view.vmctx.at::<u8>(record) as u128
            }
            // SAFETY: the caller's promise.
            ConstOp::GlobalGet(global) => unsafe {
                view.global(global).read(view.module.globals[global as usize].content)
            },
            _ => {
                let (right, left) = (pop(&mut stack), pop(&mut stack));
                op.arithmetic(left, right)
            }
        };
        stack.push(value);
    }
    pop(&mut stack)
}

fn pop(stack: &mut Vec<u128>) -> u128 {
    stack.pop().expect("a constant expression was validated")
}
