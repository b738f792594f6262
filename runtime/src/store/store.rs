//! Owns everything that lives and dies together: a store.
//!
//! Instances, host functions and host values are made in a store and stay until it is dropped.
//! Handles are names for them. Since nothing in a store goes away before the store does, one
//! instance may point to another without counting references.

use super::activation::Activation;
use super::by_address::ByAddress;
use super::exceptions::Exceptions;
use super::extras::Extras;
use super::handle::StoreId;
use super::heap::Heap;
use super::host_values::HostValues;
use super::roots::Roots;
use super::stack_limit::StackLimit;
use crate::code::LoadedCode;
use crate::engine::Engine;
use crate::pool::InstanceData;
use crate::types::RegisteredTypes;
use crate::vmctx::{Allowance, FuncRecord, Header, HostContext, VmContext};
use anyhow::Result;
use smallvec::SmallVec;
use std::any::Any;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

/// Where instances live, together with the embedder's own data of type `T`.
///
/// Dropping a store ends all its instances and makes their slots ready for the next ones.
pub struct Store<T> {
    // Host cells hold addresses of the contents, so they must never move: a Box that is not used as
    // one.
    data: NonNull<StoreData<T>>,
    // Host functions know `T` and write it, so a store's `T` is exactly that, and no other lifetime
    // will do.
    invariant: PhantomData<fn(T) -> T>,
}

/// A store's contents. The same address serves as a pointer to either type.
#[repr(C)]
pub(crate) struct StoreData<T> {
    pub(crate) inner: StoreInner,
    pub(crate) data: T,
}

/// The part of a store that does not depend on `T`.
#[repr(C)]
pub(crate) struct StoreInner {
    /// How long its code may run. Its instances point here, and their code writes it.
    pub(crate) allowance: UnsafeCell<Allowance>,
    pub(crate) id: StoreId,
    pub(crate) engine: Engine,
    pub(crate) instances: SmallVec<[NonNull<InstanceData>; 2]>,
    by_address: ByAddress,
    /// Host functions that were made in this store, each in an allocation of its own.
    pub(crate) host_funcs: Vec<NonNull<HostFuncData>>,
    /// The values of the host that Wasm has references to, once there was one.
    pub(crate) host_values: Option<Box<HostValues>>,
    /// The references that the embedder holds.
    pub(crate) roots: Roots,
    /// The calls that are at work, the innermost first: null if there is none.
    pub(crate) activation: *mut Activation,
    /// How many of them have entered Wasm.
    pub(crate) depth: u32,
    /// The stack that the limit in the allowance is for.
    pub(crate) stack: StackLimit,
    /// The addresses of a stack on which it is called, as the embedder has said; none if it has
    /// not.
    pub(crate) announced_stack: Range<usize>,
    /// Whether any instance may differ from its image: code ran, or the host wrote.
    pub(crate) touched: bool,
    /// How a host function failed, until the call that entered Wasm returns.
    pub(crate) failure: Option<Failure>,
    /// Its exceptions, once there was one.
    pub(crate) exceptions: Option<Box<Exceptions>>,
    /// Where structures and arrays are, once an instance has brought a heap.
    pub(crate) heap: Option<Box<Heap>>,
    pub(super) extras: Option<Box<Extras>>,
}

// An instance points to its store where code looks for the allowance.
const _: () = assert!(offset_of!(StoreInner, allowance) == 0);

/// How a host function failed.
pub(crate) enum Failure {
    Error(anyhow::Error),
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    /// Runs a closure of the embedder's in the middle of a call from Wasm, through which nothing
    /// may unwind.
    #[inline]
    pub(crate) fn catch<R>(run: impl FnOnce() -> Result<R>) -> Result<R, Self> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(Self::Error),
            Err(payload) => Err(Self::Panic(payload)),
        }
    }
}

