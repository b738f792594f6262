//! Arguments that a transcript cannot hold, and texts that are too long for one.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

fn minirt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.env("MINIRT_CACHE", "off").current_dir(TESTS);
    command
}

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn files_directories_variables_and_arguments_can_be_any_bytes() {
    let odd = OsStr::from_bytes(b"\xff\xfe.wat");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(format!("{TESTS}/guests/args.wat"), folder.path().join(odd)).unwrap();
    std::fs::create_dir(folder.path().join(OsStr::from_bytes(b"\xfd"))).unwrap();
    let output = minirt()
        .current_dir(&folder)
        .env("HOSTS", OsStr::from_bytes(b"\xfc"))
        .args(["run", "--env", "HOSTS", "--env"])
        .arg(OsStr::from_bytes(b"A=\xfb"))
        .arg("--dir")
        .arg(OsStr::from_bytes(b"\xfd::/d"))
        .arg(odd)
        .arg(OsStr::from_bytes(b"\xfa"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"\xff\xfe.wat\n\xfa\nHOSTS=\xfc\nA=\xfb\n");
    // As a preloaded file, and to and from artifacts.
    let compiled = minirt().current_dir(&folder).args(["compile".as_ref(), odd]).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let artifact = OsStr::from_bytes(b"\xff\xfe.cwasm");
    let output = minirt()
        .current_dir(&folder)
        .args(["run".as_ref(), "--allow-precompiled".as_ref(), artifact])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\xff\xfe.cwasm\n");
}

#[test]
fn a_file_of_any_name_is_named_in_messages_without_harm_to_a_terminal() {
    let output = minirt().arg("run").arg(OsStr::from_bytes(b"no\xff\x1b[2J\nerror: all is well")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("error: `no\\xff\\x1b[2J\\nerror: all is well` cannot be read\n"), "{said}");
}

#[test]
fn words_that_have_to_be_utf_8_are_refused_with_a_reason() {
    for args in [[b"--invoke".as_slice(), b"\xff"], [b"-W", b"\xff"], [b"--dir", b"\xff"], [b"--preload", b"\xff=a"]] {
        let mut command = minirt();
        command.arg("run").args(args.iter().map(|arg| OsStr::from_bytes(arg))).arg("guests/args.wat");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("UTF-8") && said.contains("help:"), "{said}");
    }
    let odd = OsStr::from_bytes(b"\xff");
    let output = minirt().args(["run", "--invoke", "add", "guests/library.wat", "1"]).arg(odd).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`\\xff` cannot be argument 2 of `add`"), "{said}");
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
    for command in ["run", "compile", "snapshot", "inspect", "bench", "cache", "completions", "man"] {
        assert!(all.contains(&format!("minirt-{command}")), "{command}");
        let page = printed(&["man", command]);
        assert!(page.starts_with(".ie") && page.contains(&format!(".TH minirt-{command} 1")), "{page}");
    }
    assert!(printed(&["man", "run"]).contains("max-memory-size"));
}
