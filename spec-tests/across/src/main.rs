//! What generated modules do on this machine: a line for each seed, with a digest of the outcomes
//! of all calls and of all states between them. Two kinds of machine agree if their lines are
//! equal.
//!
//! ```text
//! minirt-across FROM COUNT          compiles and runs the modules of these seeds
//! minirt-across FROM COUNT all      the same; prints outcomes and states themselves
//! minirt-across make TRIPLE FROM COUNT | minirt-across run [all]
//!                                   compiles on one machine, and runs on the other
//! ```
//!
//! What `make` writes is for `run` alone, and holds machine code.

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
#[path = "../../fuzz/src/workers/mod.rs"]
mod workers;
#[path = "../../fuzz/src/generate.rs"]
mod generate;
mod parcel;

use anyhow::{Context, Result, bail};
use generate::Family;
use minirt_runtimes::Guest;
use minirt_runtimes::minirt::{Config, Engine, Module, OptLevel, Store};
use minirt_runtimes::on_minirt::Live;
use parcel::Parcel;
use shape::{AnswersByArguments, Shape};
use std::fmt::Write as _;
use std::io::Write as _;

/// Bytes of stack that Wasm may use: frames differ in size from processor to processor, so it is
/// more than any plan needs.
const WASM_STACK: usize = 4 << 20;

fn main() -> Result<()> {
    // More than Wasm may use.
    std::thread::Builder::new().stack_size(4 * WASM_STACK).spawn(run)?.join().expect("no panic")
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::BufWriter::new(std::io::stdout().lock()));
    match words[..] {
        ["make", triple, from, count] => {
            let engines = Engines::new(Some(triple))?;
            for seed in seeds(from, count)? {
                Parcel::make(engines.of(seed), seed)?.write(&mut output)?;
            }
        }
        ["run", ref rest @ ..] if matches!(rest, [] | ["all"]) => {
            let engines = Engines::new(None)?;
            while let Some(parcel) = Parcel::read(&mut input)? {
                let Parcel { seed, head, artifact } = parcel;
                // SAFETY: this program has made it, whose output the user has handed over, and
                // nobody changes it.
                let load = |bytes: &[u8]| unsafe { Module::deserialize(engines.of(seed), bytes) };
                let module = artifact.as_deref().map(load).transpose()?;
                print(&mut output, seed, &done(seed, head, module.as_ref())?, !rest.is_empty())?;
            }
        }
        [from, count, ref rest @ ..] if matches!(rest, [] | ["all"]) => {
            let engines = Engines::new(None)?;
            for seed in seeds(from, count)? {
                let (head, module) = head(seed, |wasm| Module::from_binary(engines.of(seed), wasm))?;
                print(&mut output, seed, &done(seed, head, module.as_ref())?, !rest.is_empty())?;
            }
        }
        _ => bail!("say: minirt-across FROM COUNT [all], minirt-across make TRIPLE FROM COUNT, or minirt-across run"),
    }
    Ok(output.flush()?)
}

fn seeds(from: &str, count: &str) -> Result<std::ops::Range<u64>> {
    let number = |word: &str| word.parse::<u64>().with_context(|| format!("`{word}` is not a number"));
    let from = number(from)?;
    Ok(from..from.saturating_add(number(count)?))
}

/// Each seed is compiled at one level: both are covered, and all machines choose alike.
struct Engines([Engine; 2]);

impl Engines {
    /// Makes engines for this machine, or for another.
    fn new(target: Option<&str>) -> Result<Self> {
        let engine = |level| {
            let mut config = Config::new();
            config.cranelift_opt_level(level).parallel_compilation(false).max_wasm_stack(WASM_STACK);
            if let Some(triple) = target {
                config.target(triple)?;
            }
            Engine::new(&config)
        };
        Ok(Self([engine(OptLevel::Speed)?, engine(OptLevel::None)?]))
    }

    fn of(&self, seed: u64) -> &Engine {
        &self.0[(seed % 2) as usize]
    }
}

fn print(output: &mut impl std::io::Write, seed: u64, text: &str, all: bool) -> Result<()> {
    match all {
        true => writeln!(output, "{seed}\n{text}")?,
        false => writeln!(output, "{seed} {:016x} {}", digest(text), text.len())?,
    }
    Ok(())
}

/// Generates the module of a seed and compiles it. Returns what there is to say of it, and what it
/// was compiled to, if there is a module and it is not refused.
fn head<T>(seed: u64, compile: impl FnOnce(&[u8]) -> Result<T>) -> Result<(String, Option<T>)> {
    // Each fourth throws or catches, and each fourth has structures and arrays, at either level.
    let family = match seed % 8 {
        0 | 1 => Some(Family::Exceptions),
        2 | 3 => Some(Family::Gc),
        _ => None,
    };
    let Some(wasm) = generate::module(seed, family)? else { return Ok(("no module".to_owned(), None)) };
    let head = format!("{} bytes, {:016x}\n", wasm.len(), digest(&format!("{wasm:?}")));
    Ok(match compile(&wasm) {
        Ok(compiled) => (head, Some(compiled)),
        Err(error) => (format!("{head}refused: {error:#}"), None),
    })
}

/// Returns what the module of a seed does.
fn done(seed: u64, head: String, module: Option<&Module>) -> Result<String> {
    let mut text = head;
    let Some(module) = module else { return Ok(text) };
    let shape = Shape::of(module);
    if !shape.can_be_given {
        return Ok(format!("{text}it imports what there is not"));
    }
    let store = Store::new(module.engine(), ());
    match Live::start(store, module, &AnswersByArguments, shape.exports.clone()) {
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
