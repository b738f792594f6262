//! What generated modules do on this machine: a line for each seed, with a digest of the outcomes of
//! all calls and of all states between them. Two kinds of machine agree if their lines are equal.
//!
//! `minirt-across FROM COUNT` prints the lines; `minirt-across FROM COUNT all` prints outcomes and
//! states themselves, to see where two differ.

#![forbid(unsafe_code)]

// The generator, and what is done to instances, are those of `spec-tests/fuzz`.
#[path = "../../fuzz/src/rng.rs"]
#[allow(dead_code, reason = "shared with another program")]
mod rng;
#[path = "../../fuzz/src/shape.rs"]
#[allow(dead_code, reason = "shared with another program")]
mod shape;
#[path = "../../fuzz/src/plan.rs"]
#[allow(dead_code, reason = "shared with another program")]
mod plan;
#[path = "../../fuzz/src/arrays.rs"]
mod arrays;
#[path = "../../fuzz/src/generate.rs"]
mod generate;

use anyhow::{Context, Result};
use generate::Family;
use minirt_runtimes::Guest;
use minirt_runtimes::minirt::{Config, Engine, Module, OptLevel, Store};
use minirt_runtimes::on_minirt::Live;
use shape::{AnswersByArguments, Shape};
use std::fmt::Write as _;
use std::io::Write as _;

/// Bytes of stack that Wasm may use: frames differ in size from processor to processor, so it is
/// more than any plan needs.
const WASM_STACK: usize = 4 << 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (from, count) = number(0).zip(number(1)).context("say: minirt-across FROM COUNT [all]")?;
    let all = words.get(2).is_some_and(|word| word == "all");
    let run = move || -> Result<()> {
        let engines = [OptLevel::Speed, OptLevel::None].map(|level| {
            let mut config = Config::new();
            config.cranelift_opt_level(level).parallel_compilation(false).max_wasm_stack(WASM_STACK);
            Engine::new(&config)
        });
        let [speed, none] = engines;
        let (speed, none) = (speed?, none?);
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for seed in from..from + count {
            // Each seed at one level: both are covered, and both machines choose alike.
            let text = done(if seed % 2 == 0 { &speed } else { &none }, seed)?;
            if all {
                writeln!(out, "{seed}\n{text}")?;
            } else {
                writeln!(out, "{seed} {:016x} {}", digest(&text), text.len())?;
            }
        }
        Ok(out.flush()?)
    };
    // More than Wasm may use.
    std::thread::Builder::new().stack_size(4 * WASM_STACK).spawn(run)?.join().expect("no panic")
}

/// Returns what the module of a seed does.
fn done(engine: &Engine, seed: u64) -> Result<String> {
    // Each fourth throws or catches, and each fourth has structures and arrays, at either level.
    let family = match seed % 8 {
        0 | 1 => Some(Family::Exceptions),
        2 | 3 => Some(Family::Gc),
        _ => None,
    };
    let Some(wasm) = generate::module(seed, family)? else { return Ok("no module".to_owned()) };
    let mut text = format!("{} bytes, {:016x}\n", wasm.len(), digest(&format!("{wasm:?}")));
    let module = match Module::from_binary(engine, &wasm) {
        Ok(module) => module,
        Err(error) => return Ok(format!("{text}refused: {error:#}")),
    };
    let shape = Shape::of(&module);
    if !shape.can_be_given {
        return Ok(format!("{text}it imports what there is not"));
    }
    let store = Store::new(engine, ());
    match Live::start(store, &module, &AnswersByArguments, shape.exports.clone()) {
        Err(outcome) => writeln!(text, "{outcome:?}")?,
        Ok(mut guest) => {
            writeln!(text, "{:?}", guest.look())?;
            for step in plan::plan(seed, &shape) {
                let after = step.run(&mut guest);
                writeln!(text, "{step:?}\n{:?}\n{:?}", after.outcome, after.state)?;
            }
        }
    }
    Ok(text)
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
