//! Defines WASI's sets of flags. A guest that passes a flag which the standard does not have gets
//! `INVAL`.

use super::errno::{Errno, Result};

macro_rules! flags {
    ($($(#[$doc:meta])* $Set:ident { $($name:ident = $value:literal;)* })*) => {
        $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct $Set(u16);

        impl $Set {
            $(pub(super) const $name: Self = Self($value);)*

            #[allow(dead_code, reason = "not every set is taken apart or put together")]
            pub(super) const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Returns the flags that are in one of both sets only.
            #[allow(dead_code, reason = "as above")]
            pub(super) const fn difference(self, other: Self) -> Self {
                Self(self.0 ^ other.0)
            }

            #[allow(dead_code, reason = "as above")]
            pub(super) fn from_wasm(argument: u32) -> Result<Self> {
                match u16::try_from(argument) {
                    Ok(bits) if bits & !(0 $(| $value)*) == 0 => Ok(Self(bits)),
                    _ => Err(Errno::INVAL),
                }
            }
        }

        impl Flags for $Set {
            fn bits(self) -> u16 {
                self.0
            }
        }

        impl std::ops::BitOr for $Set {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }
        )*
    };
}

/// The methods of all sets of flags.
pub(super) trait Flags: Copy {
    fn bits(self) -> u16;

    fn contains(self, other: Self) -> bool {
        self.bits() & other.bits() == other.bits()
    }

    /// Returns the host's names for the flags of this set.
    fn names<H: FromIterator<H>>(self, names: impl IntoIterator<Item = (Self, H)>) -> H {
        names.into_iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name).collect()
    }
}

flags! {
    /// `fdflags`: how a descriptor reads and writes.
    Fdflags { APPEND = 1; DSYNC = 2; NONBLOCK = 4; RSYNC = 8; SYNC = 16; }
    /// `oflags`: how `path_open` opens.
    Oflags { CREAT = 1; DIRECTORY = 2; EXCL = 4; TRUNC = 8; }
    /// `lookupflags`: how a path is resolved.
    Lookupflags { SYMLINK_FOLLOW = 1; }
    /// `fstflags`: which times are set, and to what.
    Fstflags { ATIM = 1; ATIM_NOW = 2; MTIM = 4; MTIM_NOW = 8; }
    /// `riflags`: how a message is received.
    Riflags { PEEK = 1; WAITALL = 2; }
    /// `roflags`: what became of a message that was received.
    Roflags { DATA_TRUNCATED = 1; }
    /// `siflags`: how a message is sent. Preview 1 has none.
    Siflags { }
    /// `sdflags`: which directions of a connection end.
    Sdflags { RD = 1; WR = 2; }
    /// `subclockflags`: how a timeout is meant.
    Subclockflags { ABSTIME = 1; }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_are_refused() {
        let everything = [Fdflags::APPEND, Fdflags::DSYNC, Fdflags::NONBLOCK, Fdflags::RSYNC, Fdflags::SYNC];
        let everything = everything.into_iter().fold(Fdflags::default(), |set, flag| set | flag);
        assert_eq!((Fdflags::from_wasm(31), Fdflags::from_wasm(32)), (Ok(everything), Err(Errno::INVAL)));
        assert_eq!(Oflags::from_wasm(0x1_0001), Err(Errno::INVAL));
        assert_eq!((Siflags::from_wasm(0), Siflags::from_wasm(1)), (Ok(Siflags(0)), Err(Errno::INVAL)));
    }

    #[test]
    fn a_set_contains_a_flag_only_if_all_of_it_is_there() {
        let both = Sdflags::RD | Sdflags::WR;
        assert!(both.contains(Sdflags::RD) && both.contains(both) && !Sdflags::RD.contains(both));
        assert_eq!((both.difference(Sdflags::RD), both.difference(both)), (Sdflags::WR, Sdflags::default()));
    }

    #[test]
    fn names_are_those_of_the_flags_that_are_set() {
        use rustix::fs::OFlags;
        let names = [(Oflags::CREAT, OFlags::CREATE), (Oflags::EXCL, OFlags::EXCL), (Oflags::TRUNC, OFlags::TRUNC)];
        assert_eq!((Oflags::CREAT | Oflags::TRUNC).names(names), OFlags::CREATE | OFlags::TRUNC);
        assert_eq!(Oflags::default().names(names), OFlags::empty());
    }
}
