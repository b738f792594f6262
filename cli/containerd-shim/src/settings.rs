//! What every part of the shim has to agree on: the engine, and the key of an artifact.

use crate::annotations::Snapshot;
use minirt::{Config, Engine, Result};
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
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

/// Returns the digest of some content, as containerd names it.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
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
    use super::{digest, engine, key};
    use crate::annotations::Snapshot;
    use std::collections::HashSet;

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
        assert_eq!(digest(b""), empty);
    }
}
