//! Exceptions: thrown, caught, held and let go.

use crate::common::{call, call_i32, instance, linked, links, trap};
use minirt::{
    CompileError, CompileErrorKind, Config, Engine, Instance, Linker, Module, OptLevel, Store, ThrownException, Trap,
    Val, WasmBacktrace,
};
use std::fmt::Write;

/// Engines whose code differs: optimised or not, with fuel and epochs, and with images or copies.
fn engines() -> Vec<(&'static str, Engine)> {
    let mut configs = vec![("optimised", Config::new()), ("not optimised", Config::new()), ("metered", Config::new())];
    configs[1].1.cranelift_opt_level(OptLevel::None).memory_init_cow(false);
    configs[2].1.consume_fuel(true).epoch_interruption(true);
    configs.into_iter().map(|(name, config)| (name, Engine::new(&config).unwrap())).collect()
}

/// An instance with as much fuel as there can be.
fn fuelled(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let (mut store, instance) = instance(engine, text);
    _ = store.set_fuel(u64::MAX);
    store.set_epoch_deadline(u64::MAX / 2);
    (store, instance)
}

/// The exception that a call ended with.
fn thrown(result: minirt::Result<impl std::fmt::Debug>) -> String {
    result.unwrap_err().downcast_ref::<ThrownException>().expect("an exception").to_string()
}

/// A function for each way to call `$thrower`, which throws `$e` with its argument, and catches it.
const WAYS: &str = r#"
  (tag $e (export "e") (param i32))
  (type $f (func (param i32) (result i32)))
  (table $t funcref (elem $thrower $tail))
  (func $thrower (export "throw") (type $f) (throw $e (local.get 0)))
  (func $tail (type $f) (return_call $thrower (local.get 0)))
  (func $deep (type $f) (i32.add (i32.const 1) (call $tail (local.get 0))))
  (elem declare func $deep)"#;

#[test]
fn what_is_thrown_is_caught_through_every_kind_of_call() {
    let calls = [
        ("direct", "(call $thrower (local.get 0))"),
        ("tail", "(call $tail (local.get 0))"),
        ("deep", "(call $deep (local.get 0))"),
        ("indirect", "(call_indirect (type $f) (local.get 0) (i32.const 0))"),
        ("indirect_tail", "(call_indirect (type $f) (local.get 0) (i32.const 1))"),
        ("reference", "(call_ref $f (local.get 0) (ref.func $deep))"),
        ("here", "(throw $e (local.get 0))"),
    ];
    let mut text = format!("(module {WAYS}");
    for (name, call) in calls {
        write!(
            text,
            r#"(func (export "{name}") (param i32) (result i32) (local i32)
              (local.set 1 (i32.const 1))
              (block $caught (result i32)
                (try_table (result i32) (catch $e $caught) (local.set 1 (i32.const 100)) {call})
                (return (i32.const -1)))
              (i32.add (local.get 1)))"#
        )
        .unwrap();
    }
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, &format!("{text})"));
        for (way, _) in calls {
            // A local has the value that it had when the exception was thrown.
            assert_eq!(call_i32(&mut store, it, way, &[7]).unwrap(), 107, "{name}: {way}");
        }
    }
}

#[test]
fn arguments_and_results_on_the_stack_and_locals_of_every_type_are_right_after_a_catch() {
    let text = format!(
        r#"(module (tag $e (param i32))
      (func $wide (param{params}) (result{params}) (throw $e (i32.wrap_i64 (local.get 19))))
      (func $once (param $n i64) (result i64) (local $f f64) (local $v v128) (local $i i64) (local $s f32)
        (local.set $f (f64.convert_i64_s (local.get $n))) (local.set $s (f32.convert_i64_s (local.get $n)))
        (local.set $v (i64x2.splat (local.get $n))) (local.set $i (i64.mul (local.get $n) (i64.const 3)))
        (block $caught (result i32)
          (try_table (catch $e $caught) (call $wide {arguments}) {drops})
          (unreachable))
        i64.extend_i32_s
        (i64.add (local.get $i)) (i64.add (i64.trunc_f64_s (local.get $f))) (i64.add (i64.trunc_f32_s (local.get $s)))
        (i64.add (i64x2.extract_lane 1 (local.get $v))))
      (func (export "f") (param $n i64) (result i64) (local $sum i64)
        (loop $next
          (local.set $sum (i64.add (local.get $sum) (call $once (local.get $n))))
          (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
        (local.get $sum)))"#,
        params = " i64".repeat(20),
        arguments = "(local.get $n)".repeat(20),
        drops = "drop ".repeat(20),
    );
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, &text);
        let sum = call(&mut store, it, "f", &[Val::I64(100)]).unwrap()[0].unwrap_i64();
        assert_eq!(sum, 7 * 5050, "{name}");
    }
}

