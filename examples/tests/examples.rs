//! Every example runs, and says what it should.

use std::path::PathBuf;
use std::process::Command;

/// Returns what an example prints. Cargo builds examples with the tests of their package, but not
/// for `--test` alone.
fn output(name: &str) -> String {
    let test: PathBuf = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = Command::new(folder.join("examples").join(name)).output();
    let output = program.unwrap_or_else(|error| panic!("{name}: {error}; `cargo test -p minirt-examples` builds it"));
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

/// Splits what an example prints.
fn lines(name: &str, output: String) -> Vec<String> {
    assert!(!output.is_empty(), "{name} says nothing");
    output.lines().map(String::from).collect()
}

#[test]
fn host_functions_work_on_the_state_of_their_store() {
    let expected = ["Ada has 25 left", "the store says 25", "stopped: Ben cannot pay 45", "the store says 20"];
    assert_eq!(lines("state", output("state")), expected);
}

#[test]
fn instances_do_not_see_each_other() {
    let lines = lines("instances", output("instances"));
    assert_eq!(lines[0], "1000 of 1000 found what they had written");
    assert!(lines[1].starts_with("pages of one: "), "{lines:?}");
}

#[test]
fn a_reset_undoes_what_a_run_did() {
    let expected = ["run 1: XXXXX, 2 pages", "reset: clean, 1 page"].repeat(3);
    assert_eq!(lines("reset", output("reset")), expected);
}

#[test]
fn a_host_and_its_guest_share_objects() {
    assert_eq!(lines("objects", output("objects")), ["total: 7.5", "Ada takes 2 now", "total: 10"]);
}

#[test]
fn limits_stop_who_asks_for_too_much() {
    let expected = [
        "counting to 100 took 501 units of fuel",
        "without end: all fuel consumed by WebAssembly",
        "after 20 ms: interrupt",
        "a second page: memory.grow returns 1",
        "a third page: memory.grow returns -1",
        "a second instance is refused: true",
    ];
    assert_eq!(lines("limits", output("limits")), expected);
}

#[test]
fn threads_share_one_module() {
    // From 871, the longest way below a thousand.
    let expected = "1000 tasks, each in an instance of its own; the longest took 178 steps\n";
    assert_eq!(output("threads"), expected);
}

#[test]
fn an_artifact_is_loaded_and_what_is_none_is_refused() {
    let expected = ["fib(20) = 6765", "refused: this is not an artifact of minirt; compile the module first"];
    assert_eq!(lines("artifact", output("artifact")), expected);
}

#[test]
fn plugins_share_the_memory_of_their_library() {
    assert_eq!(lines("plugins", output("plugins")), ["upper at 1024: HAL", "next at 1027: IBM"]);
}

#[test]
fn what_a_program_prints_is_caught() {
    let expected =
        [r#"["echo"]: exit code 0, 11 bytes: 1  echoed"#, r#"["exit", "3"]: exit code 3, 14 bytes: about to exit"#];
    assert_eq!(lines("wasi", output("wasi")), expected);
}

#[test]
fn the_server_answers_each_request_from_a_fresh_instance_and_survives_its_function() {
    let page = "<!doctype html><html lang=\"en\"><head><title>Q&amp;A</title>";
    let output = output("http");
    let at = output.find("/page/Q&A: 200 ").expect("a page is served");
    let (before, rest) = output.split_at(at);
    let (rest, live) = rest.split_at(rest.find("/: 200, a page of 10 figures\n").expect("a page of figures"));
    for line in [
        "# TYPE minirt_kept_bytes gauge",
        "minirt_instances_live 0",
        "# TYPE minirt_instantiations counter",
        "minirt_resets_total{way=\"discard\"} 0",
        "# EOF",
    ] {
        assert!(live.lines().any(|it| it == line), "{line}: {live}");
    }
    let (site, native) = rest.split_at(rest.find("/native").unwrap());
    assert!(site.contains(page) && site.contains("more about two &amp; three"), "{site}");
    let expected = "/hello: 200 /HELLO
/1-visits: 200 visit number 1 of this instance
/1-visits: 200 visit number 1 of this instance
/2-spin: 500 the function failed: it took too long
/3-trap: 500 the function failed: unreachable
/1-visits: 200 visit number 1 of this instance
/native: 200 /NATIVE
";
    assert_eq!(format!("{before}{native}"), expected);
}

#[test]
fn every_example_is_tested() {
    let source = include_str!("examples.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(source.contains(&format!("output(\"{name}\")")), "{name}");
    }
}
