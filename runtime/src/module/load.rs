//! Makes a module from bytes: compiles them, places their code, and completes the image with what
//! only this process knows.

use super::module::{Module, PrototypeParts, prototype_of_parts};
use super::objects::Objects;
use super::perf_map;
use crate::code::LoadedCode;
use crate::cow::ImageParts;
use crate::engine::{Engine, ProfilingStrategy, binary_format, refuse_artifact};
use crate::pool::{Program, Prototype};
use crate::sys::mapping::page_size;
use crate::sys::memfd::ImageFile;
use crate::types::RegisteredTypes;
use anyhow::{Context, Result};
use minirt_compiler::Compiled;
use minirt_compiler::base::sparse::SparseBytes;
use minirt_compiler::instance::empty_heap;
use minirt_compiler::instance::image::{InitialImage, MemoryImage};
use minirt_compiler::instance::layout::object::HEAP_MAX;
use minirt_compiler::instance::layout::{HOST, Layout, func_record};
use minirt_compiler::module::canonical::numbers_in;
use minirt_compiler::module::{MemoryType, ModuleInfo, WASM_PAGE};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

impl Module {
    /// Compiles a module from the binary format, or with the feature `wat` from the text format.
    ///
    /// # Errors
    /// Returns an error if the module is not valid, uses a feature that minirt lacks, or exceeds a
    /// limit. It downcasts to [`CompileError`](crate::CompileError), which has the byte offset.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::from_binary(engine, &binary_format(bytes.as_ref())?)
    }

    /// Compiles a module from the binary format. Text is an error, also with the feature `wat`.
    ///
    /// # Errors
    /// The same as [`Module::new`].
    pub fn from_binary(engine: &Engine, binary: &[u8]) -> Result<Self> {
        refuse_artifact(binary)?;
        Self::from_compiled(engine, engine.compiler().compile(binary)?)
    }

    /// Compiles the module in a file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, and the same as [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
        Self::new(engine, bytes).with_context(|| format!("could not compile `{}`", path.display()))
    }

    /// Checks that bytes are a valid module in the binary format. Nothing is compiled.
    ///
    /// # Errors
    /// The same as [`Module::new`].
    pub fn validate(engine: &Engine, bytes: &[u8]) -> Result<()> {
        refuse_artifact(bytes)?;
        Ok(engine.compiler().validate(bytes)?)
    }

    pub(crate) fn from_compiled(engine: &Engine, compiled: Compiled) -> Result<Self> {
        let Compiled { module, layout, image, code } = compiled;
        let image = Start { image, memory_file: None };
        Ok(Self::of(engine, &load(engine, module, layout, image, LoadedCode::new(code)?, engine.memory_init_cow())?))
    }

    /// Makes a module of something that the embedder defines. It has one instance, so its image is
    /// copied: a file would only take a descriptor.
    ///
    /// # Errors
    /// Returns an error if there is no memory for it, or its type is unknown.
    pub(crate) fn of_definition(engine: &Engine, compiled: Compiled) -> Result<Self> {
        let Compiled { module, layout, image, code } = compiled;
        let image = Start { image, memory_file: None };
        Ok(Self::of(engine, &load(engine, module, layout, image, LoadedCode::new(code)?, false)?))
    }
}

impl Module {
    /// Makes a module whose instances have nothing but an empty heap.
    ///
    /// # Errors
    /// Returns an error if there is no memory for it.
    pub(crate) fn of_heap(engine: &Engine) -> Result<Self> {
        let parts = parts_of_memory(engine, HEAP, empty_heap(page_size() as u64))?;
        Ok(Self::of(engine, &prototype_of_parts(engine, parts, Vec::new(), false)))
    }
}

/// The contents of instances at the start, as the compiler or an artifact has them.
pub(super) struct Start {
    pub(super) image: InitialImage,
    /// A file that has the first memory.
    pub(super) memory_file: Option<ImageFile>,
}

/// Completes what the compiler made with what only this process knows.
///
/// # Errors
/// Returns an error if the embedder has defined something of an unknown type, or if the profiler
/// cannot be told.
pub(super) fn load(
    engine: &Engine,
    info: ModuleInfo,
    layout: Layout,
    start: Start,
    code: Arc<LoadedCode>,
    mapped: bool,
) -> Result<Arc<Prototype>> {
    engine.ensure_runs_here()?;
    let own = info.memories.iter().skip(info.num_imported_memories as usize);
    let extra_memories = own.skip(1).copied().zip(start.image.extra_memories).collect::<Vec<_>>();
    let heap = start.image.heap;
    let image = InitialImage { extra_memories: Vec::new(), heap: None, ..start.image };
    let instance = parts_of(engine, info, layout, Start { image, ..start }, code)?;
    match engine.profiler() {
        ProfilingStrategy::None => {}
        ProfilingStrategy::PerfMap => perf_map::add(&instance.program)?,
    }
    engine.type_registry().check_supertypes()?;
    let extra_memories = extra_memories.into_iter().map(|(ty, image)| parts_of_memory(engine, ty, image));
    let mut extra_memories = extra_memories.collect::<Result<Vec<_>>>()?;
    if let Some(heap) = heap {
        extra_memories.push(parts_of_heap(engine, &instance.program, &heap)?);
    }
    Ok(prototype_of_parts(engine, instance, extra_memories, mapped))
}

