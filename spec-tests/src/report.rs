//! The results of scripts, counted. Knows nothing of how they ran.

use std::fmt;
use std::ops::AddAssign;

/// Assertions, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Assertions that held.
    pub passed: usize,
    /// Assertions that did not, and whatever else went wrong.
    pub failed: usize,
    /// Assertions that were not run, most of them in files that were not.
    pub skipped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// A position in a script; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The byte within the line.
    pub column: usize,
}

/// Something that did not go as the script says.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where; `None` if the file could not even be read.
    pub place: Option<Place>,
    /// The demand of the script.
    pub expected: String,
    /// The outcome.
    pub got: String,
}

/// The result of one script.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// The script's name.
    pub name: String,
    /// Its assertions.
    pub tally: Tally,
    /// Why it was not run, if it was not.
    pub skipped: Option<&'static str>,
    /// Everything that went wrong, in order.
    pub failures: Vec<Failure>,
}

impl FileReport {
    /// Returns whether nothing went wrong.
    pub fn is_ok(&self) -> bool {
        self.tally.failed == 0
    }

    pub(crate) fn fail(&mut self, place: Option<Place>, expected: impl Into<String>, got: impl Into<String>) {
        self.tally.failed += 1;
        self.failures.push(Failure { place, expected: expected.into(), got: got.into() });
    }
}

/// Shows a line for the file, and three for every failure.
impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, tally, .. } = self;
        if let Some(why) = self.skipped {
            return write!(f, "skipped {name}: {} assertions, {why}", tally.skipped);
        }
        let verdict = if self.is_ok() { "ok    " } else { "FAILED" };
        write!(f, "{verdict}  {name}: {} passed, {} failed", tally.passed, tally.failed)?;
        if tally.skipped > 0 {
            write!(f, ", {} skipped", tally.skipped)?;
        }
        for failure in &self.failures {
            match failure.place {
                Some(Place { line, column }) => write!(f, "\n  {name}:{line}:{column}")?,
                None => write!(f, "\n  {name}")?,
            }
            write!(f, "\n    expected: {}", indented(&failure.expected))?;
            write!(f, "\n    got:      {}", indented(&failure.got))?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n              ")
}