#[test]
fn values_of_every_type_travel_with_an_exception() {
    let text = r#"(module
      (tag $all (param i32 i64 f32 f64 v128 funcref externref exnref))
      (tag $inner (param i32))
      (func $thrower (param i32 i64 f32 f64 v128 funcref externref exnref)
        (throw $all (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6)
          (local.get 7)))
      (func $make (result exnref)
        (block $b (result exnref) (try_table (catch_all_ref $b) (throw $inner (i32.const 77))) (unreachable)))
      (func (export "call") (param externref)
        (result i32 i64 f32 f64 v128 funcref externref exnref)
        (block $caught (result i32 i64 f32 f64 v128 funcref externref exnref)
          (try_table (catch $all $caught)
            (call $thrower (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const -2.5) (v128.const i64x2 3 4)
              (ref.func $make) (local.get 0) (call $make)))
          (unreachable)))
      (func (export "here") (param externref)
        (result i32 i64 f32 f64 v128 funcref externref exnref)
        (block $caught (result i32 i64 f32 f64 v128 funcref externref exnref)
          (try_table (catch $all $caught)
            (throw $all (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const -2.5) (v128.const i64x2 3 4)
              (ref.func $make) (local.get 0) (call $make)))
          (unreachable)))
      (func (export "again") (param exnref) (result i32)
        (block $b (result i32) (try_table (catch $inner $b) (throw_ref (local.get 0))) (unreachable)))
      (elem declare func $make))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let host = minirt::ExternRef::new(&mut store, 5_u8).unwrap();
        for way in ["call", "here"] {
            let values = call(&mut store, it, way, &[host.into()]).unwrap();
            assert_eq!((values[0].unwrap_i32(), values[1].unwrap_i64()), (-1, -2), "{name}: {way}");
            assert_eq!((values[2].unwrap_f32(), values[3].unwrap_f64()), (1.5, -2.5), "{name}: {way}");
            assert_eq!(values[4].unwrap_v128(), 4 << 64 | 3, "{name}: {way}");
            assert!(values[5].unwrap_func_ref().is_some());
            let back = values[6].unwrap_extern_ref().unwrap();
            assert!(minirt::Rooted::ref_eq(&store, &back, &host).unwrap());
            assert_eq!(call(&mut store, it, "again", &[values[7]]).unwrap()[0].unwrap_i32(), 77, "{name}: {way}");
        }
    }
}

#[test]
fn the_innermost_handler_that_fits_takes_it_and_clauses_are_tried_in_order() {
    let text = r#"(module (tag $a) (tag $b) (tag $c)
      (func $thrower (param i32)
        (if (i32.eq (local.get 0) (i32.const 0)) (then (throw $a)))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $b)))
        (throw $c))
      (func $middle (param i32)
        (block $b (try_table (catch $b $b) (call $thrower (local.get 0)))))
      (func (export "f") (param i32) (result i32)
        (block $any (block $a1 (block $a2
          (try_table (catch $a $a1) (catch $a $a2) (catch_all $any)
            (block $inner (try_table (catch $b $inner) (call $middle (local.get 0))) (return (i32.const 9)))
            (return (i32.const 8))))
          (return (i32.const 2)))
          (return (i32.const 1)))
        (i32.const 3)))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let results = [0, 1, 2].map(|tag| call_i32(&mut store, it, "f", &[tag]).unwrap());
        // `$middle` itself takes `$b`, and returns.
        assert_eq!(results, [1, 9, 3], "{name}");
    }
}

