//! `minirt bench` prints tables of numbers that differ from run to run; their shape does not.

#![forbid(unsafe_code)]

use std::process::Command;

#[test]
fn every_kind_of_reset_is_a_row_of_numbers_in_both_tables() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/hello.wat");
    let output =
        command.args(["bench", "--rounds", "50", "--invoke", "_start", "--dirty", "2", guest]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |name: &str, times: usize| {
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(rows.len(), times, "{name}:\n{text}");
        for row in rows {
            let numbers: Vec<f64> = row[name.len()..].split_whitespace().map(|cell| cell.parse().unwrap()).collect();
            assert!(numbers.len() == 4 && numbers.is_sorted() && numbers[0] > 0.0, "{row}");
        }
    };
    for name in ["compile ", "load an artifact ", "first instance "] {
        row(name, 1);
    }
    for name in ["adaptive (the default) ", "hot set ", "scan ", "discard ", "discard, without images "] {
        row(name, 2);
    }
}
