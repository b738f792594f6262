//! Represents images: an instance as it stands before any of its code ran, as bytes and as files to
//! map.
//!
//! It is made once for each module or snapshot and never changes. Offsets count from the start of a
//! slot (`minirt_compiler::instance::layout` has the picture). Nothing here maps anything into a
//! slot: that is `cow`.

use super::page_set::Page;
use super::policy::Habits;
use crate::sys::mapping::page_size;
use crate::sys::memfd::ImageFile;
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::base::sparse::SparseBytes;
use minirt_compiler::instance::image::Extent;
use minirt_compiler::instance::layout::{MEMORY, VMCTX};
use rustix::io::{Errno, Result};
use std::ops::Range;
use std::sync::Arc;

/// Where linear memory 0 starts in a slot.
pub(crate) const MEMORY_AT: usize = VMCTX as usize + MEMORY as usize;

/// Memories up to this size are in their file as a whole, zeros included: one mapping instead of
/// two. Zeros that are read take room in the file then, once for all instances.
const WHOLE_FILE: usize = 1 << 20;

/// The contents that every slot of a module starts with.
#[derive(Debug)]
pub(crate) struct Image {
    /// The state where it is not zero: sorted. Between tables there can be megabytes of room.
    pub(crate) state: Vec<Content>,
    /// Bytes of the state, without zeros at its end.
    state_len: usize,
    /// Memory where it is not zero: sorted.
    pub(crate) extents: Vec<Content>,
    /// The parts of the state that every reset copies back: small, and at the start.
    pub(crate) head: [Range<usize>; 2],
    /// The part of the state that a reset copies back only if somebody has asked to write it.
    pub(crate) constants: Range<usize>,
    /// The pages of the state after the head that can be written: tables, with room for them to
    /// grow.
    tables: Range<usize>,
    /// Bytes of host cell and state: whole pages.
    pub(crate) room: usize,
    /// Bytes of memory that an instance starts with: whole pages.
    pub(crate) memory: usize,
    /// The same as files to map, or why there are none. Then slots are filled by copying.
    pub(crate) files: std::result::Result<Files, NoFiles>,
    /// Remembers what its instances write.
    pub(crate) habits: Habits,
}

/// A part of an image.
#[derive(Debug)]
pub(crate) struct Content {
    /// Where it is, from the slot's start.
    pub(crate) range: Range<usize>,
    /// The bytes there.
    pub(crate) bytes: Bytes,
}

/// Why an image has no files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFiles {
    /// Nobody wants any.
    Unwanted,
    /// The system made none.
    Refused(Errno),
}

#[derive(Debug)]
pub(crate) struct Files {
    /// Host cell and state with its room.
    pub(crate) state: ImageFile,
    /// Memory up to its last extent, or all of it.
    pub(crate) memory: Option<ImageFile>,
}

/// The parts that an image is made from. Offsets count bytes from the slot's start.
#[derive(Debug, Default)]
pub(crate) struct ImageParts {
    /// Where the state starts.
    pub(crate) state_at: usize,
    pub(crate) state: SparseBytes,
    /// The part of the state that can change at any time, but for the tables.
    pub(crate) mutable: Range<usize>,
    /// The part after that which seldom changes.
    pub(crate) constants: Range<usize>,
    /// The part after these: tables, with their room.
    pub(crate) tables: Range<usize>,
    /// Where all of it ends: whole pages.
    pub(crate) room: usize,
    /// Memory where it is not zero: sorted, whole pages. These offsets count from the start of
    /// memory.
    pub(crate) extents: Vec<Extent>,
    /// Bytes of memory: whole pages.
    pub(crate) memory: usize,
    /// A file that has the memory already, as far as the last extent.
    pub(crate) memory_file: Option<ImageFile>,
}

impl Image {
    /// Makes images that belong together: of a module's instances, and of its further memories.
    /// `mapped` says whether they are files to map, or only bytes to copy. Where the system makes
    /// no file, they are always bytes to copy.
    pub(crate) fn together(all: Vec<ImageParts>, mapped: bool) -> Vec<Self> {
        let (mut images, memories): (Vec<Self>, Vec<_>) = all.into_iter().map(Self::in_bytes).unzip();
        if mapped && let Err(error) = map(&mut images, memories) {
            images.iter_mut().for_each(|image| image.files = Err(NoFiles::Refused(error)));
        }
        images
    }

    /// Makes an image without files. Also returns the file of its memory that there is already.
    fn in_bytes(parts: ImageParts) -> (Self, Option<ImageFile>) {
        let ImageParts { state_at, state, mutable, constants, tables, room, extents, memory, memory_file } = parts;
        let head_end = mutable.end.next_multiple_of(page_size());
        let in_head = tables.start.min(head_end)..head_end.min(tables.end);
        let behind = (tables.start & !(page_size() - 1)).max(head_end)..tables.end.next_multiple_of(page_size());
        let tables = if behind.is_empty() { room..room } else { behind };
        let content = |start: usize, bytes: Bytes| Content { range: start..start + bytes.len(), bytes };
        let state_len = state.len();
        let state = state.runs().into_iter().map(|(at, run)| content(state_at + at, run.into())).collect();
        let extents = extents.into_iter().map(|e| content(MEMORY_AT + e.offset as usize, e.bytes)).collect();
        let head = [mutable, in_head];
        let (files, habits) = (Err(NoFiles::Unwanted), Habits::default());
        (Self { state, state_len, extents, head, constants, tables, room, memory, files, habits }, memory_file)
    }

