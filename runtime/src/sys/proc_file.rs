//! Opens the files of /proc that describe this process, each once.
//!
//! A child inherits its parent's descriptors, and would be told about its parent. So a descriptor
//! is kept where no child finds it, however the child was made (`fork`). Where that is not
//! possible, nobody is asked.

use super::descriptor::beyond_standard_streams;
use super::fork::{Once, zero_in_children};
use rustix::fd::IntoRawFd;
use rustix::fs::{Mode, OFlags};
use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// One of the files.
pub(crate) struct ProcFile {
    path: &'static CStr,
    /// The index, among the numbers that are zero in children, of the one that holds the descriptor
    /// plus one.
    number: usize,
    /// The descriptor, for a child to close that will not use it.
    inheritable: AtomicI32,
}

/// The kernel's description of each page.
pub(crate) static PAGE_MAP: ProcFile = ProcFile::new(c"/proc/self/pagemap", 0);
/// The list of mappings.
pub(crate) static MAPPINGS: ProcFile = ProcFile::new(c"/proc/self/maps", 1);

impl ProcFile {
    const fn new(path: &'static CStr, number: usize) -> Self {
        Self { path, number, inheritable: AtomicI32::new(-1) }
    }

    /// Returns the file's descriptor. `None` if it cannot be opened.
    #[inline]
    pub(crate) fn descriptor(&self) -> Option<i32> {
        let plus_one = zero_in_children(self.number)?;
        // Whoever sees the number also sees, in the kernel, what another thread has opened.
        match plus_one.load(Acquire) {
            0 => self.open(plus_one),
            file => Some(file - 1),
        }
    }

    #[cold]
    fn open(&self, plus_one: &AtomicI32) -> Option<i32> {
        let file = rustix::fs::open(self.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let file = file.and_then(beyond_standard_streams).ok()?.into_raw_fd();
        static AT_FORK: Once = Once::new();
        // SAFETY: the handler does only what is allowed between fork and exec. If there is no
        // memory to note it, a child keeps a descriptor that it does not use.
        AT_FORK.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(close_inherited)) });
        // Another thread may have been as quick: its descriptor is as good, and ours has no other
        // user.
        match plus_one.compare_exchange(0, file + 1, Release, Acquire) {
            Ok(_) => {
                self.inheritable.store(file, Relaxed);
                Some(file)
            }
            Err(theirs) => {
                // SAFETY: the descriptor was opened above, and nobody else knows it.
                unsafe { libc::close(file) };
                Some(theirs - 1)
            }
        }
    }
}

extern "C" fn close_inherited() {
    for file in [&PAGE_MAP, &MAPPINGS] {
        let descriptor = file.inheritable.swap(-1, Relaxed);
        if descriptor != -1 {
            // SAFETY: the descriptor is this module's, and nobody can be using it: a new child has
            // one thread.
            unsafe { libc::close(descriptor) };
        }
    }
}
