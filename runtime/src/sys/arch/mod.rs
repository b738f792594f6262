//! Does what depends on the processor: registers of an interrupted thread, frames on a stack, and
//! the way into compiled code.
//!
//! Every processor has a file with the same items. Nothing outside names a register.

mod position;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as processor;
pub(crate) use position::{Frame, Landing, Position};
pub(crate) use processor::{
    FRAME_POINTER, enter, frame, interrupted, page_size, publish_code, resume, shim_with_frame, shim_with_landing,
    thread_pointer,
};
#[cfg(target_arch = "x86_64")]
use x86_64 as processor;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("minirt runs on Linux, on x86-64 and 64-bit Arm; ARCHITECTURE.md says what another processor needs");

#[cfg(test)]
mod tests {
    use super::thread_pointer;

    #[test]
    fn a_thread_pointer_is_the_threads_own() {
        assert_eq!(thread_pointer(), thread_pointer());
        let here = thread_pointer();
        std::thread::scope(|scope| assert_ne!(scope.spawn(thread_pointer).join().unwrap(), here));
    }
}
