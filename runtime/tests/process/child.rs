//! Tests that need a process of their own: this program again, with one test to run and its case in
//! the environment.

use std::any::type_name;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

const CASE: &str = "MINIRT_CASE";
/// What a child prints when its case has come to its end.
const DONE: &str = "the case has come to its end";

/// Returns the case that this process has to run, if it is a child.
pub(crate) fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// Runs `case` of a test in a process of its own and returns what became of it and what it printed.
/// In that process, runs the body and returns nothing.
pub(crate) fn in_child<T: Fn()>(test: T, case: &str, body: impl FnOnce(&str)) -> Option<(ExitStatus, String)> {
    if let Some(wanted) = self::case() {
        if wanted == case {
            body(case);
            println!("{DONE}");
        }
        return None;
    }
    Some(run(Command::new(std::env::current_exe().unwrap()), test, case).unwrap())
}

/// Runs a command that is this program, or to which its path and a test's arguments can be added.
pub(crate) fn run<T: Fn()>(mut command: Command, _: T, case: &str) -> std::io::Result<(ExitStatus, String)> {
    let (_, test) = type_name::<T>().split_once("::").expect("functions are named after their crate");
    // One thread, so that what the case does to its process is all that happens there. No
    // backtraces: they would be symbolised with the rights that the case gave up.
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CASE, case).env("RUST_BACKTRACE", "0");
    let output = command.output()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status, text))
}

/// Returns whether a child ran its case, to the end and without a panic.
pub(crate) fn has_passed(status: ExitStatus, text: &str) -> bool {
    status.success() && text.contains(DONE)
}

/// Runs a case in a process of its own, which must come to its end without a panic.
pub(crate) fn passes<T: Fn()>(test: T, case: &str, body: impl FnOnce(&str)) {
    if let Some((status, text)) = in_child(test, case, body) {
        assert!(has_passed(status, &text), "{case}: {status}\n{text}");
    }
}

/// Runs a case in a process of its own, which must end with this signal.
pub(crate) fn dies<T: Fn()>(test: T, case: &str, signal: i32, body: impl FnOnce(&str)) {
    if let Some((status, text)) = in_child(test, case, body) {
        assert_eq!(status.signal(), Some(signal), "{case}: {status}\n{text}");
    }
}