/// A host function that has a record of its own, so that references can point to it.
#[repr(C)]
pub(crate) struct HostFuncData {
    pub(crate) record: FuncRecord,
    pub(crate) context: HostContext,
    /// Keeps the type's number.
    pub(crate) _types: RegisteredTypes,
    /// The address of its store.
    pub(crate) store: usize,
    /// The closure that `context` points to, for as long as it does.
    pub(crate) _closure: Arc<dyn Any + Send + Sync>,
}

impl StoreInner {
    /// Makes an empty store in its place. It is not made elsewhere and moved: a round trip would
    /// take a tenth longer, because a copy in large pieces waits for what was just written in small
    /// ones.
    #[inline(never)]
    fn create_in(place: &mut MaybeUninit<Self>, engine: &Engine) {
        place.write(Self {
            allowance: UnsafeCell::new(Allowance { fuel: 0, epoch_deadline: 0, epoch: engine.epoch(), stack_limit: 0 }),
            id: StoreId::next(),
            engine: engine.for_store(),
            instances: SmallVec::new(),
            by_address: ByAddress::default(),
            host_funcs: Vec::new(),
            host_values: None,
            roots: Roots::default(),
            activation: std::ptr::null_mut(),
            depth: 0,
            stack: StackLimit::default(),
            announced_stack: 0..0,
            touched: false,
            failure: None,
            exceptions: None,
            heap: None,
            extras: None,
        });
    }

    pub(super) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Keeps the code of an exit trampoline as long as the store.
    pub(crate) fn keep_exit_trampoline(&mut self, code: Arc<LoadedCode>) {
        self.extras().exit_trampolines.push(code);
    }

    /// Returns an instance of this store.
    #[inline]
    pub(crate) fn instance(&self, index: u32) -> &InstanceData {
        // SAFETY: entries come from Box::into_raw and are freed only when the store is dropped.
        unsafe { self.instances[index as usize].as_ref() }
    }

    /// Returns the instance in whose slot an address lies, guards included.
    pub(crate) fn at_address(&self, address: usize) -> Option<NonNull<InstanceData>> {
        self.by_address.find(&self.instances, address)
    }

    /// Becomes the owner of an instance.
    #[inline]
    pub(crate) fn own(&mut self, instance: NonNull<InstanceData>) {
        self.instances.push(instance);
        self.by_address.update(&self.instances);
    }

    /// Gives the store's code this stack limit.
    #[inline]
    pub(crate) fn set_stack_limit(&mut self, stack: StackLimit) {
        self.allowance.get_mut().stack_limit = stack.limit;
        self.stack = stack;
    }

    /// Returns the store's address, for its instances and host functions to find it by while it is
    /// lent to a call.
    #[inline]
    pub(crate) fn address(&mut self) -> usize {
        std::ptr::from_mut(self).expose_provenance()
    }

    /// Returns the store of an instance.
    ///
    /// # Safety
    /// The instance must be alive.
    #[inline]
    pub(crate) unsafe fn of(vmctx: VmContext) -> NonNull<Self> {
        // SAFETY: the header was written when the instance was made: the caller's promise.
        let address = unsafe { *Header::allowance(vmctx) }.addr();
        // SAFETY: a store is never at address 0.
        unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(address)) }
    }

    /// Returns the store in which a host function is called with this context.
    ///
    /// # Safety
    /// The context must be that of a function in a store that is alive.
    #[inline]
    pub(crate) unsafe fn of_host_function(context: *const HostContext) -> NonNull<Self> {
        // SAFETY: the caller's promise. A function that no instance imports is one that was made in
        // the store.
        unsafe {
            match (*context).importer {
                Some(importer) => Self::of(importer),
                None => {
                    let data = context.byte_sub(offset_of!(HostFuncData, context)).cast::<HostFuncData>();
                    NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut((*data).store))
                }
            }
        }
    }
}

impl StoreInner {
    /// Gives all instances the addresses of the heap.
    pub(crate) fn publish_heap(&mut self) {
        for index in 0..self.instances.len() as u32 {
            // SAFETY: the instance is alive, and its host cell is mapped writable.
            unsafe { self.write_heap(self.instance(index).vmctx()) }
        }
    }

