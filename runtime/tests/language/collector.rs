//! The collector: what code holds stays what it is wherever a collection happens, and what nobody
//! holds goes.
//!
//! Every collection of an engine with zeal moves all objects that can move, and overwrites the
//! places where they were.

use crate::common::{STRATEGIES, call, call_i32, config, trap};
use minirt::{
    Caller, Config, Engine, ExternRef, Inlining, Instance, Linker, Module, OptLevel, Result, Rooted, Store,
    StoreLimits, StoreLimitsBuilder, Trap, UpdateDeadline, Val,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn zealous(mut config: Config, every: u32) -> Config {
    config.wasm_gc(true).gc_zeal_alloc_counter(NonZeroU32::new(every)).unwrap();
    config
}

/// Engines that collect at every allocation, at every third one, and when it pays.
fn engines() -> Vec<(String, Engine)> {
    let mut all = Vec::new();
    for (level, inlining) in
        [(OptLevel::Speed, Inlining::Always), (OptLevel::Speed, Inlining::No), (OptLevel::None, Inlining::No)]
    {
        for every in [1, 3, 0] {
            let mut config = zealous(Config::new(), every);
            config.cranelift_opt_level(level).compiler_inlining(inlining);
            all.push((format!("{level:?}, {inlining:?}, every {every}"), Engine::new(&config).unwrap()));
        }
    }
    all
}

/// A host whose function `gc` collects, and whose function `back` calls the guest's export `inner`,
/// which may collect.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "gc", |mut caller: Caller<'_, ()>| {
            minirt::AsContextMut::as_context_mut(&mut caller).gc();
        })
        .unwrap();
    linker
        .func_wrap("host", "back", |mut caller: Caller<'_, ()>, n: i32| -> Result<i32> {
            let inner = caller.get_export("inner").and_then(minirt::Extern::into_func).unwrap();
            inner.typed::<i32, i32>(&caller)?.call(&mut caller, n)
        })
        .unwrap();
    linker
}

/// Runs `run` of a module in each engine, several times in several stores, and checks what it
/// returns.
fn check(text: &str, arguments: &[i32], expected: i32) {
    for (name, engine) in engines() {
        let module = Module::new(&engine, text).unwrap();
        for round in 0..2 {
            let mut store = Store::new(&engine, ());
            let it = linker(&engine).instantiate(&mut store, &module).unwrap();
            for again in 0..2 {
                let found = call_i32(&mut store, it, "run", arguments).unwrap();
                assert_eq!(found, expected, "{name}, round {round}.{again}");
            }
        }
    }
}

const BOX: &str = "(type $box (struct (field $v (mut i32))))
    (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
    (func $v (param (ref null $box)) (result i32) (struct.get $box $v (local.get 0)))
    (func $garbage (drop (struct.new $box (i32.const -1))) (drop (struct.new $box (i32.const -2))))";

#[test]
fn a_reference_that_is_live_at_one_of_several_sites_is_in_its_map() {
    check(
        &format!(
            r#"(module {BOX}
            (func (export "run") (param $n i32) (result i32)
                (local $a (ref null $box)) (local $b (ref null $box)) (local $sum i32)
                (local.set $a (call $new (i32.const 1000)))
                (loop $again
                    (if (i32.and (local.get $n) (i32.const 1))
                        (then ;; $a is dead here, and live again on the other way.
                            (call $garbage)
                            (local.set $a (call $new (local.get $n))))
                        (else
                            (local.set $b (call $new (local.get $n)))
                            (call $garbage)
                            (local.set $sum (i32.add (local.get $sum) (call $v (local.get $a))))))
                    (call $garbage)
                    (if (local.get $b)
                        (then (local.set $sum (i32.add (local.get $sum) (call $v (local.get $b))))))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (i32.add (local.get $sum) (call $v (local.get $a)))))"#
        )
        .replace("(if (local.get $b)", "(if (i32.eqz (ref.is_null (local.get $b)))"),
        &[100],
        // Of the even n: 1000 for the first, else n + 1; and the last even n at each step; then 1.
        1000 + (2..100).step_by(2).map(|n| n + 1).sum::<i32>() + (2..=100).step_by(2).map(|n| 2 * n).sum::<i32>() - 2
            + 2
            + 1,
    );
}

#[test]
fn operands_below_a_call_are_kept() {
    check(
        &format!(
            r#"(module {BOX} (type $get (func (param i32) (result (ref $box)))) (table 1 funcref) (elem (i32.const 0) $new)
            (elem declare func $new) (import "host" "gc" (func $gc))
            (func $gc_box (param i32) (result (ref $box)) (call $gc) (call $new (local.get 0)) (call $gc))
            (func $add5 (param (ref $box) (ref $box) (ref $box) (ref $box) (ref $box)) (result i32)
                (call $garbage)
                (i32.add (call $v (local.get 4)) (i32.add (i32.add (call $v (local.get 0)) (call $v (local.get 1)))
                    (i32.add (call $v (local.get 2)) (call $v (local.get 3))))))
            (func (export "run") (param $n i32) (result i32)
                (call $add5
                    (call $new (i32.const 1))
                    (call_indirect (type $get) (i32.const 20) (i32.const 0))
                    (call_ref $get (i32.const 300) (ref.func $new))
                    (struct.new $box (i32.const 4000))
                    (call $gc_box (i32.const 50000)))))"#
        )
        .replace("(import \"host\" \"gc\" (func $gc))\n", "")
        .replacen("(module ", "(module (import \"host\" \"gc\" (func $gc)) ", 1),
        &[0],
        54321,
    );
}

