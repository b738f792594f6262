//! What no instruction can change is not copied by a reset. Whoever has changed it all the same
//! must leave no trace: an instance whose values depend on imports, or whose objects had to move.

use crate::common::{Random, call, call_i32, each_config};
use minirt::{
    ArrayRef, ArrayRefPre, ArrayType, Config, Engine, Extern, ExternRef, FieldType, Global, GlobalType, Instance,
    Module, Mutability, ResetStrategy, RootScope, Store, StoreLimitsBuilder, Trap, Val, ValType,
};

/// Immutable globals of every kind, and a kept segment. They share their last page with a table
/// whose size is constant: `fill` globals before them choose how much of it.
fn every_kind(first: i32, fill: usize) -> String {
    let filling = "(global i64 (i64.const -1))".repeat(fill);
    format!(
        r#"(module
          (type $box (struct (field (mut i32))))
          (type $holder (struct (field funcref) (field (ref $box)) (field externref)))
          (type $many (array (ref $box)))
          (func $f (result i32) (i32.const {first}))
          {filling}
          (global $box (ref $box) (struct.new $box (i32.const {first})))
          (global $same (ref $box) (global.get $box))
          (global $holder (ref $holder) (struct.new $holder (ref.func $f) (struct.new $box (i32.const {second}))
            (extern.convert_any (struct.new $box (i32.const {third})))))
          (global $extern externref (extern.convert_any (global.get $box)))
          (global $func funcref (ref.func $f))
          (global $small i31ref (ref.i31 (i32.const {first})))
          (global $vector v128 (v128.const i32x4 {first} {first} {first} {first}))
          (elem $kept (ref $box) (struct.new $box (i32.const {first})) (global.get $box))
          (table $fixed (export "fixed") 40 40 anyref)
          (table $funcs 1 1 funcref)
          (memory (export "m") 2)
          (func (export "check") (result i32)
            (local $b (ref $box))
            (if (i32.ne (struct.get $box 0 (global.get $box)) (i32.const {first})) (then (return (i32.const 1))))
            (if (i32.eqz (ref.eq (global.get $box) (global.get $same))) (then (return (i32.const 2))))
            (if (i32.ne (struct.get $box 0 (struct.get $holder 1 (global.get $holder))) (i32.const {second}))
              (then (return (i32.const 3))))
            (if (i32.ne (struct.get $box 0 (ref.cast (ref $box) (any.convert_extern (struct.get $holder 2 (global.get $holder)))))
              (i32.const {third})) (then (return (i32.const 4))))
            (if (i32.eqz (ref.eq (global.get $box) (ref.cast (ref $box) (any.convert_extern (global.get $extern)))))
              (then (return (i32.const 5))))
            (table.set $funcs (i32.const 0) (global.get $func))
            (if (i32.ne (call_indirect $funcs (result i32) (i32.const 0)) (i32.const {first})) (then (return (i32.const 6))))
            (table.set $funcs (i32.const 0) (struct.get $holder 0 (global.get $holder)))
            (if (i32.ne (call_indirect $funcs (result i32) (i32.const 0)) (i32.const {first})) (then (return (i32.const 7))))
            (table.set $funcs (i32.const 0) (ref.null func))
            (if (i32.ne (i31.get_s (global.get $small)) (i32.const {first})) (then (return (i32.const 8))))
            (if (i32.ne (i32x4.extract_lane 3 (global.get $vector)) (i32.const {first})) (then (return (i32.const 9))))
            (local.set $b (array.get $many (array.new_elem $many $kept (i32.const 0) (i32.const 2)) (i32.const 0)))
            (if (i32.ne (struct.get $box 0 (local.get $b)) (i32.const {first})) (then (return (i32.const 10))))
            (local.set $b (array.get $many (array.new_elem $many $kept (i32.const 0) (i32.const 2)) (i32.const 1)))
            (if (i32.eqz (ref.eq (local.get $b) (global.get $box))) (then (return (i32.const 11))))
            (i32.const 0))
          (func (export "fresh") (result i32)
            (if (i32.eqz (ref.is_null (table.get $fixed (i32.const 1)))) (then (return (i32.const 12))))
            (if (i32.load8_u (i32.const 70000)) (then (return (i32.const 13))))
            (i32.const 0))
          (func (export "litter")
            (local $n i32)
            (i32.store8 (i32.const 70000) (i32.const 1))
            (loop (table.set $fixed (i32.const 1) (struct.new $box (i32.const -1)))
              (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 500)))))
          (func (export "spoil")
            (struct.set $box 0 (global.get $box) (i32.const -2))
            (elem.drop $kept)))"#,
        second = first + 1,
        third = first + 2
    )
}

