//! Turns bytes into a description: wasmparser reads and validates, `sections` keeps what matters.
//!
//! Function bodies are handed on together with what validates them. Nothing here knows where things
//! will sit in memory.

use super::info::ModuleInfo;
use super::named_segments;
use super::preamble;
use super::sections::Sections;
use crate::base::error::{CompileError, Feature};
use crate::base::printable::Printable;
use crate::settings::Features;
use wasmparser::{
    Chunk, FuncToValidate, FunctionBody, Parser, Payload, TypeRef, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
};

/// The features that a module may use: WebAssembly 3.0 without garbage collection, and beyond it
/// wide arithmetic, custom page sizes, and exceptions as they were before.
///
/// To add a feature, add it here when everything below handles it. wasmparser refuses what is not
/// here, by name and with its offset.
const ALL: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    // For atomic instructions; `convert` refuses shared memories.
    .union(WasmFeatures::THREADS)
    // wasmparser knows what types of functions need beyond that (recursive groups, subtypes,
    // references that are always null) as garbage collection only; `convert` and `instruction`
    // refuse the rest of it.
    .union(WasmFeatures::GC);

/// The features whose absence wasmparser can report, as minirt names them.
const FEATURES: [(WasmFeatures, Feature); 23] = [
    (WasmFeatures::ACQUIRE_RELEASE_ATOMICS, Feature::AcquireReleaseAtomics),
    (WasmFeatures::BULK_MEMORY, Feature::BulkMemory),
    (WasmFeatures::COMPACT_IMPORTS, Feature::CompactImports),
    (WasmFeatures::CUSTOM_DESCRIPTORS, Feature::CustomDescriptors),
    (WasmFeatures::CUSTOM_PAGE_SIZES, Feature::CustomPageSizes),
    (WasmFeatures::EXCEPTIONS, Feature::Exceptions),
    (WasmFeatures::EXTENDED_CONST, Feature::ExtendedConst),
    (WasmFeatures::FUNCTION_REFERENCES, Feature::FunctionReferences),
    (WasmFeatures::GC, Feature::Gc),
    (WasmFeatures::LEGACY_EXCEPTIONS, Feature::LegacyExceptions),
    (WasmFeatures::MEMORY64, Feature::Memory64),
    (WasmFeatures::MEMORY_CONTROL, Feature::MemoryControl),
    (WasmFeatures::MULTI_MEMORY, Feature::MultiMemory),
    (WasmFeatures::MULTI_VALUE, Feature::MultiValue),
    (WasmFeatures::MULTIBYTE_ARRAY_ACCESS, Feature::MultibyteArrayAccess),
    (WasmFeatures::REFERENCE_TYPES, Feature::ReferenceTypes),
    (WasmFeatures::RELAXED_SIMD, Feature::RelaxedSimd),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, Feature::SharedEverythingThreads),
    (WasmFeatures::SIMD, Feature::Simd),
    (WasmFeatures::STACK_SWITCHING, Feature::StackSwitching),
    (WasmFeatures::TAIL_CALL, Feature::TailCall),
    (WasmFeatures::THREADS, Feature::Threads),
    (WasmFeatures::WIDE_ARITHMETIC, Feature::WideArithmetic),
];

/// Returns the features as wasmparser knows them.
fn flags(features: Features) -> WasmFeatures {
    let mut flags = ALL;
    for (flag, feature) in FEATURES {
        if Features::SWITCHES.contains(&feature) && !features.has(feature) {
            flags.remove(flag);
        }
    }
    // What wasmparser calls garbage collection is, as far as minirt has it, part of function
    // references.
    flags.set(WasmFeatures::GC, features.has(Feature::FunctionReferences));
    flags
}

/// Returns wasmparser's words. They may quote names of the module.
fn message(error: &wasmparser::Error) -> String {
    /// Far more characters than wasmparser's own words have.
    const MOST: usize = 500;
    Printable::with_limit(error.message(), MOST).to_string()
}

impl From<wasmparser::Error> for CompileError {
    fn from(error: wasmparser::Error) -> Self {
        let offset = error.offset() as usize;
        let flags = error.missing_wasm_feature().unwrap_or(WasmFeatures::empty());
        match FEATURES.iter().find(|(flag, _)| flags.intersects(*flag)) {
            Some((_, feature)) => Self::unsupported(*feature, "", offset),
            None => Self::malformed(message(&error), offset),
        }
    }
}

/// A module whose sections are valid, and whose bodies are for `validate`.
pub(crate) struct Parsed<'a> {
    pub(crate) info: ModuleInfo,
    pub(crate) bodies: Vec<Body<'a>>,
}

