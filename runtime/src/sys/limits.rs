//! Asks how much of a resource this process may have.

use rustix::io::{Errno, Result};

/// Returns the limit of a resource, or `None` if it is unlimited.
///
/// # Errors
/// Returns an error where a filter denies the question. (rustix takes it for one that cannot fail.)
pub(crate) fn limit_of(resource: libc::__rlimit_resource_t) -> Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure outlives the call.
    match unsafe { libc::getrlimit(resource, &mut limit) } {
        0 => Ok(Some(limit.rlim_cur).filter(|bytes| *bytes != libc::RLIM_INFINITY)),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
