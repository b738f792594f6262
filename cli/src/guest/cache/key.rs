//! Computes the key that distinguishes an entry of the cache from all others.

use minirt::Engine;
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;

/// Returns the key of an entry: a digest of the module, and of every setting that decides which
/// modules the engine accepts and how it compiles them. The engine lists those settings, so an
/// option of `-W` that is one of them need not be named here. The digest is cryptographic, so that
/// nobody can make a module that is taken for another.
pub(super) fn key(engine: &Engine, bytes: &[u8]) -> String {
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
    use super::key;
    use crate::options::wasm_options::{WasmOption, configure};
    use minirt::{Config, Engine};
    use std::collections::HashSet;

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
        let different: HashSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(keys[0], key(&Engine::default(), b"a"));
        // Limits of the store change nothing.
        assert_eq!(keys[0], under(&["max-memory-size=1", "max-wasm-stack=100000"]));
    }
}
