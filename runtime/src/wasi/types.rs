//! WASI's flags and records, and how records lie in a guest's memory: little-endian, padding zero.
//!
//! Plain data. Where records are read from or written to is the business of `guest`.

use super::errno::{Errno, Result};
use super::rights::Rights;
use rustix::fs::Stat;

/// WASI's `filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filetype(u8);

impl Filetype {
    pub(super) const UNKNOWN: Self = Self(0);
    pub(super) const BLOCK_DEVICE: Self = Self(1);
    pub(super) const CHARACTER_DEVICE: Self = Self(2);
    pub(super) const DIRECTORY: Self = Self(3);
    pub(super) const REGULAR_FILE: Self = Self(4);
    pub(super) const SOCKET_DGRAM: Self = Self(5);
    pub(super) const SOCKET_STREAM: Self = Self(6);
    pub(super) const SYMBOLIC_LINK: Self = Self(7);

    /// Of a file with this `st_mode`.
    pub(super) fn of_mode(mode: u32) -> Self {
        rustix::fs::FileType::from_raw_mode(mode).into()
    }
}

impl From<rustix::fs::FileType> for Filetype {
    /// Pipes have no number in WASI. Sockets have, but which one is not said here; those that a guest was given know it.
    fn from(host: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType as Host;
        match host {
            Host::BlockDevice => Self::BLOCK_DEVICE,
            Host::CharacterDevice => Self::CHARACTER_DEVICE,
            Host::Directory => Self::DIRECTORY,
            Host::RegularFile => Self::REGULAR_FILE,
            Host::Symlink => Self::SYMBOLIC_LINK,
            _ => Self::UNKNOWN,
        }
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $value:literal;)* })*) => {
        $(
        $(#[$doc])*
        pub(super) mod $module {
            use super::{Errno, Result};

            $(pub(in super::super) const $name: u16 = $value;)*

            /// The flags in a guest's argument, none of which may be unknown.
            pub(in super::super) fn from_guest(argument: u32) -> Result<u16> {
                match u16::try_from(argument) {
                    Ok(bits) if bits & !(0 $(| $name)*) == 0 => Ok(bits),
                    _ => Err(Errno::INVAL),
                }
            }
        }
        )*
    };
}

flags! {
    /// `fdflags`: how a descriptor reads and writes.
    fdflags { APPEND = 1; DSYNC = 2; NONBLOCK = 4; RSYNC = 8; SYNC = 16; }
    /// `oflags`: how `path_open` opens.
    oflags { CREAT = 1; DIRECTORY = 2; EXCL = 4; TRUNC = 8; }
    /// `lookupflags`: how a path is resolved.
    lookupflags { SYMLINK_FOLLOW = 1; }
    /// `fstflags`: which times are set, and to what.
    fstflags { ATIM = 1; ATIM_NOW = 2; MTIM = 4; MTIM_NOW = 8; }
    /// `riflags`: how a message is received.
    riflags { PEEK = 1; WAITALL = 2; }
    /// `sdflags`: which directions of a connection end.
    sdflags { RD = 1; WR = 2; }
    /// `subclockflags`: how a timeout is meant.
    subclockflags { ABSTIME = 1; }
}

/// `fdstat`: what a descriptor is and may.
pub(super) struct Fdstat {
    pub(super) filetype: Filetype,
    pub(super) flags: u16,
    pub(super) rights: Rights,
    pub(super) inheriting: Rights,
}

impl Fdstat {
    pub(super) fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0] = self.filetype.0;
        bytes[2..4].copy_from_slice(&self.flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.rights.bits().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.inheriting.bits().to_le_bytes());
        bytes
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
    /// Of something that is no file of the host's.
    pub(super) fn of_stream() -> Self {
        let filetype = Filetype::UNKNOWN;
        Self { device: 0, inode: 0, filetype, links: 1, size: 0, accessed: 0, modified: 0, changed: 0 }
    }

    pub(super) fn encode(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&self.device.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.inode.to_le_bytes());
        bytes[16] = self.filetype.0;
        bytes[24..32].copy_from_slice(&self.links.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.accessed.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.modified.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.changed.to_le_bytes());
        bytes
    }
}

impl From<&Stat> for Filestat {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            filetype: Filetype::of_mode(stat.st_mode),
            links: stat.st_nlink,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed: nanoseconds(stat.st_atime, stat.st_atime_nsec as i64),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// Nanoseconds, if they fit: from 1970 to 2554; else the nearer end.
pub(super) fn nanoseconds(seconds: i64, fraction: i64) -> u64 {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    u64::try_from(total.max(0)).unwrap_or(u64::MAX)
}

/// `dirent`: the head of an entry of a directory; its name follows.
pub(super) struct Dirent {
    /// Where the listing goes on after this entry.
    pub(super) next: u64,
    pub(super) inode: u64,
    pub(super) name_len: u32,
    pub(super) filetype: Filetype,
}

impl Dirent {
    pub(super) const SIZE: usize = 24;

    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.next.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.inode.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.name_len.to_le_bytes());
        bytes[20] = self.filetype.0;
        bytes
    }
}

