//! Holds what all instances of a module share: description, layout, code and image.
//!
//! A module has one, and so has every snapshot: the same description and code with another image.
//! Users hold it through a `Module`; instances keep it alive on their own.

use crate::code::LoadedCode;
use crate::cow::Image;
use crate::types::{RegisteredTypes, Types};
use minirt_compiler::instance::image::Remaining;
use minirt_compiler::instance::layout::Layout;
use minirt_compiler::module::canonical::{NumberedTypes, Renumber};
use minirt_compiler::module::{ModuleInfo, Shown, TypeDef};
use rustc_hash::FxHashMap;
use std::any::Any;
use std::fmt::Display;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};

/// A program and an image, from which instances are made.
#[derive(Debug)]
pub(crate) struct Prototype {
    pub(crate) program: Arc<Program>,
    pub(crate) image: Arc<Image>,
    pub(crate) remaining: Remaining,
    /// For each memory that the module defines besides the first, and behind them for the heap if
    /// it needs one, what an instance with nothing but that is made from.
    pub(crate) extra_memories: Vec<Arc<Self>>,
    /// The handle that embedders hold, as long as one of them does.
    pub(crate) handle: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// Set when nobody can make instances any more. Slots are then not kept for another.
    pub(crate) retired: AtomicBool,
}

/// The part that does not depend on the image.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) info: ModuleInfo,
    pub(crate) layout: Layout,
    pub(crate) code: Arc<LoadedCode>,
    /// The engine's number for each type. Where the embedder defines something, the description has
    /// no types, but names them by the engine's numbers from the start: then these are the ones
    /// that it names.
    pub(crate) types: RegisteredTypes,
}

impl Prototype {
    pub(crate) fn new(
        program: Arc<Program>,
        image: Image,
        remaining: Remaining,
        extra_memories: Vec<Arc<Self>>,
    ) -> Self {
        let (image, retired) = (Arc::new(image), AtomicBool::new(false));
        Self { program, image, remaining, extra_memories, handle: OnceLock::new(), retired }
    }

    /// Returns the prototypes of the memories that the module defines besides the first.
    pub(crate) fn memories(&self) -> &[Arc<Self>] {
        &self.extra_memories[..self.extra_memories.len() - usize::from(self.info().needs_heap())]
    }

    /// Returns the prototype of the heap, if instances need one.
    pub(crate) fn heap(&self) -> Option<&Arc<Self>> {
        // Each instantiation asks. Only of modules that may have one are the types looked through.
        self.extra_memories.last().filter(|_| self.info().needs_heap())
    }

    pub(crate) fn info(&self) -> &ModuleInfo {
        &self.program.info
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.program.layout
    }

    pub(crate) fn code(&self) -> &LoadedCode {
        &self.program.code
    }

    /// Returns the engine's number for a type.
    pub(crate) fn type_id(&self, ty: u32) -> u32 {
        if self.info().types.is_empty() { ty } else { self.program.types[ty as usize] }
    }

    /// Returns the module's index for each of the engine's numbers that its types have.
    pub(crate) fn type_indices(&self) -> FxHashMap<u32, u32> {
        (0..).zip(self.program.types.iter()).map(|(index, number)| (*number, index)).collect()
    }

    /// Returns the name that the module's name section gives to the type with one of the engine's
    /// numbers. If several of its types have the number, it is the first name.
    pub(crate) fn type_name(&self, number: u32) -> Option<&str> {
        let info = self.info();
        if info.types.is_empty() {
            return None;
        }
        let all = (0..).zip(self.program.types.iter()).filter(|(_, known)| **known == number);
        all.filter_map(|(index, _)| info.type_names.get(index)).next()
    }

    /// Returns a type as text, with the module's names of those that it names.
    pub(crate) fn shown<T>(&self, types: Types<'_>, ty: &T) -> String
    where
        for<'a> Shown<'a, T>: Display,
    {
        Shown::new(ty, &NamedTypes { types, names: self }).to_string()
    }

    /// Returns the engine's number for the type of a function.
    pub(crate) fn func_type_id(&self, func: u32) -> u32 {
        self.type_id(self.info().funcs[func as usize].ty)
    }

    /// Returns the engine's number for the type of a tag.
    pub(crate) fn tag_type_id(&self, tag: u32) -> u32 {
        self.type_id(self.info().tags[tag as usize])
    }

    /// Returns the same type with the engine's numbers in place of type indices.
    pub(crate) fn in_engine<T: Renumber>(&self, ty: &T) -> T {
        ty.renumber(&|index| self.type_id(index))
    }
}

/// The types of an engine, with the names that a module has for some of them.
struct NamedTypes<'a> {
    types: Types<'a>,
    names: &'a Prototype,
}

impl NumberedTypes for NamedTypes<'_> {
    fn get(&self, number: u32) -> Option<&TypeDef> {
        self.types.get(number)
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.names.type_name(number)
    }
}
