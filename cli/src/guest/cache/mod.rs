//! Keeps compiled modules for the next time.
//!
//! An entry is an artifact: machine code that will be run. So the directory has to belong to the
//! user, and nobody else may write to it; otherwise there is no cache. Whoever can write to it can
//! do what the user can in any case. What is left is accidents, and against these every byte of an
//! entry is compared with its digest before it is used.
//!
//! Nothing that goes wrong here is an error: the module is compiled then, as if there were no
//! cache. The exception is a limit that cannot be understood, because the user has written it.
//!
//! Processes share the directory without a lock. An entry is written to a file of its own name and
//! renamed, and nothing changes it afterwards; what one process removes, another goes on using if
//! it has it mapped, or compiles again.

mod key;
mod folder;
mod limit;

use super::input::shown;
use crate::options::size;
use crate::output::printable;
use crate::output::report::{Report, USAGE, note};
use folder::Folder;
use key::key;
use limit::{Limit, VARIABLE, to_evict, to_forget};
use minirt::{Engine, Module};
use rlimit::{INFINITY, Resource};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The ending of an entry's name, after its key.
const SUFFIX: &str = ".cwasm";
/// The ending of the name of the empty file that a removed entry leaves, after its key.
const EVICTED: &str = ".evicted";

/// How old the time of an entry's last use may be. Writing it at each start would take longer than
/// many guests.
const USED: Duration = Duration::from_hours(1);

/// The bytes of an artifact from which on the user is told what happens to it.
const LARGE: u64 = 16 << 20;

/// The time of compiling from which on the user is told that it was spent again, however small the
/// artifact is.
const SLOW: Duration = Duration::from_secs(1);

/// The cache of a user.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: Folder,
    limit: Limit,
}

/// The contents of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How many modules there are.
    pub(crate) modules: usize,
    /// How many bytes they have.
    pub(crate) bytes: u64,
    /// The most bytes they may have.
    pub(crate) limit: u64,
}

/// The fate of a compiled module in the cache, as far as the user should know.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    /// Nothing that is worth a word.
    Nothing,
    /// Its artifact is larger than the whole cache may be.
    TooLarge { artifact: u64, limit: u64 },
    /// It was in the cache once.
    Again { took: Duration },
    /// Others had to go.
    Evicted { modules: usize, bytes: u64, limit: u64 },
}

impl Cache {
    /// Opens the cache. `None` if it is not to be used or cannot be used.
    ///
    /// # Errors
    /// Returns an error if its limit is not a size.
    pub(crate) fn open(disabled: bool) -> Result<Option<Self>, Report> {
        if disabled || is_off() {
            return Ok(None);
        }
        let limit = limit()?;
        if limit == Limit::Bytes(0) {
            return Ok(None);
        }
        let folder = Folder::place().and_then(|place| Folder::at(&place).ok());
        Ok(folder.map(|folder| Self { folder, limit }))
    }

    /// Opens the cache to be looked at or cleared, also where `MINIRT_CACHE_SIZE` is 0.
    ///
    /// # Errors
    /// Returns an error if there cannot be one, with the reason.
    pub(crate) fn inspect() -> Result<(Self, PathBuf), Report> {
        let limit = limit()?;
        let what = "there is no cache of compiled modules";
        let Some(place) = Folder::place() else {
            let because = "neither XDG_CACHE_HOME nor HOME is an absolute path";
            return Err(Report::new(what, because, "set one of them"));
        };
        match Folder::at(&place) {
            Ok(folder) => Ok((Self { folder, limit }, place)),
            Err(error) => {
                let because = format!("its directory `{}` cannot be used: {error}", printable::path(&place));
                Err(Report::new(what, because, "have it be a directory of yours that only you can write to"))
            }
        }
    }

    /// Returns the module that these bytes from `file` were compiled to, or else what `compile`
    /// makes of them.
    ///
    /// # Errors
    /// Returns the errors of `compile`.
    pub(crate) fn module(
        &self,
        engine: &Engine,
        file: &Path,
        bytes: &[u8],
        compile: impl FnOnce() -> Result<Module, Report>,
    ) -> Result<Module, Report> {
        let key = key(engine, bytes);
        if let Some(module) = self.find(engine, &key) {
            return Ok(module);
        }
        let begin = Instant::now();
        let module = compile()?;
        // A module that cannot be kept is compiled again next time.
        if let Ok(notice) = self.keep(&key, &module, begin.elapsed()) {
            notice.say(file);
        }
        Ok(module)
    }

