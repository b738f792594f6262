//! Holds what a function of WASI works on: the guest's memory and descriptors, and the store's
//! deadline.
//!
//! A function must not keep a guest from its end. Whatever may take long is done in pieces, and
//! whatever waits for somebody waits in slices; in between, it looks at the store's epoch deadline.
//! There, the embedder may do anything with the store. So nothing of the guest can be kept across
//! it: memory and descriptors are asked for again.

use super::ctx::WasiCtx;
use super::errno::Errno;
use super::failure::Failure;
use super::guest::Guest;
use super::host_io::Patience;
use super::params::Fd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::time::{Duration, Instant};

/// The most bytes that are moved before the deadline is looked at.
pub(super) const PIECE: usize = 1 << 20;

/// The longest time that is waited before the deadline is looked at: so late may a guest stop that
/// waits.
const SLICE: Duration = Duration::from_millis(10);

/// A store, in the middle of a call of a host function. `link` implements it, for whatever data a
/// store has.
pub(super) trait Host {
    /// Returns the guest's memory, and all else that it has.
    fn parts(&mut self) -> (Guest<'_>, &mut WasiCtx);

    /// Returns whether there are deadlines.
    fn has_deadlines(&self) -> bool;

    /// Does what the store does at deadlines, if one has passed. An error stops the guest.
    fn check_deadline(&mut self) -> crate::Result<()>;
}

/// A guest's call of one of the functions.
pub(super) struct Call<'a>(pub(super) &'a mut dyn Host);

impl Call<'_> {
    pub(super) fn parts(&mut self) -> (Guest<'_>, &mut WasiCtx) {
        self.0.parts()
    }

    pub(super) fn ctx(&mut self) -> &mut WasiCtx {
        self.0.parts().1
    }

    pub(super) fn guest(&mut self) -> Guest<'_> {
        self.0.parts().0
    }

    /// Looks at the deadline, between one piece of work and the next.
    pub(super) fn checkpoint(&mut self) -> Result<(), Failure> {
        self.0.check_deadline().map_err(Failure::Stop)
    }

    /// Returns whether calls of the host may wait by themselves. Where there are deadlines, they
    /// may not.
    pub(super) fn patience(&self) -> Patience {
        if self.0.has_deadlines() { Patience::Never } else { Patience::Host }
    }

    /// Returns how long to wait before the next checkpoint, of a time that may be without end.
    pub(super) fn slice(&self, left: Option<Duration>) -> Option<Duration> {
        match (self.0.has_deadlines(), left) {
            (true, left) => Some(left.map_or(SLICE, |left| left.min(SLICE))),
            (false, left) => left,
        }
    }

    /// Waits until a descriptor is ready. A socket may have been given the longest time to wait;
    /// after that, it is `AGAIN`.
    pub(super) fn wait(&mut self, fd: Fd, events: PollFlags) -> Result<(), Failure> {
        let end =
            self.ctx().table.get(fd)?.patience_for(events).and_then(|longest| Instant::now().checked_add(longest));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let slice = self.slice(left).map(timespec);
            let host = self.ctx().table.get(fd)?.host().ok_or(Errno::BADF)?;
            match poll(&mut [PollFd::from_borrowed_fd(host, events)], slice.as_ref()) {
                Ok(0) if left.is_some_and(|left| left.is_zero()) => return Err(Errno::AGAIN.into()),
                Ok(0) | Err(rustix::io::Errno::INTR) => self.checkpoint()?,
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits a little, for something that nobody tells of.
    pub(super) fn nap(&mut self) -> Result<(), Failure> {
        std::thread::sleep(SLICE);
        self.checkpoint()
    }
}

/// Converts a time to what the host counts in. What is beyond 292 billion years does not fit, and
/// becomes that.
pub(super) fn timespec(time: Duration) -> Timespec {
    let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() }
}
