//! Defines WASI's records, and lays them out in a guest's memory: little-endian, padding zero.
//!
//! Plain data. `guest` reads and writes them.

use super::errno::{Errno, Result};
use super::filetype::Filetype;
use super::flags::{Fdflags, Flags, Roflags, Subclockflags};
use super::params::{Clockid, Dircookie, Fd, Filesize, Size, Timestamp};
use super::rights::Grant;
use rustix::fs::Stat;

/// Something that a guest gets through a pointer.
pub(super) trait Record {
    /// Bytes that it takes.
    const SIZE: u32;

    /// Writes it to `SIZE` bytes of zeros.
    fn encode(&self, to: &mut [u8]);
}

macro_rules! numbers {
    ($($Number:ty: $bytes:literal, $number:expr;)*) => {
        $(
        impl Record for $Number {
            const SIZE: u32 = $bytes;

            fn encode(&self, to: &mut [u8]) {
                to.copy_from_slice(&$number(self).to_le_bytes());
            }
        }
        )*
    };
}

numbers! {
    Fd: 4, |it: &Fd| it.0;
    Size: 4, |it: &Size| it.0;
    Filesize: 8, |it: &Filesize| it.0;
    Timestamp: 8, |it: &Timestamp| it.0;
    Roflags: 2, |it: &Roflags| it.bits();
}

/// `fdstat`: what a descriptor is, and its rights.
pub(super) struct Fdstat {
    pub(super) filetype: Filetype,
    pub(super) flags: Fdflags,
    pub(super) rights: Grant,
}

impl Record for Fdstat {
    const SIZE: u32 = 24;

    fn encode(&self, to: &mut [u8]) {
        to[0] = self.filetype.number();
        to[2..4].copy_from_slice(&self.flags.bits().to_le_bytes());
        to[8..16].copy_from_slice(&self.rights.base.bits().to_le_bytes());
        to[16..24].copy_from_slice(&self.rights.inheriting.bits().to_le_bytes());
    }
}

/// `filestat`: what a file is. Times are in nanoseconds since 1970.
pub(super) struct Filestat {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) filetype: Filetype,
    pub(super) links: u64,
    pub(super) size: u64,
    pub(super) accessed: u64,
    pub(super) modified: u64,
    pub(super) changed: u64,
}

impl Filestat {
    /// Returns what there is to say about something that is not a file of the host.
    pub(super) fn of_stream(filetype: Filetype) -> Self {
        Self { device: 0, inode: 0, filetype, links: 1, size: 0, accessed: 0, modified: 0, changed: 0 }
    }
}

impl Record for Filestat {
    const SIZE: u32 = 64;

    fn encode(&self, to: &mut [u8]) {
        to[0..8].copy_from_slice(&self.device.to_le_bytes());
        to[8..16].copy_from_slice(&self.inode.to_le_bytes());
        to[16] = self.filetype.number();
        to[24..32].copy_from_slice(&self.links.to_le_bytes());
        to[32..40].copy_from_slice(&self.size.to_le_bytes());
        to[40..48].copy_from_slice(&self.accessed.to_le_bytes());
        to[48..56].copy_from_slice(&self.modified.to_le_bytes());
        to[56..64].copy_from_slice(&self.changed.to_le_bytes());
    }
}

#[allow(clippy::useless_conversion, reason = "the number of links has another size on 64-bit Arm")]
impl From<&Stat> for Filestat {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            filetype: Filetype::of_mode(stat.st_mode),
            links: stat.st_nlink.into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed: nanoseconds(stat.st_atime, stat.st_atime_nsec as i64),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// Converts a time to nanoseconds. They fit from 1970 to 2554; outside, the nearer end is returned.
pub(super) fn nanoseconds(seconds: i64, fraction: i64) -> u64 {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    u64::try_from(total.max(0)).unwrap_or(u64::MAX)
}

/// `dirent`: the head of an entry of a directory; its name follows.
pub(super) struct Dirent {
    /// Where the listing goes on after this entry.
    pub(super) next: Dircookie,
    pub(super) inode: u64,
    pub(super) name_len: u32,
    pub(super) filetype: Filetype,
}

impl Record for Dirent {
    const SIZE: u32 = 24;

