//! Functions with several results, on either side.

use super::super::api::{Engine, Func, Instance, Module, Result, Store, Val};

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module
        (import "" "divide" (func $divide (param i32 i64) (result i64 i32)))
        (func (export "both") (param i32 i64) (result i64 i32) (call $divide (local.get 0) (local.get 1)))
        (func (export "turn") (param i64 i32 f32 f64) (result f64 f32 i32 i64)
          (local.get 3) (local.get 2) (local.get 1) (local.get 0))
        (func (export "block") (param i32) (result i32 i32)
          (local.get 0) (local.get 0)
          (block (param i32 i32) (result i32 i32) (i32.add) (i32.const 1))))"#,
        )?,
    )?;
    let divide = Func::wrap(&mut store, |by: i32, n: i64| (n / i64::from(by), (n % i64::from(by)) as i32));
    let instance = Instance::new(&mut store, &module, &[divide.into()])?;
    let both = instance.get_typed_func::<(i32, i64), (i64, i32)>(&mut store, "both")?;
    let mut lines = vec![format!("{:?}", both.call(&mut store, (7, 100))?)];
    let turn = instance.get_func(&mut store, "turn").expect("exported");
    let arguments = [Val::I64(1), Val::I32(2), Val::F32(3.5_f32.to_bits()), Val::F64(4.25_f64.to_bits())];
    let mut results = [const { Val::I32(0) }; 4];
    turn.call(&mut store, &arguments, &mut results)?;
    lines.push(format!("{:?} {:?} {:?} {:?}", results[0].f64(), results[1].f32(), results[2].i32(), results[3].i64()));
    let block = instance.get_typed_func::<i32, (i32, i32)>(&mut store, "block")?;
    lines.push(format!("{:?}", block.call(&mut store, 21)?));
    lines.push(format!("{}", turn.call(&mut store, &arguments[..3], &mut results).is_err()));
    lines.push(format!("{}", turn.call(&mut store, &arguments, &mut results[..3]).is_err()));
    lines.push(format!("{}", instance.get_typed_func::<i32, i32>(&mut store, "block").is_err()));
    lines.push(format!("{}", instance.get_typed_func::<(), ()>(&mut store, "nothing").is_err()));
    Ok(lines)
}
