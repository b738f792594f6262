//! Does what depends on the processor: registers of an interrupted thread, frames on a stack, and
//! the way into compiled code.
//!
//! Every processor has a file with the same items. Nothing outside names a register.

mod position;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use position::{Frame, Position};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{FRAME_POINTER, enter, frame, interrupted, resume, thread_pointer};
