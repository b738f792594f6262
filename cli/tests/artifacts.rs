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

/// Runs `minirt compile` for a target, and returns whether it has worked, and what it has said.
fn compiled(target: &[&str], file: &Path) -> (bool, String) {
    let guest = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat"));
    let output = minirt(&[&["compile", "-o", file.to_str().unwrap()], target].concat(), guest);
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// Returns the name of the target that is this machine.
fn this_machine() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[test]
fn an_artifact_for_the_other_kind_of_machine_is_made_and_refused_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.cwasm");
    let here = std::env::consts::ARCH;
    let other = if here == "x86_64" { "aarch64" } else { "x86_64" };
    let target = format!("{other}-unknown-linux-gnu");
    let (made, said) = compiled(&["--target", &target], &file);
    if !cfg!(feature = "cross") {
        assert!(!made && said.contains("build minirt with the feature `cross`"), "{said}");
        return;
    }
    assert!(made, "{said}");
    let output = minirt(&["run", "--allow-precompiled"], &file);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("error").count(), 1, "{said}");
    assert!(said.contains(&format!("made for {target}, and this is {here}-unknown-linux")), "{said}");
}

#[test]
fn a_target_or_page_size_that_there_is_not_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.cwasm");
    for target in ["riscv64gc-unknown-linux-gnu", "aarch64-apple-darwin", "aarch64", ""] {
        let (made, said) = compiled(&["--target", target], &file);
        assert!(!made && said.matches("error").count() == 1, "{said}");
        assert!(said.contains("it runs on x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu"), "{said}");
        // Another build would not help.
        assert!(said.contains("help: name one of these") && !said.contains("cross"), "{said}");
    }
    let here = this_machine();
    for size in ["5000", "1024", "131072"] {
        let (made, said) = compiled(&["--target", &here, "--page-size", size], &file);
        assert!(!made && said.matches("error").count() == 1 && said.contains("pages have"), "{said}");
    }
    assert!(!file.exists());
}

/// Pages may be as large as here, or larger there.
#[test]
fn an_artifact_for_this_machine_by_name_runs_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.cwasm");
    let here = this_machine();
    let (made, said) = compiled(&["--target", &here, "--page-size", "65536"], &file);
    assert!(made, "{said}");
    let output = minirt(&["run", "--allow-precompiled"], &file);
    assert!(output.status.success(), "{output:?}");
    // Where pages are larger than those that it was made for, it is refused.
    let (made, said) = compiled(&["--target", &here, "--page-size", "4096"], &file);
    assert!(made, "{said}");
    let output = minirt(&["run", "--allow-precompiled"], &file);
    let said = String::from_utf8(output.stderr).unwrap();
    let larger = rustix::param::page_size() > 4096;
    assert_eq!(output.status.code(), Some(if larger { 1 } else { 0 }), "{said}");
    assert_eq!(said.contains("pages of"), larger, "{said}");
}

#[test]
fn machine_code_is_shown_for_no_target() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.asm");
    let here = this_machine();
    let (made, said) = compiled(&["--target", &here, "--emit", "asm"], &file);
    assert!(!made && said.matches("error").count() == 1, "{said}");
    assert!(said.contains("machine code for `") && said.contains("--emit=clif") && !said.contains("bug"), "{said}");
    assert!(!file.exists());
    let (made, said) = compiled(&["--target", &here, "--emit", "clif"], &file);
    assert!(made && file.exists(), "{said}");
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
