//! From the words of the command line to what it asks for, or to what is wrong with them.

use super::args::{Cli, Command};
use crate::output::report::{self, Report, USAGE, say};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, CommandFactory, FromArgMatches, ValueEnum};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// What the command line asks for.
pub(crate) fn parse() -> Result<Command, Usage> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let color = color(&words);
    report::set_color(color);
    let matches = Cli::command().color(color).try_get_matches_from(words);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(Usage)?;
    report::set_color(cli.color);
    Ok(cli.command)
}

/// What `--color` says. It is looked for beforehand, because a wrong command line is an error in colours as well.
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

/// A command line that asks for nothing to be run: it is wrong, or asks for help.
pub(crate) struct Usage(clap::Error);

impl Usage {
    /// Says so, and gives the exit code.
    pub(crate) fn end(self) -> ExitCode {
        match self.0.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => say(&self.0.render().ansi().to_string()),
            ErrorKind::ValueValidation => self.bad_value().end(),
            ErrorKind::InvalidSubcommand => self.no_command().end(),
            ErrorKind::InvalidUtf8 => odd_bytes().end(),
            _ => {
                // Nobody is left to tell if this fails.
                let _ = self.0.print();
                ExitCode::from(USAGE)
            }
        }
    }

    /// What clap says of the error under this heading.
    fn context(&self, kind: ContextKind) -> &str {
        match self.0.get(kind) {
            Some(ContextValue::String(text)) => text,
            _ => "",
        }
    }

    fn no_command(&self) -> Report {
        let word = self.context(ContextKind::InvalidSubcommand);
        let help = match self.0.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::Strings(near)) if !near.is_empty() => format!("did you mean `minirt {}`?", near[0]),
            _ => format!("minirt run {word} runs a file of that name; minirt --help shows all commands"),
        };
        Report::new(format!("`{word}` is no command of minirt"), "a command comes first, a file after it", help)
            .with_code(USAGE)
    }

    fn bad_value(&self) -> Report {
        let (option, value) = (self.context(ContextKind::InvalidArg), self.context(ContextKind::InvalidValue));
        let because = self.0.source().map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
        Report::new(format!("`{value}` is no value for `{option}`"), because, "minirt run --help shows all options")
            .with_code(USAGE)
    }
}

fn odd_bytes() -> Report {
    let because = "guests get their arguments, variables and names of folders as UTF-8";
    Report::new("an argument is not valid UTF-8", because, "rename the file, or write the argument in UTF-8")
        .with_code(USAGE)
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
