//! Structures and arrays: how they are made, found again in another instance, and where they end.

use crate::common::{STRATEGIES, call, call_i32, config, trap};
use minirt::{
    AnyRef, Config, Engine, ExternRef, FieldType, Instance, Linker, Module, Mutability, Ref, RefType, Result, Rooted,
    Store, StoreLimits, StoreLimitsBuilder, StructRef, StructRefPre, StructType, Table, TableType, Trap, Val, ValType,
};
use std::num::NonZeroU32;

fn engine() -> Engine {
    Engine::new(Config::new().wasm_gc(true)).unwrap()
}

fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let module = Module::new(engine, text).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    (store, instance)
}

/// A list in the image, which `sum` adds up and `push` makes longer. `change` writes to the first
/// object of the image.
const LIST: &str = r#"(module
    (type $list (struct (field $value (mut i32)) (field $next (ref null $list))))
    (global $last (ref $list) (struct.new $list (i32.const 30) (ref.null $list)))
    (global $list (mut (ref null $list)) (struct.new $list (i32.const 12) (global.get $last)))
    (func (export "push") (param i32)
        (global.set $list (struct.new $list (local.get 0) (global.get $list))))
    (func (export "change") (param i32) (struct.set $list 0 (global.get $last) (local.get 0)))
    (func (export "many") (param i32)
        (loop (call 0 (i32.const 1)) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "sum") (result i32) (local $at (ref null $list)) (local $sum i32)
        (local.set $at (global.get $list))
        (block (loop
            (br_if 1 (ref.is_null (local.get $at)))
            (local.set $sum (i32.add (local.get $sum) (struct.get $list 0 (local.get $at))))
            (local.set $at (struct.get $list 1 (local.get $at)))
            (br 0)))
        (local.get $sum)))"#;

#[test]
fn objects_of_the_image_are_there_in_every_instance_and_nothing_of_the_last_tenant_is() {
    for strategy in STRATEGIES {
        for images in [true, false] {
            let engine = Engine::new(config(strategy, images).wasm_gc(true)).unwrap();
            let module = Module::new(&engine, LIST).unwrap();
            for round in 0..20 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), 42, "{strategy:?}, {images}, {round}");
                call(&mut store, it, "change", &[Val::I32(100)]).unwrap();
                call(&mut store, it, "push", &[Val::I32(5)]).unwrap();
                call(&mut store, it, "many", &[Val::I32(1 + 3000 * (round % 3))]).unwrap();
                let sum = 12 + 100 + 5 + 1 + 3000 * (round % 3);
                assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), sum, "{strategy:?}, {images}, {round}");
            }
        }
    }
}

#[test]
fn a_reset_brings_the_heap_back_and_references_to_what_is_gone_are_errors() {
    let text = LIST.replacen("(func", r#"(func (export "list") (result anyref) (global.get $list)) (func"#, 1);
    let text = text.replace("call 0", "call 1");
    let (mut store, it) = instance(&engine(), &text);
    call(&mut store, it, "many", &[Val::I32(5000)]).unwrap();
    let Val::AnyRef(Some(list)) = call(&mut store, it, "list", &[]).unwrap()[0] else { panic!("a list") };
    assert!(list.is_struct(&store).unwrap() && !list.is_array(&store).unwrap() && list.is_eqref(&store).unwrap());
    let external = ExternRef::convert_any(&store, list).unwrap();
    assert!(external.data(&store).unwrap().is_none(), "it is the guest's");
    it.reset(&mut store).unwrap();
    assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), 42);
    assert!(list.is_struct(&store).unwrap_err().to_string().contains("gone"));
    assert!(AnyRef::convert_extern(&store, external).is_err());
    let ty = TableType::new(RefType::ANYREF, 1, None);
    assert!(Table::new(&mut store, ty, list.into()).is_err());
    // Something that could hold references keeps the heap.
    Table::new(&mut store, ty, Ref::Any(None)).unwrap();
    assert!(it.reset(&mut store).unwrap_err().to_string().contains("something else in its store"));
    assert!(it.snapshot(&mut store).is_err());
}

