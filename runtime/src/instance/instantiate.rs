//! Instantiates a module with its imports (specification, section 4.7.2).
//!
//! Most of the steps were done when the module's image was made. What is left: take a slot, check
//! the imports and write them into the host cell (unless the last instance had the same),
//! initialise what depends on imports, and call the start function.

use super::imports::{ImportValue, check_imports, closures_of, write_imports};
use crate::call::enter::call;
use crate::engine::Engine;
use crate::module::Module;
use crate::module::objects::Objects;
use crate::ops::builtins;
use crate::ops::bulk;
use crate::ops::constant::{evaluate, evaluate_with};
use crate::ops::heap;
use crate::pool::{Closures, InstanceData, Prototype, Role, Taken};
use crate::store::resolve::func_of;
use crate::store::{AsContextMut, Extern, Heap, Instance, Memory, StoreInner};
use crate::vmctx::{Header, MemorySpace, View};
use anyhow::{Context, Result, anyhow, ensure};
use minirt_compiler::Trap;
use minirt_compiler::instance::image::{MemoryImage, Remaining};
use minirt_compiler::instance::layout::object::{BIAS, FIRST, TAG_MASK};
use minirt_compiler::instance::layout::{GlobalPlace, Layout, MEMORY, MemoryPlace, TablePlace};
use minirt_compiler::module::{
    ConstExpr, ConstOp, Contents, ElementItems, GlobalType, MemoryType, ModuleInfo, RefKind, SegmentMode, StorageType,
    TableType, ValType,
};
use std::ptr::NonNull;
use std::sync::Arc;

impl Instance {
    /// Creates an instance of a module. `imports` are the values of its imports, in the module's
    /// order.
    ///
    /// # Errors
    /// Returns an error
    /// - if there are more or fewer imports than the module asks for, or one has another type or
    ///   belongs to another store;
    /// - if the store's limiter refuses ([`Store::limiter`](crate::Store::limiter)), or no slot is
    ///   left;
    /// - if an active segment or the start function traps. As the specification says, effects on
    ///   imported tables and memories remain then.
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
    // Until the store owns them, they go back to the pool whatever happens: a limiter may fail or
    // panic.
    let data = take(engine, prototype, role)?;
    let others = if prototype.extra_memories.is_empty() { Vec::new() } else { take_others(store, engine, prototype)? };
    // If the last instance had the same closures for all its imports, they were checked, and are in
    // the host cell.
    let already_imported = data.host_only
        && data.closures.as_ref().map(Arc::as_ptr) == closures.map(Arc::as_ptr)
        && imports.len() == prototype.info().imports.len();
    let fits = if already_imported { Ok(()) } else { check_imports(store, prototype, imports) };
    fits.and_then(|()| store.check_quota(&data, &others))?;
    crate::call::fault::install().context("could not install the signal handlers that turn faults into traps")?;
    // From here on the store owns the instance, whatever fails: others may already point to it.
    let mut data = own(store, data);
    if !already_imported {
        // SAFETY: the slot is bound to the prototype's image, nobody else knows the instance yet,
        // and the imports were checked.
        unsafe {
            data.as_mut().closures = closures.cloned();
            data.as_mut().host_only = imports.iter().all(|value| matches!(value, ImportValue::Host(..)));
            write_imports(store, data.as_ref(), imports);
        }
    }
    // SAFETY: the instance is alive, and nobody else uses its description.
    let instance = Instance { store: store.id, index: unsafe { data.as_ref() }.index };
    if !prototype.extra_memories.is_empty() {
        let mut others = others.into_iter();
        attach_memories(store, others.by_ref().take(prototype.memories().len()), data);
        if let Some(heap) = prototype.heap() {
            attach_heap(store, heap, others.next(), data)?;
            // SAFETY: the instance is alive, and nobody else uses its description.
            unsafe { data.as_mut().is_attached = true }
        }
    }
    run_remaining(store, instance)?;
    Ok(instance)
}

