//! `minirt bench` prints tables of numbers that differ from run to run; their shape does not.

#![forbid(unsafe_code)]

use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt")).arg("bench").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
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
