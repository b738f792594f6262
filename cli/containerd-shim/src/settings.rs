//! What every part of the shim has to agree on: the engine, and the key of an artifact.

use crate::annotations::Snapshot;
use minirt::{Config, Engine, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;

/// The runtime's name: `io.containerd.minirt.v1`.
pub(crate) const NAME: &str = "minirt";

/// Creates the engine that compiles and runs guests.
///
/// # Errors
/// Returns an error if minirt cannot run on this machine.
pub(crate) fn engine() -> Result<Engine> {
    // A damaged artifact is found before it runs. That costs about 0.1 ms for each MiB.
    Engine::new(Config::new().check_artifacts(true))
}

/// Returns the digest of a file as containerd names it, from its beginning, and goes back there.
/// The file is never in memory as a whole: it comes from an image, and may be large.
///
/// # Errors
/// Returns an error if it cannot be read, or is larger than `most` bytes.
pub(crate) fn digest_of_file(file: &mut File, most: u64) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    file.rewind()?;
    let size = io::copy(&mut (&*file).take(most.saturating_add(1)), &mut digest)?;
    anyhow::ensure!(size <= most, "it is larger than {} MiB", most >> 20);
    file.rewind()?;
    Ok(format!("sha256:{}", hex(&digest.finalize())))
}

/// Returns the key of an artifact among all that can be made from the same content: by other
/// versions of minirt, on other processors, or frozen after another initialiser.
pub(crate) fn key(engine: &Engine, module: &str, snapshot: Option<&Snapshot>) -> String {
    let mut about = Everything::default();
    engine.precompile_compatibility_hash().hash(&mut about);
    // Not every change to a compiler is a new version.
    if let Ok(program) = std::fs::metadata("/proc/self/exe") {
        (program.len(), program.mtime(), program.mtime_nsec()).hash(&mut about);
    }
    module.hash(&mut about);
    snapshot.map(|snapshot| (&snapshot.init, &snapshot.allow)).hash(&mut about);
    hex(&Sha256::digest(&about.0)[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collects all the bytes that go into a hash.
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
    use super::{digest_of_file, engine, key};
    use crate::annotations::Snapshot;
    use std::collections::HashSet;
    use std::io::{Seek, Write};

    #[test]
    fn a_key_depends_on_the_module_and_on_how_it_is_frozen() {
        let engine = engine().unwrap();
        let snapshot = |init: &str, allow: &[&str]| {
            Some(Snapshot { init: init.into(), allow: allow.iter().map(|name| (*name).into()).collect() })
        };
        let cases = [
            ("a", None),
            ("b", None),
            ("a", snapshot("init", &[])),
            ("a", snapshot("other", &[])),
            ("a", snapshot("init", &["random_get"])),
        ];
        let keys: HashSet<String> = cases.iter().map(|(module, how)| key(&engine, module, how.as_ref())).collect();
        assert_eq!(keys.len(), cases.len());
        assert!(keys.contains(&key(&engine, "a", None)));
    }

    #[test]
    fn a_digest_is_written_as_containerd_writes_it() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(digest_of_file(&mut file, 0).unwrap(), empty);
        file.write_all(b"abc").unwrap();
        let digest = digest_of_file(&mut file, 3).unwrap();
        assert_eq!(digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(file.stream_position().unwrap(), 0);
        assert!(digest_of_file(&mut file, 2).unwrap_err().to_string().contains("larger"));
    }
}