#[test]
fn a_tag_is_the_same_through_all_names_and_another_with_the_same_type_is_not() {
    let exporter = r#"(module (tag $e (export "e") (param i32)) (tag (export "other") (param i32))
      (func (export "throw") (param i32) (throw $e (local.get 0))))"#;
    // The same tag is imported twice, and another one of its type is between them.
    let importer = r#"(module
      (import "a" "throw" (func $throw (param i32)))
      (import "a" "other" (tag $other (param i32)))
      (import "a" "e" (tag $e1 (param i32))) (import "a" "e" (tag $e2 (param i32)))
      (tag $own (param i32))
      (func (export "call") (param i32) (result i32)
        (block $wrong (result i32)
          (block $right (result i32)
            (try_table (catch $own $wrong) (catch $other $wrong) (catch $e2 $right) (call $throw (local.get 0)))
            (unreachable))
          (return)) (drop) (i32.const -1))
      (func (export "here") (param i32) (result i32)
        (block $wrong (result i32)
          (block $right (result i32)
            (try_table (catch $own $wrong) (catch $other $wrong) (catch $e2 $right) (throw $e1 (local.get 0)))
            (unreachable))
          (return)) (drop) (i32.const -1))
      (func (export "here_by_reference") (param i32) (result i32)
        (block $right (result i32 exnref)
          (try_table (catch $own 1) (catch_ref $e2 $right) (throw $e1 (local.get 0)))
          (unreachable))
        (drop)))"#;
    for (name, engine) in engines() {
        let (mut store, it) = linked(&engine, exporter, importer).unwrap();
        _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        for way in ["call", "here", "here_by_reference"] {
            assert_eq!(call_i32(&mut store, it, way, &[5]).unwrap(), 5, "{name}: {way}");
        }
    }
}

