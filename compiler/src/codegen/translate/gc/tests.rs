//! Every instruction on objects, and the shape of the code where that is the point.

use super::super::tests::{calls_something, compiled, compiler, module, translated};
use crate::OptLevel;

/// Every instruction on structures, arrays, small integers and casts.
pub(in super::super) const OBJECTS: &str = r#"
(rec (type $point (sub (struct (field (mut i8)) (field (mut i16)) (field (mut v128)) (field (mut funcref))
       (field (mut anyref)) (field (mut externref)) (field f32) (field f64) (field i64))))
     (type $final (struct (field (mut i32)))))
(type $bytes (array (mut i8))) (type $shorts (array (mut i16))) (type $vectors (array (mut v128)))
(type $funcs (array (mut funcref))) (type $anys (array (mut anyref))) (type $function (sub (func)))
(type $d1 (sub (struct))) (type $d2 (sub $d1 (struct))) (type $d3 (sub $d2 (struct))) (type $d4 (sub $d3 (struct)))
(type $d5 (sub $d4 (struct))) (type $d6 (sub $d5 (struct))) (type $d7 (sub $d6 (struct))) (type $d8 (sub $d7 (struct)))
(type $d9 (sub $d8 (struct)))
(elem $any anyref (ref.null any))
(func (param i32 v128 funcref anyref externref) (result (ref $point) (ref $point) (ref $final))
  (struct.new $point (local.get 0) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
    (f32.const 1) (f64.const 2) (i64.const 3))
  (struct.new_default $point) (struct.new $final (local.get 0)))
(func (param (ref null $point)) (result i32 i32 i32 i32 v128 funcref anyref externref f32 f64 i64)
  (struct.get_s $point 0 (local.get 0)) (struct.get_u $point 0 (local.get 0))
  (struct.get_s $point 1 (local.get 0)) (struct.get_u $point 1 (local.get 0)) (struct.get $point 2 (local.get 0))
  (struct.get $point 3 (local.get 0)) (struct.get $point 4 (local.get 0)) (struct.get $point 5 (local.get 0))
  (struct.get $point 6 (local.get 0)) (struct.get $point 7 (local.get 0)) (struct.get $point 8 (local.get 0)))
(func (param (ref null $point) i32 v128 funcref anyref externref)
  (struct.set $point 0 (local.get 0) (local.get 1)) (struct.set $point 1 (local.get 0) (local.get 1))
  (struct.set $point 2 (local.get 0) (local.get 2)) (struct.set $point 3 (local.get 0) (local.get 3))
  (struct.set $point 4 (local.get 0) (local.get 4)) (struct.set $point 5 (local.get 0) (local.get 5)))
(func (param i32 v128 funcref anyref)
  (drop (array.new $bytes (local.get 0) (local.get 0))) (drop (array.new $vectors (local.get 1) (local.get 0)))
  (drop (array.new $funcs (local.get 2) (local.get 0))) (drop (array.new_default $shorts (local.get 0)))
  (drop (array.new_fixed $anys 2 (local.get 3) (local.get 3)))
  (drop (array.new_data $bytes $d (local.get 0) (local.get 0)))
  (drop (array.new_elem $anys $any (local.get 0) (local.get 0)))
  (drop (array.new_elem $funcs $s (local.get 0) (local.get 0))))
(func (param (ref null $bytes) (ref null $shorts) (ref null $vectors) (ref null $funcs) (ref null $anys) i32)
  (result i32 i32 i32 i32 v128 funcref anyref i32)
  (array.get_s $bytes (local.get 0) (local.get 5)) (array.get_u $bytes (local.get 0) (local.get 5))
  (array.get_s $shorts (local.get 1) (local.get 5)) (array.get_u $shorts (local.get 1) (local.get 5))
  (array.get $vectors (local.get 2) (local.get 5)) (array.get $funcs (local.get 3) (local.get 5))
  (array.get $anys (local.get 4) (local.get 5)) (array.len (local.get 0)))
(func (param (ref null $bytes) (ref null $vectors) (ref null $funcs) (ref null $anys) i32 v128 funcref anyref)
  (array.set $bytes (local.get 0) (local.get 4) (local.get 4))
  (array.set $vectors (local.get 1) (local.get 4) (local.get 5))
  (array.set $funcs (local.get 2) (local.get 4) (local.get 6))
  (array.set $anys (local.get 3) (local.get 4) (local.get 7))
  (array.fill $bytes (local.get 0) (local.get 4) (local.get 4) (local.get 4))
  (array.fill $funcs (local.get 2) (local.get 4) (local.get 6) (local.get 4))
  (array.copy $bytes $bytes (local.get 0) (local.get 4) (local.get 0) (local.get 4) (local.get 4))
  (array.init_data $bytes $d (local.get 0) (local.get 4) (local.get 4) (local.get 4))
  (array.init_elem $anys $any (local.get 3) (local.get 4) (local.get 4) (local.get 4)))
