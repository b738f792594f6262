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

/// Sets a contestant up by its name. `live` is how many instances it has to hold at a time, if that
/// is many.
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

/// Sets everybody up.
pub(crate) fn peers() -> Result<Vec<Box<dyn Peer>>> {
    NAMES.into_iter().map(|name| peer(name, None).with_context(|| format!("could not set up {name}"))).collect()
}

/// Loads a module into everybody's runtime.
pub(crate) fn load(peers: &[Box<dyn Peer>], wasm: &[u8]) -> Result<Vec<Box<dyn Program>>> {
    let load = |(name, peer): (_, &dyn Peer)| peer.load(wasm).with_context(|| format!("{name} did not load it"));
    NAMES.into_iter().zip(peers.iter().map(Box::as_ref)).map(load).collect()
}

/// Loads a module with `touch` and `peek`, and checks that everybody does the work.
pub(crate) fn load_checked(peers: &[Box<dyn Peer>], wasm: &[u8]) -> Result<Vec<Box<dyn Program>>> {
    let programs = load(peers, wasm)?;
    for (program, name) in programs.iter().zip(NAMES) {
        check(program.as_ref()).with_context(|| format!("{name} did something else"))?;
    }
    Ok(programs)
}

/// Returns minirt's figure divided by that of wasmtime's best configuration, and by that of its
/// default one. Who did not take part has no figure.
fn ratios(figures: &[Option<f64>], best: impl Fn(f64, f64) -> f64) -> [String; 2] {
    let best = figures[WASMTIMES].iter().flatten().copied().reduce(best);
    let beside = |other: Option<f64>| match (figures[MINIRT], other) {
        (Some(minirt), Some(other)) => ratio(minirt, other),
        _ => nothing(),
    };
    [beside(best), beside(figures[WASMTIME])]
}

/// Returns the ratios of times: the least is the best.
pub(crate) fn ratios_of_times(times: &[Option<f64>]) -> [String; 2] {
    ratios(times, f64::min)
}

/// Returns the ratios of rates: the highest is the best.
pub(crate) fn ratios_of_rates(rates: &[Option<f64>]) -> [String; 2] {
    ratios(rates, f64::max)
}
