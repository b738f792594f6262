//! Does what depends on the processor: registers of an interrupted thread, frames on a stack, and
//! the way into compiled code.
//!
//! Every processor has a file with the same items. Nothing outside names a register.

mod position;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use position::{Frame, Landing, Position};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{
    FRAME_POINTER, enter, frame, interrupted, resume, shim_with_frame, shim_with_landing, thread_pointer,
};
