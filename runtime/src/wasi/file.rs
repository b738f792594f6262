//! Functions on an open descriptor: reading, writing, positions, sizes, flags and rights.
//!
//! Knows nothing of paths. Bytes go between the guest's memory and the host without a copy in between.

use super::ctx::WasiCtx;
use super::descriptor::Object;
use super::errno::{Errno, Result};
use super::guest::Guest;
use super::rights::Rights;
use super::times::timestamps;
use super::types::{Filestat, encode_prestat, fdflags};
use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom};
use rustix::io::retry_on_intr;
use std::num::NonZeroU64;

pub(super) fn fd_read(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    count: u32,
) -> Result<()> {
    let descriptor = ctx.table.get_mut(fd)?;
    descriptor.require_data(Rights::FD_READ)?;
    let (vectors, repeat) = (guest.vectors(iovs, iovs_len)?, descriptor.is_regular());
    let read = if let Some(host) = descriptor.host() {
        guest.scatter(vectors, repeat, |buffers, _| Ok(retry_on_intr(|| rustix::io::readv(host, buffers))?))?
    } else if let Object::Stream(stream) = &mut descriptor.object {
        guest.scatter(vectors, true, |buffers, _| stream.read(buffers))?
    } else {
        return Err(Errno::BADF);
    };
    guest.write_u32(count, read)
}

pub(super) fn fd_write(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    count: u32,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    descriptor.require_data(Rights::FD_WRITE)?;
    let vectors = guest.vectors(iovs, iovs_len)?;
    let written = match (descriptor.host(), &descriptor.object) {
        (Some(host), _) => {
            guest.gather(vectors, |buffers, _| Ok(retry_on_intr(|| rustix::io::writev(host, buffers))?))?
        }
        (None, Object::Stream(stream)) => guest.gather(vectors, |buffers, _| stream.write(buffers))?,
        _ => return Err(Errno::BADF),
    };
    guest.write_u32(count, written)
}

pub(super) fn fd_pread(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    count: u32,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let host = descriptor.positioned(Rights::FD_READ | Rights::FD_SEEK)?;
    let vectors = guest.vectors(iovs, iovs_len)?;
    let read = guest.scatter(vectors, descriptor.is_regular(), |buffers, done| {
        Ok(retry_on_intr(|| rustix::io::preadv(host, buffers, offset.saturating_add(done)))?)
    })?;
    guest.write_u32(count, read)
}

/// With `APPEND`, Linux writes at the end whatever the offset.
pub(super) fn fd_pwrite(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    count: u32,
) -> Result<()> {
    let host = ctx.table.get(fd)?.positioned(Rights::FD_WRITE | Rights::FD_SEEK)?;
    let vectors = guest.vectors(iovs, iovs_len)?;
    let written = guest.gather(vectors, |buffers, done| {
        Ok(retry_on_intr(|| rustix::io::pwritev(host, buffers, offset.saturating_add(done)))?)
    })?;
    guest.write_u32(count, written)
}

/// Finding out the position needs less than changing it.
pub(super) fn fd_seek(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    position: u32,
) -> Result<()> {
    let to = match whence {
        0 => SeekFrom::Start(offset.try_into().map_err(|_| Errno::INVAL)?),
        1 if offset == 0 => return fd_tell(ctx, guest, fd, position),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::INVAL),
    };
    let host = ctx.table.get(fd)?.positioned(Rights::FD_SEEK)?;
    guest.write_u64(position, rustix::fs::seek(host, to)?)
}

pub(super) fn fd_tell(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32, position: u32) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let right = if descriptor.has(Rights::FD_SEEK) { Rights::FD_SEEK } else { Rights::FD_TELL };
    guest.write_u64(position, rustix::fs::tell(descriptor.positioned(right)?)?)
}

pub(super) fn fd_close(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32) -> Result<()> {
    ctx.table.remove(fd).map(drop)
}

pub(super) fn fd_renumber(ctx: &mut WasiCtx, _: &mut Guest<'_>, from: u32, to: u32) -> Result<()> {
    ctx.table.renumber(from, to).map(drop)
}

pub(super) fn fd_sync(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_SYNC)?;
    Ok(rustix::fs::fsync(descriptor.host().ok_or(Errno::INVAL)?)?)
}

