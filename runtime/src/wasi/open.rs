//! Implements `path_open`: which rights it takes, how the host opens, and what the new descriptor
//! may do.
//!
//! The host opens without waiting, and files that could wait (pipes, terminals) stay in that mode.
//! Where a guest has to wait, it waits here and in `transfer`, which check its deadline.

use super::call::Call;
use super::descriptor::Descriptor;
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::flags::{Fdflags, Flags, Lookupflags, Oflags};
use super::host_io::beyond_standard_streams;
use super::params::{Fd, GuestPath};
use super::path::{follows, open_parent};
use super::rights::{Grant, Rights};
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;

pub(super) fn path_open(
    call: &mut Call<'_>,
    fd: Fd,
    lookup: Lookupflags,
    path: GuestPath,
    oflags: Oflags,
    rights: Grant,
    flags: Fdflags,
) -> Result<Fd, Failure> {
    loop {
        let (guest, ctx) = call.parts();
        let base = ctx.table.get(fd)?;
        let dir = &base.directory(needed(oflags))?.dir;
        let path = guest.path(path)?;
        // Before anything touches the file system, there has to be a free number.
        ctx.table.next_free()?;
        let granted = rights.base & base.inheriting();
        if !granted.contains(rights.base & Rights::ACCESS) {
            return Err(Errno::NOTCAPABLE.into());
        }
        let request = Request { path, follow: follows(lookup), oflags, rights: granted, flags };
        if let Some((file, filetype)) = request.open_unless_later(dir)? {
            let rights = Grant { base: granted, inheriting: rights.inheriting & base.inheriting() };
            return Ok(ctx.table.insert(Descriptor::opened(file, filetype, rights, flags))?);
        }
        call.nap()?;
    }
}

/// Returns the rights that a guest needs to open a file in this way.
fn needed(oflags: Oflags) -> Rights {
    let create = if oflags.contains(Oflags::CREAT) { Rights::PATH_CREATE_FILE } else { Rights::NONE };
    let truncate = if oflags.contains(Oflags::TRUNC) { Rights::PATH_FILESTAT_SET_SIZE } else { Rights::NONE };
    Rights::PATH_OPEN | create | truncate
}

/// A path to be opened, and how.
struct Request<'a> {
    path: &'a str,
    /// Whether a symbolic link at the end is followed. Otherwise it is `LOOP`.
    follow: bool,
    oflags: Oflags,
    /// The rights of the new descriptor.
    rights: Rights,
    flags: Fdflags,
}

impl Request<'_> {
    fn has(&self, oflag: Oflags) -> bool {
        self.oflags.contains(oflag)
    }

    /// Returns nothing if the guest has to wait: a pipe is opened for writing when there is a
    /// reader, and a file under a lease when the lease is given back. The host does not tell when.
    fn open_unless_later(&self, dir: &Dir) -> Result<Option<(File, FileType)>> {
        match self.open(dir) {
            Err(Errno::NXIO) if self.waits() && self.is_pipe(dir) => Ok(None),
            Err(Errno::AGAIN) if self.waits() => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn waits(&self) -> bool {
        !self.flags.contains(Fdflags::NONBLOCK)
    }

    fn is_pipe(&self, dir: &Dir) -> bool {
        let found = if self.follow { dir.metadata(self.path) } else { dir.symlink_metadata(self.path) };
        found.is_ok_and(|found| FileType::from_raw_mode(found.mode()) == FileType::Fifo)
    }

    fn open(&self, dir: &Dir) -> Result<(File, FileType)> {
        let only_directories = self.has(Oflags::DIRECTORY);
        if only_directories && self.has(Oflags::CREAT) {
            return Err(Errno::INVAL);
        }
        let file = match open_parent_unless(self.follow, dir, self.path)? {
            Some((parent, name)) => self.open_name(parent.as_ref().unwrap_or(dir), name)?,
            None => self.open_following(dir)?,
        };
        let file = File::from(beyond_standard_streams(file.into())?);
        let filetype = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if filetype == FileType::RegularFile && is_of_procfs(&file)? {
            return Err(Errno::ACCES);
        }
        match filetype == FileType::Directory {
            true if self.has(Oflags::CREAT) || self.rights.contains(Rights::FD_WRITE) => Err(Errno::ISDIR),
            false if only_directories => Err(Errno::NOTDIR),
            _ => Ok((file, filetype)),
        }
    }

    /// Returns whether the host must open for writing. A directory never is, so that it turns out
    /// to be one.
    fn writes(&self) -> bool {
        let written = self.rights.intersects(Rights::NEED_WRITING) || self.has(Oflags::TRUNC);
        written && !self.has(Oflags::DIRECTORY)
    }

    /// Returns flags of the new open file that change nothing about how its path is resolved. A
    /// terminal must not become that of the host.
    fn status(&self) -> OFlags {
        let names = [
            (Fdflags::APPEND, OFlags::APPEND),
            (Fdflags::DSYNC, OFlags::DSYNC),
            (Fdflags::RSYNC, OFlags::RSYNC),
            (Fdflags::SYNC, OFlags::SYNC),
        ];
        self.flags.names(names) | OFlags::NONBLOCK | OFlags::NOCTTY
    }

    fn open_following(&self, dir: &Dir) -> Result<File> {
        let writes = self.writes();
        let mut options = OpenOptions::new();
        options.read(self.rights.contains(Rights::FD_READ) || !writes).write(writes);
        options.truncate(self.has(Oflags::TRUNC)).custom_flags(self.status().bits() as i32);
        let file = match (self.has(Oflags::CREAT), self.has(Oflags::EXCL)) {
            (false, _) => dir.open_with(self.path, &options),
            (true, true) => dir.open_with(self.path, options.write(true).create_new(true)),
            (true, false) if writes => dir.open_with(self.path, options.create(true)),
            // cap-std creates only what it writes; but what is there need not be writable.
            (true, false) => match dir.open_with(self.path, &options) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    dir.open_with(self.path, options.write(true).create(true))
                }
                other => other,
            },
        };
        Ok(file?.into_std())
    }

    /// Opens a single name, without slashes or dots, and follows nothing.
    fn open_name(&self, dir: &Dir, name: &str) -> Result<File> {
        let access = match (self.rights.contains(Rights::FD_READ), self.writes()) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        let names = [
            (Oflags::CREAT, OFlags::CREATE),
            (Oflags::EXCL, OFlags::EXCL),
            (Oflags::TRUNC, OFlags::TRUNC),
            (Oflags::DIRECTORY, OFlags::DIRECTORY),
        ];
        let flags = access | self.oflags.names(names) | self.status() | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_bits_truncate(0o666);
        Ok(rustix::fs::openat(dir, name, flags, mode)?.into())
    }
}

/// Returns whether a file belongs to procfs (proc(5)).
///
/// No guest opens one. `/proc/self/mem` is the memory of this process, and `/proc/kcore` that of
/// the machine: with one of them a guest that may see `/` would have the host and all other guests.
/// Other files there change how the process's memory is tracked, or the kernel's settings.
fn is_of_procfs(file: &File) -> Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// Opens the directory of a path's last name, where that must not be a link.
fn open_parent_unless<'p>(follow: bool, dir: &Dir, path: &'p str) -> Result<Option<(Option<Dir>, &'p str)>> {
    if follow { Ok(None) } else { open_parent(dir, path) }
}
