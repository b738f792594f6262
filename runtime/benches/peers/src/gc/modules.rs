//! The modules with structures and arrays.

use anyhow::Result;
use std::fmt::Write;

/// Objects that a module's globals hold.
pub(crate) const OBJECTS: usize = 10_000;
/// Objects of each global: an array, and the structures in it.
const GROUP: usize = 100;

/// What is measured of code.
pub(crate) fn work() -> Result<Vec<u8>> {
    Ok(wat::parse_str(include_str!("work.wat"))?)
}

/// Returns a module whose constant globals hold so many objects. `touch` changes one of them.
pub(crate) fn globals(objects: usize) -> Result<Vec<u8>> {
    let mut text = String::from(
        "(module (type $object (struct (field $number (mut i32)) (field $wide i64)))
           (type $group (array (mut (ref $object))))\n",
    );
    for group in 0..objects / GROUP {
        write!(text, "(global $g{group} (ref $group) ")?;
        for n in 1..GROUP {
            write!(text, "(struct.new $object (i32.const {}) (i64.const {n})) ", group * GROUP + n)?;
        }
        writeln!(text, "(array.new_fixed $group {}))", GROUP - 1)?;
    }
    let change = match objects {
        0 => "",
        _ => "(struct.set $object $number (array.get $group (global.get $g7) (i32.const 5)) (local.get 0))",
    };
    write!(text, "(func (export \"touch\") (param i32) {change}))")?;
    Ok(wat::parse_str(text)?)
}

/// Returns a module whose first `touch` makes ten megabytes of objects; each changes one of them.
pub(crate) fn ten_megabytes_of_objects() -> Result<Vec<u8>> {
    // 24 bytes each in minirt: a header of 8, two fields of 4, one of 8.
    Ok(wat::parse_str(
        r#"(module
             (type $cell (struct (field $number (mut i32)) (field $next (ref null $cell)) (field $wide i64)))
             (global $list (mut (ref null $cell)) (ref.null $cell))
             (func $make (local $n i32)
               (local.set $n (i32.const 416000))
               (loop $next
                 (global.set $list (struct.new $cell (local.get $n) (global.get $list) (i64.const 1)))
                 (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
             (func (export "touch") (param i32)
               (if (ref.is_null (global.get $list)) (then (call $make)))
               (struct.set $cell $number (struct.get $cell $next (global.get $list)) (local.get 0))))"#,
    )?)
}

/// Returns a module whose first `touch` fills ten megabytes of memory; each changes one number.
pub(crate) fn ten_megabytes_of_memory() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module (memory 153) (global $filled (mut i32) (i32.const 0))
             (func (export "touch") (param i32)
               (if (i32.eqz (global.get $filled))
                 (then
                   (global.set $filled (i32.const 1))
                   (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536)))))
               (i32.store (i32.const 100) (local.get 0))))"#,
    )?)
}