const PROVIDER: &str = r#"(module
    (type $f (func (result i32)))
    (type $shape (sub (struct (field $area (ref $f)))))
    (type $square (sub $shape (struct (field (ref $f)) (field (mut i32)))))
    (func $area (export "area") (type $f) (i32.const 49)) (elem declare func $area)
    (global (export "square") (ref $shape) (struct.new $square (ref.func $area) (i32.const 7)))
    (func (export "side") (param (ref $shape)) (result i32)
        (struct.get $square 1 (ref.cast (ref $square) (local.get 0)))))"#;

const USER: &str = r#"(module
    (type $f (func (result i32)))
    (type $shape (sub (struct (field $area (ref $f)))))
    (type $circle (sub $shape (struct (field (ref $f)) (field f32))))
    (type $shapes (array (mut (ref null $shape))))
    (import "a" "square" (global $square (ref $shape)))
    (import "a" "side" (func $side (param (ref $shape)) (result i32)))
    (func $mine (type $f) (i32.const 3)) (elem declare func $mine)
    (global $circle (ref $shape) (struct.new $circle (ref.func $mine) (f32.const 1)))
    (global $both (ref $shapes) (array.new_fixed $shapes 2 (global.get $square) (global.get $circle)))
    (table $t 3 (ref null $shape) (struct.new $circle (ref.func $mine) (f32.const 9)))
    (elem (table $t) (i32.const 1) (ref null $shape) (item (struct.new $circle (ref.func $mine) (f32.const 2))))
    (elem $kept (ref null $shape) (item (struct.new $circle (ref.func $mine) (f32.const 3))) (item (global.get $square)))
    (func $area (export "area") (param i32) (result i32) (local $it (ref null $shape))
        (local.set $it (array.get $shapes (global.get $both) (local.get 0)))
        (call_ref $f (struct.get $shape 0 (local.get $it))))
    (func (export "same") (result i32 i32 i32)
        (ref.eq (table.get $t (i32.const 0)) (table.get $t (i32.const 2)))
        (ref.eq (table.get $t (i32.const 1)) (global.get $circle))
        (ref.eq (array.get $shapes (array.new_elem $shapes $kept (i32.const 0) (i32.const 1)) (i32.const 0))
                (array.get $shapes (array.new_elem $shapes $kept (i32.const 0) (i32.const 1)) (i32.const 0))))
    (func (export "kept area") (result i32)
        (call_ref $f (struct.get $shape 0
            (array.get $shapes (array.new_elem $shapes $kept (i32.const 0) (i32.const 2)) (i32.const 0)))))
    (func (export "side") (param i32) (result i32)
        (call $side (ref.as_non_null (array.get $shapes (global.get $both) (local.get 0))))))"#;

#[test]
fn exceptions_hold_the_heap_only_while_something_refers_to_them() {
    let text = r#"(module (type $box (struct (field i32))) (tag $e (param (ref $box)))
      (global $kept (mut exnref) (ref.null exn))
      (func $throw (throw $e (struct.new $box (i32.const 5))))
      (func $catch (result exnref) (local $caught exnref)
        (block $b (result (ref $box) exnref) (try_table (catch_ref $e $b) (call $throw)) (unreachable))
        (local.set $caught) (drop) (local.get $caught))
      (func (export "drop") (drop (call $catch)))
      (func (export "keep") (global.set $kept (call $catch))))"#;
    let (mut store, it) = instance(&engine(), text);
    for _ in 0..3 {
        call(&mut store, it, "drop", &[]).unwrap();
    }
    it.snapshot(&mut store).unwrap();
    call(&mut store, it, "drop", &[]).unwrap();
    it.reset(&mut store).unwrap();
    call(&mut store, it, "keep", &[]).unwrap();
    assert!(it.snapshot(&mut store).unwrap_err().to_string().contains("exceptions"));
    assert!(it.reset(&mut store).unwrap_err().to_string().contains("exceptions"));
}

#[test]
fn an_exception_that_nobody_took_is_named_and_can_be_taken() {
    let text = r#"(module (type $box (struct (field i32))) (tag $e (param (ref $box)))
      (func (export "throw") (throw $e (struct.new $box (i32.const 5)))))"#;
    let (mut store, it) = instance(&engine(), text);
    for _ in 0..2 {
        assert!(call(&mut store, it, "throw", &[]).unwrap_err().is::<minirt::ThrownException>());
        for refused in [it.snapshot(&mut store).map(drop), it.reset(&mut store)] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("Store::take_pending_exception"), "{text}");
        }
        let mut scope = minirt::RootScope::new(&mut store);
        assert!(minirt::AsContextMut::as_context_mut(&mut scope).take_pending_exception().is_some());
        drop(scope);
        it.reset(&mut store).unwrap();
    }
}

