//! How a guest ends.

use std::fmt;

/// The guest called `proc_exit`: an error, since nothing of the guest runs after it, but not a failure.
///
/// Found in what a call returned by `error.downcast_ref::<I32Exit>()`.
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
