//! Legacy exceptions: `try`, `catch`, `catch_all`, `delegate` and `rethrow`, which toolchains used
//! before WebAssembly 3.0.

use crate::common::{call, call_i32, instance, linked, trap};
use minirt::{CompileError, CompileErrorKind, Config, Engine, Feature, Module, OptLevel, ThrownException, Trap, Val};

fn engines() -> Vec<(&'static str, Engine)> {
    let mut configs = vec![("optimised", Config::new()), ("not optimised", Config::new()), ("metered", Config::new())];
    configs[1].1.cranelift_opt_level(OptLevel::None).memory_init_cow(false);
    configs[2].1.consume_fuel(true).epoch_interruption(true);
    configs.into_iter().map(|(name, config)| (name, Engine::new(&config).unwrap())).collect()
}

/// What a call returns; -1000 if it ends with an exception.
fn outcomes(cases: &[(&str, &[i32], i32)], text: &str) {
    for (engine, it) in engines() {
        let (mut store, instance) = instance(&it, text);
        _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        for (name, args, expected) in cases {
            let found = match call_i32(&mut store, instance, name, args) {
                Ok(value) => value,
                Err(error) if error.is::<ThrownException>() => THROWN,
                Err(error) => panic!("{engine}: {name}{args:?}: {error:?}"),
            };
            assert_eq!(found, *expected, "{engine}: {name}{args:?}");
        }
    }
}

const THROWN: i32 = -1000;

/// Throws `$a` (0), `$b` (1) with the number 40, or nothing.
const THROWER: &str = r#"(tag $a) (tag $b (param i32)) (tag $c)
  (func $thrower (param i32) (result i32)
    (if (i32.eq (local.get 0) (i32.const 0)) (then (throw $a)))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $b (i32.const 40))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $c)))
    (i32.const 7))
  (table funcref (elem $thrower))"#;

#[test]
fn catches_are_tried_in_order_and_what_is_not_caught_goes_on() {
    let text = format!(
        r#"(module {THROWER}
      (func (export "call") (param i32) (result i32)
        try (result i32) (call $thrower (local.get 0))
        catch $a (i32.const 1)
        catch $b (i32.add (i32.const 2))
        end)
      (func (export "all") (param i32) (result i32)
        try (result i32) (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))
        catch $b (i32.add (i32.const 2))
        catch_all (i32.const 3)
        end)
      (func (export "here") (param i32) (result i32) (local i32)
        try (result i32)
          (local.set 1 (i32.const 10))
          (if (i32.eqz (local.get 0)) (then (throw $a)))
          (local.set 1 (i32.const 20))
          (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $b (i32.const 5))))
          (i32.const 7)
        catch $b (i32.add (local.get 1))
        catch $a (local.get 1)
        end)
      (func (export "nested") (param i32) (result i32)
        try (result i32)
          try (result i32) (call $thrower (local.get 0)) catch $a (i32.const 1) end
        catch $a (i32.const 2)
        catch_all (i32.const 3)
        end)
      (func (export "catch throws") (param i32) (result i32)
        try (result i32)
          try (result i32) (call $thrower (local.get 0)) catch $a (throw $c) catch $c (i32.const 1) end
        catch $c (i32.const 2)
        end)
      (func (export "nothing caught") (param i32) (result i32)
        try (result i32) try (result i32) (call $thrower (local.get 0)) end catch $a (i32.const 4) end)
      (func (export "params") (param i32) (result i32)
        (local.get 0) try (param i32) (result i32) (call $thrower) catch $b catch_all (i32.const 9) end)
      (func (export "branches") (param i32) (result i32)
        (block $out
          try (br_if $out (local.get 0)) (throw $a) catch $a (br $out) catch_all (unreachable) end
          (unreachable))
        try (br 0) catch_all (unreachable) end
        (i32.const 6)))"#
    );
    outcomes(
        &[
            ("call", &[0], 1),
            ("call", &[1], 42),
            ("call", &[2], THROWN),
            ("call", &[3], 7),
            ("all", &[0], 3),
            ("all", &[1], 42),
            ("all", &[2], 3),
            ("all", &[3], 7),
            ("here", &[0], 10),
            ("here", &[1], 25),
            ("here", &[2], 7),
            ("nested", &[0], 1),
            ("nested", &[1], 3),
            ("catch throws", &[0], 2),
            ("catch throws", &[1], THROWN),
            ("catch throws", &[2], 1),
            ("nothing caught", &[0], 4),
            ("nothing caught", &[1], THROWN),
            ("params", &[1], 40),
            ("params", &[2], 9),
            ("branches", &[0], 6),
            ("branches", &[1], 6),
        ],
        &text,
    );
}