#[test]
fn a_later_instance_shares_the_heap_of_its_store_and_brings_its_objects_along() {
    let engine = engine();
    let [provider, user] = [PROVIDER, USER].map(|text| Module::new(&engine, text).unwrap());
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let a = Instance::new(&mut store, &provider, &[]).unwrap();
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "a", a).unwrap();
        for _ in 0..2 {
            let b = linker.instantiate(&mut store, &user).unwrap();
            assert_eq!(call_i32(&mut store, b, "area", &[0]).unwrap(), 49);
            assert_eq!(call_i32(&mut store, b, "area", &[1]).unwrap(), 3);
            assert_eq!(call_i32(&mut store, b, "kept area", &[]).unwrap(), 3);
            let same = call(&mut store, b, "same", &[]).unwrap();
            assert_eq!(same.iter().map(Val::unwrap_i32).collect::<Vec<_>>(), [1, 0, 1]);
            assert_eq!(call_i32(&mut store, b, "side", &[0]).unwrap(), 7);
            assert_eq!(trap(call_i32(&mut store, b, "side", &[1])), Trap::CastFailure);
            assert!(b.reset(&mut store).is_err() && a.snapshot(&mut store).is_err(), "they share a heap");
        }
    }
    // The other way round, and without the first: objects that do not depend on imports are in the
    // image.
    let user = USER
        .replace(r#"(import "a" "square" (global $square (ref $shape)))"#, "")
        .replace(
            r#"(import "a" "side" (func $side (param (ref $shape)) (result i32)))"#,
            "(func $side (param (ref $shape)) (result i32) (i32.const 0))",
        )
        .replace(
            "(func $mine (type $f) (i32.const 3))",
            "(func $mine (type $f) (i32.const 3)) (global $square (ref $shape) (struct.new $shape (ref.func $mine)))",
        );
    let user = Module::new(&engine, &user).unwrap();
    assert!(user.image_info().remaining.is_empty(), "{:?}", user.image_info());
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &provider, &[]).unwrap();
    for _ in 0..3 {
        let it = Instance::new(&mut store, &user, &[]).unwrap();
        assert_eq!(call_i32(&mut store, it, "area", &[0]).unwrap(), 3);
        assert_eq!(call_i32(&mut store, it, "kept area", &[]).unwrap(), 3);
        let same = call(&mut store, it, "same", &[]).unwrap();
        assert_eq!(same.iter().map(Val::unwrap_i32).collect::<Vec<_>>(), [1, 0, 1]);
    }
}

#[test]
fn a_snapshot_holds_the_live_heap_in_this_process_and_in_a_file() {
    let engine = engine();
    let (mut store, it) = instance(&engine, LIST);
    call(&mut store, it, "many", &[Val::I32(10_000)]).unwrap();
    call(&mut store, it, "change", &[Val::I32(1)]).unwrap();
    let snapshot = it.snapshot(&mut store).unwrap();
    let bytes = snapshot.module().serialize().unwrap();
    drop((store, it));
    // SAFETY: the artifact was made a line above.
    let loaded = unsafe { Module::deserialize(&engine, bytes) }.unwrap();
    // Type numbers are another engine's there.
    let other = self::engine();
    Module::new(&other, "(module (type (array i64)) (type (struct (field i8))))").unwrap();
    // SAFETY: as above.
    let elsewhere = unsafe { Module::deserialize(&other, snapshot.module().serialize().unwrap()) }.unwrap();
    for (engine, module) in [(&engine, snapshot.module()), (&engine, &loaded), (&other, &elsewhere)] {
        for _ in 0..3 {
            let mut store = Store::new(engine, ());
            let it = Instance::new(&mut store, module, &[]).unwrap();
            assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), 10_000 + 13);
            call(&mut store, it, "many", &[Val::I32(5_000)]).unwrap();
            assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), 15_000 + 13);
        }
    }
}

