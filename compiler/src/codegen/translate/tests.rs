//! Every instruction through the translator, Cranelift's verifier and Cranelift itself, and a look
//! at the code where its shape is the point. What the code computes is for the specification's own
//! suite to say.

use super::gc::tests::OBJECTS;
use super::translate;
use crate::codegen::isa::Distance;
use crate::instance::layout::{Layout, PAGE_MIN};
use crate::module::instruction::NAMES;
use crate::module::parse::{Parsed, parse};
use crate::module::validate::{self, Limits};
use crate::{CompileError, Compiler, Feature, Features, Machine, OptLevel, Settings};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::{Context, verify_function};
use cranelift_frontend::FunctionBuilderContext;
use std::collections::BTreeSet;
use wasmparser::{Parser, Payload};

/// Operand types, result types, and the numeric instructions that have them.
const NUMERIC: &[(&str, &str, &str)] = &[
    ("i32 i32", "i32", "i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor"),
    ("i32 i32", "i32", "i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s"),
    ("i32 i32", "i32", "i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u"),
    ("i64 i64", "i64", "i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor"),
    ("i64 i64", "i64", "i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr"),
    ("i64 i64", "i32", "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u"),
    ("f32 f32", "f32", "f32.add f32.sub f32.mul f32.div f32.min f32.max f32.copysign"),
    ("f64 f64", "f64", "f64.add f64.sub f64.mul f64.div f64.min f64.max f64.copysign"),
    ("f32 f32", "i32", "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"),
    ("f64 f64", "i32", "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"),
    ("i32", "i32", "i32.clz i32.ctz i32.popcnt i32.eqz i32.extend8_s i32.extend16_s"),
    ("i64", "i64", "i64.clz i64.ctz i64.popcnt i64.extend8_s i64.extend16_s i64.extend32_s"),
    ("f32", "f32", "f32.abs f32.neg f32.sqrt f32.ceil f32.floor f32.trunc f32.nearest"),
    ("f64", "f64", "f64.abs f64.neg f64.sqrt f64.ceil f64.floor f64.trunc f64.nearest"),
    ("i64", "i32", "i64.eqz i32.wrap_i64"),
    ("i32", "i64", "i64.extend_i32_s i64.extend_i32_u"),
    ("f32", "i32", "i32.trunc_f32_s i32.trunc_f32_u i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.reinterpret_f32"),
    ("f64", "i32", "i32.trunc_f64_s i32.trunc_f64_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u"),
    ("f32", "i64", "i64.trunc_f32_s i64.trunc_f32_u i64.trunc_sat_f32_s i64.trunc_sat_f32_u"),
    ("f64", "i64", "i64.trunc_f64_s i64.trunc_f64_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u i64.reinterpret_f64"),
    ("i32", "f32", "f32.convert_i32_s f32.convert_i32_u f32.reinterpret_i32"),
    ("i64", "f32", "f32.convert_i64_s f32.convert_i64_u"),
    ("i32", "f64", "f64.convert_i32_s f64.convert_i32_u"),
    ("i64", "f64", "f64.convert_i64_s f64.convert_i64_u f64.reinterpret_i64"),
    ("f64", "f32", "f32.demote_f64"),
    ("f32", "f64", "f64.promote_f32"),
    ("i64 i64 i64 i64", "i64 i64", "i64.add128 i64.sub128"),
    ("i64 i64", "i64 i64", "i64.mul_wide_s i64.mul_wide_u"),
];

/// The same for vectors. A capital letter stands for each lane type of a group: see [`LANES`].
const VECTORS: &[(&str, &str, &str)] = &[
    ("v128", "v128", "v128.not A.abs A.neg i8x16.popcnt F.abs F.neg F.sqrt F.ceil F.floor F.trunc F.nearest"),
    ("v128 v128", "v128", "v128.and v128.or v128.xor v128.andnot i8x16.swizzle A.add A.sub N.mul"),
    ("v128 v128", "v128", "A.eq A.ne A.lt_s A.gt_s A.le_s A.ge_s M.lt_u M.gt_u M.le_u M.ge_u"),
    ("v128 v128", "v128", "M.min_s M.min_u M.max_s M.max_u S.avgr_u S.add_sat_s S.add_sat_u S.sub_sat_s S.sub_sat_u"),
    ("v128 i32", "v128", "A.shl A.shr_s A.shr_u"),
    ("v128", "i32", "v128.any_true A.all_true A.bitmask"),
    ("v128 v128", "v128", "i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u"),
    ("v128", "v128", "W.extend_low_H_s W.extend_low_H_u W.extend_high_H_s W.extend_high_H_u"),
    ("v128 v128", "v128", "W.extmul_low_H_s W.extmul_low_H_u W.extmul_high_H_s W.extmul_high_H_u i32x4.dot_i16x8_s"),
    ("v128", "v128", "i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s"),
    ("v128", "v128", "i32x4.extadd_pairwise_i16x8_u"),
    ("v128 v128", "v128", "i16x8.q15mulr_sat_s i16x8.relaxed_q15mulr_s i16x8.relaxed_dot_i8x16_i7x16_s"),
    ("v128 v128", "v128", "F.add F.sub F.mul F.div F.min F.max F.pmin F.pmax F.eq F.ne F.lt F.gt F.le F.ge"),
    ("v128", "v128", "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u i32x4.trunc_sat_f64x2_s_zero"),
    ("v128", "v128", "i32x4.trunc_sat_f64x2_u_zero f32x4.convert_i32x4_s f32x4.convert_i32x4_u"),
    ("v128", "v128", "f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u f32x4.demote_f64x2_zero"),
    ("v128", "v128", "f64x2.promote_low_f32x4 i32x4.relaxed_trunc_f32x4_s i32x4.relaxed_trunc_f32x4_u"),
    ("v128", "v128", "i32x4.relaxed_trunc_f64x2_s_zero i32x4.relaxed_trunc_f64x2_u_zero"),
    ("v128 v128", "v128", "i8x16.relaxed_swizzle F.relaxed_min F.relaxed_max"),
    ("v128 v128 v128", "v128", "v128.bitselect A.relaxed_laneselect F.relaxed_madd F.relaxed_nmadd"),
    ("v128 v128 v128", "v128", "i32x4.relaxed_dot_i8x16_i7x16_add_s"),
    ("i32", "v128", "i8x16.splat i16x8.splat i32x4.splat"),
    ("i64", "v128", "i64x2.splat"),
    ("f32", "v128", "f32x4.splat"),
    ("f64", "v128", "f64x2.splat"),
];

