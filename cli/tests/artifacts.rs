//! Artifacts that were made elsewhere: by another version, or for another processor.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use xxhash_rust::xxh3::xxh3_128;

fn minirt(args: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minirt")).args(args).arg(file).env("MINIRT_CACHE", "off").output().unwrap()
}

/// Changes an artifact of a module, and returns what is said about it.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.cwasm");
    let guest = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat"));
    assert!(minirt(&["compile", "-o", file.to_str().unwrap()], guest).status.success());
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
    let output = minirt(&["run", "--allow-precompiled"], &file);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_artifact_of_another_version_is_refused() {
    // The format's number follows the eight bytes that every artifact starts with.
    let said = changed(|bytes| bytes[8] ^= 0x40);
    assert!(said.contains("the artifact was made by format") && said.contains("compile the module again"), "{said}");
}

/// Replaces text in an artifact's description, by as many bytes, and makes its digest right again.
fn elsewhere(from: &[u8], to: &[u8]) -> String {
    changed(|bytes| {
        let metadata = 88..88 + u64::from_le_bytes(bytes[48..56].try_into().unwrap()) as usize;
        let at = bytes[metadata.clone()].windows(from.len()).position(|window| window == from);
        let at = metadata.start + at.expect("the description says so");
        bytes[at..at + to.len()].copy_from_slice(to);
        let digest = xxh3_128(&bytes[32..metadata.end]);
        bytes[16..32].copy_from_slice(&digest.to_le_bytes());
    })
}

#[test]
fn an_artifact_for_another_processor_is_refused() {
    let here = format!("{}-", std::env::consts::ARCH);
    let other = "risc".repeat(2)[..here.len() - 1].to_owned() + "-";
    let said = elsewhere(here.as_bytes(), other.as_bytes());
    assert!(said.contains(&format!("made for {other}unknown")) && said.contains("help: minirt compile"), "{said}");
    // A feature that no processor has.
    let (feature, none) = if here == "x86_64-" { ("has_sse41", "has_sse99") } else { ("has_lse", "has_l99") };
    let said = elsewhere(feature.as_bytes(), none.as_bytes());
    assert!(said.contains(none) && said.contains("help: minirt compile"), "{said}");
}

#[test]
fn an_artifact_that_was_damaged_is_refused() {
    // Its description starts at byte 88.
    let said = changed(|bytes| bytes[100] ^= 1);
    assert!(said.contains("not as it was written") && said.contains("help: minirt compile"), "{said}");
    let said = changed(|bytes| bytes.truncate(100));
    assert!(said.contains("has 100 bytes instead of"), "{said}");
}

#[test]
fn inspect_says_why_an_image_is_copied() {
    use std::process::{Command, Stdio};
    let run = |prelude: &str| {
        let script = format!("{prelude}; exec \"$0\" inspect \"$1\"");
        let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_minirt"), guest]).env("MINIRT_CACHE", "off");
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{prelude}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Files of at most 512 bytes, and as many descriptors as it takes to read the module.
    let said = run("ulimit -f 1");
    assert!(said.contains("copied for each instance: the process may not have files of this size"), "{said}");
    let said = run("ulimit -n 4");
    assert!(said.contains("copied for each instance: the process has few descriptors left"), "{said}");
    assert!(!run("true").contains("copied for each instance"));
}
