//! What an error looks like: what happened, why, and what to do about it; and the exit code that goes with it.
//!
//! Knows nothing of what can go wrong.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The exit code of errors that are ours to report.
pub(crate) const ERROR: u8 = 1;
/// The exit code of a wrong command line.
pub(crate) const USAGE: u8 = 2;
/// The exit code of a trap: what a shell shows for a process that aborted.
pub(crate) const TRAP: u8 = 134;

/// An error as the user sees it.
#[derive(Debug)]
pub(crate) struct Report {
    what: String,
    because: String,
    details: Vec<String>,
    help: String,
    code: u8,
}

impl Report {
    /// An error with the exit code 1.
    pub(crate) fn new(what: impl Into<String>, because: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), because: because.into(), details: Vec::new(), help: help.into(), code: ERROR }
    }

    /// The same error with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The same error with lines between the reason and the help.
    pub(crate) fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// Says so on standard error, and gives the exit code.
    pub(crate) fn end(&self) -> ExitCode {
        // Nobody is left to tell if this fails.
        let _ = write!(std::io::stderr(), "{self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        writeln!(f, "  because: {}", self.because.trim_end().replace('\n', "\n    "))?;
        self.details.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        writeln!(f, "  help: {}", self.help)
    }
}

/// Prints to standard output, and gives the exit code. That nobody reads on is no error.
pub(crate) fn say(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => report.end(),
    }
}

/// Prints to standard output. That nobody reads on is no error.
pub(crate) fn print(text: &str) -> Result<(), Report> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let help = "check where standard output goes";
            Err(Report::new("the results could not be printed", error.to_string(), help))
        }
        _ => Ok(()),
    }
}
