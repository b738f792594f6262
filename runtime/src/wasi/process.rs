//! What a guest sees of its process: arguments, environment, randomness, the scheduler, signals.

use super::ctx::WasiCtx;
use super::errno::{Errno, Result};
use super::guest::Guest;
use rustix::rand::{GetRandomFlags, getrandom};

pub(super) fn args_sizes_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, count: u32, len: u32) -> Result<()> {
    ctx.args.sizes(guest, count, len)
}

pub(super) fn args_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, pointers: u32, buffer: u32) -> Result<()> {
    ctx.args.write(guest, pointers, buffer)
}

pub(super) fn environ_sizes_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, count: u32, len: u32) -> Result<()> {
    ctx.environ.sizes(guest, count, len)
}

pub(super) fn environ_get(ctx: &mut WasiCtx, guest: &mut Guest<'_>, pointers: u32, buffer: u32) -> Result<()> {
    ctx.environ.write(guest, pointers, buffer)
}

/// Straight into the guest's memory. The host may give less than asked for.
pub(super) fn random_get(_: &mut WasiCtx, guest: &mut Guest<'_>, buffer: u32, len: u32) -> Result<()> {
    let mut rest = guest.slice_mut(buffer, len)?;
    while !rest.is_empty() {
        let given = rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
        rest = &mut rest[given..];
    }
    Ok(())
}

pub(super) fn sched_yield(_: &mut WasiCtx, _: &mut Guest<'_>) -> Result<()> {
    std::thread::yield_now();
    Ok(())
}

/// A guest has no process that could be signalled. No signal is fine.
pub(super) fn proc_raise(_: &mut WasiCtx, _: &mut Guest<'_>, signal: u32) -> Result<()> {
    match signal {
        0 => Ok(()),
        1..=30 => Err(Errno::NOTSUP),
        _ => Err(Errno::INVAL),
    }
}