/// Whoever has no objects can hold references to those of others, as `anyref` or `externref`.
#[test]
fn a_reset_of_an_instance_without_objects_leaves_those_of_others_where_they_are() {
    let holder = r#"(module (memory 1) (table $t 2 anyref) (global $g (mut externref) (ref.null extern))
        (func (export "hold") (param externref)
            (global.set $g (local.get 0))
            (table.set $t (i32.const 1) (any.convert_extern (local.get 0))))
        (func (export "holds") (result i32)
            (i32.eqz (ref.is_null (global.get $g)))))"#;
    for every in [None, NonZeroU32::new(1)] {
        let mut config = Config::new();
        config.wasm_gc(true).gc_zeal_alloc_counter(every).unwrap();
        let engine = Engine::new(&config).unwrap();
        let (mut store, list) = instance(&engine, LIST);
        let holder = Instance::new(&mut store, &Module::new(&engine, holder).unwrap(), &[]).unwrap();
        call(&mut store, list, "many", &[Val::I32(300)]).unwrap();
        let ty = StructType::new([FieldType::new(Mutability::Var, ValType::I32)]);
        let pre = StructRefPre::new(&store, ty);
        let held = StructRef::new(&mut store, &pre, &[Val::I32(7)]).unwrap();
        for _ in 0..20 {
            let external = ExternRef::convert_any(&store, held.to_anyref()).unwrap();
            call(&mut store, holder, "hold", &[Val::ExternRef(Some(external))]).unwrap();
            let error = holder.snapshot(&mut store).unwrap_err().to_string();
            assert!(error.contains("a structure or array of another instance"), "{error}");
            holder.reset(&mut store).unwrap();
            assert_eq!(call_i32(&mut store, holder, "holds", &[]).unwrap(), 0);
            holder.snapshot(&mut store).unwrap();
            call(&mut store, list, "many", &[Val::I32(300)]).unwrap();
            let sum = call_i32(&mut store, list, "sum", &[]).unwrap();
            store.gc();
            assert_eq!(call_i32(&mut store, list, "sum", &[]).unwrap(), sum);
            assert_eq!(held.field(&store, 0).unwrap().unwrap_i32(), 7);
        }
    }
}

#[test]
fn what_cannot_be_frozen_is_refused_by_name() {
    let text = r#"(module (type $box (struct (field (mut externref)) (field (mut funcref))))
        (global $box (ref $box) (struct.new_default $box))
        (func (export "value") (param externref) (struct.set $box 0 (global.get $box) (local.get 0)))
        (func (export "func") (param funcref) (struct.set $box 1 (global.get $box) (local.get 0))))"#;
    let (mut store, it) = instance(&engine(), text);
    it.snapshot(&mut store).unwrap();
    let value = ExternRef::new(&mut store, 1_u32).unwrap();
    call(&mut store, it, "value", &[Val::ExternRef(Some(value))]).unwrap();
    let error = format!("{:#}", it.snapshot(&mut store).unwrap_err());
    assert!(error.contains("a value of the host"), "{error}");
    it.reset(&mut store).unwrap();
    let host = minirt::Func::wrap(&mut store, || ());
    call(&mut store, it, "func", &[Val::FuncRef(Some(host))]).unwrap();
    let error = format!("{:#}", it.snapshot(&mut store).unwrap_err());
    assert!(error.contains("a function that belongs to another instance or the host"), "{error}");
}

#[test]
fn a_heap_that_is_full_is_a_trap_and_its_size_has_a_limit() {
    let engine = engine();
    let module = Module::new(&engine, LIST).unwrap();
    let limits = || StoreLimitsBuilder::new().memory_size(1 << 20).build();
    let mut store = Store::new(&engine, limits());
    store.limiter(|limits: &mut StoreLimits| limits);
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let many = it.get_typed_func::<i32, ()>(&store, "many").unwrap();
    many.call(&mut store, 40_000).unwrap();
    assert_eq!(trap(many.call(&mut store, 40_000)), Trap::GcHeapOutOfMemory);
    // What was made is still there.
    let sum = it.get_typed_func::<(), i32>(&store, "sum").unwrap();
    assert!(sum.call(&mut store, ()).unwrap() > 40_000);
    // An instance whose heap does not fit is refused.
    let large = Module::new(
        &engine,
        "(module (type $a (array i8)) (global (ref $a) (array.new_default $a (i32.const 2000000))))",
    );
    let mut store = Store::new(&engine, limits());
    store.limiter(|limits: &mut StoreLimits| limits);
    assert!(Instance::new(&mut store, &large.unwrap(), &[]).is_err());
}

