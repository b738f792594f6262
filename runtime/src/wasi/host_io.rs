//! Moves bytes between buffers and what a descriptor stands for, with one system call.
//!
//! No call here waits for the other side if `Patience::Never` is asked for: it returns `AGAIN`.
//! None sends a signal.

use super::descriptor::{Descriptor, Kind, Object};
use super::errno::{Errno, Result};
use super::flags::{Fdflags, Flags};
use super::signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::{ReadWriteFlags, fcntl_dupfd_cloexec, retry_on_intr};
use rustix::net::sockopt::{Timeout, socket_timeout};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags};
use rustix::time::Timespec;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How many bytes can be written to a pipe for which there is room, on all systems: PIPE_BUF.
const PIPE_ROOM: usize = 4096;

/// `RWF_NOAPPEND`, which rustix has no name for: since Linux 6.9.
const NOAPPEND: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x20);

/// Moves an open file to another number if it has one of the host's standard streams, which the
/// host may have closed: what the host writes there would go to the guest's file.
pub(super) fn beyond_standard_streams(file: OwnedFd) -> rustix::io::Result<OwnedFd> {
    const FIRST: i32 = 3;
    if file.as_raw_fd() < FIRST { fcntl_dupfd_cloexec(file, FIRST) } else { Ok(file) }
}

/// Whether a call may wait for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It may, if others share the descriptor and want it to wait.
    Host,
    /// It returns `AGAIN` instead.
    Never,
}

/// A message, or a part of a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) bytes: usize,
    /// Whether the message was longer than the buffers.
    pub(super) truncated: bool,
}

impl Descriptor {
    /// Reads from where the descriptor stands.
    pub(super) fn read(&mut self, buffers: &mut [IoSliceMut<'_>], patience: Patience) -> Result<usize> {
        if let Object::Stream(stream) = &mut self.object
            && self.kind == Kind::Memory
        {
            return stream.read(buffers);
        }
        let host = self.host().ok_or(Errno::BADF)?;
        if self.kind.is_socket() {
            return Ok(receive(host, buffers, RecvFlags::empty())?.bytes);
        }
        self.would_wait(host, PollFlags::IN, patience)?;
        match retry_on_intr(|| rustix::io::readv(host, buffers))? {
            0 if self.kind == Kind::Pipe && self.waits() => self.read_after_nothing(host, buffers),
            read => Ok(read),
        }
    }

    /// A pipe has an end if there was a writer. Until the first comes, reading finds nothing and
    /// does not wait.
    fn read_after_nothing(&self, host: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        match ready(host, PollFlags::IN)? {
            found if found.contains(PollFlags::IN) => Ok(retry_on_intr(|| rustix::io::readv(host, buffers))?),
            found if found.is_empty() => Err(Errno::AGAIN),
            _ => Ok(0),
        }
    }

    /// Writes to where the descriptor stands.
    pub(super) fn write(&self, buffers: &[IoSlice<'_>], patience: Patience) -> Result<usize> {
        if let Object::Stream(stream) = &self.object
            && self.kind == Kind::Memory
        {
            return stream.write(buffers);
        }
        let host = self.host().ok_or(Errno::BADF)?;
        if self.kind.is_socket() {
            return send(host, buffers);
        }
        let write = || retry_on_intr(|| rustix::io::writev(host, buffers));
        self.would_wait(host, PollFlags::OUT, patience)?;
        Ok(match self.kind {
            Kind::Pipe => signals::to_pipe(write)?,
            Kind::File => signals::to_file(write)?,
            _ => write()?,
        })
    }

    /// Writes at an offset, to something that has one.
    pub(super) fn write_at(&self, host: BorrowedFd<'_>, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        let append = self.flags.contains(Fdflags::APPEND);
        let write = || match append {
            true => write_at_despite_append(host, buffers, offset),
            false => retry_on_intr(|| rustix::io::pwritev(host, buffers, offset)),
        };
        Ok(signals::to_file(write)?)
    }

    /// Returns the longest time that the embedder lets a socket wait, if it has set one.
    pub(super) fn patience_for(&self, events: PollFlags) -> Option<Duration> {
        let host = self.host().filter(|_| self.kind.is_socket())?;
        let which = if events == PollFlags::OUT { Timeout::Send } else { Timeout::Recv };
        socket_timeout(host, which).ok().flatten()
    }

    /// Returns the most bytes that can be written with one call, if it must not wait.
    pub(super) fn room(&self, patience: Patience) -> Option<usize> {
        (patience == Patience::Never && self.is_shared_with_waiting()).then_some(PIPE_ROOM)
    }

    /// Finds out whether a call would wait, where the host does not tell by itself.
    fn would_wait(&self, host: BorrowedFd<'_>, events: PollFlags, patience: Patience) -> Result<()> {
        match patience == Patience::Never && self.is_shared_with_waiting() && ready(host, events)?.is_empty() {
            true => Err(Errno::AGAIN),
            false => Ok(()),
        }
    }

    /// Returns whether others use it too, who must not be told `AGAIN`.
    fn is_shared_with_waiting(&self) -> bool {
        matches!((&self.object, self.kind), (Object::Stream(_), Kind::Pipe | Kind::Device))
    }
}

impl Kind {
    pub(super) fn is_socket(self) -> bool {
        matches!(self, Self::Connection | Self::Messages)
    }
}

/// Returns what a descriptor is ready for, without waiting.
pub(super) fn ready(host: BorrowedFd<'_>, events: PollFlags) -> Result<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(host, events)];
    retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    Ok(fds[0].revents())
}

/// Writes at an offset to a file that was opened to append, where Linux ignores the offset. If the
/// kernel has no flag against that for one call, the file stops appending for the time of the call:
/// it was opened for this guest alone, which does not write meanwhile.
fn write_at_despite_append(host: BorrowedFd<'_>, buffers: &[IoSlice<'_>], offset: u64) -> rustix::io::Result<usize> {
    use rustix::io::Errno as Os;
    match retry_on_intr(|| rustix::io::pwritev2(host, buffers, offset, NOAPPEND)) {
        Err(Os::OPNOTSUPP | Os::NOSYS | Os::INVAL) => (),
        other => return other,
    }
    let flags = rustix::fs::fcntl_getfl(host)?;
    rustix::fs::fcntl_setfl(host, flags.difference(OFlags::APPEND))?;
    let written = retry_on_intr(|| rustix::io::pwritev(host, buffers, offset));
    rustix::fs::fcntl_setfl(host, flags)?;
    written
}

/// Receives from a socket. Of a message that was cut off, so many bytes are in the buffers.
pub(super) fn receive(host: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], flags: RecvFlags) -> Result<Received> {
    let room = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut nothing_else = RecvAncillaryBuffer::default();
    let flags = flags | RecvFlags::DONTWAIT;
    let message = retry_on_intr(|| rustix::net::recvmsg(host, buffers, &mut nothing_else, flags))?;
    Ok(Received { bytes: message.bytes.min(room), truncated: message.flags.contains(ReturnFlags::TRUNC) })
}

/// Sends to a socket.
fn send(host: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> Result<usize> {
    let mut nothing_else = SendAncillaryBuffer::default();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(retry_on_intr(|| rustix::net::sendmsg(host, buffers, &mut nothing_else, flags))?)
}
