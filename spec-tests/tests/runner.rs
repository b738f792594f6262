//! The runner itself: wrong scripts fail, and the report says where and why.

#![forbid(unsafe_code)]

use minirt::Engine;
use minirt_spec_tests::{FileReport, Place, found, run, run_text};
use std::path::Path;
use std::process::Command;

fn report(script: &str) -> FileReport {
    run_text(&Engine::default(), "test.wast", script)
}

fn counts(script: &str) -> (usize, usize) {
    let tally = report(script).tally;
    (tally.passed, tally.failed)
}

const DIVIDE: &str = r#"
    (module $m (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
      (global (export "g") i32 (i32.const 7))
      (func (export "nan") (result f32) (f32.const nan:0x200001)))
"#;

#[test]
fn what_is_right_passes() {
    let script = r#"
        (assert_return (invoke "div" (i32.const 6) (i32.const 3)) (i32.const 2))
        (assert_return (invoke $m "div" (i32.const 6) (i32.const 3)) (either (i32.const 1) (i32.const 2)))
        (assert_return (get "g") (i32.const 7))
        (assert_return (invoke "nan") (f32.const nan:0x200001))
        (assert_trap (invoke "div" (i32.const 6) (i32.const 0)) "integer divide by zero")
        (assert_invalid (module (func (result i32))) "type mismatch")
        (assert_malformed (module quote "(func") "unexpected end")
        (assert_malformed (module binary "\00asm") "unexpected end")
        (assert_unlinkable (module (import "nowhere" "f" (func))) "unknown import")
    "#;
    assert_eq!(counts(&format!("{DIVIDE}{script}")), (9, 0));
}

#[test]
fn every_wrong_expectation_is_a_failure() {
    for wrong in [
        r#"(assert_return (invoke "div" (i32.const 6) (i32.const 3)) (i32.const 3))"#,
        r#"(assert_return (invoke "div" (i32.const 6) (i32.const 3)) (i64.const 2))"#,
        r#"(assert_return (invoke "div" (i32.const 6) (i32.const 3)))"#,
        r#"(assert_return (invoke "div" (i32.const 6) (i32.const 0)) (i32.const 2))"#,
        r#"(assert_return (invoke "div" (i32.const 6)) (i32.const 2))"#,
        r#"(assert_return (invoke "absent") (i32.const 2))"#,
        r#"(assert_return (invoke $absent "div" (i32.const 6) (i32.const 3)) (i32.const 2))"#,
        r#"(assert_return (get "g") (i32.const 8))"#,
        r#"(assert_return (get "div") (i32.const 7))"#,
        r#"(assert_return (invoke "nan") (f32.const nan:canonical))"#,
        r#"(assert_return (invoke "nan") (f32.const nan:arithmetic))"#,
        r#"(assert_return (invoke "nan") (f32.const nan))"#,
        r#"(assert_return (invoke "nan") (ref.i31))"#,
        r#"(assert_trap (invoke "div" (i32.const 6) (i32.const 3)) "integer divide by zero")"#,
        r#"(assert_trap (invoke "div" (i32.const 6) (i32.const 0)) "integer overflow")"#,
        r#"(assert_trap (invoke "absent") "unreachable")"#,
        r#"(assert_trap (module (import "nowhere" "f" (func))) "unreachable")"#,
        r#"(assert_trap (module) "unreachable")"#,
        r#"(assert_exhaustion (invoke "nan") "call stack exhausted")"#,
        r#"(assert_exhaustion (invoke "div" (i32.const 6) (i32.const 0)) "call stack exhausted")"#,
        r#"(assert_invalid (module (func)) "type mismatch")"#,
        r#"(assert_malformed (module quote "(func)") "unexpected end")"#,
        r#"(assert_malformed (module binary "\00asm" "\01\00\00\00") "unexpected end")"#,
        r#"(assert_unlinkable (module) "unknown import")"#,
        r#"(assert_unlinkable (module (import "nowhere" "f" (func))) "incompatible import type")"#,
        r#"(assert_unlinkable (module (func (unreachable)) (start 0)) "unknown import")"#,
        r#"(assert_exception (invoke "div" (i32.const 6) (i32.const 0)))"#,
        r#"(assert_exception (invoke "div" (i32.const 6) (i32.const 3)))"#,
        r#"(assert_suspension (invoke "nan") "unhandled")"#,
        r#"(assert_malformed_custom (module quote "(func)") "unexpected token")"#,
    ] {
        assert_eq!(counts(&format!("{DIVIDE}{wrong}")), (0, 1), "{wrong}");
    }
}

#[test]
fn an_action_that_does_not_succeed_is_a_failure() {
    for wrong in [
        r#"(module (func (result i32)))"#,
        r#"(module quote "(func")"#,
        r#"(module (import "nowhere" "f" (func)))"#,
        r#"(module (func (unreachable)) (start 0))"#,
        r#"(register "m")"#,
        r#"(invoke "absent")"#,
        r#"(module definition (func (result i32)))"#,
        r#"(module instance $i $absent)"#,
        r#"(thread $t (invoke "div"))"#,
    ] {
        assert_eq!(counts(&format!("(assert_malformed (module quote \"(\") \"\"){wrong}")), (1, 1), "{wrong}");
    }
}

#[test]
fn after_a_failed_module_nothing_runs_on_the_one_before() {
    let script = r#"
        (module (import "nowhere" "f" (func)))
        (assert_return (invoke "div" (i32.const 6) (i32.const 3)) (i32.const 2))
    "#;
    assert_eq!(counts(&format!("{DIVIDE}{script}")), (0, 2));
}

#[test]
fn modules_can_be_defined_and_instantiated_apart() {
    let script = r#"
        (module definition $m (global $g (mut i32) (i32.const 0))
          (func (export "next") (result i32)
            (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g)))
        (module instance $a $m)
        (module instance $b $m)
        (assert_return (invoke $a "next") (i32.const 1))
        (assert_return (invoke $a "next") (i32.const 2))
        (assert_return (invoke $b "next") (i32.const 1))
    "#;
    assert_eq!(counts(script), (3, 0));
}

#[test]
fn references_are_compared_by_what_they_are() {
    let script = r#"
        (module (func (export "same") (param externref) (result externref) (local.get 0))
          (func $f (export "f") (result funcref) (ref.func $f)))
        (assert_return (invoke "same" (ref.extern 1)) (ref.extern 1))
        (assert_return (invoke "same" (ref.null extern)) (ref.null extern))
        (assert_return (invoke "f") (ref.func))
        (assert_return (invoke "same" (ref.extern 1)) (ref.extern 2))
        (assert_return (invoke "same" (ref.null extern)) (ref.null func))
        (assert_return (invoke "same" (ref.extern 1)) (ref.func))
        (assert_return (invoke "f") (ref.null func))
    "#;
    assert_eq!(counts(script), (3, 4));
}

#[test]
fn vectors_are_compared_lane_by_lane() {
    let module = r#"
        (module (func (export "singles") (result v128) (v128.const f32x4 1.5 nan -nan:0x400001 -0))
          (func (export "doubles") (result v128) (v128.const f64x2 nan:0x4 -inf))
          (func (export "bytes") (result v128) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 -1)))
    "#;
    for right in [
        r#""singles") (v128.const f32x4 1.5 nan:canonical nan:arithmetic -0)"#,
        r#""singles") (v128.const f32x4 1.5 nan:arithmetic -nan:0x400001 -0)"#,
        r#""singles") (v128.const i32x4 0x3fc00000 0x7fc00000 0xffc00001 0x80000000)"#,
        r#""singles") (either (v128.const i32x4 0 0 0 0) (v128.const f32x4 1.5 nan nan:arithmetic -0))"#,
        r#""doubles") (v128.const f64x2 nan:0x4 -inf)"#,
        r#""bytes") (v128.const i16x8 0x100 0x302 0x504 0x706 0x908 0xb0a 0xd0c 0xff0e)"#,
        r#""bytes") (v128.const i64x2 0x0706050403020100 0xff0e0d0c0b0a0908)"#,
    ] {
        assert_eq!(counts(&format!("{module}(assert_return (invoke {right})")), (1, 0), "{right}");
    }
    for wrong in [
        r#""singles") (v128.const f32x4 1.5 nan:canonical nan:canonical -0)"#,
        r#""singles") (v128.const f32x4 1.5 nan:canonical nan:arithmetic 0)"#,
        r#""singles") (v128.const f32x4 nan:canonical nan:canonical nan:arithmetic -0)"#,
        r#""singles") (v128.const f32x4 1.5 -nan nan:arithmetic -0)"#,
        r#""singles") (either (v128.const i32x4 0 0 0 0) (v128.const f32x4 1.5 nan nan:canonical -0))"#,
        r#""doubles") (v128.const f64x2 nan:canonical -inf)"#,
        r#""doubles") (v128.const f64x2 nan:arithmetic -inf)"#,
        r#""doubles") (v128.const f64x2 nan:0x4 inf)"#,
        r#""bytes") (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)"#,
        r#""bytes") (v128.const i8x16 -1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 -1)"#,
        r#""bytes") (v128.const i64x2 0xff0e0d0c0b0a0908 0x0706050403020100)"#,
        r#""bytes") (i64.const 0x0706050403020100)"#,
    ] {
        assert_eq!(counts(&format!("{module}(assert_return (invoke {wrong})")), (0, 1), "{wrong}");
    }
}

