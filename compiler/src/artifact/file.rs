//! Puts the sections of the file together, and takes them apart.

use super::description::Description;
use super::error::ArtifactError;
use super::header::{self, Sections};
use super::target::Target;
use super::wire::{Damaged, Reader, Wire, Writer};
use crate::base::bytes::Bytes;
use crate::instance::compiled::Compiled;
use std::ops::Range;

/// An artifact as it was read.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The module. What is large in it is part of the file's bytes.
    pub compiled: Compiled,
    /// Where the text is in the file: from the start of a page to the end of one.
    pub text: Range<usize>,
    /// Where the file has the memory as one piece, from its first byte to the end of its last
    /// extent.
    pub memory: Option<Range<usize>>,
}

/// Returns a compiled module as the bytes of a file.
pub(crate) fn write(compiled: &Compiled, target: &Target) -> Vec<u8> {
    let description = Description::of(compiled);
    let page = compiled.layout.page as usize;
    let memory = description.memory.section(&compiled.image, compiled.layout.page);
    let mut out = Writer::default();
    target.put(&mut out);
    description.put(&mut out);
    assemble(&out, &compiled.code.text, &memory, page)
}

/// Returns the file of these sections.
pub(super) fn assemble(out: &Writer, text: &[u8], memory: &[u8], page: usize) -> Vec<u8> {
    let lengths = [out.metadata.len(), out.bulk.len(), text.len(), memory.len()];
    let sections = Sections::new(lengths, page).expect("what is in memory fits a file");
    let mut file = vec![0; sections.file_len()];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(sections.metadata.start, &out.metadata);
    put(sections.bulk.start, &out.bulk);
    put(sections.text.start, text);
    put(sections.memory.start, memory);
    header::seal(&mut file, &sections, page);
    file
}

/// Reads a file to be used `here`, where host pages have `page` bytes. With `check_all`, compares
/// all of it with its digests.
///
/// # Errors
/// Returns an error if it is not an artifact, was made for another version, machine or page size,
/// or is not as it was written.
pub(crate) fn read(file: &Bytes, here: &Target, page: u64, check_all: bool) -> Result<Artifact, ArtifactError> {
    let (Sections { metadata, bulk, text, memory }, found) = header::open(file, check_all)?;
    let found = found as u64;
    let part = |range: &Range<usize>| file.part(range.clone()).ok_or(Damaged);
    let (metadata, bulk) = (part(&metadata)?, part(&bulk)?);
    let mut from = Reader::new(&metadata, &bulk);
    Target::take(&mut from)?.check(here)?;
    if !found.is_multiple_of(page) {
        return Err(ArtifactError::OtherPageSize { found, here: page });
    }
    let description = Description::take(&mut from)?;
    from.end()?;
    let flat = description.memory.flat && !memory.is_empty();
    let compiled = description.complete(&part(&text)?, &part(&memory)?, found)?;
    Ok(Artifact { compiled, text, memory: flat.then_some(memory) })
}

impl From<Damaged> for ArtifactError {
    fn from(_: Damaged) -> Self {
        Self::damaged("its description cannot be read")
    }
}
