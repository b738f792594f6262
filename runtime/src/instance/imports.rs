//! Imports: what is given for them, whether it fits, and how it gets into an instance.
//!
//! A host function that a linker holds belongs to no store: the instance's host cell points to its closure, which is
//! kept alive by whoever makes instances with it. Everything else belongs to the instance's store.

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

/// What is given for an import.
#[derive(Clone)]
pub(crate) enum Given {
    Extern(Extern),
    /// A host function that no store owns yet, and its type's number.
    Host(HostFunc, u32),
}

/// The closures that imports point to, to be kept as long as an instance that uses them.
pub(crate) fn keep_alive(given: &[Given]) -> Option<Keep> {
    let keep = |given: &Given| match given {
        Given::Host(host, _) => Some(host.keep.clone()),
        Given::Extern(_) => None, // Its store keeps it.
    };
    let list: Box<[Arc<dyn Any + Send + Sync>]> = given.iter().filter_map(keep).collect();
    (!list.is_empty()).then(|| Arc::new(Closures { list, reusable: false.into() }))
}

/// Step 1 to 4: whether what is given is what is asked for.
pub(crate) fn check_imports(store: &StoreInner, module: &Prototype, given: &[Given]) -> Result<()> {
    let info = module.info();
    ensure!(
        info.imports.len() == given.len(),
        "the module asks for {} imports, but {} were given",
        info.imports.len(),
        given.len()
    );
    info.imports.iter().zip(given).try_for_each(|(import, given)| check_import(store, module, import, given))
}

fn check_import(store: &StoreInner, module: &Prototype, import: &Import, given: &Given) -> Result<()> {
    let fits = match (import.entity, given) {
        (Entity::Func(i), Given::Extern(Extern::Func(func))) => {
            func.store.check(store.id);
            store.engine.is_subtype(func.type_number(), module.func_type_id(i))
        }
        (Entity::Func(i), Given::Host(_, ty)) => store.engine.is_subtype(*ty, module.func_type_id(i)),
        (Entity::Table(i), Given::Extern(Extern::Table(table))) => {
            let (wanted, found) = (module.in_engine(&module.info().tables[i as usize]), table.type_in(store));
            wanted.element == found.element
                && wanted.table64 == found.table64
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum))
        }
        (Entity::Memory(i), Given::Extern(Extern::Memory(memory))) => {
            let (wanted, found) = (module.info().memories[i as usize], memory.type_in(store));
            wanted.memory64 == found.memory64
                && wanted.page_size_log2 == found.page_size_log2
                && limits_fit((wanted.minimum, wanted.maximum), (found.minimum, found.maximum))
        }
        (Entity::Global(i), Given::Extern(Extern::Global(global))) => {
            let (wanted, found) = (module.in_engine(&module.info().globals[i as usize]), global.type_in(store));
            global_fits(&store.engine, wanted, found)
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let found = match given {
        Given::Extern(it) => it.type_in(store),
        Given::Host(host, _) => ExternType::Func(host.ty.clone()),
    };
    let wanted = store.engine.type_of(module, import.entity);
    bail!(
        "incompatible import type for `{}::{}`: the module asks for `{wanted}`, but `{found}` was given",
        import.module,
        import.name
    )
}

/// Whether a global may be imported where `wanted` is declared: what is only read may be more than asked for.
fn global_fits(engine: &Engine, wanted: GlobalType, found: GlobalType) -> bool {
    let covariant = || !wanted.mutable && !found.mutable && engine.types().val_matches(found.content, wanted.content);
    wanted == found || covariant()
}

/// Whether a memory or table of size `found` may be imported where `wanted` is declared (section 3.4.9).
fn limits_fit(wanted: (u64, Option<u64>), found: (u64, Option<u64>)) -> bool {
    let maximum = match (wanted.1, found.1) {
        (None, _) => true,
        (Some(wanted), Some(found)) => found <= wanted,
        (Some(_), None) => false,
    };
    found.0 >= wanted.0 && maximum
}

/// Writes what imports point to into an instance's host cell.
///
/// # Safety
/// The slot must be bound to the image of the instance's prototype, and nobody else use it or the description. What is
/// given must fit the imports.
pub(crate) unsafe fn write_imports(store: &StoreInner, data: &InstanceData, given: &[Given]) {
    for (import, given) in data.prototype.info().imports.iter().zip(given) {
        // SAFETY: the caller's promise.
        unsafe { write_import(store, data.view(), &data.prototype, import.entity, given) }
    }
}

/// # Safety
/// As for [`write_imports`].
unsafe fn write_import(store: &StoreInner, view: View<'_>, module: &Prototype, entity: Entity, given: &Given) {
    let vmctx = view.vmctx;
    // SAFETY: all entries lie in the host cell, which is mapped writable: the caller's promise.
    unsafe {
        match (entity, given) {
            (Entity::Func(i), Given::Host(host, ty)) => {
                write_host_func(vmctx, module, i, *ty, host.context(Some(vmctx)))
            }
            (Entity::Func(i), Given::Extern(Extern::Func(func))) => match func.host_context() {
                Some(context) => {
                    let context = HostContext { importer: Some(vmctx), ..context };
                    write_host_func(vmctx, module, i, func.type_number(), context);
                }
                None => write_wasm_func(vmctx, module, i, *func),
            },
            (Entity::Table(i), Given::Extern(Extern::Table(table))) => {
                let TablePlace::Import(entry) = view.layout.table(i) else { unreachable!("imports come first") };
                *vmctx.at(entry) = table.space(store);
            }
            (Entity::Memory(i), Given::Extern(Extern::Memory(memory))) => {
                let MemoryPlace::Import(entry) = view.layout.memory(i) else { unreachable!("imports come first") };
                *vmctx.at(entry) = memory.space(store);
            }
            (Entity::Global(i), Given::Extern(Extern::Global(global))) => {
                let GlobalPlace::Import(entry) = view.layout.global(i) else { unreachable!("imports come first") };
                let cell = global.cell(store);
                *vmctx.at(entry) = GlobalImport { address: cell.address, owner: cell.owner };
            }
            _ => unreachable!("imports were checked"),
        }
    }
}

/// A host function's own type may be a subtype of the import's. The import's exit is used: it passes the same values.
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