#[test]
fn a_tag_can_be_imported_only_with_its_own_type() {
    let exporter = r#"(module (tag (export "e") (param i32)) (func (export "f")))"#;
    let imports = |tag: &str| links(exporter, &format!(r#"(module (import "a" "e" {tag}))"#));
    assert!(imports("(tag (param i32))"));
    for other in ["(tag)", "(tag (param i64))", "(tag (param i32 i32))", "(func (param i32))", "(global i32)"] {
        assert!(!imports(other), "{other}");
    }
    assert!(!links(exporter, r#"(module (import "a" "f" (tag)))"#));
    let error = linked(&Engine::default(), exporter, r#"(module (import "a" "e" (tag (param f32))))"#).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("asks for `(tag (param f32))`, but `(tag (param i32))` was given"), "{text}");
}

#[test]
fn traps_are_never_caught() {
    let text = r#"(module (memory 1) (table 1 funcref)
      (func $overflow (call $overflow) (call $overflow))
      (func $load (drop (i32.load (i32.const -1))))
      (func $null (throw_ref (ref.null exn)))
      (func (export "unreachable") (block $b (try_table (catch_all $b) (unreachable))))
      (func (export "divide") (block $b (try_table (catch_all $b) (drop (i32.div_u (i32.const 1) (i32.const 0))))))
      (func (export "load") (block $b (try_table (catch_all $b) (call $load))))
      (func (export "uninitialised") (block $b (try_table (catch_all $b) (call_indirect (i32.const 0)))))
      (func (export "null") (block $b (try_table (catch_all $b) (call $null))))
      (func (export "null here") (block $b (try_table (catch_all $b) (throw_ref (ref.null exn)))))
      (func (export "overflow") (block $b (try_table (catch_all $b) (call $overflow)))))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let mut ends = |func: &str| trap(call(&mut store, it, func, &[]));
        assert_eq!(ends("unreachable"), Trap::UnreachableCodeReached, "{name}");
        assert_eq!(ends("divide"), Trap::IntegerDivisionByZero, "{name}");
        assert_eq!(ends("load"), Trap::MemoryOutOfBounds, "{name}");
        assert_eq!(ends("uninitialised"), Trap::IndirectCallToNull, "{name}");
        assert_eq!(ends("null"), Trap::NullExceptionReference, "{name}");
        assert_eq!(ends("null here"), Trap::NullExceptionReference, "{name}");
        assert_eq!(ends("overflow"), Trap::StackOverflow, "{name}");
    }
}

#[test]
fn a_tail_call_has_left_the_handlers_of_its_function() {
    let text = r#"(module (tag $e) (table funcref (elem $thrower)) (type $f (func))
      (func $thrower (throw $e))
      (func $tail (block $b (try_table (catch_all $b) (return_call $thrower))))
      (func $indirect (block $b (try_table (catch_all $b) (return_call_indirect (type $f) (i32.const 0)))))
      (func $reference (block $b (try_table (catch_all $b) (return_call_ref $f (ref.func $thrower)))))
      (func $run (param i32) (result i32)
        (block $b (try_table (catch_all $b)
          (block $2 (block $1 (block $0 (br_table $0 $1 $2 (local.get 0)))
            (call $tail) (return (i32.const 0))) (call $indirect) (return (i32.const 0)))
          (call $reference) (return (i32.const 0))))
        (i32.const 1))
      (export "run" (func $run)) (elem declare func $thrower))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        assert_eq!([0, 1, 2].map(|way| call_i32(&mut store, it, "run", &[way]).unwrap()), [1; 3], "{name}");
    }
}

#[test]
fn what_nothing_catches_is_an_error_that_says_what_was_thrown_and_where() {
    let text = r#"(module (tag $e (export "oops") (param i32 f64)) (tag $hidden)
      (func $deep (param i32) (throw $e (local.get 0) (f64.const 1.5)))
      (func $middle (block $b (try_table (catch $hidden $b) (call $deep (i32.const -7)))))
      (func $run (export "run") (call $middle))
      (func (export "hidden") (throw $hidden)))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let error = call(&mut store, it, "run", &[]).unwrap_err();
        let exception = error.downcast_ref::<ThrownException>().unwrap();
        assert_eq!(exception.to_string(), "uncaught exception: `oops` (i32 -7, f64 1.5)", "{name}");
        assert_eq!(exception.tag(), it.get_tag(&store, "oops").unwrap());
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        let names: Vec<_> = frames.iter().map(|frame| frame.func_name().unwrap()).collect();
        assert_eq!(names, ["deep", "middle", "run"], "{name}");
        assert!(frames.iter().all(|frame| frame.module_offset().is_some()));
        assert_eq!(thrown(call(&mut store, it, "hidden", &[])), "uncaught exception: tag 1", "{name}");
    }
}

#[test]
fn a_backtrace_begins_where_it_was_thrown_first() {
    // As destructors do: everything is caught, something is done, and it is thrown again.
    let text = r#"(module (tag $e)
      (func $thrower (throw $e)) (func $deep (call $thrower))
      (func $cleanup (throw_ref (block $b (result exnref) (try_table (catch_all_ref $b) (call $deep)) (return))))
      (func $outer (throw_ref (block $b (result exnref) (try_table (catch_all_ref $b) (call $cleanup)) (return))))
      (func (export "f") (call $outer)))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let error = call(&mut store, it, "f", &[]).unwrap_err();
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        let functions: Vec<_> = frames.iter().map(|frame| frame.func_index()).collect();
        assert_eq!(functions, [0, 1, 2, 3, 4], "{name}");
    }
}

#[test]
fn a_start_function_can_throw_and_catch() {
    let module = |body: &str| format!("(module (tag $e) (func $f (throw $e)) (func $s {body}) (start $s))");
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut start = |body| Instance::new(&mut store, &Module::new(&engine, module(body)).unwrap(), &[]);
    assert!(start("(block $b (try_table (catch_all $b) (call $f)))").is_ok());
    assert_eq!(thrown(start("(call $f)")), "uncaught exception: tag 0");
}

