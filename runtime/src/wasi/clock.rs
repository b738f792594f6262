//! Clocks: real and monotonic time, and the processor time of this process and thread.

use super::ctx::WasiCtx;
use super::errno::{Errno, Result};
use super::guest::Guest;
use super::types::nanoseconds;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// WASI's `clockid`.
pub(super) fn clock(id: u32) -> Result<ClockId> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

/// What a clock shows, in nanoseconds.
pub(super) fn now(clock: ClockId) -> u64 {
    in_nanoseconds(clock_gettime(clock))
}

fn in_nanoseconds(time: Timespec) -> u64 {
    nanoseconds(time.tv_sec, time.tv_nsec)
}

pub(super) fn clock_res_get(_: &mut WasiCtx, guest: &mut Guest<'_>, id: u32, resolution: u32) -> Result<()> {
    guest.write_u64(resolution, in_nanoseconds(clock_getres(clock(id)?)))
}

/// The host's clocks are as precise as they are, whatever is asked for.
pub(super) fn clock_time_get(
    _: &mut WasiCtx,
    guest: &mut Guest<'_>,
    id: u32,
    _precision: u64,
    time: u32,
) -> Result<()> {
    guest.write_u64(time, now(clock(id)?))
}
