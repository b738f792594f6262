//! Compiling real programs: how long, and how much machine code comes of it.

use crate::contestants::{NAMES, RATIOS, peers, ratios_of_times};
use crate::race::{Contestant, Lap, Pace, race_anywhere};
use crate::report::{Sheet, kib, micros, nothing};
use crate::work::Peer;
use anyhow::{Context, Result};
use std::path::Path;

/// The guests of `examples/guests` that are compiled: an interpreter, scalar kernels, and kernels
/// of SIMD instructions.
const GUESTS: [&str; 3] = ["lisp", "kernels", "vectors"];

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers = peers()?;
    let mut sheet = Sheet::new(&["guest", "figure"], NAMES.into_iter().chain(RATIOS));
    for guest in GUESTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../../examples/guests/{guest}.wasm"));
        let wasm = std::fs::read(&path).with_context(|| format!("could not read `{}`", path.display()))?;
        let row = |figure: &str| [format!("{guest}, {} KiB", wasm.len() >> 10), figure.to_owned()];
        let sizes = peers.iter().map(|peer| Ok(peer.compile(&wasm)?.map(|bytes| bytes as f64)));
        let sizes: Vec<Option<f64>> = sizes.collect::<Result<_>>()?;
        let compilers = peers.iter().zip(&sizes).filter(|(_, size)| size.is_some());
        let compilers: Vec<_> = compilers.map(|(peer, _)| contestant(peer.as_ref(), &wasm)).collect();
        let mut rates = race_anywhere(&compilers, pace)?.into_iter();
        let times = sizes.iter().map(|size| size.and_then(|_| Some(1e9 / rates.next()?)));
        let times: Vec<Option<f64>> = times.collect();
        let cells = times.iter().map(|time| time.map_or_else(nothing, micros));
        sheet.row(row("us").into_iter().chain(cells).chain(ratios_of_times(&times)));
        let cells = sizes.iter().map(|size| size.map_or_else(nothing, kib));
        sheet.row(row("code, KiB").into_iter().chain(cells).chain(ratios_of_times(&sizes)));
    }
    println!("From bytes to a module that can be instantiated, with the threads that each runtime takes by itself.");
    println!("Code counts constants and trampolines.");
    println!("\n{sheet}");
    Ok(())
}

fn contestant<'a>(peer: &'a dyn Peer, wasm: &'a [u8]) -> Contestant<'a> {
    Box::new(move || {
        let lap: Lap<'_> = Box::new(move |times| (0..times).try_for_each(|_| peer.compile(wasm).map(drop)));
        Ok(lap)
    })
}
