//! Structures and arrays: what garbage collection, fields, elements and casts cost, and heaps that
//! instances start with.

mod modules;

use crate::contestants::{Minirt, Wasmtime};
use crate::race::{Contestant, Pace, processors, race};
use crate::report::{Sheet, micros, nothing, ratio};
use crate::work::{Peer, Program, round_trips};
use anyhow::{Context, Result};
use minirt_runtimes::wasmtime::Collector;

/// minirt, and wasmtime with each of its collectors.
const NAMES: [&str; 4] = ["minirt", "wt drc", "wt copying", "wt null"];

/// The exports of `work.wat`, and what they do.
const WORK: [(&str, &str); 8] = [
    ("trees", "binary trees: 100 of depth 16"),
    ("lists", "linked lists: 20 of 100,000 cells, reversed and added up"),
    ("map", "hash map of boxed integers: 200,000 updates"),
    ("fields", "fields: 12,000,000 reads and 9,000,000 writes"),
    ("arrays", "arrays of i32: 6,000,000 reads and 3,000,000 writes"),
    ("bytes", "arrays of i8: 3,000,000 reads and writes"),
    ("casts", "`ref.cast` down five levels, 1,000,000 times"),
    ("tests", "`br_on_cast` to the fifth of five types, 1,000,000 times"),
];

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers: [Box<dyn Peer>; 4] = [
        Box::new(Minirt::with_gc()?),
        Box::new(Wasmtime::with_collector(Collector::DeferredReferenceCounting)?),
        Box::new(Wasmtime::with_collector(Collector::Copying)?),
        Box::new(Wasmtime::with_collector(Collector::Null)?),
    ];
    work(&peers, pace)?;
    instances(&peers, pace)?;
    snapshots(pace)
}

fn load(peers: &[Box<dyn Peer>], wasm: &[u8]) -> Result<Vec<Box<dyn Program>>> {
    let load = |(name, peer): (&str, &Box<dyn Peer>)| peer.load(wasm).with_context(|| format!("{name} cannot load it"));
    NAMES.into_iter().zip(peers).map(load).collect()
}

fn work(peers: &[Box<dyn Peer>], pace: &Pace) -> Result<()> {
    let programs = load(peers, &modules::work()?)?;
    let mut sheet = Sheet::new(&["ms"], NAMES.into_iter().chain(["/ best wt"]));
    for (name, about) in WORK {
        eprintln!("  {about}");
        let contestants: Vec<Contestant<'_>> =
            programs.iter().map(|program| -> Contestant<'_> { once_a_store(&**program, name) }).collect();
        let times = times(&race(&contestants, &processors()?[..1], pace)?);
        let cells = times.iter().map(|time| micros(time / 1e3)).chain([beside(&times)]);
        sheet.row([about.to_owned()].into_iter().chain(cells));
    }
    println!("One call, in a store that is made for it.\n\n{sheet}");
    Ok(())
}

fn once_a_store<'a>(program: &'a dyn Program, name: &'static str) -> Contestant<'a> {
    Box::new(move || Ok(Box::new(move |times| (0..times).try_for_each(|_| program.call_once(name)))))
}

fn instances(peers: &[Box<dyn Peer>], pace: &Pace) -> Result<()> {
    let mut sheet = Sheet::new(&["us"], NAMES.into_iter().chain(["/ best wt", "/ without"]));
    let mut without = None;
    for (objects, about) in [(0, "without objects"), (modules::OBJECTS, "10,000 objects in globals")] {
        let programs = load(peers, &modules::globals(objects)?)?;
        let contestants: Vec<_> = programs.iter().map(|program| round_trips(&**program, 1)).collect();
        let times = times(&race(&contestants, &processors()?[..1], pace)?);
        let to_without = without.map_or_else(nothing, |without| ratio(times[0], without));
        without.get_or_insert(times[0]);
        let cells = times.iter().map(|time| micros(*time)).chain([beside(&times), to_without]);
        sheet.row([about.to_owned()].into_iter().chain(cells));
    }
    println!("One round trip: make a store, instantiate, change one object, if there is one, and drop.\n\n{sheet}");
    Ok(())
}

/// minirt alone, because the others cannot keep a heap.
fn snapshots(pace: &Pace) -> Result<()> {
    let peer = Minirt::with_gc()?;
    let heap = peer.load_snapshot(&modules::ten_megabytes_of_objects()?)?;
    let memory = peer.load_snapshot(&modules::ten_megabytes_of_memory()?)?;
    let contestants = [round_trips(&*heap, 1), round_trips(&*memory, 1)];
    let times = times(&race(&contestants, &processors()?[..1], pace)?);
    let mut sheet = Sheet::new(&["us"], ["10 MB of objects", "10 MB of memory", "ratio"]);
    let cells = times.iter().map(|time| micros(*time)).chain([ratio(times[0], times[1])]);
    sheet.row(["from a snapshot of minirt".to_owned()].into_iter().chain(cells));
    println!("One round trip that changes one object, or one number.\n\n{sheet}");
    Ok(())
}

/// Returns nanoseconds.
fn times(rates: &[f64]) -> Vec<f64> {
    rates.iter().map(|rate| 1e9 / rate).collect()
}

/// Returns minirt's figure divided by the best of the others.
fn beside(figures: &[f64]) -> String {
    let best = figures[1..].iter().copied().reduce(f64::min);
    best.map_or_else(String::new, |best| ratio(figures[0], best))
}
