//! Writes without the signals that writing can raise.
//!
//! Linux sends SIGPIPE to a thread that writes to a pipe without a reader, and SIGXFSZ to one that
//! makes a file larger than the process may (RLIMIT_FSIZE). Both end the process unless it has said
//! otherwise, and a guest can have both: so they must not come. A library cannot say otherwise for
//! the whole process, as that belongs to the embedder. But the kernel sends these two to the very
//! thread that writes, and what a thread has blocked is its own affair: the signal is blocked for
//! the one call, and if the call has raised it, taken back before the thread is as it was.
//!
//! Looking first, whether there is a reader and where the limit is, would not do: the reader may
//! leave in between, and another guest may append to the same file. Flags that keep a call from
//! sending the signal would do, but files have none, and pipes only since Linux 6.18. Sockets have
//! always had one (MSG_NOSIGNAL), so they need nothing of this.
//!
//! The only unsafe code of WASI is here: calls of libc's.

#![allow(unsafe_code, reason = "rustix has no safe way to block and take signals")]

use rustix::io::Errno;
use std::mem::MaybeUninit;

/// Writes to a pipe, which may have no reader: that is PIPE.
pub(super) fn to_pipe<R>(write: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
    without(libc::SIGPIPE, Errno::PIPE, write)
}

/// Writes to a file or changes its size, for which there may be a limit: beyond it is FBIG.
///
/// Where there is no limit, which is usual, the only cost is to find that out. If the embedder sets
/// one at the same moment, it may be found out too early; a guest cannot bring that about.
pub(super) fn to_file<R>(write: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
    if file_sizes_are_limited() { without(libc::SIGXFSZ, Errno::FBIG, write) } else { write() }
}

fn file_sizes_are_limited() -> bool {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the limit is written if the call succeeds, and only then read.
    unsafe {
        libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) != 0
            || limit.assume_init().rlim_cur != libc::RLIM_INFINITY
    }
}

/// Calls `write` with this signal blocked in this thread. `error` is what the kernel returns when
/// it sends the signal.
fn without<R>(signal: i32, error: Errno, write: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
    let only = set_of(signal);
    let before = change_mask(libc::SIG_BLOCK, &only)?;
    // A signal that somebody else has blocked may be pending already. It is theirs, and stays.
    let theirs = contains(&before, signal) && is_pending(signal);
    let result = write();
    if !theirs && matches!(&result, Err(raised) if *raised == error) {
        take(&only);
    }
    change_mask(libc::SIG_SETMASK, &before)?;
    result
}

fn set_of(signal: i32) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call initialises the set, the second adds a signal that exists.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

fn contains(set: &libc::sigset_t, signal: i32) -> bool {
    // SAFETY: the set is initialised, and the signal exists.
    unsafe { libc::sigismember(set, signal) == 1 }
}

/// Changes which signals this thread blocks, and returns which it did before.
fn change_mask(how: i32, set: &libc::sigset_t) -> Result<libc::sigset_t, Errno> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the set is initialised, and `before` is written if the call succeeds.
    match unsafe { libc::pthread_sigmask(how, set, before.as_mut_ptr()) } {
        // SAFETY: it succeeded.
        0 => Ok(unsafe { before.assume_init() }),
        error => Err(Errno::from_raw_os_error(error)),
    }
}

fn is_pending(signal: i32) -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: the set is written if the call succeeds, and only then read.
    unsafe { libc::sigpending(pending.as_mut_ptr()) == 0 && contains(&pending.assume_init(), signal) }
}

/// Takes a signal of this set if one is waiting for this thread.
fn take(set: &libc::sigset_t) {
    const NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let interrupted = || std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
    // SAFETY: the set is initialised; nobody wants to know more about the signal.
    while unsafe { libc::sigtimedwait(set, std::ptr::null_mut(), &NOW) } < 0 && interrupted() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, PipeWriter};

    /// Returns a pipe that nobody reads.
    fn deaf_pipe() -> PipeWriter {
        let (_, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        writer
    }

    fn blocked(signal: i32) -> bool {
        contains(&change_mask(libc::SIG_BLOCK, &set_of(signal)).unwrap(), signal)
    }

    #[test]
    fn a_signal_that_was_raised_is_taken_and_the_mask_is_as_before() {
        let test = || {
            let pipe = deaf_pipe();
            assert_eq!(to_pipe(|| rustix::io::write(&pipe, b"x")), Err(Errno::PIPE));
            assert!(!is_pending(libc::SIGPIPE));
            assert!(!blocked(libc::SIGPIPE));
        };
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn an_error_without_a_signal_does_not_wait_for_one() {
        assert_eq!(to_pipe(|| Err::<(), _>(Errno::PIPE)), Err(Errno::PIPE));
        assert_eq!(to_pipe(|| Ok(7)), Ok(7));
    }

    /// In a thread of its own, since it leaves a signal waiting.
    #[test]
    fn a_signal_that_somebody_else_waits_for_stays() {
        let test = || {
            let mine = set_of(libc::SIGPIPE);
            change_mask(libc::SIG_BLOCK, &mine).unwrap();
            let pipe = deaf_pipe();
            assert_eq!(to_pipe(|| rustix::io::write(&pipe, b"x")), Err(Errno::PIPE));
            assert!(!is_pending(libc::SIGPIPE), "ours is taken");
            assert!(blocked(libc::SIGPIPE), "and what was blocked is");
            assert_eq!(rustix::io::write(&pipe, b"x"), Err(Errno::PIPE));
            assert_eq!(to_pipe(|| rustix::io::write(&pipe, b"x")), Err(Errno::PIPE));
            assert!(is_pending(libc::SIGPIPE), "theirs is left");
            take(&mine);
        };
        std::thread::spawn(test).join().unwrap();
    }
}
