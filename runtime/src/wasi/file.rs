//! Implements the functions on an open descriptor besides reading and writing: its position, size,
//! times, flags, rights, and its end.
//!
//! Knows nothing of paths.

use super::call::Call;
use super::ctx::WasiCtx;
use super::descriptor::Object;
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::flags::{Fdflags, Flags, Fstflags};
use super::params::{Advice, Fd, Filedelta, Filesize, GuestSlice, Timestamp, Whence};
use super::records::{Fdstat, Filestat, Prestat};
use super::rights::{Grant, Rights};
use super::signals;
use super::times::timestamps;
use rustix::fs::{Advice as HostAdvice, FallocateFlags, OFlags, SeekFrom};
use rustix::io::retry_on_intr;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;

/// How much space is allocated at a time.
const ALLOCATED_PIECE: u64 = 64 << 20;

/// Moves the position. To find it out takes fewer rights than to change it.
pub(super) fn fd_seek(call: &mut Call<'_>, fd: Fd, Filedelta(offset): Filedelta, whence: Whence) -> Result<Filesize> {
    let to = match whence {
        Whence(0) => SeekFrom::Start(offset.try_into().map_err(|_| Errno::INVAL)?),
        Whence(1) if offset == 0 => return fd_tell(call, fd),
        Whence(1) => SeekFrom::Current(offset),
        Whence(2) => SeekFrom::End(offset),
        _ => return Err(Errno::INVAL),
    };
    let host = call.ctx().table.get(fd)?.positioned(Rights::FD_SEEK)?;
    Ok(Filesize(rustix::fs::seek(host, to)?))
}

pub(super) fn fd_tell(call: &mut Call<'_>, fd: Fd) -> Result<Filesize> {
    let descriptor = call.ctx().table.get(fd)?;
    let right = if descriptor.has(Rights::FD_SEEK) { Rights::FD_SEEK } else { Rights::FD_TELL };
    Ok(Filesize(rustix::fs::tell(descriptor.positioned(right)?)?))
}

pub(super) fn fd_close(call: &mut Call<'_>, fd: Fd) -> Result<()> {
    call.ctx().table.remove(fd).map(drop)
}

pub(super) fn fd_renumber(call: &mut Call<'_>, from: Fd, to: Fd) -> Result<()> {
    call.ctx().table.renumber(from, to).map(drop)
}

pub(super) fn fd_sync(call: &mut Call<'_>, fd: Fd) -> Result<()> {
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.require(Rights::FD_SYNC)?;
    Ok(rustix::fs::fsync(descriptor.host().ok_or(Errno::INVAL)?)?)
}

pub(super) fn fd_datasync(call: &mut Call<'_>, fd: Fd) -> Result<()> {
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.require(Rights::FD_DATASYNC)?;
    Ok(rustix::fs::fdatasync(descriptor.host().ok_or(Errno::INVAL)?)?)
}

pub(super) fn fd_advise(
    call: &mut Call<'_>,
    fd: Fd,
    Filesize(offset): Filesize,
    Filesize(len): Filesize,
    advice: Advice,
) -> Result<()> {
    let advice = match advice {
        Advice(0) => HostAdvice::Normal,
        Advice(1) => HostAdvice::Sequential,
        Advice(2) => HostAdvice::Random,
        Advice(3) => HostAdvice::WillNeed,
        Advice(4) => HostAdvice::DontNeed,
        Advice(5) => HostAdvice::NoReuse,
        _ => return Err(Errno::INVAL),
    };
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.require(Rights::FD_ADVISE)?;
    Ok(rustix::fs::fadvise(descriptor.host().ok_or(Errno::SPIPE)?, offset, NonZeroU64::new(len), advice)?)
}

/// Allocates space in pieces, since it can take long. What cannot fit is refused before the
/// first of them; what has been allocated before another error stays.
pub(super) fn fd_allocate(call: &mut Call<'_>, fd: Fd, offset: Filesize, len: Filesize) -> Result<(), Failure> {
    let (Filesize(mut offset), Filesize(mut left)) = (offset, len);
    fn host(ctx: &WasiCtx, fd: Fd) -> Result<BorrowedFd<'_>> {
        ctx.table.get(fd)?.positioned(Rights::FD_ALLOCATE)
    }
    may_fit(host(call.ctx(), fd)?, offset, left)?;
    loop {
        let piece = left.min(ALLOCATED_PIECE);
        let host = host(call.ctx(), fd)?;
        signals::to_file(|| retry_on_intr(|| rustix::fs::fallocate(host, FallocateFlags::empty(), offset, piece)))?;
        (offset, left) = (offset + piece, left - piece);
        if left == 0 {
            return Ok(());
        }
        call.checkpoint()?;
    }
}

