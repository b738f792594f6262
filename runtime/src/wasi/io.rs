//! Implements reading and writing: `fd_read`, `fd_write`, and both at an offset.
//!
//! Bytes go between the guest's memory and the host without a copy in between.

use super::call::Call;
use super::failure::Failure;
use super::host_io::Patience;
use super::params::{Fd, Filesize, Iovecs, Size};
use super::rights::Rights;
use super::transfer::{self, Fill};
use rustix::io::retry_on_intr;

pub(super) fn fd_read(call: &mut Call<'_>, fd: Fd, iovecs: Iovecs) -> Result<Size, Failure> {
    call.ctx().table.get(fd)?.require_data(Rights::FD_READ)?;
    let patience = call.patience();
    transfer::read(call, fd, iovecs, Fill::Available, |descriptor, buffers, done| {
        // After the first piece, more is read only if it is there already.
        descriptor.read(buffers, if done == 0 { patience } else { Patience::Never })
    })
}

pub(super) fn fd_write(call: &mut Call<'_>, fd: Fd, iovecs: Iovecs) -> Result<Size, Failure> {
    call.ctx().table.get(fd)?.require_data(Rights::FD_WRITE)?;
    let patience = call.patience();
    transfer::write(call, fd, iovecs, |descriptor, buffers, _| descriptor.write(buffers, patience))
}

pub(super) fn fd_pread(call: &mut Call<'_>, fd: Fd, iovecs: Iovecs, offset: Filesize) -> Result<Size, Failure> {
    let rights = Rights::FD_READ | Rights::FD_SEEK;
    call.ctx().table.get(fd)?.positioned(rights)?;
    transfer::read(call, fd, iovecs, Fill::Available, |descriptor, buffers, done| {
        let host = descriptor.positioned(rights)?;
        Ok(retry_on_intr(|| rustix::io::preadv(host, buffers, offset.0.saturating_add(done)))?)
    })
}

pub(super) fn fd_pwrite(call: &mut Call<'_>, fd: Fd, iovecs: Iovecs, offset: Filesize) -> Result<Size, Failure> {
    let rights = Rights::FD_WRITE | Rights::FD_SEEK;
    call.ctx().table.get(fd)?.positioned(rights)?;
    transfer::write(call, fd, iovecs, |descriptor, buffers, done| {
        descriptor.write_at(descriptor.positioned(rights)?, buffers, offset.0.saturating_add(done))
    })
}
