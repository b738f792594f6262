//! `minirt`: runs WebAssembly from the command line.
//!
//! | file | idea |
//! |---|---|
//! | `args` | what the command line says, as inert data |
//! | `report` | what an error looks like, and the exit code that goes with it |
//! | `names` | signatures, and names that are nearly right |
//! | `input` | from a file to a module |
//! | `values` | arguments and results as text |
//! | `entry` | which function to call, with what |
//! | `imports` | modules that can not be linked |
//! | `stopped` | what the end of a call means |
//! | `run` | `minirt run` |
//!
//! This file only maps outcomes to exit codes: the guest's own, 134 for a trap, 1 for our errors, 2 for usage.

#![forbid(unsafe_code)]

mod args;
mod entry;
mod imports;
mod input;
mod names;
mod report;
mod run;
mod stopped;
mod values;

use args::Command;
use std::process::ExitCode;
use stopped::Stopped;

fn main() -> ExitCode {
    let outcome = match args::parse() {
        Ok(Command::Run(options)) => run::run(&options),
        Err(usage) => return usage.end(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stopped::Exit(code)) => ExitCode::from(code),
        Err(Stopped::Report(report)) => report.end(),
    }
}
