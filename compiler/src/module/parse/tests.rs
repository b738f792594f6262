//! What is refused, in which words, and what of a module is kept.

use super::*;
use crate::base::error::CompileErrorKind;
use crate::module::validate::{Limits, bodies};
use crate::module::{ConstExpr, ConstOp, Entity, ExternType, MemoryType};

fn validate(bytes: &[u8], features: Features) -> Result<(), CompileError> {
    parse(bytes, features).and_then(|parsed| bodies(parsed.bodies, Limits { features, ..Limits::none(&parsed.info) }))
}

/// All features but structures and arrays.
fn without_gc() -> Features {
    let mut features = Features::default();
    features.set(Feature::Gc, false);
    features
}

fn error(bytes: &[u8]) -> CompileError {
    validate(bytes, without_gc()).expect_err("these bytes must be refused")
}

fn kind(bytes: &[u8]) -> CompileErrorKind {
    error(bytes).kind()
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
fn only_what_more_bytes_could_mend_is_cut_off() {
    let cut_off = |bytes: &[u8]| kind(bytes) == CompileErrorKind::Malformed { cut_off: true };
    let whole = wat::parse_str(r#"(module (memory 1) (func (export "f") (nop)) (data (i32.const 0) "abc"))"#).unwrap();
    assert!(validate(&whole, Features::default()).is_ok());
    // At the end of some sections, what is there is a valid module.
    let refused = (0..whole.len()).filter(|len| validate(&whole[..*len], Features::default()).is_err());
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() > whole.len() - 8);
    for len in refused {
        assert!(cut_off(&whole[..len]), "{len} bytes of {}: {:?}", whole.len(), error(&whole[..len]));
    }
    // A section that ends within its last item, although the module goes on.
    assert!(!cut_off(b"\0asm\x01\0\0\0\x01\x02\x01\x60\x00\x01\x00"));
    assert!(!cut_off(&wat::parse_str("(module (func (i32.const 0)))").unwrap()));
    assert!(!cut_off(b"(module)"));
}

#[test]
fn a_component_is_told_that_it_is_one() {
    let error = error(b"\0asm\x0d\0\x01\0");
    assert_eq!(error.kind(), CompileErrorKind::Unsupported(Feature::ComponentModel));
    assert_eq!(
        error.to_string(),
        "minirt has no components (component-model): it runs core modules (at byte offset 0x4)"
    );
}

#[test]
fn types_of_structures_and_arrays_are_kept_where_they_may_be_used() {
    let features = Features::default();
    let text = "(module (rec (type $a (sub (struct (field i8 (mut i16) (ref null $b) eqref))))
        (type $b (sub final (array (mut (ref $a)))))) (type $c (sub $a (struct (field i8 (mut i16) (ref null $b) i31ref))))
        (func (param (ref $c)) (local (ref null $b)) (block (result (ref null $c)) (local.get 0)) (drop)))";
    let bytes = wat::parse_str(text).unwrap();
    let info = parse(&bytes, features).map_or_else(|error| panic!("{error}"), |parsed| parsed.info);
    let shown: Vec<_> = info.types.iter().map(|ty| ty.composite.to_string()).collect();
    assert_eq!(shown[0], "(struct (field i8) (field (mut i16)) (field (ref null 1)) (field eqref))");
    assert_eq!(shown[1], "(array (mut (ref 0)))");
    assert_eq!(shown[3], "(func (param (ref 2)))");
    assert_eq!((info.types[2].supertype, info.types[1].is_final), (Some(0), true));
    assert_eq!(info.canonical_types, [0, 1, 2, 3]);
    // Where they are off, instructions that name no such type are refused by themselves.
    for (text, what) in [
        ("(module (func (param externref) (drop (any.convert_extern (local.get 0)))))", "AnyConvertExtern"),
        ("(module (global externref (extern.convert_any (ref.null none))))", "references to none"),
        ("(module (func (param externref) (drop (ref.test (ref extern) (local.get 0)))))", "RefTestNonNull"),
    ] {
        let bytes = wat::parse_str(text).unwrap();
        assert!(validate(&bytes, features).is_ok(), "{text}");
        let error = error(&bytes);
        assert_eq!(error.kind(), CompileErrorKind::Unsupported(Feature::Gc), "{text}");
        assert!(error.message().contains(what), "{error}");
    }
    // Types and labels that are not there, in instructions that are looked at before they are
    // validated.
    let beyond = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x07\x01\x05\0\xd0\x09\x1a\x0b";
    let error = validate(beyond, features).unwrap_err();
    assert!(error.message().contains("unknown type"), "{error}");
}

#[test]
fn a_feature_that_is_not_there_is_named() {
    use Feature::{Gc, Threads};
    let cases = [
        ("(module (memory 1 1 shared))", Threads, "0xa"),
        ("(module (type (struct)))", Gc, "0xb"),
        ("(module (func (param anyref)))", Gc, "0xb"),
        ("(module (type (array i8)))", Gc, "0xb"),
        ("(module (rec (type (func)) (type (struct))))", Gc, "0xb"),
        ("(module (table 1 eqref))", Gc, "0xa"),
        ("(module (global i31ref (ref.null i31)))", Gc, "0xa"),
        ("(module (global externref (extern.convert_any (ref.null none))))", Gc, "0xd"),
        ("(module (import \"a\" \"b\" (global structref)))", Gc, "0xa"),
        ("(module (func (local arrayref)))", Gc, "0x17"),
        ("(module (func (drop (ref.null any))))", Gc, "0x17"),
        ("(module (func unreachable (block (result anyref) unreachable) drop))", Gc, "0x18"),
        ("(module (func unreachable (drop (select (result anyref)))))", Gc, "0x18"),
        ("(module (func unreachable (drop (ref.i31))))", Gc, "0x18"),
    ];
    for (wat, feature, offset) in cases {
        let bytes = wat::parse_str(wat).unwrap();
        assert_eq!(kind(&bytes), CompileErrorKind::Unsupported(feature), "{wat}");
        let message = refused(wat);
        assert!(message.starts_with(&format!("minirt has no {feature}")), "{wat}: {message}");
        assert!(message.ends_with(&format!("(at byte offset {offset})")), "{wat}: {message}");
    }
}