/// Takes an instance from the pool for a role.
#[inline]
fn take<'a>(engine: &'a Engine, prototype: &Arc<Prototype>, role: Role) -> Result<Taken<'a>> {
    let mut data = engine.pool().take(prototype)?;
    data.role = role;
    data.is_attached = prototype.heap().is_none();
    Ok(data)
}

/// Takes the instances of the memories that a module defines besides the first, and that of its
/// heap unless the store has one. All or none: an instance that does not fit must leave nothing
/// behind in a store that lives on.
#[cold]
fn take_others<'a>(store: &StoreInner, engine: &'a Engine, prototype: &Prototype) -> Result<Vec<Taken<'a>>> {
    let memories = prototype.memories().iter().map(|memory| (memory, Role::Memory));
    let heap = prototype.heap().filter(|_| store.heap.is_none()).map(|heap| (heap, Role::Heap));
    let others = memories.chain(heap).map(|(part, role)| take(engine, part, role));
    others.collect::<Result<_>>().with_context(|| {
        format!(
            "an instance of this module takes {} instance slots: its own, and one more for each memory after the first and \
             for a heap of objects",
            1 + prototype.memories().len() + usize::from(heap.is_some())
        )
    })
}

/// Has the store own an instance that was taken for it.
#[inline]
fn own(store: &mut StoreInner, mut data: Taken<'_>) -> NonNull<InstanceData> {
    data.index = store.instances.len() as u32;
    let data = NonNull::from(Box::leak(data.into_owner()));
    store.own(data);
    // SAFETY: the slot is bound to its prototype's image, and nobody else knows the instance yet.
    unsafe { write_header(store, data) }
    data
}

/// Gives an instance the memories that its module defines besides the first: those of instances of
/// their own.
#[cold]
fn attach_memories<'a>(store: &mut StoreInner, memories: impl Iterator<Item = Taken<'a>>, to: NonNull<InstanceData>) {
    for (number, memory) in (1..).zip(memories) {
        let space = memory_of(store, memory);
        // SAFETY: the instance is alive; nobody else uses its description.
        let view = unsafe { to.as_ref() }.view();
        let MemoryPlace::Import(entry) = view.layout.memory(view.module.num_imported_memories + number) else {
            unreachable!("only the first memory is in the slot")
        };
        // SAFETY: the entry lies in the host cell, which is mapped writable.
        unsafe { *view.vmctx.at(entry) = space };
    }
}

/// Has the store own an instance of nothing but a memory, and returns that.
fn memory_of(store: &mut StoreInner, data: Taken<'_>) -> MemorySpace {
    // SAFETY: the instance is alive; nobody else uses its description.
    let index = unsafe { own(store, data).as_ref() }.index;
    Memory { instance: Instance { store: store.id, index }, index: 0 }.space(store)
}

/// Gives an instance its heap: its own (`taken`) if it is the first in the store that needs one,
/// and otherwise the store's, to which the objects of its image are moved.
#[cold]
fn attach_heap(
    store: &mut StoreInner,
    heap: &Arc<Prototype>,
    taken: Option<Taken<'_>>,
    mut to: NonNull<InstanceData>,
) -> Result<()> {
    let Some(taken) = taken else {
        store.heap.as_mut().expect("a heap was taken for a store that has none").users += 1;
        // SAFETY: the instance is alive, and nobody else uses its description.
        unsafe { to.as_mut() }.slot.make_constants_writable().context(GLOBALS)?;
        // SAFETY: as above.
        return move_objects(store, heap, unsafe { to.as_ref() });
    };
    let memory = memory_of(store, taken);
    // SAFETY: as above.
    let data = unsafe { to.as_ref() };
    let mut heap = Heap::new(memory, data.index, data.vmctx(), store.engine.gc_zeal());
    heap.users = 1;
    store.heap = Some(Box::new(heap));
    store.publish_heap();
    Ok(heap::publish_limit(store)?)
}

