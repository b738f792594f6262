//! `minirt`: runs WebAssembly from the command line.
//!
//! ARCHITECTURE.md has the map of its files.
//!
//! This file maps outcomes to exit codes: the guest's own, 134 if the guest traps, 1 if minirt fails, 2 if the command
//! line is invalid.

#![deny(unsafe_code)]

// In reading order: a file uses only what stands above it.
mod output;
mod options;
mod guest;
mod commands;

use commands::{bench, cache, compile, inspect, man, run, snapshot};
use guest::outcome::Outcome;
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
        Ok(Command::Cache(options)) => cache::cache(&options),
        Ok(Command::Completions(options)) => man::completions(&options),
        Ok(Command::Man(options)) => man::man(&options),
        Err(usage) => return usage.end(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Outcome::Exit(code)) => ExitCode::from(code),
        Err(Outcome::Report(report)) => report.end(),
    }
}
