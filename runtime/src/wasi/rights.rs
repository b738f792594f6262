//! Rights: what a guest may do with a descriptor, and with those it opens through it.
//!
//! A right can be given up, never gained. Nothing here knows how a right is used.

use super::types::Filetype;
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

    /// What can be done with any descriptor.
    const COMMON: Self = Self::FD_FDSTAT_SET_FLAGS.and(Self::FD_FILESTAT_GET).and(Self::POLL_FD_READWRITE);

    /// What can be done with a file, if it may be written.
    const FILE: Self = Self::COMMON
        .and(Self::FD_DATASYNC)
        .and(Self::FD_READ)
        .and(Self::FD_SEEK)
        .and(Self::FD_SYNC)
        .and(Self::FD_TELL)
        .and(Self::FD_WRITE)
        .and(Self::FD_ADVISE)
        .and(Self::FD_ALLOCATE)
        .and(Self::FD_FILESTAT_SET_SIZE)
        .and(Self::FD_FILESTAT_SET_TIMES);

    /// What can be done with a directory, if it may be written.
    const DIRECTORY: Self = Self::COMMON
        .and(Self::FD_SYNC)
        .and(Self::FD_DATASYNC)
        .and(Self::FD_ADVISE)
        .and(Self::FD_READDIR)
        .and(Self::FD_FILESTAT_SET_TIMES)
        .and(Self::PATH_CREATE_DIRECTORY)
        .and(Self::PATH_CREATE_FILE)
        .and(Self::PATH_LINK_SOURCE)
        .and(Self::PATH_LINK_TARGET)
        .and(Self::PATH_OPEN)
        .and(Self::PATH_READLINK)
        .and(Self::PATH_RENAME_SOURCE)
        .and(Self::PATH_RENAME_TARGET)
        .and(Self::PATH_FILESTAT_GET)
        .and(Self::PATH_FILESTAT_SET_SIZE)
        .and(Self::PATH_FILESTAT_SET_TIMES)
        .and(Self::PATH_SYMLINK)
        .and(Self::PATH_REMOVE_DIRECTORY)
        .and(Self::PATH_UNLINK_FILE);

    /// What can be done with a connected socket.
    pub(super) const CONNECTED: Self = Self::COMMON.and(Self::FD_READ).and(Self::FD_WRITE).and(Self::SOCK_SHUTDOWN);

    /// What can be done with a listening socket.
    pub(super) const LISTENING: Self = Self::COMMON.and(Self::FD_READ).and(Self::SOCK_ACCEPT);

    /// What changes a file system. Linking is in it: a second name in a writable directory makes a file writable.
    const CHANGING: Self = Self::FD_WRITE
        .and(Self::FD_ALLOCATE)
        .and(Self::FD_FILESTAT_SET_SIZE)
        .and(Self::FD_FILESTAT_SET_TIMES)
        .and(Self::PATH_CREATE_DIRECTORY)
        .and(Self::PATH_CREATE_FILE)
        .and(Self::PATH_LINK_SOURCE)
        .and(Self::PATH_LINK_TARGET)
        .and(Self::PATH_RENAME_SOURCE)
        .and(Self::PATH_RENAME_TARGET)
        .and(Self::PATH_FILESTAT_SET_SIZE)
        .and(Self::PATH_FILESTAT_SET_TIMES)
        .and(Self::PATH_SYMLINK)
        .and(Self::PATH_REMOVE_DIRECTORY)
        .and(Self::PATH_UNLINK_FILE);

    /// The rights that need a host file open for writing.
    pub(super) const NEED_WRITING: Self = Self::FD_WRITE.and(Self::FD_ALLOCATE).and(Self::FD_FILESTAT_SET_SIZE);

    /// The rights that a guest opens a file for. Asking for one of these in vain is an error; others are merely
    /// not given, which is what the libraries of C and Rust count on.
    pub(super) const ACCESS: Self = Self::FD_READ.and(Self::FD_WRITE);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
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

    /// The rights that mean something for a file of this type.
    pub(super) fn applicable(filetype: Filetype) -> Self {
        if filetype == Filetype::DIRECTORY { Self::DIRECTORY } else { Self::FILE }
    }

    /// A preopened directory's own rights, and those it passes on.
    pub(super) fn preopened(writable: bool) -> (Self, Self) {
        let denied = if writable { Self::NONE } else { Self::CHANGING };
        (Self::DIRECTORY.without(denied), (Self::DIRECTORY | Self::FILE).without(denied))
    }

    /// The rights of standard input, or of standard output and error. Something that can not seek must not claim it
    /// can: guests tell a terminal by that.
    pub(super) fn standard(output: bool, seekable: bool) -> Self {
        let direction = if output { Self::FD_WRITE | Self::FD_SYNC | Self::FD_DATASYNC } else { Self::FD_READ };
        let position = if seekable { Self::FD_SEEK | Self::FD_TELL | Self::FD_ADVISE } else { Self::NONE };
        Self::COMMON | direction | position
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
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
        let (own, inherited) = Rights::preopened(false);
        assert!(!(own | inherited).intersects(Rights::CHANGING));
        assert!(own.contains(Rights::PATH_OPEN | Rights::FD_READDIR | Rights::PATH_FILESTAT_GET));
        assert!(inherited.contains(Rights::FD_READ | Rights::FD_SEEK));
    }

    #[test]
    fn a_directory_has_no_rights_of_files() {
        let (own, inherited) = Rights::preopened(true);
        assert!(!own.intersects(Rights::FD_SEEK | Rights::FD_READ | Rights::FD_WRITE | Rights::FD_FILESTAT_SET_SIZE));
        assert!(inherited.contains(own | Rights::FILE));
    }

    #[test]
    fn a_terminal_has_neither_seek_nor_tell() {
        assert!(!Rights::standard(true, false).intersects(Rights::FD_SEEK | Rights::FD_TELL));
        assert!(!Rights::standard(false, true).contains(Rights::FD_WRITE));
    }

    #[test]
    fn bits_are_those_of_the_standard() {
        assert_eq!(Rights::FD_READ.bits(), 2);
        assert_eq!(Rights::FD_WRITE.bits(), 0x40);
        assert_eq!(Rights::POLL_FD_READWRITE.bits(), 0x800_0000);
    }
}
