//! Who serves guests: minirt and wasmtime, with the same text.

mod minirt;
mod wasmtime;

use crate::service::Host;
use anyhow::{Result, bail};

/// All hosts, in the order of the rows.
pub(crate) const HOSTS: [&str; 4] = ["minirt", "wasmtime", "wt pooling", "wt pool+scan"];

/// Sets a host up by its name. `live` is how many instances it has to hold at a time.
pub(crate) fn host(name: &str, live: u32) -> Result<Box<dyn Host>> {
    Ok(match name {
        "minirt" => Box::new(minirt::Minirt::new()?),
        "wasmtime" => Box::new(wasmtime::Wasmtime::on_demand()?),
        "wt pooling" => Box::new(wasmtime::Wasmtime::pooling(live, false)?),
        "wt pool+scan" => Box::new(wasmtime::Wasmtime::pooling(live, true)?),
        other => bail!("there is no host `{other}`"),
    })
}
