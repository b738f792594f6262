//! Gives the compiler's layout Rust types: what stands where, seen from vmctx.
//!
//! Compiled code and this crate share memory through [`VmContext`]. The compiler owns the offsets
//! (`minirt_compiler::instance::layout`). The structures here mirror them, and are checked against
//! them when this file is compiled. Nothing here knows the life of an instance.

use minirt_compiler::instance::layout::{DropFlag, GlobalPlace, Layout, MemoryPlace, TablePlace};
use minirt_compiler::instance::layout::{
    ELEMENT_SIZE, VALUE_SIZE, allowance, func_record, header, host_context, import_func, import_global, import_space,
    import_tag,
};
use minirt_compiler::module::{ModuleInfo, RefKind, ValType};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Room for one Wasm value of any type where host and Wasm hand each other arguments and results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Raw(pub(crate) u128);

/// The pointer that compiled code holds into an instance's slot. Everything is at a distance from
/// it, and nothing at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct VmContext(pub(crate) NonNull<u8>);

impl VmContext {
    /// Returns the address at a distance that the layout gives. Code that dereferences it says why
    /// that is sound.
    #[inline]
    pub(crate) fn at<T>(self, distance: i32) -> *mut T {
        self.0.as_ptr().wrapping_offset(distance as isize).cast()
    }

    #[inline]
    pub(crate) fn address(self) -> usize {
        self.0.as_ptr() as usize
    }
}

/// A function that references can point to (`layout::func_record`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct FuncRecord {
    /// Machine code. Null in the record of a host function until Wasm gets a reference to it.
    pub(crate) code: *const u8,
    /// Distance from this record to the vmctx that the code expects.
    pub(crate) callee: isize,
    /// The engine's number for the type.
    pub(crate) type_id: u32,
    /// Host to Wasm; null for a host function, which needs no entering.
    pub(crate) entry: *const u8,
}

impl FuncRecord {
    /// Returns the vmctx that the code expects; for a host function, its [`HostContext`].
    pub(crate) fn callee(this: NonNull<Self>, distance: isize) -> *mut u8 {
        this.as_ptr().cast::<u8>().wrapping_offset(distance)
    }
}

/// An exit trampoline calls this with the context, the arguments (results replace them) and its own
/// frame. Returns 0; `HOST_FAILED` after leaving a failure in the store; or the address of the
/// function that throws the store's pending exception.
pub(crate) type HostCall = unsafe extern "C" fn(*const HostContext, *mut Raw, *const usize) -> u64;

/// A host function gets this in place of a vmctx (`layout::host_context`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct HostContext {
    pub(crate) call: HostCall,
    /// The closure. `call` knows its type.
    pub(crate) data: *const u8,
    /// The instance that imports the function; `None` for one reached through a reference.
    pub(crate) importer: Option<VmContext>,
}

/// The host cell's entry for an imported function (`layout::import_func`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct FuncImport {
    pub(crate) record: FuncRecord,
    /// The same vmctx as in the record, as an address.
    pub(crate) callee: *mut u8,
    /// Unused (and unset) where the import is a Wasm function.
    pub(crate) host: std::mem::MaybeUninit<HostContext>,
}

/// Where a memory or table is and who defines it, however many instances it was imported through.
/// The host cell has one for each that is imported (`layout::import_space`). `E` is the type of its
/// elements.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Space<E> {
    pub(crate) base: *mut E,
    /// Where its current number of elements stands.
    pub(crate) size: *mut u64,
    pub(crate) owner: VmContext,
    /// Its index in the defining instance.
    pub(crate) index: u32,
}

/// A linear memory: bytes.
pub(crate) type MemorySpace = Space<u8>;

/// A table: references, as the state keeps them.
pub(crate) type TableSpace = Space<u64>;

impl<E> Clone for Space<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Space<E> {}

/// The host cell's entry for an imported global (`layout::import_global`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct GlobalImport {
    pub(crate) address: *mut Raw,
    pub(crate) owner: VmContext,
}

/// The allowance of a store's code (`layout::allowance`): its fuel, its epoch deadline, and how far
/// down it may use the stack.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Allowance {
    /// Units of fuel that are left. Below 0 if the last stretch of code took more than there was.
    pub(crate) fuel: i64,
    /// The epoch at which code has to ask whether it may continue.
    pub(crate) epoch_deadline: u64,
    /// The engine's epoch, which lives as long as the engine.
    pub(crate) epoch: *const AtomicU64,
    /// The lowest stack pointer that code may reach.
    pub(crate) stack_limit: usize,
}

