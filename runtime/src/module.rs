//! A module: its description, its machine code in executable memory, and the image of its instances.

use crate::code::LoadedCode;
use crate::cow::{Image, ImageParts};
use crate::engine::Engine;
use crate::prototype::{Program, Prototype, Remaining};
use crate::sys::mapping::PAGE;
use anyhow::{Context, Result};
use minirt_compiler::Compiled;
use minirt_compiler::code::Code;
use minirt_compiler::layout::{HOST, Layout, func_record};
use minirt_compiler::module::{ExternType, ModuleInfo, WASM_PAGE};
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
}

/// A module's import: what it asks for, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct ImportType<'a> {
    module: &'a ModuleInfo,
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
    module: &'a ModuleInfo,
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
        Self::from_compiled(engine, engine.compiler().compile(bytes)?)
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

    pub(crate) fn from_compiled(engine: &Engine, compiled: Compiled) -> Result<Self> {
        let Compiled { module: info, layout, mut image, code } = compiled;
        let code = LoadedCode::new(code)?;
        let ids: Vec<u32> = info.types.iter().map(|ty| engine.type_id(ty)).collect();
        complete_state(&mut image.state, &info, &layout, &code, &ids);
        let memory = match info.memories.len() as u32 - info.num_imported_memories {
            0 => 0,
            _ => info.memories[info.num_imported_memories as usize].minimum * WASM_PAGE,
        };
        let remaining = Remaining {
            globals: image.dynamic_globals,
            first_element: image.first_dynamic_element,
            first_data: image.first_dynamic_data,
            start: info.start,
        };
        let program = Arc::new(Program { info, layout, code, type_ids: ids });
        let parts = ImageParts {
            state: image.state,
            extents: image.memory,
            memory: memory as usize,
            ..image_parts(&program.layout)
        };
        Self::from_parts(engine, program, parts, remaining)
    }

    pub(crate) fn from_parts(
        engine: &Engine,
        program: Arc<Program>,
        parts: ImageParts,
        remaining: Remaining,
    ) -> Result<Self> {
        let image = Image::new(parts, engine.images()).context("could not make the image of a module's instances")?;
        let prototype = Arc::new(Prototype::new(program, image, remaining));
        Ok(Self { inner: Arc::new(ModuleInner { engine: engine.clone(), prototype }) })
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
        let module = self.info();
        module.imports.iter().map(move |import| ImportType { module, import })
    }

    /// What it offers, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        let module = self.info();
        module.exports.iter().map(move |export| ExportType { module, export })
    }

    /// The type of the export with a name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        self.info().export(name).map(|entity| self.info().type_of(entity))
    }

    pub(crate) fn info(&self) -> &ModuleInfo {
        self.inner.prototype.info()
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

/// Fills in what only this process knows: type numbers, and in funcref records the addresses of code.
fn complete_state(state: &mut [u8], info: &ModuleInfo, layout: &Layout, code: &LoadedCode, ids: &[u32]) {
    let start = i64::from(HOST) + layout.host_size as i64;
    let mut put = |at: i32, bytes: &[u8]| {
        let from = (i64::from(at) - start) as usize;
        state[from..from + bytes.len()].copy_from_slice(bytes);
    };
    for (ty, id) in ids.iter().enumerate() {
        put(layout.type_id(ty as u32), &id.to_le_bytes());
    }
    let Code { funcs, .. } = code.tables();
    for (defined, range) in funcs.iter().enumerate() {
        let func = info.num_imported_funcs + defined as u32;
        let Some(record) = layout.func_record(func) else { continue };
        let ty = info.funcs[func as usize].ty;
        let entry = code.tables().entry(info.canonical_types[ty as usize]).expect("an escaping type has an entry");
        put(record + func_record::CODE, &(code.address(range.start) as u64).to_le_bytes());
        put(record + func_record::TYPE_ID, &ids[ty as usize].to_le_bytes());
        put(record + func_record::ENTRY, &(code.address(entry) as u64).to_le_bytes());
    }
}

const _: () = assert!((WASM_PAGE as usize).is_multiple_of(PAGE));