#[test]
fn arrays_whose_size_would_wrap_do_not_fit() {
    let text = r#"(module (type $a (array (mut v128))) (type $b (array (mut i8)))
        (func (export "vectors") (param i32) (drop (array.new_default $a (local.get 0))))
        (func (export "bytes") (param i32) (result i32) (local (ref null $b))
            (array.len (array.new_default $b (local.get 0))))
        (func (export "constant") (result i32) (array.len (array.new $b (i32.const 1) (i32.const -1)))))"#;
    let (mut store, it) = instance(&engine(), text);
    for len in [u32::MAX, 1 << 28, (1 << 28) - 1, 0x1000_0001] {
        let made = call(&mut store, it, "vectors", &[Val::I32(len.cast_signed())]);
        assert_eq!(trap(made), Trap::GcHeapOutOfMemory, "{len}");
    }
    assert_eq!(trap(call_i32(&mut store, it, "constant", &[])), Trap::GcHeapOutOfMemory);
    assert_eq!(call_i32(&mut store, it, "bytes", &[10_000_000]).unwrap(), 10_000_000);
    let dynamic = "(module (type $b (array i8)) (global (ref $b) (array.new_default $b (i32.const -1))))";
    let module = Module::new(store.engine(), dynamic).unwrap();
    let mut store = Store::new(module.engine(), ());
    assert_eq!(trap(Instance::new(&mut store, &module, &[])), Trap::GcHeapOutOfMemory);
}

#[test]
fn null_traps_whatever_the_field() {
    let fields = "(field (mut v128))".repeat(9_999);
    let text = format!(
        r#"(module (type $large (struct {fields} (field (mut i8)))) (type $a (array (mut i64)))
        (func (export "get") (result i32) (struct.get_s $large 9999 (ref.null $large)))
        (func (export "set") (struct.set $large 9999 (ref.null $large) (i32.const 1)))
        (func (export "len") (result i32) (array.len (ref.null array)))
        (func (export "element") (drop (array.get $a (ref.null $a) (i32.const -1))))
        (func (export "store") (array.set $a (ref.null $a) (i32.const 0) (i64.const 0)))
        (func (export "fill") (array.fill $a (ref.null $a) (i32.const 0) (i64.const 0) (i32.const 0)))
        (func (export "i31") (result i32) (i31.get_s (ref.null i31)))
        (func (export "outside") (drop (array.get $a (array.new_default $a (i32.const 3)) (i32.const 3))))
        (func (export "far") (array.set $a (array.new_default $a (i32.const 3)) (i32.const -1) (i64.const 1))))"#
    );
    let (mut store, it) = instance(&engine(), &text);
    for (name, expected) in [
        ("get", Trap::NullReference),
        ("set", Trap::NullReference),
        ("len", Trap::NullReference),
        ("element", Trap::NullReference),
        ("store", Trap::NullReference),
        ("fill", Trap::NullReference),
        ("i31", Trap::NullI31Ref),
        ("outside", Trap::ArrayOutOfBounds),
        ("far", Trap::ArrayOutOfBounds),
    ] {
        assert_eq!(trap(call(&mut store, it, name, &[])), expected, "{name}");
    }
    // The same in a module that has no heap: `array.len` needs no type.
    let text = r#"(module (func (export "len") (result i32) (array.len (ref.null array))))"#;
    let (mut store, it) = instance(&engine(), text);
    assert_eq!(trap(call(&mut store, it, "len", &[])), Trap::NullReference);
}