    fn find(&self, engine: &Engine, key: &str) -> Option<Module> {
        let file = File::open(self.entry(key)).ok()?;
        let used = file.metadata().and_then(|about| about.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > USED)) {
            // Without it, the entry only goes earlier.
            let _ = file.set_modified(SystemTime::now());
        }
        // SAFETY: nobody but the user can write to the directory, and minirt never changes an
        // entry: it replaces it. What accidents do to it is found, because the caller has the
        // engine check artifacts.
        #[allow(unsafe_code, reason = "an artifact is code, and minirt itself has written this one")]
        let module = unsafe { Module::deserialize_open_file(engine, file) };
        module.ok()
    }

    /// Keeps a module whose compilation took this long.
    fn keep(&self, key: &str, module: &Module, took: Duration) -> io::Result<Notice> {
        let artifact = module.serialize().map_err(io::Error::other)?;
        let bytes = artifact.len() as u64;
        let limit = self.limit.bytes(&self.folder, self.usage()?.bytes)?;
        if bytes > limit {
            return Ok(if bytes >= LARGE { Notice::TooLarge { artifact: bytes, limit } } else { Notice::Nothing });
        }
        // Writing beyond this limit would not fail, but kill. Where a filter denies the question,
        // the usual answer is taken: there is no limit.
        if bytes > Resource::FSIZE.get_soft().unwrap_or(INFINITY) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let unfinished = format!("{key}.{}", std::process::id());
        let path = self.folder.path(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = file.write_all(&artifact).and_then(|()| fs::rename(&path, self.entry(key)));
        if let Err(error) = written {
            self.folder.remove(unfinished);
            return Err(error);
        }
        let again = self.folder.remove(format!("{key}{EVICTED}"));
        let evicted = self.trim(limit)?;
        Ok(if again && is_costly(bytes, took) { Notice::Again { took } } else { evicted })
    }

    /// Removes what was not used for the longest time, until no more than `limit` bytes are left.
    fn trim(&self, limit: u64) -> io::Result<Notice> {
        let (mut modules, mut bytes) = (0, 0);
        let entries = self.folder.entries()?;
        let (evicted, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.name.to_string_lossy().ends_with(EVICTED));
        for entry in to_forget(evicted) {
            self.folder.remove(&entry.name);
        }
        for entry in to_evict(entries, limit) {
            let key = entry.name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let (true, Some(key)) = (self.folder.remove(&entry.name), key) else { continue };
            if entry.bytes >= LARGE {
                (modules, bytes) = (modules + 1, bytes + entry.bytes);
            }
            // Without it, the user is not told when the module is compiled again.
            let _ = File::create_new(self.folder.path(format!("{key}{EVICTED}")));
        }
        Ok(if modules > 0 { Notice::Evicted { modules, bytes, limit } } else { Notice::Nothing })
    }

    /// Returns how much is in the cache.
    ///
    /// # Errors
    /// Returns an error if its directory cannot be read.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let entries = self.folder.entries()?;
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        let modules = entries.iter().filter(|entry| entry.name.to_string_lossy().ends_with(SUFFIX)).count();
        Ok(Usage { modules, bytes, limit: self.limit.bytes(&self.folder, bytes)? })
    }

    /// Removes everything, and returns what that was.
    ///
    /// # Errors
    /// Returns an error if its directory cannot be read.
    pub(crate) fn clear(&self) -> io::Result<Usage> {
        let usage = self.usage()?;
        for entry in self.folder.entries()? {
            self.folder.remove(&entry.name);
        }
        Ok(usage)
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.folder.path(format!("{key}{SUFFIX}"))
    }
}

/// Returns whether it is worth a word that a module was compiled again.
fn is_costly(artifact: u64, took: Duration) -> bool {
    artifact >= LARGE || took >= SLOW
}

/// Returns the limit that the user's environment sets.
fn limit() -> Result<Limit, Report> {
    Limit::from_env().map_err(|text| {
        let what = format!("`{}` is not a size for the cache ({VARIABLE})", printable::path(text));
        let because = "it takes a number of bytes, alone or with K, M, G or T";
        let help = "give it a size as in 512M, or unset it to have one that fits the disk";
        Report::new(what, because, help).with_code(USAGE)
    })
}

/// Returns whether the user's environment says that modules are not to be kept.
pub(crate) fn is_off() -> bool {
    std::env::var_os("MINIRT_CACHE").is_some_and(|value| value == "off")
}

impl Notice {
    /// Tells the user, in one line.
    fn say(&self, file: &Path) {
        let (file, size) = (shown(file), size::display);
        match *self {
            Self::Nothing => {}
            Self::TooLarge { artifact, limit } => note(&format!(
                "{file} is not kept in the cache and will be compiled again: it needs {}, and the cache has {} \
                 ({VARIABLE} sets this)",
                size(artifact),
                size(limit)
            )),
            Self::Again { took } => note(&format!(
                "{file} was compiled again in {:.1} s, because the cache had no room for it ({VARIABLE} sets its size)",
                took.as_secs_f64()
            )),
            Self::Evicted { modules, bytes, limit } => note(&format!(
                "the cache of {} was full: {modules} other large {} had to go, {} ({VARIABLE} sets its size)",
                size(limit),
                if modules == 1 { "module" } else { "modules" },
                size(bytes)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGE, SLOW, is_costly};
    use std::time::Duration;

    #[test]
    fn a_module_is_worth_a_word_if_it_is_large_or_took_long() {
        assert!(is_costly(LARGE, Duration::ZERO));
        assert!(is_costly(1, SLOW), "small, but slow to compile");
        assert!(!is_costly(LARGE - 1, SLOW - Duration::from_millis(1)));
    }
}
