//! Turns the words of the command line into a command, or into an explanation of what is wrong with
//! them.

use super::args::{Cli, Command};
use crate::output::printable;
use crate::output::report::{self, Report, USAGE, say};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, CommandFactory, FromArgMatches, ValueEnum};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads the command line of this process.
///
/// # Errors
/// Returns an error if it is not valid, or asks for help instead of a command.
pub(crate) fn parse() -> Result<Command, Usage> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let color = color(&words);
    report::set_color(color);
    let matches = Cli::command().color(color).try_get_matches_from(&words);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = cli.map_err(|error| Usage { error, command: command(&words) })?;
    report::set_color(cli.color);
    Ok(cli.command)
}

/// Returns the value of `--color`. It is found before everything else, so that the error about an
/// invalid command line has colours, too.
fn color(words: &[OsString]) -> ColorChoice {
    let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let value = if word == "--color" { words.next() } else { word.strip_prefix("--color=") };
        if let Some(Ok(choice)) = value.map(|value| ColorChoice::from_str(value, false)) {
            return choice;
        }
    }
    ColorChoice::Auto
}

/// Returns the command's name and a space, if there is one. The words in front of it are options.
fn command(words: &[OsString]) -> String {
    let commands = Cli::command();
    let mut known = words.iter().skip(1).filter_map(|word| commands.find_subcommand(word));
    known.next().map_or_else(String::new, |command| format!("{} ", command.get_name()))
}

/// A command line that runs nothing: it is invalid, or asks for help.
pub(crate) struct Usage {
    error: clap::Error,
    /// The command whose help shows its options.
    command: String,
}

impl Usage {
    /// Prints the help or the error, and returns the exit code.
    pub(crate) fn end(self) -> ExitCode {
        match self.error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => say(&self.error.render().ansi().to_string()),
            ErrorKind::ValueValidation => self.bad_value().end(),
            ErrorKind::InvalidSubcommand => self.unknown_command().end(),
            ErrorKind::InvalidUtf8 => not_utf8().end(),
            _ if let Some(report) = self.unprintable() => report.end(),
            _ => {
                // If this fails, there is nobody left to tell.
                let _ = self.error.print();
                ExitCode::from(USAGE)
            }
        }
    }

    /// Returns the part of clap's error message under a heading.
    fn context(&self, kind: ContextKind) -> &str {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => text,
            _ => "",
        }
    }

    /// Returns a message about a word that clap would print unchanged, although it is long or
    /// unsafe for a terminal.
    fn unprintable(&self) -> Option<Report> {
        let words = [ContextKind::InvalidArg, ContextKind::InvalidValue].map(|kind| self.context(kind));
        let (word, shown) =
            words.into_iter().map(|word| (word, printable::name(word))).find(|(word, shown)| word != shown)?;
        let because = format!("it is not an option or a value that is known here, and has {} bytes", word.len());
        let help = "minirt --help shows the commands, and minirt COMMAND --help their options";
        Some(Report::new(format!("`{shown}` is not understood"), because, help).with_code(USAGE))
    }

    fn unknown_command(&self) -> Report {
        let word = printable::name(self.context(ContextKind::InvalidSubcommand));
        let help = match self.error.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::Strings(near)) if !near.is_empty() => format!("did you mean `minirt {}`?", near[0]),
            _ => format!("minirt run {word} runs a file of that name; minirt --help shows all commands"),
        };
        Report::new(format!("`{word}` is not a command of minirt"), "a command comes first, a file after it", help)
            .with_code(USAGE)
    }

    fn bad_value(&self) -> Report {
        let option = self.context(ContextKind::InvalidArg);
        let value = printable::name(self.context(ContextKind::InvalidValue));
        let because = self.error.source().map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
        let help = format!("minirt {}--help shows all options", self.command);
        Report::new(format!("`{value}` is not a value for `{option}`"), because, help).with_code(USAGE)
    }
}

fn not_utf8() -> Report {
    let because = "only files, directories, variables and the guest's arguments can have names of any bytes";
    Report::new("an option has a value that is not UTF-8", because, "write it in UTF-8").with_code(USAGE)
}

#[cfg(test)]
mod tests {
    use super::color;
    use clap::ColorChoice;

    #[test]
    fn the_choice_of_colours_is_found_before_the_command_line_is_read() {
        let of = |line: &str| color(&line.split(' ').map(Into::into).collect::<Vec<_>>());
        assert_eq!(of("minirt run --color never --bad"), ColorChoice::Never);
        assert_eq!(of("minirt --color=always --bad"), ColorChoice::Always);
        assert_eq!(of("minirt run -- --color always"), ColorChoice::Auto);
        assert_eq!(of("minirt --color sometimes"), ColorChoice::Auto);
        assert_eq!(of("minirt --color"), ColorChoice::Auto);
    }
}
