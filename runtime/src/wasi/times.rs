//! The times of files, as guests set them.

use super::errno::{Errno, Result};
use super::types::fstflags;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

/// Nanoseconds since 1970, of which the flags say whether they or the present are meant, or nothing.
pub(super) fn timestamps(accessed: u64, modified: u64, flags: u32) -> Result<Timestamps> {
    let flags = fstflags::from_guest(flags)?;
    let is = |flag| flags & flag != 0;
    Ok(Timestamps {
        last_access: timespec(accessed, is(fstflags::ATIM), is(fstflags::ATIM_NOW))?,
        last_modification: timespec(modified, is(fstflags::MTIM), is(fstflags::MTIM_NOW))?,
    })
}

fn timespec(time: u64, given: bool, now: bool) -> Result<Timespec> {
    match (given, now) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(since_1970(time)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    }
}

/// Nanoseconds as the host counts them; all of them fit.
pub(super) fn since_1970(nanoseconds: u64) -> Timespec {
    const SECOND: u64 = 1_000_000_000;
    Timespec { tv_sec: (nanoseconds / SECOND) as i64, tv_nsec: (nanoseconds % SECOND) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_the_present_exclude_each_other() {
        for flags in [fstflags::ATIM | fstflags::ATIM_NOW, fstflags::MTIM | fstflags::MTIM_NOW] {
            assert_eq!(timestamps(1, 2, u32::from(flags)).err(), Some(Errno::INVAL));
        }
    }

    #[test]
    fn a_time_that_is_not_named_is_left_alone() {
        let times = timestamps(1, 2_000_000_003, u32::from(fstflags::MTIM)).unwrap();
        assert_eq!(times.last_access.tv_nsec, UTIME_OMIT);
        assert_eq!((times.last_modification.tv_sec, times.last_modification.tv_nsec), (2, 3));
    }
}