/// Frames of two calls from the host, one inside the other, hold references while the host
/// collects.
#[test]
fn a_collection_in_a_host_function_finds_the_frames_of_all_calls() {
    check(
        &format!(
            r#"(module (import "host" "gc" (func $gc)) (import "host" "back" (func $back (param i32) (result i32))) {BOX}
            (func $deep (export "inner") (param $n i32) (result i32) (local $a (ref $box))
                (local.set $a (call $new (local.get $n)))
                (call $gc)
                (if (result i32) (local.get $n)
                    (then (i32.add (call $v (local.get $a))
                        (if (result i32) (i32.and (local.get $n) (i32.const 1))
                            (then (call $back (i32.sub (local.get $n) (i32.const 1))))
                            (else (call $deep (i32.sub (local.get $n) (i32.const 1)))))
                        (call $gc)
                        (i32.add (call $v (local.get $a)))))
                    (else (i32.const 0))))
            (func (export "run") (param i32) (result i32) (call $deep (local.get 0))))"#
        ),
        &[40],
        40 * 41,
    );
}

#[test]
fn arrays_are_copied_filled_and_made_of_segments_between_collections() {
    check(
        &format!(
            r#"(module {BOX} (type $boxes (array (mut (ref null $box)))) (type $bytes (array (mut i8)))
            (type $f (func (result i32))) (type $funcs (array (mut funcref))) (type $any (array (mut anyref)))
            (data $d "\01\02\03\04") (elem $fs func $one $two)
            (elem $kept anyref (item (struct.new $box (i32.const 7))) (item (ref.i31 (i32.const 9))) (item (ref.null any)))
            (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
            (func $fill (param $a (ref $boxes)) (local $i i32)
                (loop (array.set $boxes (local.get $a) (local.get $i) (call $new (local.get $i)))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $a))))))
            (func $sum (param $a (ref $boxes)) (result i32) (local $i i32) (local $sum i32)
                (loop
                    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 3))
                        (call $v (array.get $boxes (local.get $a) (local.get $i)))))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $a)))))
                (local.get $sum))
            (func (export "run") (param $n i32) (result i32)
                (local $a (ref $boxes)) (local $b (ref $boxes)) (local $bytes (ref $bytes)) (local $fs (ref $funcs))
                (local $k (ref $any)) (local $sum i32)
                (local.set $a (array.new_default $boxes (local.get $n)))
                (call $fill (local.get $a))
                (local.set $b (array.new $boxes (call $new (i32.const 5)) (i32.const 3)))
                (local.set $bytes (array.new_data $bytes $d (i32.const 0) (i32.const 4)))
                (local.set $fs (array.new_elem $funcs $fs (i32.const 0) (i32.const 2)))
                (local.set $k (array.new_elem $any $kept (i32.const 0) (i32.const 3)))
                (call $garbage)
                ;; 0 1 2 3 4 5 ... becomes 0 0 1 2 4 5 ..., and back again with the 5s in front.
                (array.copy $boxes $boxes (local.get $a) (i32.const 1) (local.get $a) (i32.const 0) (i32.const 3))
                (call $garbage)
                (array.copy $boxes $boxes (local.get $a) (i32.const 0) (local.get $a) (i32.const 1) (i32.const 3))
                (array.fill $boxes (local.get $a) (i32.const 4) (call $new (i32.const 6)) (i32.const 2))
                (call $garbage)
                (array.copy $boxes $boxes (local.get $b) (i32.const 0) (local.get $a) (i32.const 3) (i32.const 2))
                (array.init_data $bytes $d (local.get $bytes) (i32.const 0) (i32.const 2) (i32.const 1))
                (array.init_elem $any $kept (local.get $k) (i32.const 2) (i32.const 0) (i32.const 1))
                (call $garbage)
                (local.set $sum (i32.add (call $sum (local.get $a)) (call $sum (local.get $b))))
                (local.set $sum (i32.add (local.get $sum) (array.get_u $bytes (local.get $bytes) (i32.const 0))))
                (local.set $sum (i32.add (local.get $sum)
                    (call_ref $f (ref.cast (ref $f) (array.get $funcs (local.get $fs) (i32.const 1))))))
                (local.set $sum (i32.add (local.get $sum)
                    (i31.get_u (ref.cast (ref i31) (array.get $any (local.get $k) (i32.const 1))))))
                (local.set $sum (i32.add (local.get $sum)
                    (call $v (ref.cast (ref $box) (array.get $any (local.get $k) (i32.const 2))))))
                ;; The objects of the segment are the same each time.
                (i32.add (local.get $sum) (i32.mul (i32.const 100) (ref.eq
                    (ref.cast (ref null eq) (array.get $any (local.get $k) (i32.const 0)))
                    (ref.cast (ref null eq) (array.get $any (array.new_elem $any $kept (i32.const 0) (i32.const 1))
                        (i32.const 0))))))))"#
        ),
        &[6],
        // a = 0 1 2 2 6 6, b = 2 6 5, then 3 + 2 + 9 + 7 + 100.
        [0, 1, 2, 2, 6, 6].iter().fold(0, |sum, v| 3 * sum + v)
            + [2, 6, 5].iter().fold(0, |sum, v| 3 * sum + v)
            + 3
            + 2
            + 9
            + 7
            + 100,
    );
}

