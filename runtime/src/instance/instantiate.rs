//! Instantiates a module with its imports (specification, section 4.7.2).
//!
//! Most of the steps were done when the module's image was made. What is left: take a slot, check the imports and write
//! them into the host cell (unless the last instance had the same), initialise what depends on imports, and call the
//! start function.

use super::imports::{ImportValue, check_imports, closures_of, write_imports};
use crate::call::enter::call;
use crate::engine::Engine;
use crate::module::Module;
use crate::ops::builtins;
use crate::ops::bulk;
use crate::ops::constant::evaluate;
use crate::pool::{Closures, InstanceData, Prototype, Role};
use crate::store::resolve::func_of;
use crate::store::{AsContextMut, Extern, Instance, Memory, StoreInner};
use crate::vmctx::{Header, View};
use anyhow::{Result, anyhow, ensure};
use minirt_compiler::instance::layout::MemoryPlace;
use minirt_compiler::module::{
    ConstExpr, ConstOp, GlobalType, MemoryType, ModuleInfo, SegmentMode, TableType, ValType,
};
use minirt_compiler::{Compiler, Trap};
use std::ptr::NonNull;
use std::sync::Arc;

impl Instance {
    /// Creates an instance of a module. `imports` are the values of its imports, in the module's order.
    ///
    /// # Errors
    /// Returns an error
    /// - if there are more or fewer imports than the module asks for, or one has another type or belongs to another
    ///   store;
    /// - if the store's limiter refuses ([`Store::limiter`](crate::Store::limiter)), or no slot is left;
    /// - if an active segment or the start function traps. As the specification says, effects on imported tables and
    ///   memories remain then.
    ///
    /// # Panics
    /// Panics with the panic of a host function called by the start function.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Self> {
        let imports: Vec<ImportValue> = imports.iter().map(|it| ImportValue::Extern(*it)).collect();
        instantiate(&mut store.as_context_mut().0.inner, module, &imports, closures_of(&imports).as_ref())
    }
}

/// Creates an instance. `closures` must be `closures_of(imports)`.
#[inline]
pub(crate) fn instantiate(
    store: &mut StoreInner,
    module: &Module,
    imports: &[ImportValue],
    closures: Option<&Arc<Closures>>,
) -> Result<Instance> {
    instantiate_as(store, module.engine(), module.prototype(), imports, closures, Role::Instance)
}

#[inline]
fn instantiate_as(
    store: &mut StoreInner,
    engine: &Engine,
    prototype: &Arc<Prototype>,
    imports: &[ImportValue],
    closures: Option<&Arc<Closures>>,
    role: Role,
) -> Result<Instance> {
    let same = Engine::same(&store.engine, engine);
    ensure!(same, "the module was compiled by another engine than the store's; use one engine for both");
    // Until the store owns it, it goes back to the pool whatever happens: a limiter may fail or panic.
    let mut data = engine.pool().take(prototype)?;
    // If the last instance had the same closures for all its imports, they were checked, and are in the host cell.
    let already_imported = data.host_only
        && data.closures.as_ref().map(Arc::as_ptr) == closures.map(Arc::as_ptr)
        && imports.len() == prototype.info().imports.len();
    data.role = role;
    let fits = if already_imported { Ok(()) } else { check_imports(store, prototype, imports) };
    fits.and_then(|()| store.check_quota(&data))?;
    crate::call::fault::install();
    let index = store.instances.len() as u32;
    data.index = index;
    // From here on the store owns the instance, whatever fails: others may already point to it.
    let mut data = NonNull::from(Box::leak(data.into_owner()));
    store.own(data);
    // SAFETY: the slot is bound to the prototype's image, and nobody else knows the instance yet.
    unsafe {
        write_header(store, data);
        if !already_imported {
            data.as_mut().closures = closures.cloned();
            data.as_mut().host_only = imports.iter().all(|value| matches!(value, ImportValue::Host(..)));
            write_imports(store, data.as_ref(), imports);
        }
    }
    let instance = Instance { store: store.id, index };
    if !prototype.extra_memories.is_empty() {
        attach_memories(store, engine, prototype, data)?;
    }
    run_remaining(store, instance)?;
    Ok(instance)
}

