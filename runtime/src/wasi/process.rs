//! Implements what a guest sees of its process: arguments, environment, randomness, the scheduler,
//! signals.

use super::call::{Call, PIECE};
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::params::{GuestPtr, GuestSlice, Signal, Size};
use rustix::rand::{GetRandomFlags, getrandom};

/// An address, as a guest finds it in its memory.
type Address = GuestPtr<u8>;

pub(super) fn args_sizes_get(call: &mut Call<'_>) -> Result<(Size, Size)> {
    Ok(call.ctx().args.sizes())
}

pub(super) fn args_get(call: &mut Call<'_>, args: GuestPtr<Address>, buffer: GuestPtr<u8>) -> Result<()> {
    let (mut guest, ctx) = call.parts();
    ctx.args.write(&mut guest, args, buffer)
}

pub(super) fn environ_sizes_get(call: &mut Call<'_>) -> Result<(Size, Size)> {
    Ok(call.ctx().environ.sizes())
}

pub(super) fn environ_get(call: &mut Call<'_>, environ: GuestPtr<Address>, buffer: GuestPtr<u8>) -> Result<()> {
    let (mut guest, ctx) = call.parts();
    ctx.environ.write(&mut guest, environ, buffer)
}

/// Fills the buffer straight from the kernel, which may give less than it is asked for.
pub(super) fn random_get(call: &mut Call<'_>, buffer: GuestSlice) -> Result<(), Failure> {
    call.guest().slice(buffer)?;
    let mut rest = buffer;
    loop {
        let piece = GuestSlice { len: rest.len.min(PIECE as u32), ..rest };
        let mut guest = call.guest();
        let bytes = guest.slice_mut(piece)?;
        let given = rustix::io::retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty()))? as u32;
        rest = GuestSlice { address: rest.address.wrapping_add(given), len: rest.len - given };
        if rest.len == 0 {
            return Ok(());
        }
        call.checkpoint()?;
    }
}

pub(super) fn sched_yield(_: &mut Call<'_>) -> Result<()> {
    std::thread::yield_now();
    Ok(())
}

/// Accepts signal 0 alone: a guest has no process that a signal could reach.
pub(super) fn proc_raise(_: &mut Call<'_>, Signal(signal): Signal) -> Result<()> {
    match signal {
        0 => Ok(()),
        1..=30 => Err(Errno::NOTSUP),
        _ => Err(Errno::INVAL),
    }
}
