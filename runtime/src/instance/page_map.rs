//! Tells an embedder what each page of an instance is, and who wrote it first.

use crate::call::{FrameInfo, WasmBacktrace};
use crate::cow::{PageKind, Part, SlotRun, Writer};
use crate::store::{AsContext, Instance, StoreInner};
use crate::sys::mapping::page_size;
use anyhow::{Result, anyhow};
use minirt_compiler::instance::layout::MEMORY_RESERVED;
use minirt_compiler::module::MemoryType;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// The pages of an instance, as they are now ([`Instance::page_map`]). Pages are those of the host:
/// 4 KiB.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageMap {
    /// Its state, then the memories that its module defines, then the heap of its store if the
    /// instance brought it: the first one does whose module has structures or arrays.
    pub regions: Vec<PageRegion>,
}

/// The pages of the state, of one memory, or of the heap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageRegion {
    /// The part of the instance.
    pub kind: RegionKind,
    /// All pages, in runs that are sorted and touch. The last run of a memory or heap is
    /// inaccessible if it can still grow.
    pub runs: Vec<PageRun>,
    /// Whether writes outside the hot set fault, so that a reset knows what was written without
    /// asking the kernel.
    pub tracked: bool,
    /// Whether every write of this run was seen, so that [`PageRun::first_writer`] is complete.
    /// False if [`Config::attribute_writes`](crate::Config::attribute_writes) is not set, if the
    /// host was handed all of the memory, or if the process has no memory mappings left.
    pub attributed: bool,
}

/// A part of an instance that has pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegionKind {
    /// The host cell, which is written for each instance, and what code can change besides
    /// memories: globals, tables, sizes.
    State,
    /// The memory of this index in the module's index space.
    Memory(u32),
    /// The heap, where structures and arrays are. The host writes its first page for each instance:
    /// where the next object goes.
    Heap,
}

/// Neighbouring pages that have all in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageRun {
    /// The host's pages, counted from the region's start. Where they have 4 KiB, a memory's page
    /// `n` starts at its byte `4096 * n`.
    pub pages: Range<u64>,
    /// Their kind.
    pub kind: PageKind,
    /// Whether they are in the hot set: writable although the instance is tracked, because earlier
    /// runs wrote them.
    pub hot: bool,
    /// Whether they were added by growing the memory or heap.
    pub grown: bool,
    /// Who first wrote them since the instance was made or reset, if that is known.
    pub first_writer: Option<FirstWriter>,
}

/// The first writer of a page in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FirstWriter {
    /// A function of a module, at the instruction that the frame names.
    Wasm(FrameInfo),
    /// The host: in a host function that this function called, or by itself.
    Host(Option<FrameInfo>),
}

impl FirstWriter {
    /// Returns the function that wrote, or that had called the host function which did.
    pub fn frame(&self) -> Option<&FrameInfo> {
        match self {
            Self::Wasm(frame) => Some(frame),
            Self::Host(frame) => frame.as_ref(),
        }
    }
}

impl PageMap {
    /// Counts the pages of a kind, in all regions.
    pub fn count(&self, kind: PageKind) -> u64 {
        self.regions.iter().map(|region| region.count(kind)).sum()
    }
}

impl PageRegion {
    /// Counts the pages of a kind.
    pub fn count(&self, kind: PageKind) -> u64 {
        self.runs.iter().filter(|run| run.kind == kind).map(PageRun::len).sum()
    }

    /// Counts the pages that can be accessed.
    pub fn accessible(&self) -> u64 {
        self.runs.iter().filter(|run| run.kind != PageKind::Inaccessible).map(PageRun::len).sum()
    }
}

impl PageRun {
    /// Counts the pages.
    #[allow(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> u64 {
        self.pages.end - self.pages.start
    }
}

