//! Vectors as parameters, results, globals and locals, and at the ends of pages and memories.

use crate::common::{call, each_config, engines, instance};
use minirt::{Engine, Func, FuncType, Global, GlobalType, Instance, Linker, Module, Store, Trap, Val, ValType};

/// Sixteen different bytes.
const LANES: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

#[test]
fn a_host_function_takes_and_returns_vectors() {
    let text = r#"(module
      (import "host" "not" (func $not (param v128) (result v128)))
      (import "host" "mixed" (func $mixed (param i32 v128 f64 v128) (result v128 i64 v128)))
      (func (export "not") (param v128) (result v128) (call $not (local.get 0)))
      (func (export "tail") (param v128) (result v128) (return_call $not (local.get 0)))
      (func (export "mixed") (param v128) (result v128 i64 v128)
        (call $mixed (i32.const 3) (local.get 0) (f64.const 4) (i32x4.splat (i32.const 5)))))"#;
    for (name, engine) in engines() {
        println!("{name}");
        let module = Module::new(&engine, text).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "not", |vector: u128| !vector).unwrap();
        let mixed = |a: i32, b: u128, c: f64, d: u128| (d, i64::from(a) + c as i64, b);
        linker.func_wrap("host", "mixed", mixed).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        for export in ["not", "tail"] {
            let not = instance.get_typed_func::<u128, u128>(&mut store, export).unwrap();
            assert_eq!(not.call(&mut store, LANES).unwrap(), !LANES);
        }
        let results = call(&mut store, instance, "mixed", &[Val::V128(LANES)]).unwrap();
        assert_eq!(results[0].unwrap_v128(), 0x0000_0005_0000_0005_0000_0005_0000_0005);
        assert_eq!(results[1].unwrap_i64(), 7);
        assert_eq!(results[2].unwrap_v128(), LANES);
    }
}

/// More vectors than there are registers, among other values, into Wasm, on to the host, and back.
#[test]
fn many_vectors_keep_their_order_on_the_stack() {
    const COUNT: usize = 24;
    let types: Vec<ValType> = [ValType::V128, ValType::I32, ValType::V128].repeat(COUNT / 3);
    let words = |types: &[ValType]| types.iter().map(ValType::to_string).collect::<Vec<_>>().join(" ");
    let gets: String = (0..COUNT).map(|i| format!("(local.get {i})")).collect();
    let ty = format!("(param {0}) (result {0})", words(&types));
    let text = format!(
        r#"(module
        (import "host" "same" (func $same {ty}))
        (table funcref (elem $same $wasm))
        (func $wasm {ty} {gets})
        (func (export "direct") {ty} (call $wasm {gets}))
        (func (export "host") {ty} (call $same {gets}))
        (func (export "indirect") (param i32 {0}) (result {0}) {1} (call_indirect {ty} (local.get 0)))
        (func (export "tail") {ty} (return_call $same {gets})))"#,
        words(&types),
        (1..=COUNT).map(|i| format!("(local.get {i})")).collect::<String>(),
    );
    let engine = Engine::default();
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let same = Func::new(&mut store, FuncType::new(types.clone(), types.clone()), |_, arguments, results| {
        results.copy_from_slice(arguments);
        Ok(())
    });
    let instance = Instance::new(&mut store, &module, &[same.into()]).unwrap();
    let value = |(i, ty): (usize, &ValType)| match ty {
        ValType::V128 => Val::V128(LANES ^ i as u128),
        _ => Val::I32(i as i32),
    };
    let values: Vec<Val> = types.iter().enumerate().map(value).collect();
    let shown = format!("{values:?}");
    for export in ["direct", "host", "tail"] {
        assert_eq!(format!("{:?}", call(&mut store, instance, export, &values).unwrap()), shown, "{export}");
    }
    for element in 0..2 {
        let arguments: Vec<Val> = std::iter::once(Val::I32(element)).chain(values.clone()).collect();
        assert_eq!(format!("{:?}", call(&mut store, instance, "indirect", &arguments).unwrap()), shown);
    }
}

