//! Names that a guest has chosen, in messages: they forge no lines, and have no length that costs
//! anybody anything.

use minirt::{
    Engine, Error, IncompatibleImportError, Instance, Linker, Module, Snapshot, Store, UnknownImportError, Val,
};
use std::time::{Duration, Instant};

/// A name that looks like lines of the host's, and does something to a terminal.
const FORGED: &str = "x\n\nerror: all is lost\x1b[2J\r\u{202e}";

/// The name as a string of the text format.
fn quoted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c.to_string() } else { format!("\\u{{{:x}}}", c as u32) }).collect()
}

fn module(engine: &Engine, text: &str) -> minirt::Result<Module> {
    Module::from_binary(engine, &wat::parse_str(text)?)
}

/// Makes every message that shows a guest's name, for a module whose names are all this one.
fn messages(name: &str) -> Vec<(&'static str, Error)> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker: Linker<()> = Linker::new(&engine);
    let name_in_text = quoted(name);
    let mut found = Vec::new();

    let asking = module(&engine, &format!(r#"(module (import "{name_in_text}" "{name_in_text}" (func)))"#)).unwrap();
    found.push(("an unknown module", linker.instantiate(&mut store, &asking).unwrap_err()));
    linker.func_wrap(name, "another", || {}).unwrap();
    found.push(("an unknown name", linker.instantiate_pre(&asking).err().unwrap()));
    linker.define_unknown_imports_as_traps(&asking).unwrap();
    let stand_in = linker.get(&mut store, name, name).unwrap().into_func().unwrap();
    found.push(("a function that stands in", stand_in.call(&mut store, &[], &mut []).unwrap_err()));
    found.push(("a name that is taken", linker.func_wrap(name, name, || {}).err().unwrap()));
    found.push(("a second name", linker.alias(name, "nothing", "a", "b").err().unwrap()));
    found.push(("a second module name", linker.alias_module(&format!("{name}-"), "a").err().unwrap()));
    let other = module(&engine, &format!(r#"(module (import "{name_in_text}" "{name_in_text}" (memory 1)))"#)).unwrap();
    found.push(("another type", linker.instantiate(&mut store, &other).unwrap_err()));
    found.push(("another store", {
        let func = minirt::Func::wrap(Store::new(&engine, ()), || {});
        Instance::new(&mut store, &asking, &[func.into()]).unwrap_err()
    }));
    let defaults = module(&engine, &format!(r#"(module (import "{name_in_text}" "r" (global (ref func))))"#)).unwrap();
    found.push(("no default", linker.define_unknown_imports_as_default_values(&mut store, &defaults).unwrap_err()));

    let text = format!(
        r#"(module (func $f (@name "{name_in_text}") (export "{name_in_text}") unreachable)
           (memory (export "{name_in_text}m") 1)
           (global (export "{name_in_text}g") (mut externref) (ref.null extern)))"#
    );
    let trapping = module(&engine, &text).unwrap();
    let instance = Instance::new(&mut store, &trapping, &[]).unwrap();
    let func = instance.get_func(&store, name).unwrap();
    found.push(("a backtrace", func.call(&mut store, &[], &mut []).unwrap_err()));
    found.push(("another signature", instance.get_typed_func::<i32, ()>(&store, name).unwrap_err()));
    found.push(("no function", instance.get_typed_func::<(), ()>(&store, &format!("{name}m")).unwrap_err()));
    found.push(("no export", instance.get_typed_func::<(), ()>(&store, &format!("{name}n")).unwrap_err()));
    let value = minirt::ExternRef::new(&mut store, 1).unwrap();
    let global = instance.get_global(&store, &format!("{name}g")).unwrap();
    global.set(&mut store, Val::from(value)).unwrap();
    let frozen: minirt::Result<Snapshot> = instance.snapshot(&mut store);
    found.push(("a snapshot", frozen.err().unwrap()));
    found.push(("an initialiser", {
        let text = r#"(module (func (export "_initialize") unreachable))"#;
        linker.module(&mut store, name, &module(&engine, text).unwrap()).err().unwrap()
    }));
    let twice = Module::from_binary(&engine, &with_two_exports(name));
    found.push(("a module that is not valid", twice.unwrap_err()));
    found
}

/// A module that exports a function twice under one name, which the text format would refuse.
fn with_two_exports(name: &str) -> Vec<u8> {
    let leb = |mut n: usize| {
        let mut bytes = Vec::new();
        loop {
            let (low, rest) = ((n & 0x7f) as u8, n >> 7);
            bytes.push(if rest == 0 { low } else { low | 0x80 });
            if rest == 0 {
                return bytes;
            }
            n = rest;
        }
    };
    let export = [leb(name.len()), name.as_bytes().to_vec(), vec![0, 0]].concat();
    let exports = [vec![2], export.clone(), export].concat();
    [
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07".to_vec(),
        leb(exports.len()),
        exports,
        b"\x0a\x04\x01\x02\0\x0b".to_vec(),
    ]
    .concat()
}

#[test]
fn a_name_forges_no_line_and_moves_no_cursor() {
    for (what, error) in messages(FORGED) {
        let text = format!("{error:#}").replace("error while executing at wasm backtrace:\n", "");
        assert!(text.contains(r"x\n\nerror: all is lost\u{1b}[2J\r\u{202e}"), "{what}: {text:?}");
        assert!(!text.contains(['\n', '\r', '\x1b', '\u{202e}']), "{what}: {text:?}");
    }
}

#[test]
fn a_long_name_is_shortened_and_costs_no_time() {
    // The text format and wasmparser allow 100,000 bytes.
    let name = "n".repeat(99_000);
    let started = Instant::now();
    for (what, error) in messages(&name) {
        let text = format!("{error:#}");
        assert!(text.len() < 2000 && text.contains("nnn...nnn"), "{what}: {} bytes", text.len());
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_backtrace_of_long_names_is_short() {
    let engine = Engine::default();
    // As long as a name may be. Two functions that call each other make frames that differ.
    let name = "名".repeat(33_000);
    let text = format!(
        r#"(module (@name "{name}") (func $f (@name "{name}f") (export "f") (call $g)) (func $g (@name "{name}g") (call $f)))"#
    );
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, &text).unwrap(), &[]).unwrap();
    let error = instance.get_func(&store, "f").unwrap().call(&mut store, &[], &mut []).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.len() < 100_000 && text.contains("名...名"), "{} bytes", text.len());
    let frames = error.downcast_ref::<minirt::WasmBacktrace>().unwrap().frames();
    assert!(frames.len() > 20 && frames.iter().all(|frame| frame.module_name() == Some(&name)), "whole for programs");
}

#[test]
fn the_text_of_a_module_is_quoted_with_care() {
    let engine = Engine::default();
    let line = format!("(module (oops) (; \u{9b}31m {} ;)", "z".repeat(5_000_000));
    let error = Module::new(&engine, line).unwrap_err().to_string();
    assert!(error.len() < 5000 && error.contains("oops") && !error.contains('\u{9b}'), "{} bytes", error.len());
}

#[test]
fn many_long_names_that_are_nearly_right_cost_no_time() {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    let name = |i: usize| format!("{}{i}", "n".repeat(90_000));
    for i in 0..500 {
        linker.func_wrap("m", &name(i), || {}).unwrap();
    }
    let asking = module(&engine, &format!(r#"(module (import "m" "{}" (func)))"#, name(1000))).unwrap();
    let started = Instant::now();
    let error = linker.instantiate_pre(&asking).err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(error.to_string().ends_with("and 495 more") && error.to_string().len() < 2000, "{error}");
}

#[test]
fn errors_of_linking_say_to_programs_what_is_missing_or_does_not_fit() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("m", "f", |_: i32| {}).unwrap();
    let asking = |import: &str| module(&engine, &format!("(module (import {import}))")).unwrap();

    let missing = asking(r#""m" "g" (func (param i64))"#);
    let mut with_traps = linker.clone();
    with_traps.define_unknown_imports_as_traps(&missing).unwrap();
    let stand_in = with_traps.get(&mut store, "m", "g").unwrap().into_func().unwrap();
    for error in [
        linker.instantiate(&mut store, &missing).unwrap_err(),
        linker.instantiate_pre(&missing).err().unwrap(),
        linker.clone().module(&mut store, "n", &missing).err().unwrap(),
        linker.instantiate(&mut store, &asking(r#""m" "g" (global i64)"#)).unwrap_err(),
        stand_in.call(&mut store, &[Val::I64(1)], &mut []).unwrap_err(),
    ] {
        let unknown = error.downcast_ref::<UnknownImportError>().expect("an unknown import");
        assert_eq!((unknown.module(), unknown.name()), ("m", "g"));
        let ty = unknown.ty().to_string();
        assert!(["(func (param i64))", "(global i64)"].contains(&&*ty), "{ty}");
        assert!(error.to_string().starts_with("unknown import: `m::g` has not been defined; "), "{error}");
    }

    let other = asking(r#""m" "f" (func (param i64))"#);
    let given = linker.get(&mut store, "m", "f").unwrap();
    for error in [
        linker.instantiate(&mut store, &other).unwrap_err(),
        linker.instantiate_pre(&other).err().unwrap(),
        Instance::new(&mut store, &other, &[given]).unwrap_err(),
    ] {
        let incompatible = error.downcast_ref::<IncompatibleImportError>().expect("an incompatible import");
        assert_eq!((incompatible.module(), incompatible.name()), ("m", "f"));
        assert_eq!(incompatible.expected().to_string(), "(func (param i64))");
        assert_eq!(incompatible.found().to_string(), "(func (param i32))");
    }
}
