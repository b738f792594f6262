//! An image: an instance as it stands before any of its code ran, as bytes and as files to map.
//!
//! It is made once for each module or snapshot and never changes. Offsets count from the start of a slot
//! (`minirt_compiler::instance::layout` has the picture). Nothing here maps anything into a slot: that is `cow`.

use super::page_set::Page;
use super::policy::Habits;
use crate::sys::mapping::PAGE;
use crate::sys::memfd::ImageFile;
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::image::Extent;
use minirt_compiler::instance::layout::{MEMORY, VMCTX};
use rustix::io::{Errno, Result};
use std::ops::Range;
use std::sync::Arc;

/// Where linear memory 0 starts in a slot.
pub(crate) const MEMORY_AT: usize = VMCTX as usize + MEMORY as usize;

/// Memories up to this size are in their file as a whole, zeros included: one mapping instead of two. Zeros that are
/// read take room in the file then, once for all instances.
const WHOLE_FILE: usize = 1 << 20;

/// What every slot of a module starts from.
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
    /// The pages of the state behind the head that can be written: tables, with room for them to grow.
    tables: Range<usize>,
    /// Bytes of host cell and state: whole pages.
    pub(crate) room: usize,
    /// Bytes of memory that an instance starts with: whole pages.
    pub(crate) memory: usize,
    /// The same as files to map. `None` where images are switched off; then slots are filled by copying.
    pub(crate) files: Option<Files>,
    /// What its instances have been doing.
    pub(crate) habits: Habits,
}

/// A part of an image.
#[derive(Debug)]
pub(crate) struct Content {
    /// Where it is, from the slot's start.
    pub(crate) range: Range<usize>,
    /// What is there.
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
pub(crate) struct Files {
    /// Host cell and state with its room, and nothing behind: what is mapped beyond the file's end is never accessible.
    pub(crate) state: ImageFile,
    /// Memory up to its last extent, or all of it.
    pub(crate) memory: Option<ImageFile>,
}

/// What an image is made of. Offsets count bytes from the slot's start.
#[derive(Debug, Default)]
pub(crate) struct ImageParts {
    /// Where the state starts.
    pub(crate) state_at: usize,
    pub(crate) state: Vec<u8>,
    /// The part of the state in front of what never changes.
    pub(crate) mutable: Range<usize>,
    /// The part behind that: tables, with their room.
    pub(crate) tables: Range<usize>,
    /// Where all of it ends: whole pages.
    pub(crate) room: usize,
    /// Memory where it is not zero: sorted, whole pages. These offsets count from the start of memory.
    pub(crate) extents: Vec<Extent>,
    /// Bytes of memory: whole pages.
    pub(crate) memory: usize,
    /// A file that has the memory already, as far as the last extent.
    pub(crate) memory_file: Option<ImageFile>,
}

impl Image {
    /// Makes an image; `mapped` says whether as files to map, or only as bytes to copy.
    ///
    /// # Errors
    /// When the kernel gives no memory file or no room in it.
    pub(crate) fn new(parts: ImageParts, mapped: bool) -> Result<Self> {
        let ImageParts { state_at, state, mutable, tables, room, extents, memory, memory_file } = parts;
        let head_end = mutable.end.next_multiple_of(PAGE);
        let in_head = tables.start.min(head_end)..head_end.min(tables.end);
        let behind = (tables.start & !(PAGE - 1)).max(head_end)..tables.end.next_multiple_of(PAGE);
        let tables = if behind.is_empty() { room..room } else { behind };
        let content = |start: usize, bytes: Bytes| Content { range: start..start + bytes.len(), bytes };
        let (state_len, state) =
            (state.len(), runs(&state).map(|run| content(state_at + run.start, state[run].to_vec().into())).collect());
        let extents = extents.into_iter().map(|e| content(MEMORY_AT + e.offset as usize, e.bytes)).collect();
        let head = [mutable, in_head];
        let mut image =
            Self { state, state_len, extents, head, tables, room, memory, files: None, habits: Habits::default() };
        if mapped {
            image.files = match image.make_files(memory_file) {
                Err(Errno::FBIG) => None, // Instances are filled by copying then.
                files => Some(files?),
            };
        }
        Ok(image)
    }

