//! `minirt`: runs WebAssembly from the command line.
//!
//! | file | idea |
//! |---|---|
//! | `report` | what an error looks like, and the exit code that goes with it |
//! | `names` | signatures, and names that are nearly right |
//! | `wasm_options` | the options of `-W` |
//! | `args` | what the command line says, as inert data |
//! | `usage` | from words to what they say, or what is wrong with them |
//! | `progress` | a line on the terminal for as long as something takes |
//! | `cache` | compiled modules, kept for the next time |
//! | `input` | from a file to a module |
//! | `values` | arguments and results as text |
//! | `entry` | which function to call, with what |
//! | `imports` | modules that cannot be linked |
//! | `stopped` | what the end of a call means |
//! | `timeout` | the end of a guest whose time is up |
//! | `host` | the engine and the host functions that a guest runs with |
//! | `table` | rows of text in columns |
//! | `run`, `compile`, `snapshot`, `inspect`, `bench` | the commands of these names |
//! | `pages` | completions and manual pages |
//!
//! This file only maps outcomes to exit codes: the guest's own, 134 for a trap, 1 for our errors, 2 for usage.

#![deny(unsafe_code)]

// In reading order: a file uses only what stands above it.
mod output;
mod options;
mod guest;
mod commands;

use commands::{bench, compile, inspect, man, run, snapshot};
use guest::outcome::Stopped;
use options::args::Command;
use options::usage;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match usage::parse() {
        Ok(Command::Run(options)) => run::run(&options),
        Ok(Command::Compile(options)) => compile::compile(&options),
        Ok(Command::Snapshot(options)) => snapshot::snapshot(&options),
        Ok(Command::Inspect(options)) => inspect::inspect(&options),
        Ok(Command::Bench(options)) => bench::bench(&options),
        Ok(Command::Completions(options)) => man::completions(&options),
        Ok(Command::Man(options)) => man::man(&options),
        Err(usage) => return usage.end(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stopped::Exit(code)) => ExitCode::from(code),
        Err(Stopped::Report(report)) => report.end(),
    }
}