#[test]
fn tables_and_globals_hold_what_they_hold() {
    check(
        &format!(
            r#"(module {BOX} (table $t 8 anyref) (table $e 4 externref) (global $g (mut anyref) (ref.null any))
            (global $image (ref $box) (struct.new $box (i32.const 11)))
            (type $node (struct (field $any (mut anyref)) (field $ext (mut externref))))
            (global $holder (ref $node) (struct.new $node (ref.null any) (ref.null extern)))
            (func $of (param anyref) (result i32) (call $v (ref.cast (ref $box) (local.get 0))))
            (func (export "run") (param $n i32) (result i32)
                (table.set $t (i32.const 0) (call $new (i32.const 1)))
                (table.set $t (i32.const 1) (ref.i31 (i32.const 20)))
                (table.set $t (i32.const 2) (global.get $image))
                (table.set $e (i32.const 0) (extern.convert_any (call $new (i32.const 300))))
                (table.set $e (i32.const 1) (extern.convert_any (ref.i31 (i32.const 4000))))
                (global.set $g (call $new (i32.const 50000)))
                ;; An object of the image holds new ones.
                (struct.set $node $any (global.get $holder) (call $new (i32.const 600000)))
                (struct.set $node $ext (global.get $holder) (extern.convert_any (call $new (i32.const 7000000))))
                (call $garbage)
                (table.copy $t $t (i32.const 3) (i32.const 0) (i32.const 3))
                (table.fill $t (i32.const 6) (table.get $t (i32.const 3)) (i32.const 2))
                (drop (table.grow $t (table.get $t (i32.const 6)) (i32.const 2)))
                (table.set $t (i32.const 0) (ref.null any))
                (call $garbage)
                (i32.add (call $of (table.get $t (i32.const 9)))
                (i32.add (i31.get_u (ref.cast (ref i31) (table.get $t (i32.const 4))))
                (i32.add (call $of (any.convert_extern (table.get $e (i32.const 0))))
                (i32.add (i31.get_u (ref.cast (ref i31) (any.convert_extern (table.get $e (i32.const 1)))))
                (i32.add (call $of (global.get $g))
                (i32.add (call $of (struct.get $node $any (global.get $holder)))
                (i32.add (call $of (any.convert_extern (struct.get $node $ext (global.get $holder))))
                (i32.sub (call $of (table.get $t (i32.const 5))) (i32.const 11)))))))))))"#
        ),
        &[0],
        7_654_321,
    );
}

#[test]
fn tail_calls_take_references_along() {
    check(
        &format!(
            r#"(module {BOX} (type $f (func (param i32 (ref $box) anyref) (result i32)))
            (elem declare func $down)
            (func $down (type $f) (param $n i32) (param $a (ref $box)) (param $b anyref) (result i32)
                (call $garbage)
                (if (i32.eqz (local.get $n)) (then (return
                    (i32.add (call $v (local.get $a)) (call $v (ref.cast (ref $box) (local.get $b)))))))
                (if (i32.and (local.get $n) (i32.const 1)) (then
                    (return_call_ref $f (i32.sub (local.get $n) (i32.const 1))
                        (call $new (i32.add (call $v (local.get $a)) (i32.const 1))) (local.get $b) (ref.func $down))))
                (return_call $down (i32.sub (local.get $n) (i32.const 1)) (local.get $a)
                    (call $new (i32.add (call $v (ref.cast (ref $box) (local.get $b))) (i32.const 2)))))
            (func (export "run") (param i32) (result i32)
                (call $down (local.get 0) (call $new (i32.const 0)) (call $new (i32.const 0)))))"#
        ),
        &[1000],
        500 + 1000,
    );
}

