//! Functions on paths. cap-std resolves every path beneath the directory it is relative to.
//!
//! Where cap-std has no function that does not follow a symbolic link at the end, the directory above is resolved by
//! cap-std, and the rest is a single name, handed to a system call that follows nothing.

use super::ctx::WasiCtx;
use super::errno::{Errno, Result};
use super::guest::Guest;
use super::rights::Rights;
use super::times::timestamps;
use super::types::{Filestat, Filetype, lookupflags, nanoseconds};
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, OFlags, Timestamps};
use std::os::unix::ffi::OsStrExt;

impl WasiCtx {
    /// The directory that a path is relative to, if it has these rights.
    pub(super) fn dir(&self, fd: u32, rights: Rights) -> Result<&Dir> {
        Ok(&self.table.get(fd)?.directory(rights)?.dir)
    }
}

/// Whether symbolic links at the end of a path are followed.
pub(super) fn follows(flags: u32) -> Result<bool> {
    Ok(lookupflags::from_guest(flags)? & lookupflags::SYMLINK_FOLLOW != 0)
}

/// A path's last name and what stands before it, unless it ends in a slash or dots, where nothing can be a link.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = match path.rsplit_once('/') {
        None => ("", path),
        Some(("", name)) => ("/", name),
        Some(both) => both,
    };
    (!matches!(name, "" | "." | "..")).then_some((parent, name))
}

/// The directory above a path's last name, if it is not `dir` itself, and that name. `None` as for `split`.
pub(super) fn open_parent<'p>(dir: &Dir, path: &'p str) -> Result<Option<(Option<Dir>, &'p str)>> {
    match split(path) {
        None => Ok(None),
        Some(("", name)) => Ok(Some((None, name))),
        Some((parent, name)) => Ok(Some((Some(dir.open_dir(parent)?), name))),
    }
}

pub(super) fn path_create_directory(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<()> {
    let dir = ctx.dir(fd, Rights::PATH_CREATE_DIRECTORY)?;
    Ok(dir.create_dir(guest.path(path, path_len)?)?)
}

pub(super) fn path_remove_directory(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<()> {
    let dir = ctx.dir(fd, Rights::PATH_REMOVE_DIRECTORY)?;
    let path = guest.path(path, path_len)?;
    // A slash at the end says that it is a directory, which is so anyway; but the host would see the name `.`.
    match path.trim_end_matches('/') {
        "" => Ok(dir.remove_dir(path)?),
        trimmed => Ok(dir.remove_dir(trimmed)?),
    }
}

pub(super) fn path_unlink_file(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<()> {
    let dir = ctx.dir(fd, Rights::PATH_UNLINK_FILE)?;
    Ok(dir.remove_file(guest.path(path, path_len)?)?)
}

pub(super) fn path_filestat_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Result<()> {
    let follow = follows(flags)?;
    let dir = ctx.dir(fd, Rights::PATH_FILESTAT_GET)?;
    let path = guest.path(path, path_len)?;
    // A slash or dots at the end follow a link, whatever the flags say.
    let found = if follow || split(path).is_none() { dir.metadata(path)? } else { dir.symlink_metadata(path)? };
    guest.write(stat, &Filestat::from(&found).encode())
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

#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    accessed: u64,
    modified: u64,
    which: u32,
) -> Result<()> {
    let follow = follows(flags)?;
    let times = timestamps(accessed, modified, which)?;
    let dir = ctx.dir(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let path = guest.path(path, path_len)?;
    match open_parent(dir, path)? {
        Some((parent, name)) if !follow => {
            let parent = parent.as_ref().unwrap_or(dir);
            Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        }
        _ => set_times(dir, path, &times),
    }
}

/// A file need not be readable to have its times set, so it is opened for nothing.
fn set_times(dir: &Dir, path: &str, times: &Timestamps) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::PATH.bits() as i32);
    let file = dir.open_with(path, &options)?;
    Ok(rustix::fs::utimensat(&file, "", times, AtFlags::EMPTY_PATH)?)
}

/// Links at the end of the old path are never followed, as elsewhere.
#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn path_link(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<()> {
    if follows(old_flags)? {
        return Err(Errno::INVAL);
    }
    let old_dir = ctx.dir(old_fd, Rights::PATH_LINK_SOURCE)?;
    let new_dir = ctx.dir(new_fd, Rights::PATH_LINK_TARGET)?;
    let (old, new) = (guest.path(old_path, old_path_len)?, guest.path(new_path, new_path_len)?);
    Ok(old_dir.hard_link(old, new_dir, new)?)
}

#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn path_rename(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    old_fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<()> {
    let old_dir = ctx.dir(old_fd, Rights::PATH_RENAME_SOURCE)?;
    let new_dir = ctx.dir(new_fd, Rights::PATH_RENAME_TARGET)?;
    let (old, new) = (guest.path(old_path, old_path_len)?, guest.path(new_path, new_path_len)?);
    // cap-std drops the slash, which says that a directory is meant.
    if new.ends_with('/') && !old_dir.symlink_metadata(old)?.is_dir() {
        return Err(Errno::NOTDIR);
    }
    Ok(old_dir.rename(old, new_dir, new)?)
}

/// The link may point anywhere but to an absolute path; where it leads out of the directory, following it fails.
pub(super) fn path_symlink(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    old_path: u32,
    old_path_len: u32,
    fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<()> {
    let dir = ctx.dir(fd, Rights::PATH_SYMLINK)?;
    let (old, new) = (guest.path(old_path, old_path_len)?, guest.path(new_path, new_path_len)?);
    Ok(dir.symlink(old, new)?)
}

/// As much of the link as fits.
#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn path_readlink(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buffer: u32,
    buffer_len: u32,
    used: u32,
) -> Result<()> {
    let dir = ctx.dir(fd, Rights::PATH_READLINK)?;
    let target = dir.read_link(guest.path(path, path_len)?)?;
    let target = target.as_os_str().as_bytes();
    let target = &target[..target.len().min(buffer_len as usize)];
    guest.write(buffer, target)?;
    guest.write_u32(used, target.len() as u32)
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
