//! Writes the metadata of a module, and puts a compiled module together again from it and the other
//! sections.

use super::error::ArtifactError;
use super::wire::{Damaged, Inline, Reader, Wire, Writer, structs};
use crate::base::bytes::{Bytes, RecordTable};
use crate::base::sorted_table::SortedTable;
use crate::base::sparse::SparseBytes;
use crate::instance::call_sites::CallSites;
use crate::instance::code::{AddressMapEntry, Code, CodeTables, FuncRange, InlinedCode, TrapSite};
use crate::instance::compiled::Compiled;
use crate::instance::image::{Extent, InitialImage, MemoryImage, Remaining};
use crate::instance::layout::{Layout, MEMORY_RESERVED};
use crate::module::ModuleInfo;
use std::ops::Range;

/// An image with its gaps may have this many bytes, or twice the bytes of its extents, to be stored
/// as it is. A larger one is stored without the gaps, and a loader has to put the extents into
/// place.
const SMALL_IMAGE: u64 = 1 << 20;

/// A compiled module without its text and memory.
pub(super) struct Description {
    module: ModuleInfo,
    sizes: Sizes,
    code: CodeOnFile,
    image: ImageOnFile,
    pub(super) memory: MemoryPlan,
}

/// The sizes of the layout that the code was made for. The layout itself follows from the module.
#[derive(PartialEq, Eq)]
struct Sizes {
    host: u64,
    state: u64,
    room: u64,
    mutable: Range<i32>,
    constants: Range<i32>,
}

/// A text's length, and its tables. Code jumps to where functions and handlers start, so the first
/// digest covers that, and where references are. What only explains the text is set aside, and
/// trusted as far as the text is.
struct CodeOnFile {
    text_len: usize,
    funcs: Inline,
    entries: Vec<(u32, u32)>,
    exits: Vec<(u32, u32)>,
    traps: SortedTable<TrapSite>,
    address_map: SortedTable<AddressMapEntry>,
    inlined: SortedTable<InlinedCode>,
    handled: Inline,
    handlers: Inline,
    references: Inline,
}

/// [`InitialImage`] without its memory, and without the pages of zeros in the state.
struct ImageOnFile {
    state_len: usize,
    /// Where each run of pages starts in the state, and what is there.
    state: Vec<(usize, Inline)>,
    memory_size: u64,
    extra_memories: Vec<MemoryImage>,
    heap: Option<MemoryImage>,
    remaining: Remaining,
}

/// Which extents are in the memory section.
pub(super) struct MemoryPlan {
    /// Where each is in memory, and its length.
    extents: Vec<(u64, u64)>,
    /// Whether the section shows memory from its first byte on, with the gaps. Otherwise it has one
    /// extent after the other.
    pub(super) flat: bool,
}

structs! {
    Description { module sizes code image memory }
    Sizes { host state room mutable constants }
    CodeOnFile { text_len funcs entries exits traps address_map inlined handled handlers references }
    ImageOnFile { state_len state memory_size extra_memories heap remaining }
    Remaining { globals tables element_values first_element first_data start snapshot }
    MemoryPlan { extents flat }
    MemoryImage { size extents }
    Extent { offset bytes }
}

impl Description {
    /// Returns the description of a compiled module.
    pub(super) fn of(compiled: &Compiled) -> Self {
        let Compiled { module, layout, image, code } = compiled;
        Self {
            module: module.clone(),
            sizes: Sizes::of(layout),
            code: CodeOnFile::of(code),
            image: ImageOnFile::of(image),
            memory: MemoryPlan::of(&image.memory),
        }
    }

