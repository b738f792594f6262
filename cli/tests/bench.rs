//! `minirt bench` prints tables of numbers that differ from run to run; their shape does not.

#![forbid(unsafe_code)]

use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt")).arg("bench").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what fails, and returns its exit code and what it says.
fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt")).args(arguments).output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Checks that so many rows have this name, and numbers that only grow.
fn rows(text: &str, name: &str, times: usize) {
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
    assert_eq!(rows.len(), times, "{name}:\n{text}");
    for row in rows {
        let numbers: Vec<f64> = row[name.len()..].split_whitespace().map(|cell| cell.parse().unwrap()).collect();
        assert!(numbers.len() == 4 && numbers.is_sorted() && numbers[0] > 0.0, "{row}");
    }
}

#[test]
fn requests_are_measured_with_instances_initialised_or_from_a_snapshot_and_with_one_for_all() {
    // Its function traps unless it was initialised once, and only once.
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/request.wat");
    let text = bench(&["--rounds", "20", "--init", "init", "--call", "add", guest, "-3", "4"]);
    for name in ["an instance initialised for it ", "an instance from a snapshot ", "one instance for all "] {
        rows(&text, name, 1);
    }
    for (kind, part) in [("initialised", "making it"), ("from a snapshot", "calls"), ("from a snapshot", "its end")] {
        rows(&text, &format!("{kind}: {part} "), 1);
    }
}

#[test]
fn every_kind_of_reset_is_a_row_of_numbers_in_both_tables() {
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat");
    let text = bench(&["--rounds", "50", "--invoke", "_start", "--dirty", "2", guest]);
    for name in ["compile ", "load an artifact ", "first instance "] {
        rows(&text, name, 1);
    }
    for name in ["adaptive (the default) ", "hot set ", "scan ", "discard ", "discard, without images "] {
        rows(&text, name, 2);
    }
}

/// Writes a guest to a folder: a command that exits with this code.
fn exits_with(code: u8, folder: &std::path::Path) -> String {
    let path = folder.join(format!("exits{code}.wat"));
    let text = format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
             (func (export "_start") (call $exit (i32.const {code}))) (func (export "return")))"#
    );
    std::fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

#[test]
fn a_command_that_exits_with_0_has_succeeded_and_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let guest = exits_with(0, folder.path());
    let text = bench(&["--rounds", "5", "--call", "_start", &guest]);
    rows(&text, "an instance from a snapshot ", 1);
    let text = bench(&["--rounds", "5", "--invoke", "_start", &guest]);
    rows(&text, "hot set ", 2);
}

#[test]
fn a_command_that_exits_with_another_code_is_an_error_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let guest = exits_with(3, folder.path());
    for option in ["--call", "--invoke"] {
        let (code, text) = failure(&["bench", "--rounds", "5", option, "_start", &guest]);
        assert!(code == Some(3) && text.contains("exits with code 3"), "{option}: {code:?}, {text}");
    }
}

#[test]
fn an_initialiser_that_exits_is_an_error_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (out, guest) = (folder.path().join("out.cwasm"), exits_with(0, folder.path()));
    let bench = ["bench", "--rounds", "5", "--init", "_start", "--call", "return", &guest];
    let snapshot = ["snapshot", "--init", "_start", &guest, "-o", out.to_str().unwrap()];
    for arguments in [&bench[..], &snapshot] {
        let (code, text) = failure(arguments);
        assert!(code == Some(1) && text.contains("`_start` exits with code 0"), "{arguments:?}: {code:?}, {text}");
    }
    assert!(!out.exists());
}
