//! Defines rights: what a guest may do with a descriptor, and with those that it opens through it.
//!
//! A right can be given up, never gained. Nothing here knows how a right is used.

use super::errno::Result;
use super::filetype::Filetype;
use std::ops::{BitAnd, BitOr};

/// A set of WASI's `rights`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rights(u64);

macro_rules! rights {
    ($($name:ident = $bit:literal;)*) => {
        impl Rights {
            $(pub(super) const $name: Self = Self(1 << $bit);)*
        }
    };
}

rights! {
    FD_DATASYNC = 0;
    FD_READ = 1;
    FD_SEEK = 2;
    FD_FDSTAT_SET_FLAGS = 3;
    FD_SYNC = 4;
    FD_TELL = 5;
    FD_WRITE = 6;
    FD_ADVISE = 7;
    FD_ALLOCATE = 8;
    PATH_CREATE_DIRECTORY = 9;
    PATH_CREATE_FILE = 10;
    PATH_LINK_SOURCE = 11;
    PATH_LINK_TARGET = 12;
    PATH_OPEN = 13;
    FD_READDIR = 14;
    PATH_READLINK = 15;
    PATH_RENAME_SOURCE = 16;
    PATH_RENAME_TARGET = 17;
    PATH_FILESTAT_GET = 18;
    PATH_FILESTAT_SET_SIZE = 19;
    PATH_FILESTAT_SET_TIMES = 20;
    FD_FILESTAT_GET = 21;
    FD_FILESTAT_SET_SIZE = 22;
    FD_FILESTAT_SET_TIMES = 23;
    PATH_SYMLINK = 24;
    PATH_REMOVE_DIRECTORY = 25;
    PATH_UNLINK_FILE = 26;
    POLL_FD_READWRITE = 27;
    SOCK_SHUTDOWN = 28;
    SOCK_ACCEPT = 29;
}

impl Rights {
    pub(super) const NONE: Self = Self(0);

    /// The rights that any descriptor has.
    const COMMON: Self = Self::FD_FDSTAT_SET_FLAGS.union(Self::FD_FILESTAT_GET).union(Self::POLL_FD_READWRITE);

    /// The rights of a file, if it may be written.
    const FILE: Self = Self::COMMON
        .union(Self::FD_DATASYNC)
        .union(Self::FD_READ)
        .union(Self::FD_SEEK)
        .union(Self::FD_SYNC)
        .union(Self::FD_TELL)
        .union(Self::FD_WRITE)
        .union(Self::FD_ADVISE)
        .union(Self::FD_ALLOCATE)
        .union(Self::FD_FILESTAT_SET_SIZE)
        .union(Self::FD_FILESTAT_SET_TIMES);

    /// The rights of a directory, if it may be written.
    const DIRECTORY: Self = Self::COMMON
        .union(Self::FD_SYNC)
        .union(Self::FD_DATASYNC)
        .union(Self::FD_ADVISE)
        .union(Self::FD_READDIR)
        .union(Self::FD_FILESTAT_SET_TIMES)
        .union(Self::PATH_CREATE_DIRECTORY)
        .union(Self::PATH_CREATE_FILE)
        .union(Self::PATH_LINK_SOURCE)
        .union(Self::PATH_LINK_TARGET)
        .union(Self::PATH_OPEN)
        .union(Self::PATH_READLINK)
        .union(Self::PATH_RENAME_SOURCE)
        .union(Self::PATH_RENAME_TARGET)
        .union(Self::PATH_FILESTAT_GET)
        .union(Self::PATH_FILESTAT_SET_SIZE)
        .union(Self::PATH_FILESTAT_SET_TIMES)
        .union(Self::PATH_SYMLINK)
        .union(Self::PATH_REMOVE_DIRECTORY)
        .union(Self::PATH_UNLINK_FILE);

    /// The rights of a connected socket.
    pub(super) const CONNECTED: Self =
        Self::COMMON.union(Self::FD_READ).union(Self::FD_WRITE).union(Self::SOCK_SHUTDOWN);

    /// The rights of a listening socket.
    pub(super) const LISTENING: Self = Self::COMMON.union(Self::FD_READ).union(Self::SOCK_ACCEPT);

    /// The rights that change a file system. Linking is one: a second name in a writable directory
    /// makes a file writable.
    const CHANGING: Self = Self::FD_WRITE
        .union(Self::FD_ALLOCATE)
        .union(Self::FD_FILESTAT_SET_SIZE)
        .union(Self::FD_FILESTAT_SET_TIMES)
        .union(Self::PATH_CREATE_DIRECTORY)
        .union(Self::PATH_CREATE_FILE)
        .union(Self::PATH_LINK_SOURCE)
        .union(Self::PATH_LINK_TARGET)
        .union(Self::PATH_RENAME_SOURCE)
        .union(Self::PATH_RENAME_TARGET)
        .union(Self::PATH_FILESTAT_SET_SIZE)
        .union(Self::PATH_FILESTAT_SET_TIMES)
        .union(Self::PATH_SYMLINK)
        .union(Self::PATH_REMOVE_DIRECTORY)
        .union(Self::PATH_UNLINK_FILE);