    fn encode(&self, to: &mut [u8]) {
        to[0..8].copy_from_slice(&self.next.0.to_le_bytes());
        to[8..16].copy_from_slice(&self.inode.to_le_bytes());
        to[16..20].copy_from_slice(&self.name_len.to_le_bytes());
        to[20] = self.filetype.number();
    }
}

/// `prestat`: what a preopened descriptor is. There are only directories.
pub(super) struct Prestat {
    pub(super) name_len: u32,
}

impl Record for Prestat {
    const SIZE: u32 = 8;

    fn encode(&self, to: &mut [u8]) {
        to[4..8].copy_from_slice(&self.name_len.to_le_bytes());
    }
}

/// `subscription`: what `poll_oneoff` is to wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Subscription {
    /// Comes back in the event.
    pub(super) userdata: u64,
    pub(super) until: Until,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Until {
    Clock { id: Clockid, timeout: Timestamp, absolute: bool },
    Readable(Fd),
    Writable(Fd),
}

impl Subscription {
    pub(super) const SIZE: usize = 48;

    pub(super) fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self> {
        let [userdata, tag, w0, w1, _precision, w3] = words(bytes);
        let until = match tag as u8 {
            0 => {
                let flags = Subclockflags::from_wasm(u32::from(w3 as u16))?;
                let absolute = flags.contains(Subclockflags::ABSTIME);
                Until::Clock { id: Clockid(w0 as u32), timeout: Timestamp(w1), absolute }
            }
            1 => Until::Readable(Fd(w0 as u32)),
            2 => Until::Writable(Fd(w0 as u32)),
            _ => return Err(Errno::INVAL),
        };
        Ok(Self { userdata, until })
    }
}

/// Splits a subscription into words: all its fields begin at multiples of eight.
fn words(bytes: &[u8; Subscription::SIZE]) -> [u64; 6] {
    let mut words = [0; 6];
    for (word, eight) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

/// `event`: what became of a subscription.
pub(super) struct Event {
    pub(super) userdata: u64,
    pub(super) until: Until,
    pub(super) outcome: Result<Ready>,
}

/// A descriptor or clock that is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// How many bytes can be read.
    pub(super) available: u64,
    /// Whether the other side is gone.
    pub(super) hangup: bool,
}

impl Record for Event {
    const SIZE: u32 = 32;

