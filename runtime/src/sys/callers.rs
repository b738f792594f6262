//! Lists where the functions of the host on this stack go on, from the inside out, up to code that
//! is not the host's.
//!
//! Host code keeps no frame pointers, so this takes its unwind tables, which are there in every
//! program of Rust. It is slow, and only for those who asked where a write came from.

use super::arch::FRAME_POINTER;
use std::ffi::c_void;

/// A function on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    /// The instruction after its call, or, of the innermost function, the one that it executes.
    pub(crate) pc: usize,
    /// Its frame pointer. It means something only in a function that keeps one.
    pub(crate) frame: usize,
}

/// The system unwinder's description of a function.
#[repr(C)]
struct Context {
    _opaque: [u8; 0],
}

type Visit = extern "C" fn(*mut Context, *mut c_void) -> i32;

/// `_URC_NO_REASON` and `_URC_NORMAL_STOP` of the unwinder's interface.
const GO_ON: i32 = 0;
const STOP: i32 = 4;

// The unwinder that the standard library brings.
unsafe extern "C" {
    fn _Unwind_Backtrace(visit: Visit, argument: *mut c_void) -> i32;
    fn _Unwind_GetIP(context: *mut Context) -> usize;
    fn _Unwind_GetGR(context: *mut Context, register: i32) -> usize;
}

/// The most functions that are listed: a stack may be deep.
const MOST: usize = 64;

/// Returns the functions that are active on this stack, innermost first. One without unwind tables,
/// such as a guest's, is the last.
pub(crate) fn active() -> Vec<Active> {
    let mut active = Vec::with_capacity(MOST);
    // SAFETY: `visit` is called with this list, on this stack, before the function returns.
    unsafe { _Unwind_Backtrace(visit, (&raw mut active).cast()) };
    active
}

extern "C" fn visit(context: *mut Context, argument: *mut c_void) -> i32 {
    // SAFETY: the unwinder hands on what `active` gave it, and nobody else uses that meanwhile.
    let active = unsafe { &mut *argument.cast::<Vec<Active>>() };
    // SAFETY: the context is the unwinder's own, and valid during this call. It knows the register:
    // callees preserve it.
    active.push(unsafe { Active { pc: _Unwind_GetIP(context), frame: _Unwind_GetGR(context, FRAME_POINTER) } });
    if active.len() == MOST { STOP } else { GO_ON }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_an_end_however_deep_the_stack_is() {
        fn deep(depth: u32) -> usize {
            if depth == 0 { active().len() } else { std::hint::black_box(deep(depth - 1)) }
        }
        assert!(active().len() > 1);
        assert_eq!(deep(200), MOST);
    }
}
