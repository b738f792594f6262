//! What an error looks like: what happened, why, and what to do about it; and the exit code that goes with it.
//!
//! Knows nothing of what can go wrong.

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The exit code of errors that are ours to report.
pub(crate) const ERROR: u8 = 1;
/// The exit code of a wrong command line.
pub(crate) const USAGE: u8 = 2;
/// The exit code of a trap: what a shell shows for a process that aborted.
pub(crate) const TRAP: u8 = 134;

/// What happened.
const ALARM: Style = AnsiColor::Red.on_default().bold();
/// Why, and what to do.
const LABEL: Style = AnsiColor::Cyan.on_default().bold();

/// Says when there are colours. Until then, and with `auto`, it is as for a terminal, NO_COLOR and CLICOLOR_FORCE.
pub(crate) fn set_color(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

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
        let _ = write!(anstream::stderr(), "{self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = printable(self.because.trim_end()).replace('\n', "\n    ");
        writeln!(f, "{ALARM}error:{ALARM:#} {}", printable(&self.what))?;
        writeln!(f, "  {LABEL}because:{LABEL:#} {because}")?;
        self.details.iter().try_for_each(|line| writeln!(f, "    {}", printable(line)))?;
        writeln!(f, "  {LABEL}help:{LABEL:#} {}", printable(&self.help))
    }
}

/// Names come from modules, and could hold what makes a terminal do things, or look like lines of ours.
pub(crate) fn printable_name(name: &str) -> String {
    printable(name).replace('\n', "\\n")
}

/// The same for text of several lines.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Prints text with styles to standard output, and gives the exit code. That nobody reads on is no error.
pub(crate) fn say(text: &str) -> ExitCode {
    match printed(anstream::stdout().lock(), text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => report.end(),
    }
}

/// Prints to standard output. That nobody reads on is no error.
pub(crate) fn print(text: &str) -> Result<(), Report> {
    print_bytes(text.as_bytes())
}

/// As [`print`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Report> {
    printed(std::io::stdout().lock(), bytes)
}

fn printed(mut out: impl Write, bytes: &[u8]) -> Result<(), Report> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let help = "check where standard output goes";
            Err(Report::new("what there is to say could not be printed", error.to_string(), help))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_would_move_the_cursor_is_spelt_out() {
        assert_eq!(printable("a\x1b[2J\tb\nc"), "a\\u{1b}[2J\\tb\nc");
    }
}