    fn encode(&self, to: &mut [u8]) {
        to[0..8].copy_from_slice(&self.userdata.to_le_bytes());
        to[10] = match self.until {
            Until::Clock { .. } => 0,
            Until::Readable(_) => 1,
            Until::Writable(_) => 2,
        };
        match self.outcome {
            Err(error) => to[8..10].copy_from_slice(&error.number().to_le_bytes()),
            Ok(Ready { available, hangup }) => {
                to[16..24].copy_from_slice(&available.to_le_bytes());
                to[24] = u8::from(hangup);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rights::Rights;
    use super::*;

    fn encoded<R: Record>(record: R) -> Vec<u8> {
        let mut bytes = vec![0; R::SIZE as usize];
        record.encode(&mut bytes);
        bytes
    }

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(encoded(Fd(0x102)), [2, 1, 0, 0]);
        assert_eq!(encoded(Size(0x0102_0304)), [4, 3, 2, 1]);
        assert_eq!(encoded(Filesize(0x0102 << 48)), [0, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!(encoded(Timestamp(7)), [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(Roflags::DATA_TRUNCATED), [1, 0]);
    }

    #[test]
    fn an_fdstat_lies_as_the_standard_says() {
        let rights = Grant { base: Rights::FD_READ, inheriting: Rights::FD_WRITE };
        let stat = Fdstat { filetype: Filetype::REGULAR_FILE, flags: Fdflags::SYNC, rights };
        let expected = [4, 0, 16, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(encoded(stat), expected);
    }

    #[test]
    fn a_filestat_lies_as_the_standard_says() {
        let filetype = Filetype::SYMBOLIC_LINK;
        let stat = Filestat { device: 1, inode: 2, filetype, links: 3, size: 4, accessed: 5, modified: 6, changed: 7 };
        let bytes = encoded(stat);
        for (offset, value) in [(0, 1), (8, 2), (16, 7), (24, 3), (32, 4), (40, 5), (48, 6), (56, 7)] {
            assert_eq!(bytes[offset], value, "at {offset}");
        }
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 8);
    }

    #[test]
    fn a_dirent_lies_as_the_standard_says() {
        let bytes = encoded(Dirent { next: Dircookie(1), inode: 2, name_len: 3, filetype: Filetype::REGULAR_FILE });
        assert_eq!((bytes[0], bytes[8], bytes[16], bytes[20]), (1, 2, 3, 4));
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 4);
    }

    #[test]
    fn a_prestat_lies_as_the_standard_says() {
        assert_eq!(encoded(Prestat { name_len: 0x102 }), [0, 0, 0, 0, 2, 1, 0, 0]);
    }

    #[test]
    fn a_clock_subscription_is_decoded() {
        let mut bytes = [0; 48];
        bytes[0] = 9;
        bytes[16] = 1;
        bytes[24] = 100;
        bytes[32] = 7;
        let mut until = |flags| {
            bytes[40] = flags;
            Subscription::decode(&bytes)
        };
        for (flags, absolute) in [(0, false), (1, true)] {
            let clock = Until::Clock { id: Clockid(1), timeout: Timestamp(100), absolute };
            assert_eq!(until(flags), Ok(Subscription { userdata: 9, until: clock }));
        }
    }

    #[test]
    fn a_descriptor_s_subscription_is_decoded() {
        let mut bytes = [0; 48];
        bytes[16] = 5;
        for (tag, until) in [(1, Until::Readable(Fd(5))), (2, Until::Writable(Fd(5)))] {
            bytes[8] = tag;
            assert_eq!(Subscription::decode(&bytes), Ok(Subscription { userdata: 0, until }));
        }
    }

    #[test]
    fn an_unknown_subscription_is_refused() {
        let mut bytes = [0; 48];
        bytes[8] = 3;
        assert_eq!(Subscription::decode(&bytes), Err(Errno::INVAL));
        bytes[8] = 0;
        bytes[40] = 2;
        assert_eq!(Subscription::decode(&bytes), Err(Errno::INVAL));
    }

    #[test]
    fn an_event_lies_as_the_standard_says() {
        let ready = Ready { available: 5, hangup: true };
        let bytes = encoded(Event { userdata: 9, until: Until::Readable(Fd(0)), outcome: Ok(ready) });
        assert_eq!((bytes[0], bytes[8], bytes[10], bytes[16], bytes[24]), (9, 0, 1, 5, 1));
        let bytes = encoded(Event { userdata: 9, until: Until::Writable(Fd(0)), outcome: Err(Errno::BADF) });
        assert_eq!((bytes[8], bytes[10], bytes[16], bytes[24]), (8, 2, 0, 0));
        let clock = Until::Clock { id: Clockid(0), timeout: Timestamp(0), absolute: false };
        let bytes = encoded(Event { userdata: 9, until: clock, outcome: Ok(Ready::default()) });
        assert_eq!((bytes[8], bytes[10], bytes[16], bytes[24]), (0, 0, 0, 0));
    }

    #[test]
    fn times_out_of_range_become_the_nearest() {
        assert_eq!(nanoseconds(1, 5), 1_000_000_005);
        assert_eq!(nanoseconds(-1, 0), 0);
        assert_eq!(nanoseconds(i64::MAX, 0), u64::MAX);
    }
}