fn parts_of(
    engine: &Engine,
    info: ModuleInfo,
    layout: Layout,
    start: Start,
    code: Arc<LoadedCode>,
) -> Result<PrototypeParts> {
    let Start { mut image, memory_file } = start;
    let types = register_types(engine, &info)?;
    complete_state(&mut image.state, &info, &layout, &code, &types);
    let program = Arc::new(Program { info, layout, code, types });
    let parts = ImageParts {
        state: image.state,
        extents: image.memory,
        memory: image.memory_size as usize,
        memory_file,
        ..image_parts(&program.layout)
    };
    Ok(PrototypeParts { program, image: parts, remaining: image.remaining })
}

/// Returns what instances are made of that have nothing but a memory.
fn parts_of_memory(engine: &Engine, ty: MemoryType, start: MemoryImage) -> Result<PrototypeParts> {
    let ty = MemoryType { minimum: start.size / ty.page_size(), ..ty };
    let compiled = engine.compiler().without_code(ModuleInfo { memories: vec![ty], ..ModuleInfo::default() })?;
    let Compiled { module, layout, mut image, code } = compiled;
    image.memory = start.extents;
    parts_of(engine, module, layout, Start { image, memory_file: None }, LoadedCode::new(code)?)
}

/// Returns what instances are made of that have nothing but a heap, with the objects of a module's
/// image.
fn parts_of_heap(engine: &Engine, program: &Program, image: &MemoryImage) -> Result<PrototypeParts> {
    let mut objects = Objects::of(image).context(NO_HEAP)?;
    let renumbered = objects.renumber(&program.info, Some, |index| program.types[index as usize]);
    renumbered.context(NO_HEAP)?;
    parts_of_memory(engine, HEAP, objects.into_image(image.size))
}

/// Returns what the layout says about an image. Offsets of a layout count from vmctx, those of an
/// image from the slot's start.
pub(crate) fn image_parts(layout: &Layout) -> ImageParts {
    let in_slot = |range: &Range<i32>| range.start.wrapping_sub(HOST) as usize..range.end.wrapping_sub(HOST) as usize;
    ImageParts {
        state_at: layout.host_size as usize,
        mutable: in_slot(&layout.mutable),
        constants: in_slot(&layout.constants),
        tables: in_slot(&layout.table_space),
        room: (layout.host_size + layout.state_room) as usize,
        ..ImageParts::default()
    }
}

/// Calls `part` with the offset and length of each place in the state that only this process can
/// fill.
pub(super) fn process_parts(info: &ModuleInfo, layout: &Layout, mut part: impl FnMut(usize, usize)) {
    let start = i64::from(HOST) + layout.host_size as i64;
    let mut at = |distance: i32, len: usize| part((i64::from(distance) - start) as usize, len);
    (0..info.types.len() as u32).for_each(|ty| at(layout.type_id(ty), size_of::<u32>()));
    for record in (info.num_imported_funcs..info.funcs.len() as u32).filter_map(|func| layout.func_record(func)) {
        at(record + func_record::CODE, size_of::<u64>());
        at(record + func_record::TYPE_ID, size_of::<u32>());
        at(record + func_record::ENTRY, size_of::<u64>());
    }
}

/// Registers the types of a module, or those that the description of something that the embedder
/// defines names.
///
/// # Errors
/// Returns an error if the embedder names a type that the engine does not know.
fn register_types(engine: &Engine, info: &ModuleInfo) -> Result<RegisteredTypes> {
    if !info.types.is_empty() {
        return Ok(engine.type_registry().register_module(info));
    }
    let in_globals = info.globals.iter().flat_map(numbers_in);
    let named: Vec<u32> =
        info.tables.iter().flat_map(numbers_in).chain(in_globals).chain(info.tags.iter().copied()).collect();
    let known = engine.type_registry().hold(&named);
    known.with_context(|| format!("one of the types {named:?} is not a function type of this engine"))
}

/// Fills these places: with type numbers, and in funcref records with the addresses of code.
fn complete_state(state: &mut SparseBytes, info: &ModuleInfo, layout: &Layout, code: &LoadedCode, ids: &[u32]) {
    let start = i64::from(HOST) + layout.host_size as i64;
    let mut put = |at: i32, bytes: &[u8]| {
        let from = (i64::from(at) - start) as usize;
        state.put(from, bytes);
    };
    for (ty, id) in (0..info.types.len() as u32).zip(ids) {
        put(layout.type_id(ty), &id.to_le_bytes());
    }
    for (defined, range) in code.tables().funcs.iter().enumerate() {
        let func = info.num_imported_funcs + defined as u32;
        let Some(record) = layout.func_record(func) else { continue };
        let ty = info.funcs[func as usize].ty;
        let entry = code.tables().entry(info.canonical_types[ty as usize]).expect("an escaping type has an entry");
        put(record + func_record::CODE, &(code.address(range.start) as u64).to_le_bytes());
        put(record + func_record::TYPE_ID, &ids[ty as usize].to_le_bytes());
        put(record + func_record::ENTRY, &(code.address(entry) as u64).to_le_bytes());
    }
}

/// The type of a heap.
const HEAP: MemoryType = MemoryType {
    minimum: 0,
    maximum: Some(HEAP_MAX / WASM_PAGE),
    memory64: false,
    page_size_log2: WASM_PAGE.trailing_zeros() as u8,
};

const NO_HEAP: &str = "the objects of the module's image do not fit together";
