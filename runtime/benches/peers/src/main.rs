//! minirt beside other runtimes: the same modules, the same work, in one run, taking turns.
//!
//! # How to run
//!
//! In this folder, on Linux 6.7 or newer (`PAGEMAP_SCAN`), x86-64, with two processors that are
//! otherwise idle:
//!
//! ```sh
//! cargo run --release                            # everything, about four minutes
//! cargo run --release -- --quick                 # everything, about a minute, noisier
//! cargo run --release -- --only calls            # one measurement; may be given several times
//! cargo run --release -- --list                  # the measurements
//! perf record PROGRAM --drive page minirt frozen 100000   # where the time of a request goes
//! cargo run --release -- --only code --programs DIR   # the programs in a folder as well
//! cargo run --release --features exceptions -- --only exceptions
//! cargo run --release --features gc -- --only gc
//! ```
//!
//! It prints Markdown, and its progress to standard error. Ratios travel, absolute times do not:
//! compare only figures of one run. If the machine is not idle, the gain from a second thread
//! suffers first.
//!
//! # Who takes part
//!
//! - minirt, with nothing configured.
//! - wasmtime 48, built without the features that are not used here, in three configurations: the
//!   default (instances are made on demand); with its pooling allocator; and with pooling,
//!   `PAGEMAP_SCAN`, and so many resident bytes that nothing is ever given back to the kernel. Real
//!   guests (`--only requests`) it serves as they are, and pre-initialised by its own tool, Wizer.
//! - wasmi, an interpreter, with nothing configured.
//! - no runtime at all: a mapped image that is written to and put back, in three ways. This is the
//!   floor.
//!
//! # How it is fair
//!
//! What is timed is one piece of text, compiled once for each runtime (`work.rs`). Contestants take
//! turns in short slices, round after round, and the median round counts, so that whatever else the
//! machine does meets all of them. Every runtime is first seen to do the work: a fresh instance has
//! its initial data, and a store to it lasts. The cargo profile is the plain release profile, which
//! is what an embedder gets.

// In reading order: a file uses only what stands above it.
mod report;
mod modules;
mod race;
mod guests;
mod service;
mod options;
mod work;
mod contestants;
mod pagemap;
mod floor;
mod round_trip;
mod scattered;
mod calls;
mod live;
mod compile;
mod artifact;
mod snapshot;
#[cfg(feature = "exceptions")]
mod exceptions;
#[cfg(feature = "gc")]
mod gc;
mod hosts;
mod requests;
mod world;
mod machines;
mod code;

use anyhow::Result;
use options::{Measurement, Options, Task};
use std::time::Instant;

fn main() -> Result<()> {
    let began = Instant::now();
    exit_on_panic();
    match options::parse(std::env::args().skip(1))? {
        Task::Help => print!("{}", options::HELP),
        Task::List => Measurement::ALL.iter().for_each(|m| println!("{:<12}{}", m.name(), m.about())),
        Task::Measure(options) => measure(&options)?,
        Task::CountLive(count) => live::count_in_this_process(&count)?,
        Task::CountServed(count) => requests::count_in_this_process(&count)?,
        Task::FirstRequest(first) => requests::first_in_this_process(&first, began)?,
        Task::Drive(drive) => requests::drive(&drive)?,
    }
    Ok(())
}

fn measure(options: &Options) -> Result<()> {
    println!("{}", report::machine());
    println!("{}", options.pace);
    for measurement in &options.measurements {
        eprintln!("measuring: {}", measurement.name());
        println!("\n## {}\n", measurement.about());
        match measurement {
            Measurement::RoundTrip => round_trip::measure(&options.pace)?,
            Measurement::Scattered => scattered::measure(&options.pace)?,
            Measurement::Calls => calls::measure(&options.pace)?,
            Measurement::Live => live::measure()?,
            Measurement::Compile => compile::measure(&options.pace)?,
            Measurement::Artifact => artifact::measure(&options.pace)?,
            Measurement::Snapshot => snapshot::measure(&options.pace)?,
            Measurement::Requests => requests::measure(options.guest.as_deref(), &options.pace)?,
            Measurement::Code => code::measure(options.programs.as_deref(), &options.pace)?,
            #[cfg(feature = "exceptions")]
            Measurement::Exceptions => exceptions::measure(&options.pace)?,
            #[cfg(feature = "gc")]
            Measurement::Gc => gc::measure(&options.pace)?,
        }
    }
    Ok(())
}

/// Ends the process when a thread panics: the other one would wait for it forever.
fn exit_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(101);
    }));
}