#[test]
fn exceptions_carry_references_and_objects_hold_exceptions() {
    check(
        &format!(
            r#"(module (import "host" "gc" (func $gc)) {BOX}
            (tag $t (param i32 (ref $box) externref)) (tag $e (param (ref $box)))
            (type $holder (struct (field $x (mut exnref)) (field $b (ref $box))))
            (global $x (mut exnref) (ref.null exn)) (table $xs 2 exnref)
            (func $throw (param $n i32)
                (call $garbage)
                (if (local.get $n) (then (call $throw (i32.sub (local.get $n) (i32.const 1))) (call $gc) (return)))
                (throw $t (i32.const 1) (call $new (i32.const 20)) (extern.convert_any (call $new (i32.const 300)))))
            (func $take (param $n i32) (result i32) (local $mine (ref $box)) (local $x exnref)
                (local.set $mine (call $new (i32.const 4000)))
                (block $caught (result i32 (ref $box) externref exnref)
                    (try_table (catch_ref $t $caught) (call $throw (local.get $n)))
                    (unreachable))
                (local.set $x)
                (call $gc)
                (global.set $x (local.get $x))
                (table.set $xs (i32.const 1) (local.get $x))
                (call $garbage)
                (any.convert_extern)
                (ref.cast (ref $box))
                (call $v)
                (call $v (local.get $mine))
                (i32.add)
                (call $add)
                (i32.add))
            (func $add (param (ref $box) i32) (result i32) (call $garbage) (i32.add (call $v (local.get 0)) (local.get 1)))
            (func $again (param $h (ref $holder)) (result i32) (local $x exnref)
                (call $gc)
                (block $caught (result i32 (ref $box) externref)
                    (try_table (catch $t $caught) (throw_ref (struct.get $holder $x (local.get $h))))
                    (unreachable))
                (any.convert_extern) (ref.cast (ref $box)) (call $v)
                (call $add)
                (i32.add)
                (i32.add (call $v (struct.get $holder $b (local.get $h)))))
            ;; A throw that is a branch, with a reference to the exception.
            (func $branch (result i32) (local $x exnref)
                (block $caught (result (ref $box) exnref)
                    (try_table (catch_ref $e $caught) (throw $e (call $new (i32.const 600000))))
                    (unreachable))
                (local.set $x) (drop)
                (call $garbage)
                (block $caught (result (ref $box))
                    (try_table (catch $e $caught) (throw_ref (local.get $x)))
                    (unreachable))
                (call $v))
            (func (export "run") (param i32) (result i32) (local $h (ref $holder))
                (call $take (local.get 0)) ;; 4321
                (local.set $h (struct.new $holder (global.get $x) (call $new (i32.const 50000))))
                (global.set $x (ref.null exn)) (table.set $xs (i32.const 1) (ref.null exn))
                (call $gc) (call $garbage)
                (i32.add (call $again (local.get $h))) ;; 50321
                (i32.add (call $branch))))"#
        ),
        &[20],
        4321 + 50321 + 600_000,
    );
}

/// So many exceptions that the list of them is full again and again, while each carries a live
/// object.
#[test]
fn exceptions_that_are_many_are_collected_with_what_they_carry() {
    check(
        &format!(
            r#"(module {BOX} (tag $t (param (ref $box))) (table $kept 16 exnref)
            (func $throw (param i32) (throw $t (call $new (local.get 0))))
            (func $make (param $n i32) (result exnref)
                (block $caught (result (ref $box) exnref)
                    (try_table (catch_ref $t $caught) (call $throw (local.get $n)))
                    (unreachable))
                (call $second))
            (func $second (param (ref $box) exnref) (result exnref) (local.get 1))
            (func $value (param exnref) (result i32)
                (block $caught (result (ref $box))
                    (try_table (catch $t $caught) (throw_ref (local.get 0)))
                    (unreachable))
                (call $v))
            (func (export "run") (param $n i32) (result i32) (local $sum i32)
                (loop
                    (table.set $kept (i32.and (local.get $n) (i32.const 15)) (call $make (local.get $n)))
                    (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.set $n (i32.const 16))
                (loop
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (local.set $sum (i32.add (local.get $sum) (call $value (table.get $kept (local.get $n)))))
                    (br_if 0 (local.get $n)))
                (local.get $sum)))"#
        ),
        &[2_000],
        (1..=16).sum(),
    );
}

#[test]
fn a_start_function_and_the_instances_after_it_share_a_heap_that_moves() {
    let first = format!(
        r#"(module {BOX} (table (export "t") 10 anyref) (global $g (export "g") (mut anyref) (ref.null any))
        (func $start (local $n i32)
            (loop
                (table.set (local.get $n) (call $new (local.get $n)))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10))))
            (global.set $g (call $new (i32.const 100)))
            (call $garbage))
        (start $start)
        (func (export "garbage") (call $garbage))
        (func (export "sum") (result i32) (local $n i32) (local $sum i32)
            (local.set $sum (call $v (ref.cast (ref $box) (global.get $g))))
            (loop
                (local.set $sum (i32.add (local.get $sum) (call $v (ref.cast (ref $box) (table.get (local.get $n))))))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10))))
            (local.get $sum)))"#
    );
    let second = format!(
        r#"(module (import "a" "t" (table $t 10 anyref)) (import "a" "g" (global $g (mut anyref)))
        (import "a" "garbage" (func $other)) {BOX}
        (global $own (ref $box) (struct.new $box (i32.const 1000)))
        (global $mine (mut (ref null $box)) (ref.null $box))
        (elem $kept anyref (item (struct.new $box (i32.const 5))))
        (func (export "run") (result i32)
            (global.set $mine (call $new (i32.const 20000)))
            (call $other)
            (table.set $t (i32.const 9) (call $new (i32.const 300000)))
            (call $garbage) (call $other)
            (table.init $t $kept (i32.const 5) (i32.const 0) (i32.const 1))
            (global.set $g (call $new (i32.const 100)))
            (call $other)
            (i32.add (call $v (global.get $mine)) (call $v (global.get $own)))))"#
    );
    for (name, engine) in engines() {
        let modules = [&first, &second].map(|text| Module::new(&engine, text).unwrap());
        let mut store = Store::new(&engine, ());
        let a = Instance::new(&mut store, &modules[0], &[]).unwrap();
        assert_eq!(call_i32(&mut store, a, "sum", &[]).unwrap(), 145, "{name}");
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "a", a).unwrap();
        for _ in 0..3 {
            let b = linker.instantiate(&mut store, &modules[1]).unwrap();
            for _ in 0..2 {
                assert_eq!(call_i32(&mut store, b, "run", &[]).unwrap(), 21_000, "{name}");
                assert_eq!(call_i32(&mut store, a, "sum", &[]).unwrap(), 100 + 36 + 300_000, "{name}");
            }
        }
    }
}

