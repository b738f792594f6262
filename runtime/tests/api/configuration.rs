//! What a `Config` changes: which modules an engine accepts, and with whom it exchanges artifacts.

use minirt::{CompileError, CompileErrorKind, Config, Engine, Feature, Module};
use std::hash::{DefaultHasher, Hash, Hasher};

type Switch = fn(&mut Config, bool) -> &mut Config;

/// Each switch, the feature that it is for, and a module that needs it.
const SWITCHES: [(Switch, Feature, &str); 13] = [
    (Config::wasm_bulk_memory, Feature::BulkMemory, r#"(module (data "x"))"#),
    (Config::wasm_custom_page_sizes, Feature::CustomPageSizes, "(module (memory 1 (pagesize 1)))"),
    (
        Config::wasm_extended_const,
        Feature::ExtendedConst,
        "(module (global i64 (i64.mul (i64.const 2) (i64.const 3))))",
    ),
    (Config::wasm_function_references, Feature::FunctionReferences, "(module (func (param (ref extern))))"),
    (Config::wasm_gc, Feature::Gc, "(module (type (struct)))"),
    (Config::wasm_memory64, Feature::Memory64, "(module (memory i64 1))"),
    (Config::wasm_multi_memory, Feature::MultiMemory, "(module (memory 1) (memory 1))"),
    (Config::wasm_multi_value, Feature::MultiValue, "(module (func (result i32 i32) unreachable))"),
    (Config::wasm_reference_types, Feature::ReferenceTypes, "(module (table 1 externref))"),
    (
        Config::wasm_relaxed_simd,
        Feature::RelaxedSimd,
        "(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))",
    ),
    (Config::wasm_simd, Feature::Simd, "(module (func (param v128)))"),
    (Config::wasm_tail_call, Feature::TailCall, "(module (func (return_call 0)))"),
    (
        Config::wasm_wide_arithmetic,
        Feature::WideArithmetic,
        "(module (func (result i64 i64) (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))))",
    ),
];

#[test]
fn every_feature_has_a_switch_that_refuses_modules_by_its_name() {
    for (switch, feature, text) in SWITCHES {
        let without = Engine::new(switch(&mut Config::new(), false)).unwrap();
        let error = Module::new(&without, text).expect_err(text);
        let error = error.downcast_ref::<CompileError>().expect("an error of the compiler");
        assert_eq!(error.kind(), CompileErrorKind::Disabled(feature), "{error}");
        assert!(error.message().contains(feature.name()), "{error}");
        let binary = wat::parse_str(text).unwrap();
        assert!(Module::validate(&without, &binary).is_err() && without.precompile_module(&binary).is_err(), "{text}");
        let with = Engine::new(switch(switch(&mut Config::new(), false), true)).unwrap();
        Module::new(&with, text).unwrap();
        Module::new(&without, "(module (memory 1))").unwrap();
    }
}

#[test]
fn engines_that_accept_other_modules_keep_their_artifacts_apart() {
    let hash = |engine: &Engine| {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    };
    let usual = hash(&Engine::default());
    assert_eq!(usual, hash(&Engine::default()));
    let mut hashes = vec![usual];
    hashes.extend(SWITCHES.map(|(switch, ..)| hash(&Engine::new(switch(&mut Config::new(), false)).unwrap())));
    hashes.push(hash(&Engine::new(Config::new().consume_fuel(true)).unwrap()));
    hashes.push(hash(&Engine::new(Config::new().epoch_interruption(true)).unwrap()));
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn an_artifact_in_place_of_a_module_is_told_where_to_go() {
    let engine = Engine::default();
    let artifact = Module::new(&engine, "(module)").unwrap().serialize().unwrap();
    for error in [
        Module::new(&engine, &artifact).unwrap_err(),
        Module::from_binary(&engine, &artifact).unwrap_err(),
        Module::validate(&engine, &artifact).unwrap_err(),
        engine.precompile_module(&artifact).unwrap_err(),
    ] {
        assert!(error.is::<CompileError>() && error.to_string().contains("`Module::deserialize`"), "{error}");
    }
}