const _: () = {
    assert!(size_of::<Raw>() == VALUE_SIZE as usize);
    assert!(offset_of!(Allowance, fuel) == allowance::FUEL as usize);
    assert!(offset_of!(Allowance, epoch_deadline) == allowance::EPOCH_DEADLINE as usize);
    assert!(offset_of!(Allowance, epoch) == allowance::EPOCH as usize);
    assert!(offset_of!(Allowance, stack_limit) == allowance::STACK_LIMIT as usize);
    assert!(size_of::<Allowance>() == allowance::SIZE as usize);
    assert!(offset_of!(FuncRecord, code) == func_record::CODE as usize);
    assert!(offset_of!(FuncRecord, callee) == func_record::CALLEE as usize);
    assert!(offset_of!(FuncRecord, type_id) == func_record::TYPE_ID as usize);
    assert!(offset_of!(FuncRecord, entry) == func_record::ENTRY as usize);
    assert!(size_of::<FuncRecord>() == func_record::SIZE as usize);
    assert!(offset_of!(FuncImport, record) == import_func::RECORD as usize);
    assert!(offset_of!(FuncImport, callee) == import_func::CALLEE as usize);
    assert!(offset_of!(FuncImport, host) == import_func::HOST as usize);
    assert!(size_of::<FuncImport>() == import_func::SIZE as usize);
    assert!(offset_of!(HostContext, call) == host_context::CALL as usize);
    assert!(offset_of!(HostContext, data) == host_context::DATA as usize);
    assert!(offset_of!(HostContext, importer) == host_context::IMPORTER as usize);
    assert!(size_of::<HostContext>() == host_context::SIZE as usize);
    assert!(offset_of!(MemorySpace, base) == import_space::BASE as usize);
    assert!(offset_of!(MemorySpace, size) == import_space::SIZE_AT as usize);
    assert!(offset_of!(MemorySpace, owner) == import_space::OWNER as usize);
    assert!(offset_of!(MemorySpace, index) == import_space::INDEX as usize);
    assert!(size_of::<MemorySpace>() == import_space::SIZE as usize);
    assert!(size_of::<TableSpace>() == size_of::<MemorySpace>());
    assert!(size_of::<u64>() == ELEMENT_SIZE as usize);
    assert!(offset_of!(GlobalImport, address) == import_global::ADDRESS as usize);
    assert!(offset_of!(GlobalImport, owner) == import_global::OWNER as usize);
    assert!(size_of::<GlobalImport>() == import_global::SIZE as usize);
    assert!(size_of::<u64>() == import_tag::SIZE as usize && import_tag::NUMBER == 0);
};

/// A live instance as compiled code sees it: its vmctx, and the layout that explains it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) vmctx: VmContext,
    pub(crate) module: &'a ModuleInfo,
    pub(crate) layout: &'a Layout,
}

/// Where a global is and who defines it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GlobalCell {
    pub(crate) address: *mut Raw,
    pub(crate) owner: VmContext,
}

impl GlobalCell {
    /// Returns the value as Wasm sees it.
    ///
    /// # Safety
    /// The cell must be that of a global with this content in a live instance.
    pub(crate) unsafe fn read(self, content: ValType) -> u128 {
        // SAFETY: the caller's promise. Only v128 has 16 bytes.
        unsafe {
            match content {
                ValType::V128 => self.address.cast::<u128>().read(),
                ValType::Ref(ty) => {
                    u128::from(load_reference(ty.heap.kind(), self.address.cast::<u64>().read(), self.owner))
                }
                ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 => {
                    u128::from(self.address.cast::<u64>().read())
                }
            }
        }
    }

    /// Writes a value, given as Wasm sees it.
    ///
    /// # Safety
    /// As for [`GlobalCell::read`].
    pub(crate) unsafe fn write(self, content: ValType, bits: u128) {
        // SAFETY: the caller's promise. Only v128 has 16 bytes.
        unsafe {
            match content {
                ValType::V128 => self.address.cast::<u128>().write(bits),
                ValType::Ref(ty) => {
                    self.address.cast::<u64>().write(store_reference(ty.heap.kind(), bits as u64, self.owner));
                }
                ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 => {
                    self.address.cast::<u64>().write(bits as u64);
                }
            }
        }
    }
}