const LIST: &str = r#"(module
    (type $list (struct (field $value (mut i32)) (field $next (mut (ref null $list)))))
    (global $list (mut (ref null $list)) (ref.null $list))
    (func (export "push") (param $n i32)
        (loop
            (global.set $list (struct.new $list (local.get $n) (global.get $list)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "drop") (global.set $list (ref.null $list)))
    (func (export "churn") (param $n i32)
        (loop
            (drop (struct.new $list (local.get $n) (ref.null $list)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "len") (result i32) (local $at (ref null $list)) (local $len i32)
        (local.set $at (global.get $list))
        (block (loop
            (br_if 1 (ref.is_null (local.get $at)))
            (local.set $len (i32.add (local.get $len) (i32.const 1)))
            (if (i32.ne (struct.get $list $value (local.get $at)) (local.get $len)) (then (unreachable)))
            (local.set $at (struct.get $list $next (local.get $at)))
            (br 0)))
        (local.get $len)))"#;

/// An instance of [`LIST`].
struct List {
    store: Store<StoreLimits>,
    it: Instance,
}

impl List {
    fn new(config: &Config, limits: StoreLimits) -> Self {
        let engine = Engine::new(config).unwrap();
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        let it = Instance::new(&mut store, &Module::new(&engine, LIST).unwrap(), &[]).unwrap();
        Self { store, it }
    }

    fn run(&mut self, name: &str, n: i32) -> Result<()> {
        self.it.get_typed_func::<i32, ()>(&self.store, name)?.call(&mut self.store, n)
    }

    fn forget(&mut self) {
        self.it.get_typed_func::<(), ()>(&self.store, "drop").unwrap().call(&mut self.store, ()).unwrap();
    }

    fn len(&mut self) -> i32 {
        self.it.get_typed_func::<(), i32>(&self.store, "len").unwrap().call(&mut self.store, ()).unwrap()
    }
}

#[test]
fn a_list_of_ten_million_cells_is_collected_without_recursion() {
    let mut list = List::new(Config::new().wasm_gc(true), StoreLimits::default());
    list.run("push", 10_000_000).unwrap();
    list.store.gc();
    assert_eq!(list.len(), 10_000_000);
    list.forget();
    list.store.gc();
    assert_eq!(list.len(), 0);
}

#[test]
fn garbage_does_not_count_and_a_heap_that_is_full_of_live_objects_is_a_trap() {
    for every in [0, 1] {
        let limits = || StoreLimitsBuilder::new().memory_size(1 << 20).build();
        let mut list = List::new(&zealous(Config::new(), every), limits());
        list.run("push", 1_000).unwrap();
        // Sixteen bytes each: more than there is room for, if a collection is not at every one.
        list.run("churn", if every == 0 { 2_000_000 } else { 2_000 }).unwrap();
        assert_eq!(list.len(), 1_000);
        if every == 0 {
            for _ in 0..3 {
                list.forget();
                list.run("push", 50_000).unwrap();
                assert_eq!(list.len(), 50_000);
                assert_eq!(trap(list.run("push", 50_000)), Trap::GcHeapOutOfMemory);
            }
        }
        list.forget();
        list.run("churn", 1_000).unwrap();
        assert_eq!(list.len(), 0);
    }
}

/// A limiter that stops the code is heard only if a collection does not help.
#[test]
fn a_limiter_that_fails_stops_code_only_after_a_collection() {
    let limits = StoreLimitsBuilder::new().gc_heap_size(1 << 20).trap_on_grow_failure(true).build();
    let mut list = List::new(Config::new().wasm_gc(true), limits);
    list.run("churn", 1_000_000).unwrap();
    let error = list.run("push", 100_000).unwrap_err();
    assert!(format!("{error:#}").contains("forcing trap when growing the heap"), "{error:#}");
    list.forget();
    list.run("churn", 1_000_000).unwrap();
}

/// What has to be looked at or moved is paid for by whatever makes the store collect.
#[test]
fn exceptions_and_values_of_the_host_do_not_make_a_store_collect_all_the_time() {
    let text = r#"(module (type $list (struct (field (ref null $list))))
        (tag $t) (tag $link (param exnref))
        (global $list (mut (ref null $list)) (ref.null $list)) (global $chain (mut exnref) (ref.null exn))
        (func (export "push") (param $n i32)
            (loop
                (global.set $list (struct.new $list (global.get $list)))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func (export "churn") (param $n i32)
            (loop
                (drop (struct.new_default $list))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func (export "throw") (param $n i32)
            (loop
                (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $t)) (unreachable))
                (drop)
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func (export "chain") (param $n i32)
            (global.set $list (ref.null $list))
            (loop
                (block $caught (result exnref)
                    (try_table (catch_all_ref $caught) (throw $link (global.get $chain)))
                    (unreachable))
                (global.set $chain)
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let engine = Engine::new(Config::new().wasm_gc(true)).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    // The collection before decides when the next one is, and that drops the value.
    let collects = |store: &mut Store<()>, name: &str, n: i32| {
        store.gc();
        dropped.store(0, Relaxed);
        ExternRef::new(&mut minirt::RootScope::new(&mut *store), Counted(dropped.clone())).unwrap();
        if name == "values" {
            for _ in 0..n {
                ExternRef::new(&mut minirt::RootScope::new(&mut *store), ()).unwrap();
            }
        } else {
            call(store, it, name, &[Val::I32(n)]).unwrap();
        }
        dropped.load(Relaxed) == 1
    };
    call(&mut store, it, "push", &[Val::I32(200_000)]).unwrap();
    call(&mut store, it, "throw", &[Val::I32(1)]).unwrap();
    // Each takes a quarter of a KiB, and the list 3,200,000 bytes.
    assert!(!collects(&mut store, "throw", 5_000));
    assert!(collects(&mut store, "throw", 10_000));
    assert!(!collects(&mut store, "values", 5_000));
    assert!(collects(&mut store, "values", 15_000));
    // A chain of exceptions is looked at link by link.
    call(&mut store, it, "chain", &[Val::I32(400_000)]).unwrap();
    call(&mut store, it, "churn", &[Val::I32(500_000)]).unwrap();
    assert!(!collects(&mut store, "churn", 60_000));
    assert!(collects(&mut store, "churn", 140_000));
}

/// Close to its limit, code would collect at every allocation, and get nowhere.
#[test]
fn code_close_to_its_limit_traps_instead_of_collecting_all_the_time() {
    let limits = StoreLimitsBuilder::new().memory_size(8 << 20).build();
    // 480,000 cells leave more than a sixteenth of what they take, and 510,000 do not.
    for (cells, fits) in [(480_000, true), (510_000, false)] {
        let mut list = List::new(Config::new().wasm_gc(true), limits.clone());
        list.run("push", cells).unwrap();
        let churned = list.run("churn", 200_000);
        assert!(fits && churned.is_ok() || !fits && trap(churned) == Trap::GcHeapOutOfMemory, "{cells}");
        list.forget();
        list.run("churn", 1_000_000).unwrap();
    }
}

#[test]
fn an_epoch_callback_may_collect_while_a_loop_holds_references() {
    let text = format!(
        r#"(module {BOX} (func (export "run") (param $n i32) (result i32) (local $a (ref $box)) (local $b (ref null $box))
            (local.set $a (call $new (i32.const 7)))
            (loop
                (local.set $b (call $new (i32.add (call $v (local.get $a)) (local.get $n))))
                (local.set $a (call $new (i32.sub (call $v (local.get $b)) (local.get $n))))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i32.add (call $v (local.get $a)) (call $v (local.get $b)))))"#
    );
    for every in [0, 1] {
        let engine = Engine::new(zealous(Config::new(), every).epoch_interruption(true)).unwrap();
        let mut store = Store::new(&engine, 0_u32);
        // The deadline has always passed.
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            store.gc();
            Ok(UpdateDeadline::Continue(0))
        });
        let it = Instance::new(&mut store, &Module::new(&engine, &text).unwrap(), &[]).unwrap();
        let run = it.get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 500).unwrap(), 7 + 8);
        assert!(*store.data() > 500, "{}", store.data());
    }
}