#[test]
fn casts_know_sixty_three_levels_of_subtypes() {
    let types: String = (1..=62).map(|n| format!("(type $t{n} (sub $t{} (struct)))", n - 1)).collect();
    let casts: String = (0..=62)
        .map(|n| {
            format!(r#"(func (export "is {n}") (param anyref) (result i32) (ref.test (ref $t{n}) (local.get 0)))"#)
        })
        .collect();
    let makes: String =
        (0..=62).map(|n| format!(r#"(func (export "new {n}") (result anyref) (struct.new $t{n}))"#)).collect();
    let text = format!("(module (type $t0 (sub (struct))) {types} {casts} {makes})");
    let (mut store, it) = instance(&engine(), &text);
    for made in [0, 1, 6, 7, 8, 9, 31, 62] {
        let object = call(&mut store, it, &format!("new {made}"), &[]).unwrap()[0];
        for of in 0..=62 {
            let is = call(&mut store, it, &format!("is {of}"), &[object]).unwrap()[0].unwrap_i32();
            assert_eq!(is == 1, made >= of, "{made} as {of}");
        }
    }
}

/// While the module without types waits for the host, its store gets a heap, and the reference that
/// comes back leads there.
#[test]
fn code_finds_a_heap_that_its_store_got_during_a_call() -> Result<()> {
    let engine = engine();
    let brings = Module::new(
        &engine,
        r#"(module (type $a (array i8)) (func (export "make") (result externref)
            (extern.convert_any (array.new_default $a (i32.const 17)))))"#,
    )?;
    let early = Module::new(
        &engine,
        r#"(module (import "host" "make" (func $make (result externref)))
            (func (export "run") (result i32 i32)
                (ref.test (ref array) (any.convert_extern (ref.null extern)))
                (array.len (ref.cast (ref array) (any.convert_extern (call $make))))))"#,
    )?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap(
        "host",
        "make",
        move |mut caller: minirt::Caller<'_, ()>| -> Result<Option<Rooted<ExternRef>>> {
            let it = Instance::new(&mut caller, &brings, &[])?;
            let make = it.get_typed_func::<(), Option<Rooted<ExternRef>>>(&mut caller, "make")?;
            make.call(&mut caller, ())
        },
    )?;
    let mut store = Store::new(&engine, ());
    let it = linker.instantiate(&mut store, &early)?;
    let found = call(&mut store, it, "run", &[])?;
    assert_eq!((found[0].unwrap_i32(), found[1].unwrap_i32()), (0, 17));
    Ok(())
}

#[test]
fn values_of_the_host_keep_their_identity_on_the_way_through_any() {
    let text = r#"(module (table $t 1 anyref)
        (func (export "keep") (param externref) (table.set $t (i32.const 0) (any.convert_extern (local.get 0))))
        (func (export "back") (result externref) (extern.convert_any (table.get $t (i32.const 0))))
        (func (export "is") (result i32 i32 i32)
            (ref.test (ref any) (table.get $t (i32.const 0))) (ref.test (ref eq) (table.get $t (i32.const 0)))
            (ref.test (ref struct) (table.get $t (i32.const 0)))))"#;
    let (mut store, it) = instance(&engine(), text);
    for n in 0..3_u32 {
        let value = ExternRef::new(&mut store, n).unwrap();
        call(&mut store, it, "keep", &[Val::ExternRef(Some(value))]).unwrap();
        let Val::ExternRef(Some(back)) = call(&mut store, it, "back", &[]).unwrap()[0] else { panic!("a value") };
        assert!(Rooted::ref_eq(&store, &back, &value).unwrap());
        assert_eq!(back.data(&store).unwrap().unwrap().downcast_ref::<u32>(), Some(&n));
        let is = call(&mut store, it, "is", &[]).unwrap();
        assert_eq!(is.iter().map(Val::unwrap_i32).collect::<Vec<_>>(), [1, 0, 0]);
    }
}

#[test]
fn artifacts_hold_objects_and_metered_code_pays_for_elements() {
    let engine = Engine::new(Config::new().wasm_gc(true).consume_fuel(true)).unwrap();
    // SAFETY: the artifact was made by the same engine.
    let module = unsafe { Module::deserialize(&engine, engine.precompile_module(LIST.as_bytes()).unwrap()) }.unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(1000).unwrap();
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), 42);
    let text = r#"(module (type $b (array (mut i8)))
        (func (export "make") (param i32) (drop (array.new_default $b (local.get 0)))))"#;
    let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    assert_eq!(trap(call(&mut store, it, "make", &[Val::I32(10_000)])), Trap::OutOfFuel);
}
