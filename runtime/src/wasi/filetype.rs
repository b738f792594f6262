//! Defines WASI's types of files.

use rustix::fs::FileType;

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

    /// Returns the type of a file with this `st_mode`.
    pub(super) fn of_mode(mode: u32) -> Self {
        FileType::from_raw_mode(mode).into()
    }

    /// Returns the number as the guest gets it.
    pub(super) fn number(self) -> u8 {
        self.0
    }
}

impl From<FileType> for Filetype {
    /// WASI has no number for pipes. It has two for sockets, but the host's type does not tell
    /// which; a socket that the guest was given is asked.
    fn from(host: FileType) -> Self {
        match host {
            FileType::BlockDevice => Self::BLOCK_DEVICE,
            FileType::CharacterDevice => Self::CHARACTER_DEVICE,
            FileType::Directory => Self::DIRECTORY,
            FileType::RegularFile => Self::REGULAR_FILE,
            FileType::Symlink => Self::SYMBOLIC_LINK,
            _ => Self::UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_types_have_the_standard_s_numbers() {
        let numbers = [(0o100_644, 4), (0o040_755, 3), (0o120_777, 7), (0o020_666, 2), (0o060_660, 1)];
        for (mode, number) in numbers {
            assert_eq!(Filetype::of_mode(mode).number(), number, "{mode:o}");
        }
        for (what, mode) in [("a pipe", 0o010_600), ("a socket", 0o140_700), ("nothing", 0)] {
            assert_eq!(Filetype::of_mode(mode), Filetype::UNKNOWN, "{what}");
        }
    }
}