/// A value whose end is counted.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn values_of_the_embedder_are_dropped_when_nothing_refers_to_them() {
    let text = r#"(module (table $t 4 externref) (global $g (mut anyref) (ref.null any))
        (type $box (struct (field (mut externref))))
        (func (export "table") (param externref) (table.set $t (i32.const 0) (local.get 0)))
        (func (export "object") (param externref) (global.set $g (struct.new $box (local.get 0))))
        (func (export "forget") (param externref) (table.set $t (i32.const 0) (ref.null extern)) (global.set $g (ref.null any))))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        for (round, to) in (0..).zip(["table", "object", "table", "object"]) {
            let mut scope = minirt::RootScope::new(&mut store);
            let value = ExternRef::new(&mut scope, Counted(dropped.clone())).unwrap();
            let func = it.get_typed_func::<Option<Rooted<ExternRef>>, ()>(&mut scope, to).unwrap();
            func.call(&mut scope, Some(value)).unwrap();
            drop(scope);
            store.gc();
            assert_eq!(dropped.load(Relaxed), round, "{name}: {to} holds it");
            call(&mut store, it, "forget", &[Val::ExternRef(None)]).unwrap();
            store.gc();
            assert_eq!(dropped.load(Relaxed), round + 1, "{name}: {to} has let it go");
        }
    }
}

