//! Asks how much of a resource this process may have.

use rustix::io::{Errno, Result};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

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

/// Returns whether the system counts private memory that could be written as memory in use
/// (`vm.overcommit_memory=2`), as far as it tells. It is asked once.
pub(crate) fn counts_what_could_be_written() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    // No lock, which a thread of the parent could hold for ever in a child: asking twice does no
    // harm.
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    let known = ANSWER.load(Relaxed);
    if known != UNKNOWN {
        return known == YES;
    }
    let counts = std::fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|text| text.trim_ascii() == b"2");
    ANSWER.store(if counts { YES } else { NO }, Relaxed);
    counts
}
