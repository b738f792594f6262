//! A fresh instance that dirties `k` host pages, with one thread and with two.

use crate::contestants::{NAMES, RATIOS, load_checked, peers, ratios_of_rates, ratios_of_times};
use crate::floor::{self, Way};
use crate::modules::{LARGE, MIDDLE, Memory, SMALL, Table, toucher};
use crate::race::{Contestant, Pace, processors, race};
use crate::report::{Sheet, micros, nothing, ratio, thousands};
use crate::work::{Program, round_trips};
use anyhow::Result;

/// Which modules run, and how many pages they dirty.
const CASES: [(Memory, Table, &[usize]); 9] = [
    (SMALL, Table::None, &[0, 1, 8]),
    (SMALL, Table::Idle, &[0, 1, 8]),
    (SMALL, Table::Called, &[1]),
    (MIDDLE, Table::None, &[0, 1, 8, 64]),
    (MIDDLE, Table::Idle, &[0, 1, 8, 64]),
    (MIDDLE, Table::Called, &[1]),
    (LARGE, Table::None, &[0, 1, 8, 64, 512]),
    (LARGE, Table::Idle, &[0, 1, 8, 64, 512]),
    (LARGE, Table::Called, &[1]),
];

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers = peers()?;
    let processors = processors()?;
    let floors = Way::ALL.map(Way::name);
    let mut alone = Sheet::new(&LABELS, NAMES.into_iter().chain(floors).chain(RATIOS).chain(["/ raw"]));
    let mut together = Sheet::new(&LABELS, NAMES.into_iter().chain(floors).chain(RATIOS));
    for (memory, table, ks) in CASES {
        let programs = load_checked(&peers, &toucher(memory, table)?)?;
        for k in ks {
            eprintln!("  {} memory, table: {}, k = {k}", memory.name, table.name());
            let contestants = contestants(&programs, memory, *k);
            let labels = [memory.name.to_owned(), table.name().to_owned(), k.to_string()];
            let one = race(&contestants, &processors[..1], pace)?;
            alone.row(labels.iter().cloned().chain(times(&one, *k)));
            if let Some(both) = processors.get(..2) {
                let two = race(&contestants, both, pace)?;
                together.row(labels.into_iter().chain(rates(&one, &two)));
            }
        }
    }
    println!("One thread, us for one round trip that dirties k pages (for `raw`: to dirty them and put them back).\n");
    println!("{alone}\nTwo threads, each on its own processor, thousands of round trips per second of both together");
    println!("(and how many times those of one thread); the ratios are of rates, so more is better.\n\n{together}");
    Ok(())
}

const LABELS: [&str; 3] = ["memory", "table", "k"];

fn contestants(programs: &[Box<dyn Program>], memory: Memory, k: usize) -> Vec<Contestant<'_>> {
    let floors = Way::ALL.map(|way| floor::contestant(way, memory, k));
    programs.iter().map(|program| round_trips(program.as_ref(), k)).chain(floors).collect()
}

/// Returns the cells of the table for one thread.
fn times(rates: &[f64], k: usize) -> Vec<String> {
    let nanos: Vec<Option<f64>> = rates.iter().map(|rate| Some(1e9 / rate)).collect();
    let floor = rates[NAMES.len()..].iter().copied().max_by(f64::total_cmp).expect("three ways");
    let cells = nanos.iter().flatten().map(|nanos| micros(*nanos));
    // Where nothing is dirtied there is nothing to put back.
    let to_floor = if k == 0 { nothing() } else { ratio(floor, rates[0]) };
    cells.chain(ratios_of_times(&nanos)).chain([to_floor]).collect()
}

/// Returns the cells of the table for two threads.
fn rates(one: &[f64], two: &[f64]) -> Vec<String> {
    let cells = one.iter().zip(two).map(|(one, two)| format!("{} ({}x)", thousands(*two), ratio(*two, *one)));
    let rates: Vec<Option<f64>> = two.iter().copied().map(Some).collect();
    cells.chain(ratios_of_rates(&rates)).collect()
}