/// Globals that an import decides, and what follows from them.
const IMPORTS: &str = r#"(module
  (type $bytes (array (mut i8)))
  (type $holder (struct (field externref) (field funcref)))
  (import "" "len" (global $len i32))
  (import "" "extern" (global $extern externref))
  (import "" "any" (global $any anyref))
  (func $f (result i32) (i32.const 5))
  (global $bytes (ref $bytes) (array.new $bytes (i32.const 3) (global.get $len)))
  (global $follows (ref $bytes) (global.get $bytes))
  (global $holder (ref $holder) (struct.new $holder (global.get $extern) (ref.func $f)))
  (global $constant (ref $bytes) (array.new_fixed $bytes 2 (i32.const 8) (i32.const 9)))
  (elem $kept (ref $bytes) (array.new_default $bytes (global.get $len)) (array.new_fixed $bytes 1 (i32.const 1)))
  (type $many (array (ref $bytes)))
  (func (export "len") (result i32)
    (i32.add
      (i32.mul (i32.const 1000) (array.len (array.get $many (array.new_elem $many $kept (i32.const 0) (i32.const 2)) (i32.const 0))))
      (array.len (global.get $follows))))
  (func (export "constant") (result i32) (i32.add (array.len (global.get $constant)) (array.get_u $bytes (global.get $constant) (i32.const 1))))
  (func (export "extern") (result externref) (struct.get $holder 0 (global.get $holder)))
  (func (export "any") (result anyref) (global.get $any))
  (func (export "litter") (local $n i32)
    (loop (drop (array.new_default $bytes (i32.const 300)))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 500))))))"#;

fn with_imports(store: &mut Store<()>, module: &Module, len: i32, seen: &mut i32) -> Instance {
    *seen += 1;
    let value = ExternRef::new(&mut *store, *seen).unwrap();
    let pre = ArrayRefPre::new(&*store, ArrayType::new(FieldType::new(Mutability::Var, ValType::I32)));
    let any = ArrayRef::new(&mut *store, &pre, &Val::I32(*seen), 2).unwrap();
    let immutable = |content| GlobalType { content, mutable: false };
    let imports = [(ValType::I32, Val::I32(len)), (ValType::EXTERNREF, value.into()), (ValType::ANYREF, any.into())]
        .map(|(ty, value)| Extern::Global(Global::new(&mut *store, immutable(ty), value).unwrap()));
    Instance::new(store, module, &imports).unwrap()
}

fn from_artifact(engine: &Engine, module: &Module) -> Module {
    // SAFETY: these are the bytes of an artifact.
    unsafe { Module::deserialize(engine, module.serialize().unwrap()) }.unwrap()
}

/// Configurations with objects, of few slots.
fn each(slots: usize, mut test: impl FnMut(&str, &Config)) {
    each_config(|case, strategy, mut config| {
        config.wasm_gc(true).max_instances(slots);
        test(case, &config);
        // Attributed slots are reset in two ways only.
        if matches!(strategy, ResetStrategy::Scan | ResetStrategy::Discard) {
            test(&format!("{case}, attributed"), config.attribute_writes(true));
        }
    });
}