/// `prestat` of a directory, the only kind there is.
pub(super) fn encode_prestat(name_len: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[4..8].copy_from_slice(&name_len.to_le_bytes());
    bytes
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
    Clock { id: u32, timeout: u64, absolute: bool },
    Readable(u32),
    Writable(u32),
}

impl Subscription {
    pub(super) const SIZE: usize = 48;

    pub(super) fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self> {
        let [userdata, tag, w0, w1, _precision, w3] = words(bytes);
        let until = match tag as u8 {
            0 => {
                let flags = subclockflags::from_guest(u32::from(w3 as u16))?;
                Until::Clock { id: w0 as u32, timeout: w1, absolute: flags & subclockflags::ABSTIME != 0 }
            }
            1 => Until::Readable(w0 as u32),
            2 => Until::Writable(w0 as u32),
            _ => return Err(Errno::INVAL),
        };
        Ok(Self { userdata, until })
    }
}

/// All fields of a subscription begin at multiples of eight.
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
    /// Whether the other side of a pipe is gone, and how many bytes can be read; or what went wrong.
    pub(super) outcome: Result<(u64, bool)>,
}

impl Event {
    pub(super) const SIZE: usize = 32;

    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[10] = match self.until {
            Until::Clock { .. } => 0,
            Until::Readable(_) => 1,
            Until::Writable(_) => 2,
        };
        match self.outcome {
            Err(error) => bytes[8..10].copy_from_slice(&error.number().to_le_bytes()),
            Ok((available, hangup)) => {
                bytes[16..24].copy_from_slice(&available.to_le_bytes());
                bytes[24] = u8::from(hangup);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fdstat_lies_as_the_standard_says() {
        let (rights, inheriting) = (Rights::FD_READ, Rights::FD_WRITE);
        let stat = Fdstat { filetype: Filetype::REGULAR_FILE, flags: fdflags::SYNC, rights, inheriting };
        let expected = [4, 0, 16, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(stat.encode(), expected);
    }

    #[test]
    fn a_filestat_lies_as_the_standard_says() {
        let filetype = Filetype::SYMBOLIC_LINK;
        let stat = Filestat { device: 1, inode: 2, filetype, links: 3, size: 4, accessed: 5, modified: 6, changed: 7 };
        let bytes = stat.encode();
        for (offset, value) in [(0, 1), (8, 2), (16, 7), (24, 3), (32, 4), (40, 5), (48, 6), (56, 7)] {
            assert_eq!(bytes[offset], value, "at {offset}");
        }
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 8);
    }

    #[test]
    fn a_dirent_lies_as_the_standard_says() {
        let bytes = Dirent { next: 1, inode: 2, name_len: 3, filetype: Filetype::DIRECTORY }.encode();
        assert_eq!((bytes[0], bytes[8], bytes[16], bytes[20]), (1, 2, 3, 3));
    }

    #[test]
    fn a_prestat_lies_as_the_standard_says() {
        assert_eq!(encode_prestat(0x102), [0, 0, 0, 0, 2, 1, 0, 0]);
    }

    #[test]
    fn a_clock_subscription_is_decoded() {
        let mut bytes = [0; 48];
        bytes[0] = 9;
        bytes[16] = 1;
        bytes[24] = 100;
        bytes[32] = 7;
        bytes[40] = 1;
        let until = Until::Clock { id: 1, timeout: 100, absolute: true };
        assert_eq!(Subscription::decode(&bytes), Ok(Subscription { userdata: 9, until }));
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
        let bytes = Event { userdata: 9, until: Until::Readable(0), outcome: Ok((5, true)) }.encode();
        assert_eq!((bytes[0], bytes[8], bytes[10], bytes[16], bytes[24]), (9, 0, 1, 5, 1));
        let bytes = Event { userdata: 9, until: Until::Writable(0), outcome: Err(Errno::BADF) }.encode();
        assert_eq!((bytes[8], bytes[10], bytes[16]), (8, 2, 0));
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert_eq!(fdflags::from_guest(31), Ok(31));
        assert_eq!(fdflags::from_guest(32), Err(Errno::INVAL));
        assert_eq!(oflags::from_guest(0x1_0001), Err(Errno::INVAL));
    }

    #[test]
    fn times_out_of_range_become_the_nearest() {
        assert_eq!(nanoseconds(1, 5), 1_000_000_005);
        assert_eq!(nanoseconds(-1, 0), 0);
        assert_eq!(nanoseconds(i64::MAX, 0), u64::MAX);
    }
}
