//! What happens when nobody reads what we print.

#![forbid(unsafe_code)]

use std::process::{Command, Output, Stdio};

/// Runs minirt with a standard output that is closed at the other end.
fn unread(args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Command::new(env!("CARGO_BIN_EXE_minirt"))
        .env("MINIRT_CACHE", "off")
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("minirt starts")
}

#[test]
fn results_that_nobody_reads_are_no_error() {
    for args in [&["run", "--invoke", "add", "guests/library.wat", "1", "2"][..], &["--version"], &["--help"]] {
        let output = unread(args);
        assert!(output.status.success(), "{args:?}: {}", output.status);
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