/// Groups of lane types that have the same instructions. Each `W` has the `H` at its place, of half
/// the width.
const LANES: &[(&str, &[&str])] = &[
    ("A", &["i8x16", "i16x8", "i32x4", "i64x2"]),
    ("M", &["i8x16", "i16x8", "i32x4"]),
    ("S", &["i8x16", "i16x8"]),
    ("N", &["i16x8", "i32x4", "i64x2"]),
    ("F", &["f32x4", "f64x2"]),
    ("W", &["i16x8", "i32x4", "i64x2"]),
    ("H", &["i8x16", "i16x8", "i32x4"]),
];

/// The loads and stores of each type.
const MEMORY: &[(&str, &str, &str)] = &[
    ("i32", "load load8_s load8_u load16_s load16_u", "store store8 store16"),
    ("i64", "load load8_s load8_u load16_s load16_u load32_s load32_u", "store store8 store16 store32"),
    ("f32", "load", "store"),
    ("f64", "load", "store"),
    ("v128", "load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u load32_zero load64_zero", "store"),
    ("v128", "load8_splat load16_splat load32_splat load64_splat", "store"),
];

/// Everything else. Memory, tables and globals come in a local and an imported variety: see
/// [`module`].
const OTHERS: &str = r#"
(func (param i32) (result i32) (memory.grow (local.get 0)) (drop) (memory.size))
(func (param i32 i32 i32)
  (memory.fill (local.get 0) (local.get 1) (local.get 2))
  (memory.copy (local.get 0) (local.get 1) (local.get 2))
  (memory.init $d (local.get 0) (local.get 1) (local.get 2))
  (data.drop $d))
(func (param i32 i32 i32)
  (memory.fill (local.get 0) (local.get 1) (i32.const 0)) (memory.copy (local.get 0) (local.get 1) (i32.const 0))
  (memory.fill (local.get 0) (local.get 1) (i32.const 1)) (memory.copy (local.get 0) (local.get 1) (i32.const 1))
  (memory.fill (local.get 0) (local.get 1) (i32.const 7)) (memory.copy (local.get 0) (local.get 1) (i32.const 7))
  (memory.fill (local.get 0) (local.get 1) (i32.const 64)) (memory.copy (local.get 0) (local.get 1) (i32.const 64))
  (memory.fill (local.get 0) (local.get 1) (i32.const 65)) (memory.copy (local.get 0) (local.get 1) (i32.const 65)))
(func (param i32 funcref) (result i32 funcref)
  (table.set $f (local.get 0) (local.get 1))
  (table.set $e (local.get 0) (ref.null extern))
  (table.fill $f (local.get 0) (local.get 1) (local.get 0))
  (drop (table.get $e (local.get 0)))
  (drop (table.get $fixed (local.get 0)))
  (drop (table.grow $f (local.get 1) (local.get 0)))
  (table.size $f) (table.get $f (local.get 0)))
(func (param i32 i32 i32)
  (table.copy $f $fixed (local.get 0) (local.get 1) (local.get 2))
  (table.init $f $s (local.get 0) (local.get 1) (local.get 2))
  (elem.drop $s))
(func (param f32 f64) (result i32 i64 f32 f64)
  (global.set $i (i32.add (global.get $i) (global.get $constant)))
  (global.set $g (global.get $g)) (global.set $x (global.get $x)) (global.set $g (global.get $folded))
  (global.set $g (global.get $nothing)) (global.set $i (global.get $sum)) (global.set $i (global.get $dynamic))
  (global.get $i) (i64.const -1) (f32.const nan:0x200001) (f64.const -0))
