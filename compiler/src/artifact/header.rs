//! Reads and writes the start of the file: that it is an artifact, how long its sections are, and
//! their digests.
//!
//! ```text
//!  0         8         16                 32               48                           88
//!  +---------+---------+------------------+----------------+----------------------------+----------
//!  | magic   | format  | digest of all    | digest of all  | lengths: metadata, bulk,   | metadata
//!  |         |         | up to the bulk   | from the bulk  | text, memory, a page       |
//!  +---------+---------+------------------+----------------+----------------------------+----------
//!                                         ^ the first digest starts here
//! ```
//!
//! The first digest is always compared. It covers the second one and the lengths. Magic and format
//! are compared with constants. So every bit of a file is checked by something. All numbers are
//! little-endian.
//!
//! The digests (XXH3) find accidents. They do not protect from somebody who makes artifacts on
//! purpose.

use super::error::ArtifactError;
use crate::instance::layout::{PAGE_MAX, PAGE_MIN};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_128;

/// The first bytes of every artifact.
const MAGIC: [u8; 8] = *b"\x7fminirt\n";

/// Changes with everything that code or image rely on and nothing else records: this format, and
/// the layout.
const FORMAT: u64 = 12;

const FORMAT_AT: usize = 8;
const DIGEST_AT: usize = 16;
const REST_DIGEST_AT: usize = 32;
const LENGTHS_AT: usize = 48;
const SIZE: usize = 88;

/// Returns whether bytes start like an artifact.
pub fn is_artifact(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Where the parts of a file are. Only their lengths are stored. The parts follow each other; text
/// and memory start at the next page; and the file ends with the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) metadata: Range<usize>,
    pub(super) bulk: Range<usize>,
    pub(super) text: Range<usize>,
    pub(super) memory: Range<usize>,
}

impl Sections {
    /// Places sections with these lengths, in order, the last two in pages of `page` bytes; `None`
    /// if no file could be so long.
    pub(super) fn new([metadata, bulk, text, memory]: [usize; 4], page: usize) -> Option<Self> {
        let after = |at: usize, len: usize| Some(at..at.checked_add(len)?);
        let pages =
            |at: usize, len: usize| after(at.checked_next_multiple_of(page)?, len.checked_next_multiple_of(page)?);
        let metadata = after(SIZE, metadata)?;
        let bulk = after(metadata.end, bulk)?;
        let text = pages(bulk.end, text)?;
        let memory = pages(text.end, memory)?;
        Some(Self { metadata, bulk, text, memory })
    }

    /// Returns the bytes of the whole file.
    pub(super) fn file_len(&self) -> usize {
        self.memory.end
    }

    fn lengths(&self) -> [usize; 4] {
        [self.metadata.len(), self.bulk.len(), self.text.len(), self.memory.len()]
    }
}

/// Writes the header of a file that has all its sections, placed in pages of `page` bytes.
pub(super) fn seal(file: &mut [u8], sections: &Sections, page: usize) {
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC);
    put(FORMAT_AT, &FORMAT.to_le_bytes());
    for (index, len) in sections.lengths().into_iter().chain([page]).enumerate() {
        put(LENGTHS_AT + 8 * index, &(len as u64).to_le_bytes());
    }
    let rest = rest_digest(file, sections).to_le_bytes();
    file[REST_DIGEST_AT..LENGTHS_AT].copy_from_slice(&rest);
    let digest = digest(file, sections).to_le_bytes();
    file[DIGEST_AT..REST_DIGEST_AT].copy_from_slice(&digest);
}

/// Finds the sections of a file and the bytes in its pages, and compares its digests: the first one
/// always, the other with `check_all`.
///
/// # Errors
/// Returns an error if it is not an artifact, has another format, or is not as it was written.
pub(super) fn open(file: &[u8], check_all: bool) -> Result<(Sections, usize), ArtifactError> {
    if !is_artifact(file) {
        return Err(ArtifactError::NotAnArtifact);
    }
    let header = file.first_chunk::<SIZE>().ok_or_else(|| ArtifactError::damaged("it ends in its header"))?;
    let format = u64::from_le_bytes(field(header, FORMAT_AT));
    if format != FORMAT {
        let (found, here) = (format!("format {format}"), format!("format {FORMAT}"));
        return Err(ArtifactError::OtherVersion { found, here });
    }
    let numbers = [0, 1, 2, 3, 4].map(|index| u64::from_le_bytes(field(header, LENGTHS_AT + 8 * index)));
    let (sections, page) = sections(numbers).ok_or_else(|| ArtifactError::damaged("its header makes no sense"))?;
    if sections.file_len() != file.len() {
        let (found, expected) = (file.len(), sections.file_len());
        return Err(ArtifactError::damaged(format!("it has {found} bytes instead of {expected}")));
    }
    if digest(file, &sections) != u128::from_le_bytes(field(header, DIGEST_AT)) {
        return Err(ArtifactError::damaged("its description is not as it was written"));
    }
    if check_all && rest_digest(file, &sections) != u128::from_le_bytes(field(header, REST_DIGEST_AT)) {
        return Err(ArtifactError::damaged("its code or data is not as it was written"));
    }
    Ok((sections, page))
}

/// Returns the sections of these lengths, if [`seal`] could have written them: text and memory are
/// whole pages, whose size is the last number.
fn sections(numbers: [u64; 5]) -> Option<(Sections, usize)> {
    let mut small = [0; 5];
    for (small, number) in small.iter_mut().zip(numbers) {
        *small = usize::try_from(number).ok()?;
    }
    let [metadata, bulk, text, memory, page] = small;
    let lengths = [metadata, bulk, text, memory];
    let known = page.is_power_of_two() && (PAGE_MIN as usize..=PAGE_MAX as usize).contains(&page);
    let sections = Sections::new(lengths, page).filter(|sections| known && sections.lengths() == lengths)?;
    Some((sections, page))
}

fn field<const N: usize>(header: &[u8; SIZE], at: usize) -> [u8; N] {
    std::array::from_fn(|index| header[at + index])
}

/// Returns the first digest: of the rest of the header, and the metadata.
fn digest(file: &[u8], sections: &Sections) -> u128 {
    xxh3_128(&file[REST_DIGEST_AT..sections.metadata.end])
}

/// Returns the second digest: of everything after the metadata.
fn rest_digest(file: &[u8], sections: &Sections) -> u128 {
    xxh3_128(&file[sections.bulk.start..])
}
