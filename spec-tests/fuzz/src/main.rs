//! Generated modules on minirt, wasmtime and wasmi: they should agree on everything that the
//! specification defines. And on minirt alone, in several configurations: an instance that was
//! reset, frozen, recycled or loaded should be like a fresh one.
//!
//! A seed is a module, a configuration of minirt, and what is done to the instances. Slots pass
//! from one module to the next, so a difference that does not show with `--only` may need the seeds
//! before it, and `--threads 1`.

// In reading order: a file uses only what stands above it.
mod rng;
mod shape;
mod plan;
mod arrays;
mod workers;
mod generate;
mod report;
mod engines;
mod copies;
mod compare;
mod options;
mod work;

use std::process::ExitCode;

/// Bytes of stack that each thread has.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let result = options::parse(std::env::args().skip(1)).and_then(|options| match options {
        Some(options) => work::run(&options),
        None => {
            print!("{}", options::HELP);
            Ok(true)
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
