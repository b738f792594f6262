//! The command line.

use crate::generate::Family;
use anyhow::{Context, Result, bail};
use std::ops::Range;

pub(crate) const HELP: &str = "\
Usage: minirt-fuzz [--count N] [--seed S] [--only SEED] [--threads N] [--exceptions | --gc] [--without-wasmi]

  --count N    the number of modules (default: 1000)
  --seed S     from this seed on (default: 0)
  --only SEED  this one, and its text
  --threads N  at a time (default: as many as there are processors)
  --exceptions every module throws or catches, and so wasmi takes none of them
  --gc         every module has functions that make objects, store them and use them
               again; minirt collects at every allocation for half of the modules,
               and at every third for another quarter
  --without-wasmi
               minirt and wasmtime only: some modules crash wasmi 2.0.0, and
               this process with it (seed 100051889, for one)
";

pub(crate) struct Options {
    pub(crate) seeds: Range<u64>,
    pub(crate) threads: usize,
    pub(crate) wasmi: bool,
    /// What all modules have, and not only those of some seeds.
    pub(crate) all_have: Option<Family>,
    /// Whether to keep the module in any case.
    pub(crate) keep: bool,
}

/// `None` when help was asked for.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let (mut count, mut seed, mut only) = (1000, 0, None);
    let (mut wasmi, mut all_have) = (true, None);
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--count" => count = number(&arg, args.next())?,
            "--seed" => seed = number(&arg, args.next())?,
            "--only" => only = Some(number(&arg, args.next())?),
            "--threads" => threads = number(&arg, args.next())?.max(1) as usize,
            "--exceptions" => all_have = Some(Family::Exceptions),
            "--gc" => all_have = Some(Family::Gc),
            "--without-wasmi" => wasmi = false,
            other => bail!("what is `{other}`? See --help"),
        }
    }
    let seeds = only.map_or(seed..seed.saturating_add(count), |only| only..only.saturating_add(1));
    let wasmi = wasmi && all_have.is_none();
    Ok(Some(Options { seeds, threads, wasmi, all_have, keep: only.is_some() }))
}

fn number(option: &str, value: Option<String>) -> Result<u64> {
    let value = value.with_context(|| format!("{option} wants a number"))?;
    value.parse().with_context(|| format!("{option} wants a number, not `{value}`"))
}