#[test]
fn a_rethrow_throws_what_the_catch_that_it_names_has_caught() {
    let text = format!(
        r#"(module {THROWER}
      (func (export "outer") (param i32) (result i32)
        try (result i32)
          try (result i32) (call $thrower (local.get 0))
          catch $b drop (i32.eqz (i32.const 0)) if (rethrow 1) end (unreachable)
          catch_all (rethrow 0)
          end
        catch $a (i32.const 1)
        catch $b (i32.add (i32.const 1))
        end)
      (func (export "which") (param i32) (result i32)
        try (result i32)
          try (result i32) (throw $b (i32.const 50))
          catch $b
            drop
            try (result i32) (throw $a)
            catch $a
              (if (i32.eqz (local.get 0)) (then (rethrow 1)))
              (if (i32.eq (local.get 0) (i32.const 1)) (then (rethrow 2)))
              (i32.const 3)
            end
          end
        catch $a (i32.const 1)
        catch $b (i32.add (i32.const 2))
        end)
      (func (export "again here") (param i32) (result i32)
        try (result i32) (throw $b (i32.const 8))
        catch $b
          drop
          try (result i32) (call $thrower (i32.const 3)) drop (rethrow 1)
          catch $b
          end
        end)
      (func (export "after others") (param i32) (result i32)
        try (result i32)
          try (result i32) (call $thrower (i32.const 1))
          catch_all
            ;; Other exceptions are caught meanwhile, by reference and not.
            try (drop (call $thrower (i32.const 0))) catch $a end
            try try (drop (call $thrower (i32.const 2))) catch_all (rethrow 0) end catch_all end
            (rethrow 0)
          end
        catch $b
        end))"#
    );
    outcomes(
        &[
            ("outer", &[0], 1),
            ("outer", &[1], 41),
            ("outer", &[2], THROWN),
            ("outer", &[3], 7),
            ("which", &[0], 1),
            ("which", &[1], 52),
            ("which", &[2], 3),
            ("again here", &[0], 8),
            ("after others", &[0], 40),
        ],
        &text,
    );
}

#[test]
fn a_delegate_leaves_it_to_the_label_that_it_names() {
    let text = format!(
        r#"(module {THROWER}
      (func (export "skips") (param i32) (result i32)
        try $outer (result i32)
          try (result i32)
            try (result i32) (call $thrower (local.get 0)) delegate $outer
          catch_all (i32.const 1)
          end
        catch $a (i32.const 2)
        end)
      (func (export "to a block") (param i32) (result i32)
        try (result i32)
          (block (result i32) try (result i32) (call $thrower (local.get 0)) delegate 0)
        catch_all (i32.const 3)
        end)
      (func (export "to the caller") (param i32) (result i32)
        try (result i32)
          try (result i32) (call $thrower (local.get 0)) delegate 1
        catch_all (i32.const 4)
        end)
      (func (export "to a catch") (param i32) (result i32)
        try (result i32)
          try (result i32) (throw $c)
          catch_all
            try (result i32) (call $thrower (local.get 0)) delegate 0
          end
        catch $a (i32.const 5)
        end)
      (func (export "here") (param i32) (result i32)
        try $outer (result i32)
          try (result i32)
            try (if (i32.eqz (local.get 0)) (then (throw $a))) delegate $outer
            (throw $a)
          catch_all (i32.const 6)
          end
        catch_all (i32.const 7)
        end)
      (func (export "a branch out of it") (param i32) (result i32)
        try $outer (result i32)
          try (result i32)
            (block $on try (br $on) delegate $outer)
            (call $thrower (local.get 0))
          catch_all (i32.const 8)
          end
        catch_all (i32.const 9)
        end)
      (func (export "not reached") (param i32) (result i32)
        try (result i32) (throw $a) try try catch $a end delegate 0 try catch_all (rethrow 0) end
        catch $a
          (i32.const 10)
          try delegate 0
        end))"#
    );
    outcomes(
        &[
            ("skips", &[0], 2),
            ("skips", &[1], THROWN),
            ("skips", &[3], 7),
            ("to a block", &[1], 3),
            ("to the caller", &[0], THROWN),
            ("to the caller", &[3], 7),
            ("to a catch", &[0], 5),
            ("to a catch", &[1], THROWN),
            ("here", &[0], 7),
            ("here", &[1], 6),
            ("a branch out of it", &[0], 8),
            ("not reached", &[0], 10),
        ],
        &text,
    );
}

