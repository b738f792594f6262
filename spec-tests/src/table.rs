//! `RESULTS.md`: how many assertions of every carried suite and file pass, kept so that a change
//! shows in a diff.

use crate::report::{FileReport, Tally};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the table is kept.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

const HEAD: &str = "# Assertions of the official suites\n\n\
    Written by `cargo run -p minirt-spec-tests -- --table`; the test `suite` checks it.\n\n\
    Skipped files ask for what a later version of the specification has changed. Everything else is\n\
    run as it stands, but for `threads`, because minirt has no shared memories:\n\n\
    - `atomic.wast` is run with `shared` taken out of its memories: what it asserts of atomic\n  \
      instructions holds without, too. Its two assertions that `wait` returns are skipped: where\n  \
      memory is not shared, it traps. `runtime/tests/language/atomics.rs` tests that.\n\
    - In the other three files, the directives are skipped in which the word `shared` stands, and\n  \
      three that want a second table to be refused, as before WebAssembly 2.0.\n\n\
    `legacy-exceptions` is from the tests of the crate wasm-tools, where the upstream scripts are\n\
    written without folded instructions, and without seven assertions that the text of a module is\n\
    malformed. `runtime/tests/language/legacy_exceptions.rs` has those.\n\n\
    | suite | passed | failed | skipped |\n|---|--:|--:|--:|\n";
const FILES: &str = "\n| file | passed | failed | skipped |\n|---|--:|--:|--:|\n";

/// Renders reports as a table.
pub fn render(reports: &[FileReport]) -> String {
    let (mut suites, mut total) = (BTreeMap::<&str, Tally>::new(), Tally::default());
    for FileReport { name, tally, .. } in reports {
        *suites.entry(name.split('/').next().unwrap_or_default()).or_default() += *tally;
        total += *tally;
    }
    let mut text = HEAD.to_owned();
    suites.iter().for_each(|(name, tally)| row(&mut text, name, tally));
    text.push_str(FILES);
    reports.iter().for_each(|report| row(&mut text, &report.name, &report.tally));
    writeln!(text, "\n{total}.").expect("a string can be written to");
    text
}

fn row(text: &mut String, name: &str, Tally { passed, failed, skipped }: &Tally) {
    writeln!(text, "| {name} | {passed} | {failed} | {skipped} |").expect("a string can be written to");
}

/// Reads back the rows for files.
pub fn files(table: &str) -> Vec<FileReport> {
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.to_owned();
        let mut count = || cells.next()?.parse().ok();
        let tally = Tally { passed: count()?, failed: count()?, skipped: count()? };
        Some(FileReport { name, tally, ..FileReport::default() })
    });
    rows.filter(|report| report.name.contains('/')).collect()
}

/// Returns the sum of all rows for files, as the table's last line has it.
pub fn total(table: &str) -> String {
    let mut total = Tally::default();
    files(table).iter().for_each(|report| total += report.tally);
    total.to_string()
}

#[cfg(test)]
mod tests {
    use super::{files, render, total};
    use crate::{FileReport, Tally};

    #[test]
    fn a_table_can_be_read_back() {
        let report = |name: &str, passed, skipped| {
            let tally = Tally { passed, failed: 0, skipped };
            FileReport { name: name.to_owned(), tally, ..FileReport::default() }
        };
        let table = render(&[report("v1/i32.wast", 400, 0), report("v2/gc.wast", 0, 7), report("v2/i32.wast", 460, 0)]);
        assert!(table.contains("\n| v2 | 460 | 0 | 7 |\n"), "{table}");
        assert_eq!(total(&table), "860 passed, 0 failed, 7 skipped");
        assert_eq!(render(&files(&table)), table);
    }
}