impl Instance {
    /// Tells what each page of the instance's state, memories and heap is: whether it is shared
    /// with the image, the instance's own, or not even touched. It asks the kernel, and compares
    /// the instance's own pages with the image.
    ///
    /// With [`Config::attribute_writes`](crate::Config::attribute_writes) it also tells which
    /// function first wrote each page in this run, that is, since the instance was made or reset.
    ///
    /// # Errors
    /// Returns an error if the kernel cannot list pages: Linux has been able to since 6.7.
    ///
    /// # Panics
    /// Panics if the instance belongs to another store.
    ///
    /// # Examples
    /// ```
    /// use minirt::{Config, Engine, Instance, Module, PageKind, Store};
    ///
    /// let engine = Engine::new(Config::new().attribute_writes(true))?;
    /// let module = Module::new(&engine, r#"(module (memory 4)
    ///     (func $poke (export "poke") (i32.store (i32.const 8192) (i32.const 7))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// instance.get_typed_func::<(), ()>(&store, "poke")?.call(&mut store, ())?;
    /// let Ok(map) = instance.page_map(&store) else { return Ok(()) }; // The kernel is older than Linux 6.7.
    /// let memory = &map.regions[1];
    /// let written = memory.runs.iter().find(|run| run.kind == PageKind::Changed).unwrap();
    /// assert_eq!(written.pages, 2..3);
    /// let writer = written.first_writer.as_ref().and_then(|writer| writer.frame()).unwrap();
    /// assert_eq!(writer.func_name(), Some("poke"));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn page_map(&self, store: impl AsContext) -> Result<PageMap> {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        let mut names = Names { store, known: FxHashMap::default() };
        let mut regions = vec![region(store, &mut names, self.index, RegionKind::State, None)?];
        let info = store.instance(self.index).prototype.info();
        let (imported, all) = (info.num_imported_memories, info.memories.len() as u32);
        for (memory, index) in (imported..all).zip(self.with_extra_memories(store)) {
            let ty = info.memories[memory as usize];
            regions.push(region(store, &mut names, index, RegionKind::Memory(memory), Some(ty))?);
        }
        if let Some(heap) = self.heap_instance(store) {
            let ty = store.instance(heap).prototype.info().memories[0];
            regions.push(region(store, &mut names, heap, RegionKind::Heap, Some(ty))?);
        }
        Ok(PageMap { regions })
    }
}

/// Describes the state of an instance, or its memory, if the type of one is given.
fn region(
    store: &StoreInner,
    names: &mut Names<'_>,
    index: u32,
    kind: RegionKind,
    memory: Option<MemoryType>,
) -> Result<PageRegion> {
    let data = store.instance(index);
    let part = if memory.is_some() { Part::Memory } else { Part::State };
    let unavailable = |_| anyhow!("the kernel cannot list an instance's pages (Linux can since version 6.7)");
    let pages = data.slot.view().pages(part).map_err(unavailable)?;
    let mut runs: Vec<PageRun> = pages.runs.into_iter().map(|run| names.run(run)).collect();
    if let Some(ty) = memory {
        let accessible = runs.last().map_or(0, |run| run.pages.end);
        let most =
            ty.maximum().map_or(MEMORY_RESERVED, |pages| pages.saturating_mul(ty.page_size()).min(MEMORY_RESERVED));
        let rest = accessible..most.div_ceil(page_size() as u64);
        if !rest.is_empty() {
            let (kind, hot, grown) = (PageKind::Inaccessible, false, false);
            runs.push(PageRun { pages: rest, kind, hot, grown, first_writer: None });
        }
    }
    Ok(PageRegion { kind, runs, tracked: pages.tracked, attributed: pages.attributed })
}

/// The functions at addresses of a store's code, each looked up once.
struct Names<'a> {
    store: &'a StoreInner,
    known: FxHashMap<usize, Option<FrameInfo>>,
}

impl Names<'_> {
    fn run(&mut self, run: SlotRun) -> PageRun {
        let SlotRun { pages, kind, hot, grown, writer } = run;
        PageRun { pages, kind, hot, grown, first_writer: writer.map(|writer| self.writer(writer)) }
    }

    fn writer(&mut self, writer: Writer) -> FirstWriter {
        let store = self.store;
        let frame = self.known.entry(writer.pc).or_insert_with(|| WasmBacktrace::locate(store, writer.pc)).clone();
        match frame {
            Some(frame) if !writer.host => FirstWriter::Wasm(frame),
            frame => FirstWriter::Host(frame),
        }
    }
}
