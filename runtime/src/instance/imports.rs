//! Checks the values that an instance gets for its imports, and writes them into its host cell.
//!
//! A host function that a linker holds belongs to no store: the instance's host cell points to its
//! closure, and the instance keeps that alive. Everything else belongs to the instance's store.

use super::incompatible::IncompatibleImportError;
use crate::engine::Engine;
use crate::func::HostFunc;
use crate::pool::Prototype;
use crate::pool::{Closures, InstanceData};
use crate::store::StoreInner;
use crate::store::{Extern, Func};
use crate::vmctx::{FuncImport, FuncRecord, GlobalImport, HostContext, View, VmContext};
use anyhow::{Context, Result, ensure};
use minirt_compiler::Printable;
use minirt_compiler::instance::layout::{GlobalPlace, MemoryPlace, TablePlace, import_func};
use minirt_compiler::module::canonical::NumberedTypes;
use minirt_compiler::module::{Entity, ExternType, GlobalType, Import, MemoryType, TableType, TagType};
use std::any::Any;
use std::mem::{MaybeUninit, offset_of};
use std::sync::Arc;

/// The value of an import.
#[derive(Clone)]
pub(crate) enum ImportValue {
    /// Something that a store owns.
    Extern(Extern),
    /// A host function that no store owns, and its type's number.
    Host(HostFunc, u32),
}

/// Returns the closures that imports point to, to be kept as long as an instance that uses them.
/// `None` if there are none.
pub(crate) fn closures_of(imports: &[ImportValue]) -> Option<Arc<Closures>> {
    let closure = |value: &ImportValue| match value {
        ImportValue::Host(host, _) => Some(host.closure.clone()),
        ImportValue::Extern(_) => None, // Its store owns it.
    };
    let list: Box<[Arc<dyn Any + Send + Sync>]> = imports.iter().filter_map(closure).collect();
    (!list.is_empty()).then(|| Arc::new(Closures { list, reusable: false.into() }))
}

/// The type of an import's value. Functions and tags have the engine's number for their type.
#[derive(Clone, Copy)]
pub(crate) enum ValueType {
    Func(u32),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
    Tag(u32),
}

impl ImportValue {
    /// Returns its type. Memories and tables have their current size as the minimum.
    ///
    /// # Errors
    /// Returns an error if it belongs to another store.
    pub(crate) fn type_in(&self, store: &StoreInner) -> Result<ValueType> {
        let value = match self {
            Self::Extern(value) => *value,
            Self::Host(_, type_id) => return Ok(ValueType::Func(*type_id)),
        };
        ensure!(value.store() == store.id, "it belongs to another store");
        Ok(match value {
            Extern::Func(func) => ValueType::Func(func.type_number()),
            Extern::Table(table) => ValueType::Table(table.type_in(store)),
            Extern::Memory(memory) => ValueType::Memory(memory.type_in(store)),
            Extern::Global(global) => ValueType::Global(global.type_in(store)),
            Extern::Tag(tag) => ValueType::Tag(tag.type_number(store)),
        })
    }
}

/// Checks that there is a value for each import, and that it fits (steps 1 to 4 of the
/// specification).
pub(crate) fn check_imports(store: &StoreInner, module: &Prototype, imports: &[ImportValue]) -> Result<()> {
    let info = module.info();
    ensure!(
        info.imports.len() == imports.len(),
        "the module asks for {} imports, but {} were given",
        info.imports.len(),
        imports.len()
    );
    for (import, value) in info.imports.iter().zip(imports) {
        let found = value.type_in(store);
        let found = found.with_context(|| {
            let (module, name) = (Printable::new(&import.module), Printable::new(&import.name));
            format!("`{module}::{name}` cannot be imported")
        })?;
        check_type(&store.engine, module, import, found, Size::Current)?;
    }
    Ok(())
}

/// The meaning of the minimum in the type of a memory or table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Its size at the time of the import.
    Current,
    /// A size that it had before. It may have grown by the time of the import.
    Earlier,
}

/// Checks that a value of a type can be imported.
///
/// # Errors
/// Returns an [`IncompatibleImportError`] if it cannot.
pub(crate) fn check_type(
    engine: &Engine,
    module: &Prototype,
    import: &Import,
    found: ValueType,
    size: Size,
) -> Result<()> {
    let fits = match (import.entity, found) {
        (Entity::Func(i), ValueType::Func(found)) => engine.is_subtype(found, module.func_type_id(i)),
        (Entity::Table(i), ValueType::Table(found)) => {
            let wanted = module.in_engine(&module.info().tables[i as usize]);
            wanted.element == found.element
                && wanted.table64 == found.table64
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum), size)
        }
        (Entity::Memory(i), ValueType::Memory(found)) => {
            let wanted = module.info().memories[i as usize];
            wanted.memory64 == found.memory64
                && wanted.page_size_log2 == found.page_size_log2
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum), size)
        }
        (Entity::Global(i), ValueType::Global(found)) => {
            global_fits(engine, module.in_engine(&module.info().globals[i as usize]), found)
        }
        (Entity::Tag(i), ValueType::Tag(found)) => module.tag_type_id(i) == found,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let found = match found {
        ValueType::Func(number) => ExternType::Func(engine.func_type(number)),
        ValueType::Table(ty) => ExternType::Table(ty),
        ValueType::Memory(ty) => ExternType::Memory(ty),
        ValueType::Global(ty) => ExternType::Global(ty),
        ValueType::Tag(number) => ExternType::Tag(TagType::new(engine.func_type(number))),
    };
    let expected = engine.type_of(module, import.entity);
    let shown = [module.shown(engine.types(), &expected), module.shown(engine.types(), &found)];
    let (module, name) = (import.module.clone(), import.name.clone());
    Err(IncompatibleImportError { module, name, expected, found, shown }.into())
}

