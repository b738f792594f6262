//! `minirt completions` and `minirt man`: print texts that follow from the definitions of the
//! command line alone.

use crate::guest::outcome::Outcome;
use crate::options::args::{Cli, CompletionsArgs, ManArgs};
use crate::output::names::nearest;
use crate::output::printable;
use crate::output::report::{Report, USAGE, print_bytes};
use clap::CommandFactory;
use clap_mangen::Man;

/// Prints the completions of a shell.
///
/// # Errors
/// Returns an error if they cannot be printed.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "minirt", &mut text);
    Ok(print_bytes(&text)?)
}

/// Prints a manual page.
///
/// # Errors
/// Returns an error if there is no such command, or the page cannot be printed.
pub(crate) fn man(args: &ManArgs) -> Result<(), Outcome> {
    let mut all = Cli::command();
    // Gives the commands the options that all share, and their whole names.
    all.build();
    let command = match &args.command {
        None => all,
        Some(name) => all.find_subcommand(name).cloned().ok_or_else(|| unknown(&all, name))?,
    };
    let mut text = Vec::new();
    Man::new(command).render(&mut text).expect("vectors take what is written");
    Ok(print_bytes(&text)?)
}

fn unknown(all: &clap::Command, name: &str) -> Report {
    let names = || all.get_subcommands().map(clap::Command::get_name);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "minirt man alone prints the page of minirt as a whole".to_owned(),
    };
    let because = format!("minirt has the commands {}", names().collect::<Vec<_>>().join(", "));
    Report::new(format!("there is no manual page for `{}`", printable::name(name)), because, help).with_code(USAGE)
}
