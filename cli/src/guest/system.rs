//! Explains what to do when the operating system refuses something.

use minirt::Error;
use rustix::io::Errno;
use std::io;

/// Returns what to do about an error that comes from the operating system, or `None` if it comes
/// from elsewhere.
pub(crate) fn help(error: &Error) -> Option<&'static str> {
    let errno = error.chain().find_map(|cause| {
        let system = cause.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
        cause.downcast_ref::<Errno>().copied().or(system)
    })?;
    let otherwise = match errno {
        Errno::PERM | Errno::ACCESS | Errno::NOSYS => {
            "something forbids a system call that minirt needs (a container's seccomp filter, SELinux, an old kernel): \
             allow memfd_create, mmap and mprotect with executable memory, and on 64-bit Arm membarrier"
        }
        _ => "the operating system refuses what minirt needs",
    };
    Some(shortage(errno).unwrap_or(otherwise))
}

/// Returns what to do about an error with a file that has nothing to do with the file.
pub(crate) fn help_with_file(error: &io::Error) -> Option<&'static str> {
    Errno::from_io_error(error).and_then(shortage)
}

/// Returns what to do where there is too little of something.
fn shortage(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::NOMEM | Errno::AGAIN => {
            "allow minirt more memory: each instance reserves 7 GiB of address space (ulimit -v, vm.max_map_count), of \
             which it uses little"
        }
        Errno::MFILE => "allow minirt more open files (ulimit -n)",
        Errno::NFILE => "the system has no open files left: end other programs, or raise fs.file-max",
        Errno::NOSPC | Errno::DQUOT => "free some space",
        Errno::FBIG => "allow minirt larger files (ulimit -f)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{help, help_with_file};
    use minirt::Error;
    use minirt::error::Context;
    use rustix::io::Errno;

    fn of(errno: Errno) -> Option<&'static str> {
        let failed: Result<(), Errno> = Err(errno);
        help(&failed.context("could not make a memory file").context("no instance").unwrap_err())
    }

    #[test]
    fn a_shortage_is_not_blamed_on_the_file_that_met_it() {
        let help = |errno| help_with_file(&std::io::Error::from(errno));
        assert!(help(Errno::MFILE).unwrap().contains("ulimit -n"));
        assert!(help(Errno::NOSPC).unwrap().contains("space"));
        assert_eq!((help(Errno::ACCESS), help(Errno::NOENT)), (None, None));
    }

    #[test]
    fn what_the_system_refuses_is_told_by_its_number_wherever_it_is_in_the_chain() {
        assert!(of(Errno::NOMEM).unwrap().contains("ulimit -v"));
        assert!(of(Errno::MFILE).unwrap().contains("ulimit -n"));
        for denied in [Errno::PERM, Errno::ACCESS, Errno::NOSYS] {
            assert!(of(denied).unwrap().contains("memfd_create"));
        }
        let io: Error = std::io::Error::from(Errno::MFILE).into();
        assert!(help(&io).unwrap().contains("ulimit -n"));
        assert_eq!(help(&Error::msg("no errno: Cannot allocate memory (os error 12)")), None);
    }
}