#[test]
fn whoever_comes_first_in_a_store_nobody_sees_the_objects_of_another() {
    each(12, |case, config| {
        let engine = Engine::new(config).unwrap();
        let kinds: Vec<(i32, Module)> = [(100, 0), (200, 430), (300, 471), (400, 500)]
            .map(|(first, fill)| (first, Module::new(&engine, every_kind(first, fill)).unwrap()))
            .into();
        let imports = Module::new(&engine, IMPORTS).unwrap();
        let kinds: Vec<(i32, Module)> = kinds
            .into_iter()
            .map(|(first, module)| (first, if first == 300 { from_artifact(&engine, &module) } else { module }))
            .collect();
        let imports = from_artifact(&engine, &imports);
        let (mut random, mut seen) = (Random(21), 0);
        for round in 0..16 {
            let mut store = Store::new(&engine, ());
            if random.percent(30) {
                let mut scope = RootScope::new(&mut store);
                let pre = ArrayRefPre::new(&scope, ArrayType::new(FieldType::new(Mutability::Var, ValType::I32)));
                ArrayRef::new(&mut scope, &pre, &Val::I32(1), 9).unwrap();
            }
            let mut live: Vec<(Instance, i32)> = Vec::new();
            for step in 0..8 {
                if live.len() < 1 + round % 4 && random.percent(50) {
                    let (first, module) = random.pick(&kinds);
                    let it = Instance::new(&mut store, module, &[]).unwrap();
                    let fresh = call_i32(&mut store, it, "fresh", &[]).unwrap();
                    assert_eq!(fresh, 0, "{case}, {round}.{step}: {first}");
                    live.push((it, *first));
                }
                match random.below(5) {
                    0 => store.gc(),
                    1 if !live.is_empty() => {
                        let (it, _) = *random.pick(&live);
                        call(&mut store, it, "litter", &[]).unwrap();
                    }
                    2 if live.len() == 1 => {
                        // Refused if there is something else in the store.
                        let _ = live[0].0.reset(&mut store);
                    }
                    3 if live.len() == 1 => {
                        if let Ok(snapshot) = live[0].0.snapshot(&mut store) {
                            let mut other = Store::new(&engine, ());
                            let again = snapshot.instantiate(&mut other, &[]).unwrap();
                            let written = from_artifact(&engine, snapshot.module());
                            let written = Instance::new(&mut other, &written, &[]).unwrap();
                            assert_eq!(
                                call_i32(&mut other, again, "check", &[]).unwrap(),
                                0,
                                "{case}, {round}: snapshot"
                            );
                            let it = Instance::new(&mut other, &kinds[0].1, &[]).unwrap();
                            let behind = snapshot.instantiate(&mut other, &[]).unwrap();
                            other.gc();
                            for it in [it, behind, again, written] {
                                assert_eq!(
                                    call_i32(&mut other, it, "check", &[]).unwrap(),
                                    0,
                                    "{case}, {round}: behind"
                                );
                            }
                        }
                    }
                    _ => {}
                }
                for (it, first) in &live {
                    let found = call_i32(&mut store, *it, "check", &[]).unwrap();
                    assert_eq!(found, 0, "{case}, {round}.{step}: {first}");
                }
            }
            if live.is_empty() || random.percent(50) {
                let len = random.below(9) as i32;
                let it = with_imports(&mut store, &imports, len, &mut seen);
                for _ in 0..2 {
                    assert_eq!(call_i32(&mut store, it, "len", &[]).unwrap(), 1001 * len, "{case}, {round}");
                    assert_eq!(call_i32(&mut store, it, "constant", &[]).unwrap(), 11, "{case}, {round}");
                    call(&mut store, it, "litter", &[]).unwrap();
                    store.gc();
                }
            }
            for (it, _) in &live {
                call(&mut store, *it, "spoil", &[]).unwrap();
            }
        }
    });
}