    /// Returns the compiled module, with these sections, which consist of pages of `page` bytes.
    ///
    /// # Errors
    /// Returns an error if the parts do not fit together. Only what will be used without another
    /// check is checked here: where things are, and how many. The digest vouches for indices in the
    /// description.
    pub(super) fn complete(self, text: &Bytes, memory: &Bytes, page: u64) -> Result<Compiled, ArtifactError> {
        let Self { module, sizes, code, image, memory: plan } = self;
        check_counts(&module)?;
        let layout = Layout::new(&module, page).map_err(|_| unfit("its layout"))?;
        if sizes != Sizes::of(&layout) {
            return Err(ArtifactError::damaged("another build of this version laid its instances out differently"));
        }
        let code = code.complete(text, page as usize).ok_or_else(|| unfit("its code"))?;
        if code.tables.funcs.len() + module.num_imported_funcs as usize != module.funcs.len() {
            return Err(unfit("its functions"));
        }
        let own = module.memories.len() - module.num_imported_memories as usize;
        let fits = |other: &MemoryImage| {
            let accessible = other.size.checked_next_multiple_of(page);
            accessible.is_some_and(|size| MemoryPlan::of(&other.extents).places(size, page).is_some())
        };
        let heap = image.heap.is_some() == module.needs_heap() && image.heap.iter().all(fits);
        if image.extra_memories.len() != own.saturating_sub(1) || !image.extra_memories.iter().all(fits) || !heap {
            return Err(unfit("its memories"));
        }
        let extents = plan.extents(memory, image.memory_size, page).ok_or_else(|| unfit("its memory"))?;
        let image = image.complete(&layout, extents).ok_or_else(|| unfit("its state"))?;
        Ok(Compiled { module, layout, image, code })
    }
}

fn unfit(what: &str) -> ArtifactError {
    ArtifactError::damaged(format!("{what} does not fit together"))
}

/// Checks the counts and sizes that the layout relies on, and the ranges that would be used only
/// when an instruction runs.
fn check_counts(info: &ModuleInfo) -> Result<(), ArtifactError> {
    let spaces = [
        (info.num_imported_funcs, info.funcs.len()),
        (info.num_imported_tables, info.tables.len()),
        (info.num_imported_memories, info.memories.len()),
        (info.num_imported_globals, info.globals.len()),
        (info.num_imported_tags, info.tags.len()),
    ];
    let spaces = spaces.iter().all(|(imported, all)| *imported as usize <= *all);
    let grouped: u64 = info.rec_groups.iter().copied().map(u64::from).sum();
    let types = info.canonical_types.len() == info.types.len() && grouped == info.types.len() as u64;
    let exports = info.exports_by_name.iter().all(|at| (*at as usize) < info.exports.len());
    let data = info.data.iter().all(|segment| info.data_bytes.get(segment.bytes.clone()).is_some());
    let sizes = info.memories.iter().all(|ty| ty.check().is_ok()) && info.tables.iter().all(|ty| ty.check().is_ok());
    if spaces && types && exports && data && sizes { Ok(()) } else { Err(unfit("its description")) }
}

impl Sizes {
    fn of(layout: &Layout) -> Self {
        let Layout { host_size, state_size, state_room, mutable, constants, .. } = layout;
        let (mutable, constants) = (mutable.clone(), constants.clone());
        Self { host: *host_size, state: *state_size, room: *state_room, mutable, constants }
    }
}

impl CodeOnFile {
    fn of(code: &Code) -> Self {
        let Code { text, tables } = code.clone();
        let CodeTables { funcs, entries, exits, traps, address_map, inlined, call_sites } = tables;
        let CallSites { handled, handlers, references } = call_sites;
        Self {
            text_len: text.len(),
            funcs: Inline(funcs.as_bytes().clone()),
            entries,
            exits,
            traps,
            address_map,
            inlined,
            handled: Inline(handled.as_bytes().clone()),
            handlers: Inline(handlers.as_bytes().clone()),
            references: Inline(references.as_bytes().clone()),
        }
    }

    /// Returns the code with its text, which is the start of a section of whole pages. `None` if
    /// something is outside the text.
    fn complete(self, section: &Bytes, page: usize) -> Option<Code> {
        let Self { text_len, funcs, entries, exits, traps, address_map, inlined, handled, handlers, references } = self;
        let call_sites = CallSites {
            handled: RecordTable::from_bytes(handled.0),
            handlers: RecordTable::from_bytes(handlers.0),
            references: RecordTable::from_bytes(references.0),
        };
        let text = section.part(0..text_len)?;
        let funcs = RecordTable::<FuncRange>::from_bytes(funcs.0);
        let inside = funcs.iter().all(|func| func.start <= func.end && func.end as usize <= text_len)
            && call_sites.are_inside(text_len)
            && entries.iter().chain(&exits).all(|(_, offset)| (*offset as usize) < text_len)
            && section.len() == text_len.checked_next_multiple_of(page)?;
        let tables = CodeTables { funcs, entries, exits, traps, address_map, inlined, call_sites };
        inside.then_some(Code { text, tables })
    }
}