#[test]
fn tenants_find_the_image_however_the_last_one_left_the_heap() {
    let text = LIST.replace(
        "(ref.null $list))\n    (func",
        "(struct.new $list (i32.const 1) (struct.new $list (i32.const 2) (ref.null $list))))
        (type $bytes (array (mut i8)))
        (func (export \"zeros\") (param $n i32) (result i32) (local $a (ref $bytes)) (local $sum i32)
            (local.set $a (array.new_default $bytes (local.get $n)))
            (loop
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (local.set $sum (i32.or (local.get $sum) (array.get_u $bytes (local.get $a) (local.get $n))))
                (br_if 0 (local.get $n)))
            (array.fill $bytes (local.get $a) (i32.const 0) (i32.const 255) (array.len (local.get $a)))
            (local.get $sum))\n    (func",
    );
    for strategy in STRATEGIES {
        for images in [true, false] {
            for every in [0, 7] {
                let engine = Engine::new(&zealous(config(strategy, images), every)).unwrap();
                let module = Module::new(&engine, &text).unwrap();
                for round in 0..8 {
                    let name = format!("{strategy:?}, {images}, every {every}, {round}");
                    let mut store = Store::new(&engine, ());
                    let it = Instance::new(&mut store, &module, &[]).unwrap();
                    for _ in 0..2 {
                        assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 2, "{name}");
                        assert_eq!(call_i32(&mut store, it, "zeros", &[100_000]).unwrap(), 0, "{name}");
                        let churned = if every == 0 { 60_000 } else { 300 };
                        call(&mut store, it, "churn", &[Val::I32(churned)]).unwrap();
                        assert_eq!(call_i32(&mut store, it, "zeros", &[50_000]).unwrap(), 0, "{name}");
                        call(&mut store, it, "drop", &[]).unwrap();
                        call(&mut store, it, "push", &[Val::I32(200)]).unwrap();
                        store.gc();
                        assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 200, "{name}");
                        it.reset(&mut store).unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn a_snapshot_has_what_can_be_reached_and_nothing_else() {
    for every in [0, 50] {
        let engine = Engine::new(&zealous(Config::new(), every)).unwrap();
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &Module::new(&engine, LIST).unwrap(), &[]).unwrap();
        call(&mut store, it, "churn", &[Val::I32(30_000)]).unwrap();
        call(&mut store, it, "push", &[Val::I32(1_000)]).unwrap();
        call(&mut store, it, "churn", &[Val::I32(20_000)]).unwrap();
        let snapshot = it.snapshot(&mut store).unwrap();
        assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 1_000, "the instance goes on");
        let bytes = snapshot.module().serialize().unwrap();
        // Sixteen bytes for each cell, in whole pages.
        let without = Module::new(&engine, LIST).unwrap().serialize().unwrap();
        assert!(bytes.len() < without.len() + 16_000 + 2 * 4096, "{} and {}", bytes.len(), without.len());
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let it = snapshot.instantiate(&mut store, &[]).unwrap();
            assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 1_000);
            call(&mut store, it, "churn", &[Val::I32(40_000)]).unwrap();
            assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 1_000);
            store.gc();
            assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 1_000);
        }
    }
}

/// Such an instance stays in its store, with references that lead nowhere.
#[test]
fn an_instance_that_found_no_room_for_its_objects_is_not_looked_at() {
    let large = r#"(module (type $list (struct (field (mut i32)) (field (mut (ref null $list))))) (type $a (array i8))
        (global (mut (ref null $list)) (struct.new $list (i32.const 1) (struct.new $list (i32.const 2) (ref.null $list))))
        (global (ref $a) (array.new_default $a (i32.const 600000)))
        (table 10 anyref (struct.new $list (i32.const 3) (ref.null $list))))"#;
    for every in [1, 0] {
        let engine = Engine::new(&zealous(Config::new(), every)).unwrap();
        let [list, large] = [LIST, large].map(|text| Module::new(&engine, text).unwrap());
        let mut store = Store::new(&engine, StoreLimitsBuilder::new().memory_size(1 << 20).build());
        store.limiter(|limits| limits);
        let it = Instance::new(&mut store, &list, &[]).unwrap();
        let push = it.get_typed_func::<i32, ()>(&store, "push").unwrap();
        push.call(&mut store, if every == 1 { 2_000 } else { 30_000 }).unwrap();
        // The second time there may be more room, but never enough for both.
        let made = [(); 2].map(|()| Instance::new(&mut store, &large, &[]).is_ok());
        assert!(!made[1], "{made:?}");
        store.gc();
        let churn = it.get_typed_func::<i32, ()>(&store, "churn").unwrap();
        churn.call(&mut store, 2_000).unwrap();
        store.gc();
        let len = it.get_typed_func::<(), i32>(&store, "len").unwrap();
        assert!(len.call(&mut store, ()).unwrap() >= 2_000);
    }
}

