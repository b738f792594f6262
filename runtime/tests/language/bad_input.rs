//! Malformed and unsupported modules: one clear message each, and an engine that goes on.

use minirt::{CompileError, CompileErrorKind, Config, Engine, Instance, Module, Store};

fn refused(bytes: &[u8]) -> String {
    let engine = Engine::default();
    let error = Module::new(&engine, bytes).expect_err("this is no module");
    // The engine still works.
    let good = Module::new(&engine, "(module)").unwrap();
    Instance::new(&mut Store::new(&engine, ()), &good, &[]).unwrap();
    format!("{error:#}")
}

#[test]
fn every_truncation_of_a_module_is_refused() {
    let text = r#"(module (memory 1) (table 1 funcref) (global i32 (i32.const 1)) (data (i32.const 0) "abc")
        (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"#;
    let whole = wat::parse_str(text).unwrap();
    let engine = Engine::default();
    Module::new(&engine, &whole).unwrap();
    // A module that ends between two sections is complete; all others must say where they break
    // off.
    let mut complete = 0;
    for len in 0..whole.len() {
        match Module::validate(&engine, &whole[..len]) {
            Ok(()) => complete += 1,
            Err(error) => assert!(error.downcast_ref::<CompileError>().is_some(), "{len}: {error:?}"),
        }
    }
    assert!(complete <= 3, "{complete} truncations were accepted");
}

#[test]
fn flipping_any_byte_never_panics() {
    let text = r#"(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f) (data (i32.const 0) "abc")
        (func $f (export "f") (param i32) (result i32) (loop (br_if 0 (local.get 0))) (i32.load (local.get 0))))"#;
    let whole = wat::parse_str(text).unwrap();
    let engine = Engine::default();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            // Text needs UTF-8 and binary its magic; either way this is an answer, not a panic.
            let _ = Module::new(&engine, &bytes).map(|module| {
                let mut store = Store::new(&engine, ());
                let _ = Instance::new(&mut store, &module, &[]);
            });
        }
    }
}

#[test]
fn an_invalid_body_is_refused_with_its_offset() {
    let bytes = wat::parse_str("(module (func (result i32) (i64.const 1)))").unwrap();
    let engine = Engine::default();
    let error = Module::new(&engine, &bytes).unwrap_err();
    let compile = error.downcast_ref::<CompileError>().unwrap();
    assert!(compile.message().contains("type mismatch"), "{error}");
    assert_eq!(compile.offset(), Some(bytes.len() - 1));
}

#[test]
fn a_feature_that_is_not_there_is_named() {
    let message = refused(&wat::parse_str("(module (memory 1 1 shared))").unwrap());
    assert!(message.contains("threads") && message.contains("offset"), "{message}");
}

#[test]
fn what_is_too_large_is_refused_with_the_limit() {
    let message = refused(b"(module (table 10000001 funcref))");
    assert!(message.contains("10000001") && message.contains("10000000"), "{message}");
    let message = refused(b"(module (memory i64 65537))");
    assert!(message.contains("65537") && message.contains("65536"), "{message}");
    let message = refused(&wat::parse_str("(module (memory 65537))").unwrap_or_else(|e| e.to_string().into_bytes()));
    assert!(!message.is_empty());
}

#[test]
fn text_is_no_binary() {
    let engine = Engine::default();
    let error = Module::from_binary(&engine, b"(module)").unwrap_err();
    assert!(error.downcast_ref::<minirt::CompileError>().is_some(), "{error}");
    Module::from_binary(&engine, b"\0asm\x01\0\0\0").unwrap();
}

#[test]
fn a_module_that_asks_for_too_large_instances_is_refused_before_anything_is_allocated() {
    let engine = Engine::new(Config::new().max_core_instance_size(1 << 20)).unwrap();
    let small = format!("(module {})", "(table 100 funcref)".repeat(6));
    Module::new(&engine, &small).unwrap();
    let large = format!("(module (func $f) {})", "(table 10000000 funcref (ref.func $f))".repeat(6));
    let error = Module::new(&engine, &large).unwrap_err();
    assert_eq!(error.downcast_ref::<CompileError>().unwrap().kind(), CompileErrorKind::Limit);
    let text = error.to_string();
    assert!(text.contains("takes 48000") && text.contains("the limit is 1048576"), "{text}");
}