#[test]
fn traps_are_not_caught_and_tail_calls_have_left() {
    let text = r#"(module (tag $e) (func $thrower (throw $e)) (table funcref (elem $thrower))
      (func (export "trap") try unreachable catch_all end)
      (func (export "tail") try (return_call $thrower) catch_all end)
      (func (export "indirect") try try (return_call_indirect (i32.const 0)) delegate 0 catch_all end))"#;
    for (name, engine) in engines() {
        let (mut store, it) = instance(&engine, text);
        _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        assert_eq!(trap(call(&mut store, it, "trap", &[])), Trap::UnreachableCodeReached, "{name}");
        for way in ["tail", "indirect"] {
            assert!(call(&mut store, it, way, &[]).unwrap_err().is::<ThrownException>(), "{name}: {way}");
        }
    }
}

#[test]
fn legacy_and_standard_exceptions_are_the_same_exceptions() {
    let exporter = r#"(module (tag $e (export "e") (param i32))
      (func (export "throw") (param i32) (throw $e (local.get 0)))
      (func (export "catch") (param exnref) (result i32)
        (block $b (result i32) (try_table (catch $e $b) (throw_ref (local.get 0))) (unreachable))))"#;
    let importer = r#"(module (import "a" "e" (tag $e (param i32))) (import "a" "throw" (func $throw (param i32)))
      (tag $own (param i32))
      (func (export "f") (param i32) (result i32)
        try (result i32) (call $throw (local.get 0)) (i32.const 0) catch $own catch $e (i32.add (i32.const 1)) end))"#;
    let (mut store, it) = linked(&Engine::default(), exporter, importer).unwrap();
    assert_eq!(call_i32(&mut store, it, "f", &[4]).unwrap(), 5);
}

#[test]
fn legacy_and_standard_clauses_nest_in_one_function() {
    let text = format!(
        r#"(module {THROWER}
      (func (export "standard inside") (param i32) (result i32)
        try (result i32)
          (block $a
            (block $b (result i32)
              (try_table (result i32) (catch $a $a) (catch $b $b) (call $thrower (local.get 0)))
              (return))
            drop
            (throw $a))
          (call $thrower (i32.const 1))
        catch $a (i32.const 1)
        catch $b (i32.add (i32.const 2))
        catch_all (i32.const 3)
        end)
      (func (export "legacy inside") (param i32) (result i32)
        (block $b (result i32)
          (try_table (result i32) (catch $b $b)
            try (result i32) (call $thrower (local.get 0))
            catch $a (throw $b (i32.const 5))
            catch $b drop (rethrow 0)
            end))))"#
    );
    outcomes(
        &[
            ("standard inside", &[3], 7),
            ("standard inside", &[0], 42),
            ("standard inside", &[1], 1),
            ("standard inside", &[2], 3),
            ("legacy inside", &[3], 7),
            ("legacy inside", &[0], 5),
            ("legacy inside", &[1], 40),
            ("legacy inside", &[2], THROWN),
        ],
        &text,
    );
}

