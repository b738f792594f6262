//! Tells the failures that a guest hears of from those that stop it.

use super::errno::Errno;

/// The reason why a function failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The guest gets this number, and goes on.
    Errno(Errno),
    /// The guest does not go on. Its caller gets this error.
    Stop(crate::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Errno(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Errno(error.into())
    }
}
