//! Arguments that a transcript cannot hold, and texts too long for one.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

#[test]
fn arguments_that_are_not_utf_8_are_refused_with_a_reason() {
    for args in [&[b"run", &b"guests/\xff.wat"[..]][..], &[b"run", b"guests/args.wat", b"\xfe"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_minirt"))
            .env("MINIRT_CACHE", "off")
            .args(args.iter().map(|arg| OsStr::from_bytes(arg)))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("an argument is not valid UTF-8") && said.contains("help:"), "{said}");
    }
}

#[test]
fn a_variable_of_the_host_that_is_not_utf_8_is_refused_with_a_reason() {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt"))
        .env("MINIRT_CACHE", "off")
        .args(["run", "--env", "ODD", "guests/args.wat"])
        .env("ODD", OsStr::from_bytes(b"\xff"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("the environment variable `ODD` cannot be passed on") && said.contains("help:"), "{said}");
}

#[test]
fn completions_and_manual_pages_know_every_command_and_option() {
    let printed = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_minirt")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap().replace("\\-", "-")
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = printed(&["completions", shell]);
        for word in ["snapshot", "allow-precompiled", "no-cache", "completions"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let all = printed(&["man"]);
    for command in ["run", "compile", "snapshot", "inspect", "bench", "completions", "man"] {
        assert!(all.contains(&format!("minirt-{command}")), "{command}");
        let page = printed(&["man", command]);
        assert!(page.starts_with(".ie") && page.contains(&format!(".TH minirt-{command} 1")), "{page}");
    }
    assert!(printed(&["man", "run"]).contains("max-memory-size"));
}