    /// The rights that need a host file open for writing.
    pub(super) const NEED_WRITING: Self = Self::FD_WRITE.union(Self::FD_ALLOCATE).union(Self::FD_FILESTAT_SET_SIZE);

    /// The rights that a guest opens a file for. It is an error to ask for one of these in vain.
    /// Others are merely not given, which is what the libraries of C and Rust count on.
    pub(super) const ACCESS: Self = Self::FD_READ.union(Self::FD_WRITE);

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the rights that mean something for a file of this type.
    pub(super) fn applicable(filetype: Filetype) -> Self {
        if filetype == Filetype::DIRECTORY { Self::DIRECTORY } else { Self::FILE }
    }

    /// Returns the rights of standard input, or of standard output and error. They are streams even
    /// where the host has a file behind them, which others use too: there is no right to seek, by
    /// which guests also tell a terminal.
    pub(super) fn standard(output: bool) -> Self {
        let direction = if output { Self::FD_WRITE | Self::FD_SYNC | Self::FD_DATASYNC } else { Self::FD_READ };
        Self::COMMON | direction
    }
}

/// The rights of a descriptor, and the most that descriptors opened through it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) base: Rights,
    /// Nothing, unless it is a directory or a listening socket.
    pub(super) inheriting: Rights,
}

impl Grant {
    /// A connected socket.
    pub(super) const CONNECTED: Self = Self { base: Rights::CONNECTED, inheriting: Rights::NONE };

    /// A listening socket.
    pub(super) const LISTENING: Self = Self { base: Rights::LISTENING, inheriting: Rights::CONNECTED };

    pub(super) fn from_wasm(base: u64, inheriting: u64) -> Result<Self> {
        Ok(Self { base: Rights(base), inheriting: Rights(inheriting) })
    }

    /// Returns rights for something through which nothing is opened.
    pub(super) fn only(base: Rights) -> Self {
        Self { base, inheriting: Rights::NONE }
    }

    /// Returns the rights of a preopened directory.
    pub(super) fn preopened(writable: bool) -> Self {
        let denied = if writable { Rights::NONE } else { Rights::CHANGING };
        let inheriting = (Rights::DIRECTORY | Rights::FILE).without(denied);
        Self { base: Rights::DIRECTORY.without(denied), inheriting }
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.base.contains(other.base) && self.inheriting.contains(other.inheriting)
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitAnd for Rights {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_preopen_can_change_nothing() {
        let Grant { base, inheriting } = Grant::preopened(false);
        assert!(!(base | inheriting).intersects(Rights::CHANGING));
        assert!(base.contains(Rights::PATH_OPEN | Rights::FD_READDIR | Rights::PATH_FILESTAT_GET));
        assert!(inheriting.contains(Rights::FD_READ | Rights::FD_SEEK));
    }

    #[test]
    fn a_directory_has_no_rights_of_files() {
        let Grant { base, inheriting } = Grant::preopened(true);
        assert!(!base.intersects(Rights::FD_SEEK | Rights::FD_READ | Rights::FD_WRITE | Rights::FD_FILESTAT_SET_SIZE));
        assert!(inheriting.contains(base | Rights::FILE));
    }

    #[test]
    fn a_standard_stream_has_one_direction_and_no_position() {
        for output in [true, false] {
            let rights = Rights::standard(output);
            assert!(!rights.intersects(Rights::FD_SEEK | Rights::FD_TELL | Rights::FD_ADVISE | Rights::FD_ALLOCATE));
            assert_eq!((rights.contains(Rights::FD_WRITE), rights.contains(Rights::FD_READ)), (output, !output));
        }
    }

    #[test]
    fn more_is_not_contained_in_less_on_either_side() {
        let grant = |base, inheriting| Grant { base, inheriting };
        let (less, more) = (Rights::FD_READ, Rights::FD_READ | Rights::FD_WRITE);
        assert!(grant(more, more).contains(grant(less, more)) && grant(more, more).contains(grant(more, less)));
        assert!(!grant(less, more).contains(grant(more, more)) && !grant(more, less).contains(grant(more, more)));
    }

    #[test]
    fn bits_are_those_of_the_standard() {
        assert_eq!(Rights::FD_READ.bits(), 2);
        assert_eq!(Rights::FD_WRITE.bits(), 0x40);
        assert_eq!(Rights::POLL_FD_READWRITE.bits(), 0x800_0000);
    }
}