    /// Writes the addresses of the heap, if there is one, to a host cell. Otherwise whatever code
    /// does there faults.
    ///
    /// # Safety
    /// The host cell must be mapped, and nobody else use it.
    #[inline]
    pub(crate) unsafe fn write_heap(&self, vmctx: VmContext) {
        let heap = self.heap.as_deref().map_or(vmctx.at(0), Heap::base);
        let owner = self.heap.as_ref().map_or(vmctx, |heap| heap.owner);
        // SAFETY: the caller's promise.
        unsafe {
            *Header::heap(vmctx) = heap;
            *Header::heap_owner(vmctx) = owner;
        }
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        /// Closures that are dropped on the way may panic. The rest is torn down all the same.
        struct TearDown<'a>(&'a mut StoreInner);
        impl Drop for TearDown<'_> {
            fn drop(&mut self) {
                self.0.tear_down();
            }
        }
        TearDown(self).0.tear_down();
    }
}

impl StoreInner {
    /// Gives all slots back, and frees what instances pointed to.
    fn tear_down(&mut self) {
        self.by_address = ByAddress::default();
        while let Some(instance) = self.instances.pop() {
            // SAFETY: it came from Box::into_raw, and has left the list.
            let mut data = unsafe { Box::from_raw(instance.as_ptr()) };
            if self.touched {
                data.slot.mark_dirty();
            }
            self.engine.pool().put(data);
        }
        while let Some(func) = self.host_funcs.pop() {
            // SAFETY: it was leaked from a Box when it was made, and has left the list.
            drop(unsafe { Box::from_raw(func.as_ptr()) });
        }
    }
}

// SAFETY: the pointers in a store are to what it owns, and none of its code runs while it can be
// moved, since a running call borrows it.
unsafe impl Send for StoreInner {}
// SAFETY: a shared store is only read.
unsafe impl Sync for StoreInner {}

// SAFETY: a store owns its data like a Box.
unsafe impl<T: Send> Send for Store<T> {}
// SAFETY: a shared store gives out shared references only.
unsafe impl<T: Sync> Sync for Store<T> {}

impl<T> Store<T> {
    /// Creates an empty store.
    pub fn new(engine: &Engine, data: T) -> Self {
        let mut place = Box::<StoreData<T>>::new_uninit();
        let contents = place.as_mut_ptr();
        // SAFETY: the pointers are to the two fields of the allocation. Both are written, and then
        // it is initialised.
        let data = unsafe {
            StoreInner::create_in(&mut *(&raw mut (*contents).inner).cast(), engine);
            (&raw mut (*contents).data).write(data);
            NonNull::from(Box::leak(place.assume_init()))
        };
        // Its instances and host functions will find it by its address.
        data.as_ptr().expose_provenance();
        Self { data, invariant: PhantomData }
    }

    pub(super) fn contents(&self) -> &StoreData<T> {
        // SAFETY: the pointer is to the leaked Box, which is freed only by `drop` or `into_data`.
        unsafe { self.data.as_ref() }
    }

    pub(super) fn contents_mut(&mut self) -> &mut StoreData<T> {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.data.as_mut() }
    }

    /// Returns the engine whose modules can be instantiated here.
    pub fn engine(&self) -> &Engine {
        &self.contents().inner.engine
    }

    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        &self.contents().data
    }

    /// Returns the embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.contents_mut().data
    }

    /// Drops the store and returns the embedder's data.
    pub fn into_data(self) -> T {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the pointer is to the leaked Box, and `this` is never dropped or used again.
        let contents = unsafe { Box::from_raw(this.data.as_ptr()) };
        contents.data
    }
}

impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is to the leaked Box, and is not used after this.
        drop(unsafe { Box::from_raw(self.data.as_ptr()) });
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<T: Default> Default for Store<T> {
    fn default() -> Self {
        Self::new(&Engine::default(), T::default())
    }
}
