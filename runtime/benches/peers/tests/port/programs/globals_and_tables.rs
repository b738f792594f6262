//! Globals and tables, of the guest and of the host.

use super::super::api::{
    Engine, Func, Global, GlobalType, Instance, Module, Mutability, Ref, RefType, Result, Store, Table, TableType, Val,
    ValType,
};

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut lines = Vec::new();

    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module
        (import "" "step" (global $step i64)) (import "" "total" (global $total (mut i64)))
        (global (export "own") (mut f32) (f32.const 1.5)) (global (export "fixed") i32 (i32.const 9))
        (func (export "add") (global.set $total (i64.add (global.get $total) (global.get $step)))))"#,
        )?,
    )?;
    let step = Global::new(&mut store, GlobalType::new(ValType::I64, Mutability::Const), Val::I64(5))?;
    let total = Global::new(&mut store, GlobalType::new(ValType::I64, Mutability::Var), Val::I64(100))?;
    let instance = Instance::new(&mut store, &module, &[step.into(), total.into()])?;
    let add = instance.get_typed_func::<(), ()>(&mut store, "add")?;
    add.call(&mut store, ())?;
    total.set(&mut store, Val::I64(1000))?;
    add.call(&mut store, ())?;
    lines.push(format!("{:?} {:?}", total.get(&mut store).i64(), step.get(&mut store).i64()));
    lines.push(format!(
        "{} {}",
        step.set(&mut store, Val::I64(1)).is_err(),
        total.set(&mut store, Val::I32(1)).is_err()
    ));
    let own = instance.get_global(&mut store, "own").expect("exported");
    own.set(&mut store, Val::from(2.5_f32))?;
    lines.push(format!("{:?} {:?}", own.get(&mut store).f32(), own.ty(&store).mutability().is_var()));
    let fixed = instance.get_global(&mut store, "fixed").expect("exported");
    lines.push(format!("{} {}", fixed.ty(&store).content().is_i32(), fixed.get(&mut store).unwrap_i32()));

    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module
        (table (export "table") 3 6 funcref) (elem (i32.const 1) $one $two)
        (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
        )?,
    )?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let table = instance.get_table(&mut store, "table").expect("exported");
    let call = instance.get_typed_func::<i32, i32>(&mut store, "call")?;
    lines.push(format!("{} {} {}", table.size(&store), call.call(&mut store, 2)?, call.call(&mut store, 0).is_err()));
    let forty = Func::wrap(&mut store, || 40_i32);
    table.set(&mut store, 0, Ref::Func(Some(forty)))?;
    let first = table.get(&mut store, 1).expect("inside");
    lines.push(format!("{} {}", call.call(&mut store, 0)?, first.unwrap_func().is_some()));
    lines.push(format!("{}", table.grow(&mut store, 2, first)?));
    lines.push(format!("{} {}", call.call(&mut store, 4)?, table.grow(&mut store, 2, Ref::Func(None)).is_err()));
    table.fill(&mut store, 1, Ref::Func(None), 2)?;
    lines.push(format!("{} {}", call.call(&mut store, 1).is_err(), table.get(&mut store, 5).is_none()));
    Table::copy(&mut store, &table, 1, &table, 3, 2)?;
    lines.push(format!("{}", call.call(&mut store, 2)?));
    lines.push(format!("{}", table.set(&mut store, 9, Ref::Func(None)).is_err()));

    let host = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, Some(1)), Ref::Func(Some(forty)))?;
    let user = Module::new(
        &engine,
        wat::parse_str(
            r#"(module (import "" "" (table 1 funcref))
        (func (export "run") (result i32) (call_indirect (result i32) (i32.const 0))))"#,
        )?,
    )?;
    let user = Instance::new(&mut store, &user, &[host.into()])?;
    lines.push(format!("{}", user.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?));
    Ok(lines)
}