#[test]
fn what_is_used_of_a_feature_that_is_not_there_is_named() {
    assert!(refused("(module (type (struct)))").contains(": struct types"));
    assert!(refused("(module (func (param i31ref)))").contains(": references to i31"));
    assert!(refused("(module (func unreachable (drop (ref.i31))))").contains(": the instruction RefI31"));
}

#[test]
fn a_feature_that_is_switched_off_is_named() {
    use Feature::*;
    let cases = [
        (BulkMemory, "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"),
        (BulkMemory, "(module (memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))))"),
        (BulkMemory, "(module (data \"passive\"))"),
        (BulkMemory, "(module (elem func))"),
        (
            BulkMemory,
            "(module (memory 1) (data \"x\") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))))",
        ),
        (CustomPageSizes, "(module (memory 1 (pagesize 1)))"),
        (Exceptions, "(module (tag))"),
        (Exceptions, "(module (import \"a\" \"b\" (tag)))"),
        (Exceptions, "(module (func (try_table)))"),
        (Exceptions, "(module (func (param exnref)))"),
        (ExtendedConst, "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
        (FunctionReferences, "(module (func (param (ref func))))"),
        (FunctionReferences, "(module (table 1 (ref func) (ref.func 0)) (func))"),
        (FunctionReferences, "(module (rec (type (func)) (type (func))))"),
        (Gc, "(module (type (struct)))"),
        (Gc, "(module (func (param anyref)))"),
        (Gc, "(module (func (drop (ref.i31 (i32.const 1)))))"),
        (LegacyExceptions, "(module (func try catch_all end))"),
        (LegacyExceptions, "(module (func try delegate 0))"),
        (Memory64, "(module (memory i64 1))"),
        (Memory64, "(module (table i64 1 funcref))"),
        (MultiMemory, "(module (memory 1) (memory 1))"),
        (MultiMemory, "(module (import \"\" \"\" (memory 1)) (memory 1))"),
        (MultiMemory, "(module (import \"\" \"\" (memory 1)) (import \"\" \"\" (memory 1)))"),
        (MultiValue, "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))"),
        (MultiValue, "(module (func (drop (i32.const 1) (block (param i32) (result i32)))))"),
        (ReferenceTypes, "(module (table 1 externref))"),
        (ReferenceTypes, "(module (func (param externref)))"),
        (ReferenceTypes, "(module (table 1 funcref) (table 1 funcref))"),
        (ReferenceTypes, "(module (import \"\" \"\" (table 1 funcref)) (table 1 funcref))"),
        (ReferenceTypes, "(module (func (drop (ref.null func))))"),
        (ReferenceTypes, "(module (table 1 funcref) (func (drop (table.size 0))))"),
        (RelaxedSimd, "(module (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))))"),
        (Simd, "(module (func (param v128)))"),
        (Simd, "(module (func (drop (v128.const i64x2 0 0))))"),
        (Simd, "(module (global v128 (v128.const i64x2 0 0)))"),
        (TailCall, "(module (func (return_call 0)))"),
        (WideArithmetic, "(module (func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0))))"),
    ];
    for (feature, wat) in cases {
        let bytes = wat::parse_str(wat).unwrap();
        let mut features = Features::default();
        assert!(validate(&bytes, features).is_ok(), "{wat}");
        features.set(feature, false);
        let error = features.explain(validate(&bytes, features).expect_err(wat));
        assert_eq!(error.kind(), CompileErrorKind::Disabled(feature), "{wat}: {error}");
        assert_eq!(error.message(), format!("{feature} are switched off"), "{wat}");
        assert!(error.offset().is_some_and(|at| at > 8), "{wat}: {error}");
        features.set(feature, true);
        assert!(validate(&bytes, features).is_ok(), "{wat}");
    }
    assert!(Features::SWITCHES.iter().all(|switch| cases.iter().any(|(feature, _)| feature == switch)));
}

#[test]
fn a_feature_goes_with_the_one_that_it_builds_on() {
    let mut features = Features::default();
    features.set(Feature::Simd, false);
    features.set(Feature::ReferenceTypes, false);
    features.set(Feature::Exceptions, false);
    let has = Features::SWITCHES.into_iter().filter(|feature| features.has(*feature));
    assert_eq!(has.count(), Features::SWITCHES.len() - 7);
    assert!(!features.has(Feature::RelaxedSimd) && !features.has(Feature::FunctionReferences));
    assert!(!features.has(Feature::LegacyExceptions));
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
fn what_breaks_a_rule_is_malformed_and_neither_missing_nor_a_limit() {
    for wat in ["(module (start 3))", "(module (func (i32.const 0)))", "(module (memory 65537))"] {
        assert_eq!(kind(&wat::parse_str(wat).unwrap()), CompileErrorKind::Malformed { cut_off: false }, "{wat}");
    }
}
