//! Whether a debugger finds its way through a guest. Where there is no gdb, or it may not trace
//! processes, nothing is tested.

#![forbid(unsafe_code)]
#![cfg(target_arch = "x86_64")]

use std::process::{Command, Stdio};

/// Runs a guest in gdb up to a function, and returns what gdb prints there.
fn backtrace_in(function: &str, options: &[&str]) -> Option<String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "set breakpoint pending on"]);
    // Reading the lines of a test build takes longer than anything else.
    gdb.args(["-ex", "set auto-load off", "-ex", &format!("break {function}"), "-ex", "run", "-ex", "backtrace"]);
    gdb.args(["-ex", "kill", "--args", env!("CARGO_BIN_EXE_minirt"), "run", "--no-cache"]).args(options);
    gdb.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/calls.wat")).stdin(Stdio::null());
    let Ok(output) = gdb.output() else {
        eprintln!("there is no gdb here: nothing was tested");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("ptrace:") || text.contains("Cannot PTRACE") {
        eprintln!("gdb may not trace processes here: nothing was tested");
        return None;
    }
    Some(text)
}

#[test]
fn gdb_finds_its_way_through_a_guest() {
    let Some(text) = backtrace_in("calls!inner", &["--profile=gdb"]) else { return };
    let frames: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    let at =
        |name: &str| frames.iter().position(|frame| frame.contains(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert_eq!([at("calls!inner"), at("calls!middle"), at("calls!_start")], [0, 1, 2], "{text}");
    // And out of it, through the trampoline, to the host.
    assert!(at("calls!<trampolines>") == 3 && at("minirt::call::enter::call") > 3 && at("main") > 5, "{text}");
}
