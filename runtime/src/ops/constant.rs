//! Evaluates constant expressions whose value depends on imports, and so on the instance.

use crate::vmctx::View;
use minirt_compiler::module::{ConstExpr, Contents, Surroundings};

/// An instance, as constant expressions see it.
struct Live<'a, O> {
    view: View<'a>,
    object: O,
}

impl<O: FnMut(u32, Contents<'_>) -> Option<u128>> Surroundings for Live<'_, O> {
    fn func(&mut self, index: u32) -> Option<u128> {
        Some(function(self.view, index))
    }

    fn global(&mut self, index: u32) -> Option<u128> {
        // SAFETY: whoever evaluates vouches for the instance and its globals.
        Some(unsafe { self.view.global(index).read(self.view.module.globals[index as usize].content) })
    }

    fn object(&mut self, ty: u32, contents: Contents<'_>) -> Option<u128> {
        (self.object)(ty, contents)
    }
}

/// Returns the value of a constant expression in an instance, as Wasm sees it. It must make no
/// objects.
///
/// # Safety
/// The view's imports must be written, and the globals that the expression names be initialised.
pub(crate) unsafe fn evaluate(view: View<'_>, expr: &ConstExpr) -> u128 {
    // SAFETY: the caller's promise.
    let value = unsafe { evaluate_with(view, expr, |_, _| None) };
    value.expect("the expression is valid, and makes no objects")
}

/// Does the same, and makes objects with `object`, given the index of the type. `None` if `object`
/// returns that.
///
/// # Safety
/// As for [`evaluate`].
pub(crate) unsafe fn evaluate_with(
    view: View<'_>,
    expr: &ConstExpr,
    object: impl FnMut(u32, Contents<'_>) -> Option<u128>,
) -> Option<u128> {
    expr.evaluate(&view.module.types, &mut Live { view, object })
}

/// Returns a reference to a function of an instance, as Wasm sees it: the address of its record.
pub(crate) fn function(view: View<'_>, index: u32) -> u128 {
    let record = view.layout.func_record(index).expect("functions that expressions name escape");
    view.vmctx.at::<u8>(record) as u128
}