(func (param i32 i31ref eqref anyref externref) (result i31ref i32 i32 i32 anyref externref)
  (ref.i31 (local.get 0)) (i31.get_s (local.get 1)) (i31.get_u (local.get 1)) (ref.eq (local.get 2) (local.get 1))
  (any.convert_extern (local.get 4)) (extern.convert_any (local.get 3)))
(func (param anyref funcref externref) (result i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
  (ref.test (ref any) (local.get 0)) (ref.test (ref null eq) (local.get 0)) (ref.test (ref eq) (local.get 0))
  (ref.test (ref i31) (local.get 0)) (ref.test (ref null struct) (local.get 0)) (ref.test (ref array) (local.get 0))
  (ref.test (ref null none) (local.get 0)) (ref.test (ref $final) (local.get 0))
  (ref.test (ref null $function) (local.get 1)) (ref.test (ref extern) (local.get 2)))
(func (param anyref) (result (ref $point) (ref null $bytes) (ref $d8) (ref $d9) (ref null i31))
  (ref.cast (ref $point) (local.get 0)) (ref.cast (ref null $bytes) (local.get 0)) (ref.cast (ref $d8) (local.get 0))
  (ref.cast (ref $d9) (local.get 0)) (ref.cast (ref null i31) (local.get 0)))
(func (param anyref) (result anyref)
  (block $yes (result (ref $point))
    (block $no (result anyref)
      (br_on_cast $yes anyref (ref $point) (local.get 0)) (br_on_cast_fail $no anyref (ref null $final))
      (drop) (unreachable))
    (return)))
"#;

/// The machine code of the first function in `wat`.
fn assembly(wat: &str) -> String {
    let compiler = compiler(OptLevel::Speed);
    let types = "(type $open (sub (struct (field (mut i32))))) (type $sub (sub final $open (struct (field (mut i32)))))
        (type $bytes (array (mut i8)))";
    let bytes = module(false, &format!("{types} {wat} (func $nop)"));
    compiled(&compiler, translated(&compiler, &bytes).expect("valid").swap_remove(0)).0
}

fn traps(text: &str) -> Vec<&str> {
    text.split("#trap=").skip(1).filter_map(|rest| rest.lines().next()).collect()
}

#[test]
fn a_field_is_read_without_a_check() {
    let text = assembly("(func (param (ref null $open)) (result i32) (struct.get $open 0 (local.get 0)))");
    for compare in ["cmp", "test", "subs", "cbz", "cbnz"] {
        assert!(!text.contains(compare), "{text}");
    }
    let at_8 = if cfg!(target_arch = "aarch64") { ", #8]" } else { "movl 8(" };
    assert!(text.contains(at_8), "{text}");
}

#[test]
fn an_element_out_of_bounds_is_no_branch() {
    let text =
        assembly("(func (param (ref null $bytes) i32) (result i32) (array.get_u $bytes (local.get 0) (local.get 1)))");
    assert!(["cmovae", "cmovb", "csel"].iter().any(|select| text.contains(select)), "{text}");
    assert_eq!(traps(&text), Vec::<&str>::new(), "{text}");
}

#[test]
fn a_cast_to_a_final_type_is_one_comparison_and_one_to_another_is_one_in_the_table() {
    let exact = assembly("(func (param (ref $open)) (result i32) (ref.test (ref $sub) (local.get 0)))");
    assert!(!calls_something(&exact), "{exact}");
    let open = assembly("(func (param anyref) (result i32) (ref.test (ref $open) (local.get 0)))");
    assert!(!calls_something(&open), "{open}");
}

#[test]
fn making_an_object_calls_nothing_while_there_is_room() {
    let text = assembly("(func (param i32) (result (ref $sub)) (struct.new $sub (local.get 0)))");
    let call = if cfg!(target_arch = "aarch64") { "blr" } else { "call" };
    let cold = text.find(call).expect("the slow path");
    let fast = text.find("ret").expect("the fast path");
    assert!(fast < cold, "the slow path is behind the end: {text}");
}
