//! All contestants, and how the others stand beside minirt.

use super::minirt::Minirt;
use super::wasmi::Wasmi;
use super::wasmtime::Wasmtime;
use crate::report::{nothing, ratio};
use crate::work::{Peer, Program, check};
use anyhow::{Context, Result, bail};
use std::ops::Range;

/// Everybody, in the order of the columns.
pub(crate) const NAMES: [&str; 5] = ["minirt", "wasmtime", "wt pooling", "wt pool+scan", "wasmi"];

const MINIRT: usize = 0;
const WASMTIME: usize = 1;
const WASMTIMES: Range<usize> = 1..4;

/// The heads of the columns that [`ratios_of_times`] and [`ratios_of_rates`] fill.
pub(crate) const RATIOS: [&str; 2] = ["/ best wt", "/ wasmtime"];

/// A contestant by its name. `live`: how many instances it has to hold at one time, if that is many.
pub(crate) fn peer(name: &str, live: Option<u32>) -> Result<Box<dyn Peer>> {
    Ok(match name {
        "minirt" => Box::new(Minirt::new()?),
        "wasmtime" => Box::new(Wasmtime::on_demand()?),
        "wt pooling" => Box::new(Wasmtime::pooling(live)?),
        "wt pool+scan" => Box::new(Wasmtime::pooling_scan(live)?),
        "wasmi" => Box::new(Wasmi::new()?),
        other => bail!("there is no contestant `{other}`"),
    })
}

/// Everybody.
pub(crate) fn peers() -> Result<Vec<Box<dyn Peer>>> {
    NAMES.into_iter().map(|name| peer(name, None).with_context(|| format!("could not set up {name}"))).collect()
}

/// The same module in everybody's hands.
pub(crate) fn load(peers: &[Box<dyn Peer>], wasm: &[u8]) -> Result<Vec<Box<dyn Program>>> {
    let load = |(name, peer): (_, &dyn Peer)| peer.load(wasm).with_context(|| format!("{name} did not load it"));
    NAMES.into_iter().zip(peers.iter().map(Box::as_ref)).map(load).collect()
}

/// As [`load`], for modules with `touch` and `peek`: everybody has been seen to do the work.
pub(crate) fn load_checked(peers: &[Box<dyn Peer>], wasm: &[u8]) -> Result<Vec<Box<dyn Program>>> {
    let programs = load(peers, wasm)?;
    for (program, name) in programs.iter().zip(NAMES) {
        check(program.as_ref()).with_context(|| format!("{name} did something else"))?;
    }
    Ok(programs)
}

/// minirt's figure beside that of the best wasmtime and of wasmtime as it comes. Absentees have none.
fn ratios(figures: &[Option<f64>], best: impl Fn(f64, f64) -> f64) -> [String; 2] {
    let best = figures[WASMTIMES].iter().flatten().copied().reduce(best);
    let beside = |other: Option<f64>| match (figures[MINIRT], other) {
        (Some(minirt), Some(other)) => ratio(minirt, other),
        _ => nothing(),
    };
    [beside(best), beside(figures[WASMTIME])]
}

/// The ratios of times: the least is the best.
pub(crate) fn ratios_of_times(times: &[Option<f64>]) -> [String; 2] {
    ratios(times, f64::min)
}

/// The ratios of rates: the highest is the best.
pub(crate) fn ratios_of_rates(rates: &[Option<f64>]) -> [String; 2] {
    ratios(rates, f64::max)
}
