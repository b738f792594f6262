//! Every example runs, and says what it should.

use std::path::PathBuf;
use std::process::Command;

/// What an example prints. Cargo has built it: examples are built with the tests of their package.
fn output(name: &str) -> String {
    let test: PathBuf = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let output = Command::new(folder.join("examples").join(name)).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn hello_prints_what_the_guest_says() {
    assert_eq!(output("hello"), "hello from WebAssembly\n");
}

#[test]
fn the_children_of_a_fork_diverge_and_the_parent_notices_nothing() {
    let output = output("fork");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("warming up took "), "{output}");
    assert!(lines[1].starts_with("10000 children took "), "{output}");
    assert_eq!(lines[2..], ["the parent has not been asked anything"], "{output}");
}

#[test]
fn the_server_answers_each_request_from_a_fresh_instance_and_survives_its_function() {
    let expected = "/hello: 200 /HELLO
/1-visits: 200 visit number 1 of this instance
/1-visits: 200 visit number 1 of this instance
/2-spin: 500 the function failed: it took too long
/3-trap: 500 the function failed: unreachable
/1-visits: 200 visit number 1 of this instance
/native: 200 /NATIVE
";
    assert_eq!(output("http"), expected);
}

#[test]
fn every_example_is_tested() {
    let source = include_str!("examples.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(source.contains(&format!("output(\"{name}\")")), "{name}");
    }
}