/// A module with a type section of `count` entries, each of these bytes, or one group of them.
fn types(count: u32, entry: &[u8], one_group: bool) -> Vec<u8> {
    let number = |mut value: u32, to: &mut Vec<u8>| loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        to.push(byte | if value > 0 { 0x80 } else { 0 });
        if value == 0 {
            break;
        }
    };
    let mut section = Vec::new();
    if one_group {
        section.extend([1, 0x4e]);
    }
    number(count, &mut section);
    (0..count).for_each(|_| section.extend(entry));
    let mut module = b"\0asm\x01\0\0\0\x01".to_vec();
    number(section.len() as u32, &mut module);
    module.extend(section);
    module
}

#[test]
fn a_million_types_are_allowed_and_one_more_is_refused() {
    let engine = Engine::default();
    const EMPTY: &[u8] = &[0x5f, 0]; // (struct)
    // All differ, because they are one group.
    let module = Module::new(&engine, types(1_000_000, EMPTY, true)).unwrap();
    Instance::new(&mut Store::new(&engine, ()), &module, &[]).unwrap();
    for one_group in [false, true] {
        let error = refused(&types(1_000_001, EMPTY, one_group));
        assert!(error.contains("types") && error.contains("at byte offset"), "{error}");
    }
}

#[test]
fn the_sixty_fourth_level_of_subtypes_is_refused() {
    let text = |levels: u32| {
        let types: String = (1..levels).map(|n| format!("(type $t{n} (sub $t{} (struct)))", n - 1)).collect();
        format!("(module (type $t0 (sub (struct))) {types})")
    };
    let engine = Engine::default();
    Module::new(&engine, text(64)).unwrap();
    let error = refused(text(65).as_bytes());
    assert!(error.contains("sub type hierarchy too deep") && error.contains("offset"), "{error}");
}

#[test]
fn a_cast_that_fails_in_a_start_function_is_a_trap_and_leaves_nothing() {
    let text = r#"(module (type $a (struct (field (mut i32)))) (type $b (struct (field i64)))
        (global $all (mut (ref null $a)) (struct.new $a (i32.const 1)))
        (import "" "fail" (global $fail i32))
        (func (export "first") (result i32) (struct.get $a 0 (global.get $all)))
        (func $start (local $any anyref)
            (if (global.get $fail) (then
                (struct.set $a 0 (global.get $all) (i32.const 2))
                (drop (ref.cast (ref $b) (struct.new $a (i32.const 3)))))))
        (start $start))"#;
    let text = text.replace(r#"(import "" "fail" (global $fail i32))"#, "");
    let text = text.replace("(module ", r#"(module (import "" "fail" (global $fail i32)) "#);
    let engine = Engine::new(Config::new().max_instances(3)).unwrap();
    let module = Module::new(&engine, text).unwrap();
    for round in 0..4 {
        let mut store = Store::new(&engine, ());
        let ty = minirt::GlobalType::new(minirt::ValType::I32, minirt::Mutability::Const);
        let fail = minirt::Global::new(&mut store, ty, minirt::Val::I32(round % 2)).unwrap();
        match Instance::new(&mut store, &module, &[fail.into()]) {
            Err(error) => {
                assert_eq!((round % 2, error.downcast_ref()), (1, Some(&minirt::Trap::CastFailure)), "{error:?}");
            }
            Ok(it) => {
                assert_eq!(round % 2, 0);
                let first = it.get_typed_func::<(), i32>(&store, "first").unwrap();
                assert_eq!(first.call(&mut store, ()).unwrap(), 1);
            }
        }
    }
}