(func (param externref) (result i32 i32 funcref)
  (ref.is_null (local.get 0)) (ref.is_null (ref.func $nop)) (ref.func $imported))
(func (param v128) (result v128 v128 v128 v128) (local v128)
  (global.set $v (local.get 0)) (global.set $v (global.get $ones))
  (global.get $v) (local.get 1) (v128.const i64x2 1 2)
  (select (local.get 0) (local.get 1) (i32.const 1)))
(func (param v128) (result v128)
  (i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31 (local.get 0) (local.get 0)))
(func (param v128) (result i32 i32 i32 i32 i32 i64 f32 f64)
  (i8x16.extract_lane_s 15 (local.get 0)) (i8x16.extract_lane_u 0 (local.get 0))
  (i16x8.extract_lane_s 7 (local.get 0)) (i16x8.extract_lane_u 0 (local.get 0))
  (i32x4.extract_lane 3 (local.get 0)) (i64x2.extract_lane 1 (local.get 0))
  (f32x4.extract_lane 3 (local.get 0)) (f64x2.extract_lane 1 (local.get 0)))
(func (param v128) (result v128)
  (i8x16.replace_lane 15 (local.get 0) (i32.const 1)) (i16x8.replace_lane 7 (i32.const 1))
  (i32x4.replace_lane 3 (i32.const 1)) (i64x2.replace_lane 1 (i64.const 1))
  (f32x4.replace_lane 3 (f32.const 1)) (f64x2.replace_lane 1 (f64.const 1)))
(func (param i32 v128) (result v128 v128 v128 v128)
  (v128.load8_lane 15 (local.get 0) (local.get 1)) (v128.load16_lane 7 (local.get 0) (local.get 1))
  (v128.load32_lane 3 (local.get 0) (local.get 1)) (v128.load64_lane 1 (local.get 0) (local.get 1))
  (v128.store8_lane 15 (local.get 0) (local.get 1)) (v128.store16_lane 7 (local.get 0) (local.get 1))
  (v128.store32_lane 3 (local.get 0) (local.get 1)) (v128.store64_lane 1 (local.get 0) (local.get 1)))
(func $nop (nop))
(func (result i32 i32 i64) (local i32 i64 f32 f64 funcref externref)
  (local.set 1 (local.tee 1 (i64.const 4)))
  (call $swap (local.get 0) (i64.const 1)) (drop) (drop)
  (call $imported (i32.const 1)) (i32.const 1) (i64.const 2))
