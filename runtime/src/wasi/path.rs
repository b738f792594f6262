//! Implements the functions on paths. cap-std resolves every path beneath the directory it is
//! relative to.
//!
//! Where cap-std has no function that does not follow a symbolic link at the end, the directory
//! above is resolved by cap-std, and the rest is a single name, handed to a system call that
//! follows nothing.

use super::call::Call;
use super::errno::{Errno, Result};
use super::filetype::Filetype;
use super::flags::{Flags, Fstflags, Lookupflags};
use super::params::{Fd, GuestPath, GuestSlice, Size, Timestamp};
use super::records::{Filestat, nanoseconds};
use super::rights::Rights;
use super::times::timestamps;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, OFlags, Timestamps};
use std::os::unix::ffi::OsStrExt;

/// Returns whether symbolic links at the end of a path are followed.
pub(super) fn follows(flags: Lookupflags) -> bool {
    flags.contains(Lookupflags::SYMLINK_FOLLOW)
}

/// Splits a path into its last name and what stands before it, unless it ends in a slash or dots,
/// where nothing can be a link.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = match path.rsplit_once('/') {
        None => ("", path),
        Some(("", name)) => ("/", name),
        Some(both) => both,
    };
    (!matches!(name, "" | "." | "..")).then_some((parent, name))
}

/// Opens the directory above a path's last name, if it is not `dir` itself, and returns it with
/// that name. `None` as for `split`.
pub(super) fn open_parent<'p>(dir: &Dir, path: &'p str) -> Result<Option<(Option<Dir>, &'p str)>> {
    match split(path) {
        None => Ok(None),
        Some(("", name)) => Ok(Some((None, name))),
        Some((parent, name)) => Ok(Some((Some(dir.open_dir(parent)?), name))),
    }
}

pub(super) fn path_create_directory(call: &mut Call<'_>, fd: Fd, path: GuestPath) -> Result<()> {
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_CREATE_DIRECTORY)?;
    Ok(dir.create_dir(guest.path(path)?)?)
}

pub(super) fn path_remove_directory(call: &mut Call<'_>, fd: Fd, path: GuestPath) -> Result<()> {
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_REMOVE_DIRECTORY)?;
    let path = guest.path(path)?;
    // A slash at the end says that it is a directory, which is so anyway; but the host would see
    // the name `.`.
    match path.trim_end_matches('/') {
        "" => Ok(dir.remove_dir(path)?),
        trimmed => Ok(dir.remove_dir(trimmed)?),
    }
}

pub(super) fn path_unlink_file(call: &mut Call<'_>, fd: Fd, path: GuestPath) -> Result<()> {
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_UNLINK_FILE)?;
    Ok(dir.remove_file(guest.path(path)?)?)
}

pub(super) fn path_filestat_get(call: &mut Call<'_>, fd: Fd, flags: Lookupflags, path: GuestPath) -> Result<Filestat> {
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_FILESTAT_GET)?;
    let path = guest.path(path)?;
    // A slash or dots at the end follow a link, whatever the flags say.
    let follow = follows(flags) || split(path).is_none();
    let found = if follow { dir.metadata(path)? } else { dir.symlink_metadata(path)? };
    Ok(Filestat::from(&found))
}

impl From<&Metadata> for Filestat {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            filetype: Filetype::of_mode(found.mode()),
            links: found.nlink(),
            size: found.size(),
            accessed: nanoseconds(found.atime(), found.atime_nsec()),
            modified: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed: nanoseconds(found.ctime(), found.ctime_nsec()),
        }
    }
}

pub(super) fn path_filestat_set_times(
    call: &mut Call<'_>,
    fd: Fd,
    flags: Lookupflags,
    path: GuestPath,
    accessed: Timestamp,
    modified: Timestamp,
    which: Fstflags,
) -> Result<()> {
    let times = timestamps(accessed, modified, which)?;
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let path = guest.path(path)?;
    match open_parent(dir, path)? {
        Some((parent, name)) if !follows(flags) => {
            let parent = parent.as_ref().unwrap_or(dir);
            Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        }
        _ => set_times(dir, path, &times),
    }
}

/// Sets a file's times. The file need not be readable for that, so it is opened without access.
fn set_times(dir: &Dir, path: &str, times: &Timestamps) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::PATH.bits() as i32);
    let file = dir.open_with(path, &options)?;
    Ok(rustix::fs::utimensat(&file, "", times, AtFlags::EMPTY_PATH)?)
}

/// Links at the end of the old path are never followed, as elsewhere.
pub(super) fn path_link(
    call: &mut Call<'_>,
    old_fd: Fd,
    old_flags: Lookupflags,
    old_path: GuestPath,
    new_fd: Fd,
    new_path: GuestPath,
) -> Result<()> {
    if follows(old_flags) {
        return Err(Errno::INVAL);
    }
    let (guest, ctx) = call.parts();
    let old_dir = ctx.dir(old_fd, Rights::PATH_LINK_SOURCE)?;
    let new_dir = ctx.dir(new_fd, Rights::PATH_LINK_TARGET)?;
    let (old, new) = (guest.path(old_path)?, guest.path(new_path)?);
    Ok(old_dir.hard_link(old, new_dir, new)?)
}

pub(super) fn path_rename(
    call: &mut Call<'_>,
    old_fd: Fd,
    old_path: GuestPath,
    new_fd: Fd,
    new_path: GuestPath,
) -> Result<()> {
    let (guest, ctx) = call.parts();
    let old_dir = ctx.dir(old_fd, Rights::PATH_RENAME_SOURCE)?;
    let new_dir = ctx.dir(new_fd, Rights::PATH_RENAME_TARGET)?;
    let (old, new) = (guest.path(old_path)?, guest.path(new_path)?);
    // cap-std drops the slash, which says that a directory is meant.
    if new.ends_with('/') && !old_dir.symlink_metadata(old)?.is_dir() {
        return Err(Errno::NOTDIR);
    }
    Ok(old_dir.rename(old, new_dir, new)?)
}

/// The link may point anywhere but to an absolute path. Where it leads out of the directory,
/// following it fails.
pub(super) fn path_symlink(call: &mut Call<'_>, target: GuestPath, fd: Fd, path: GuestPath) -> Result<()> {
    let (guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_SYMLINK)?;
    let (target, path) = (guest.path(target)?, guest.path(path)?);
    Ok(dir.symlink(target, path)?)
}

/// Reads as much of a link as fits the guest's buffer.
pub(super) fn path_readlink(call: &mut Call<'_>, fd: Fd, path: GuestPath, buffer: GuestSlice) -> Result<Size> {
    let (mut guest, ctx) = call.parts();
    let dir = ctx.dir(fd, Rights::PATH_READLINK)?;
    let target = dir.read_link(guest.path(path)?)?;
    let target = target.as_os_str().as_bytes();
    let target = &target[..target.len().min(buffer.len as usize)];
    guest.write_bytes(buffer.address, target)?;
    Ok(Size(target.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_name_is_a_name() {
        assert_eq!(split("a"), Some(("", "a")));
        assert_eq!(split("a/b"), Some(("a", "b")));
        assert_eq!(split("../b"), Some(("..", "b")));
        assert_eq!(split("/b"), Some(("/", "b")));
        for path in ["", ".", "..", "/", "a/", "a/.", "a/.."] {
            assert_eq!(split(path), None);
        }
    }
}