/// Makes exceptions and forgets them, as many as the argument says, each of 16 kB.
const WASTE: &str = r#"
  (func $waste (export "waste") (param i32)
    (loop $next
      (drop (block $b (result exnref) (try_table (catch_all_ref $b) (call $big)) (unreachable)))
      (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))"#;

/// The tag `$big` of a thousand values, and `$big`, which throws it with zeros but for the last.
fn big() -> String {
    let values = "(i64.const 0)".repeat(999);
    format!("(tag $big (param{})) (func $big (throw $big {values} (i64.const 9)))", " i64".repeat(1000))
}

#[test]
fn a_thousand_values_arrive() {
    let text = format!(
        "(module {} (func (export \"f\") (result i64) (local i64)
           (block $b (result{}) (try_table (catch $big $b) (call $big)) (unreachable))
           (local.set 0) {} (local.get 0)))",
        big(),
        " i64".repeat(1000),
        "drop ".repeat(999)
    );
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, &text);
        assert_eq!(call(&mut store, it, "f", &[]).unwrap()[0].unwrap_i64(), 9, "{name}");
    }
}

#[test]
fn more_than_a_thousand_values_are_refused() {
    let text = format!("(module (tag (param{})))", " i64".repeat(1001));
    let error = Module::new(&Engine::default(), text).unwrap_err();
    let error = error.downcast_ref::<CompileError>().unwrap();
    assert!(error.message().contains("function params size is out of bounds"), "{error}");
    assert_eq!(error.offset(), Some(13));
}

#[test]
fn exceptions_that_nothing_refers_to_go_away() {
    // Without that, it would be more than twice as much as a store may have.
    let (mut store, it) = instance(&Engine::default(), &format!("(module {} {WASTE})", big()));
    call(&mut store, it, "waste", &[Val::I32(40_000)]).unwrap();
}

#[test]
fn what_is_referred_to_from_anywhere_stays() {
    // Each number is in one place while many other exceptions come and go.
    let text = format!(
        r#"(module {} {WASTE}
      (tag $e (param i32)) (tag $outer (param exnref))
      (global $g (mut exnref) (ref.null exn)) (table $t 10 exnref)
      (func $make (export "make") (param i32) (result (ref exn)) (local $made exnref)
        (block $b (result i32 (ref exn)) (try_table (catch_ref $e $b) (throw $e (local.get 0))) (unreachable))
        (local.set $made) (drop) (ref.as_non_null (local.get $made)))
      (func $number (param exnref) (result i32)
        (block $b (result i32) (try_table (catch $e $b) (throw_ref (local.get 0))) (unreachable)))
      (func $wrap (param exnref) (result exnref)
        (block $b (result exnref) (try_table (catch_all_ref $b) (throw $outer (local.get 0))) (unreachable)))
      (func $unwrap (param exnref) (result exnref)
        (block $b (result exnref) (try_table (catch $outer $b) (throw_ref (local.get 0))) (unreachable)))
      (func $pass (param exnref) (result exnref) (call $waste (i32.const 40)) (local.get 0))
      (func $waste_and_throw (param i32) (call $waste (i32.const 40)) (throw $e (local.get 0)))
      (func (export "f") (param $given exnref) (result i32) (local $l exnref) (local $inside exnref) (local $sum i32)
        (local.set $l (call $make (i32.const 1)))
        (global.set $g (call $make (i32.const 2)))
        (table.set $t (i32.const 7) (call $make (i32.const 4)))
        (local.set $inside (call $wrap (call $make (i32.const 8))))
        (call $make (i32.const 16))
        (call $pass (call $make (i32.const 32)))
        (loop $again (param exnref exnref) (result exnref exnref)
          (call $waste (i32.const 40))
          (br_if $again (i32.ne (call $number (local.get $l)) (i32.const 1))))
        (local.set $sum (call $number))
        (block $caught (result i32)
          (try_table (catch $e $caught) (call $waste_and_throw (i32.const 64)))
          (unreachable))
        (call $waste (i32.const 40))
        (local.set $sum (i32.add (local.get $sum)))
        (local.set $sum (i32.add (call $number) (local.get $sum)))
        (local.set $sum (i32.add (call $number (global.get $g)) (local.get $sum)))
        (local.set $sum (i32.add (call $number (table.get $t (i32.const 7))) (local.get $sum)))
        (local.set $sum (i32.add (call $number (local.get $l)) (local.get $sum)))
        (local.set $sum (i32.add (call $number (call $unwrap (local.get $inside))) (local.get $sum)))
        (i32.add (call $number (local.get $given)) (local.get $sum))))"#,
        big()
    );
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, &text);
        let given = call(&mut store, it, "make", &[Val::I32(128)]).unwrap()[0];
        for _ in 0..3 {
            assert_eq!(call(&mut store, it, "f", &[given]).unwrap()[0].unwrap_i32(), 255, "{name}");
        }
    }
}

