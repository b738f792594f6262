//! A module: its description, its machine code in executable memory, and the image of its instances.

use crate::code::LoadedCode;
use crate::cow::{Image, ImageParts};
use crate::engine::Engine;
use crate::pool::{Program, Prototype, Remaining};
use crate::sys::mapping::FileView;
use crate::sys::mapping::PAGE;
use crate::sys::memfd::ImageFile;
use anyhow::{Context, Result, ensure};
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::image::{InitialImage, MemoryImage};
use minirt_compiler::instance::layout::{HOST, HOST_PAGE, Layout, MemoryPlace, func_record};
use minirt_compiler::module::{Entity, ExternType, MemoryType, ModuleInfo, WASM_PAGE};
use minirt_compiler::{Artifact, ArtifactError, Compiled, Compiler};
use rustix::fd::{AsFd, OwnedFd};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A compiled module, from which any number of instances can be made. Cloning gives another handle to the
/// same module; it can be shared between threads.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

/// What users hold. Instances hold the prototype alone, so that it shows when the last user has gone.
struct ModuleInner {
    engine: Engine,
    prototype: Arc<Prototype>,
    /// For each memory that it defines besides the first, a module that has nothing else.
    others: Vec<Module>,
}

/// A module's import: what it asks for, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct ImportType<'a> {
    module: &'a Module,
    import: &'a minirt_compiler::module::Import,
}

impl<'a> ImportType<'a> {
    /// The first part of the name.
    pub fn module(&self) -> &'a str {
        &self.import.module
    }

    /// The second part of the name.
    pub fn name(&self) -> &'a str {
        &self.import.name
    }

    /// What has to be provided.
    pub fn ty(&self) -> ExternType {
        self.module.type_of(self.import.entity)
    }
}

/// A module's export: what it offers, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct ExportType<'a> {
    module: &'a Module,
    export: &'a minirt_compiler::module::Export,
}

