//! Converts the times of files that guests set.

use super::errno::{Errno, Result};
use super::flags::{Flags, Fstflags};
use super::params::Timestamp;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

/// Returns the times that the flags ask for: those given, the present, or none.
pub(super) fn timestamps(accessed: Timestamp, modified: Timestamp, flags: Fstflags) -> Result<Timestamps> {
    let has = |flag| flags.contains(flag);
    Ok(Timestamps {
        last_access: timespec(accessed, has(Fstflags::ATIM), has(Fstflags::ATIM_NOW))?,
        last_modification: timespec(modified, has(Fstflags::MTIM), has(Fstflags::MTIM_NOW))?,
    })
}

fn timespec(time: Timestamp, given: bool, now: bool) -> Result<Timespec> {
    match (given, now) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(in_seconds(time.0)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    }
}

/// Converts nanoseconds to what the host counts in. Every number of them fits.
pub(super) fn in_seconds(nanoseconds: u64) -> Timespec {
    const SECOND: u64 = 1_000_000_000;
    Timespec { tv_sec: (nanoseconds / SECOND) as i64, tv_nsec: (nanoseconds % SECOND) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(flags: Fstflags) -> Result<[(i64, i64); 2]> {
        let times = timestamps(Timestamp(1_000_000_005), Timestamp(2_000_000_003), flags)?;
        Ok([times.last_access, times.last_modification].map(|time| (time.tv_sec, time.tv_nsec)))
    }

    #[test]
    fn a_time_and_the_present_exclude_each_other() {
        for flags in [Fstflags::ATIM | Fstflags::ATIM_NOW, Fstflags::MTIM | Fstflags::MTIM_NOW] {
            assert_eq!(times(flags), Err(Errno::INVAL));
        }
    }

    #[test]
    fn each_time_is_given_or_the_present_or_left_alone() {
        assert_eq!(times(Fstflags::MTIM), Ok([(0, UTIME_OMIT), (2, 3)]));
        assert_eq!(times(Fstflags::ATIM | Fstflags::MTIM_NOW), Ok([(1, 5), (0, UTIME_NOW)]));
        assert_eq!(times(Fstflags::ATIM_NOW), Ok([(0, UTIME_NOW), (0, UTIME_OMIT)]));
    }
}
