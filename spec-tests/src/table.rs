//! `RESULTS.md`: how many assertions of every carried file pass, kept so that a change shows in a diff.

use crate::report::FileReport;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the table is kept.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

const HEAD: &str = "# Assertions of the official suites, by file\n\n\
    Written by `cargo run -p minirt-spec-tests -- --table`; the test `suite` checks it.\n\n\
    | file | passed | failed | skipped |\n|---|--:|--:|--:|\n";

/// The table of these reports.
pub fn render(reports: &[FileReport]) -> String {
    let mut text = HEAD.to_owned();
    let mut total = crate::Tally::default();
    for FileReport { name, tally, .. } in reports {
        total += *tally;
        writeln!(text, "| {name} | {} | {} | {} |", tally.passed, tally.failed, tally.skipped)
            .expect("a string can be written to");
    }
    writeln!(text, "\n{total}.").expect("a string can be written to");
    text
}

/// The passed assertions of each file that a table has a row for.
pub fn passed_by_file(table: &str) -> BTreeMap<String, usize> {
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::{passed_by_file, render};
    use crate::{FileReport, Tally};

    #[test]
    fn a_table_can_be_read_back() {
        let tally = Tally { passed: 460, failed: 0, skipped: 0 };
        let report = FileReport { name: "v2/i32.wast".to_owned(), tally, ..FileReport::default() };
        let read = passed_by_file(&render(&[report]));
        assert_eq!(read.into_iter().collect::<Vec<_>>(), [("v2/i32.wast".to_owned(), 460)]);
    }
}
