//! What is refused, in which words, and what of a module is kept.

use super::*;
use crate::base::error::ErrorKind;
use crate::module::ExternType;

fn error(bytes: &[u8]) -> CompileError {
    validate(bytes, Features::default()).expect_err("these bytes must be refused")
}

fn refused(wat: &str) -> String {
    error(&wat::parse_str(wat).unwrap()).to_string()
}

fn described(wat: &str) -> ModuleInfo {
    parse(&wat::parse_str(wat).unwrap(), Features::default())
        .map_or_else(|error| panic!("{error}"), |parsed| parsed.info)
}

#[test]
fn empty_input_is_called_empty() {
    assert_eq!(error(b"").message(), "the input is empty; a WebAssembly module has at least 8 bytes");
}

#[test]
fn what_is_no_module_is_told_how_it_starts() {
    let text = error(b"(module)");
    assert_eq!(text.message(), "not a WebAssembly module: it starts with `(mod` instead of `\\0asm`");
    assert_eq!(text.offset(), Some(0));
    assert!(error(b"\x7fELF\x02\x01").message().contains(r"`\x7fELF`"));
    assert!(error(b"ab").message().contains("`ab`"));
}

#[test]
fn a_truncated_module_is_told_where_it_ends() {
    assert_eq!(
        error(b"\0asm\x01").to_string(),
        "the module is cut off after 5 bytes; its preamble alone has 8 (at byte offset 0x5)"
    );
    assert_eq!(error(b"\0asm\x01\0\0\0\x01\x05\x01").to_string(), "unexpected end-of-file (at byte offset 0xa)");
}

#[test]
fn a_module_of_another_version_is_told_so() {
    assert_eq!(
        error(b"\0asm\x02\0\0\0").to_string(),
        "unknown binary version 2; minirt reads version 1 (at byte offset 0x4)"
    );
}

#[test]
fn a_component_is_told_that_it_is_one() {
    assert_eq!(
        error(b"\0asm\x0d\0\x01\0").to_string(),
        "this is a WebAssembly component; minirt runs core modules (at byte offset 0x4)"
    );
}

#[test]
fn a_feature_that_is_not_there_is_named() {
    let cases = [
        ("(module (memory 1 1 shared))", "threads", "0xb"),
        ("(module (type (struct)))", "gc", "0xb"),
        ("(module (func (param anyref)))", "gc", "0xb"),
        ("(module (type (array i8)))", "gc", "0xb"),
        ("(module (rec (type (func)) (type (struct))))", "gc", "0xb"),
        ("(module (table 1 eqref))", "gc", "0xa"),
        ("(module (global i31ref (ref.null i31)))", "gc", "0xa"),
        ("(module (import \"a\" \"b\" (global structref)))", "gc", "0xa"),
        ("(module (func (local arrayref)))", "gc", "0x17"),
        ("(module (func (drop (ref.null any))))", "gc", "0x17"),
        ("(module (func unreachable (block (result anyref) unreachable) drop))", "gc", "0x18"),
        ("(module (func unreachable (drop (select (result anyref)))))", "gc", "0x18"),
        ("(module (func unreachable (drop (ref.i31))))", "gc", "0x18"),
        ("(module (tag))", "exceptions", "0x10"),
        ("(module (import \"a\" \"b\" (tag)))", "exceptions", "0x11"),
        ("(module (func (try_table)))", "exceptions", "0x17"),
    ];
    for (wat, feature, offset) in cases {
        let message = refused(wat);
        assert!(message.contains(feature) && message.ends_with(&format!("(at byte offset {offset})")), "{message}");
    }
}

#[test]
fn a_feature_that_is_switched_off_is_named() {
    let features = Features { function_references: false, ..Features::default() };
    for wat in ["(module (func (param (ref func))))", "(module (table 1 (ref func) (ref.func 0)) (func))"] {
        let error = validate(&wat::parse_str(wat).unwrap(), features).expect_err("switched off");
        assert!(error.message().contains("function references"), "{error}");
    }
}

#[test]
fn an_invalid_body_is_refused_at_its_offset() {
    assert_eq!(
        refused("(module (func (i32.const 1)))"),
        "type mismatch: values remaining on stack at end of block (at byte offset 0x19)"
    );
}

#[test]
fn a_memory_larger_than_its_address_space_is_refused() {
    assert!(refused("(module (memory 65537))").starts_with("memory size must be at most"));
}

