//! What happens when nobody reads what we print.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
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

/// Bytes that a guest passes on in the test: less than a benchmark would.
const LEN: usize = 64 << 20;

fn copy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.args(["run", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/copy.wat")]).env("MINIRT_CACHE", "off");
    command
}

/// What the guest is to copy, from byte `at` on: every part is different.
fn part(at: usize) -> Vec<u8> {
    (at..at + (64 << 10)).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[test]
fn a_guest_passes_on_every_byte_of_a_long_stream() {
    let mut child = copy().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || (0..LEN).step_by(64 << 10).for_each(|at| input.write_all(&part(at)).unwrap()));
        for at in (0..LEN).step_by(64 << 10) {
            let mut bytes = vec![0; 64 << 10];
            output.read_exact(&mut bytes).unwrap();
            assert!(bytes == part(at), "other bytes from {at} on");
        }
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
    });
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_guest_is_told_that_nobody_reads_what_it_writes() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = copy().stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"to nobody").unwrap();
    let output = child.wait_with_output().unwrap();
    // The number of WASI's error PIPE, with which the guest exits.
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_module_can_come_through_a_pipe_and_an_artifact_leave_through_one() {
    let folder = tempfile::tempdir().unwrap();
    let minirt = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
        command.env("MINIRT_CACHE", "off").args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let module = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/library.wat")).unwrap();
    // Standard input by its name in the file system, and a pipe with a name. Both can be read once.
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    for file in ["/dev/stdin", fifo.to_str().unwrap()] {
        let mut child = minirt(&["run", "--invoke", "add", file, "1", "2"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        if file == "/dev/stdin" {
            input.write_all(&module).unwrap();
        } else {
            std::fs::write(&fifo, &module).unwrap();
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    let artifact = minirt(&["compile", "guests/library.wat", "-o", "-"]).stdin(Stdio::null()).output().unwrap();
    assert!(artifact.status.success());
    let file = folder.path().join("library.cwasm");
    std::fs::write(&file, artifact.stdout).unwrap();
    let args = ["run", "--allow-precompiled", "--invoke", "add", file.to_str().unwrap(), "1", "2"];
    assert_eq!(minirt(&args).stdin(Stdio::null()).output().unwrap().stdout, b"3\n");
}