    /// What it was made of, as far as it differs from one image of a program to another.
    pub(crate) fn parts(&self) -> (Vec<u8>, Vec<Extent>, usize) {
        let in_memory = |e: &Content| Extent { offset: (e.range.start - MEMORY_AT) as u64, bytes: e.bytes.clone() };
        let mut state = vec![0; self.state_len];
        let start = self.head[0].start;
        for part in &self.state {
            state[part.range.start - start..part.range.end - start].copy_from_slice(&part.bytes);
        }
        (state, self.extents.iter().map(in_memory).collect(), self.memory)
    }

    fn make_files(&mut self, memory: Option<ImageFile>) -> Result<Files> {
        let state = ImageFile::sealed(self.room, self.state.iter().map(|part| (part.range.start, &part.bytes[..])))?;
        let filled = self.extents.last().map_or(0, |e| e.range.end - MEMORY_AT);
        let len = if self.memory <= WHOLE_FILE { self.memory } else { filled };
        if memory.is_some() || len == 0 {
            return Ok(Files { state, memory });
        }
        let extents = self.extents.iter().map(|e| (e.range.start - MEMORY_AT, &e.bytes[..]));
        let memory = ImageFile::sealed(len, extents)?;
        let file = Bytes::new(Arc::new(memory.view()?));
        for extent in &mut self.extents {
            // From now on the file's own pages are what is copied from.
            let in_file = extent.range.start - MEMORY_AT..extent.range.end - MEMORY_AT;
            extent.bytes = file.part(in_file).ok_or(Errno::INVAL)?;
        }
        Ok(Files { state, memory: Some(memory) })
    }

    /// Bytes of the state, of the head, and of memory; and where memory is not zero.
    pub(crate) fn sizes(&self) -> (usize, usize, usize, Vec<Range<u64>>) {
        let in_memory = |e: &Content| (e.range.start - MEMORY_AT) as u64..(e.range.end - MEMORY_AT) as u64;
        let head = self.head.iter().map(|part| part.len()).sum();
        (self.state_len, head, self.memory, self.extents.iter().map(in_memory).collect())
    }

    /// Counts the pages that every slot has of its own: those of the host cell, which each instance writes, and of the head,
    /// which every reset writes.
    pub(crate) fn own_pages(&self) -> usize {
        self.head[0].end.div_ceil(PAGE)
    }

    /// Returns where the part of memory begins that is zero in every fresh instance.
    pub(super) fn zeros_from(&self) -> usize {
        self.extents.last().map_or(MEMORY_AT, |extent| extent.range.end)
    }

    /// Where the initial memory is in a slot.
    pub(crate) fn memory(&self) -> Range<usize> {
        MEMORY_AT..MEMORY_AT + self.memory
    }

    /// Returns the ranges of pages that can be written besides the head and grown memory: those that tracking protects.
    pub(crate) fn protectable(&self) -> [Range<usize>; 2] {
        [self.tables.clone(), self.memory()]
    }

    /// Calls `piece` for every stretch of `range`, which is in the state or in memory, with where it starts, its length,
    /// and its bytes, or `None` for zeros.
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

/// Returns the pages of a range of bytes, both counted from the slot's start.
pub(super) fn to_pages(bytes: &Range<usize>) -> Range<Page> {
    (bytes.start / PAGE) as Page..(bytes.end / PAGE) as Page
}

/// Returns the bytes of a range of pages, both counted from the slot's start.
pub(super) fn to_bytes(pages: &Range<Page>) -> Range<usize> {
    pages.start as usize * PAGE..pages.end as usize * PAGE
}

/// The stretches of some bytes that are not whole pages of zeros.
fn runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let chunks: Vec<bool> = bytes.chunks(PAGE).map(|chunk| chunk.iter().any(|byte| *byte != 0)).collect();
    let mut at = 0;
    let runs: Vec<Range<usize>> = chunks
        .chunk_by(|a, b| a == b)
        .filter_map(|same| {
            let start = at;
            at += same.len();
            same[0].then(|| start * PAGE..(at * PAGE).min(bytes.len()))
        })
        .collect();
    runs.into_iter()
}
