//! Markdown tables, and numbers for people.

use std::fmt;

/// A table as Markdown has it. The first `labels` columns are words, the others are numbers.
pub(crate) struct Sheet {
    labels: usize,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    pub(crate) fn new<'a>(labels: &[&'a str], numbers: impl IntoIterator<Item = &'a str>) -> Self {
        let head = labels.iter().copied().chain(numbers).map(str::to_owned).collect();
        Self { labels: labels.len(), rows: vec![head] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.rows[0].len(), "a row as long as the head");
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                if column < self.labels { write!(f, "| {cell:<width$} ")? } else { write!(f, "| {cell:>width$} ")? }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for column in 0..row.len() {
                    let line = "-".repeat(self.width(column));
                    if column < self.labels { write!(f, "|-{line}-")? } else { write!(f, "|-{line}:")? }
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Returns the text of a cell without a number.
pub(crate) fn nothing() -> String {
    "-".to_owned()
}

/// Returns a number with three significant digits.
pub(crate) fn short(number: f64) -> String {
    match number {
        n if n >= 99.95 => format!("{n:.0}"),
        n if n >= 9.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// Returns nanoseconds as text, in microseconds.
pub(crate) fn micros(nanos: f64) -> String {
    short(nanos / 1e3)
}

pub(crate) fn nanos(nanos: f64) -> String {
    short(nanos)
}

/// Returns bytes as text, in KiB.
pub(crate) fn kib(bytes: f64) -> String {
    short(bytes / 1024.0)
}

/// Returns a rate per second as text, in thousands.
pub(crate) fn thousands(per_second: f64) -> String {
    short(per_second / 1e3)
}

pub(crate) fn ratio(of: f64, to: f64) -> String {
    short(of / to)
}

/// Describes the processor and system of this run.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = model.map_or("an unknown processor", |(_, name)| name);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processors} x {processor}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
