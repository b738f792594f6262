//! Constant expressions whose value depends on imports, and so on the instance.

use crate::vmctx::View;
use minirt_compiler::module::ConstExpr;

/// Returns the value of a constant expression in an instance, as Wasm sees it.
///
/// # Safety
/// The view's imports must be written, and the globals that the expression names be initialised.
pub(crate) unsafe fn evaluate(view: View<'_>, expr: &ConstExpr) -> u128 {
    let func = |index| view.layout.func_record(index).map(|record| view.vmctx.at::<u8>(record) as u128);
    // SAFETY: the caller's promise.
    let global = |index| Some(unsafe { view.global(index).read(view.module.globals[index as usize].content) });
    expr.evaluate(func, global).expect("the expression is valid, and functions named by ref.func escape")
}
