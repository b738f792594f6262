//! Modules that mean harm, or are only unusually large: messages stay short, and refusals take no
//! time.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// A process that is killed after 20 seconds of processor time, which no other process can take
/// from it.
fn minirt() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -t 20; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_minirt")]).env("MINIRT_CACHE", "off");
    command
}

/// Writes a module, and returns where it is.
fn module(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("module.wat");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn long_names_are_shortened_wherever_they_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    // The longest name that a module may have has 100,000 bytes.
    let long = "n".repeat(99_999);
    let text = format!(
        "(module ${long} (import \"{long}\" \"{long}\" (func)) \
         (func ${long} (export \"{long}\") unreachable) (func (export \"_start\") (call ${long})))"
    );
    let file = module(&folder, &text);
    let trap = ["run", "-W", "unknown-imports-trap"];
    for args in [&["run"][..], &trap, &["run", "--invoke", "x"], &["inspect"]] {
        let output = minirt().args(args).arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.len() < 10_000 && said.contains("nnn..."), "{args:?}: {} bytes", said.len());
    }
    // Arguments are bounded by the system.
    let long = "n".repeat(100_000);
    for args in [["run", &long], ["man", &long], ["run", "-W"], [&long, "x"], ["run", "--color"]] {
        let output = minirt().args(args).arg(&long).output().unwrap();
        assert!(output.stderr.len() < 10_000, "{:.20}: {} bytes", args[0], output.stderr.len());
    }
    for args in [["run", "--x\x1b[2J"], ["completions", "x\x1b[2J"], ["run", "--env=\x1b[2J"], ["man", "\x1b[2J"]] {
        let output = minirt().args(args).output().unwrap();
        assert!(!output.stderr.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_name_that_is_not_there_is_looked_for_in_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let exports = |names: &mut dyn Iterator<Item = String>| {
        names.map(|name| format!("(func (export \"{name}\"))\n")).collect::<String>()
    };
    let long = exports(&mut (0..20).map(|i| format!("{i}{}", "x".repeat(100_000))));
    let many = exports(&mut (0..50_000).map(|i| format!("name{i:0>90}")));
    let file = module(&folder, &format!("(module {long} {many})"));
    // To compile it takes a second or two, and to compare two names of 100 KB a minute.
    let output = minirt().args(["run", "--invoke", &"x".repeat(100_000)]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_hundred_thousand_unknown_imports_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let imports: String = (0..100_000).map(|i| format!("(import \"m{}\" \"f{i}\" (func))\n", i % 100)).collect();
    let file = module(&folder, &format!("(module {imports} (func (export \"_start\")))"));
    for (options, code) in [
        (&["run"][..], 1),
        (&["run", "-W", "unknown-imports-trap"], 0),
        (&["run", "-W", "unknown-imports-default"], 0),
        (&["inspect"], 0),
    ] {
        let output = minirt().args(options).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
    }
}

#[test]
fn a_module_that_will_be_refused_is_refused_before_its_bodies_are_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let body = "local.get 0 i32.const 3 i32.mul i32.const 7 i32.xor local.set 0\n".repeat(400);
    let functions = format!("(func (param i32) (result i32) {body} local.get 0)\n").repeat(100);
    let time = |name: &str, last: &str, code: i32| {
        let binary = wat::parse_str(format!("(module {functions} {last})")).unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, binary).unwrap();
        let begin = Instant::now();
        let output = minirt().args(["compile", "-o", "/dev/null"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        begin.elapsed()
    };
    let valid = time("valid.wasm", "(func (result i32) (i32.const 0))", 0);
    for last in ["(func (result i32) (i64.const 0))", "(func (drop (call_ref 0 (ref.null 0))))"] {
        let refused = time("refused.wasm", last, 1);
        assert!(refused * 4 < valid, "{last}: {refused:?} of {valid:?}");
    }
}
