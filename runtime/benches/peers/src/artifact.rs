//! Precompiled modules: from a file on disk to a module, and to an instance that has run.

use crate::contestants::{NAMES, RATIOS, peers, ratios_of_times};
use crate::modules::{BULK, bulky};
use crate::race::{Contestant, Lap, Pace, processors, race};
use crate::report::{Sheet, micros, nothing};
use crate::work::Peer;
use anyhow::{Context, Result};
use std::path::PathBuf;

pub(crate) fn measure(pace: &Pace) -> Result<()> {
    let peers = peers()?;
    let wasm = bulky()?;
    let artifacts = peers.iter().zip(NAMES).map(|(peer, name)| Artifact::write(peer.as_ref(), name, &wasm));
    let artifacts: Vec<Option<Artifact<'_>>> = artifacts.collect::<Result<_>>()?;

    let mut sheet = Sheet::new(&["us"], NAMES.into_iter().chain(RATIOS));
    for (label, runs) in [("load, drop", false), ("load, instantiate, call, drop", true)] {
        let contestants: Vec<_> = artifacts.iter().flatten().map(|artifact| artifact.contestant(runs)).collect();
        let mut rates = race(&contestants, &processors()?[..1], pace)?.into_iter();
        let mut times = [None; NAMES.len()];
        for (time, _) in times.iter_mut().zip(&artifacts).filter(|(_, artifact)| artifact.is_some()) {
            *time = rates.next().map(|rate| 1e9 / rate);
        }
        let cells = times.iter().map(|time| time.map_or_else(nothing, micros));
        sheet.row([label.to_owned()].into_iter().chain(cells).chain(ratios_of_times(&times)));
    }
    let size = |artifact: &Option<Artifact<'_>>| artifact.as_ref().map_or_else(nothing, |a| (a.size >> 10).to_string());
    let sizes = artifacts.iter().map(size);
    sheet.row(["size of the file, KiB".to_owned()].into_iter().chain(sizes).chain([nothing(), nothing()]));

    println!("{BULK} functions, about 1 MB of machine code. The files are in the page cache.");
    println!("\n{sheet}");
    Ok(())
}

/// A precompiled module on disk, deleted at the end.
struct Artifact<'a> {
    peer: &'a dyn Peer,
    path: PathBuf,
    size: usize,
}

impl<'a> Artifact<'a> {
    /// None where the runtime has no such thing.
    fn write(peer: &'a dyn Peer, name: &str, wasm: &[u8]) -> Result<Option<Self>> {
        let Some(bytes) = peer.precompile(wasm)? else { return Ok(None) };
        let file = format!("minirt-peers-{}-{}.cwasm", std::process::id(), name.replace([' ', '+'], "-"));
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, &bytes).with_context(|| format!("could not write `{}`", path.display()))?;
        Ok(Some(Self { peer, path, size: bytes.len() }))
    }

    fn load_and_maybe_run(&self, runs: bool) -> Result<()> {
        // SAFETY: the same runtime has written the file, under a name of this process, and nobody
        // else changes it.
        let guest = unsafe { self.peer.load_precompiled(&self.path) }?;
        if runs { guest.round_trips(1, 1) } else { Ok(()) }
    }

    fn contestant(&self, runs: bool) -> Contestant<'_> {
        Box::new(move || {
            let lap: Lap<'_> = Box::new(move |times| (0..times).try_for_each(|_| self.load_and_maybe_run(runs)));
            Ok(lap)
        })
    }
}

impl Drop for Artifact<'_> {
    fn drop(&mut self) {
        // Best effort: a file that stays behind in the folder for temporary files does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
