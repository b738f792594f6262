//! A fresh instance that dirties `k` pages which lie apart, in the memory of a large program.

use crate::contestants::{NAMES, RATIOS, load_checked, peers, ratios_of_times};
use crate::modules::{HOST_PAGE, HUGE, Table, scattered_toucher};
use crate::race::{Pace, processors, race};
use crate::report::{Sheet, micros};
use crate::work::round_trips;
use anyhow::Result;

/// How many pages are dirtied.
const KS: [usize; 8] = [0, 1, 8, 50, 64, 100, 200, 500];

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers = peers()?;
    // wasmi copies all of its memory for each instance.
    let compiled = &NAMES[..NAMES.len() - 1];
    let mut sheet = Sheet::new(&["k"], compiled.iter().copied().chain(RATIOS));
    for k in KS {
        eprintln!("  k = {k}");
        let distance = HUGE.bytes / HOST_PAGE / k.max(1) - 1;
        let programs = load_checked(&peers, &scattered_toucher(HUGE, Table::None, distance)?)?;
        let contestants: Vec<_> =
            programs[..compiled.len()].iter().map(|program| round_trips(program.as_ref(), k)).collect();
        let rates = race(&contestants, &processors()?[..1], pace)?;
        let nanos: Vec<Option<f64>> = rates.iter().map(|rate| Some(1e9 / rate)).collect();
        let cells = nanos.iter().flatten().map(|nanos| micros(*nanos));
        sheet.row([k.to_string()].into_iter().chain(cells).chain(ratios_of_times(&nanos)));
    }
    println!("us for one round trip that dirties k pages at equal distances in {}, one thread.\n\n{sheet}", HUGE.name);
    Ok(())
}
