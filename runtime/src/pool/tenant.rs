//! Describes an instance to its store and its own code: its slot, and its prototype.
//!
//! When the instance dies, all of this stays together for the next one: its description stays at
//! the same address, so even what the host cell says about it is still right.

use super::prototype::Prototype;
use crate::cow::Slot;
use crate::vmctx::{Header, View, VmContext};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Closures that an instance's imports point to.
pub(crate) struct Closures {
    pub(crate) list: Box<[Arc<dyn Any + Send + Sync>]>,
    /// Whether more instances with just these imports are to come. Only then do idle instances keep
    /// them alive.
    pub(crate) reusable: AtomicBool,
}

impl std::fmt::Debug for Closures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Closures").field(&self.list.len()).finish()
    }
}

/// The purpose of an instance, which decides what it counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An instance of a user's module.
    Instance,
    /// Something that the embedder defines.
    Definition,
    /// One of the memories of an instance, which has counted it.
    Memory,
    /// The heap of a store.
    Heap,
}

/// An instance. It never moves, because its host cell points to it.
#[derive(Debug)]
pub(crate) struct InstanceData {
    pub(crate) slot: Slot,
    pub(crate) prototype: Arc<Prototype>,
    /// Its place in the store. Right after it are the instances of the other memories that its
    /// module defines.
    pub(crate) index: u32,
    pub(crate) role: Role,
    /// Whether the references in its state lead into its store's heap. Not so before it was
    /// attached to it.
    pub(crate) is_attached: bool,
    /// The closures that its imports point to, kept for as long as they do.
    pub(crate) closures: Option<Arc<Closures>>,
    /// Whether all its imports are these closures. The host cell then serves another instance that
    /// imports the same.
    pub(crate) host_only: bool,
}

impl InstanceData {
    /// Makes the description of an instance of `prototype` in a slot that carries its image.
    pub(crate) fn new(slot: Slot, prototype: Arc<Prototype>) -> Box<Self> {
        Box::new(Self {
            slot,
            prototype,
            index: 0,
            role: Role::Instance,
            is_attached: false,
            closures: None,
            host_only: false,
        })
    }

    /// Takes the closures out if the next instance will not import the same.
    pub(crate) fn release_closures(&mut self) -> Option<Arc<Closures>> {
        let reusable = |closures: &mut Arc<Closures>| self.host_only && closures.reusable.load(SeqCst);
        let released = self.closures.take_if(|closures| !reusable(closures));
        self.host_only &= released.is_none();
        released
    }

    pub(crate) fn vmctx(&self) -> VmContext {
        self.slot.vmctx()
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { vmctx: self.vmctx(), module: self.prototype.info(), layout: self.prototype.layout() }
    }

    /// Returns the instance that a vmctx belongs to, to be read.
    ///
    /// # Safety
    /// It must be that of a live instance, whose description nobody changes at this time.
    pub(crate) unsafe fn shared<'a>(vmctx: VmContext) -> &'a Self {
        // SAFETY: as in `of`, and the caller says that all others only read as well.
        unsafe { &**Header::instance::<Self>(vmctx) }
    }

    /// Returns the instance that a vmctx belongs to, to be changed.
    ///
    /// # Safety
    /// It must be that of a live instance, and nobody else may be using the description at this
    /// time.
    pub(crate) unsafe fn of<'a>(vmctx: VmContext) -> &'a mut Self {
        // SAFETY: the header was written when the instance was made and points to what its store
        // owns; the caller says that the instance is alive and that the reference is the only one.
        unsafe { &mut **Header::instance::<Self>(vmctx) }
    }
}