/// Says no if a file cannot be that large, or its file system has less space. The space that the
/// file has already counts, wherever it is.
fn may_fit(host: BorrowedFd<'_>, offset: u64, len: u64) -> Result<()> {
    const MOST: u64 = i64::MAX.cast_unsigned();
    if offset > MOST || len > MOST {
        return Err(Errno::INVAL);
    }
    if offset + len > MOST {
        return Err(Errno::FBIG);
    }
    if len <= ALLOCATED_PIECE {
        return Ok(());
    }
    let (stat, system) = (rustix::fs::fstat(host)?, rustix::fs::fstatvfs(host)?);
    let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if len.saturating_sub(allocated) > free { Err(Errno::NOSPC) } else { Ok(()) }
}

pub(super) fn fd_filestat_get(call: &mut Call<'_>, fd: Fd) -> Result<Filestat> {
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_GET)?;
    match (&descriptor.object, descriptor.host()) {
        (Object::Stream(_), _) | (_, None) => Ok(Filestat::of_stream(descriptor.filetype())),
        (_, Some(host)) => Ok(Filestat::from(&rustix::fs::fstat(host)?)),
    }
}

pub(super) fn fd_filestat_set_size(call: &mut Call<'_>, fd: Fd, Filesize(size): Filesize) -> Result<()> {
    let host = call.ctx().table.get(fd)?.positioned(Rights::FD_FILESTAT_SET_SIZE)?;
    Ok(signals::to_file(|| retry_on_intr(|| rustix::fs::ftruncate(host, size)))?)
}

pub(super) fn fd_filestat_set_times(
    call: &mut Call<'_>,
    fd: Fd,
    accessed: Timestamp,
    modified: Timestamp,
    which: Fstflags,
) -> Result<()> {
    let times = timestamps(accessed, modified, which)?;
    let descriptor = call.ctx().table.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_SET_TIMES)?;
    Ok(rustix::fs::futimens(descriptor.host().ok_or(Errno::INVAL)?, &times)?)
}

pub(super) fn fd_fdstat_get(call: &mut Call<'_>, fd: Fd) -> Result<Fdstat> {
    Ok(call.ctx().table.get(fd)?.stat())
}

/// Switches appending and not waiting. What is synchronous stays so, as on Linux. A stream
/// may be shared with the embedder, so its flags are not a guest's to change.
pub(super) fn fd_fdstat_set_flags(call: &mut Call<'_>, fd: Fd, flags: Fdflags) -> Result<()> {
    const SWITCHED: Fdflags = Fdflags::APPEND.union(Fdflags::NONBLOCK);
    let descriptor = call.ctx().table.get_mut(fd)?;
    descriptor.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    let changed = flags.difference(descriptor.flags);
    if changed == Fdflags::default() {
        return Ok(());
    }
    if matches!(descriptor.object, Object::Stream(_)) || !SWITCHED.contains(changed) {
        return Err(Errno::NOTSUP);
    }
    // Whether it waits is known here alone: the host is never let wait, see `open`.
    if changed.contains(Fdflags::APPEND) {
        let host = descriptor.host().ok_or(Errno::NOTSUP)?;
        let mut status = rustix::fs::fcntl_getfl(host)?;
        status.set(OFlags::APPEND, flags.contains(Fdflags::APPEND));
        rustix::fs::fcntl_setfl(host, status)?;
    }
    descriptor.flags = flags;
    Ok(())
}

pub(super) fn fd_fdstat_set_rights(call: &mut Call<'_>, fd: Fd, rights: Grant) -> Result<()> {
    call.ctx().table.get_mut(fd)?.restrict(rights)
}

/// Returns the guest's name for a preopened directory. A descriptor that was not preopened is
/// `BADF`, too: guests look for preopens until they see that.
fn preopened_name(ctx: &WasiCtx, fd: Fd) -> Result<&str> {
    match &ctx.table.get(fd)?.object {
        Object::Directory(directory) => directory.preopen.as_deref().ok_or(Errno::BADF),
        _ => Err(Errno::BADF),
    }
}

pub(super) fn fd_prestat_get(call: &mut Call<'_>, fd: Fd) -> Result<Prestat> {
    let name_len = u32::try_from(preopened_name(call.ctx(), fd)?.len()).map_err(|_| Errno::OVERFLOW)?;
    Ok(Prestat { name_len })
}

pub(super) fn fd_prestat_dir_name(call: &mut Call<'_>, fd: Fd, buffer: GuestSlice) -> Result<()> {
    let (mut guest, ctx) = call.parts();
    let name = preopened_name(ctx, fd)?;
    if name.len() > buffer.len as usize {
        return Err(Errno::NAMETOOLONG);
    }
    guest.write_bytes(buffer.address, name.as_bytes())
}
