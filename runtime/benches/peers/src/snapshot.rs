//! minirt against itself: instances that start from a snapshot, and instances that start from their
//! module.

use crate::contestants::Minirt;
use crate::modules::{LARGE, SMALL, Table, toucher};
use crate::race::{Pace, processors, race};
use crate::report::{Sheet, micros, ratio};
use crate::work::{Peer, check, probe, round_trips};
use anyhow::{Result, ensure};

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peer = Minirt::new()?;
    let mut sheet = Sheet::new(&["memory", "table"], ["from its module", "from a snapshot", "ratio"]);
    for (memory, table) in [(SMALL, Table::None), (SMALL, Table::Idle), (LARGE, Table::None), (LARGE, Table::Idle)] {
        let wasm = toucher(memory, table)?;
        let (module, snapshot) = (peer.load(&wasm)?, peer.load_snapshot(&wasm)?);
        check(module.as_ref())?;
        // The snapshot was taken after `touch(1)`, and must keep that.
        ensure!(probe(snapshot.as_ref())? == (1, 1), "a snapshot forgot what was stored before");
        let contestants = [round_trips(module.as_ref(), 1), round_trips(snapshot.as_ref(), 1)];
        let rates = race(&contestants, &processors()?[..1], pace)?;
        let times = rates.iter().map(|rate| micros(1e9 / rate));
        let labels = [memory.name.to_owned(), table.name().to_owned()];
        sheet.row(labels.into_iter().chain(times).chain([ratio(rates[0], rates[1])]));
    }
    println!("us for one round trip that dirties one page, one thread.\n\n{sheet}");
    Ok(())
}