#[test]
fn an_unknown_directive_fails_the_file() {
    assert_eq!(counts(&format!("{DIVIDE}(assert_beauty (invoke \"nan\"))")), (0, 1));
}

#[test]
fn a_script_that_can_not_be_parsed_fails() {
    assert_eq!(counts("(module"), (0, 1));
    assert_eq!(counts("what is this"), (0, 1));
}

#[test]
fn a_failure_says_where_what_and_what_instead() {
    let report = report("(module)\n  (assert_return (invoke \"f\"))");
    let failure = &report.failures[0];
    assert_eq!(failure.place, Some(Place { line: 2, column: 4 }));
    let text = report.to_string();
    assert!(text.starts_with("FAILED  test.wast: 0 passed, 1 failed\n  test.wast:2:4\n"), "{text}");
    assert!(text.contains("expected: no results") && text.contains("no exported function \"f\""), "{text}");
}

#[test]
fn a_file_that_can_not_be_read_fails() {
    let sources = found(Path::new("tests/scripts/absent.wast"));
    let report = run(&Engine::default(), &sources[0]);
    assert_eq!(report.tally.failed, 1);
}

fn program(args: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_minirt-spec-tests"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    (String::from_utf8(output.stdout).expect("text"), output.status.code())
}

#[test]
fn the_program_ends_with_the_sum_and_fails_if_anything_did() {
    let (out, code) = program(&["tests/scripts/right.wast"]);
    assert_eq!((out.lines().last(), code), (Some("2 passed, 0 failed, 0 skipped"), Some(0)));
    let (out, code) = program(&["tests/scripts"]);
    assert_eq!((out.lines().last(), code), (Some("3 passed, 2 failed, 0 skipped"), Some(1)), "{out}");
    let (out, code) = program(&["--no-images", "--opt-level", "none", "tests/scripts/absent.wast"]);
    assert_eq!((out.lines().last(), code), (Some("0 passed, 1 failed, 0 skipped"), Some(1)));
}

#[test]
fn a_wrong_command_line_is_told_from_a_failure() {
    assert_eq!(program(&["--fast"]).1, Some(2));
    assert_eq!(program(&["--opt-level", "warp"]).1, Some(2));
}