#[test]
fn exceptions_that_are_kept_for_a_rethrow_go_away() {
    let values = "(i64.const 0)".repeat(1000);
    let text = format!(
        r#"(module (tag $big (param{})) (func $big (throw $big {values}))
      (func (export "f") (param i32)
        (loop $next
          try try (call $big) catch_all (rethrow 0) end catch_all end
          (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
        " i64".repeat(1000)
    );
    let (mut store, it) = instance(&Engine::default(), &text);
    call(&mut store, it, "f", &[Val::I32(30_000)]).unwrap();
}

#[test]
fn they_can_be_switched_off_and_are_named_then() {
    let engine = Engine::new(Config::new().wasm_legacy_exceptions(false)).unwrap();
    let error = Module::new(&engine, "(module (func try catch_all end))").unwrap_err();
    let error = error.downcast_ref::<CompileError>().unwrap();
    assert_eq!(error.kind(), CompileErrorKind::Disabled(Feature::LegacyExceptions));
    assert!(Module::new(&engine, "(module (tag) (func (try_table)))").is_ok());
    let engine = Engine::new(Config::new().wasm_exceptions(false)).unwrap();
    let error = Module::new(&engine, "(module (tag))").unwrap_err();
    assert_eq!(error.downcast_ref::<CompileError>().unwrap().kind(), CompileErrorKind::Disabled(Feature::Exceptions));
}

#[test]
fn what_is_not_valid_is_refused() {
    for body in [
        "(rethrow 0)",
        "block (rethrow 0) end",
        "try (rethrow 0) catch_all end",
        "try (rethrow 0) delegate 0",
        "try delegate 3",
        "try catch_all catch_all end",
        "try catch_all catch $e end",
        "catch $e",
        "delegate 0",
        "try (result i32) end drop",
        "try catch_all (i32.const 1) end",
        "try catch $e delegate 0",
    ] {
        let error = Module::new(&Engine::default(), format!("(module (tag $e) (func {body}))")).unwrap_err();
        let kind = error.downcast_ref::<CompileError>().unwrap().kind();
        assert!(matches!(kind, CompileErrorKind::Malformed { .. }), "{body}: {error:#}");
    }
}

/// A module with a tag of no values, and one function with this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0d\x03\x01\0\0\x0a".to_vec();
    let len = body.len() as u8;
    bytes.extend([len + 3, 1, len + 1, 0]);
    bytes.extend(body);
    bytes
}

/// What the upstream scripts say of text is true of the binary format, too: readers of text differ
/// in what they take.
#[test]
fn clauses_stand_where_they_belong() {
    const TRY: [u8; 2] = [0x06, 0x40];
    const CATCH: [u8; 2] = [0x07, 0];
    const CATCH_ALL: [u8; 1] = [0x19];
    const DELEGATE: [u8; 2] = [0x18, 0];
    const END: [u8; 1] = [0x0b];
    let valid: [&[&[u8]]; 4] = [
        &[&TRY, &CATCH, &CATCH_ALL, &END, &END],
        &[&TRY, &CATCH, &CATCH, &END, &END],
        &[&TRY, &DELEGATE, &END],
        &[&TRY, &END, &END],
    ];
    for body in valid {
        Module::new(&Engine::default(), with_body(&body.concat())).unwrap();
    }
    let wrong: [&[&[u8]]; 9] = [
        &[&CATCH_ALL, &END],
        &[&CATCH, &END],
        &[&TRY, &CATCH_ALL, &CATCH_ALL, &END, &END],
        &[&TRY, &CATCH_ALL, &CATCH, &END, &END],
        &[&DELEGATE, &END],
        &[&TRY, &CATCH, &DELEGATE, &END],
        &[&TRY, &CATCH_ALL, &DELEGATE, &END],
        &[&TRY, &DELEGATE, &DELEGATE, &END],
        &[&TRY, &END],
    ];
    for body in wrong {
        let error = Module::new(&Engine::default(), with_body(&body.concat())).unwrap_err();
        let kind = error.downcast_ref::<CompileError>().unwrap().kind();
        assert!(matches!(kind, CompileErrorKind::Malformed { .. }), "{body:x?}: {error:#}");
    }
}

/// A number of nested `try`s with a call inside, the clauses of all but the outermost one, and the
/// outermost one's.
fn nested(depth: usize, clauses: &str, outermost: &str) -> String {
    format!(
        r#"(module {THROWER} (global $caught (mut i32) (i32.const 0))
      (func (export "f") (param i32) (result i32)
        {} (drop (call $thrower (local.get 0))) {} {outermost} end (global.get $caught)))"#,
        "try ".repeat(depth),
        format!("{clauses} end ").repeat(depth - 1)
    )
}

#[test]
fn ten_thousand_nested_tries_are_compiled_and_work() {
    let text = nested(10_000, "catch $b drop", "catch $a (global.set $caught (i32.const 5))");
    let (mut store, it) = instance(&Engine::default(), &text);
    assert_eq!([3, 1, 0].map(|way| call_i32(&mut store, it, "f", &[way]).unwrap()), [0, 0, 5]);
    assert!(call(&mut store, it, "f", &[Val::I32(2)]).unwrap_err().is::<ThrownException>());
    // From one to the next.
    let count = "(global.set $caught (i32.add (global.get $caught) (i32.const 1)))";
    let text = nested(500, &format!("catch $a {count} (rethrow 0)"), &format!("catch_all {count}"));
    let (mut store, it) = instance(&Engine::default(), &text);
    assert_eq!([3, 0, 1].map(|way| call_i32(&mut store, it, "f", &[way]).unwrap()), [0, 500, 501]);
}
