//! Whole modules through the whole pipeline.

use crate::base::error::CompileErrorKind;
use crate::module::{FuncType, ValType};
use crate::{Compiled, Compiler, OptLevel, Settings, Trap};

fn compiler(parallel: bool) -> Compiler {
    Compiler::new(&Settings { parallel, ..Settings::default() }).unwrap()
}

fn compiled(wat: &str) -> Compiled {
    compiler(false).compile(&wat::parse_str(wat).unwrap()).unwrap_or_else(|error| panic!("{error}: {wat}"))
}

/// Functions of different sizes that call each other: enough for several threads.
fn large(broken: &[usize]) -> Vec<u8> {
    let function = |i: usize| {
        let work = "(local.set 0 (i32.add (local.get 0) (i32.load offset=4 (local.get 0))))".repeat(i % 40);
        let last = if broken.contains(&i) { "(f32.const 0)" } else { "(local.get 0)" };
        format!(
            "(func (export \"{i}\") (param i32) (result i32) {work} (drop (call {} (i32.const {i}))) {last})",
            199 - i
        )
    };
    let functions: String = (0..200).map(function).collect();
    wat::parse_str(format!("(module (memory 1) {functions})")).unwrap()
}

#[test]
fn the_same_module_gives_the_same_code_on_one_thread_and_on_several() {
    let module = large(&[]);
    let alone = compiler(false).compile(&module).unwrap();
    for _ in 0..3 {
        assert_eq!(compiler(true).compile(&module).unwrap().code, alone.code);
    }
    assert_eq!(alone.code.tables.funcs.len(), 200);
    assert!(
        alone.code.tables.funcs.iter().is_sorted_by_key(|func| func.start),
        "functions are in the order of their indices"
    );
}

#[test]
fn of_several_invalid_bodies_the_first_is_reported() {
    let first = compiler(false).compile(&large(&[160])).unwrap_err();
    let expected = compiler(false).validate(&large(&[160, 199])).unwrap_err();
    assert_eq!(first.offset(), expected.offset());
    for parallel in [false, true] {
        assert_eq!(compiler(parallel).compile(&large(&[160, 199])).unwrap_err(), expected);
    }
}

#[test]
fn every_optimisation_level_compiles() {
    let module = large(&[]);
    for opt_level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        let compiler = Compiler::new(&Settings { opt_level, ..Settings::default() }).unwrap();
        assert_eq!(compiler.compile(&module).unwrap().code.tables.funcs.len(), 200);
    }
}

#[test]
fn more_values_than_registers_can_be_passed_and_returned() {
    let module = compiled(&format!(
        "(module (type $t (func (param {many}) (result {many}))) (import \"a\" \"b\" (func $f (type $t)))
            (func (export \"g\") (type $t) {gets} (call $f))
            (func (export \"h\") (type $t) {gets} (return_call $f)))",
        many = "i64 f32 ".repeat(40),
        gets = (0..80).map(|i| format!("(local.get {i})")).collect::<String>(),
    ));
    assert_eq!((module.code.tables.entries.len(), module.code.tables.exits.len()), (1, 1));
}

#[test]
fn trampolines_are_made_for_the_types_that_need_them() {
    let module = compiled(
        "(module (type $unused (func (param f32))) (type $private (func)) (type $host (func (param i32)))
            (type $twin (func (param i32))) (type $exported (func (result i64)))
            (import \"a\" \"b\" (func (type $twin))) (import \"a\" \"c\" (func (type $host)))
            (func (type $private)) (func (export \"f\") (type $exported) (i64.const 0)))",
    );
    let types = |table: &[(u32, u32)]| table.iter().map(|(ty, _)| *ty).collect::<Vec<_>>();
    assert_eq!(types(&module.code.tables.entries), [2, 4]);
    assert_eq!(types(&module.code.tables.exits), [2]);
    assert!(
        module.code.tables.exit(2).is_some()
            && module.code.tables.entry(4).is_some()
            && module.code.tables.entry(1).is_none()
    );
}

#[test]
fn traps_and_places_lead_back_to_the_instruction() {
    let bytes = wat::parse_str("(module (func $f (export \"f\") (call $f) unreachable))").unwrap();
    let code = compiler(false).compile(&bytes).unwrap().code;
    assert!(
        code.tables.traps.iter().is_sorted_by_key(|site| site.offset)
            && code.tables.address_map.iter().is_sorted_by_key(|place| place.offset)
    );
    let place = |trap: Trap| {
        let site = code.tables.traps.iter().find(|site| site.code == trap.code()).unwrap();
        assert_eq!((code.tables.trap_at(site.offset), code.tables.func_at(site.offset)), (Some(trap), Some(0)));
        code.tables.wasm_offset(site.offset).unwrap() as usize
    };
    assert_eq!(bytes[place(Trap::UnreachableCodeReached)], 0x00);
    let call = bytes.windows(2).rposition(|pair| pair == [0x10, 0x00]).unwrap();
    assert!((call - 1..=call).contains(&place(Trap::StackOverflow)), "the stack ends before the call");
}

#[test]
fn the_end_of_the_stack_is_blamed_on_the_function_that_met_it() {
    let bytes = wat::parse_str("(module (func (call 0)) (func (call 1)) (func (call 2)))").unwrap();
    let code = compiler(false).compile(&bytes).unwrap().code;
    let stops = code.tables.traps.iter().filter(|site| site.code == Trap::StackOverflow.code());
    let places: Vec<u32> = stops.map(|site| code.tables.wasm_offset(site.offset).unwrap()).collect();
    assert_eq!(places.len(), 3);
    for (func, place) in places.into_iter().enumerate() {
        let call = bytes.windows(2).position(|pair| pair == [0x10, func as u8]).unwrap();
        assert_eq!(place as usize, call - 1, "the body of {func} starts with its locals, none");
    }
}

#[test]
fn an_exit_trampoline_stands_alone_at_the_start_of_its_text() {
    let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::I64]);
    let code = compiler(false).exit_trampoline(&ty).unwrap();
    assert_eq!(code.tables.exits, [(0, 0)]);
    assert!(code.tables.traps.iter().all(|site| site.code == Trap::HostError.code()));
    assert_eq!(code.tables.traps.iter().count(), 2, "a failure, and a `throw` that would return");
}

#[test]
fn a_table_that_is_too_large_is_a_limit_and_says_how_large_it_may_be() {
    let error = compiler(false).compile(&wat::parse_str("(module (table 10000001 funcref))").unwrap()).unwrap_err();
    assert_eq!(error.kind(), CompileErrorKind::Limit);
    assert_eq!(error.message(), "table 0 starts with 10000001 elements; at most 10000000 are possible");
}

#[test]
fn an_invalid_body_is_reported_before_a_limit() {
    let both = wat::parse_str("(module (table 10000001 funcref) (func (i32.const 0)))").unwrap();
    assert_eq!(compiler(false).compile(&both).unwrap_err().kind(), CompileErrorKind::Malformed { cut_off: false });
}

#[test]
fn a_module_without_anything_compiles() {
    let module = compiled("(module)");
    assert_eq!(module.code, crate::instance::code::Code::default());
    assert_eq!(module.image, crate::instance::image::InitialImage::default());
}

#[test]
fn a_compiler_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Compiler>();
}
