//! What a guest can make its store do, close to the limits of heaps and exceptions and far from
//! them: everything that takes long is paid for, and what is refused is refused soon.

use crate::common::{call, call_i32, instance, trap};
use minirt::{
    Config, Engine, Global, GlobalType, Instance, Module, Mutability, Result, Store, StoreLimits, StoreLimitsBuilder,
    Trap, Val, ValType,
};
use std::num::NonZeroU32;

fn engine(configure: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    configure(config.wasm_gc(true));
    Engine::new(&config).unwrap()
}

/// Returns an instance of a module without imports, in a store with limits.
fn limited(engine: &Engine, text: &str, limits: StoreLimitsBuilder) -> (Store<StoreLimits>, Instance) {
    let mut store = Store::new(engine, limits.build());
    store.limiter(|limits| limits);
    let it = Instance::new(&mut store, &Module::new(engine, text).unwrap(), &[]).unwrap();
    (store, it)
}

fn run(store: &mut Store<StoreLimits>, it: Instance, name: &str, n: i32) -> Result<()> {
    it.get_typed_func::<i32, ()>(&*store, name)?.call(store, n)
}

const CELLS: &str = r#"(module
    (type $list (struct (field $next (mut (ref null $list)))))
    (global $list (mut (ref null $list)) (ref.null $list))
    (func (export "push") (param $n i32)
        (loop
            (global.set $list (struct.new $list (global.get $list)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "churn") (param $n i32)
        (loop
            (drop (struct.new_default $list))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

/// Before it fails, code has asked for no more than it needs.
#[test]
fn a_limiter_that_fails_leaves_as_much_room_as_one_that_refuses() {
    let engine = engine(|_| ());
    for size in [100_000, 200_000, 600_000, 3_000_000] {
        let cells = [false, true].map(|fails| {
            let limits = StoreLimitsBuilder::new().gc_heap_size(size).trap_on_grow_failure(fails);
            let (mut store, it) = limited(&engine, CELLS, limits);
            (0..).find(|_| run(&mut store, it, "push", 100).is_err()).unwrap()
        });
        assert!(cells[0] == cells[1] && cells[0] * 100 * 16 > size - (64 << 10) - 4096, "{size}: {cells:?}");
    }
}

#[test]
fn a_later_instance_gets_the_room_of_what_nobody_needs() {
    let engine = engine(|_| ());
    let large = "(module (type $a (array i64)) (global (ref $a) (array.new $a (i64.const 5) (i32.const 50000))))";
    let large = Module::new(&engine, large).unwrap();
    for fails in [false, true] {
        let limits = StoreLimitsBuilder::new().gc_heap_size(1 << 20).trap_on_grow_failure(fails);
        let (mut store, it) = limited(&engine, CELLS, limits);
        for _ in 0..2 {
            run(&mut store, it, "churn", 60_000).unwrap();
            Instance::new(&mut store, &large, &[]).unwrap();
        }
        let third = Instance::new(&mut store, &large, &[]).unwrap_err();
        assert!(fails || third.downcast_ref() == Some(&Trap::GcHeapOutOfMemory), "{third:?}");
        // What is there still works.
        run(&mut store, it, "churn", 100_000).unwrap();
    }
}

/// Each exception has 20 KB here. When they take as much as exceptions may, there would be a
/// collection for each one more.
#[test]
fn code_close_to_the_limit_of_exceptions_stops_instead_of_collecting_for_each() {
    let (types, values) = ("i64 ".repeat(1000), "(i64.const 1)".repeat(1000));
    let text = format!(
        r#"(module (tag $t (param {types})) (table $kept 20000 exnref)
            (func $make (result exnref)
                (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $t {values})) (unreachable)))
            (func (export "fill") (param $n i32)
                (loop
                    (table.set $kept (local.get $n) (call $make))
                    (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
            (func (export "forget") (param $n i32) (table.fill $kept (i32.const 0) (ref.null exn) (local.get $n)))
            (func (export "churn") (param $n i32)
                (loop
                    (drop (call $make))
                    (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#
    );
    let (mut store, it) = limited(&engine(|_| ()), &text, StoreLimitsBuilder::new());
    assert_eq!(trap(run(&mut store, it, "fill", 19_999)), Trap::ExceptionsExhausted);
    // The last ones that were made are the first ones in the table.
    run(&mut store, it, "forget", 19_999 - 13_000).unwrap();
    assert_eq!(trap(run(&mut store, it, "churn", 1_000)), Trap::ExceptionsExhausted);
    run(&mut store, it, "forget", 19_999 - 12_000).unwrap();
    run(&mut store, it, "churn", 1_000).unwrap();
}

/// A table of 200,000 references is looked at with every collection. Where the heap may grow, these
/// are so far apart that the objects between them pay for that.
#[test]
fn fuel_pays_for_looking_at_tables_that_few_objects_do_not_pay_for() {
    let engine = engine(|config| _ = config.consume_fuel(true));
    let used = |table: u32, limit: usize| {
        let text = CELLS.replacen("(module", &format!("(module (table {table} anyref)"), 1);
        let (mut store, it) = limited(&engine, &text, StoreLimitsBuilder::new().gc_heap_size(limit));
        store.set_fuel(10_000_000).unwrap();
        run(&mut store, it, "churn", 50_000).unwrap();
        10_000_000 - store.get_fuel().unwrap()
    };
    // Some 800 KB of objects: one collection, or twelve.
    let [free, few, many] = [used(200_000, 16 << 20), used(10, 64 << 10), used(200_000, 64 << 10)];
    assert_eq!(free, few);
    let each = 200_000 - (64 << 10) / 2;
    assert!((12 * each..13 * (each + 1000)).contains(&(many - few)), "{many} and {few}");
}

#[test]
fn a_large_structure_of_zeros_is_made_by_short_code_that_pays_for_it() {
    let fields = |count: usize| "(field (mut i32)) (field (mut anyref)) (field (mut funcref))".repeat(count / 3);
    let text = |count: usize| {
        format!(
            r#"(module (type $large (struct {fields})) (type $bytes (array (mut i8)))
                (func $new (export "new") (result (ref $large)) (struct.new_default $large))
                (func (export "run") (result i32)
                    (drop (array.new $bytes (i32.const -1) (i32.const 200000)))
                    (i32.add
                        (i32.add (ref.is_null (struct.get $large 1 (call $new))) (ref.is_null (struct.get $large {last} (call $new))))
                        (i32.eqz (struct.get $large {first} (call $new))))))"#,
            fields = fields(count),
            last = count - 1,
            first = count - 3,
        )
    };
    for every in [0, 1] {
        let engine = engine(|config| {
            config.consume_fuel(true).gc_zeal_alloc_counter(NonZeroU32::new(every)).unwrap();
        });
        for count in [30, 48, 51, 9_999] {
            let module = Module::new(&engine, text(count)).unwrap();
            let code = module.functions().find(|function| function.index == 0).unwrap().len;
            assert!(code < 2_000, "{count} fields: {code} bytes");
            let mut store = Store::new(&engine, ());
            store.set_fuel(1_000_000).unwrap();
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            for _ in 0..3 {
                assert_eq!(call_i32(&mut store, it, "run", &[]).unwrap(), 3, "{count} fields");
            }
            let before = store.get_fuel().unwrap();
            call(&mut store, it, "new", &[]).unwrap();
            let used = before - store.get_fuel().unwrap();
            let bytes = 8 + 16 * (count as u64 / 3);
            assert_eq!(used, if bytes > 256 { 2 + bytes / 8 } else { 2 }, "{count} fields");
        }
    }
}

/// Objects that depend on an import are made for each instance, and the long ones bit by bit.
#[test]
fn long_arrays_that_depend_on_an_import_hold_it_in_every_element() {
    let engine = engine(|_| ());
    for (ty, get, value) in [
        ("i8", "array.get_u", "(i32.wrap_i64 (global.get $given))"),
        ("i16", "array.get_u", "(i32.wrap_i64 (global.get $given))"),
        ("i64", "array.get", "(global.get $given)"),
    ] {
        // A constant expression has no `i32.wrap_i64`.
        let (given, value) = if ty == "i64" { ("i64", value) } else { ("i32", "(global.get $given)") };
        for len in [0, 1, 7, 4095, 4096, 4097, 8192, 10_001] {
            let is_it = format!("({given}.eq ({get} $a (global.get $it) (local.get $n)) ({given}.const 77))");
            let text = format!(
                r#"(module (import "" "given" (global $given {given})) (type $a (array (mut {ty})))
                    (global $it (ref $a) (array.new $a {value} (i32.const {len})))
                    (global $next (ref $a) (array.new $a {value} (i32.const 1)))
                    (func (export "run") (result i32) (local $n i32) (local $found i32)
                        (block (loop
                            (br_if 1 (i32.eq (local.get $n) (array.len (global.get $it))))
                            (local.set $found (i32.add (local.get $found) {is_it}))
                            (local.set $n (i32.add (local.get $n) (i32.const 1)))
                            (br 0)))
                        (i32.add (local.get $found) (array.len (global.get $next)))))"#
            );
            let mut store = Store::new(&engine, ());
            let (ty, value) = if given == "i64" { (ValType::I64, Val::I64(77)) } else { (ValType::I32, Val::I32(77)) };
            let global = Global::new(&mut store, GlobalType::new(ty, Mutability::Const), value).unwrap();
            let it = Instance::new(&mut store, &Module::new(&engine, &text).unwrap(), &[global.into()]).unwrap();
            for _ in 0..2 {
                assert_eq!(call_i32(&mut store, it, "run", &[]).unwrap(), len + 1, "{given}, {len}");
                store.gc();
            }
        }
    }
}

/// One object can take all of a heap. It is collected like any other, and nothing fits beside it.
#[test]
fn an_object_may_end_where_its_heap_ends() {
    const PAGE: i32 = 64 << 10;
    let text = r#"(module (type $bytes (array (mut i8)))
        (global $kept (mut (ref null $bytes)) (ref.null $bytes))
        (func (export "keep") (param $len i32)
            (global.set $kept (array.new $bytes (i32.const 7) (local.get $len))))
        (func (export "forget") (param i32) (global.set $kept (ref.null $bytes)))
        (func (export "last") (param $len i32)
            (if (i32.ne (array.get_u $bytes (global.get $kept) (i32.sub (local.get $len) (i32.const 1))) (i32.const 7))
                (then (unreachable)))))"#;
    for pages in [1, 3, 16] {
        let limits = || StoreLimitsBuilder::new().gc_heap_size((pages * PAGE) as usize);
        let (mut store, it) = limited(&engine(|_| ()), text, limits());
        // Two words say where objects go, and the array's first word how long it is.
        let most = pages * PAGE - 16 - 8;
        for _ in 0..3 {
            assert_eq!(trap(run(&mut store, it, "keep", most + 1)), Trap::GcHeapOutOfMemory);
            run(&mut store, it, "keep", most).unwrap();
            store.gc();
            run(&mut store, it, "last", most).unwrap();
            assert_eq!(trap(run(&mut store, it, "keep", 0)), Trap::GcHeapOutOfMemory);
            run(&mut store, it, "last", most).unwrap();
            run(&mut store, it, "forget", 0).unwrap();
        }
    }
}

#[test]
fn arrays_without_elements_are_objects_like_all_others() {
    let text = r#"(module (type $none (array (mut v128))) (type $all (array (mut (ref null $none))))
        (elem $no_items (ref null $none)) (data $no_bytes "")
        (func (export "run") (result i32) (local $all (ref $all)) (local $n i32)
            (local.set $all (array.new_default $all (i32.const 1000)))
            (loop
                (array.set $all (local.get $all) (local.get $n) (array.new_default $none (i32.const 0)))
                (drop (array.new_data $none $no_bytes (i32.const 0) (i32.const 0)))
                (drop (array.new_elem $all $no_items (i32.const 0) (i32.const 0)))
                (array.copy $none $none
                    (array.get $all (local.get $all) (local.get $n)) (i32.const 0)
                    (array.get $all (local.get $all) (i32.const 0)) (i32.const 0) (i32.const 0))
                (array.fill $none (array.get $all (local.get $all) (local.get $n))
                    (i32.const 0) (v128.const i64x2 1 1) (i32.const 0))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
            (local.set $n (i32.const 999))
            (loop
                (if (ref.eq (array.get $all (local.get $all) (local.get $n))
                        (array.get $all (local.get $all) (i32.sub (local.get $n) (i32.const 1))))
                    (then (unreachable)))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (array.len (array.get $all (local.get $all) (i32.const 5)))))"#;
    for every in [0, 1, 3] {
        let engine = engine(|config| _ = config.gc_zeal_alloc_counter(NonZeroU32::new(every)).unwrap());
        let (mut store, it) = instance(&engine, text);
        assert_eq!(call_i32(&mut store, it, "run", &[]).unwrap(), 0);
    }
}
