//! How calls end that do not return: traps, errors of the host, backtraces.

use super::super::api::error::Context as _;
use super::super::api::{
    Caller, Engine, Func, Instance, Module, Result, Store, Trap, WasmBacktrace, bail, ensure, format_err,
};
use std::fmt;

#[derive(Debug)]
struct Refused(i32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

fn checked(n: i32) -> Result<i32> {
    ensure!(n != 1, "one is not {}", "enough");
    if n == 2 {
        bail!("two is a crowd");
    }
    if n == 3 {
        return Err(Refused(n).into());
    }
    if n == 4 {
        return Err(format_err!("four").context("in a host function"));
    }
    Err(Refused(n)).context("no more")
}

pub(crate) fn run() -> Result<Vec<String>> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, Vec::new());
    let module = Module::new(
        &engine,
        wat::parse_str(
            r#"(module $bad
        (import "" "checked" (func $checked (param i32) (result i32)))
        (import "" "look" (func $look))
        (memory 1) (table 1 funcref)
        (func $unreachable (export "unreachable") unreachable)
        (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const -2147483648) (local.get 0)))
        (func (export "convert") (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
        (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))
        (func (export "indirect") (call_indirect (i32.const 0)))
        (func $recurse (export "recurse") (call $recurse))
        (func $inner (call $unreachable)) (func $outer (export "nested") (call $inner))
        (func (export "host") (param i32) (result i32) (call $checked (local.get 0)))
        (func $watched (export "look") (call $look)))"#,
        )?,
    )?;
    let checked = Func::wrap(&mut store, checked);
    let look = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<String>>| {
        let names = |backtrace: WasmBacktrace| {
            backtrace.frames().iter().map(|frame| format!("{:?}", frame.func_name())).collect::<Vec<_>>().join(" ")
        };
        let found = [names(WasmBacktrace::capture(&caller)), names(WasmBacktrace::force_capture(&caller))];
        caller.data_mut().extend(found);
    });
    let instance = Instance::new(&mut store, &module, &[checked.into(), look.into()])?;
    let mut lines = Vec::new();

    let unreachable = instance.get_typed_func::<(), ()>(&mut store, "unreachable")?;
    let error = unreachable.call(&mut store, ()).expect_err("a trap");
    lines.push(format!("{:?}", error.downcast_ref::<Trap>()));
    for by in [0, -1] {
        let divide = instance.get_typed_func::<i32, i32>(&mut store, "divide")?;
        lines.push(format!("{:?}", divide.call(&mut store, by).expect_err("a trap").downcast_ref::<Trap>()));
    }
    for number in [f64::NAN, 1e20] {
        let convert = instance.get_typed_func::<f64, i32>(&mut store, "convert")?;
        lines.push(format!("{:?}", convert.call(&mut store, number).expect_err("a trap").downcast_ref::<Trap>()));
    }
    let load = instance.get_typed_func::<i32, i64>(&mut store, "load")?;
    lines.push(format!("{:?}", load.call(&mut store, 65_529).expect_err("a trap").downcast_ref::<Trap>()));
    let text = format!("{:#}", load.call(&mut store, 0x2_0000).expect_err("a trap"));
    lines.push(format!("{}", text.contains("memory fault at wasm address 0x20000 in linear memory of size 0x10000")));
    for name in ["indirect", "recurse"] {
        let func = instance.get_typed_func::<(), ()>(&mut store, name)?;
        lines.push(format!("{:?}", func.call(&mut store, ()).expect_err("a trap").downcast_ref::<Trap>()));
    }

    let error = instance.get_typed_func::<(), ()>(&mut store, "nested")?.call(&mut store, ()).expect_err("a trap");
    let backtrace: &WasmBacktrace = error.downcast_ref().expect("a backtrace");
    for frame in backtrace.frames() {
        let places = (frame.module_offset(), frame.func_offset());
        lines.push(format!("{} {:?} {:?} {places:?}", frame.func_index(), frame.func_name(), frame.module().name()));
    }
    for n in 1..=5 {
        let error = instance.get_typed_func::<i32, i32>(&mut store, "host")?.call(&mut store, n).expect_err("an error");
        let refused = error.downcast_ref::<Refused>().map(|refused| refused.0);
        let layers: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        lines.push(format!("{refused:?} {:?} {layers:?}", error.root_cause().to_string()));
        lines.push(format!("{}", error.downcast_ref::<Trap>().is_none()));
    }
    instance.get_typed_func::<(), ()>(&mut store, "look")?.call(&mut store, ())?;
    lines.extend(store.into_data());
    Ok(lines)
}
