//! Keeps files of the runtime away from the numbers of standard input, output and error.
//!
//! A process that has closed those (many that run in the background have) gets their numbers for
//! the next files that it opens. A message to standard error would then go to such a file, and a
//! guest that inherits standard input would read it.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::{Result, fcntl_dupfd_cloexec};

/// The first number that is not a standard stream's.
pub(crate) const FIRST: i32 = 3;

/// Moves an open file to another number if it has one of a standard stream. Programs that this
/// process starts do not inherit it.
///
/// # Errors
/// Returns an error if there is no other number.
pub(crate) fn beyond_standard_streams(file: OwnedFd) -> Result<OwnedFd> {
    if file.as_raw_fd() < FIRST { fcntl_dupfd_cloexec(file, FIRST) } else { Ok(file) }
}
