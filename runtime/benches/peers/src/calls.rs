//! Calls from the host into Wasm and back.

use crate::contestants::{NAMES, RATIOS, load, peers, ratios_of_times};
use crate::modules::{CALLS, COPIES, caller};
use crate::race::{Contestant, Lap, Pace, processors, race};
use crate::report::{Sheet, nanos};
use crate::work::Program;
use anyhow::Result;

type Calls = fn(&dyn Program) -> Result<Lap<'_>>;

/// What is measured, and how many calls of it a call of one copy is.
const ROWS: [(&str, Calls, u32); 5] = [
    ("host to Wasm, no argument", |program| program.calls_of("nop"), 1),
    ("host to Wasm, any, i32 in and out", |program| program.calls_by_values(), 1),
    ("Wasm to host, i32 in and out", |program| program.calls_of("call_typed"), CALLS),
    ("Wasm to host, any, i32 in and out", |program| program.calls_of("call_any"), CALLS),
    ("Wasm to Wasm, i32 in and out", |program| program.calls_of("call_inner"), CALLS),
];

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let programs = load(&peers()?, &caller()?)?;
    let mut sheet = Sheet::new(&["ns per call"], NAMES.into_iter().chain(RATIOS));
    for (label, lap, calls) in ROWS {
        let contestants: Vec<Contestant<'_>> =
            programs.iter().map(|program| -> Contestant<'_> { Box::new(move || lap(&**program)) }).collect();
        let rates = race(&contestants, &processors()?[..1], pace)?;
        let times: Vec<Option<f64>> = rates.iter().map(|rate| Some(1e9 / rate / f64::from(calls * COPIES))).collect();
        let cells = times.iter().flatten().map(|time| nanos(*time));
        sheet.row([label.to_owned()].into_iter().chain(cells).chain(ratios_of_times(&times)));
    }
    println!(
        "Functions with static types, or of types known at run time only (`any`). From Wasm, {CALLS} calls in a loop, its own\n\
         cost included; the last row is the same loop without a host.\n\
         Means over {COPIES} copies of each function, at different distances from the next cache line.\n\n{sheet}"
    );
    Ok(())
}
