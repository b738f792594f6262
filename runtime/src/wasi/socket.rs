//! Implements the functions on sockets: accepting, receiving, sending and ending. Preview 1 cannot
//! make a socket, so those that a guest has were given to it, or accepted through one that was.

use super::call::Call;
use super::descriptor::Descriptor;
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::flags::{Fdflags, Flags, Riflags, Roflags, Sdflags, Siflags};
use super::host_io::{beyond_standard_streams, ready, receive};
use super::params::{Fd, Iovecs, Size};
use super::rights::{Grant, Rights};
use super::transfer::{self, Fill};
use rustix::event::PollFlags;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, Shutdown, SocketFlags};
use std::os::fd::OwnedFd;

/// Accepts a connection. The new descriptor has the rights that the listening one passes on.
pub(super) fn sock_accept(call: &mut Call<'_>, fd: Fd, flags: Fdflags) -> Result<Fd, Failure> {
    if !Fdflags::NONBLOCK.contains(flags) {
        return Err(Errno::INVAL.into());
    }
    let listener = call.ctx().table.get(fd)?;
    listener.as_socket(Rights::SOCK_ACCEPT)?;
    let waits = listener.waits();
    // Before anybody is accepted for whom there is no number.
    call.ctx().table.next_free()?;
    let accepted = loop {
        match accept(call.ctx().table.get(fd)?) {
            Err(Errno::AGAIN) if waits => call.wait(fd, PollFlags::IN)?,
            accepted => break accepted?,
        }
        call.checkpoint()?;
    };
    let table = &mut call.ctx().table;
    let rights = Grant::only(table.get(fd)?.inheriting());
    Ok(table.insert(Descriptor::socket(accepted, rights, flags))?)
}

/// Accepts who is there. If others accept through the same socket, who was there may be gone, and
/// then the host waits for the next.
fn accept(listener: &Descriptor) -> Result<OwnedFd> {
    let host = listener.as_socket(Rights::SOCK_ACCEPT)?;
    if ready(host, PollFlags::IN)?.is_empty() {
        return Err(Errno::AGAIN);
    }
    let accepted = retry_on_intr(|| rustix::net::accept_with(host, SocketFlags::CLOEXEC))?;
    Ok(beyond_standard_streams(accepted)?)
}

/// Receives bytes. Peeking returns what is there even if the guest waits for all, as POSIX allows.
pub(super) fn sock_recv(
    call: &mut Call<'_>,
    fd: Fd,
    iovecs: Iovecs,
    flags: Riflags,
) -> Result<(Size, Roflags), Failure> {
    call.ctx().table.get(fd)?.as_socket(Rights::FD_READ)?;
    let (fill, how) = match (flags.contains(Riflags::PEEK), flags.contains(Riflags::WAITALL)) {
        (true, _) => (Fill::Once, RecvFlags::PEEK),
        (false, true) => (Fill::Whole, RecvFlags::empty()),
        (false, false) => (Fill::Available, RecvFlags::empty()),
    };
    let mut became = Roflags::default();
    let count = transfer::read(call, fd, iovecs, fill, |descriptor, buffers, _| {
        let received = receive(descriptor.as_socket(Rights::FD_READ)?, buffers, how)?;
        if received.truncated {
            became = Roflags::DATA_TRUNCATED;
        }
        Ok(received.bytes)
    })?;
    Ok((count, became))
}

pub(super) fn sock_send(call: &mut Call<'_>, fd: Fd, iovecs: Iovecs, _none: Siflags) -> Result<Size, Failure> {
    call.ctx().table.get(fd)?.as_socket(Rights::FD_WRITE)?;
    let patience = call.patience();
    transfer::write(call, fd, iovecs, |descriptor, buffers, _| descriptor.write(buffers, patience))
}

pub(super) fn sock_shutdown(call: &mut Call<'_>, fd: Fd, how: Sdflags) -> Result<()> {
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.as_socket(Rights::NONE)?;
    let how = match (how.contains(Sdflags::RD), how.contains(Sdflags::WR)) {
        (true, false) => Shutdown::Read,
        (false, true) => Shutdown::Write,
        (true, true) => Shutdown::Both,
        (false, false) => return Err(Errno::INVAL),
    };
    Ok(rustix::net::shutdown(descriptor.as_socket(Rights::SOCK_SHUTDOWN)?, how)?)
}
