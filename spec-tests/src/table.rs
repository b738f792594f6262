//! `RESULTS.md`: how many assertions of every carried suite and file pass, kept so that a change shows in a diff.

use crate::report::{FileReport, Tally};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the table is kept.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

const HEAD: &str = "# Assertions of the official suites\n\n\
    Written by `cargo run -p minirt-spec-tests -- --table`; the test `suite` checks it.\n\n\
    | suite | passed | failed | skipped |\n|---|--:|--:|--:|\n";
const FILES: &str = "\n| file | passed | failed | skipped |\n|---|--:|--:|--:|\n";

/// The table of these reports.
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

/// The passed assertions of each file that a table has a row for.
pub fn passed_by_file(table: &str) -> BTreeMap<String, usize> {
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    });
    rows.filter(|(name, _): &(String, usize)| name.contains('/')).collect()
}

/// The rows for whole suites.
pub fn suite_rows(table: &str) -> impl Iterator<Item = &str> {
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    rows.take_while(|line| line.starts_with('|'))
}

#[cfg(test)]
mod tests {
    use super::{passed_by_file, render, suite_rows};
    use crate::{FileReport, Tally};

    #[test]
    fn a_table_can_be_read_back() {
        let tally = Tally { passed: 460, failed: 0, skipped: 0 };
        let report = FileReport { name: "v2/i32.wast".to_owned(), tally, ..FileReport::default() };
        let table = render(&[report]);
        assert_eq!(suite_rows(&table).next(), Some("| v2 | 460 | 0 | 0 |"));
        let read = passed_by_file(&table);
        assert_eq!(read.into_iter().collect::<Vec<_>>(), [("v2/i32.wast".to_owned(), 460)]);
    }
}
