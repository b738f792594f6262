//! Reads clocks: real and monotonic time, and the processor time of this process and thread.

use super::call::Call;
use super::errno::{Errno, Result};
use super::params::{Clockid, Timestamp};
use super::records::nanoseconds;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Returns the host's clock.
pub(super) fn clock(Clockid(id): Clockid) -> Result<ClockId> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

/// Returns what a clock shows, in nanoseconds.
pub(super) fn now(clock: ClockId) -> u64 {
    in_nanoseconds(clock_gettime(clock))
}

fn in_nanoseconds(time: Timespec) -> u64 {
    nanoseconds(time.tv_sec, time.tv_nsec)
}

pub(super) fn clock_res_get(_: &mut Call<'_>, id: Clockid) -> Result<Timestamp> {
    Ok(Timestamp(in_nanoseconds(clock_getres(clock(id)?))))
}

/// Reads a clock. The guest's wish for a precision is ignored: the host's clocks have the precision
/// that they have.
pub(super) fn clock_time_get(_: &mut Call<'_>, id: Clockid, _precision: Timestamp) -> Result<Timestamp> {
    Ok(Timestamp(now(clock(id)?)))
}
