//! Functions on sockets: accepting, receiving, sending and ending. Preview 1 can not make a socket, so those that a guest
//! has were given to it, or accepted through one that was.

use super::ctx::WasiCtx;
use super::descriptor::{Descriptor, Object};
use super::errno::{Errno, Result};
use super::file::host_flags;
use super::guest::Guest;
use super::rights::Rights;
use super::types::{fdflags, riflags, sdflags};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};

/// The only flag of `roflags`: the message was longer than the buffers.
const DATA_TRUNCATED: u16 = 1;

fn socket(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<BorrowedFd<'_>> {
    let descriptor = ctx.table.get(fd)?;
    let Object::Socket(socket) = &descriptor.object else { return Err(Errno::NOTSOCK) };
    descriptor.require(rights)?;
    Ok(socket.as_fd())
}

/// The new descriptor may do what the listening one passes on.
pub(super) fn sock_accept(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32, flags: u32, accepted: u32) -> Result<()> {
    let flags = fdflags::from_guest(flags)?;
    if flags & !fdflags::NONBLOCK != 0 {
        return Err(Errno::INVAL);
    }
    let listener = socket(ctx, fd, Rights::SOCK_ACCEPT)?;
    // Before anybody is accepted who could not be told of.
    ctx.table.next_free()?;
    guest.slice_mut(accepted, 4)?;
    let host = retry_on_intr(|| rustix::net::accept_with(listener, SocketFlags::CLOEXEC))?;
    if host_flags(flags).contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(&host, rustix::fs::fcntl_getfl(&host)? | OFlags::NONBLOCK)?;
    }
    let inherited = ctx.table.get(fd)?.inheriting();
    let new = ctx.table.insert(Descriptor::socket(host, inherited, Rights::NONE, flags))?;
    guest.write_u32(accepted, new)
}

#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn sock_recv(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    count: u32,
    out_flags: u32,
) -> Result<()> {
    let flags = riflags::from_guest(flags)?;
    let names = [(riflags::PEEK, RecvFlags::PEEK), (riflags::WAITALL, RecvFlags::WAITALL)];
    let how: RecvFlags = names.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| name).collect();
    let host = socket(ctx, fd, Rights::FD_READ)?;
    let vectors = guest.vectors(iovs, iovs_len)?;
    let mut truncated = false;
    let received = guest.scatter(vectors, false, |buffers, _| {
        let mut nothing_else = RecvAncillaryBuffer::default();
        let message = retry_on_intr(|| rustix::net::recvmsg(host, buffers, &mut nothing_else, how))?;
        truncated = message.flags.contains(ReturnFlags::TRUNC);
        // Of a message that was cut off, so many bytes are in the buffers.
        Ok(message.bytes.min(buffers.iter().map(|buffer| buffer.len()).sum()))
    })?;
    guest.write_u32(count, received)?;
    guest.write(out_flags, &(if truncated { DATA_TRUNCATED } else { 0 }).to_le_bytes())
}

pub(super) fn sock_send(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    count: u32,
) -> Result<()> {
    if flags != 0 {
        return Err(Errno::INVAL); // Preview 1 has none.
    }
    let host = socket(ctx, fd, Rights::FD_WRITE)?;
    let vectors = guest.vectors(iovs, iovs_len)?;
    let sent = guest.gather(vectors, |buffers, _| {
        let mut nothing_else = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| rustix::net::sendmsg(host, buffers, &mut nothing_else, SendFlags::NOSIGNAL))?)
    })?;
    guest.write_u32(count, sent)
}

pub(super) fn sock_shutdown(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, how: u32) -> Result<()> {
    let host = socket(ctx, fd, Rights::NONE)?;
    let how = match sdflags::from_guest(how)? {
        sdflags::RD => Shutdown::Read,
        sdflags::WR => Shutdown::Write,
        0 => return Err(Errno::INVAL),
        _ => Shutdown::Both,
    };
    socket(ctx, fd, Rights::SOCK_SHUTDOWN)?;
    Ok(rustix::net::shutdown(host, how)?)
}