/// Gives a store a heap if it has none, one that no instance has brought.
///
/// # Errors
/// Returns an error if there is no garbage collection, the store's limiter refuses the heap, or
/// there is no memory for it.
pub(crate) fn ensure_heap(store: &mut StoreInner) -> Result<()> {
    if store.heap.is_some() {
        return Ok(());
    }
    ensure!(store.engine.supertypes() != 0, "structures and arrays are switched off (`Config::wasm_gc`)");
    let module = Module::of_heap(&store.engine)?;
    let instance = instantiate_as(store, module.engine(), module.prototype(), &[], None, Role::Heap)?;
    let memory = Memory { instance, index: 0 }.space(store);
    store.heap = Some(Box::new(Heap::new(memory, instance.index, memory.owner, store.engine.gc_zeal())));
    store.publish_heap();
    Ok(heap::publish_limit(store)?)
}

/// Moves the objects of an instance's image to the heap of its store, and whatever refers to them
/// with them.
fn move_objects(store: &mut StoreInner, heap: &Prototype, data: &InstanceData) -> Result<()> {
    let (_, extents, size) = heap.image.parts();
    let mut objects =
        Objects::of(&MemoryImage { size: size as u64, extents }).context("the heap of the image is damaged")?;
    let end = objects.end().context("the heap of the image is damaged")?;
    let first = (FIRST - BIAS) as usize;
    // SAFETY: none of the store's code runs that could be at work in the heap, or it waits for the
    // host. Nothing has a reference to the objects of this instance yet, and it is not looked at
    // before it is attached.
    let to = unsafe { heap::extend_or_collect(store, (end - first) as u64)? }.ok_or(Trap::GcHeapOutOfMemory)?;
    let Some(&Heap { memory, owner, .. }) = store.heap.as_deref() else { unreachable!("the store has one") };
    let distance = (data.vmctx().address() as u64).wrapping_sub(owner.address() as u64);
    let moved = |reference: u64| {
        let is_object = reference != 0 && reference as u32 & TAG_MASK == 0;
        if is_object { reference - FIRST + to } else { reference }
    };
    let types = data.prototype.type_indices();
    let visited = objects.visit(
        data.prototype.info(),
        |number| types.get(&number).copied(),
        |object, _, parts| {
            for (at, ty) in parts.iter() {
                let StorageType::ValType(ValType::Ref(ty)) = ty else { continue };
                let at = at as usize;
                match ty.heap.kind() {
                    RefKind::Any | RefKind::Extern => {
                        let field = object.get_mut(at..at + 4)?;
                        let reference = u32::from_le_bytes(field.try_into().ok()?);
                        field.copy_from_slice(&(moved(reference.into()) as u32).to_le_bytes());
                    }
                    RefKind::Func => {
                        let field = object.get_mut(at..at + 8)?;
                        let stored = u64::from_le_bytes((&*field).try_into().ok()?);
                        let stored = if stored == 0 { 0 } else { stored.wrapping_add(distance) };
                        field.copy_from_slice(&stored.to_le_bytes());
                    }
                    // No constant expression makes an exception.
                    RefKind::Exn => {}
                }
            }
            Some(())
        },
    );
    visited.context("the heap of the image is damaged")?;
    store.touched = true;
    // SAFETY: the heap is that of this store, the state is that of the instance, and nobody else
    // uses either.
    unsafe {
        bulk::memory_write(memory, to - BIAS, &objects.bytes[first..end])?;
        move_state(data, moved)?;
    }
    Ok(())
}

