//! The adapter for the official WASI test suite gives command lines that do what the runner means.

#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::process::Command;

const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wasi_testsuite");
const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests");

/// What a line of Python says that uses the adapter; `None` where there is no Python.
fn python(line: &str) -> Option<String> {
    let script = format!("import sys, subprocess; sys.path.insert(0, {ADAPTER:?}); import minirt; {line}");
    let run = Command::new("python3").args(["-B", "-c", &script]).env("MINIRT", env!("CARGO_BIN_EXE_minirt")).output();
    let Ok(output) = run else {
        // Not by a macro, whose output a passing test keeps to itself.
        let _ = writeln!(std::io::stderr(), "no python3 here: the adapter is NOT tested");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_adapter_says_what_minirt_is() {
    let Some(said) = python("print(minirt.get_name(), minirt.get_version(), *minirt.get_wasi_versions())") else {
        return;
    };
    assert_eq!(said, format!("minirt {} wasm32-wasip1\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_test_gets_its_arguments_environment_and_directories() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("seen.txt"), "one two two\n").unwrap();
    let guest = format!("{GUESTS}/wordfreq.wasm");
    let line = format!(
        "argv = minirt.compute_argv({guest:?}, (['-n', '1', '/there'], {{'A': 'b=c'}}, [({:?}, '/there')]), [], 'wasm32-wasip1'); \
         print(subprocess.run(argv, capture_output=True, encoding='utf-8', check=True).stdout)",
        folder.path().display().to_string()
    );
    let Some(said) = python(&line) else { return };
    assert!(said.contains("two") && !said.contains("one"), "{said}");
    // Output that tells of arguments and variables alike.
    let args = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/args.wat");
    let line = format!("print(minirt.compute_argv({args:?}, (['-x', ''], {{'A': 'b=c'}}, [])))");
    let said = python(&line).unwrap();
    assert!(said.trim_end().ends_with(&format!("'run', '--env', 'A=b=c', '{args}', '-x', '']")), "{said}");
}