#[test]
fn globals_hold_vectors_and_start_with_constants() {
    let text = r#"(module
      (import "host" "mine" (global $mine (mut v128)))
      (import "host" "fixed" (global $fixed v128))
      (global $odd (mut i32) (i32.const 1))
      (global $own (export "own") (mut v128) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
      (global $copy (export "copy") v128 (global.get $fixed))
      (func (export "swap") (result v128)
        (global.get $own) (global.set $own (global.get $mine)) (global.set $mine) (global.get $copy)))"#;
    for (name, engine) in engines() {
        println!("{name}");
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let mut global = |mutable, value| {
            let ty = GlobalType { content: ValType::V128, mutable };
            Global::new(&mut store, ty, Val::V128(value)).unwrap()
        };
        let (mine, fixed) = (global(true, 1), global(false, LANES << 4));
        let it = Instance::new(&mut store, &module, &[mine.into(), fixed.into()]).unwrap();
        let own = it.get_global(&store, "own").unwrap();
        assert_eq!(own.get(&store).unwrap_v128(), LANES);
        assert_eq!(call(&mut store, it, "swap", &[]).unwrap()[0].unwrap_v128(), LANES << 4);
        assert_eq!((own.get(&store).unwrap_v128(), mine.get(&store).unwrap_v128()), (1, LANES));
        own.set(&mut store, Val::V128(u128::MAX)).unwrap();
        assert!(own.set(&mut store, Val::I64(1)).is_err());
        it.reset(&mut store).unwrap();
        assert_eq!(own.get(&store).unwrap_v128(), LANES, "a reset restores all 16 bytes");
    }
}

/// Every access of vectors, each as a function of its address alone.
const ACCESSES: &[(&str, u32)] = &[
    ("(drop (v128.load (local.get 0)))", 16),
    ("(drop (v128.load8x8_s (local.get 0)))", 8),
    ("(drop (v128.load16x4_u (local.get 0)))", 8),
    ("(drop (v128.load32x2_s (local.get 0)))", 8),
    ("(drop (v128.load8_splat (local.get 0)))", 1),
    ("(drop (v128.load16_splat (local.get 0)))", 2),
    ("(drop (v128.load32_splat (local.get 0)))", 4),
    ("(drop (v128.load64_splat (local.get 0)))", 8),
    ("(drop (v128.load32_zero (local.get 0)))", 4),
    ("(drop (v128.load64_zero (local.get 0)))", 8),
    ("(drop (v128.load8_lane 3 (local.get 0) (local.get $ones)))", 1),
    ("(drop (v128.load16_lane 3 (local.get 0) (local.get $ones)))", 2),
    ("(drop (v128.load32_lane 3 (local.get 0) (local.get $ones)))", 4),
    ("(drop (v128.load64_lane 1 (local.get 0) (local.get $ones)))", 8),
    ("(v128.store (local.get 0) (local.get $ones))", 16),
    ("(v128.store8_lane 3 (local.get 0) (local.get $ones))", 1),
    ("(v128.store16_lane 3 (local.get 0) (local.get $ones))", 2),
    ("(v128.store32_lane 3 (local.get 0) (local.get $ones))", 4),
    ("(v128.store64_lane 1 (local.get 0) (local.get $ones))", 8),
];

