//! What happens on a terminal, and what Ctrl-C does.

#![forbid(unsafe_code)]

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The number of the signal that Ctrl-C sends.
const SIGINT: i32 = 2;

/// A terminal: what programs write to it, and its end for them.
fn terminal() -> (File, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let program = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(screen), program)
}

fn minirt(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    command.args(args).env("MINIRT_CACHE", "off").env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// Everything that comes, until nobody can write any more.
fn rest(screen: &mut File) -> String {
    let mut bytes = Vec::new();
    // A terminal that all programs have left says so with an error.
    let _ = screen.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A module that takes seconds to compile, in text: many functions with many instructions.
fn large(folder: &tempfile::TempDir, functions: usize) -> String {
    let body = "local.get 0 i32.const 3 i32.mul i32.const 7 i32.xor local.set 0\n".repeat(400);
    let functions: String =
        (0..functions).map(|_| format!("(func (param i32) (result i32) {body} local.get 0)\n")).collect();
    let file = folder.path().join("large.wat");
    fs::write(&file, format!("(module {functions} (func (export \"_start\")))")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Makes sure that programs started from here end at SIGINT. Where the tests run in the background
/// of a shell, the signal is ignored, and programs inherit that; what a process catches is as at
/// first in the programs that it starts.
fn catch_interrupts() {
    let by_default = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(SIGINT, by_default).unwrap();
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[test]
fn errors_have_colours_on_a_terminal() {
    let (mut screen, program) = terminal();
    let mut child = minirt(&["run", "guests/absent.wasm"]).stderr(program).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let seen = rest(&mut screen);
    assert!(seen.contains("\x1b[31merror:\x1b[0m"), "{seen:?}");
}

#[test]
fn a_long_compilation_shows_a_line_that_is_gone_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let file = large(&folder, 600);
    let (mut screen, program) = terminal();
    let mut child = minirt(&["run", &file]).stderr(program).spawn().unwrap();
    let seen = std::thread::scope(|scope| {
        let seen = scope.spawn(|| rest(&mut screen));
        assert!(child.wait().unwrap().success());
        seen.join().unwrap()
    });
    assert!(seen.contains("compiling") && seen.ends_with("\r\x1b[K"), "{seen:?}");
}

#[test]
fn ctrl_c_while_compiling_erases_the_line_and_ends_by_the_signal() {
    catch_interrupts();
    let folder = tempfile::tempdir().unwrap();
    let file = large(&folder, 3000);
    let (mut screen, program) = terminal();
    let mut child = minirt(&["run", &file]).stderr(program).spawn().unwrap();
    let mut seen = String::new();
    while !seen.contains("compiling") {
        let mut bytes = [0; 1024];
        let len = screen.read(&mut bytes).expect("the line comes");
        seen += &String::from_utf8_lossy(&bytes[..len]);
    }
    interrupt(&child);
    let ended = child.wait().unwrap();
    seen += &rest(&mut screen);
    assert_eq!(ended.signal(), Some(SIGINT), "{ended}");
    assert!(seen.ends_with("\r\x1b[K"), "{seen:?}");
}

#[test]
fn ctrl_c_ends_a_running_guest_by_the_signal() {
    catch_interrupts();
    for guest in [&["--invoke", "spin"][..], &["--invoke", "sleep"], &["-W", "timeout=1h", "--invoke", "spin"]] {
        let args = [&["run"], guest, &["guests/endless.wat"]].concat();
        let mut child = minirt(&args).stderr(Stdio::null()).spawn().unwrap();
        // Long enough to get into the guest; before, it would end the same way.
        std::thread::sleep(Duration::from_millis(200));
        interrupt(&child);
        assert_eq!(child.wait().unwrap().signal(), Some(SIGINT), "{guest:?}");
    }
}

#[test]
fn a_guest_that_waits_for_input_is_stopped_when_its_time_is_up() {
    let mut command = minirt(&["run", "-W", "timeout=50ms", "--invoke", "wait", "guests/endless.wat"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(134));
    assert!(said.contains("because: its time is up"), "{said}");
}
