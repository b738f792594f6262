//! Exceptions: thrown and caught in one function and through many, and what code costs that could
//! catch them.

use crate::contestants::{Minirt, Wasmtime};
use crate::modules::COPIES;
use crate::race::{Contestant, Lap, Pace, processors, race, race_anywhere};
use crate::report::{Sheet, kib, micros, nanos, ratio};
use crate::work::{Peer, Program};
use anyhow::{Context, Result};
use minirt_runtimes::wasmtime::Collector;
use std::fmt::Write;

/// minirt, and wasmtime with each of its collectors.
const NAMES: [&str; 4] = ["minirt", "wt drc", "wt copying", "wt null"];

/// Exceptions, or turns of a loop, in one call.
const TIMES: u32 = 1000;

/// What a copy of each function does: the name of the export, what is measured, and the body of the
/// loop.
const ROWS: [(&str, &str, &str); 7] = [
    ("never", "a call in a `try_table` that never throws", "(try_table (catch $e $caught) (call $leaf (i32.const 0)))"),
    ("plain", "the same without `try_table`", "(call $leaf (i32.const 0))"),
    ("here", "thrown and caught in one function", "(try_table (catch $e $caught) (throw $e (local.get $n)))"),
    ("frames1", "through 1 frame", "(try_table (catch $e $caught) (call $down (i32.const 0)))"),
    ("frames10", "through 10 frames", "(try_table (catch $e $caught) (call $down (i32.const 9)))"),
    ("frames100", "through 100 frames", "(try_table (catch $e $caught) (call $down (i32.const 99)))"),
    ("again", "through 1 frame, with a reference, and again", "(try_table (catch $e $caught) (call $cleanup))"),
];

fn module() -> Result<Vec<u8>> {
    let mut text = String::from(
        r#"(module (tag $e (param i32))
             (func $leaf (param i32) (if (local.get 0) (then (throw $e (i32.const 1)))))
             (func $down (param i32)
               (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 1))))
               (call $down (i32.sub (local.get 0) (i32.const 1))))
             (func $cleanup
               (block $b (result exnref) (try_table (catch_all_ref $b) (call $leaf (i32.const 1))) (return))
               throw_ref)"#,
    );
    for copy in 0..COPIES {
        for (name, _, body) in ROWS {
            write!(
                text,
                r#"(func (export "{name}{copy}") (local $n i32)
                     (local.set $n (i32.const {TIMES}))
                     (loop $next
                       (block $done (block $caught (result i32) {body} (br $done)) (drop))
                       (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"#
            )?;
        }
    }
    text.push(')');
    Ok(wat::parse_str(text)?)
}

/// A module of which every function has handlers around every call.
fn handlers() -> Result<Vec<u8>> {
    let mut text = String::from(
        "(module (tag $a (param i32)) (tag $b (param i32)) (func $f0 (param i32) (result i32) (local.get 0))\n",
    );
    for n in 1..2000 {
        writeln!(
            text,
            "(func $f{n} (export \"f{n}\") (param i32) (result i32)
               (block $out (result i32)
                 (try_table (result i32) (catch $a $out)
                   (try_table (result i32) (catch $b $out)
                     (call $f{} (i32.add (local.get 0) (i32.const {n})))
                     (call $f{} (i32.mul (local.get 0) (i32.const {n}))) i32.xor)
                   (call $f{} (local.get 0)) i32.add)))",
            n - 1,
            n / 2,
            n / 3
        )?;
    }
    text.push(')');
    Ok(wat::parse_str(text)?)
}

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers: [Box<dyn Peer>; 4] = [
        Box::new(Minirt::new()?),
        Box::new(Wasmtime::with_collector(Collector::DeferredReferenceCounting)?),
        Box::new(Wasmtime::with_collector(Collector::Copying)?),
        Box::new(Wasmtime::with_collector(Collector::Null)?),
    ];
    let wasm = module()?;
    let load =
        |(name, peer): (&str, &Box<dyn Peer>)| peer.load(&wasm).with_context(|| format!("{name} did not load it"));
    let programs: Vec<Box<dyn Program>> = NAMES.into_iter().zip(&peers).map(load).collect::<Result<_>>()?;
    let mut sheet = Sheet::new(&["ns"], NAMES.into_iter().chain(["/ best wt"]));
    for (name, label, _) in ROWS {
        // The collector that never frees runs out of room in a while: it gets a new store for each
        // call.
        let contestants: Vec<Contestant<'_>> =
            programs.iter().map(|program| -> Contestant<'_> { Box::new(move || fresh(&**program, name)) }).collect();
        let rates = race(&contestants, &processors()?[..1], pace)?;
        let times: Vec<f64> = rates.iter().map(|rate| 1e9 / rate / f64::from(TIMES * COPIES)).collect();
        sheet.row([label.to_owned()].into_iter().chain(times.iter().map(|time| nanos(*time))).chain([beside(&times)]));
    }
    println!("{TIMES} times in a loop, its own cost included, in a store that is made for every {}.", TIMES * COPIES);
    println!("\n{sheet}");
    compile(&peers, pace)
}

fn fresh<'a>(program: &'a dyn Program, name: &'static str) -> Result<Lap<'a>> {
    Ok(Box::new(move |times| (0..times).try_for_each(|_| program.calls_of(name)?(1))))
}

fn compile(peers: &[Box<dyn Peer>], pace: &Pace) -> Result<()> {
    let wasm = handlers()?;
    let contestants = peers.iter().map(|peer| -> Contestant<'_> {
        Box::new(|| Ok(Box::new(|times| (0..times).try_for_each(|_| peer.compile(&wasm).map(drop)))))
    });
    let rates = race_anywhere(&contestants.collect::<Vec<_>>(), pace)?;
    let times: Vec<f64> = rates.iter().map(|rate| 1e9 / rate).collect();
    let sizes = peers.iter().map(|peer| Ok(peer.compile(&wasm)?.unwrap_or_default() as f64));
    let sizes: Vec<f64> = sizes.collect::<Result<_>>()?;
    let mut sheet = Sheet::new(&["2,000 functions full of handlers"], NAMES.into_iter().chain(["/ best wt"]));
    let cells = times.iter().map(|time| micros(*time)).chain([beside(&times)]);
    sheet.row(["compiling, us".to_owned()].into_iter().chain(cells));
    let cells = sizes.iter().map(|size| kib(*size)).chain([beside(&sizes)]);
    sheet.row(["code, KiB".to_owned()].into_iter().chain(cells));
    println!("{sheet}");
    Ok(())
}

/// Returns minirt's figure divided by the best of the others.
fn beside(figures: &[f64]) -> String {
    let best = figures[1..].iter().copied().reduce(f64::min);
    best.map_or_else(String::new, |best| ratio(figures[0], best))
}
