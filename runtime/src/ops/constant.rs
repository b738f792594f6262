//! Evaluates constant expressions whose value depends on imports, and so on the instance.

use crate::vmctx::View;
use minirt_compiler::module::ConstExpr;

/// Returns the value of a constant expression in an instance, as Wasm sees it.
///
/// # Safety
/// The view's imports must be written, and the globals that the expression names be initialised.
pub(crate) unsafe fn evaluate(view: View<'_>, expr: &ConstExpr) -> u128 {
    let func = |index| Some(function(view, index));
    // SAFETY: the caller's promise.
    let global = |index| Some(unsafe { view.global(index).read(view.module.globals[index as usize].content) });
    expr.evaluate(func, global).expect("the expression is valid")
}

/// Returns a reference to a function of an instance, as Wasm sees it: the address of its record.
pub(crate) fn function(view: View<'_>, index: u32) -> u128 {
    let record = view.layout.func_record(index).expect("functions that expressions name escape");
    view.vmctx.at::<u8>(record) as u128
}