#[test]
fn objects_too_large_for_an_image_are_there_after_a_reset_and_in_a_snapshot() {
    let text = r#"(module (type $bytes (array (mut i8))) (type $many (array (ref $bytes)))
      (memory 1)
      (global $large (ref $bytes) (array.new_default $bytes (i32.const 0x4100000)))
      (global $follows (ref $bytes) (global.get $large))
      (global $small (ref $bytes) (array.new_fixed $bytes 1 (i32.const 7)))
      (elem $kept (ref $bytes) (global.get $follows) (array.new_fixed $bytes 1 (i32.const 6)))
      (func (export "check") (result i32)
        (local $many (ref $many))
        (local.set $many (array.new_elem $many $kept (i32.const 0) (i32.const 2)))
        (if (i32.eqz (ref.eq (global.get $large) (global.get $follows))) (then (return (i32.const 1))))
        (if (i32.eqz (ref.eq (global.get $large) (array.get $many (local.get $many) (i32.const 0))))
          (then (return (i32.const 2))))
        (if (i32.ne (array.len (global.get $large)) (i32.const 0x4100000)) (then (return (i32.const 3))))
        (if (array.get_u $bytes (global.get $large) (i32.const 0x40fffff)) (then (return (i32.const 4))))
        (if (i32.ne (array.get_u $bytes (global.get $small) (i32.const 0)) (i32.const 7)) (then (return (i32.const 5))))
        (if (i32.ne (array.get_u $bytes (array.get $many (local.get $many) (i32.const 1)) (i32.const 0)) (i32.const 6))
          (then (return (i32.const 6))))
        (i32.const 0))
      (func (export "spoil") (array.set $bytes (global.get $large) (i32.const 0x40fffff) (i32.const 1))
        (array.set $bytes (global.get $small) (i32.const 0) (i32.const 1)) (elem.drop $kept)))"#;
    let engine = Engine::new(Config::new().wasm_gc(true).max_instances(4)).unwrap();
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let frozen = it.snapshot(&mut store).unwrap();
    assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0);
    call(&mut store, it, "spoil", &[]).unwrap();
    it.reset(&mut store).unwrap();
    assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0);
    drop(store);
    let mut store = Store::new(&engine, ());
    let it = frozen.instantiate(&mut store, &[]).unwrap();
    assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0);
}

#[test]
fn an_instance_that_failed_may_still_ask_for_the_objects_of_its_segments() {
    let text = r#"(module
      (type $box (struct (field i32))) (type $many (array anyref))
      (import "" "t" (table $t 1 funcref))
      (table $own 1 anyref)
      (func $f (result i32)
        (table.init $own 1 (i32.const 0) (i32.const 1) (i32.const 1))
        (i32.add (struct.get $box 0 (ref.cast (ref $box) (table.get $own (i32.const 0))))
          (struct.get $box 0 (ref.cast (ref $box)
            (array.get $many (array.new_elem $many 1 (i32.const 0) (i32.const 1)) (i32.const 0))))))
      (elem (table $t) (i32.const 0) func $f)
      (elem (table $own) (i32.const 0) anyref
        (item (struct.new $box (i32.const 7))) (item (struct.new $box (i32.const 40)))))"#;
    each(6, |case, config| {
        let engine = Engine::new(config).unwrap();
        let module = Module::new(&engine, text).unwrap();
        for first in [true, false] {
            let mut store = Store::new(&engine, ());
            if !first {
                Instance::new(&mut store, &Module::new(&engine, every_kind(9, 3)).unwrap(), &[]).unwrap();
            }
            let table = minirt::Table::new(
                &mut store,
                minirt::TableType::new(minirt::RefType::FUNCREF, 1, None),
                minirt::Ref::Func(None),
            )
            .unwrap();
            let error = Instance::new(&mut store, &module, &[Extern::Table(table)]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::TableOutOfBounds), "{case}");
            let minirt::Ref::Func(Some(func)) = table.get(&mut store, 0).unwrap() else { panic!("{case}: null") };
            let mut results = [Val::I32(0)];
            for _ in 0..2 {
                func.call(&mut store, &[], &mut results).unwrap();
                assert_eq!(results[0].unwrap_i32(), 47, "{case}");
                store.gc();
            }
        }
    });
}

