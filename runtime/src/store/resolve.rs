//! Resolves export names to handles, and handles to addresses and types.

use super::context::AsContext;
use super::exceptions::TagNumber;
use super::handle::{Extern, Func, Global, Instance, Memory, Table, Tag};
use super::store::StoreInner;
use crate::pool::InstanceData;
use crate::pool::Prototype;
use crate::vmctx::{GlobalCell, MemorySpace, Space, TableSpace};
use minirt_compiler::instance::layout::GlobalPlace;
use minirt_compiler::module::{Entity, ExternType, FuncType, GlobalType, MemoryType, TableType, TagType};
use std::ptr::NonNull;

/// Returns the export with a name.
pub(crate) fn export_of(store: &StoreInner, instance: u32, name: &str) -> Option<Extern> {
    let entity = store.instance(instance).prototype.info().export(name)?;
    Some(handle_of(store, instance, entity))
}

/// Returns a handle to something that the instance exports.
pub(crate) fn handle_of(store: &StoreInner, instance: u32, entity: Entity) -> Extern {
    let of = Instance { store: store.id, index: instance };
    match entity {
        Entity::Func(func) => func_of(store, instance, func).into(),
        Entity::Table(index) => Table { instance: of, index }.into(),
        Entity::Memory(index) => Memory { instance: of, index }.into(),
        Entity::Global(index) => Global { instance: of, index }.into(),
        Entity::Tag(index) => Tag { instance: of, index }.into(),
    }
}

/// Returns a handle to a function that escapes.
#[inline]
pub(crate) fn func_of(store: &StoreInner, instance: u32, func: u32) -> Func {
    let data = store.instance(instance);
    let record = data.prototype.layout().func_record(func).expect("a function that is handed out escapes");
    let record = NonNull::new(data.vmctx().at(record)).expect("slots are not at address 0");
    Func { store: store.id, record }
}

// Every method here panics if the handle belongs to another store.

impl Func {
    pub(crate) fn type_number(self) -> u32 {
        // SAFETY: records live as long as their store, and their types never change.
        unsafe { self.record.as_ref() }.type_id
    }

    pub(crate) fn type_in(self, store: &StoreInner) -> FuncType {
        self.store.assert_same_store(store.id);
        store.engine.func_type(self.type_number())
    }
}

impl<E> Space<E> {
    /// Returns its current size: bytes of a memory, elements of a table.
    pub(crate) fn len(self) -> u64 {
        // SAFETY: spaces belong to live instances, and the size is part of the state.
        unsafe { *self.size }
    }
}

impl Memory {
    pub(crate) fn space(self, store: &StoreInner) -> MemorySpace {
        self.instance.store.assert_same_store(store.id);
        // SAFETY: the instance is alive, and its imports were written when it was made.
        unsafe { store.instance(self.instance.index).view().memory(self.index) }
    }

    /// Returns the type that its owner declares, with the current size as the minimum.
    pub(crate) fn type_in(self, store: &StoreInner) -> MemoryType {
        let space = self.space(store);
        // SAFETY: the owner is alive, and only what never changes is read.
        let owner = unsafe { InstanceData::shared(space.owner) };
        let declared = owner.prototype.info().memories[space.index as usize];
        MemoryType { minimum: space.len() / declared.page_size(), ..declared }
    }
}

impl Table {
    pub(crate) fn space(self, store: &StoreInner) -> TableSpace {
        self.instance.store.assert_same_store(store.id);
        // SAFETY: the instance is alive, and its imports were written when it was made.
        unsafe { store.instance(self.instance.index).view().table(self.index) }
    }

    /// Returns the type that its owner declares, with the current size as the minimum.
    pub(crate) fn type_in(self, store: &StoreInner) -> TableType {
        let space = self.space(store);
        // SAFETY: the owner is alive, and only what never changes is read.
        let owner = unsafe { InstanceData::shared(space.owner) };
        let declared = owner.prototype.in_engine(&owner.prototype.info().tables[space.index as usize]);
        TableType { minimum: space.len(), ..declared }
    }
}

impl Global {
    pub(crate) fn cell(self, store: &StoreInner) -> GlobalCell {
        self.instance.store.assert_same_store(store.id);
        // SAFETY: the instance is alive, and its imports were written when it was made.
        unsafe { store.instance(self.instance.index).view().global(self.index) }
    }

    /// Returns the type that its owner declares. An instance that imports it may have asked for
    /// less.
    pub(crate) fn type_in(self, store: &StoreInner) -> GlobalType {
        self.instance.store.assert_same_store(store.id);
        let prototype = &store.instance(self.instance.index).prototype;
        match prototype.layout().global(self.index) {
            GlobalPlace::State(_) => global_type(prototype, self.index),
            GlobalPlace::Import(_) => self.cell(store).type_at_owner(),
        }
    }
}

impl Tag {
    /// Returns what makes the tag the same as others, through however many instances each was
    /// imported.
    pub(crate) fn number(self, store: &StoreInner) -> TagNumber {
        self.instance.store.assert_same_store(store.id);
        // SAFETY: the instance is alive, and its imports were written when it was made.
        unsafe { tag_number(store.instance(self.instance.index), self.index) }
    }

    /// Returns the engine's number for its type.
    pub(crate) fn type_number(self, store: &StoreInner) -> u32 {
        self.instance.store.assert_same_store(store.id);
        store.instance(self.instance.index).prototype.tag_type_id(self.index)
    }

    pub(crate) fn type_in(self, store: &StoreInner) -> TagType {
        TagType::new(store.engine.func_type(self.type_number(store)))
    }

    /// Returns the tag with a number.
    pub(crate) fn of_number(store: &StoreInner, number: TagNumber) -> Self {
        Self { instance: Instance { store: store.id, index: number.instance() }, index: number.index() }
    }
}

/// Returns the number of a tag of an instance.
///
/// # Safety
/// The instance's imports must be written.
#[inline]
pub(crate) unsafe fn tag_number(data: &InstanceData, tag: u32) -> TagNumber {
    if tag >= data.prototype.info().num_imported_tags {
        return TagNumber::new(data.index, tag);
    }
    // SAFETY: the entry lies in the host cell, and was written when the instance was made: the
    // caller's promise.
    unsafe { *data.vmctx().at(data.prototype.layout().import_tag(tag)) }
}

impl GlobalCell {
    fn type_at_owner(self) -> GlobalType {
        // SAFETY: cells belong to live instances, and only what never changes is read.
        let prototype = &unsafe { InstanceData::shared(self.owner) }.prototype;
        let distance = (self.address as usize).wrapping_sub(self.owner.address()) as i32;
        let index = prototype.layout().global_at(distance);
        global_type(prototype, index.expect("a global is in the state of the instance that defines it"))
    }
}

fn global_type(prototype: &Prototype, index: u32) -> GlobalType {
    prototype.in_engine(&prototype.info().globals[index as usize])
}

impl Extern {
    pub(crate) fn type_in(self, store: &StoreInner) -> ExternType {
        match self {
            Self::Func(it) => ExternType::Func(it.type_in(store)),
            Self::Table(it) => ExternType::Table(it.type_in(store)),
            Self::Memory(it) => ExternType::Memory(it.type_in(store)),
            Self::Global(it) => ExternType::Global(it.type_in(store)),
            Self::Tag(it) => ExternType::Tag(it.type_in(store)),
        }
    }

    /// Returns its type. Memories and tables have their current size as the minimum.
    ///
    /// # Panics
    /// Panics if it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.type_in(&store.as_context().0.inner)
    }
}
