//! Defines WASI's error numbers, and translates the host's errors into them.
//!
//! Knows nothing of descriptors or guests. An error that has no number of its own becomes `IO`,
//! never success.

use rustix::io::Errno as Os;
use std::io;

/// The number that a function reports to the guest: of WASI's `errno`, zero for success.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(u16);

/// The result of nearly everything here.
pub(super) type Result<T, E = Errno> = std::result::Result<T, E>;

/// Each line has minirt's name and WASI's number, then the host's name if the host has such an
/// error.
macro_rules! errnos {
    ($($name:ident = $number:literal $(from $os:ident)?;)*) => {
        impl Errno {
            $(#[allow(dead_code, reason = "the table is complete; not every number is used")]
            pub(super) const $name: Self = Self($number);)*

            fn name(self) -> &'static str {
                match self.0 {
                    0 => "SUCCESS",
                    $($number => stringify!($name),)*
                    _ => "unknown",
                }
            }
        }

        impl From<Os> for Errno {
            fn from(error: Os) -> Self {
                match error {
                    $($(Os::$os => Self::$name,)?)*
                    _ => Self::IO,
                }
            }
        }
    };
}

errnos! {
    TOOBIG = 1 from TOOBIG;
    ACCES = 2 from ACCESS;
    ADDRINUSE = 3 from ADDRINUSE;
    ADDRNOTAVAIL = 4 from ADDRNOTAVAIL;
    AFNOSUPPORT = 5 from AFNOSUPPORT;
    AGAIN = 6 from AGAIN;
    ALREADY = 7 from ALREADY;
    BADF = 8 from BADF;
    BADMSG = 9 from BADMSG;
    BUSY = 10 from BUSY;
    CANCELED = 11 from CANCELED;
    CHILD = 12 from CHILD;
    CONNABORTED = 13 from CONNABORTED;
    CONNREFUSED = 14 from CONNREFUSED;
    CONNRESET = 15 from CONNRESET;
    DEADLK = 16 from DEADLK;
    DESTADDRREQ = 17 from DESTADDRREQ;
    DOM = 18 from DOM;
    DQUOT = 19 from DQUOT;
    EXIST = 20 from EXIST;
    FAULT = 21 from FAULT;
    FBIG = 22 from FBIG;
    HOSTUNREACH = 23 from HOSTUNREACH;
    IDRM = 24 from IDRM;
    ILSEQ = 25 from ILSEQ;
    INPROGRESS = 26 from INPROGRESS;
    INTR = 27 from INTR;
    INVAL = 28 from INVAL;
    IO = 29 from IO;
    ISCONN = 30 from ISCONN;
    ISDIR = 31 from ISDIR;
    LOOP = 32 from LOOP;
    MFILE = 33 from MFILE;
    MLINK = 34 from MLINK;
    MSGSIZE = 35 from MSGSIZE;
    MULTIHOP = 36 from MULTIHOP;
    NAMETOOLONG = 37 from NAMETOOLONG;
    NETDOWN = 38 from NETDOWN;
    NETRESET = 39 from NETRESET;
    NETUNREACH = 40 from NETUNREACH;
    NFILE = 41 from NFILE;
    NOBUFS = 42 from NOBUFS;
    NODEV = 43 from NODEV;
    NOENT = 44 from NOENT;
    NOEXEC = 45 from NOEXEC;
    NOLCK = 46 from NOLCK;
    NOLINK = 47 from NOLINK;
    NOMEM = 48 from NOMEM;
    NOMSG = 49 from NOMSG;
    NOPROTOOPT = 50 from NOPROTOOPT;
    NOSPC = 51 from NOSPC;
    NOSYS = 52 from NOSYS;
    NOTCONN = 53 from NOTCONN;
    NOTDIR = 54 from NOTDIR;
    NOTEMPTY = 55 from NOTEMPTY;
    NOTRECOVERABLE = 56 from NOTRECOVERABLE;
    NOTSOCK = 57 from NOTSOCK;
    NOTSUP = 58 from OPNOTSUPP;
    NOTTY = 59 from NOTTY;
    NXIO = 60 from NXIO;
    OVERFLOW = 61 from OVERFLOW;
    OWNERDEAD = 62 from OWNERDEAD;
    PERM = 63 from PERM;
    PIPE = 64 from PIPE;
    PROTO = 65 from PROTO;
    PROTONOSUPPORT = 66 from PROTONOSUPPORT;
    PROTOTYPE = 67 from PROTOTYPE;
    RANGE = 68 from RANGE;
    ROFS = 69 from ROFS;
    SPIPE = 70 from SPIPE;
    SRCH = 71 from SRCH;
    STALE = 72 from STALE;
    TIMEDOUT = 73 from TIMEDOUT;
    TXTBSY = 74 from TXTBSY;
    XDEV = 75 from XDEV;
    NOTCAPABLE = 76;
}

impl Errno {
    /// Returns the number as the guest gets it. Success is 0.
    pub(super) fn number(self) -> u16 {
        self.0
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<io::Error> for Errno {
    /// Errors that do not come from a system call have no number. `PermissionDenied` is how cap-std
    /// says that a path would have left its directory.
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Os::from_raw_os_error(number).into(),
            None => match error.kind() {
                io::ErrorKind::PermissionDenied => Self::PERM,
                io::ErrorKind::InvalidInput => Self::INVAL,
                io::ErrorKind::NotFound => Self::NOENT,
                io::ErrorKind::Unsupported => Self::NOTSUP,
                _ => Self::IO,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_errors_get_their_wasi_numbers() {
        for (os, number) in [(Os::NOENT, 44), (Os::ACCESS, 2), (Os::NOTEMPTY, 55), (Os::XDEV, 75), (Os::AGAIN, 6)] {
            assert_eq!(Errno::from(os).number(), number);
            assert_eq!(Errno::from(io::Error::from(os)), Errno::from(os));
        }
    }

    #[test]
    fn an_error_without_a_wasi_number_is_io() {
        assert_eq!(Errno::from(Os::HWPOISON), Errno::IO);
        assert_eq!(Errno::from(io::Error::other("odd")), Errno::IO);
    }

    #[test]
    fn leaving_the_directory_is_perm() {
        assert_eq!(Errno::from(io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside")), Errno::PERM);
    }
}
