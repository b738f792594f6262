//! Represents a module to an embedder: what it imports and exports, and what its instances are made
//! from.

use crate::cow::{Image, ImageParts};
use crate::engine::Engine;
use crate::pool::{Program, Prototype};
use minirt_compiler::instance::image::Remaining;
use minirt_compiler::module::{Entity, ExternType, ModuleInfo, Shown};
use std::any::Any;
use std::fmt::Display;
use std::sync::{Arc, Weak};

/// A compiled module, from which any number of instances can be made. Cloning gives another handle
/// to the same module, which threads can share.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

/// Embedders hold this. Instances hold the prototype alone, so that dropping the last handle is
/// noticed.
struct ModuleInner {
    engine: Engine,
    prototype: Arc<Prototype>,
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
    /// Returns the name that the module's name section gives to the type with one of the engine's
    /// numbers ([`Engine::type_number`]), such as `$point`, without the `$`. It is the guest's
    /// choice: print it as [`Printable`](crate::Printable).
    pub fn type_name(&self, number: u32) -> Option<&str> {
        self.prototype().type_name(number)
    }

    /// Returns a type as the text format has it, safe to print: a [`ValType`](crate::ValType), an
    /// [`ExternType`], or a part of one. Types that it names are shown in place of their numbers,
    /// those of structures and arrays by the names that the module has for them.
    pub fn display_type<T>(&self, ty: &T) -> String
    where
        for<'a> Shown<'a, T>: Display,
    {
        self.prototype().shown(self.inner.engine.types(), ty)
    }

    /// Returns whether this is the module of a snapshot
    /// ([`Instance::snapshot`](crate::Instance::snapshot)).
    pub fn is_snapshot(&self) -> bool {
        self.inner.prototype.remaining.snapshot
    }

    /// Returns the module that instances with this prototype are made from.
    pub(crate) fn of(engine: &Engine, prototype: &Arc<Prototype>) -> Self {
        let held = prototype.handle.get().and_then(Weak::upgrade).and_then(|handle| handle.downcast().ok());
        let inner = held.unwrap_or_else(|| {
            // Nobody holds it, or not any more: then nobody else makes instances of it, and it is
            // retired once more.
            let inner = Arc::new(ModuleInner { engine: engine.clone(), prototype: Arc::clone(prototype) });
            let handle: Arc<dyn Any + Send + Sync> = Arc::<ModuleInner>::clone(&inner);
            let _ = prototype.handle.set(Arc::downgrade(&handle));
            inner
        });
        Self { inner }
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

    pub(crate) fn prototype(&self) -> &Arc<Prototype> {
        &self.inner.prototype
    }
}

/// The parts that a prototype is made from.
pub(crate) struct PrototypeParts {
    pub(crate) program: Arc<Program>,
    pub(crate) image: ImageParts,
    pub(crate) remaining: Remaining,
}

/// Makes prototypes that belong together: that of a module's instances, which is returned, and
/// those of its further memories. `mapped` says whether slots map their images from a file, where
/// the system makes one.
pub(crate) fn prototype_of_parts(
    engine: &Engine,
    instance: PrototypeParts,
    extra_memories: Vec<PrototypeParts>,
    mapped: bool,
) -> Arc<Prototype> {
    let mut kept = Vec::with_capacity(1 + extra_memories.len());
    let mut image_parts = Vec::with_capacity(kept.capacity());
    for PrototypeParts { program, image, remaining } in std::iter::once(instance).chain(extra_memories) {
        kept.push((program, remaining));
        image_parts.push(image);
    }
    let images = Image::together(image_parts, mapped);
    engine.note_images(&images[0]);
    let mut all = kept.into_iter().zip(images);
    let ((program, remaining), image) = all.next().expect("one of the instances, at least");
    let memory = |((program, remaining), image)| Arc::new(Prototype::new(program, image, remaining, Vec::new()));
    Arc::new(Prototype::new(program, image, remaining, all.map(memory).collect()))
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        let pool = self.engine.pool();
        self.prototype.extra_memories.iter().for_each(|memory| pool.retire(memory));
        pool.retire(&self.prototype);
    }
}
