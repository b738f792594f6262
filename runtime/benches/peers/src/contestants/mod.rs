//! Who takes part: each runtime in the configurations that are measured.

mod minirt;
mod wasmtime;
mod wasmi;
mod everybody;

pub(crate) use everybody::{NAMES, RATIOS, load, load_checked, peer, peers, ratios_of_rates, ratios_of_times};
pub(crate) use minirt::Minirt;
#[cfg(feature = "exceptions")]
pub(crate) use wasmtime::Wasmtime;