    /// Returns the parts in which images of one program differ: the state, the memory where it is
    /// not zero, and the size of the memory.
    pub(crate) fn parts(&self) -> (SparseBytes, Vec<Extent>, usize) {
        let in_memory = |e: &Content| Extent { offset: (e.range.start - MEMORY_AT) as u64, bytes: e.bytes.clone() };
        let mut state = SparseBytes::new(self.state_len);
        let start = self.head[0].start;
        for part in &self.state {
            state.put(part.range.start - start, &part.bytes);
        }
        (state, self.extents.iter().map(in_memory).collect(), self.memory)
    }

    /// Returns how many bytes of memory stand in its file.
    fn memory_in_file(&self) -> usize {
        let filled = self.extents.last().map_or(0, |e| e.range.end - MEMORY_AT);
        if self.memory <= WHOLE_FILE { self.memory } else { filled }
    }

    /// Counts the bytes of the state, of the head, and of memory. Also returns where memory is not
    /// zero.
    pub(crate) fn sizes(&self) -> (usize, usize, usize, Vec<Range<u64>>) {
        let in_memory = |e: &Content| (e.range.start - MEMORY_AT) as u64..(e.range.end - MEMORY_AT) as u64;
        let head = self.head.iter().map(|part| part.len()).sum();
        (self.state_len, head, self.memory, self.extents.iter().map(in_memory).collect())
    }

    /// Counts the pages that every slot has of its own: those of the host cell, which each instance
    /// writes, and of the head, which every reset writes.
    pub(crate) fn own_pages(&self) -> usize {
        self.head[0].end.div_ceil(page_size())
    }

    /// Returns where the part of memory begins that is zero in every fresh instance.
    pub(super) fn zeros_from(&self) -> usize {
        self.extents.last().map_or(MEMORY_AT, |extent| extent.range.end)
    }

    /// Returns where the initial memory is in a slot.
    pub(crate) fn memory(&self) -> Range<usize> {
        MEMORY_AT..MEMORY_AT + self.memory
    }

    /// Returns the ranges of pages that can be written besides the head and grown memory: those
    /// that tracking protects.
    pub(crate) fn protectable(&self) -> [Range<usize>; 2] {
        [self.tables.clone(), self.memory()]
    }

    /// Calls `piece` for every stretch of `range`, which is in the state or in memory, with where
    /// it starts, its length, and its bytes, or `None` for zeros.
    #[inline]
    pub(crate) fn contents(&self, range: Range<usize>, mut piece: impl FnMut(usize, usize, Option<&[u8]>)) {
        let parts = if range.start < self.room { &self.state } else { &self.extents };
        let first = parts.partition_point(|part| part.range.end <= range.start);
        let mut at = range.start;
        for Content { range: Range { start, end }, bytes } in &parts[first..] {
            if *start >= range.end {
                break;
            }
            if at < *start {
                piece(at, start - at, None);
                at = *start;
            }
            let until = range.end.min(*end);
            piece(at, until - at, bytes.get(at - start..until - start));
            at = until;
        }
        if at < range.end {
            piece(at, range.end - at, None);
        }
    }
}

/// Puts all images into one file, so that a module takes one descriptor, and maps them from there.
/// Memories that are in a file already stay there: `on_disk` has one for each image, or none.
///
/// # Errors
/// When the kernel makes no file, or gives no room in it or for looking at it. The images stay as
/// they are then.
fn map(images: &mut [Image], on_disk: Vec<Option<ImageFile>>) -> Result<()> {
    let mut len = 0;
    let mut place = |bytes: usize| {
        len += bytes;
        len - bytes..len
    };
    let memories = images.iter().zip(&on_disk);
    let memories: Vec<_> =
        memories.map(|(image, file)| place(if file.is_some() { 0 } else { image.memory_in_file() })).collect();
    // The first image's state comes last: what is mapped beyond the file's end is never accessible,
    // so it serves as a guard.
    let mut states: Vec<_> = images.iter().rev().map(|image| place(image.room)).collect();
    states.reverse();
    let parts = images.iter().zip(&memories).zip(&states).flat_map(|((image, memory), state)| {
        let state = image.state.iter().map(|part| (state.start + part.range.start, &part.bytes[..]));
        let in_file = |e: &Content| memory.start + e.range.start - MEMORY_AT;
        let extents = image.extents.iter().filter(|_| !memory.is_empty());
        state.chain(extents.map(move |e| (in_file(e), &e.bytes[..])))
    });
    let file = ImageFile::sealed(len, parts)?;
    // From now on the file's own pages are what memory is copied from.
    let any = memories.iter().any(|memory| !memory.is_empty());
    let view = if any { Bytes::new(Arc::new(file.view()?)) } else { Bytes::default() };
    for (((image, memory), state), on_disk) in images.iter_mut().zip(memories).zip(states).zip(on_disk) {
        for extent in image.extents.iter_mut().filter(|_| !memory.is_empty()) {
            let start = memory.start + extent.range.start - MEMORY_AT;
            extent.bytes = view.part(start..start + extent.range.len()).unwrap_or_else(|| extent.bytes.clone());
        }
        let memory = on_disk.or_else(|| (!memory.is_empty()).then(|| file.part(memory)));
        image.files = Ok(Files { state: file.part(state), memory });
    }
    Ok(())
}

/// Returns the pages of a range of bytes, both counted from the slot's start.
pub(super) fn to_pages(bytes: &Range<usize>) -> Range<Page> {
    (bytes.start / page_size()) as Page..(bytes.end / page_size()) as Page
}

/// Returns the bytes of a range of pages, both counted from the slot's start.
pub(super) fn to_bytes(pages: &Range<Page>) -> Range<usize> {
    pages.start as usize * page_size()..pages.end as usize * page_size()
}