#[test]
fn more_exceptions_than_a_store_may_have_are_a_trap_and_a_reset_makes_room() {
    let text = format!(
        r#"(module {} (table $t 30000 exnref)
      (func (export "hoard") (param i32)
        (loop $next
          (table.set $t (local.get 0)
            (block $b (result exnref) (try_table (catch_all_ref $b) (call $big)) (unreachable)))
          (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "here") (param i32)
        (loop $next
          (table.set $t (local.get 0)
            (block $b (result exnref) (try_table (catch_all_ref $b) {}) (unreachable)))
          (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
        big(),
        format_args!("(throw $big {} (i64.const 9))", "(i64.const 0)".repeat(999))
    );
    let (mut store, it) = instance(&Engine::default(), &text);
    for way in ["hoard", "here", "hoard"] {
        assert_eq!(trap(call(&mut store, it, way, &[Val::I32(29_999)])), Trap::ExceptionsExhausted);
        it.reset(&mut store).unwrap();
        call(&mut store, it, way, &[Val::I32(1_000)]).unwrap();
        it.reset(&mut store).unwrap();
    }
}

#[test]
fn a_throw_with_little_stack_left_is_caught_or_the_stack_is_exhausted() {
    let text = r#"(module (tag $e (param i32))
      (func $down (param i32)
        (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 5))))
        (call $down (i32.sub (local.get 0) (i32.const 1))))
      (func (export "f") (param i32) (result i32)
        (block $b (result i32) (try_table (catch $e $b) (call $down (local.get 0))) (unreachable))))"#;
    for (name, engine) in engines() {
        let (mut store, it) = fuelled(&engine, text);
        let mut outcome = |depth| match call_i32(&mut store, it, "f", &[depth]) {
            Ok(value) => {
                assert_eq!(value, 5, "{name}");
                true
            }
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{name}: {error:?}");
                false
            }
        };
        // Around the last depth that is possible, each one is tried.
        let (mut low, mut high) = (1, 1_000_000);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if outcome(middle) { low = middle } else { high = middle }
        }
        let caught = (low - 50..low + 50).filter(|depth| outcome(*depth)).count();
        assert!((1..100).contains(&caught), "{name}: {caught}");
    }
}

#[test]
fn ten_thousand_nested_handlers_are_compiled_and_work() {
    let text = format!(
        r#"(module (tag $e (param i32)) (func $thrower (throw $e (i32.const 3)))
      (func (export "f") (result i32)
        (block $b (result i32) {} (call $thrower) {} (unreachable))))"#,
        "(try_table (catch $e $b)".repeat(10_000),
        ")".repeat(10_000)
    );
    // The text format is read recursively; a thread with a large stack does that.
    let run = move || {
        let (mut store, it) = instance(&Engine::default(), &text);
        assert_eq!(call_i32(&mut store, it, "f", &[]).unwrap(), 3);
    };
    std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn handlers_that_would_take_long_to_compile_are_refused_by_name() {
    let tags: String = (0..2_000).map(|i| format!("(tag $t{i})")).collect();
    let catches: String = (0..2_000).map(|i| format!("(catch $t{i} $b)")).collect();
    let text = format!(
        "(module {tags} (func $f) (func $many (block $b (try_table {catches} {}))))",
        "(call $f)".repeat(1_000)
    );
    let error = Module::new(&Engine::default(), text).unwrap_err();
    let error = error.downcast_ref::<CompileError>().unwrap();
    assert_eq!(error.kind(), CompileErrorKind::Limit);
    assert!(error.message().starts_with("function 1 `many` has more than 1048576 handlers"), "{error}");
}

