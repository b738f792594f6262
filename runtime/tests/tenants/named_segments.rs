//! Segments that hardly any code names, and what is left of them after a drop, a reset or a
//! failure.

use crate::common::{call, call_i32, each_config, expect_trap};
use minirt::{Engine, Extern, Instance, Module, Ref, RefType, Store, Table, TableType, Trap, Val};

/// Functions in front of the only one that names a segment.
const MANY: usize = 400;

#[test]
fn a_segment_that_one_function_names_is_there_until_it_is_dropped_and_again_after_a_reset() {
    // The bytes of `memory.init`, as numbers and in a name, do not name anything.
    let others = "(func (drop (i32.const 0x08fc)) (drop (i64.const 0xfb09)) (drop (f64.const 0x1p-3)))".repeat(MANY);
    let text = format!(
        r#"(module (type $bytes (array (mut i8))) (type $funcs (array (mut funcref)))
          (memory 1) (table 3 funcref) {others}
          (data $unnamed "nobody") (data $dead "dead") (data $bytes "bytes") (data $active (i32.const 9) "active")
          (elem $unnamed func $f) (elem $dead func $f) (elem $funcs func $f $f) (elem $active (i32.const 2) func $f)
          (func $f)
          (func (export "dead") (unreachable) (drop (array.new_data $bytes $dead (i32.const 0) (i32.const 1)))
            (array.init_elem $funcs $dead) (data.drop $dead) (elem.drop $dead) (memory.init $dead) (table.init $dead))
          (func (export "active") (param i32)
            (memory.init $active (i32.const 0) (i32.const 0) (local.get 0))
            (table.init $active (i32.const 0) (i32.const 0) (local.get 0)))
          (func (export "drop") (data.drop $bytes) (elem.drop $funcs) (data.drop $active) (elem.drop $active))
          (func (export "sum") (param $len i32) (result i32)
            (local $bytes (ref $bytes)) (local $funcs (ref $funcs))
            (local.set $bytes (array.new_default $bytes (i32.const 9)))
            (local.set $funcs (array.new_default $funcs (i32.const 9)))
            (array.init_data $bytes $bytes (local.get $bytes) (i32.const 0) (i32.const 0) (local.get $len))
            (array.init_elem $funcs $funcs (local.get $funcs) (i32.const 0) (i32.const 0) (local.get $len))
            (i32.add (array.get_u $bytes (local.get $bytes) (i32.const 1))
              (i32.mul (i32.const 1000) (ref.is_null (array.get $funcs (local.get $funcs) (i32.const 1)))))))"#
    );
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.wasm_gc(true).max_instances(2)).unwrap();
        let module = Module::new(&engine, &text).unwrap();
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            for _ in 0..3 {
                let mut sum = |len| call_i32(&mut store, it, "sum", &[len]);
                assert_eq!((sum(0).unwrap(), sum(2).unwrap()), (1000, i32::from(b'y')), "{case}");
                expect_trap(sum(3), Trap::TableOutOfBounds);
                expect_trap(call(&mut store, it, "dead", &[]), Trap::UnreachableCodeReached);
                call(&mut store, it, "active", &[Val::I32(0)]).unwrap();
                expect_trap(call(&mut store, it, "active", &[Val::I32(1)]), Trap::MemoryOutOfBounds);
                call(&mut store, it, "drop", &[]).unwrap();
                assert_eq!(call_i32(&mut store, it, "sum", &[0]).unwrap(), 1000, "{case}");
                expect_trap(call_i32(&mut store, it, "sum", &[1]), Trap::MemoryOutOfBounds);
                it.reset(&mut store).unwrap();
            }
        }
    });
}

#[test]
fn an_instance_that_failed_has_the_segments_that_it_did_not_come_to() {
    let text = r#"(module (type $bytes (array (mut i8)))
      (import "" "t" (table $t 4 funcref)) (memory 1)
      (elem (table $t) (i32.const 0) func $init $drop $get $objects)
      (data $applied (i32.const 0) "a") (data $failed (i32.const 65536) "f") (data $later (i32.const 3) "l")
      (data $unnamed (i32.const 4) "u") (data $passive "p")
      (func $init (param i32)
        (memory.init $later (i32.const 0) (i32.const 0) (i32.const 1))
        (memory.init $failed (i32.const 1) (i32.const 0) (i32.const 1))
        (memory.init $passive (i32.const 2) (i32.const 0) (i32.const 1))
        (memory.init $applied (i32.const 3) (i32.const 0) (local.get 0)))
      (func $drop (data.drop $failed) (data.drop $later) (data.drop $passive))
      (func $get (param i32) (result i32) (i32.load (local.get 0)))
      (func $objects (result i32)
        (array.get_u $bytes (array.new_data $bytes $later (i32.const 0) (i32.const 1)) (i32.const 0))))"#;
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.wasm_gc(true).max_instances(4)).unwrap();
        let module = Module::new(&engine, text).unwrap();
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 4, None), Ref::Func(None)).unwrap();
            expect_trap(Instance::new(&mut store, &module, &[Extern::Table(table)]), Trap::MemoryOutOfBounds);
            let mut run = |at: u64, args: &[Val], results: &mut [Val]| {
                let Some(Ref::Func(Some(func))) = table.get(&store, at) else { panic!("{case}: no function {at}") };
                func.call(&mut store, args, results)
            };
            let mut result = [Val::I32(0)];
            run(2, &[Val::I32(0)], &mut result).unwrap();
            assert_eq!(result[0].unwrap_i32(), i32::from(b'a'), "{case}");
            run(0, &[Val::I32(0)], &mut []).unwrap();
            run(2, &[Val::I32(0)], &mut result).unwrap();
            assert_eq!(result[0].unwrap_i32(), i32::from_le_bytes(*b"lfp\0"), "{case}");
            expect_trap(run(0, &[Val::I32(1)], &mut []), Trap::MemoryOutOfBounds);
            run(3, &[], &mut result).unwrap();
            assert_eq!(result[0].unwrap_i32(), i32::from(b'l'), "{case}");
            run(1, &[], &mut []).unwrap();
            expect_trap(run(0, &[Val::I32(0)], &mut []), Trap::MemoryOutOfBounds);
            expect_trap(run(3, &[], &mut result), Trap::MemoryOutOfBounds);
        }
    });
}
