//! The host module `spectest` that the official scripts import (interpreter/README.md of the
//! specification).
//!
//! Its print functions print nothing: no script can see what they would.

use anyhow::Result;
use minirt::{Extern, Global, GlobalType, Linker, Memory, MemoryType, Ref, RefType, Store, Table, TableType, Val};

const NAME: &str = "spectest";

/// Defines it in `linker`, with memory, table and globals of `store`.
pub(crate) fn define(linker: &mut Linker<()>, store: &mut Store<()>) -> Result<()> {
    functions(linker)?;
    for (name, value) in [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::F32(666.6f32.to_bits())),
        ("global_f64", Val::F64(666.6f64.to_bits())),
    ] {
        let ty = GlobalType { content: value.ty(), mutable: false };
        let global = Global::new(&mut *store, ty, value)?;
        linker.define(&mut *store, NAME, name, Extern::from(global))?;
    }
    let ty = TableType { element: RefType::FUNCREF, minimum: 10, maximum: Some(20), table64: false };
    let table = Table::new(&mut *store, ty, Ref::Func(None))?;
    linker.define(&mut *store, NAME, "table", Extern::from(table))?;
    let ty = MemoryType { minimum: 1, maximum: Some(2), ..MemoryType::default() };
    let memory = Memory::new(&mut *store, ty)?;
    linker.define(&mut *store, NAME, "memory", Extern::from(memory))?;
    Ok(())
}

fn functions(linker: &mut Linker<()>) -> Result<()> {
    linker.func_wrap(NAME, "print", || {})?;
    linker.func_wrap(NAME, "print_i32", |_: i32| {})?;
    linker.func_wrap(NAME, "print_i64", |_: i64| {})?;
    linker.func_wrap(NAME, "print_f32", |_: f32| {})?;
    linker.func_wrap(NAME, "print_f64", |_: f64| {})?;
    linker.func_wrap(NAME, "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap(NAME, "print_f64_f64", |_: f64, _: f64| {})?;
    Ok(())
}