pub(super) fn fd_datasync(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_DATASYNC)?;
    Ok(rustix::fs::fdatasync(descriptor.host().ok_or(Errno::INVAL)?)?)
}

pub(super) fn fd_advise(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Result<()> {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::INVAL),
    };
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_ADVISE)?;
    Ok(rustix::fs::fadvise(descriptor.host().ok_or(Errno::SPIPE)?, offset, NonZeroU64::new(len), advice)?)
}

pub(super) fn fd_allocate(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, offset: u64, len: u64) -> Result<()> {
    let host = ctx.table.get(fd)?.positioned(Rights::FD_ALLOCATE)?;
    Ok(retry_on_intr(|| rustix::fs::fallocate(host, FallocateFlags::empty(), offset, len))?)
}

pub(super) fn fd_filestat_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32, stat: u32) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_GET)?;
    let found = match descriptor.host() {
        Some(host) => Filestat::from(&rustix::fs::fstat(host)?),
        None => Filestat::of_stream(),
    };
    guest.write(stat, &found.encode())
}

pub(super) fn fd_filestat_set_size(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, size: u64) -> Result<()> {
    let host = ctx.table.get(fd)?.positioned(Rights::FD_FILESTAT_SET_SIZE)?;
    Ok(retry_on_intr(|| rustix::fs::ftruncate(host, size))?)
}

pub(super) fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result<()> {
    let times = timestamps(accessed, modified, flags)?;
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_SET_TIMES)?;
    Ok(rustix::fs::futimens(descriptor.host().ok_or(Errno::INVAL)?, &times)?)
}

pub(super) fn fd_fdstat_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32, stat: u32) -> Result<()> {
    let found = ctx.table.get(fd)?.stat();
    guest.write(stat, &found.encode())
}

/// Appending and not waiting can be switched. What is synchronous stays so, as on Linux. A stream may be shared with
/// the embedder, so its flags are not a guest's to change.
pub(super) fn fd_fdstat_set_flags(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, flags: u32) -> Result<()> {
    const SWITCHED: u16 = fdflags::APPEND | fdflags::NONBLOCK;
    let flags = fdflags::from_guest(flags)?;
    let descriptor = ctx.table.get_mut(fd)?;
    descriptor.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    if flags == descriptor.flags {
        return Ok(());
    }
    let stream = matches!(descriptor.object, Object::Stream(_));
    if stream || (flags ^ descriptor.flags) & !SWITCHED != 0 {
        return Err(Errno::NOTSUP);
    }
    let host = descriptor.host().ok_or(Errno::NOTSUP)?;
    let kept = rustix::fs::fcntl_getfl(host)?.difference(OFlags::APPEND | OFlags::NONBLOCK);
    rustix::fs::fcntl_setfl(host, kept | host_flags(flags & SWITCHED))?;
    descriptor.flags = flags;
    Ok(())
}

/// The host's names of `fdflags`.
pub(super) fn host_flags(flags: u16) -> OFlags {
    let names = [
        (fdflags::APPEND, OFlags::APPEND),
        (fdflags::DSYNC, OFlags::DSYNC),
        (fdflags::NONBLOCK, OFlags::NONBLOCK),
        (fdflags::RSYNC, OFlags::RSYNC),
        (fdflags::SYNC, OFlags::SYNC),
    ];
    names.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| name).collect()
}

pub(super) fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    rights: u64,
    inheriting: u64,
) -> Result<()> {
    ctx.table.get_mut(fd)?.restrict(Rights::from_bits(rights), Rights::from_bits(inheriting))
}

/// `BADF` for what is open but not preopened too: guests look for preopens until they see it.
fn preopened_name(ctx: &WasiCtx, fd: u32) -> Result<&str> {
    match &ctx.table.get(fd)?.object {
        Object::Directory(directory) => directory.preopen.as_deref().ok_or(Errno::BADF),
        _ => Err(Errno::BADF),
    }
}

pub(super) fn fd_prestat_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32, prestat: u32) -> Result<()> {
    let len = u32::try_from(preopened_name(ctx, fd)?.len()).map_err(|_| Errno::OVERFLOW)?;
    guest.write(prestat, &encode_prestat(len))
}

pub(super) fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<()> {
    let name = preopened_name(ctx, fd)?;
    if name.len() > path_len as usize {
        return Err(Errno::NAMETOOLONG);
    }
    guest.write(path, name.as_bytes())
}