#[test]
fn arrays_that_can_never_fit_trap_without_harm() {
    let text = r#"(module (type $v (array (mut v128))) (type $b (array (mut i8))) (global $g (mut anyref) (ref.null any))
        (func (export "keep") (param i32) (global.set $g (array.new $b (i32.const 7) (local.get 0))))
        (func (export "vectors") (param i32) (result i32) (array.len (array.new_default $v (local.get 0))))
        (func (export "bytes") (param i32) (result i32) (array.len (array.new $b (i32.const 1) (local.get 0))))
        (func (export "check") (result i32) (array.get_u $b (ref.cast (ref $b) (global.get $g)) (i32.const 99))))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
        call(&mut store, it, "keep", &[Val::I32(100)]).unwrap();
        for len in [-1, i32::MIN, i32::MAX, 1 << 28, (1 << 28) - 1, 0x0fff_0000] {
            assert_eq!(trap(call_i32(&mut store, it, "vectors", &[len])), Trap::GcHeapOutOfMemory, "{name}: {len:#x}");
        }
        assert_eq!(trap(call_i32(&mut store, it, "bytes", &[-1])), Trap::GcHeapOutOfMemory, "{name}");
        assert_eq!(call_i32(&mut store, it, "bytes", &[3_000_001]).unwrap(), 3_000_001, "{name}");
        assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 7, "{name}");
    }
}

/// A collection that no allocation caused sets the pace for those to come.
#[test]
fn after_a_collection_by_the_host_code_collects_as_often_as_what_is_left_asks_for() {
    let text = r#"(module (type $bytes (array (mut i8))) (type $all (array (mut (ref null $bytes))))
        (global $kept (mut (ref null $all)) (ref.null $all))
        (func (export "keep") (local $i i32)
            (global.set $kept (array.new_default $all (i32.const 100)))
            (loop
                (array.set $all (global.get $kept) (local.get $i)
                    (array.new_default $bytes (i32.const 100000)))
                (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100)))))
        (func (export "forget") (global.set $kept (ref.null $all)))
        (func (export "take") (param externref))
        (func (export "garbage") (param $n i32)
            (loop
                (drop (array.new_default $bytes (i32.const 1000)))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    let value = Arc::new(());
    // Ten megabytes are left, so that 20 more can be made before the next collection.
    call(&mut store, it, "keep", &[]).unwrap();
    store.gc();
    call(&mut store, it, "garbage", &[Val::I32(1)]).unwrap();
    call(&mut store, it, "forget", &[]).unwrap();
    store.gc();
    // Nothing is left, so half a megabyte is what there is between two.
    {
        let mut scope = minirt::RootScope::new(&mut store);
        let held = ExternRef::new(&mut scope, Arc::clone(&value)).unwrap();
        let take = it.get_func(&scope, "take").unwrap();
        take.call(&mut scope, &[Val::ExternRef(Some(held))], &mut []).unwrap();
    }
    assert_eq!(Arc::strong_count(&value), 2);
    call(&mut store, it, "garbage", &[Val::I32(2000)]).unwrap();
    assert_eq!(Arc::strong_count(&value), 1, "two megabytes were made without a collection");
}

/// What a segment kept for `array.new_elem` and its like is not needed once it was dropped.
#[test]
fn what_a_dropped_element_segment_held_is_collected() {
    let text = r#"(module (import "host" "size" (global $size i32))
        (type $bytes (array (mut i8))) (type $all (array (mut (ref null $bytes))))
        (elem $kept (ref null $bytes) (item (array.new $bytes (i32.const 7) (global.get $size))))
        (func (export "drop") (elem.drop $kept))
        (func (export "large") (result i32)
            (array.get_u $bytes (array.new $bytes (i32.const 5) (i32.const 3000000)) (i32.const 2999999)))
        (func (export "kept") (result i32)
            (array.len (array.get $all (array.new_elem $all $kept (i32.const 0) (i32.const 1)) (i32.const 0)))))"#;
    for every in [0, 1] {
        let engine = Engine::new(&zealous(Config::new(), every)).unwrap();
        let mut store = Store::new(&engine, StoreLimitsBuilder::new().gc_heap_size(4 << 20).build());
        store.limiter(|limits| limits);
        let size = minirt::GlobalType::new(minirt::ValType::I32, minirt::Mutability::Const);
        let size = minirt::Global::new(&mut store, size, Val::I32(2_000_000)).unwrap();
        let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[size.into()]).unwrap();
        let large = it.get_typed_func::<(), i32>(&store, "large").unwrap();
        let kept = it.get_typed_func::<(), i32>(&store, "kept").unwrap();
        assert_eq!(kept.call(&mut store, ()).unwrap(), 2_000_000);
        assert_eq!(trap(large.call(&mut store, ())), Trap::GcHeapOutOfMemory);
        it.get_typed_func::<(), ()>(&store, "drop").unwrap().call(&mut store, ()).unwrap();
        for _ in 0..3 {
            assert_eq!(large.call(&mut store, ()).unwrap(), 5);
        }
        assert_eq!(trap(kept.call(&mut store, ())), Trap::TableOutOfBounds);
    }
}
