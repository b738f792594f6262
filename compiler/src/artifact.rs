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
//! Who may write an artifact may run any code: it is machine code. What is checked, then, is not malice but mistakes:
//! always the version, the processor's features, the structure, and a digest (XXH3) of header and metadata; and the
//! digest of the whole file when asked for, which reads all of it.

mod wire;

use crate::bytes::{Bytes, Table};
use crate::code::Code;
use crate::image::{Extent, InitialImage};
use crate::layout::{HOST_PAGE, Layout, MEMORY_RESERVED};
use crate::module::ModuleInfo;
use crate::{Compiled, Compiler};
use std::fmt;
use std::ops::Range;
use wire::{Damaged, Reader, Wire, Writer};
use xxhash_rust::xxh3::xxh3_128;

/// How every artifact starts.
const MAGIC: [u8; 8] = *b"\x7fminirt\n";

/// Changes with everything that code or image rely on: this format, the layout, the builtins.
const FORMAT: u32 = 1;

/// Bytes in a host page.
const PAGE: usize = HOST_PAGE as usize;

/// Gaps in the image are stored if all of it is not larger than this, or than twice what is in it. Otherwise the
/// extents are stored without the gaps, and a loader has to put them into place.
const SMALL_IMAGE: usize = 1 << 20;

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

/// Why a file can not be used as an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It is something else.
    NotAnArtifact,
    /// It was made by another version of minirt.
    OtherVersion {
        /// The version that made it.
        found: String,
        /// This version.
        here: String,
    },
    /// It was made for another kind of machine.
    OtherMachine {
        /// The machine that it was made for.
        found: String,
        /// This machine.
        here: String,
    },
    /// It needs something of the processor that this one does not have.
    MissingFeatures(Vec<String>),
    /// It is not as it was written.
    Damaged(&'static str),
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArtifact => write!(f, "this is not an artifact of minirt; compile the module first"),
            Self::OtherVersion { found, here } => {
                write!(f, "the artifact was made by {found}, and this is {here}; compile the module again")
            }
            Self::OtherMachine { found, here } => {
                write!(f, "the artifact was made for {found}, and this is {here}; compile the module here")
            }
            Self::MissingFeatures(features) => {
                let features = features.join(", ");
                write!(f, "the artifact needs a processor with {features}; compile the module on this machine")
            }
            Self::Damaged(what) => write!(f, "the artifact is damaged: {what}; compile the module again"),
        }
    }
}

impl std::error::Error for ArtifactError {}

impl From<Damaged> for ArtifactError {
    fn from(_: Damaged) -> Self {
        Self::Damaged("its description can not be read")
    }
}

/// Whether bytes start like an artifact.
pub fn is_artifact(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The start of the file. All numbers are little-endian; offsets count from the start of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Header {
    /// Of the whole file, with this field as zeros.
    file_digest: u128,
    /// Of header and metadata, with this field and the one above as zeros.
    digest: u128,
    metadata: Range<usize>,
    bulk: Range<usize>,
    text: Range<usize>,
    memory: Range<usize>,
}

impl Header {
    /// Where the digests are in the file: behind magic and format.
    const FILE_DIGEST: Range<usize> = 16..32;
    const DIGEST: Range<usize> = 32..48;
    /// Bytes of the header.
    const SIZE: usize = 48 + 4 * 16;

    fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.metadata.extend(MAGIC);
        (FORMAT, 0_u32).put(&mut out);
        (self.file_digest, self.digest).put(&mut out);
        for section in [&self.metadata, &self.bulk, &self.text, &self.memory] {
            section.put(&mut out);
        }
        out.metadata
    }

    fn read(file: &Bytes) -> Result<Self, ArtifactError> {
        if !is_artifact(file) {
            return Err(ArtifactError::NotAnArtifact);
        }
        let header = file.part(MAGIC.len()..Self::SIZE).ok_or(ArtifactError::Damaged("it ends in its header"))?;
        let mut from = Reader::new(header, Bytes::default());
        let (format, _) = <(u32, u32)>::take(&mut from)?;
        if format != FORMAT {
            let (found, here) = (format!("format {format}"), format!("format {FORMAT}"));
            return Err(ArtifactError::OtherVersion { found, here });
        }
        let (file_digest, digest) = Wire::take(&mut from)?;
        let mut section = || <Range<usize> as Wire>::take(&mut from);
        let header =
            Self { file_digest, digest, metadata: section()?, bulk: section()?, text: section()?, memory: section()? };
        let order = [Self::SIZE..Self::SIZE, header.metadata.clone(), header.bulk.clone(), header.text.clone()];
        let order = [&order[..], &[header.memory.clone(), file.len()..file.len()]].concat();
        let ordered = order.windows(2).all(|pair| pair[0].start <= pair[0].end && pair[0].end <= pair[1].start);
        let pages = [&header.text, &header.memory].iter().all(|it| it.start % PAGE == 0 && it.end % PAGE == 0);
        if ordered && pages { Ok(header) } else { Err(ArtifactError::Damaged("it is not as long as it should be")) }
    }
}

