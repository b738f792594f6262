//! A compiled module as a file, to be mapped and run: the artifact (`.cwasm`).
//!
//! ```text
//!  +--------+----------+------+-----------------+-----------------------+
//!  | header | metadata | bulk | text            | memory                |
//!  +--------+----------+------+-----------------+-----------------------+
//!                             ^ whole host pages ^ whole host pages
//! ```
//!
//! - The **metadata** is decoded when the artifact is loaded. It grows with the number of functions and exports.
//! - The **bulk** is used in place: names, data of passive segments, the tables that explain the text.
//! - The **text** is position-independent, and is mapped executable as it is.
//! - The **memory** is mapped copy-on-write into every instance.
//!
//! What loading reads comes first and together; what is mapped comes last, so that only it has to begin with a page.
//!
//! Who may write an artifact may run any code: it is machine code. What is checked, then, is not malice but mistakes:
//! always the version, the settings, the processor's features, the structure, and a digest (XXH3) of header and
//! metadata; and the digest of the rest when asked for, which reads all of it. Without that, damage to code, memory,
//! names or trap tables is noticed as little as damage to an executable file is.

mod description;
mod error;
mod header;
mod target;
mod wire;

pub use error::ArtifactError;
pub use header::is_artifact;
pub(crate) use target::Target;

use crate::base::bytes::Bytes;
use crate::instance::compiled::Compiled;
use description::Description;
use header::Sections;
use std::ops::Range;
use wire::{Damaged, Reader, Wire, Writer};

/// An artifact as it was read.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The module. What is large in it is part of the file's bytes.
    pub compiled: Compiled,
    /// Where the text is in the file: from the start of a page to the end of one.
    pub text: Range<usize>,
    /// Where the file has the memory as one piece, from its first byte to the end of its last extent.
    pub memory: Option<Range<usize>>,
}

/// A compiled module as a file.
pub(crate) fn write(compiled: &Compiled, target: &Target) -> Vec<u8> {
    let description = Description::of(compiled);
    let memory = description.memory.section(&compiled.image);
    let mut out = Writer::default();
    target.put(&mut out);
    description.put(&mut out);
    assemble(&out, &compiled.code.text, &memory)
}

/// The file of these sections.
fn assemble(out: &Writer, text: &[u8], memory: &[u8]) -> Vec<u8> {
    let lengths = [out.metadata.len(), out.bulk.len(), text.len(), memory.len()];
    let sections = Sections::new(lengths).expect("what is in memory fits a file");
    let mut file = vec![0; sections.file_len()];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(sections.metadata.start, &out.metadata);
    put(sections.bulk.start, &out.bulk);
    put(sections.text.start, text);
    put(sections.memory.start, memory);
    header::seal(&mut file, &sections);
    file
}

/// Reads a file to be used `here`. With `check_all`, all of it is compared with its digests.
///
/// # Errors
/// When it is not an artifact, was made for another version or machine, or is not as it was written.
pub(crate) fn read(file: &Bytes, here: &Target, check_all: bool) -> Result<Artifact, ArtifactError> {
    let Sections { metadata, bulk, text, memory } = header::open(file, check_all)?;
    let part = |range: &Range<usize>| file.part(range.clone()).ok_or(Damaged);
    let mut from = Reader::new(part(&metadata)?, part(&bulk)?);
    Target::take(&mut from)?.check(here)?;
    let description = Description::take(&mut from)?;
    from.end()?;
    let flat = description.memory.flat && !memory.is_empty();
    let compiled = description.complete(&part(&text)?, &part(&memory)?)?;
    Ok(Artifact { compiled, text, memory: flat.then_some(memory) })
}

impl From<Damaged> for ArtifactError {
    fn from(_: Damaged) -> Self {
        Self::damaged("its description cannot be read")
    }
}

#[cfg(test)]
mod tests;
