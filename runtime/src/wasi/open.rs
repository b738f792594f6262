//! `path_open`: which rights it takes, how the host opens, and what the new descriptor may.

use super::ctx::WasiCtx;
use super::descriptor::Descriptor;
use super::errno::{Errno, Result};
use super::file::host_flags;
use super::guest::Guest;
use super::path::{follows, open_parent};
use super::rights::Rights;
use super::types::{Filetype, fdflags, oflags};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{Mode, OFlags};
use std::fs::File;

#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn path_open(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    rights: u64,
    inheriting: u64,
    flags: u32,
    opened: u32,
) -> Result<()> {
    let oflags = oflags::from_guest(oflags)?;
    let flags = fdflags::from_guest(flags)?;
    let (follow, asked) = (follows(lookup)?, Rights::from_bits(rights));
    let base = ctx.table.get(fd)?;
    let dir = &base.directory(needed(oflags))?.dir;
    let path = guest.path(path, path_len)?;
    // The file system is not touched before it is clear that the descriptor can be had and told.
    guest.slice(opened, 4)?;
    ctx.table.next_free()?;
    let granted = asked & base.inheriting();
    if !granted.contains(asked & Rights::ACCESS) {
        return Err(Errno::NOTCAPABLE);
    }
    let (file, filetype) = Request { path, follow, oflags, rights: granted, flags }.open(dir)?;
    let inheriting = Rights::from_bits(inheriting) & base.inheriting();
    let number = ctx.table.insert(Descriptor::opened(file, filetype, granted, inheriting, flags))?;
    guest.write_u32(opened, number)
}

/// The rights that opening in these ways takes.
fn needed(oflags: u16) -> Rights {
    let create = if oflags & oflags::CREAT != 0 { Rights::PATH_CREATE_FILE } else { Rights::NONE };
    let truncate = if oflags & oflags::TRUNC != 0 { Rights::PATH_FILESTAT_SET_SIZE } else { Rights::NONE };
    Rights::PATH_OPEN | create | truncate
}

/// What is to be opened, and how.
struct Request<'a> {
    path: &'a str,
    /// Whether a symbolic link at the end is followed. Otherwise it is `LOOP`.
    follow: bool,
    oflags: u16,
    /// What the new descriptor is for.
    rights: Rights,
    /// `fdflags`.
    flags: u16,
}

impl Request<'_> {
    fn has(&self, oflag: u16) -> bool {
        self.oflags & oflag != 0
    }

    fn open(&self, dir: &Dir) -> Result<(File, Filetype)> {
        let only_directories = self.has(oflags::DIRECTORY);
        if only_directories && self.has(oflags::CREAT) {
            return Err(Errno::INVAL);
        }
        let file = match open_parent_unless(self.follow, dir, self.path)? {
            Some((parent, name)) => self.open_name(parent.as_ref().unwrap_or(dir), name)?,
            None => self.open_following(dir)?,
        };
        let filetype = Filetype::of_mode(rustix::fs::fstat(&file)?.st_mode);
        match filetype == Filetype::DIRECTORY {
            true if self.has(oflags::CREAT) || self.rights.contains(Rights::FD_WRITE) => Err(Errno::ISDIR),
            false if only_directories => Err(Errno::NOTDIR),
            _ => Ok((file, filetype)),
        }
    }

    /// Whether the host must open for writing. A directory never is, so that it turns out to be one.
    fn writes(&self) -> bool {
        let written = self.rights.intersects(Rights::NEED_WRITING) || self.has(oflags::TRUNC);
        written && !self.has(oflags::DIRECTORY)
    }

    /// Flags of the new open file that change nothing about how its path is resolved. Something else in place of a
    /// directory, like a pipe without a writer, must not keep us waiting.
    fn status(&self) -> OFlags {
        let patience = if self.has(oflags::DIRECTORY) { OFlags::NONBLOCK } else { OFlags::empty() };
        host_flags(self.flags) | patience
    }

    fn open_following(&self, dir: &Dir) -> Result<File> {
        let writes = self.writes();
        let mut options = OpenOptions::new();
        options.read(self.rights.contains(Rights::FD_READ) || !writes).write(writes);
        options.truncate(self.has(oflags::TRUNC)).custom_flags(self.status().bits() as i32);
        let file = match (self.has(oflags::CREAT), self.has(oflags::EXCL)) {
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
            (oflags::CREAT, OFlags::CREATE),
            (oflags::EXCL, OFlags::EXCL),
            (oflags::TRUNC, OFlags::TRUNC),
            (oflags::DIRECTORY, OFlags::DIRECTORY),
        ];
        let how: OFlags = names.into_iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| name).collect();
        let flags = access | how | self.status() | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mode = Mode::from_bits_truncate(0o666);
        Ok(rustix::fs::openat(dir, name, flags, mode)?.into())
    }
}

/// The last name of a path with its directory, where that must not be a link.
fn open_parent_unless<'p>(follow: bool, dir: &Dir, path: &'p str) -> Result<Option<(Option<Dir>, &'p str)>> {
    if follow { Ok(None) } else { open_parent(dir, path) }
}