/// The digest of header and metadata, which are the start of the file.
fn digest(file: &[u8], end: usize) -> u128 {
    let mut start = file[..end].to_vec();
    start[Header::FILE_DIGEST.start..Header::DIGEST.end].fill(0);
    xxh3_128(&start)
}

/// The digest of a whole file.
fn file_digest(file: &[u8]) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&file[..Header::FILE_DIGEST.start]);
    hasher.update(&[0; 16]);
    hasher.update(&file[Header::FILE_DIGEST.end..]);
    hasher.digest128()
}

/// What an artifact was made with and for.
struct Target {
    version: String,
    machine: String,
    /// What of the processor it uses.
    features: Vec<String>,
}

impl Wire for Target {
    fn put(&self, out: &mut Writer) {
        self.version.put(out);
        self.machine.put(out);
        self.features.put(out);
    }
    fn take(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Self { version: Wire::take(from)?, machine: Wire::take(from)?, features: Wire::take(from)? })
    }
}

impl Target {
    fn of(compiler: &Compiler) -> Self {
        let enabled = |flag: &cranelift_codegen::settings::Value| flag.as_bool() == Some(true);
        let features = compiler.isa.isa_flags().into_iter().filter(enabled).map(|flag| flag.name.to_owned());
        Self {
            version: format!("minirt {} with Cranelift {}", env!("CARGO_PKG_VERSION"), cranelift_codegen::VERSION),
            machine: compiler.isa.triple().to_string(),
            features: features.collect(),
        }
    }

    /// Whether what was made for `self` can be used here.
    fn check(self, here: Self) -> Result<(), ArtifactError> {
        if self.version != here.version {
            return Err(ArtifactError::OtherVersion { found: self.version, here: here.version });
        }
        if self.machine != here.machine {
            return Err(ArtifactError::OtherMachine { found: self.machine, here: here.machine });
        }
        let missing = |feature: &String| !here.features.contains(feature);
        let missing: Vec<String> = self.features.into_iter().filter(missing).collect();
        if missing.is_empty() { Ok(()) } else { Err(ArtifactError::MissingFeatures(missing)) }
    }
}

/// An extent as the metadata has it.
type Place = (u64, Range<usize>);

/// The bytes of memory as they go into the file, where each extent is in them, and whether gaps are there too.
fn memory_section(extents: &[Extent]) -> (Vec<u8>, Vec<Place>, bool) {
    let used: usize = extents.iter().map(|extent| extent.bytes.len()).sum();
    let span = extents.last().map_or(0, |last| last.offset as usize + last.bytes.len());
    let whole = span <= SMALL_IMAGE.max(2 * used);
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for extent in extents {
        if whole {
            bytes.resize(extent.offset as usize, 0);
        }
        places.push((extent.offset, bytes.len()..bytes.len() + extent.bytes.len()));
        bytes.extend_from_slice(&extent.bytes);
    }
    (bytes, places, whole)
}

impl Compiler {
    /// A compiled module as the bytes of an artifact.
    pub fn serialize(&self, compiled: &Compiled) -> Vec<u8> {
        let Compiled { module, image, code, .. } = compiled;
        let (memory, places, whole) = memory_section(&image.memory);
        let mut out = Writer::default();
        Target::of(self).put(&mut out);
        module.put(&mut out);
        code.entries.put(&mut out);
        code.exits.put(&mut out);
        (code.funcs.clone(), (code.traps.clone(), code.places.clone())).put(&mut out);
        code.text.len().put(&mut out);
        let InitialImage { state, memory_size, dynamic_globals, first_dynamic_element, .. } = image;
        (state.len(), not_zero(state)).put(&mut out);
        memory_size.put(&mut out);
        dynamic_globals.put(&mut out);
        (*first_dynamic_element, image.first_dynamic_data).put(&mut out);
        (image.start, image.snapshot).put(&mut out);
        (places, whole).put(&mut out);
        assemble(&out, &code.text, &memory)
    }

    /// Reads an artifact. With `check_all`, every byte of it is read and compared with its digest.
    ///
    /// # Errors
    /// When it is not an artifact, was made for another version or machine, or is not as it was written.
    pub fn deserialize(&self, file: &Bytes, check_all: bool) -> Result<Artifact, ArtifactError> {
        let header = Header::read(file)?;
        if digest(file, header.metadata.end) != header.digest {
            return Err(ArtifactError::Damaged("its description is not as it was written"));
        }
        if check_all && file_digest(file) != header.file_digest {
            return Err(ArtifactError::Damaged("it is not as it was written"));
        }
        let part = |range: &Range<usize>| file.part(range.clone()).ok_or(Damaged);
        let mut from = Reader::new(part(&header.metadata)?, part(&header.bulk)?);
        Target::take(&mut from)?.check(Target::of(self))?;
        let (compiled, whole) = read(&mut from, &part(&header.text)?, &part(&header.memory)?)?;
        from.end()?;
        check(&compiled)?;
        let memory = (whole && !header.memory.is_empty()).then_some(header.memory);
        Ok(Artifact { compiled, text: header.text, memory })
    }
}