#[test]
fn an_instance_that_found_no_room_for_its_objects_leaves_nothing_in_its_slot() {
    // More than what a heap has at first.
    let large = every_kind(7, 0).replace(
        "(memory (export",
        "(global (ref $many) (array.new $many (struct.new $box (i32.const 3)) (i32.const 40000))) (memory (export",
    );
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.wasm_gc(true).max_instances(5)).unwrap();
        let [first, large] = [&every_kind(1, 0), &large].map(|text| Module::new(&engine, text).unwrap());
        for _ in 0..4 {
            let limits = StoreLimitsBuilder::new().gc_heap_size(1 << 16).build();
            let mut store = Store::new(&engine, limits);
            store.limiter(|limits| limits);
            Instance::new(&mut store, &first, &[]).unwrap();
            let error = Instance::new(&mut store, &large, &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::GcHeapOutOfMemory), "{case}: {error:?}");
            store.gc();
            drop(store);
            let mut store = Store::new(&engine, ());
            let both = [&large, &first].map(|module| Instance::new(&mut store, module, &[]).unwrap());
            for it in both {
                assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0, "{case}");
            }
        }
    });
}

#[test]
fn globals_are_those_of_the_exporter_whoever_is_reset() {
    let exporter = r#"(module (global (export "i") i64 (i64.const 5)) (global (export "m") (mut i64) (i64.const 6))
      (global (export "v") v128 (v128.const i64x2 7 8)) (table (export "t") 2 2 externref))"#;
    let importer = r#"(module (import "a" "i" (global $i i64)) (import "a" "m" (global $m (mut i64)))
      (import "a" "v" (global $v v128)) (global $own i64 (i64.add (global.get $i) (i64.const 1)))
      (global $constant (export "constant") i64 (i64.const 100)) (export "i again" (global $i))
      (func (export "add") (param i64) (global.set $m (i64.add (global.get $m) (local.get 0))))
      (func (export "sum") (result i64) (i64.add (i64.add (global.get $own) (global.get $constant))
        (i64.add (i64x2.extract_lane 1 (global.get $v)) (global.get $m)))))"#;
    each_config(|case, _, mut config| {
        let engine = Engine::new(config.max_instances(3)).unwrap();
        let [exporter, importer] = [exporter, importer].map(|text| Module::new(&engine, text).unwrap());
        for _ in 0..6 {
            let mut store = Store::new(&engine, ());
            let source = Instance::new(&mut store, &exporter, &[]).unwrap();
            let exports = ["i", "m", "v"].map(|name| source.get_export(&store, name).unwrap());
            let both = [0, 1].map(|_| Instance::new(&mut store, &importer, &exports).unwrap());
            let mutable = source.get_global(&store, "m").unwrap();
            let expect = |store: &mut Store<()>, mutable: i64| {
                for it in both {
                    let sum = call(store, it, "sum", &[]).unwrap()[0].unwrap_i64();
                    assert_eq!(sum, 6 + 100 + 8 + mutable, "{case}");
                    let again = it.get_global(&*store, "i again").unwrap();
                    assert_eq!(again.get(&*store).unwrap_i64(), 5, "{case}");
                    assert!(again.set(&mut *store, Val::I64(1)).is_err(), "{case}: it is immutable");
                }
            };
            expect(&mut store, 6);
            mutable.set(&mut store, Val::I64(50)).unwrap();
            call(&mut store, both[0], "add", &[Val::I64(3)]).unwrap();
            expect(&mut store, 53);
            both[0].reset(&mut store).unwrap();
            expect(&mut store, 53);
            source.reset(&mut store).unwrap();
            expect(&mut store, 6);
            call(&mut store, both[1], "add", &[Val::I64(1)]).unwrap();
        }
    });
}