/// A function body and what validates it, by index among the defined functions.
pub(crate) struct Body<'a> {
    pub(crate) validator: FuncToValidate<ValidatorResources>,
    pub(crate) body: FunctionBody<'a>,
}

/// Reads and validates a module's sections.
///
/// # Errors
/// Returns an error if a section breaks a rule of the specification, or uses a feature that minirt
/// does not have or that is switched off.
pub(crate) fn parse(bytes: &[u8], features: Features) -> Result<Parsed<'_>, CompileError> {
    preamble::check(bytes)?;
    let mut sections = Sections::new(features);
    let mut bodies = Vec::new();
    let flags = flags(features);
    let mut validator = Validator::new_with_features(flags);
    let mut reader = PayloadReader::new(bytes, flags);
    while let Some(payload) = reader.next()? {
        match validator.payload(&payload) {
            Ok(ValidPayload::Func(validator, body)) => bodies.push(Body { validator, body }),
            Ok(_) => {}
            Err(error) => return Err(refusal(&error, features, &sections.info, &payload)),
        }
        sections.add(payload)?;
    }
    let mut info = sections.info;
    info.find_equal_types();
    for (func, body) in info.funcs.iter_mut().skip(info.num_imported_funcs as usize).zip(&bodies) {
        func.body = body.body.range().start as u32;
    }
    named_segments::note(&mut info, bodies.iter().map(|body| &body.body));
    Ok(Parsed { info, bodies })
}

/// Returns why a section is not valid, also where wasmparser's error does not say that a feature is
/// missing.
fn refusal(error: &wasmparser::Error, features: Features, info: &ModuleInfo, payload: &Payload<'_>) -> CompileError {
    let offset = error.offset() as usize;
    match payload {
        // That something is missing shows only at the end.
        Payload::End(_) => CompileError::cut_off(message(error), offset),
        Payload::DataCountSection { .. } if !features.has(Feature::BulkMemory) => {
            CompileError::unsupported(Feature::BulkMemory, "", offset)
        }
        _ if !features.has(Feature::MultiMemory) && info.memories.len() + memories_in(payload) > 1 => {
            CompileError::unsupported(Feature::MultiMemory, "", offset)
        }
        _ if !features.has(Feature::ReferenceTypes) && info.tables.len() + tables_in(payload) > 1 => {
            CompileError::unsupported(Feature::ReferenceTypes, "", offset)
        }
        _ => error.clone().into(),
    }
}

/// Returns how many memories a section imports or defines.
fn memories_in(payload: &Payload<'_>) -> usize {
    match payload {
        Payload::ImportSection(section) => imports_in(section, |ty| matches!(ty, TypeRef::Memory(_))),
        Payload::MemorySection(section) => section.count() as usize,
        _ => 0,
    }
}

/// Returns how many tables a section imports or defines.
fn tables_in(payload: &Payload<'_>) -> usize {
    match payload {
        Payload::ImportSection(section) => imports_in(section, |ty| matches!(ty, TypeRef::Table(_))),
        Payload::TableSection(section) => section.count() as usize,
        _ => 0,
    }
}

fn imports_in(section: &wasmparser::ImportSectionReader<'_>, of: impl Fn(TypeRef) -> bool) -> usize {
    section.clone().into_imports().map_while(Result::ok).filter(|import| of(import.ty)).count()
}

/// Reads a module section by section, and function body by function body.
struct PayloadReader<'a> {
    parser: Parser,
    rest: &'a [u8],
    ended: bool,
}

impl<'a> PayloadReader<'a> {
    fn new(bytes: &'a [u8], flags: WasmFeatures) -> Self {
        let mut parser = Parser::new(0);
        // Otherwise it would read the encodings of all features, also of those that are not there.
        parser.set_features(flags);
        Self { parser, rest: bytes, ended: false }
    }

    /// Returns the next payload, and `None` after the end.
    fn next(&mut self) -> Result<Option<Payload<'a>>, CompileError> {
        if self.ended {
            return Ok(None);
        }
        let mut before = self.parser.clone();
        match self.parser.parse(self.rest, true) {
            Ok(Chunk::Parsed { consumed, payload }) => {
                self.rest = &self.rest[consumed..];
                self.ended = matches!(payload, Payload::End(_));
                Ok(Some(payload))
            }
            Ok(Chunk::NeedMoreData(_)) => Err(CompileError::internal("the parser asks for bytes behind the end")),
            // If more bytes would make a difference, some are missing.
            Err(error) => match before.parse(self.rest, false) {
                Ok(Chunk::NeedMoreData(_)) => Err(CompileError::cut_off(message(&error), error.offset() as usize)),
                Ok(Chunk::Parsed { .. }) | Err(_) => Err(error.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