/// The pages of a state that are not zeros, in runs: between tables there can be megabytes of room.
fn not_zero(state: &[u8]) -> Vec<(usize, Bytes)> {
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    for (index, page) in state.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
        match runs.last_mut() {
            Some((at, run)) if *at + run.len() == index * PAGE => run.extend_from_slice(page),
            _ => runs.push((index * PAGE, page.to_vec())),
        }
    }
    runs.into_iter().map(|(at, run)| (at, run.into())).collect()
}

fn assemble(out: &Writer, text: &[u8], memory: &[u8]) -> Vec<u8> {
    let metadata = Header::SIZE..Header::SIZE + out.metadata.len();
    let bulk = metadata.end..metadata.end + out.bulk.len();
    let pages = |from: usize, len: usize| {
        let start = from.next_multiple_of(PAGE);
        start..start + len.next_multiple_of(PAGE)
    };
    let text_at = pages(bulk.end, text.len());
    let memory_at = pages(text_at.end, memory.len());
    let mut file = vec![0; memory_at.end];
    let mut header = Header { metadata, bulk, text: text_at, memory: memory_at, ..Header::default() };
    let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut file, 0, &header.write());
    put(&mut file, header.metadata.start, &out.metadata);
    put(&mut file, header.bulk.start, &out.bulk);
    put(&mut file, header.text.start, text);
    put(&mut file, header.memory.start, memory);
    header.digest = digest(&file, header.metadata.end);
    put(&mut file, 0, &header.write());
    header.file_digest = file_digest(&file);
    put(&mut file, 0, &header.write());
    file
}

/// What [`Compiler::serialize`] wrote behind the target, and whether the memory is there as one piece.
fn read(from: &mut Reader, text: &Bytes, memory: &Bytes) -> Result<(Compiled, bool), Damaged> {
    let module = ModuleInfo::take(from)?;
    let (entries, exits) = (Wire::take(from)?, Wire::take(from)?);
    let (funcs, (traps, places)): (Table<_>, (Table<_>, Table<_>)) = Wire::take(from)?;
    let len = usize::take(from)?;
    let text = text.part(0..len).ok_or(Damaged)?;
    let code = Code { text, funcs, entries, exits, traps, places };
    let layout = Layout::new(&module).map_err(|_| Damaged)?;
    let (state_len, runs): (usize, Vec<(usize, Bytes)>) = Wire::take(from)?;
    if state_len as u64 > layout.state_room {
        return Err(Damaged);
    }
    let mut state = vec![0; state_len];
    for (at, bytes) in runs {
        let end = at.checked_add(bytes.len()).ok_or(Damaged)?;
        state.get_mut(at..end).ok_or(Damaged)?.copy_from_slice(&bytes);
    }
    let mut image = InitialImage { state, memory_size: Wire::take(from)?, ..InitialImage::default() };
    image.dynamic_globals = Wire::take(from)?;
    (image.first_dynamic_element, image.first_dynamic_data) = Wire::take(from)?;
    (image.start, image.snapshot) = Wire::take(from)?;
    let (extents, whole): (Vec<Place>, bool) = Wire::take(from)?;
    let extent = |(offset, range): Place| Some(Extent { offset, bytes: memory.part(range)? });
    image.memory = extents.into_iter().map(extent).collect::<Option<_>>().ok_or(Damaged)?;
    Ok((Compiled { module, layout, image, code }, whole))
}

/// What later steps rely on without looking.
fn check(compiled: &Compiled) -> Result<(), ArtifactError> {
    let Compiled { module, layout, image, code } = compiled;
    let len = code.text.len();
    let inside = |offset: u32| (offset as usize) < len;
    let trampolines = code.entries.iter().chain(&code.exits).all(|(_, offset)| inside(*offset));
    let funcs = code.funcs.len() + module.num_imported_funcs as usize == module.funcs.len()
        && code.funcs.iter().all(|func| func.start <= func.end && func.end as usize <= len);
    let mut end = 0;
    let extents = image.memory.iter().all(|extent| {
        let from = extent.offset;
        let fits = from >= end && from % HOST_PAGE == 0 && extent.bytes.len() % PAGE == 0;
        end = from.saturating_add(extent.bytes.len() as u64);
        fits && end <= image.memory_size
    });
    let sizes = image.memory_size <= MEMORY_RESERVED
        && image.memory_size % HOST_PAGE == 0
        && image.state.len() as u64 >= layout.state_size;
    if trampolines && funcs && extents && sizes {
        return Ok(());
    }
    Err(ArtifactError::Damaged("its parts do not fit together"))
}

#[cfg(test)]
mod tests;