impl<'a> ExportType<'a> {
    /// The name, unique among the module's exports.
    pub fn name(&self) -> &'a str {
        &self.export.name
    }

    /// What it is.
    pub fn ty(&self) -> ExternType {
        self.module.type_of(self.export.entity)
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Module {
    /// Compiles a module from its binary format, or with the feature `wat` from its text format.
    ///
    /// # Errors
    /// When it is not valid, uses a feature that minirt lacks, or exceeds a limit: the error downcasts to
    /// [`CompileError`](crate::CompileError), which knows the byte offset.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        #[cfg(feature = "wat")]
        let bytes = &wat::parse_bytes(bytes)?;
        Self::from_binary(engine, bytes)
    }

    /// Compiles a module from its binary format, whatever the features: text is refused.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn from_binary(engine: &Engine, binary: &[u8]) -> Result<Self> {
        Self::from_compiled(engine, engine.compiler().compile(binary)?)
    }

    /// Compiles the module in a file.
    ///
    /// # Errors
    /// When the file can not be read, and as [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
        Self::new(engine, bytes).with_context(|| format!("could not compile `{}`", path.display()))
    }

    /// Checks that bytes are a valid module in the binary format, without compiling it.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn validate(engine: &Engine, bytes: &[u8]) -> Result<()> {
        Ok(engine.compiler().validate(bytes)?)
    }

    /// What [`Module::deserialize`] and [`Module::deserialize_file`] take: the bytes of an artifact.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let prototype = &self.inner.prototype;
        let (mut state, memory, size) = prototype.image.parts();
        process_parts(prototype.info(), prototype.layout(), |at, len| state[at..at + len].fill(0));
        let Remaining { globals, tables, first_element, first_data, start, snapshot } = prototype.remaining.clone();
        let image = InitialImage {
            state,
            memory,
            memory_size: size as u64,
            others: self.others().iter().map(Self::memory_image).collect(),
            dynamic_globals: globals,
            dynamic_tables: tables,
            first_dynamic_element: first_element,
            first_dynamic_data: first_data,
            start,
            snapshot,
        };
        let (module, layout) = (prototype.info().clone(), prototype.layout().clone());
        let code = prototype.program.code.code();
        Ok(self.engine().compiler().serialize(&Compiled { module, layout, image, code }))
    }

    /// What the memory of a module that has only one starts with.
    fn memory_image(&self) -> MemoryImage {
        let prototype = &self.inner.prototype;
        let (state, extents, _) = prototype.image.parts();
        let MemoryPlace::Slot { size } = prototype.layout().memory(0) else { unreachable!("it is the first") };
        let at = (i64::from(size) - i64::from(HOST) - prototype.layout().host_size as i64) as usize;
        let size = state[at..at + 8].try_into().expect("eight bytes");
        MemoryImage { size: u64::from_le_bytes(size), extents }
    }

    /// Loads an artifact from memory, by copying it.
    ///
    /// # Errors
    /// When it is damaged, or was made by another version or for another machine: the error downcasts to
    /// [`ArtifactError`](crate::ArtifactError).
    ///
    /// # Safety
    /// The bytes must come from [`Module::serialize`], [`Engine::precompile_module`] or
    /// [`Snapshot::save`](crate::Snapshot::save): they are machine code, and will be run. What is checked finds
    /// accidents, not malice.
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = Bytes::from(bytes.as_ref().to_vec());
        let Artifact { compiled, .. } = engine.compiler().deserialize(&bytes, engine.check_artifacts())?;
        Self::from_compiled(engine, compiled)
    }

    /// Loads an artifact from a file, by mapping it: code and memory are read only when they are used.
    ///
    /// # Errors
    /// When the file can not be read or mapped, and as [`Module::deserialize`].
    ///
    /// # Safety
    /// As for [`Module::deserialize`]. Besides, nobody may write to the file or shorten it while the module or any
    /// instance of it exists. (To replace it, write another file and rename that.)
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Module};
    /// # let engine = Engine::default();
    /// let path = std::env::temp_dir().join(format!("example-{}.cwasm", std::process::id()));
    /// std::fs::write(&path, Module::new(&engine, "(module)")?.serialize()?)?;
    /// // SAFETY: the file is ours, and nobody writes to it.
    /// let module = unsafe { Module::deserialize_file(&engine, &path)? };
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let load = || {
            let file = File::open(path)?;
            let about = file.metadata()?;
            ensure!(about.is_file(), "it is not a regular file");
            if about.len() == 0 {
                return Err(ArtifactError::NotAnArtifact.into());
            }
            let file = Arc::new(OwnedFd::from(file));
            // SAFETY: the caller's promise.
            let view = unsafe { FileView::new(file.as_fd(), about.len() as usize) }?;
            let bytes = Bytes::new(Arc::new(view));
            let Artifact { compiled, text, memory } =
                engine.compiler().deserialize(&bytes, engine.check_artifacts())?;
            let Compiled { module, layout, image, code } = compiled;
            let code = LoadedCode::from_file(code, file.as_fd(), text.start, text.len())?;
            let memory = memory.map(|range| ImageFile::part(file, range.start, range.len()));
            Self::from_loaded(engine, module, layout, image, code, memory)
        };
        load().with_context(|| format!("could not load the artifact `{}`", path.display()))
    }

    /// Whether this is an instance that has run, frozen by [`Instance::snapshot`](crate::Instance::snapshot).
    pub fn is_snapshot(&self) -> bool {
        self.inner.prototype.remaining.snapshot
    }

    pub(crate) fn from_compiled(engine: &Engine, compiled: Compiled) -> Result<Self> {
        let Compiled { module, layout, image, code } = compiled;
        Self::from_loaded(engine, module, layout, image, LoadedCode::new(code)?, None)
    }

    fn from_loaded(
        engine: &Engine,
        info: ModuleInfo,
        layout: Layout,
        mut image: InitialImage,
        code: Arc<LoadedCode>,
        memory_file: Option<ImageFile>,
    ) -> Result<Self> {
        let ids = engine.type_ids(&info);
        complete_state(&mut image.state, &info, &layout, &code, &ids);
        let remaining = Remaining {
            globals: image.dynamic_globals,
            tables: image.dynamic_tables,
            first_element: image.first_dynamic_element,
            first_data: image.first_dynamic_data,
            start: image.start,
            snapshot: image.snapshot,
        };
        let own = info.memories.iter().skip(info.num_imported_memories as usize);
        let others = own.skip(1).zip(image.others).map(|(ty, image)| Self::of_memory(engine, *ty, image));
        let others = others.collect::<Result<_>>()?;
        let program = Arc::new(Program { info, layout, code, type_ids: ids });
        let parts = ImageParts {
            state: image.state,
            extents: image.memory,
            memory: image.memory_size as usize,
            memory_file,
            ..image_parts(&program.layout)
        };
        Self::from_parts(engine, program, parts, remaining, others)
    }

    /// A module that has only a memory.
    fn of_memory(engine: &Engine, ty: MemoryType, start: MemoryImage) -> Result<Self> {
        let ty = MemoryType { minimum: start.size / ty.page_size(), ..ty };
        let mut compiled = Compiler::without_code(ModuleInfo { memories: vec![ty], ..ModuleInfo::default() })?;
        compiled.image.memory = start.extents;
        Self::from_compiled(engine, compiled)
    }

    pub(crate) fn from_parts(
        engine: &Engine,
        program: Arc<Program>,
        parts: ImageParts,
        remaining: Remaining,
        others: Vec<Self>,
    ) -> Result<Self> {
        let image = Image::new(parts, engine.images()).context("could not make the image of a module's instances")?;
        let prototype = Arc::new(Prototype::new(program, image, remaining));
        Ok(Self { inner: Arc::new(ModuleInner { engine: engine.clone(), prototype, others }) })
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The name that its name section gives it.
    pub fn name(&self) -> Option<&str> {
        self.info().name.as_deref()
    }

    /// What it asks for, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        self.info().imports.iter().map(|import| ImportType { module: self, import })
    }

    /// What it offers, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        self.info().exports.iter().map(|export| ExportType { module: self, export })
    }

    /// The type of the export with a name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        self.info().export(name).map(|entity| self.type_of(entity))
    }

    fn type_of(&self, entity: Entity) -> ExternType {
        self.engine().type_of(self.prototype(), entity)
    }

    pub(crate) fn info(&self) -> &ModuleInfo {
        self.inner.prototype.info()
    }

    /// The modules of the memories that it defines besides the first.
    pub(crate) fn others(&self) -> &[Self] {
        &self.inner.others
    }

    pub(crate) fn prototype(&self) -> &Arc<Prototype> {
        &self.inner.prototype
    }
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        self.engine.pool().retire(&self.prototype);
    }
}

