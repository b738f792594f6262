//! A module in a user's hands: from what its instances are made, and what they import and export.

use crate::cow::{Image, ImageParts};
use crate::engine::Engine;
use crate::pool::{Program, Prototype, Remaining};
use anyhow::{Context, Result};
use minirt_compiler::module::{Entity, ExternType, ModuleInfo};
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
    /// Whether this is an instance that has run, frozen by [`Instance::snapshot`](crate::Instance::snapshot).
    pub fn is_snapshot(&self) -> bool {
        self.inner.prototype.remaining.snapshot
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
