//! `minirt`: runs WebAssembly from the command line.
//!
//! ARCHITECTURE.md has the map of its files.
//!
//! This file maps outcomes to exit codes: the guest's own, 134 if the guest traps, 1 if minirt
//! fails, 2 if the command line is invalid.

#![deny(unsafe_code)]

// In reading order: a file uses only what stands above it.
mod output;
mod options;
mod guest;
mod show;
mod commands;

use commands::{bench, cache, compile, inspect, man, run, show as shown, snapshot};
use guest::outcome::Outcome;
use guest::stack;
use options::args::Command;
use options::{usage, wasm_options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match usage::parse() {
        Ok(command) => command,
        Err(usage) => return usage.end(),
    };
    match stack::with(guest_stack(&command), || carry_out(&command)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Outcome::Exit(code))) => ExitCode::from(code),
        Ok(Err(Outcome::Report(report))) | Err(report) => report.end(),
    }
}

/// Returns how many bytes of stack a command gives its guest.
fn guest_stack(command: &Command) -> usize {
    let options = match command {
        Command::Run(options) => &options.guest.wasm[..],
        Command::Show(options) => &options.guest.wasm[..],
        _ => &[],
    };
    wasm_options::max_wasm_stack(options)
}

fn carry_out(command: &Command) -> Result<(), Outcome> {
    match command {
        Command::Run(options) => run::run(options),
        Command::Compile(options) => compile::compile(options),
        Command::Snapshot(options) => snapshot::snapshot(options),
        Command::Inspect(options) => inspect::inspect(options),
        Command::Bench(options) => bench::bench(options),
        Command::Show(options) => shown::show(options),
        Command::Cache(options) => cache::cache(options),
        Command::Completions(options) => man::completions(options),
        Command::Man(options) => man::man(options),
    }
}