impl ImageOnFile {
    fn of(image: &InitialImage) -> Self {
        // The memory has a section of its own.
        let InitialImage { state, memory: _, memory_size, extra_memories, heap, remaining } = image;
        Self {
            state_len: state.len(),
            state: state.runs().into_iter().map(|(at, run)| (at, Inline(run.into()))).collect(),
            memory_size: *memory_size,
            extra_memories: extra_memories.clone(),
            heap: heap.clone(),
            remaining: remaining.clone(),
        }
    }

    /// Returns the image with its memory. `None` if the state is shorter or longer than the layout
    /// allows. In a snapshot, tables may have grown.
    fn complete(self, layout: &Layout, memory: Vec<Extent>) -> Option<InitialImage> {
        let Self { state_len, state: runs, memory_size, extra_memories, heap, remaining } = self;
        if !(layout.state_size..=layout.state_room).contains(&(state_len as u64)) {
            return None;
        }
        let mut state = SparseBytes::new(state_len);
        for (at, Inline(bytes)) in runs {
            at.checked_add(bytes.len()).filter(|end| *end <= state_len)?;
            state.put(at, &bytes);
        }
        Some(InitialImage { state, memory, memory_size, extra_memories, heap, remaining })
    }
}

impl MemoryPlan {
    fn of(extents: &[Extent]) -> Self {
        let extents: Vec<(u64, u64)> = extents.iter().map(|it| (it.offset, it.bytes.len() as u64)).collect();
        let used: u64 = extents.iter().map(|(_, len)| len).sum();
        let span = extents.last().map_or(0, |(offset, len)| offset + len);
        Self { extents, flat: span <= SMALL_IMAGE.max(2 * used) }
    }

    /// Returns where each extent is in the section, and the section's length. `None` unless the
    /// extents are sorted, apart, whole pages and within a memory of `memory_size` bytes.
    fn places(&self, memory_size: u64, page: u64) -> Option<(Vec<Range<usize>>, usize)> {
        if memory_size > MEMORY_RESERVED || !memory_size.is_multiple_of(page) {
            return None;
        }
        let (mut free, mut used) = (0, 0);
        let mut places = Vec::new();
        for (offset, len) in self.extents.iter().copied() {
            let end = offset.checked_add(len).filter(|end| *end <= memory_size)?;
            let pages = offset.is_multiple_of(page) && len.is_multiple_of(page);
            if offset < free || len == 0 || !pages {
                return None;
            }
            free = end;
            let at = if self.flat { offset } else { used };
            used = at + len;
            places.push(at as usize..used as usize);
        }
        Some((places, used as usize))
    }

    /// Returns the section, with the bytes of the image's extents in their places.
    pub(super) fn section(&self, image: &InitialImage, page: u64) -> Vec<u8> {
        let (places, len) = self.places(image.memory_size, page).expect("an image has its memory in order");
        let mut section = vec![0; len];
        for (place, extent) in places.into_iter().zip(&image.memory) {
            section[place].copy_from_slice(&extent.bytes);
        }
        section
    }

    /// Returns the extents, as parts of the section.
    fn extents(&self, section: &Bytes, memory_size: u64, page: u64) -> Option<Vec<Extent>> {
        let (places, _) = self.places(memory_size, page).filter(|(_, len)| *len == section.len())?;
        let extent = |(place, (offset, _)): (Range<usize>, &(u64, u64))| {
            Some(Extent { offset: *offset, bytes: section.part(place)? })
        };
        places.into_iter().zip(&self.extents).map(extent).collect()
    }
}
