//! Imports: the values that an instance gets for them, whether those fit, and how they get into its host cell.
//!
//! A host function that a linker holds belongs to no store: the instance's host cell points to its closure, and the
//! instance keeps that alive. Everything else belongs to the instance's store.

use crate::engine::Engine;
use crate::func::HostFunc;
use crate::pool::Prototype;
use crate::pool::{Closures, InstanceData, Keep};
use crate::store::StoreInner;
use crate::store::{Extern, Func};
use crate::vmctx::{FuncImport, FuncRecord, GlobalImport, HostContext, View, VmContext};
use anyhow::{Result, bail, ensure};
use minirt_compiler::instance::layout::{GlobalPlace, MemoryPlace, TablePlace, import_func};
use minirt_compiler::module::{Entity, ExternType, GlobalType, Import};
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

/// Returns the closures that imports point to, to be kept as long as an instance that uses them. `None` if there are
/// none.
pub(crate) fn closures_of(imports: &[ImportValue]) -> Option<Keep> {
    let closure = |value: &ImportValue| match value {
        ImportValue::Host(host, _) => Some(host.closure.clone()),
        ImportValue::Extern(_) => None, // Its store owns it.
    };
    let list: Box<[Arc<dyn Any + Send + Sync>]> = imports.iter().filter_map(closure).collect();
    (!list.is_empty()).then(|| Arc::new(Closures { list, reusable: false.into() }))
}

/// Checks that there is a value for each import, and that it fits (steps 1 to 4 of the specification).
pub(crate) fn check_imports(store: &StoreInner, module: &Prototype, imports: &[ImportValue]) -> Result<()> {
    let info = module.info();
    ensure!(
        info.imports.len() == imports.len(),
        "the module asks for {} imports, but {} were given",
        info.imports.len(),
        imports.len()
    );
    info.imports.iter().zip(imports).try_for_each(|(import, value)| check_import(store, module, import, value))
}

fn check_import(store: &StoreInner, module: &Prototype, import: &Import, value: &ImportValue) -> Result<()> {
    let fits = match (import.entity, value) {
        (Entity::Func(i), ImportValue::Extern(Extern::Func(func))) => {
            func.store.assert_same_store(store.id);
            store.engine.is_subtype(func.type_number(), module.func_type_id(i))
        }
        (Entity::Func(i), ImportValue::Host(_, ty)) => store.engine.is_subtype(*ty, module.func_type_id(i)),
        (Entity::Table(i), ImportValue::Extern(Extern::Table(table))) => {
            let (wanted, found) = (module.in_engine(&module.info().tables[i as usize]), table.type_in(store));
            wanted.element == found.element
                && wanted.table64 == found.table64
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum))
        }
        (Entity::Memory(i), ImportValue::Extern(Extern::Memory(memory))) => {
            let (wanted, found) = (module.info().memories[i as usize], memory.type_in(store));
            wanted.memory64 == found.memory64
                && wanted.page_size_log2 == found.page_size_log2
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum))
        }
        (Entity::Global(i), ImportValue::Extern(Extern::Global(global))) => {
            let (wanted, found) = (module.in_engine(&module.info().globals[i as usize]), global.type_in(store));
            global_fits(&store.engine, wanted, found)
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let found = match value {
        ImportValue::Extern(it) => it.type_in(store),
        ImportValue::Host(host, _) => ExternType::Func(host.ty.clone()),
    };
    let wanted = store.engine.type_of(module, import.entity);
    bail!(
        "incompatible import type for `{}::{}`: the module asks for `{wanted}`, but `{found}` was given",
        import.module,
        import.name
    )
}

/// Returns whether a global may be imported where `wanted` is declared. If it is only read, its type may be a subtype.
fn global_fits(engine: &Engine, wanted: GlobalType, found: GlobalType) -> bool {
    let covariant = || !wanted.mutable && !found.mutable && engine.types().val_matches(found.content, wanted.content);
    wanted == found || covariant()
}

/// Returns whether a memory or table with limits `found` may be imported where `wanted` is declared (section 3.4.9).
fn limits_fit(wanted: (u64, Option<u64>), found: (u64, Option<u64>)) -> bool {
    let maximum = match (wanted.1, found.1) {
        (None, _) => true,
        (Some(wanted), Some(found)) => found <= wanted,
        (Some(_), None) => false,
    };
    found.0 >= wanted.0 && maximum
}

/// Writes an instance's imports into its host cell.
///
/// # Safety
/// The slot must be bound to the image of the instance's prototype, and nobody else use it or the description. The
/// values must fit the imports.
pub(crate) unsafe fn write_imports(store: &StoreInner, data: &InstanceData, imports: &[ImportValue]) {
    for (import, value) in data.prototype.info().imports.iter().zip(imports) {
        // SAFETY: the caller's promise.
        unsafe { write_import(store, data.view(), &data.prototype, import.entity, value) }
    }
}

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
            _ => unreachable!("imports were checked"),
        }
    }
}

/// The host function's own type may be a subtype of the import's. The import's exit trampoline serves both: it passes
/// the same values.
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
