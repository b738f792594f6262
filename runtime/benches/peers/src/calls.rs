//! Calls from the host into Wasm and back.

use crate::modules::{HOST_CALLS, caller};
use crate::peers::{NAMES, RATIOS, load, peers, ratios_of_times};
use crate::race::{Contestant, Pace, processors, race};
use crate::report::{Sheet, nanos};
use anyhow::Result;

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let guests = load(&peers()?, &caller()?)?;
    let into: Vec<Contestant<'_>> =
        guests.iter().map(|guest| -> Contestant<'_> { Box::new(|| guest.nops()) }).collect();
    let out: Vec<Contestant<'_>> =
        guests.iter().map(|guest| -> Contestant<'_> { Box::new(|| guest.host_calls()) }).collect();
    let mut sheet = Sheet::new(&["ns per call"], NAMES.into_iter().chain(RATIOS));
    let rows = [("host to Wasm, no argument", into, 1), ("Wasm to host, one i32 in and out", out, HOST_CALLS)];
    for (label, contestants, calls) in rows {
        let rates = race(&contestants, &processors()?[..1], pace)?;
        let times: Vec<Option<f64>> = rates.iter().map(|rate| Some(1e9 / rate / f64::from(calls))).collect();
        let cells = times.iter().flatten().map(|time| nanos(*time));
        sheet.row([label.to_owned()].into_iter().chain(cells).chain(ratios_of_times(&times)));
    }
    println!("Functions with static types. From Wasm, {HOST_CALLS} calls in a loop, its own cost included.\n\n{sheet}");
    Ok(())
}