#[test]
fn what_is_not_valid_is_refused() {
    let cases = [
        ("(block (try_table (catch $i 0)))", "type mismatch"),
        ("(block (result i64) (try_table (catch $i 0)) (i64.const 0)) drop", "type mismatch"),
        ("(block (result i32) (try_table (catch_ref $i 0)) (i32.const 0)) drop", "type mismatch"),
        ("(block (result i32) (try_table (catch_all 0)) (i32.const 0)) drop", "type mismatch"),
        ("(block (try_table (catch_all_ref 0)))", "type mismatch"),
        ("(try_table (catch_all 7))", "unknown label"),
        ("(block (try_table (catch 9 0)))", "unknown tag"),
        ("(throw 9)", "unknown tag"),
        ("(throw $i)", "type mismatch"),
        ("(throw $i (i64.const 0))", "type mismatch"),
        ("(throw_ref (i32.const 0))", "type mismatch"),
        ("(throw_ref (ref.null extern))", "type mismatch"),
    ];
    for (body, expected) in cases {
        let error =
            Module::new(&Engine::default(), format!("(module (tag $i (param i32)) (func {body}))")).unwrap_err();
        let error = error.downcast_ref::<CompileError>().unwrap();
        assert!(matches!(error.kind(), CompileErrorKind::Malformed { .. }), "{body}: {error}");
        assert!(error.message().contains(expected), "{body}: {error}");
    }
    // Only stack switching would give such a tag a meaning.
    let results = Module::new(&Engine::default(), "(module (tag (param i32) (result i32)))").unwrap_err();
    assert!(results.to_string().contains("minirt has no stack switching"), "{results:#}");
}

#[test]
fn a_loop_that_throws_forever_is_stopped() {
    let text = r#"(module (tag $e) (func $thrower (throw $e))
      (func (export "call") (loop $l (try_table (catch_all $l) (call $thrower))))
      (func (export "here") (loop $l (try_table (catch_all $l) (throw $e)))))"#;
    let mut config = Config::new();
    let engine = Engine::new(config.consume_fuel(true)).unwrap();
    let (mut store, it) = instance(&engine, text);
    for way in ["call", "here"] {
        store.set_fuel(100_000).unwrap();
        assert_eq!(trap(call(&mut store, it, way, &[])), Trap::OutOfFuel, "{way}");
    }
    let engine = Engine::new(config.consume_fuel(false).epoch_interruption(true)).unwrap();
    let (mut store, it) = instance(&engine, text);
    store.set_epoch_deadline(1);
    let ticking = engine.clone();
    let ticks = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        ticking.increment_epoch();
    });
    assert_eq!(trap(call(&mut store, it, "call", &[])), Trap::Interrupt);
    ticks.join().unwrap();
}

#[test]
fn fuel_is_paid_for_what_was_executed_and_no_more() {
    let text = r#"(module (tag $e) (func $thrower (throw $e) (drop (i32.const 1)))
      (func (export "f") (block $b (try_table (catch_all $b) (call $thrower)
        (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1))))))"#;
    let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
    let (mut store, it) = instance(&engine, text);
    store.set_fuel(1_000).unwrap();
    call(&mut store, it, "f", &[]).unwrap();
    // Both functions are entered; one calls, and the other throws.
    assert_eq!(1_000 - store.get_fuel().unwrap(), 4);
}

#[test]
fn handlers_are_part_of_an_artifact() {
    let text = format!(
        r#"(module {WAYS} (func (export "f") (param i32) (result i32)
          (block $b (result i32) (try_table (catch $e $b) (drop (call $deep (local.get 0)))) (unreachable))))"#
    );
    for (name, engine) in engines() {
        let bytes = Module::new(&engine, &text).unwrap().serialize().unwrap();
        // SAFETY: it was made by this engine, and nobody has changed it.
        let module = unsafe { Module::deserialize(&engine, bytes) }.unwrap();
        let mut store = Store::new(&engine, ());
        _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        let it = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        assert_eq!(call_i32(&mut store, it, "f", &[6]).unwrap(), 6, "{name}");
    }
}