/// Gives an instance the memories that its module defines besides the first: those of instances of their own.
#[cold]
fn attach_memories(
    store: &mut StoreInner,
    engine: &Engine,
    prototype: &Prototype,
    to: NonNull<InstanceData>,
) -> Result<()> {
    for (number, memory) in (1..).zip(&prototype.extra_memories) {
        let instance = instantiate_as(store, engine, memory, &[], None, Role::Memory)?;
        let space = Memory { instance, index: 0 }.space(store);
        // SAFETY: the instance is alive; nobody else uses its description.
        let view = unsafe { to.as_ref() }.view();
        let MemoryPlace::Import(entry) = view.layout.memory(view.module.num_imported_memories + number) else {
            unreachable!("only the first memory is in the slot")
        };
        // SAFETY: the entry lies in the host cell, which is mapped writable.
        unsafe { *view.vmctx.at(entry) = space };
    }
    Ok(())
}

/// Does the steps that the image does not hold: initialises what depends on imports, and calls the start function.
pub(crate) fn run_remaining(store: &mut StoreInner, instance: Instance) -> Result<()> {
    initialise(store, instance)?;
    let Some(start) = store.instance(instance.index).prototype.remaining.start else { return Ok(()) };
    let func = func_of(store, instance.index, start);
    let mut nothing = [];
    // SAFETY: validation saw to it that start functions take and return nothing.
    unsafe { call(store, func.record, nothing.as_mut_ptr()) }
}

/// Writes the host cell's header: what differs from one instance to the next, apart from imports.
///
/// # Safety
/// The slot must be bound to the prototype's image, and nobody else use it or the description.
#[inline]
unsafe fn write_header(store: &mut StoreInner, instance: NonNull<InstanceData>) {
    // SAFETY: the caller's promise; the header is the start of the host cell.
    unsafe {
        let vmctx = instance.as_ref().vmctx();
        *Header::builtins(vmctx) = builtins::TABLE.address();
        *Header::instance(vmctx) = instance.as_ptr();
        *Header::allowance(vmctx) = std::ptr::with_exposed_provenance_mut(store.address());
    }
}

/// Initialises globals, tables, elements and data that depend on imports, in that order.
fn initialise(store: &mut StoreInner, instance: Instance) -> Result<()> {
    let prototype = &store.instance(instance.index).prototype;
    if prototype.remaining.is_initialised() {
        return Ok(());
    }
    let prototype = Arc::clone(prototype);
    let remaining = &prototype.remaining;
    let info = prototype.info();
    let view = View { vmctx: store.instance(instance.index).vmctx(), module: info, layout: prototype.layout() };
    store.touched = true;
    // SAFETY: the instance is alive, its imports are written, and globals are initialised in order.
    unsafe {
        for global in &remaining.globals {
            let index = info.num_imported_globals + global;
            let value = evaluate(view, &info.global_inits[*global as usize]);
            view.global(index).write(info.globals[index as usize].content, value);
        }
        fill_tables(view, &remaining.tables)?;
        apply_elements(view, remaining.first_element)?;
        apply_data(view, remaining.first_data)?;
    }
    Ok(())
}

/// Fills tables whose initial elements depend on imports.
///
/// # Safety
/// As for [`apply_elements`].
unsafe fn fill_tables(view: View<'_>, tables: &[u32]) -> Result<(), Trap> {
    for (table, init) in view.module.table_inits.iter().filter(|(table, _)| tables.contains(table)) {
        // SAFETY: the caller's promise.
        unsafe {
            let space = view.table(*table);
            bulk::table_fill(space, 0, evaluate(view, init) as u64, space.len())?;
        }
    }
    Ok(())
}

