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
    /// How many of them a memory or the heap had grown by.
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
    /// How many pages were written by which a memory had grown, the heap left out.
    pub(crate) grown_memory: u64,
    /// Whether all writers are known.
    pub(crate) complete: bool,
}

impl Writers {
    /// Reads them from the maps of a run, each with what was called before.
    pub(crate) fn of(maps: &[(String, &PageMap)]) -> Self {
        let Some((_, last)) = maps.last() else { return Self::default() };
        let mut found: BTreeMap<Who<'_>, Writer> = BTreeMap::new();
        for (during, map) in maps {
            for run in map.regions.iter().flat_map(|region| &region.runs) {
                let Some(writer) = &run.first_writer else { continue };
                let new = || Writer { name: name(writer), pages: 0, grown: 0, during: during.clone() };
                found.entry(who(writer)).or_insert_with(new);
            }
        }
        for run in last.regions.iter().flat_map(|region| &region.runs) {
            let writer = run.first_writer.as_ref().and_then(|writer| found.get_mut(&who(writer)));
            if let Some(writer) = writer {
                writer.pages += run.len();
                writer.grown += if run.grown { run.len() } else { 0 };
            }
        }
        // What a call in the middle wrote is in the last map, too, unless it did not stay written.
        found.retain(|_, writer| writer.pages > 0);
        tell_namesakes_apart(&mut found);
        let mut all: Vec<(Who<'_>, Writer)> = found.into_iter().collect();
        all.sort_by(|(_, a), (_, b)| b.pages.cmp(&a.pages).then_with(|| a.name.cmp(&b.name)));
        let index = |writer: &FirstWriter| all.iter().position(|(known, _)| *known == who(writer));
        let pages = last.regions.iter().map(|region| {
            let writer = |run: &PageRun| Some((run.pages.clone(), index(run.first_writer.as_ref()?)?));
            (region.kind, region.runs.iter().filter_map(writer).collect())
        });
        let pages = pages.collect();
        let complete = last.regions.iter().all(|region| region.attributed);
        let memories = last.regions.iter().filter(|region| matches!(region.kind, RegionKind::Memory(_)));
        let grown = memories.flat_map(|region| &region.runs).filter(|run| run.grown && run.first_writer.is_some());
        let grown_memory = grown.map(PageRun::len).sum();
        Self { pages, list: all.into_iter().map(|(_, writer)| writer).collect(), grown_memory, complete }
    }
}

/// Tells writers apart: whether the host wrote, and the function's module and index.
type Who<'a> = (bool, Option<(Option<&'a str>, u32)>);

fn who(writer: &FirstWriter) -> Who<'_> {
    let function = writer.frame().map(|frame| (frame.module_name(), frame.func_index()));
    (!matches!(writer, FirstWriter::Wasm(_)), function)
}

fn name(writer: &FirstWriter) -> String {
    match writer {
        FirstWriter::Wasm(frame) => function(frame),
        FirstWriter::Host(Some(frame)) => format!("the host, for {}", function(frame)),
        _ => "the host".to_owned(),
    }
}

fn function(frame: &FrameInfo) -> String {
    frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()), printable::name)
}

/// Adds their index and module to the names of functions of one name.
fn tell_namesakes_apart(found: &mut BTreeMap<Who<'_>, Writer>) {
    let names: Vec<String> = found.values().map(|writer| writer.name.clone()).collect();
    for ((_, function), writer) in found.iter_mut() {
        if let Some((module, index)) = function
            && names.iter().filter(|name| **name == writer.name).count() > 1
        {
            let module = module.map_or_else(String::new, |module| format!(" of {}", printable::name(module)));
            writer.name = format!("{} (function {index}{module})", writer.name);
        }
    }
}
