//! Compiled modules, kept for the next time.
//!
//! An entry is an artifact: machine code that will be run. So the folder has to belong to the user, and nobody else may
//! write to it; otherwise there is no cache. Who can write to it can do what the user can in any case. What is
//! left is accidents, and against these every byte of an entry is compared with its digest before it is used.
//!
//! Nothing that goes wrong here is an error: the module is compiled then, as if there were no cache.

use minirt::{Engine, Module};
use rustix::process::{Resource, geteuid, getrlimit};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes that all entries together may have. When it is more, the oldest go.
const MOST_BYTES: u64 = 512 << 20;

/// What entries are called after their key.
const SUFFIX: &str = ".cwasm";

/// The folder of the cache.
#[derive(Debug)]
pub(crate) struct Cache {
    /// What was looked at, and is used: it stays the same whatever happens to its name.
    folder: File,
}

impl Cache {
    /// The cache, unless there is none or it is not to be used.
    pub(crate) fn open(disabled: bool) -> Option<Self> {
        if disabled || std::env::var_os("MINIRT_CACHE").is_some_and(|value| value == "off") {
            return None;
        }
        let path = place(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))?;
        Self::at(&path).ok()
    }

    fn at(path: &Path) -> io::Result<Self> {
        let open = || {
            let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
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
        if is_ours(&about) && about.mode() & 0o022 == 0 { Ok(Self { folder }) } else { Err(denied()) }
    }

    /// The module that these bytes were compiled to, or else what `compile` makes of them.
    pub(crate) fn module<E>(
        &self,
        engine: &Engine,
        bytes: &[u8],
        compile: impl FnOnce() -> Result<Module, E>,
    ) -> Result<Module, E> {
        let key = key(engine, bytes);
        // SAFETY: nobody but the user can write to the folder, and minirt never changes an entry: it replaces it. What
        // accidents do to it is found, because the caller has the engine check artifacts.
        #[allow(unsafe_code, reason = "an artifact is code, and this one we have written ourselves")]
        let kept = unsafe { Module::deserialize_file(engine, self.entry(&key)) };
        kept.or_else(|_| {
            let module = compile()?;
            // It will be compiled again then.
            let _ = self.keep(&key, &module);
            Ok(module)
        })
    }

    fn keep(&self, key: &str, module: &Module) -> io::Result<()> {
        let artifact = module.serialize().map_err(io::Error::other)?;
        // Writing beyond this limit would not fail, but kill.
        let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        if artifact.len() as u64 > limit.min(MOST_BYTES) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let unfinished = self.path(&format!("{key}.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(&artifact).and_then(|()| fs::rename(&unfinished, self.entry(key)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| self.trim(MOST_BYTES))
    }

    /// Removes the oldest files until no more than `most` bytes are left.
    fn trim(&self, most: u64) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(self.path("."))? {
            let entry = entry?;
            // Another process may have removed it meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if bytes <= most {
                break;
            }
            let _ = fs::remove_file(path);
            bytes -= len;
        }
        Ok(())
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.path(&format!("{key}{SUFFIX}"))
    }

    /// A path in the folder that was looked at, and no other that has its name by now.
    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()).into()
    }
}

/// Where the cache is, as the XDG base directory specification says: relative paths do not count.
fn place(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = cache_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(base.join("minirt"))
}

/// Makes the folder, unless that is in somebody else's: root does not leave in a user's home what the user cannot use.
fn create(path: &Path) -> io::Result<()> {
    let there = path.ancestors().skip(1).find_map(|path| fs::metadata(path).ok()).ok_or_else(denied)?;
    if !is_ours(&there) {
        return Err(denied());
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn is_ours(about: &Metadata) -> bool {
    about.uid() == geteuid().as_raw()
}

fn denied() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

/// Returns what tells an entry from all others: the module, and everything that the engine says decides which modules it
/// accepts and what it makes of them. So an option of `-W` that does is part of it without being named here. It is a
/// cryptographic digest, so that nobody can make a module that is taken for another.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    let mut about = Everything::default();
    engine.precompile_compatibility_hash().hash(&mut about);
    // Not every change to a compiler is a new version.
    if let Ok(program) = fs::metadata("/proc/self/exe") {
        (program.len(), program.mtime(), program.mtime_nsec()).hash(&mut about);
    }
    let mut digest = Sha256::new_with_prefix((about.0.len() as u64).to_le_bytes());
    digest.update(&about.0);
    digest.update(bytes);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All the bytes that go into a hash.
#[derive(Default)]
struct Everything(Vec<u8>);

impl Hasher for Everything {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the bytes are wanted")
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, key, place};
    use crate::options::wasm_options::{WasmOption, configure};
    use minirt::{Config, Engine};
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

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
    fn a_key_depends_on_the_module_and_on_every_option_that_decides_what_is_compiled() {
        let under = |options: &[&str]| {
            let options: Vec<WasmOption> = options.iter().map(|option| option.parse().unwrap()).collect();
            let mut config = Config::new();
            configure(&mut config, &options);
            key(&Engine::new(&config).unwrap(), b"a")
        };
        let keys = [
            under(&[]),
            key(&Engine::default(), b"b"),
            under(&["multi-memory=n"]),
            under(&["memory64=n"]),
            under(&["function-references=n"]),
            under(&["multi-memory=n", "memory64=n"]),
            under(&["fuel=1"]),
            under(&["timeout=1s"]),
        ];
        let different: std::collections::HashSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(keys[0], key(&Engine::default(), b"a"));
        // Limits of the store change nothing.
        assert_eq!(keys[0], under(&["max-memory-size=1", "max-wasm-stack=100000"]));
    }

    #[test]
    fn the_oldest_files_go_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        for (age, name) in [(3, "old"), (2, "middle"), (1, "new")] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        Cache::at(folder.path()).unwrap().trim(250).unwrap();
        let left = |name| folder.path().join(name).exists();
        assert_eq!((left("old"), left("middle"), left("new")), (false, true, true));
    }

    #[test]
    fn folders_that_others_could_write_to_are_not_used() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        for (mode, used) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false)] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Cache::at(&open).is_ok(), used, "{mode:o}");
        }
        let link = home.path().join("link");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(Cache::at(&link).is_err(), "a link can be turned elsewhere");
        assert!(Cache::at(&home.path().join("made/on/the/way")).is_ok());
        let made = fs::metadata(home.path().join("made/on/the/way")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
    }
}
