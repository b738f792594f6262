//! A guest with objects in its image, how it is when it is fresh, and ways to leave a mess.

use super::{call, call_i32};
use minirt::{ExternRef, Instance, PageKind, RegionKind, Result, Store, Val};

/// Bytes of an array that the image has.
const BYTES: usize = 5000;

/// A list, a table of objects and an element segment with an object are in the image.
pub(crate) const OBJECTS: &str = r#"(module
  (type $bytes (array (mut i8)))
  (type $list (struct
    (field $value (mut i64)) (field $bytes (mut (ref $bytes))) (field $next (mut (ref null $list)))))
  (type $any (array (mut anyref)))
  (type $mixed (struct (field (mut i8)) (field (mut anyref)) (field (mut funcref)) (field (mut v128))))
  (tag $tag (param (ref null $list)))
  (global $first (mut (ref null $list))
    (struct.new $list (i64.const 11) (array.new $bytes (i32.const 7) (i32.const 5000))
      (struct.new $list (i64.const 12) (array.new_fixed $bytes 2 (i32.const 1) (i32.const 2)) (ref.null $list))))
  (table $t 3 400 anyref (ref.i31 (i32.const 5)))
  (elem (table $t) (i32.const 1) anyref (item (struct.new $list
    (i64.const 13) (array.new_default $bytes (i32.const 20)) (ref.null $list))))
  (elem $kept anyref
    (item (struct.new $list (i64.const 14) (array.new_default $bytes (i32.const 3)) (ref.null $list))))
  (global $held (export "held") (mut externref) (ref.null extern))

  (func $all_are (param $bytes (ref $bytes)) (param $byte i32) (result i32) (local $i i32)
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $i) (array.len (local.get $bytes))))
        (if (i32.ne (array.get_u $bytes (local.get $bytes) (local.get $i)) (local.get $byte))
          (then (return (i32.const 0))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.const 1))
  (func $is (param $list (ref null $list)) (param $value i64) (param $len i32) (result i32)
    (i32.and
      (i64.eq (struct.get $list $value (local.get $list)) (local.get $value))
      (i32.eq (array.len (struct.get $list $bytes (local.get $list))) (local.get $len))))

  ;; Returns 0 if the instance is fresh, and otherwise the number of what is not. It makes a little.
  (func (export "check") (result i32)
    (local $second (ref null $list)) (local $object (ref $list)) (local $kept (ref $any))
    (local $mixed (ref $mixed))
    (local.set $second (struct.get $list $next (global.get $first)))
    (if (i32.eqz (call $is (global.get $first) (i64.const 11) (i32.const 5000)))
      (then (return (i32.const 1))))
    (if (i32.eqz (call $all_are (struct.get $list $bytes (global.get $first)) (i32.const 7)))
      (then (return (i32.const 2))))
    (if (i32.eqz (call $is (local.get $second) (i64.const 12) (i32.const 2)))
      (then (return (i32.const 3))))
    (if (i32.eqz (ref.is_null (struct.get $list $next (local.get $second))))
      (then (return (i32.const 4))))
    (if (i32.ne (table.size $t) (i32.const 3)) (then (return (i32.const 5))))
    (if (i32.eqz (ref.eq (ref.i31 (i32.const 5)) (ref.cast eqref (table.get $t (i32.const 0)))))
      (then (return (i32.const 6))))
    (local.set $object (ref.cast (ref $list) (table.get $t (i32.const 1))))
    (if (i32.eqz (call $is (local.get $object) (i64.const 13) (i32.const 20)))
      (then (return (i32.const 7))))
    (if (i32.eqz (call $all_are (struct.get $list $bytes (local.get $object)) (i32.const 0)))
      (then (return (i32.const 8))))
    (local.set $kept (array.new_elem $any $kept (i32.const 0) (i32.const 1)))
    (local.set $object (ref.cast (ref $list) (array.get $any (local.get $kept) (i32.const 0))))
    (if (i32.eqz (call $is (local.get $object) (i64.const 14) (i32.const 3)))
      (then (return (i32.const 9))))
    (if (i32.eqz (ref.is_null (global.get $held))) (then (return (i32.const 10))))
    ;; What is made without values is zero, also where others had objects.
    (local.set $mixed (struct.new_default $mixed))
    (if (i32.or (v128.any_true (struct.get $mixed 3 (local.get $mixed)))
                (struct.get_u $mixed 0 (local.get $mixed)))
      (then (return (i32.const 11))))
    (if (i32.eqz (i32.and (ref.is_null (struct.get $mixed 1 (local.get $mixed)))
                          (ref.is_null (struct.get $mixed 2 (local.get $mixed)))))
      (then (return (i32.const 12))))
    (if (i32.eqz (call $all_are (array.new_default $bytes (i32.const 30000)) (i32.const 0)))
      (then (return (i32.const 13))))
    (if (i32.eqz (call $all_are (array.new_default $bytes (i32.const 60000)) (i32.const 0)))
      (then (return (i32.const 14))))
    (i32.const 0))

  ;; Returns a number that depends on all that can be reached.
  (func (export "sum") (result i32) (local $list (ref null $list)) (local $sum i32) (local $i i32)
    (local.set $list (global.get $first))
    (block $end
      (loop $next
        (br_if $end (ref.is_null (local.get $list)))
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
          (i32.add (i32.wrap_i64 (struct.get $list $value (local.get $list)))
                   (array.len (struct.get $list $bytes (local.get $list))))))
        (if (array.len (struct.get $list $bytes (local.get $list)))
          (then (local.set $sum (i32.add (local.get $sum)
            (array.get_u $bytes (struct.get $list $bytes (local.get $list)) (i32.const 0))))))
        (local.set $list (struct.get $list $next (local.get $list)))
        (br $next)))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $i) (table.size $t)))
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
          (ref.test (ref $list) (table.get $t (local.get $i)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $sum))

  (func $add (param $size i32)
    (global.set $first (struct.new $list (i64.const 0xcccccccccccccccc)
      (array.new $bytes (i32.const 0xcc) (local.get $size)) (global.get $first))))

  ;; Changes the image's objects, adds others to them, and makes some that nobody needs.
  (func (export "mess") (param $seed i32) (local $n i32)
    (struct.set $list $value (global.get $first) (i64.extend_i32_u (local.get $seed)))
    (array.set $bytes (struct.get $list $bytes (global.get $first)) (i32.const 0) (i32.const 0xcc))
    (array.fill $bytes (struct.get $list $bytes (struct.get $list $next (global.get $first)))
      (i32.const 0) (i32.const 0xcc) (i32.const 2))
    (table.set $t (i32.const 1) (global.get $first))
    (drop (table.grow $t (global.get $first) (i32.const 40)))
    (local.set $n (i32.add (i32.const 3) (i32.rem_u (local.get $seed) (i32.const 23))))
    (loop $next
      (call $add (i32.add (i32.const 2)
        (i32.rem_u (i32.mul (local.get $n) (local.get $seed)) (i32.const 4001))))
      (drop (array.new $bytes (i32.const 0xcc) (i32.const 1000)))
      (table.set $t (i32.rem_u (local.get $n) (i32.const 40)) (global.get $first))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (if (i32.and (local.get $seed) (i32.const 1)) (then (elem.drop $kept))))
  (func (export "hold") (param externref)
    (global.set $held (local.get 0))
    (table.set $t (i32.const 0) (any.convert_extern (local.get 0))))
  (func (export "garbage") (param $n i32)
    (loop $next
      (drop (array.new $bytes (i32.const 0xcc) (i32.const 10000)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "large") (drop (array.new $bytes (i32.const 0xcc) (i32.const 300000))))
  (func (export "trap") (call $add (i32.const 100)) (drop (struct.get $list $value (ref.null $list))))
  (func (export "throw") (call $add (i32.const 100)) (throw $tag (global.get $first)))
  (func (export "exhaust") (loop $next (call $add (i32.const 100000)) (br $next))))"#;

/// Checks that all is as the module says, and that its heap has no byte but the image's. The first
/// page has where the next object goes.
pub(crate) fn assert_fresh(store: &mut Store<()>, it: Instance, context: &str) {
    if let Ok(map) = it.page_map(&*store) {
        for region in map.regions.iter().filter(|region| region.kind == RegionKind::Heap) {
            let changed = region.runs.iter().filter(|run| run.kind == PageKind::Changed);
            assert!(changed.map(|run| run.pages.end).max().unwrap_or(0) <= 1, "{context}: {region:?}");
            assert_eq!(region.accessible() * rustix::param::page_size() as u64, 65_536, "{context}");
        }
    }
    assert_eq!(call_i32(store, it, "check", &[]).unwrap(), 0, "{context}: not fresh");
}

/// Leaves a mess in one of several ways, that depend on `how`.
///
/// # Errors
/// Returns what the system refuses, and what ends some of the ways.
pub(crate) fn mess(store: &mut Store<()>, it: Instance, how: usize) -> Result<()> {
    let seed = [Val::I32((how * 7919 % 100_003) as i32)];
    call(store, it, "mess", &seed)?;
    match how % 8 {
        0 => {}
        1 => store.gc(),
        2 => call(store, it, "garbage", &[Val::I32(150)]).map(drop)?,
        3 => call(store, it, "large", &[]).map(drop)?,
        4 => call(store, it, "trap", &[]).map(drop)?,
        5 => {
            let value = ExternRef::new(&mut *store, vec![0xcc_u8; BYTES])?;
            call(store, it, "hold", &[Val::ExternRef(Some(value))])?;
        }
        6 => call(store, it, "throw", &[]).map(drop)?,
        _ => {
            store.gc();
            call(store, it, "mess", &seed)?;
        }
    }
    Ok(())
}
