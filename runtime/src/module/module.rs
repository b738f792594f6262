//! A module in an embedder's hands: what its instances are made from, what they import and export.

use crate::cow::{Image, ImageParts};
use crate::engine::Engine;
use crate::pool::{Program, Prototype};
use anyhow::{Context, Result};
use minirt_compiler::instance::image::Remaining;
use minirt_compiler::module::{Entity, ExternType, ModuleInfo};
use std::sync::Arc;

/// A compiled module, from which any number of instances can be made. Cloning gives another handle to the
/// same module, which threads can share.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

/// Embedders hold this. Instances hold the prototype alone, so that dropping the last handle is noticed.
struct ModuleInner {
    engine: Engine,
    prototype: Arc<Prototype>,
    /// One module for each memory that it defines besides the first: it has nothing but that memory.
    extra_memories: Vec<Module>,
}

/// An import of a module: its name and type.
#[derive(Clone, Copy, Debug)]
pub struct ImportType<'a> {
    module: &'a Module,
    import: &'a minirt_compiler::module::Import,
}

impl<'a> ImportType<'a> {
    /// Returns the first part of the import's name, usually called the module.
    pub fn module(&self) -> &'a str {
        &self.import.module
    }

    /// Returns the second part of the import's name.
    pub fn name(&self) -> &'a str {
        &self.import.name
    }

    /// Returns the type that is expected.
    pub fn ty(&self) -> ExternType {
        self.module.type_of(self.import.entity)
    }
}

/// An export of a module: its name and type.
#[derive(Clone, Copy, Debug)]
pub struct ExportType<'a> {
    module: &'a Module,
    export: &'a minirt_compiler::module::Export,
}

impl<'a> ExportType<'a> {
    /// Returns the name, which is unique among the module's exports.
    pub fn name(&self) -> &'a str {
        &self.export.name
    }

    /// Returns the type.
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
    /// Returns whether this is the module of a snapshot ([`Instance::snapshot`](crate::Instance::snapshot)).
    pub fn is_snapshot(&self) -> bool {
        self.inner.prototype.remaining.snapshot
    }

    pub(crate) fn from_parts(
        engine: &Engine,
        program: Arc<Program>,
        parts: ImageParts,
        remaining: Remaining,
        extra_memories: Vec<Self>,
    ) -> Result<Self> {
        let image =
            Image::new(parts, engine.memory_init_cow()).context("could not make the image of a module's instances")?;
        let prototype = Arc::new(Prototype::new(program, image, remaining));
        Ok(Self { inner: Arc::new(ModuleInner { engine: engine.clone(), prototype, extra_memories }) })
    }

    /// Returns the engine that the module belongs to.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Returns the module's name, if its name section gives one.
    pub fn name(&self) -> Option<&str> {
        self.info().name.as_deref()
    }

    /// Returns the imports, in the module's order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        self.info().imports.iter().map(|import| ImportType { module: self, import })
    }

    /// Returns the exports, in the module's order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        self.info().exports.iter().map(|export| ExportType { module: self, export })
    }

    /// Returns the type of an export, if there is one of this name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        self.info().export(name).map(|entity| self.type_of(entity))
    }

    fn type_of(&self, entity: Entity) -> ExternType {
        self.engine().type_of(self.prototype(), entity)
    }

    pub(crate) fn info(&self) -> &ModuleInfo {
        self.inner.prototype.info()
    }

    /// Returns the modules of the memories that it defines besides the first.
    pub(crate) fn extra_memories(&self) -> &[Self] {
        &self.inner.extra_memories
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
