//! Prints errors: what happened, why, and what to do about it; and has the exit code of each.
//!
//! It does not know what can go wrong.

use super::printable;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The exit code when minirt fails.
pub(crate) const ERROR: u8 = 1;
/// The exit code when the command line is invalid.
pub(crate) const USAGE: u8 = 2;
/// The exit code when the guest traps, or throws what nothing catches: what a shell shows for a
/// process that aborted.
pub(crate) const TRAP: u8 = 134;

/// The style of the word before what happened.
const ALARM: Style = AnsiColor::Red.on_default().bold();
/// The style of the words before the reason and the help.
const LABEL: Style = AnsiColor::Cyan.on_default().bold();

/// Decides when to use colours. Until it is called, and with `auto`, the terminal, NO_COLOR and
/// CLICOLOR_FORCE decide.
pub(crate) fn set_color(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// An error as the user sees it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    what: String,
    because: String,
    details: Vec<String>,
    help: String,
    code: u8,
}

impl Report {
    /// Creates an error with the exit code 1.
    pub(crate) fn new(what: impl Into<String>, because: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), because: because.into(), details: Vec::new(), help: help.into(), code: ERROR }
    }

    /// Changes the exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Adds lines between the reason and the help.
    pub(crate) fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// Returns what happened and why, in a line.
    pub(crate) fn plain(&self) -> String {
        printable::text(&format!("{}: {}", self.what, self.because.trim_end()).replace('\n', " "))
    }

    /// Prints the error to standard error, and returns the exit code.
    pub(crate) fn end(&self) -> ExitCode {
        // If this fails, there is nobody left to tell.
        let _ = write!(anstream::stderr(), "{self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = printable::text(self.because.trim_end()).replace('\n', "\n    ");
        writeln!(f, "{ALARM}error:{ALARM:#} {}", printable::text(&self.what))?;
        writeln!(f, "  {LABEL}because:{LABEL:#} {because}")?;
        self.details.iter().try_for_each(|line| writeln!(f, "    {}", printable::text(line)))?;
        writeln!(f, "  {LABEL}help:{LABEL:#} {}", printable::text(&self.help))
    }
}

/// Prints a line to standard error that is not an error.
pub(crate) fn note(text: &str) {
    // It is only there to be looked at.
    let _ = writeln!(anstream::stderr(), "{LABEL}minirt:{LABEL:#} {}", printable::text(text));
}

/// Prints text with styles to standard output, and returns the exit code. A reader that is gone is
/// not an error.
pub(crate) fn say(text: &str) -> ExitCode {
    match printed(anstream::stdout().lock(), text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => report.end(),
    }
}

/// Prints to standard output. A reader that is gone is not an error.
pub(crate) fn print(text: &str) -> Result<(), Report> {
    print_bytes(text.as_bytes())
}

/// Prints text with styles as [`print`] prints text; where there are no colours, without them.
pub(crate) fn print_styled(text: &str) -> Result<(), Report> {
    printed(anstream::stdout().lock(), text.as_bytes())
}

/// Prints bytes as [`print`] prints text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Report> {
    printed(std::io::stdout().lock(), bytes)
}

fn printed(mut out: impl Write, bytes: &[u8]) -> Result<(), Report> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let help = "check where standard output goes";
            Err(Report::new("the output could not be printed", error.to_string(), help))
        }
        _ => Ok(()),
    }
}