#[test]
fn an_access_may_touch_the_last_byte_of_a_memory_and_no_other_behind_it() {
    const END: u32 = 65_536;
    let func = |(i, (access, _)): (usize, &(&str, u32))| {
        let ones = "(local $ones v128) (local.set $ones (v128.const i64x2 -1 -1))";
        format!("(func (export \"{i}\") (param i32) {ones} {access})")
    };
    let funcs: String = ACCESSES.iter().enumerate().map(func).collect();
    let text = format!(r#"(module (memory (export "m") 1) {funcs})"#);
    each_config(|_, _, config| {
        let engine = Engine::new(&config).unwrap();
        // The second tenant of the slot finds most of the memory write-protected, if the slot is
        // tracked.
        for _ in 0..3 {
            let (mut store, it) = instance(&engine, &text);
            let memory = it.get_memory(&store, "m").unwrap();
            for (i, (access, bytes)) in ACCESSES.iter().enumerate() {
                let mut run = |at: u32| call(&mut store, it, &i.to_string(), &[Val::I32(at as i32)]);
                // Whatever is written by an access that traps would be seen by the one that does
                // not.
                for at in (END - bytes + 1..END + 2).chain([END + 4096, u32::MAX - 15, u32::MAX]) {
                    let error = run(at).expect_err("this must trap");
                    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{access} {at}");
                }
                // A store may have written what is inside, where the processor leaves that open.
                let split = cfg!(target_arch = "aarch64") && access.contains("store");
                let intact = if split { END - bytes + 1 } else { END } as usize;
                let written = memory.data(&store)[..intact].iter().any(|byte| *byte != 0);
                assert!(!written, "{access} wrote before it trapped");
                if split {
                    memory.write(&mut store, intact, &vec![0; *bytes as usize - 1]).unwrap();
                }
                call(&mut store, it, &i.to_string(), &[Val::I32((END - bytes) as i32)]).unwrap();
                let written = memory.data(&store).iter().filter(|byte| **byte != 0).count();
                assert_eq!(written, if access.contains("store") { *bytes as usize } else { 0 }, "{access}");
                memory.write(&mut store, (END - bytes) as usize, &vec![0; *bytes as usize]).unwrap();
            }
        }
    });
}

#[test]
fn a_store_across_two_pages_is_whole_and_both_pages_are_cleaned() {
    const PAGE: u32 = 4096;
    let text = r#"(module (memory (export "m") 16) (data (i32.const 8190) "abcd")
      (func (export "store") (param i32 v128) (v128.store (local.get 0) (local.get 1)))
      (func (export "load") (param i32) (result v128) (v128.load (local.get 0))))"#;
    each_config(|name, _, config| {
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, text).unwrap();
        // Other pages in later rounds: what a slot has learnt to expect is then wrong.
        for (round, page) in [2, 2, 2, 2, 9, 9, 200, 2].into_iter().enumerate() {
            for distance in 1..16 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                let memory = it.get_memory(&store, "m").unwrap();
                let mut expected = vec![0; 16 * 65_536];
                expected[8190..8194].copy_from_slice(b"abcd");
                assert!(memory.data(&store) == expected, "{name}, round {round}: the memory is not as at the start");
                let at = (page * PAGE - distance) as usize;
                let address = Val::I32(at as i32);
                call(&mut store, it, "store", &[address, Val::V128(LANES)]).unwrap();
                expected[at..at + 16].copy_from_slice(&LANES.to_le_bytes());
                assert!(memory.data(&store) == expected, "{name}, round {round}, {distance} bytes before page {page}");
                assert_eq!(call(&mut store, it, "load", &[address]).unwrap()[0].unwrap_v128(), LANES);
            }
        }
    });
}