/// Returns whether a global may be imported where `wanted` is declared. If it is only read, its
/// type may be a subtype.
fn global_fits(engine: &Engine, wanted: GlobalType, found: GlobalType) -> bool {
    let covariant = || !wanted.mutable && !found.mutable && engine.types().val_matches(found.content, wanted.content);
    wanted == found || covariant()
}

/// Returns whether a memory or table with limits `found` may be imported where `wanted` is declared
/// (section 3.4.9).
fn limits_fit(wanted: (u64, Option<u64>), found: (u64, Option<u64>), size: Size) -> bool {
    let maximum = match (wanted.1, found.1) {
        (None, _) => true,
        (Some(wanted), Some(found)) => found <= wanted,
        (Some(_), None) => false,
    };
    let most = if size == Size::Earlier { found.1.unwrap_or(u64::MAX) } else { found.0 };
    most >= wanted.0 && maximum
}

/// Writes an instance's imports into its host cell.
///
/// # Safety
/// The slot must be bound to the image of the instance's prototype, and nobody else use it or the
/// description. The values must fit the imports.
pub(crate) unsafe fn write_imports(store: &StoreInner, data: &InstanceData, imports: &[ImportValue]) {
    for (import, value) in data.prototype.info().imports.iter().zip(imports) {
        // SAFETY: the caller's promise.
        unsafe { write_import(store, data.view(), &data.prototype, import.entity, value) }
    }
}

/// Writes the entry of one import.
///
/// # Safety
/// As for [`write_imports`].
unsafe fn write_import(store: &StoreInner, view: View<'_>, module: &Prototype, entity: Entity, value: &ImportValue) {
    let vmctx = view.vmctx;
    // SAFETY: all entries lie in the host cell, which is mapped writable: the caller's promise.
    unsafe {
        match (entity, value) {
            (Entity::Func(i), ImportValue::Host(host, ty)) => {
                write_host_func(vmctx, module, i, *ty, host.context(Some(vmctx)))
            }
            (Entity::Func(i), ImportValue::Extern(Extern::Func(func))) => match func.host_context() {
                Some(context) => {
                    let context = HostContext { importer: Some(vmctx), ..context };
                    write_host_func(vmctx, module, i, func.type_number(), context);
                }
                None => write_wasm_func(vmctx, module, i, *func),
            },
            (Entity::Table(i), ImportValue::Extern(Extern::Table(table))) => {
                let TablePlace::Import(entry) = view.layout.table(i) else { unreachable!("imports come first") };
                *vmctx.at(entry) = table.space(store);
            }
            (Entity::Memory(i), ImportValue::Extern(Extern::Memory(memory))) => {
                let MemoryPlace::Import(entry) = view.layout.memory(i) else { unreachable!("imports come first") };
                *vmctx.at(entry) = memory.space(store);
            }
            (Entity::Global(i), ImportValue::Extern(Extern::Global(global))) => {
                let GlobalPlace::Import(entry) = view.layout.global(i) else { unreachable!("imports come first") };
                let cell = global.cell(store);
                *vmctx.at(entry) = GlobalImport { address: cell.address, owner: cell.owner };
            }
            (Entity::Tag(i), ImportValue::Extern(Extern::Tag(tag))) => {
                *vmctx.at(view.layout.import_tag(i)) = tag.number(store);
            }
            _ => unreachable!("imports were checked"),
        }
    }
}

/// Writes the entry of a host function. Its own type may be a subtype of the import's. The import's
/// exit trampoline serves both: it passes the same values.
///
/// # Safety
/// As for [`write_import`].
unsafe fn write_host_func(vmctx: VmContext, module: &Prototype, func: u32, type_id: u32, context: HostContext) {
    let entry: *mut FuncImport = vmctx.at(module.layout().import_func(func));
    let ty = module.info().funcs[func as usize].ty;
    let exit = module.code().tables().exit(module.info().canonical_types[ty as usize]);
    let record = FuncRecord {
        code: module.code().address(exit.expect("the type of an import has an exit")),
        callee: offset_of!(FuncImport, host) as isize,
        type_id,
        entry: std::ptr::null(),
    };
    let callee = entry.cast::<u8>().wrapping_add(import_func::HOST as usize);
    // SAFETY: the caller's promise.
    unsafe { entry.write(FuncImport { record, callee, host: MaybeUninit::new(context) }) }
}

/// Writes the entry of a Wasm function.
///
/// # Safety
/// As for [`write_import`]; `func` must be a Wasm function.
unsafe fn write_wasm_func(vmctx: VmContext, module: &Prototype, func: u32, from: Func) {
    let entry: *mut FuncImport = vmctx.at(module.layout().import_func(func));
    // SAFETY: records live as long as their store; the entry is the caller's promise.
    unsafe {
        let FuncRecord { code, callee, type_id, entry: enter } = *from.record.as_ref();
        let callee = FuncRecord::callee(from.record, callee);
        let distance = (callee as isize).wrapping_sub(entry as isize);
        let record = FuncRecord { code, callee: distance, type_id, entry: enter };
        entry.write(FuncImport { record, callee, host: MaybeUninit::uninit() });
    }
}