/// Applies the active element segments that the image does not hold.
///
/// # Safety
/// The view must be of a live instance with its globals initialised.
unsafe fn apply_elements(view: View<'_>, first: Option<u32>) -> Result<(), Trap> {
    let Some(first) = first else { return Ok(()) };
    for segment in view.module.elements.iter().filter(|segment| segment.index >= first) {
        let SegmentMode::Active { target, offset } = &segment.mode else { continue };
        // SAFETY: the caller's promise.
        unsafe {
            let at = evaluate(view, offset) as u64;
            bulk::table_write(view, view.table(*target), &segment.items, at, 0, segment.items.len() as u64)?;
            bulk::drop_segment(view, view.layout.element_dropped(segment.index));
        }
    }
    Ok(())
}

/// Applies the active data segments that the image does not hold.
///
/// # Safety
/// As for [`apply_elements`].
unsafe fn apply_data(view: View<'_>, first: Option<u32>) -> Result<(), Trap> {
    let Some(first) = first else { return Ok(()) };
    for segment in view.module.data.iter().filter(|segment| segment.index >= first) {
        let SegmentMode::Active { target, offset } = &segment.mode else { continue };
        // SAFETY: the caller's promise.
        unsafe {
            let at = evaluate(view, offset) as u64;
            bulk::memory_write(view.memory(*target), at, view.module.segment_bytes(segment))?;
            bulk::drop_segment(view, view.layout.data_dropped(segment.index));
        }
    }
    Ok(())
}

/// Something that the embedder defines. It becomes an instance of a module that has nothing else, at index 0.
pub(crate) enum Definition {
    Memory(MemoryType),
    Table(TableType),
    Global(GlobalType),
    /// By the engine's number for its type.
    Tag(u32),
}

impl Definition {
    /// Creates the instance.
    ///
    /// # Errors
    /// Returns an error if the type is invalid or asks for more than is possible, the store's limiter refuses it, or
    /// there is no memory for it.
    pub(crate) fn instantiate(self, store: &mut StoreInner) -> Result<Instance> {
        let mut info = ModuleInfo::default();
        match self {
            Self::Memory(ty) => {
                ty.check().map_err(|what| anyhow!("invalid memory type: {what}"))?;
                info.memories.push(ty);
            }
            Self::Table(ty) => {
                ty.check().map_err(|what| anyhow!("invalid table type: {what}"))?;
                info.tables.push(ty);
            }
            Self::Global(ty) => {
                info.globals.push(ty);
                info.global_inits.push(zero(ty.content));
            }
            Self::Tag(number) => info.tags.push(number),
        }
        let compiled = match Compiler::without_code(info) {
            Ok(compiled) => compiled,
            Err(limit) => {
                self.ask_limiter(store)?;
                return Err(limit.into());
            }
        };
        let module = Module::of_definition(&store.engine, compiled)?;
        instantiate_as(store, module.engine(), module.prototype(), &[], None, Role::Definition)
    }

    /// Asks about a size that is not possible: the limiter may want to stop whoever asks for it.
    fn ask_limiter(&self, store: &mut StoreInner) -> Result<()> {
        match self {
            Self::Memory(ty) => store.ask_about_new_memory(ty, ty.initial_bytes()),
            Self::Table(ty) => store.ask_about_new_table(ty, ty.minimum),
            Self::Global(_) | Self::Tag(_) => Ok(()),
        }
    }
}

fn zero(ty: ValType) -> ConstExpr {
    ConstExpr(vec![match ty {
        ValType::I32 => ConstOp::I32Const(0),
        ValType::I64 => ConstOp::I64Const(0),
        ValType::F32 => ConstOp::F32Const(0),
        ValType::F64 => ConstOp::F64Const(0),
        ValType::V128 => ConstOp::V128Const(0),
        ValType::Ref(ty) => ConstOp::RefNull(ty.heap),
    }])
}