#[test]
fn vectors_go_through_blocks_locals_and_select() {
    let text = r#"(module
      (func (export "choose") (param v128 v128 i32) (result v128) (local v128)
        (local.set 3 (select (local.get 0) (local.get 1) (local.get 2)))
        (local.get 3) (block (param v128) (result v128) (br_if 0 (local.get 2)) (drop) (v128.const i64x2 0 0))
        (drop) (if (result v128) (local.get 2) (then (local.get 3)) (else (v128.not (local.get 3)))))
      (func (export "sum") (param i32) (result v128)
        (v128.const i32x4 0 0 0 0)
        (loop $next (param v128) (result v128)
          (i32x4.add (v128.const i32x4 1 2 3 4))
          (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (mut store, it) = instance(&Engine::default(), text);
    let mut choose = |flag| {
        let results = call(&mut store, it, "choose", &[Val::V128(LANES), Val::V128(1), Val::I32(flag)]);
        results.unwrap()[0].unwrap_v128()
    };
    assert_eq!((choose(1), choose(0)), (LANES, !1));
    let sum = call(&mut store, it, "sum", &[Val::I32(10)]).unwrap();
    assert_eq!(sum[0].unwrap_v128(), 0x0000_0028_0000_001e_0000_0014_0000_000a);
}

/// What the relaxed instructions give where the specification would allow something else.
#[test]
fn relaxed_instructions_make_the_documented_choice() {
    const NAN: &str = "(v128.const f32x4 nan 3e9 -3e9 5e9)";
    const NANS: &str = "(v128.const f64x2 nan 5e9)";
    const ONES: &str = "(v128.const f32x4 1 1 1 1)";
    const LOW_BYTES: &str = "(i8x16.splat (i32.const -128))";
    const LOW_HALVES: &str = "(i16x8.splat (i32.const -32768))";
    // The square of the first number has a bit more than the others, which two roundings lose and
    // one keeps.
    const NUMBER: &str = "(i32x4.splat (i32.const 0x3f800001))";
    const SQUARE: &str = "(i32x4.splat (i32.const 0x3f800002))";
    let cases = [
        (
            format!("(i8x16.relaxed_swizzle {LOW_BYTES} (v128.const i8x16 0 15 16 31 32 127 -128 -1 0 0 0 0 0 0 0 0))"),
            "(v128.const i8x16 -128 -128 0 0 0 0 0 0 -128 -128 -128 -128 -128 -128 -128 -128)".to_owned(),
        ),
        (
            format!("(i8x16.relaxed_laneselect {LOW_BYTES} (i8x16.splat (i32.const 0)) {LOW_BYTES})"),
            LOW_BYTES.to_owned(),
        ),
        (
            format!("(i64x2.relaxed_laneselect {NUMBER} {SQUARE} (v128.const i64x2 1 0x8000000000000000))"),
            format!("(v128.bitselect {NUMBER} {SQUARE} (v128.const i64x2 1 0x8000000000000000))"),
        ),
        (
            format!("(i32x4.relaxed_trunc_f32x4_s {NAN})"),
            "(v128.const i32x4 0 0x7fffffff 0x80000000 0x7fffffff)".into(),
        ),
        (format!("(i32x4.relaxed_trunc_f32x4_u {NAN})"), "(v128.const i32x4 0 3000000000 0 -1)".into()),
        (format!("(i32x4.relaxed_trunc_f64x2_s_zero {NANS})"), "(v128.const i32x4 0 0x7fffffff 0 0)".into()),
        (format!("(i32x4.relaxed_trunc_f64x2_u_zero {NANS})"), "(v128.const i32x4 0 -1 0 0)".into()),
        (
            format!("(f32x4.relaxed_madd {NUMBER} {NUMBER} (f32x4.neg {SQUARE}))"),
            format!("(f32x4.add (f32x4.mul {NUMBER} {NUMBER}) (f32x4.neg {SQUARE}))"),
        ),
        (format!("(f32x4.relaxed_nmadd {NUMBER} {NUMBER} {SQUARE})"), "(v128.const i64x2 0 0)".into()),
        ("(f64x2.relaxed_min (v128.const f64x2 0 2) (v128.const f64x2 -0 3))".into(), "(v128.const f64x2 -0 2)".into()),
        ("(f64x2.relaxed_max (v128.const f64x2 -0 2) (v128.const f64x2 0 3))".into(), "(v128.const f64x2 0 3)".into()),
        (format!("(i32x4.trunc_sat_f32x4_u (f32x4.relaxed_min {NAN} {ONES}))"), "(v128.const i32x4 0 1 0 1)".into()),
        (
            format!("(i32x4.trunc_sat_f32x4_u (f32x4.relaxed_max {ONES} {NAN}))"),
            "(v128.const i32x4 0 3000000000 1 -1)".into(),
        ),
        (format!("(i16x8.relaxed_q15mulr_s {LOW_HALVES} {LOW_HALVES})"), "(i16x8.splat (i32.const 32767))".into()),
        (format!("(i16x8.relaxed_dot_i8x16_i7x16_s {LOW_BYTES} {LOW_BYTES})"), LOW_HALVES.to_owned()),
        (
            format!("(i32x4.relaxed_dot_i8x16_i7x16_add_s {LOW_BYTES} {LOW_BYTES} (i32x4.splat (i32.const 1)))"),
            "(i32x4.splat (i32.const -65535))".into(),
        ),
    ];
    for (relaxed, expected) in cases {
        let text = format!(r#"(module (func (export "both") (result v128 v128) {relaxed} {expected}))"#);
        let (mut store, it) = instance(&Engine::default(), &text);
        let both = call(&mut store, it, "both", &[]).unwrap();
        let [got, expected] = [0, 1].map(|i: usize| format!("{:#034x}", both[i].unwrap_v128()));
        assert_eq!(got, expected, "{relaxed}");
    }
}