/// What the layout says about an image. Its offsets count from vmctx, an image's from the slot's start.
pub(crate) fn image_parts(layout: &Layout) -> ImageParts {
    let in_slot = |range: &Range<i32>| range.start.wrapping_sub(HOST) as usize..range.end.wrapping_sub(HOST) as usize;
    ImageParts {
        state_at: layout.host_size as usize,
        mutable: in_slot(&layout.mutable),
        tables: in_slot(&layout.table_space),
        room: (layout.host_size + layout.state_room) as usize,
        ..ImageParts::default()
    }
}

/// Calls `part` for each place in the state that only this process can fill: where it is, and how long.
fn process_parts(info: &ModuleInfo, layout: &Layout, mut part: impl FnMut(usize, usize)) {
    let start = i64::from(HOST) + layout.host_size as i64;
    let mut at = |distance: i32, len: usize| part((i64::from(distance) - start) as usize, len);
    (0..info.types.len() as u32).for_each(|ty| at(layout.type_id(ty), size_of::<u32>()));
    for record in (info.num_imported_funcs..info.funcs.len() as u32).filter_map(|func| layout.func_record(func)) {
        at(record + func_record::CODE, size_of::<u64>());
        at(record + func_record::TYPE_ID, size_of::<u32>());
        at(record + func_record::ENTRY, size_of::<u64>());
    }
}

/// Fills these places: type numbers, and in funcref records the addresses of code.
fn complete_state(state: &mut [u8], info: &ModuleInfo, layout: &Layout, code: &LoadedCode, ids: &[u32]) {
    let start = i64::from(HOST) + layout.host_size as i64;
    let mut put = |at: i32, bytes: &[u8]| {
        let from = (i64::from(at) - start) as usize;
        state[from..from + bytes.len()].copy_from_slice(bytes);
    };
    for (ty, id) in ids.iter().enumerate() {
        put(layout.type_id(ty as u32), &id.to_le_bytes());
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

const _: () = assert!((WASM_PAGE as usize).is_multiple_of(PAGE) && HOST_PAGE as usize == PAGE);
