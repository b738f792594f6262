//! Finds the directory of the cache, and checks that it can be trusted.

use rustix::fs::OFlags;
use rustix::process::geteuid;
use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory that only the user can write to.
#[derive(Debug)]
pub(super) struct Folder {
    /// The open directory. It stays the one that was checked, whatever happens to its name.
    open: File,
}

/// A file in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// When it was used last, up to an hour.
    pub(super) used: std::time::SystemTime,
    pub(super) bytes: u64,
    pub(super) name: OsString,
}

impl Folder {
    /// Returns where the cache is, as the XDG base directory specification says. `None` where no
    /// variable names a place.
    pub(super) fn place() -> Option<PathBuf> {
        place(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
    }

    /// Opens the directory, and makes it if it is not there.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened, belongs to somebody else, or can be written to by
    /// others.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let open = || {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
        };
        let folder = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                open()?
            }
            other => other?,
        };
        let about = folder.metadata()?;
        if !is_the_users(&about) {
            return Err(denied("it belongs to somebody else"));
        }
        if about.mode() & 0o022 != 0 {
            return Err(denied("others can write to it"));
        }
        Ok(Self { open: folder })
    }

    /// Returns a path in the directory that was looked at, and in no other that has its name by
    /// now.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        Path::new("/proc/self/fd").join(self.open.as_raw_fd().to_string()).join(name)
    }

    /// Returns what is in it. What another process removes meanwhile is left out.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path("."))? {
            let entry = entry?;
            let Ok(about) = entry.metadata() else { continue };
            if about.is_file() {
                entries.push(Entry { used: about.modified()?, bytes: about.len(), name: entry.file_name() });
            }
        }
        Ok(entries)
    }

    /// Removes a file. Another process may have done so already.
    pub(super) fn remove(&self, name: impl AsRef<Path>) -> bool {
        fs::remove_file(self.path(name)).is_ok()
    }

    /// Returns how many bytes the user can still write to the file system.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(super) fn available(&self) -> io::Result<u64> {
        let about = rustix::fs::fstatvfs(&self.open)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

/// Returns the directory for these variables. Relative paths do not count.
fn place(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = cache_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(base.join("minirt"))
}

/// Makes the directory, unless that is in somebody else's: root leaves nothing in a user's home
/// that the user cannot use.
fn create(path: &Path) -> io::Result<()> {
    let parent = path.ancestors().skip(1).find_map(|path| fs::metadata(path).ok());
    if !parent.is_some_and(|parent| is_the_users(&parent)) {
        return Err(denied("its parent directory belongs to somebody else"));
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn is_the_users(about: &Metadata) -> bool {
    about.uid() == geteuid().as_raw()
}

fn denied(because: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, because)
}

#[cfg(test)]
mod tests {
    use super::{Folder, place};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_place_is_what_xdg_says() {
        let at = |cache: Option<&str>, home: Option<&str>| place(cache.map(Into::into), home.map(Into::into));
        assert_eq!(at(Some("/c"), Some("/h")), Some("/c/minirt".into()));
        assert_eq!(at(Some("c"), Some("/h")), Some("/h/.cache/minirt".into()));
        assert_eq!(at(Some(""), Some("/h")), Some("/h/.cache/minirt".into()));
        assert_eq!(at(None, Some("h")), None);
        assert_eq!(at(None, None), None);
    }

    #[test]
    fn directories_that_others_could_write_to_are_not_used() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        for (mode, used) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false)] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Folder::at(&open).is_ok(), used, "{mode:o}");
        }
        let link = home.path().join("link");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&open, &link).unwrap();
        assert!(Folder::at(&link).is_err(), "a link can be turned elsewhere");
        assert!(Folder::at(&home.path().join("made/on/the/way")).is_ok());
        let made = fs::metadata(home.path().join("made/on/the/way")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
    }
}