#[test]
fn functions_that_can_be_referred_to_escape() {
    let info = described(
        r#"(module
            (func $imported (import "a" "b"))
            (func $private) (func $exported (export "e")) (func $active) (func $passive) (func $declared)
            (func $in_global) (func $started)
            (table 1 funcref)
            (elem (i32.const 0) func $active)
            (elem funcref (ref.func $passive))
            (elem declare func $declared)
            (global funcref (ref.func $in_global))
            (start $started))"#,
    );
    let escapes: Vec<bool> = info.funcs.iter().map(|func| func.escapes).collect();
    assert_eq!(escapes, [true, false, true, true, true, true, true, true]);
    assert_eq!(info.start, Some(7));
}

#[test]
fn equal_types_have_one_canonical_index() {
    let info = described("(module (type (func)) (type (func (param i32))) (type (func)) (type (func (param i32))))");
    assert_eq!(info.canonical_types, [0, 1, 0, 1]);
}

#[test]
fn equal_recursive_groups_have_the_same_canonical_indices() {
    let group = "(rec (type (func (param (ref null 1)))) (type (func (param (ref null 0)))))";
    let moved = "(rec (type (func (param (ref null 3)))) (type (func (param (ref null 2)))))";
    let info = described(&format!("(module {group} {moved})"));
    assert_eq!(info.canonical_types, [0, 1, 0, 1]);
    assert_eq!(info.rec_groups, [2, 2]);
}

#[test]
fn what_a_type_extends_is_kept() {
    let info = described("(module (type (sub (func))) (type (sub final 0 (func))) (type (func)))");
    let defs: Vec<_> = info.types.iter().map(|ty| (ty.supertype, ty.is_final)).collect();
    assert_eq!(defs, [(None, false), (Some(0), true), (None, true)]);
    assert_eq!(info.canonical_types, [0, 1, 2]);
}

#[test]
fn reference_types_print_as_they_are_written() {
    let types = "funcref externref (ref func) (ref extern) nullfuncref nullexternref (ref nofunc) (ref null 0) (ref 0)";
    let info = described(&format!("(module (type (func)) (func (param {types})))"));
    assert_eq!(info.func_type(0).to_string(), format!("(func (param {types}))"));
}

#[test]
fn imports_come_first_in_every_index_space() {
    let info = described(
        r#"(module
            (import "m" "f" (func (param i64))) (import "m" "t" (table 2 externref))
            (import "m" "m" (memory 3 4)) (import "m" "g" (global (mut f64)))
            (func) (table 5 funcref) (global i32 (i32.const 6))
            (export "memory" (memory 0)))"#,
    );
    let counts = [info.num_imported_funcs, info.num_imported_tables, info.num_imported_memories];
    assert_eq!((counts, info.num_imported_globals), ([1, 1, 1], 1));
    assert_eq!((info.funcs.len(), info.tables.len(), info.memories.len(), info.globals.len()), (2, 2, 1, 2));
    assert_eq!(info.imports[2].entity, Entity::Memory(0));
    let memory = MemoryType { minimum: 3, maximum: Some(4), ..MemoryType::default() };
    assert_eq!(info.export("memory").map(|entity| info.type_of(entity)), Some(ExternType::Memory(memory)));
    assert_eq!(info.global_inits, [ConstExpr(vec![ConstOp::I32Const(6)])]);
}

#[test]
fn data_segments_share_their_bytes() {
    let info = described(r#"(module (memory 1) (data "one") (data (i32.const 7) "") (data "three"))"#);
    let bytes: Vec<&[u8]> = info.data.iter().map(|segment| info.segment_bytes(segment)).collect();
    assert_eq!(bytes, [&b"one"[..], b"", b"three"]);
    assert_eq!(*info.data_bytes, *b"onethree");
}

#[test]
fn names_are_kept() {
    let info = described("(module $m (func $first) (func) (func $third))");
    assert_eq!(info.name.as_deref(), Some("m"));
    assert_eq!(info.func_name(0), Some("first"));
    assert_eq!(info.func_name(1), None);
    assert_eq!(info.func_name(2), Some("third"));
}

#[test]
fn a_broken_name_section_is_ignored() {
    // A function name that is longer than the section.
    let bytes = b"\0asm\x01\0\0\0\x00\x0a\x04name\x01\x03\x01\x00\x7f";
    let Ok(parsed) = parse(bytes, Features::default()) else { panic!("names are for people") };
    assert_eq!(parsed.info, ModuleInfo::default());
}

#[test]
fn what_breaks_a_rule_is_invalid_and_not_a_limit() {
    assert_eq!(error(&wat::parse_str("(module (start 3))").unwrap()).kind(), ErrorKind::Invalid);
}