impl View<'_> {
    /// Returns whether a segment has been dropped. One without a flag was dropped before any code
    /// could ask.
    ///
    /// # Safety
    /// The view must be of a live instance.
    pub(crate) unsafe fn is_dropped(&self, flag: Option<DropFlag>) -> bool {
        // SAFETY: the flag is part of the state.
        flag.is_none_or(|flag| unsafe { *self.vmctx.at::<u8>(flag.at) } & flag.mask != 0)
    }

    /// Returns the memory with this index.
    ///
    /// # Safety
    /// The view's slot must be bound to the view's module, and its imports written.
    pub(crate) unsafe fn memory(&self, index: u32) -> MemorySpace {
        match self.layout.memory(index) {
            MemoryPlace::Slot { size } => Space {
                base: self.vmctx.at(minirt_compiler::instance::layout::MEMORY),
                size: self.vmctx.at(size),
                owner: self.vmctx,
                index,
            },
            // SAFETY: the entry lies in the host cell, and was written when the instance was made:
            // the caller's promise.
            MemoryPlace::Import(entry) => unsafe { *self.vmctx.at(entry) },
        }
    }

    /// Returns the table with this index.
    ///
    /// # Safety
    /// As for [`View::memory`].
    pub(crate) unsafe fn table(&self, index: u32) -> TableSpace {
        match self.layout.table(index) {
            TablePlace::State { base, size, .. } => {
                Space { base: self.vmctx.at(base), size: self.vmctx.at(size), owner: self.vmctx, index }
            }
            // SAFETY: as for memories.
            TablePlace::Import(entry) => unsafe { *self.vmctx.at(entry) },
        }
    }

    /// Returns the global with this index.
    ///
    /// # Safety
    /// As for [`View::memory`].
    pub(crate) unsafe fn global(&self, index: u32) -> GlobalCell {
        match self.layout.global(index) {
            GlobalPlace::State(at) => GlobalCell { address: self.vmctx.at(at), owner: self.vmctx },
            GlobalPlace::Import(entry) => {
                // SAFETY: as for memories.
                let GlobalImport { address, owner } = unsafe { *self.vmctx.at::<GlobalImport>(entry) };
                GlobalCell { address, owner }
            }
        }
    }
}

/// Returns a reference as the state keeps it. A funcref becomes a distance from its owner's vmctx,
/// so that the state does not depend on where the slot is. All others are numbers anyway. 0 is
/// null.
pub(crate) fn store_reference(kind: RefKind, value: u64, owner: VmContext) -> u64 {
    match kind {
        RefKind::Func if value != 0 => value.wrapping_sub(owner.address() as u64),
        RefKind::Func | RefKind::Extern | RefKind::Any | RefKind::Exn => value,
    }
}

/// Returns a reference as Wasm sees it: the inverse of [`store_reference`].
pub(crate) fn load_reference(kind: RefKind, stored: u64, owner: VmContext) -> u64 {
    match kind {
        RefKind::Func if stored != 0 => stored.wrapping_add(owner.address() as u64),
        RefKind::Func | RefKind::Extern | RefKind::Any | RefKind::Exn => stored,
    }
}

/// Address of the instance's builtin table, stack limit, description and store in its host cell.
pub(crate) struct Header;

impl Header {
    pub(crate) fn builtins(vmctx: VmContext) -> *mut *const u8 {
        vmctx.at(header::BUILTINS)
    }

    pub(crate) fn instance<T>(vmctx: VmContext) -> *mut *mut T {
        vmctx.at(header::INSTANCE)
    }

    /// Returns where the base of the store's heap is.
    pub(crate) fn heap(vmctx: VmContext) -> *mut *mut u8 {
        vmctx.at(header::HEAP)
    }

    /// Returns where the vmctx of the instance is that brought the heap.
    pub(crate) fn heap_owner(vmctx: VmContext) -> *mut VmContext {
        vmctx.at(header::HEAP_OWNER)
    }

    /// Returns where the address of the slot's linear memory is.
    pub(crate) fn memory_base(vmctx: VmContext) -> *mut *mut u8 {
        vmctx.at(header::MEMORY_BASE)
    }

    /// Returns where the address of the engine's table of supertypes is.
    pub(crate) fn supertypes(vmctx: VmContext) -> *mut usize {
        vmctx.at(header::SUPERTYPES)
    }

    /// Returns where the address of the allowance is. It is the store's as well, which begins with
    /// it.
    #[inline]
    pub(crate) fn allowance(vmctx: VmContext) -> *mut *mut Allowance {
        vmctx.at(header::ALLOWANCE)
    }
}