/// Changes the references to objects in an instance's state. Its constants must have been made
/// writable.
///
/// # Safety
/// The instance must be alive, and nobody else use its state.
unsafe fn move_state(data: &InstanceData, moved: impl Fn(u64) -> u64) -> Result<(), Trap> {
    let view = data.view();
    let leads_to_objects = |kind: RefKind| match kind {
        RefKind::Any | RefKind::Extern => true,
        RefKind::Func | RefKind::Exn => false,
    };
    // SAFETY: globals and the values of element segments are in the state's head, which is always
    // writable, or among the constants, which the caller has made writable. Elements of tables are
    // made writable.
    unsafe {
        for (index, global) in (0..).zip(&view.module.globals) {
            if let (ValType::Ref(ty), GlobalPlace::State(at)) = (global.content, view.layout.global(index))
                && leads_to_objects(ty.heap.kind())
            {
                let word = view.vmctx.at::<u64>(at);
                *word = moved(*word);
            }
        }
        for segment in &view.module.elements {
            let Some(at) = view.layout.element_values(segment.index) else { continue };
            for i in 0..segment.items.len() {
                let word = view.vmctx.at::<u64>(at).add(i);
                *word = moved(*word);
            }
        }
        for (index, table) in (0..).zip(&view.module.tables) {
            let TablePlace::State { .. } = view.layout.table(index) else { continue };
            if leads_to_objects(table.element.heap.kind()) {
                let space = view.table(index);
                for at in 0..space.len() {
                    let element = bulk::table_get(space, at)?;
                    if moved(element) != element {
                        bulk::table_fill(space, at, moved(element), 1)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Returns the value of a constant expression of an instance. Objects are made in the store's heap.
///
/// # Safety
/// As for [`evaluate`].
unsafe fn evaluate_in(store: &mut StoreInner, prototype: &Prototype, view: View<'_>, expr: &ConstExpr) -> Result<u128> {
    let mut failure = None;
    let object = |ty: u32, contents: Contents<'_>| {
        let number = prototype.type_id(ty);
        let composite = &view.module.types[ty as usize].composite;
        // SAFETY: the caller's promise; values of this instance belong to its store.
        unsafe { heap::new_object(store, number, composite, contents) }.map_err(|error| failure = Some(error)).ok()
    };
    // SAFETY: the caller's promise.
    let value = unsafe { evaluate_with(view, expr, object) };
    match (value, failure) {
        (Some(value), None) => Ok(value),
        (_, Some(error)) => Err(error),
        (None, None) => unreachable!("the expression is valid"),
    }
}

/// Does the steps that the image does not hold: initialises what depends on imports, and calls the
/// start function.
#[inline]
pub(crate) fn run_remaining(store: &mut StoreInner, instance: Instance) -> Result<()> {
    let Remaining { start, .. } = store.instance(instance.index).prototype.remaining;
    initialise(store, instance)?;
    start.map_or(Ok(()), |start| run_start(store, instance, start))
}

/// Calls the start function.
fn run_start(store: &mut StoreInner, instance: Instance, start: u32) -> Result<()> {
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
        *Header::memory_base(vmctx) = vmctx.at(MEMORY);
        *Header::supertypes(vmctx) = store.engine.supertypes();
        store.write_heap(vmctx);
    }
}

/// Initialises what depends on imports.
#[inline]
fn initialise(store: &mut StoreInner, instance: Instance) -> Result<()> {
    let prototype = &store.instance(instance.index).prototype;
    if prototype.remaining.is_initialised() {
        return Ok(());
    }
    let prototype = Arc::clone(prototype);
    initialise_remaining(store, instance, prototype)
}

/// Initialises globals, tables, elements and data that depend on imports, in that order.
fn initialise_remaining(store: &mut StoreInner, instance: Instance, prototype: Arc<Prototype>) -> Result<()> {
    let remaining = &prototype.remaining;
    let info = prototype.info();
    let view = View { vmctx: store.instance(instance.index).vmctx(), module: info, layout: prototype.layout() };
    store.touched = true;
    if changes_constants(remaining, info, view.layout) {
        // SAFETY: the instance is alive, and nobody else uses its description.
        unsafe { &mut InstanceData::of(view.vmctx).slot }.make_constants_writable().context(GLOBALS)?;
    }
    // SAFETY: the instance is alive, its imports are written, and globals are initialised in order.
    unsafe {
        for global in &remaining.globals {
            let index = info.num_imported_globals + global;
            let value = evaluate_in(store, &prototype, view, &info.global_inits[*global as usize])?;
            view.global(index).write(info.globals[index as usize].content, value);
        }
        fill_tables(store, &prototype, view, &remaining.tables)?;
        keep_elements(store, &prototype, view, &remaining.element_values)?;
        apply_elements(store, &prototype, view, remaining.first_element)?;
        apply_data(view, remaining.first_data)?;
    }
    Ok(())
}

const GLOBALS: &str = "could not make the instance's globals writable";

/// Returns whether what is left to initialise includes something that no instruction changes, and
/// that usually is in the image: an object that would have made that too large, or a kept element
/// of a segment.
fn changes_constants(remaining: &Remaining, info: &ModuleInfo, layout: &Layout) -> bool {
    let is_constant = |global: &u32| match layout.global(info.num_imported_globals + global) {
        GlobalPlace::State(at) => layout.constants.contains(&at),
        GlobalPlace::Import(_) => false,
    };
    !remaining.element_values.is_empty() || remaining.globals.iter().any(is_constant)
}

/// Fills tables whose initial elements depend on imports.
///
/// # Safety
/// As for [`apply_elements`].
unsafe fn fill_tables(store: &mut StoreInner, prototype: &Prototype, view: View<'_>, tables: &[u32]) -> Result<()> {
    for (table, init) in view.module.table_inits.iter().filter(|(table, _)| tables.contains(table)) {
        // SAFETY: the caller's promise.
        unsafe {
            let space = view.table(*table);
            let value = evaluate_in(store, prototype, view, init)? as u64;
            bulk::table_fill(space, 0, value, space.len())?;
        }
    }
    Ok(())
}

/// Makes the objects of element segments that code can ask for, if they depend on imports.
///
/// # Safety
/// As for [`apply_elements`].
unsafe fn keep_elements(store: &mut StoreInner, prototype: &Prototype, view: View<'_>, segments: &[u32]) -> Result<()> {
    for segment in segments {
        let Some(ElementItems::Expressions(exprs)) = view.module.element_segment(*segment).map(|it| &it.items) else {
            continue;
        };
        let at = view.layout.element_values(*segment).expect("new objects are kept");
        for (i, expr) in exprs.iter().enumerate() {
            // SAFETY: the caller's promise; the values are among the constants, which are writable
            // by now.
            unsafe { *view.vmctx.at::<u64>(at).add(i) = evaluate_in(store, prototype, view, expr)? as u64 }
        }
    }
    Ok(())
}

/// Applies the active element segments that the image does not hold.
///
/// # Safety
/// The view must be of a live instance with its globals initialised.
unsafe fn apply_elements(
    store: &mut StoreInner,
    prototype: &Prototype,
    view: View<'_>,
    first: Option<u32>,
) -> Result<()> {
    let Some(first) = first else { return Ok(()) };
    for segment in view.module.elements.iter().filter(|segment| segment.index >= first) {
        let SegmentMode::Active { target, offset } = &segment.mode else { continue };
        // SAFETY: the caller's promise.
        unsafe {
            let at = evaluate(view, offset) as u64;
            match &segment.items {
                ElementItems::Expressions(exprs)
                    if segment.makes_objects() && view.layout.element_values(segment.index).is_none() =>
                {
                    let values = exprs.iter().map(|expr| evaluate_in(store, prototype, view, expr));
                    let values = values.collect::<Result<Vec<_>>>()?;
                    let space = view.table(*target);
                    ensure!(
                        at.checked_add(values.len() as u64).is_some_and(|end| end <= space.len()),
                        Trap::TableOutOfBounds
                    );
                    for (at, value) in (at..).zip(values) {
                        bulk::table_fill(space, at, value as u64, 1)?;
                    }
                }
                items => bulk::table_write(view, view.table(*target), Some(segment), at, 0, items.len() as u64)?,
            }
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

/// Something that the embedder defines. It becomes an instance of a module that has nothing else,
/// at index 0.
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
    /// Returns an error if the type is invalid or asks for more than is possible, the store's
    /// limiter refuses it, or there is no memory for it.
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
        let compiled = match store.engine.compiler().without_code(info) {
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
