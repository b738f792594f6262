//! Defines how a guest ends by itself.

use std::fmt;

/// Says that the guest called `proc_exit`. It is an error, since nothing of the guest runs after
/// it, but not a failure.
///
/// `error.downcast_ref::<I32Exit>()` finds it in what a call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct I32Exit(
    /// The exit code.
    pub i32,
);

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with code {}", self.0)
    }
}

impl std::error::Error for I32Exit {}