(func $swap (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
(func (param i32) (result i32) (return_call $imported (local.get 0)))
(func $self (param i32) (result i32) (return_call $self (local.get 0)))
(func (param i32) (result i32)
  (call_indirect $f (param i32) (result i32) (local.get 0) (local.get 0))
  (call_indirect $fixed (param i32) (result i32) (local.get 0)))
(func (param i32) (result i32) (return_call_indirect $f (param i32) (result i32) (local.get 0) (local.get 0)))
(func (param i32 externref) (result externref i32)
  (select (result externref) (local.get 1) (ref.null extern) (local.get 0))
  (select (i32.const 1) (local.get 0) (local.get 0)))
"#;

/// References of a type, and branches on null.
const REFERENCES: &str = r#"
(type $unary (func (param i32) (result i32)))
(func (param i32 (ref null $unary)) (result i32)
  (call_ref $unary (local.get 0) (local.get 1)) (call_ref $unary (ref.as_non_null (local.get 1))))
(func (param i32 (ref null $unary)) (result i32) (return_call_ref $unary (local.get 0) (local.get 1)))
(func (param externref funcref) (result externref)
  (block (br_on_null 0 (local.get 1)) (drop))
  (block (result (ref func)) (br_on_non_null 0 (local.get 1)) (ref.func $nop)) (drop)
  (block (result (ref extern)) (br_on_non_null 0 (local.get 0)) (unreachable)))
"#;

/// Structured control, with everything that may be unreachable so.
const CONTROL: &str = r#"
(func (param i32) (result i32 i64)
  (local.get 0) (i64.const 3)
  (block (param i32 i64) (result i32 i64)
    (br_if 0 (local.get 0))
    (br_table 0 1 0 (local.get 0))))
(func (param i32) (result i32)
  (local.get 0)
  (loop $again (param i32) (result i32)
    (i32.const 1) (i32.sub) (local.tee 0)
    (br_if $again (local.get 0) (local.get 0)) (drop)))
(func (param i32) (result i32)
  (if (result i32) (local.get 0) (then (return (i32.const 1))) (else (i32.const 2))))
(func (param i32) (result i32)
  (local.get 0) (if (param i32) (result i32) (local.get 0) (then (i32.eqz))) (drop)
  (if (local.get 0) (then (return (i32.const 1))) (else (return (i32.const 2)))) (i32.const 3))
(func (param i32) (result i32)
  (unreachable) (if (result i32) (then (i32.const 1)) (else (i32.const 2))) (drop)
  (block (loop (br 1) (if (then (nop)) (else (nop))))) (i32.load) (call_indirect $f (param i32) (result i32)))
(func (param i32) (block (block (br 0) (unreachable)) (loop (br 0))) (nop))
(func (param i32) (if (local.get 0) (then (unreachable)) (else (br 0) (block (nop)))) (loop $l (br_if $l (local.get 0))))
(func (param i32) (result i32) (block (result i32) (br_table 0 0 1 (i32.const 4) (local.get 0))))
(func (param i32) (loop $l (block (br_table $l 0 $l 1 2 (local.get 0)))))
(func (result f32) (loop (result f32) (block (br 0)) (br 0)))
(func (loop (loop (br 1))))
(func (result i32) (block (result i32) (i32.const 1) (return)))
"#;

/// Throwing and catching, in the same function and in others, of its own tags and of imported ones.
const EXCEPTIONS: &str = r#"
(func $throws (param i32) (result i32)
  (if (local.get 0) (then (throw $t (local.get 0) (i64.const 7) (ref.null exn) (v128.const i64x2 1 2))))
  (if (i32.eqz (local.get 0)) (then (throw $u)))
  (throw $w))
(func (param i32) (result i32 i64 exnref v128)
  (block $caught (result i32 i64 exnref v128)
    (try_table (result i32) (catch $t $caught) (call $throws (local.get 0)))
    (drop) (throw $t (i32.const 1) (i64.const 2) (ref.null exn) (v128.const i64x2 1 2))))
(func (param i32) (result exnref) (local exnref)
  (block $all (result exnref)
    (block $u (result exnref)
      (block $w
        (try_table (catch $w $w) (catch_ref $u $u) (catch_all_ref $all)
          (local.set 1 (block $inner (result exnref) (try_table (catch_all_ref $inner) (throw $u)) (unreachable)))
          (drop (call_indirect $f (param i32) (result i32) (local.get 0) (local.get 0)))
          (drop (call $imported (local.get 0)))
          (throw_ref (local.get 1)))
        (return (ref.null exn)))
      (throw $w))))
(func (param i32) (result i32)
  (loop $again (result i32) (try_table (result i32) (catch_all $again) (call $throws (local.get 0)))))
(func (param exnref) (block (try_table (catch $u 0) (catch $w 0) (throw $u)) (throw $w)) (throw_ref (local.get 0)))
(func (param i32 exnref (ref exn)) (result exnref)
  (local.get 1)
  (loop $l (param exnref) (result exnref) (drop (call $imported (local.get 0))) (br_if $l (local.get 0))) (drop)
  (block (try_table (catch_all 0) (throw $u)))
  (select (result exnref) (local.get 1) (local.get 2) (local.get 0)))
"#;

/// The same with legacy exceptions, which have no folded form.
const LEGACY: &str = r#"
(func (param i32) (result i32)
  try $outer (result i32)
    try (result i32) (call $throws (local.get 0)) delegate $outer
    try (param i32) (result i32) (call $throws) catch $w (throw $u) catch_all (rethrow 0) end
  catch $t (drop) (drop) (drop)
  catch $u (if (local.get 0) (then (rethrow $outer))) (i32.const 3)
  end)
(func (param i32) (result i32) try (result i32) (throw $w) catch $u (i32.const 1) catch $w (i32.const 2) end)
(func (param i32) try (drop (call $throws (local.get 0))) end try catch_all end try delegate 0)
(func (unreachable) try try catch $u catch_all (rethrow 0) end try delegate 0 catch $w catch_all end)
"#;

/// A module with these functions, whose memory, tables and globals are its own or imported.
pub(in crate::codegen) fn module(imported: bool, funcs: &str) -> Vec<u8> {
    let origin = |name: &str| if imported { format!(r#"(import "" "{name}")"#) } else { String::new() };
    let value = |value: &'static str| if imported { "" } else { value };
    let (memory, f, e, fixed) = (origin("m"), origin("f"), origin("e"), origin("n"));
    let (i, g, x, v) = (origin("i"), origin("g"), origin("x"), origin("v"));
    let (zero, no_func, no_extern) = (value("(i32.const 0)"), value("(ref.null func)"), value("(ref.null extern)"));
    let no_lanes = value("(v128.const i64x2 0 0)");
    let (t, u, w) = (origin("t"), origin("u"), origin("w"));
    let wat = format!(
        r#"(module
        (import "" "imported" (func $imported (param i32) (result i32)))
        (import "" "base" (global $base i32))
        (memory {memory} 1 9) (table $f {f} 1 funcref) (table $e {e} 1 externref) (table $fixed {fixed} 4 4 funcref)
        (tag $t {t} (param i32 i64 exnref v128)) (tag $u {u}) (tag $w {w})
        (global $i {i} (mut i32) {zero}) (global $g {g} (mut funcref) {no_func})
        (global $x {x} (mut externref) {no_extern})
        (global $v {v} (mut v128) {no_lanes}) (global $ones v128 (v128.const i32x4 -1 -1 -1 -1))
        (global $constant i32 (i32.const 42)) (global $folded funcref (ref.func $imported))
        (global $nothing funcref (ref.null func)) (global $sum i32 (i32.add (i32.const 40) (i32.const 2)))
        (global $dynamic i32 (global.get $base))
        (data $d "abc") (elem $s func $nop) (elem declare func $imported)
        {funcs}
        )"#
    );
    wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}"))
}

/// The instruction for each lane type that a capital letter in it stands for.
fn each_lane_type(op: &str) -> Vec<String> {
    let groups = || LANES.iter().filter(|(letter, _)| op.contains(letter));
    let count = groups().next().map_or(1, |(_, types)| types.len());
    let instruction = |i| groups().fold(op.to_owned(), |op, (letter, types)| op.replace(letter, types[i]));
    (0..count).map(instruction).collect()
}

pub(super) fn all_functions() -> String {
    let mut funcs = String::new();
    for (params, result, ops) in NUMERIC.iter().chain(VECTORS) {
        let operands: String = (0..params.split(' ').count()).map(|i| format!("(local.get {i}) ")).collect();
        for op in ops.split(' ').flat_map(each_lane_type) {
            funcs += &format!("(func (param {params}) (result {result}) {operands} {op})\n");
        }
    }
    for (ty, loads, stores) in MEMORY {
        for offset in ["", " offset=4096", " offset=0x1ffffff0", " offset=0x20000000", " offset=0xffffffff"] {
            for op in loads.split(' ') {
                funcs += &format!("(func (param i32) (result {ty}) ({ty}.{op}{offset} (local.get 0)))\n");
            }
            for op in stores.split(' ') {
                funcs += &format!("(func (param i32 {ty}) ({ty}.{op}{offset} (local.get 0) (local.get 1)))\n");
            }
        }
    }
    funcs + &atomic_functions() + OTHERS + REFERENCES + CONTROL + EXCEPTIONS + LEGACY + OBJECTS
}

/// A function for each atomic instruction.
fn atomic_functions() -> String {
    let mut funcs = String::from(
        "(func atomic.fence)
         (func (param i32 i32) (result i32) (memory.atomic.notify offset=8 (local.get 0) (local.get 1)))
         (func (param i32 i64) (result i32) (memory.atomic.wait32 (local.get 0) (i32.const 0) (local.get 1)))
         (func (param i32 i64) (result i32) (memory.atomic.wait64 (local.get 0) (i64.const 0) (local.get 1)))",
    );
    for (ty, bits) in [("i32", ["", "8", "16"].as_slice()), ("i64", &["", "8", "16", "32"])] {
        for bits in bits {
            let u = if bits.is_empty() { "" } else { "_u" };
            funcs += &format!("(func (param i32) (result {ty}) ({ty}.atomic.load{bits}{u} (local.get 0)))\n");
            funcs += &format!("(func (param i32 {ty}) ({ty}.atomic.store{bits} (local.get 0) (local.get 1)))\n");
            for op in ["add", "sub", "and", "or", "xor", "xchg"] {
                let op = format!("{ty}.atomic.rmw{bits}.{op}{u}");
                funcs += &format!("(func (param i32 {ty}) (result {ty}) ({op} (local.get 0) (local.get 1)))\n");
            }
            funcs += &format!(
                "(func (param i32 {ty} {ty}) (result {ty})
                   ({ty}.atomic.rmw{bits}.cmpxchg{u} (local.get 0) (local.get 1) (local.get 2)))\n"
            );
        }
    }
    funcs
}

/// All features, also those that are not finished.
pub(super) fn all_features() -> Features {
    let mut features = Features::default();
    features.set(Feature::Gc, true);
    features
}

pub(in crate::codegen) fn compiler(opt_level: OptLevel) -> Compiler {
    Compiler::new(&Settings { opt_level, features: all_features(), ..Settings::default() })
        .expect("the machine that runs the tests is known")
}

/// Validates and translates all functions of a module.
pub(in crate::codegen) fn translated(compiler: &Compiler, bytes: &[u8]) -> Result<Vec<Function>, CompileError> {
    let features = compiler.settings.features;
    let parsed = parse(bytes, features)?;
    validate::bodies(parsed.bodies, Limits { features, ..Limits::none(&parsed.info) })?;
    let Parsed { info, bodies } = parse(bytes, features)?;
    let layout = Layout::new(&info, PAGE_MIN)?;
    let module = compiler.context(&info, &layout);
    let mut context = FunctionBuilderContext::new();
    let funcs = bodies.into_iter().zip(info.num_imported_funcs..).map(|(body, func)| {
        let mut target = Function::new();
        translate(&module, func, &body.body, &mut target, &mut context)?;
        Ok(target)
    });
    funcs.collect()
}

/// The machine code as text, and the relocations, of a function.
pub(super) fn compiled(compiler: &Compiler, func: Function) -> (String, Vec<Reloc>) {
    let text = func.to_string();
    let mut context = Context::for_function(func);
    context.set_disasm(true);
    let code = context.compile(&*compiler.isa, &mut ControlPlane::default());
    let code = code.unwrap_or_else(|error| panic!("{:?}\n{text}", error.inner));
    let relocations = code.buffer.relocs().iter().map(|reloc| reloc.kind).collect();
    (code.vcode.clone().expect("it was asked for"), relocations)
}

/// Returns whether machine code contains a call, as one of the processors writes it.
pub(super) fn calls_something(text: &str) -> bool {
    ["call", " bl ", " blr "].iter().any(|call| text.contains(call))
}

/// The machine code of the only function in `wat`.
fn assembly(imported: bool, wat: &str) -> String {
    let compiler = compiler(OptLevel::Speed);
    let func = translated(&compiler, &module(imported, &format!("{wat}(func $nop)"))).expect("valid").swap_remove(0);
    compiled(&compiler, func).0
}

#[test]
fn every_instruction_becomes_code_that_cranelift_accepts_and_that_calls_no_library() {
    for compiler in [OptLevel::None, OptLevel::Speed].map(compiler) {
        compiles_every_instruction(&compiler);
    }
}

/// Without the feature `cross`, there is only this machine.
#[test]
fn code_for_other_machines_calls_no_library_either() {
    let for_machine = |machine| {
        let settings = Settings { target: Some(machine), features: all_features(), ..Settings::default() };
        Compiler::new(&settings).ok()
    };
    let compilers: Vec<Compiler> = Machine::ALL.into_iter().filter_map(for_machine).collect();
    assert_eq!(compilers.len(), if cfg!(feature = "cross") { Machine::ALL.len() } else { 1 });
    compilers.iter().for_each(compiles_every_instruction);
}

fn compiles_every_instruction(compiler: &Compiler) {
    for imported in [false, true] {
        let bytes = module(imported, &all_functions());
        for func in translated(compiler, &bytes).expect("valid") {
            verify_function(&func, &*compiler.isa).unwrap_or_else(|errors| panic!("{errors}\n{func}"));
            let (text, relocations) = compiled(compiler, func);
            assert!(relocations.iter().all(|kind| Distance::of(&*compiler.isa, *kind).is_some()), "{text}");
        }
    }
}

#[test]
fn these_tests_cover_every_instruction() {
    let mut seen = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module(false, &all_functions())) {
        if let Payload::CodeSectionEntry(body) = payload.expect("well-formed") {
            for op in body.get_operators_reader().expect("well-formed") {
                let name = format!("{:?}", op.expect("well-formed"));
                seen.insert(name.split([' ', '{']).next().unwrap_or_default().to_owned());
            }
        }
    }
    let missing: Vec<_> = NAMES.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn an_invalid_body_is_refused_at_the_offending_byte() {
    let bytes = wat::parse_str("(module (func (result i32) (i64.const 1)))").expect("well-formed");
    let error = translated(&compiler(OptLevel::Speed), &bytes).expect_err("not valid");
    // The body's `end`, which is the last byte of the module.
    assert_eq!(error.offset(), Some(bytes.len() - 1), "{error}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_load_within_the_guard_is_one_instruction_relative_to_vmctx() {
    let text = assembly(false, "(func (param i32) (result i32) (i32.load offset=8 (local.get 0)))");
    assert!(text.contains("0x40000008(%rdi, %rsi)") && !text.contains("cmp"), "{text}");
}

#[test]
fn a_load_that_could_skip_the_guard_is_compared_with_the_size() {
    for offset in [(0x2000_0000 - 3) as u32, u32::MAX] {
        let load = format!("(func (param i32) (result i32) (i32.load offset={offset} (local.get 0)))");
        let text = assembly(false, &load);
        assert!(text.contains("#trap=heap_oob"), "{text}");
    }
    let last = assembly(false, "(func (param i32) (result i32) (i32.load offset=0x1ffffffc (local.get 0)))");
    assert!(!last.contains("#trap"), "{last}");
}

#[cfg(feature = "cross")]
#[test]
fn on_arm_short_bulk_operations_read_the_last_byte_before_they_write() {
    let target = Some(crate::Machine::Aarch64Linux);
    let settings = Settings { target, features: all_features(), ..Settings::default() };
    let compiler = Compiler::new(&settings).expect("all targets are there");
    for (len, operation) in [2, 16, 64].into_iter().flat_map(|len| [(len, "memory.fill"), (len, "memory.copy")]) {
        let body = format!("(func (param i32 i32) ({operation} (local.get 0) (local.get 1) (i32.const {len})))");
        let func = translated(&compiler, &module(false, &format!("{body}(func $nop)"))).expect("valid").swap_remove(0);
        let (text, _) = compiled(&compiler, func);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.contains("[sp"));
        let first = lines.find(|line| line.starts_with("ldrb") || line.starts_with("st"));
        assert!(first.is_some_and(|line| line.starts_with("ldrb")), "{operation} of {len} bytes:\n{text}");
    }
}

#[test]
fn an_indirect_call_branches_only_on_the_type() {
    for table in ["$f", "$fixed"] {
        let call = "(param i32) (result i32) (local.get 0) (local.get 0)";
        let text = assembly(false, &format!("(func (param i32) (result i32) (call_indirect {table} {call}))"));
        let traps: Vec<_> = text.split("#trap=").skip(1).map(|rest| rest.lines().next()).collect();
        assert_eq!(traps, [Some("stk_ovf"), Some("user6")], "{text}");
        assert!(text.contains("cmova") || text.contains("csel"), "{text}");
    }
}

#[test]
fn a_call_through_a_typed_reference_checks_nothing_but_the_stack() {
    for null in ["", "null"] {
        let call = "(call_ref $of (local.get 0) (local.get 1))";
        let of = "(type $of (func (param i32) (result i32)))";
        let text = assembly(false, &format!("{of} (func (param i32 (ref {null} $of)) (result i32) {call})"));
        let traps: Vec<_> = text.split("#trap=").skip(1).map(|rest| rest.lines().next()).collect();
        assert_eq!(traps, [Some("stk_ovf")], "{text}");
        assert_eq!(text.matches("cmp").count() + text.matches("subs").count(), 1, "{text}");
    }
}

#[test]
fn a_branch_on_null_is_one_test() {
    for (branch, rest) in [("br_on_null", "(drop)"), ("br_on_non_null", "")] {
        let block = if rest.is_empty() { "(block (result funcref)" } else { "(block" };
        let end = if rest.is_empty() { "(ref.null func)) (drop)" } else { ")" };
        let text = assembly(false, &format!("(func (param funcref) {block} ({branch} 0 (local.get 0)) {rest} {end})"));
        assert!(!text.contains("#trap=user"), "{text}");
        assert!(text.matches("test").count() <= 1, "{text}");
    }
}

#[test]
fn short_fills_and_copies_call_nobody() {
    for (len, calls) in [(0, true), (1, false), (33, false), (64, false), (65, true)] {
        for op in ["fill", "copy"] {
            let op = format!("(memory.{op} (local.get 0) (local.get 1) (i32.const {len}))");
            let text = assembly(false, &format!("(func (param i32 i32) {op})"));
            assert_eq!(calls_something(&text), calls, "{text}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_constant_global_is_not_read() {
    let text = assembly(true, "(func (result i32) (global.get $constant))");
    assert!(text.contains("$0x2a, %eax") && !text.contains("(%rdi"), "{text}");
}

/// Returns how often each of these operations is in the only function in `wat`, as it was
/// translated.
fn count<const N: usize>(wat: &str, ops: [&str; N]) -> [usize; N] {
    let compiler = compiler(OptLevel::Speed);
    let func = translated(&compiler, &module(false, &format!("{wat} (func $nop)"))).expect("valid").swap_remove(0);
    let insts = func.layout.blocks().flat_map(|block| func.layout.block_insts(block));
    let names: Vec<String> = insts.map(|inst| func.dfg.insts[inst].opcode().to_string()).collect();
    ops.map(|op| names.iter().filter(|name| *name == op).count())
}

#[test]
fn a_condition_is_the_comparison_itself() {
    let ops = ["icmp", "fcmp", "uextend"];
    for asked in ["(if {c} (then (return)))", "(br_if 0 {c})", "(drop (select (i32.const 1) (i32.const 2) {c}))"] {
        let with = |condition: &str| {
            let wat = format!("(func (param i32 f64) {})", asked.replace("{c}", condition));
            count(&wat, ops)
        };
        assert_eq!(with("(i32.lt_u (local.get 0) (i32.const 5))"), [1, 0, 0]);
        assert_eq!(with("(i32.eqz (i32.eqz (i32.lt_u (local.get 0) (i32.const 5))))"), [1, 0, 0]);
        assert_eq!(with("(i32.eqz (f64.lt (local.get 1) (local.get 1)))"), [0, 1, 0]);
        assert_eq!(with("(i32.eqz (local.get 0))"), [1, 0, 0]);
    }
    // As a number, it is one.
    assert_eq!(count("(func (param i32) (result i32) (i32.eqz (i32.eqz (local.get 0))))", ops), [1, 0, 1]);
    let used_twice = "(func (param i32) (result i32)
        (if (local.tee 0 (i32.eqz (local.get 0))) (then (return (local.get 0)))) (local.get 0))";
    assert_eq!(count(used_twice, ops), [1, 0, 1]);
}

/// Arm has addresses in other parts (`isa::takes_memory_operands`).
#[cfg(target_arch = "x86_64")]
#[test]
fn a_block_has_each_constant_and_each_address_once() {
    let ops = ["iconst", "uextend", "iadd"];
    let access = "(i32.store offset=8 (local.get 0) (i32.const 3)) (i32.store8 (local.get 0) (i32.const 3))";
    // One constant is the distance of the memory, which is added to vmctx at the start.
    assert_eq!(count(&format!("(func (param i32) {access})"), ops), [2, 1, 2]);
    let branch = "(if (local.get 0) (then (return)))";
    assert_eq!(count(&format!("(func (param i32) {access} {branch} {access})"), ops), [3, 2, 3]);
    // A constant index is a displacement.
    assert_eq!(count("(func (drop (i32.load offset=8 (i32.const 1000))))", ops), [2, 0, 1]);
    assert_eq!(count("(func (drop (i32.load offset=8 (i32.const -1))))", ops), [2, 1, 2]);
}

#[test]
fn a_branch_table_passes_values_once_for_each_target() {
    let targets = "0 1 ".repeat(9);
    let branch = format!("(block (result i64 i64) (i64.const 1) (i64.const 2) (br_table {targets} (local.get 0)))");
    let wat =
        format!("(func (param i32) (result i64 i64) (block (result i64 i64) {branch} (drop) (drop) (unreachable)))");
    let compiler = compiler(OptLevel::Speed);
    let func = &translated(&compiler, &module(false, &format!("{wat} (func $nop)"))).expect("valid")[0];
    let jumps = func.to_string().matches("jump block").count();
    assert_eq!(jumps, 2, "{func}");
}

#[test]
fn vectors_are_held_as_bytes_and_seen_as_what_an_instruction_needs() {
    let wat = "(func (param v128 v128) (result v128) (i32x4.add (local.get 0) (local.get 1))) (func $nop)";
    let func = &translated(&compiler(OptLevel::None), &module(false, wat)).expect("valid")[0];
    let text = func.to_string();
    assert!(text.contains("(i64 vmctx, i8x16, i8x16) -> i8x16 tail"), "{text}");
    for line in ["bitcast.i32x4 little v1", "bitcast.i32x4 little v2", "iadd v", "bitcast.i8x16 little v"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_view_costs_nothing() {
    let text = assembly(false, "(func (param v128 v128) (result v128) (i32x4.mul (local.get 0) (local.get 1)))");
    let body = text.lines().filter(|line| line.contains("xmm")).count();
    assert_eq!(body, 1, "{text}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn one_instruction_of_the_processor_is_found_behind_several_of_cranelift() {
    for (op, mnemonic) in [("f32x4.pmin", "minps"), ("f64x2.pmax", "maxpd"), ("i32x4.dot_i16x8_s", "pmaddwd")] {
        let text =
            assembly(false, &format!("(func (param v128 v128) (result v128) ({op} (local.get 0) (local.get 1)))"));
        let vectors = text.lines().filter(|line| line.contains("xmm")).count();
        assert!(text.contains(mnemonic) && vectors == 1, "{op}: {text}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_vector_in_memory_is_reached_as_a_number_is() {
    let whole = assembly(false, "(func (param i32) (result v128) (v128.load offset=8 (local.get 0)))");
    assert!(whole.contains("0x40000008(%rdi, %rsi)") && !whole.contains("cmp"), "{whole}");
    let last = assembly(false, "(func (param i32) (result v128) (v128.load offset=0x1ffffff0 (local.get 0)))");
    assert!(!last.contains("#trap"), "{last}");
    // One byte more could skip the guard.
    let beyond = assembly(false, "(func (param i32) (result v128) (v128.load offset=0x1ffffff1 (local.get 0)))");
    assert!(beyond.contains("#trap=heap_oob"), "{beyond}");
    let lane = "(v128.load8_lane offset=0x1fffffff 0 (local.get 0) (v128.const i64x2 0 0))";
    let lane = assembly(false, &format!("(func (param i32) (result v128) {lane})"));
    assert!(!lane.contains("#trap"), "{lane}");
}

#[test]
fn a_relaxed_product_and_sum_is_rounded_twice() {
    let operands = "(local.get 0) (local.get 1) (local.get 2)";
    for (op, sum) in [("madd", "fadd v"), ("nmadd", "fsub v")] {
        let wat = format!("(func (param v128 v128 v128) (result v128) (f32x4.relaxed_{op} {operands})) (func $nop)");
        let func = &translated(&compiler(OptLevel::Speed), &module(false, &wat)).expect("valid")[0];
        let text = func.to_string();
        assert!(text.contains("fmul") && text.contains(sum) && !text.contains("fma"), "{text}");
        assert!(!compiled(&compiler(OptLevel::Speed), func.clone()).0.contains("fmadd"), "{text}");
    }
}

#[test]
fn entering_a_try_table_costs_nothing() {
    let body = |construct: &str| {
        let product = "(i32.mul (local.get 0) (i32.const 3))";
        assembly(
            false,
            &format!(
                "(func (param i32) (result i32)
                   (block $b ({construct} (br_if 0 {product} (local.get 0))) (return)) (i32.const 0))"
            ),
        )
    };
    assert_eq!(body("try_table (result i32) (catch $u $b) (catch_all $b)"), body("block (result i32)"));
}

#[test]
fn a_throw_that_its_own_function_catches_is_a_branch() {
    let text = "(func (param i32) (result i32)
        (block $other
          (block $b (result i32 i64 exnref v128)
            (try_table (catch $w $other) (catch $t $b)
              (throw $t (local.get 0) (i64.const 1) (ref.null exn) (v128.const i64x2 0 0)))
            (unreachable))
          (drop) (drop) (drop) (return))
        (i32.const 0))";
    let code = assembly(false, text);
    assert!(!calls_something(&code), "{code}");
}
