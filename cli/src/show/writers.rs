//! Which functions wrote which pages first.

use crate::output::printable;
use minirt::{FirstWriter, FrameInfo, PageMap, PageRun, RegionKind};
use std::collections::BTreeMap;

/// A function that wrote pages, and how many it was the first to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its name, or its number. Control characters are escaped.
    pub(crate) name: String,
    pub(crate) pages: u64,
    /// How many of them a memory had grown by.
    pub(crate) grown: u64,
    /// The call during which it first wrote one.
    pub(crate) during: String,
}

/// Pages with the index of who wrote them first.
pub(crate) type WrittenRun = (std::ops::Range<u64>, usize);

/// Who wrote what in one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writers {
    /// Those who wrote most first.
    pub(crate) list: Vec<Writer>,
    /// For each region, the pages that were written.
    pub(crate) pages: Vec<(RegionKind, Vec<WrittenRun>)>,
    /// Whether all writers are known.
    pub(crate) complete: bool,
}

impl Writers {
    /// Reads them from the maps of a run, each with what was called before.
    pub(crate) fn of(maps: &[(String, &PageMap)]) -> Self {
        let Some((_, last)) = maps.last() else { return Self::default() };
        let mut found: BTreeMap<String, Writer> = BTreeMap::new();
        for (during, map) in maps {
            for (name, _) in map.regions.iter().flat_map(|region| &region.runs).filter_map(named) {
                let new = Writer { name: name.clone(), pages: 0, grown: 0, during: during.clone() };
                found.entry(name).or_insert(new);
            }
        }
        for (name, run) in last.regions.iter().flat_map(|region| &region.runs).filter_map(named) {
            if let Some(writer) = found.get_mut(&name) {
                writer.pages += run.len();
                writer.grown += if run.grown { run.len() } else { 0 };
            }
        }
        let mut list: Vec<Writer> = found.into_values().collect();
        list.sort_by(|a, b| b.pages.cmp(&a.pages).then_with(|| a.name.cmp(&b.name)));
        let index = |name: &str| list.iter().position(|writer| writer.name == name).unwrap_or(0);
        let pages = last.regions.iter().map(|region| {
            let runs = region.runs.iter().filter_map(named);
            (region.kind, runs.map(|(name, run)| (run.pages.clone(), index(&name))).collect())
        });
        let complete = last.regions.iter().all(|region| region.attributed);
        Self { pages: pages.collect(), list, complete }
    }
}

fn named(run: &PageRun) -> Option<(String, &PageRun)> {
    let name = match run.first_writer.as_ref()? {
        FirstWriter::Wasm(frame) => function(frame),
        FirstWriter::Host(Some(frame)) => format!("the host, for {}", function(frame)),
        _ => "the host".to_owned(),
    };
    Some((name, run))
}

fn function(frame: &FrameInfo) -> String {
    frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()), printable::name)
}
