//! Structures, arrays and small integers in the embedder's hands.

use crate::common::{call, trap};
use minirt::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, Caller, Config, Engine, EqRef, ExternRef, FieldType, Finality, Func,
    Global, GlobalType, HeapType, I31, Instance, Linker, Module, Mutability, OwnedRooted, Ref, RefType, Result,
    RootScope, Rooted, StorageType, Store, StoreLimits, StoreLimitsBuilder, StructRef, StructRefPre, StructType, Table,
    TableType, Trap, Val, ValType,
};
use std::num::NonZeroU32;

const VAR: Mutability = Mutability::Var;
const CONST: Mutability = Mutability::Const;

/// An engine that collects at each allocation.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_gc(true).gc_zeal_alloc_counter(NonZeroU32::new(1)).unwrap();
    Engine::new(&config).unwrap()
}

fn store() -> Store<()> {
    Store::new(&engine(), ())
}

fn instance(store: &mut Store<()>, text: &str) -> Instance {
    let module = Module::new(store.engine(), text).unwrap();
    Instance::new(store, &module, &[]).unwrap()
}

fn fields(all: impl IntoIterator<Item = (Mutability, StorageType)>) -> StructType {
    StructType::new(all.into_iter().map(|(mutability, ty)| FieldType::new(mutability, ty)))
}

fn array(element: impl Into<StorageType>) -> ArrayType {
    ArrayType::new(FieldType::new(VAR, element))
}

fn nullable(heap: HeapType) -> ValType {
    ValType::Ref(RefType::new(true, heap))
}

fn message<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

#[test]
fn a_structure_has_the_fields_that_it_was_made_with() {
    let mut store = store();
    let all = [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
    let ty = fields(all.map(|ty| (VAR, ty.into())));
    let pre = StructRefPre::new(&mut store, ty.clone());
    let values = [Val::I32(-1), Val::I64(1 << 40), Val::from(1.5_f32), Val::from(-2.5_f64), Val::V128(3 << 100 | 4)];
    let it = StructRef::new(&mut store, &pre, &values).unwrap();
    let other =
        StructRef::new(&mut store, &pre, &[0_i32.into(), 0_i64.into(), 0_f32.into(), 0_f64.into(), 0_u128.into()]);
    let found: Vec<Val> = it.fields(&mut store).unwrap().collect();
    assert_eq!(format!("{found:?}"), format!("{values:?}"));
    assert_eq!(it.fields(&mut store).unwrap().len(), 5);
    it.set_field(&mut store, 1, Val::I64(7)).unwrap();
    it.set_field(&mut store, 4, Val::V128(u128::MAX)).unwrap();
    assert_eq!(it.field(&mut store, 1).unwrap().unwrap_i64(), 7);
    assert_eq!(it.field(&mut store, 4).unwrap().unwrap_v128(), u128::MAX);
    assert_eq!(it.field(&mut store, 0).unwrap().unwrap_i32(), -1);
    let other = other.unwrap();
    let zeros = other.fields(&store).unwrap().map(|value| format!("{value:?}"));
    assert_eq!(zeros.collect::<Vec<_>>(), ["I32(0)", "I64(0)", "F32(0)", "F64(0)", "V128(0)"]);
    assert_eq!(it.ty(&store).unwrap(), ty);
    assert!(it.matches_ty(&store, &ty).unwrap());
    assert!(!it.matches_ty(&store, &fields([(VAR, StorageType::I8)])).unwrap());
}

#[test]
fn a_packed_field_keeps_its_lowest_bits_and_is_read_without_a_sign() {
    let mut store = store();
    let ty = fields([(VAR, StorageType::I8), (VAR, StorageType::I16), (VAR, StorageType::I8)]);
    let pre = StructRefPre::new(&mut store, ty);
    let it = StructRef::new(&mut store, &pre, &[Val::I32(-1), Val::I32(-2), Val::I32(0x1234)]).unwrap();
    let read = |store: &Store<()>| [0, 1, 2].map(|index| it.field(store, index).unwrap().unwrap_i32());
    assert_eq!(read(&store), [0xff, 0xfffe, 0x34]);
    it.set_field(&mut store, 1, Val::I32(0x7_8001)).unwrap();
    assert_eq!(read(&store), [0xff, 0x8001, 0x34]);
    let bytes = ArrayRefPre::new(&mut store, array(StorageType::I16));
    let bytes = ArrayRef::new(&mut store, &bytes, &Val::I32(-1), 3).unwrap();
    bytes.set(&mut store, 1, Val::I32(i32::MIN)).unwrap();
    let found: Vec<i32> = bytes.elems(&mut store).unwrap().map(|value| value.unwrap_i32()).collect();
    assert_eq!(found, [0xffff, 0, 0xffff]);
}

#[test]
fn arrays_are_made_of_one_value_of_many_or_of_bytes() {
    let mut store = store();
    let longs = array(ValType::I64);
    let pre = ArrayRefPre::new(&mut store, longs.clone());
    for (value, len) in [(0, 0), (0, 1), (5, 1), (0, 100_000), (-3, 100_000)] {
        let it = ArrayRef::new(&mut store, &pre, &Val::I64(value), len).unwrap();
        assert_eq!(it.len(&store).unwrap(), len);
        assert_eq!(it.elems(&mut store).unwrap().len(), len as usize);
        assert!(it.elems(&mut store).unwrap().all(|elem| elem.unwrap_i64() == value), "{value}, {len}");
        assert_eq!(it.ty(&store).unwrap(), longs);
    }
    let values: Vec<Val> = (0..20_000).map(Val::I64).collect();
    let it = ArrayRef::new_fixed(&mut store, &pre, &values).unwrap();
    assert!((0_i64..).zip(it.elems(&mut store).unwrap()).all(|(n, elem)| elem.unwrap_i64() == n));
    let none = ArrayRef::new_fixed(&mut store, &pre, &[]).unwrap();
    assert_eq!((none.len(&store).unwrap(), none.elems(&mut store).unwrap().count()), (0, 0));

    let pre = ArrayRefPre::new(&mut store, array(StorageType::I8));
    let text: Vec<u8> = (0..200_003_u32).map(|n| n as u8).collect();
    let it = ArrayRef::new_from_i8_slice(&mut store, &pre, &text).unwrap();
    let mut back = vec![0; text.len()];
    it.copy_to_i8_slice(&mut store, &mut back).unwrap();
    assert!(back == text);
    assert_eq!(it.get(&store, 255).unwrap().unwrap_i32(), 255);
    assert!(
        message(it.copy_to_i8_slice(&mut store, &mut [0; 3]))
            .contains("3 bytes were asked for, but the array has 200003")
    );
    let other = ArrayRefPre::new(&mut store, longs);
    assert!(message(ArrayRef::new_from_i8_slice(&mut store, &other, &[1])).contains("bytes cannot be elements"));
    let longs = ArrayRef::new(&mut store, &other, &Val::I64(0), 1).unwrap();
    assert!(message(longs.copy_to_i8_slice(&mut store, &mut [0; 8])).contains("are not bytes"));
}

/// The bytes behind the last object may hold anything, so each new one is written as a whole.
#[test]
fn what_was_there_before_shows_in_no_new_object() {
    let mut store = store();
    let it = instance(
        &mut store,
        r#"(module (type $a (array (mut i64)))
            (func (export "dirty") (local $i i32)
                (loop (drop (array.new $a (i64.const -1) (i32.const 1000)))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))))"#,
    );
    let bytes = ArrayRefPre::new(&store, array(StorageType::I8));
    call(&mut store, it, "dirty", &[]).unwrap();
    it.reset(&mut store).unwrap();
    call(&mut store, it, "dirty", &[]).unwrap();
    let zeros = ArrayRef::new(&mut store, &bytes, &Val::I32(0), 300_001).unwrap();
    assert!(zeros.elems(&mut store).unwrap().all(|byte| byte.unwrap_i32() == 0));
}

#[test]
fn a_guest_and_its_host_make_and_change_the_same_objects() {
    let text = r#"(module (type $pair (struct (field (mut i8)) (field (mut anyref)))) (type $longs (array (mut i64)))
        (func (export "pair") (result (ref $pair)) (struct.new $pair (i32.const 200) (ref.i31 (i32.const 7))))
        (func (export "first") (param anyref) (result i32) (struct.get_s $pair 0 (ref.cast (ref $pair) (local.get 0))))
        (func (export "sum") (param (ref $longs)) (result i64) (local $i i32) (local $sum i64)
            (loop
                (local.set $sum (i64.add (local.get $sum) (array.get $longs (local.get 0) (local.get $i))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $i) (array.len (local.get 0)))))
            (local.get $sum)))"#;
    let mut store = store();
    // The host comes first: its heap is the store's.
    let pre = ArrayRefPre::new(&store, array(ValType::I64));
    let longs = ArrayRef::new(&mut store, &pre, &Val::I64(5), 1000).unwrap();
    let it = instance(&mut store, text);
    longs.set(&mut store, 999, Val::I64(-1)).unwrap();
    // The parameter is of a concrete type, so each call checks.
    let sum = it.get_typed_func::<Rooted<ArrayRef>, i64>(&store, "sum").unwrap();
    assert_eq!(sum.call(&mut store, longs).unwrap(), 5 * 999 - 1);
    let any = it.get_typed_func::<Option<Rooted<AnyRef>>, i64>(&store, "sum").unwrap();
    assert_eq!(any.call(&mut store, Some(longs.to_anyref())).unwrap(), 5 * 999 - 1);
    assert!(message(any.call(&mut store, None)).contains("argument 0 is not a reference of the type (ref $longs)"));
    let ints = ArrayRefPre::new(&store, array(ValType::I32));
    let ints = ArrayRef::new(&mut store, &ints, &Val::I32(5), 1).unwrap();
    assert!(message(sum.call(&mut store, ints)).contains("argument 0 is not a reference of the type"));
    assert!(it.get_typed_func::<Rooted<StructRef>, i64>(&store, "sum").is_err());

    let make = it.get_typed_func::<(), Rooted<StructRef>>(&store, "pair").unwrap();
    let pair = make.call(&mut store, ()).unwrap();
    assert_eq!(pair.field(&store, 0).unwrap().unwrap_i32(), 200, "a packed integer has no sign");
    let first = it.get_typed_func::<Rooted<AnyRef>, i32>(&store, "first").unwrap();
    assert_eq!(first.call(&mut store, pair.to_anyref()).unwrap(), -56);
    assert_eq!(trap(first.call(&mut store, longs.into())), Trap::CastFailure);
    let seven = pair.field(&store, 1).unwrap().unwrap_anyref().unwrap();
    assert_eq!(seven.unwrap_i31(&store).unwrap().get_u32(), 7);
    pair.set_field(&mut store, 1, longs.into()).unwrap();
    let back = pair.field(&store, 1).unwrap().unwrap_anyref().unwrap().unwrap_array(&store).unwrap();
    assert!(Rooted::ref_eq(&store, &back, &longs).unwrap() && !Rooted::rooted_eq(back, longs));
    // A cycle.
    pair.set_field(&mut store, 1, pair.into()).unwrap();
    let itself = pair.field(&store, 1).unwrap().unwrap_anyref().unwrap();
    assert!(Rooted::ref_eq(&store, &itself, &pair.to_anyref()).unwrap());
    assert!(message(it.reset(&mut store)).contains("something else in its store"), "the host brought the heap");
}

#[test]
fn references_are_what_they_are_asked_for_and_nothing_else() {
    let mut store = store();
    let structure = StructRefPre::new(&store, fields([]));
    let structure = StructRef::new(&mut store, &structure, &[]).unwrap();
    let bytes = ArrayRefPre::new(&store, array(StorageType::I8));
    let bytes = ArrayRef::new(&mut store, &bytes, &Val::I32(0), 1).unwrap();
    let small = AnyRef::from_i31(&mut store, I31::wrapping_i32(-5));
    let value = ExternRef::new(&mut store, "a value").unwrap();
    let value = AnyRef::convert_extern(&mut store, value).unwrap();
    for (any, is) in [
        (structure.to_anyref(), [true, true, false, false]),
        (bytes.to_anyref(), [true, false, true, false]),
        (small, [true, false, false, true]),
        (value, [false; 4]),
    ] {
        let found = [any.is_eqref(&store), any.is_struct(&store), any.is_array(&store), any.is_i31(&store)];
        assert_eq!(found.map(Result::unwrap), is);
        let [eq, structure, array, small] = is;
        assert_eq!(any.as_eqref(&mut store).unwrap().is_some(), eq);
        assert_eq!(any.as_struct(&store).unwrap().is_some(), structure);
        assert_eq!(any.as_array(&store).unwrap().is_some(), array);
        assert_eq!(any.as_i31(&store).unwrap().is_some(), small);
        let heaps = [HeapType::Eq, HeapType::Struct, HeapType::Array, HeapType::I31];
        assert_eq!(heaps.map(|heap| any.matches_ty(&store, &heap).unwrap()), is);
        assert!(any.matches_ty(&store, &HeapType::Any).unwrap() && !any.matches_ty(&store, &HeapType::None).unwrap());
        if let Some(eq) = any.as_eqref(&mut store).unwrap() {
            let found = [eq.is_struct(&store), eq.is_array(&store), eq.is_i31(&store)];
            assert_eq!(found.map(Result::unwrap), [structure, array, small]);
            assert_eq!(eq.ty(&store).unwrap(), any.ty(&store).unwrap());
            assert!(Rooted::ref_eq(&store, &eq.to_anyref(), &any).unwrap());
        }
    }
    assert_eq!(small.unwrap_i31(&store).unwrap().get_i32(), -5);
    assert_eq!(EqRef::from_i31(&mut store, I31::wrapping_i32(-5)).unwrap_i31(&store).unwrap().get_i32(), -5);
    let number = store.engine().type_number(&fields([]));
    assert_eq!(structure.to_eqref().ty(&store).unwrap(), HeapType::ConcreteStruct(number));
    assert!(bytes.to_eqref().unwrap_array(&store).unwrap().len(&store).unwrap() == 1);
    assert_eq!((small.ty(&store).unwrap(), value.ty(&store).unwrap()), (HeapType::I31, HeapType::Any));
}

#[test]
fn values_of_the_host_keep_their_identity_through_any_and_back() {
    let mut store = store();
    let value = ExternRef::new(&mut store, 7_u32).unwrap();
    let any = AnyRef::convert_extern(&mut store, value).unwrap();
    let back = ExternRef::convert_any(&mut store, any).unwrap();
    assert!(Rooted::ref_eq(&store, &back, &value).unwrap());
    *back.data_mut(&mut store).unwrap().unwrap().downcast_mut::<u32>().unwrap() += 1;
    assert_eq!(value.data(&store).unwrap().unwrap().downcast_ref::<u32>(), Some(&8));
    // What is the guest's own has no data.
    let small = AnyRef::from_i31(&mut store, I31::wrapping_u32(1));
    let pre = StructRefPre::new(&store, fields([]));
    let structure = StructRef::new(&mut store, &pre, &[]).unwrap();
    for any in [small, structure.to_anyref()] {
        let external = ExternRef::convert_any(&mut store, any).unwrap();
        assert!(external.data(&store).unwrap().is_none() && external.data_mut(&mut store).unwrap().is_none());
        let again = AnyRef::convert_extern(&mut store, external).unwrap();
        assert!(Rooted::ref_eq(&store, &again, &any).unwrap());
    }
}

#[test]
fn fields_hold_references_of_all_kinds() {
    let mut store = store();
    let kinds = [HeapType::Func, HeapType::Extern, HeapType::Any, HeapType::I31, HeapType::Exn];
    let pre = StructRefPre::new(&store, fields(kinds.map(|heap| (VAR, nullable(heap).into()))));
    let func = Func::wrap(&mut store, || 42_i32);
    let value = ExternRef::new(&mut store, "a value").unwrap();
    let external = AnyRef::convert_extern(&store, value).unwrap();
    let small = AnyRef::from_i31(&mut store, I31::wrapping_u32(3));
    let values = [func.into(), value.into(), external.into(), small.into(), Val::null_exn_ref()];
    let it = StructRef::new(&mut store, &pre, &values).unwrap();
    let mut results = [Val::I32(0)];
    it.field(&store, 0).unwrap().unwrap_funcref().unwrap().call(&mut store, &[], &mut results).unwrap();
    assert_eq!(results[0].unwrap_i32(), 42);
    let found = it.field(&store, 1).unwrap().unwrap_externref().unwrap();
    assert!(Rooted::ref_eq(&store, &found, &value).unwrap());
    assert!(it.field(&store, 4).unwrap().unwrap_exnref().is_none());
    assert!(message(it.set_field(&mut store, 3, external.into())).contains("field 3 of the structure"));
    it.set_field(&mut store, 2, it.into()).unwrap();
    it.set_field(&mut store, 0, Val::null_func_ref()).unwrap();
    assert!(it.field(&store, 0).unwrap().unwrap_funcref().is_none());
    assert!(it.field(&store, 2).unwrap().unwrap_anyref().unwrap().is_struct(&store).unwrap());
}

#[test]
fn globals_and_tables_hold_what_the_host_makes() {
    let mut store = store();
    let ty = fields([(VAR, ValType::I32.into())]);
    let number = store.engine().type_number(&ty);
    let pre = StructRefPre::new(&store, ty);
    let one = StructRef::new(&mut store, &pre, &[Val::I32(1)]).unwrap();
    let content = nullable(HeapType::ConcreteStruct(number));
    let global = Global::new(&mut store, GlobalType::new(content, VAR), one.into()).unwrap();
    let found = global.get(&mut store).unwrap_anyref().unwrap().unwrap_struct(&store).unwrap();
    assert_eq!(found.field(&store, 0).unwrap().unwrap_i32(), 1);
    let other = StructRefPre::new(&store, fields([(VAR, ValType::I64.into())]));
    let other = StructRef::new(&mut store, &other, &[Val::I64(1)]).unwrap();
    assert!(message(global.set(&mut store, other.into())).contains("cannot hold"));
    let table = Table::new(&mut store, TableType::new(RefType::EQREF, 2, None), Ref::from(one)).unwrap();
    table.set(&mut store, 1, other.into()).unwrap();
    let found = table.get(&store, 1).unwrap().unwrap_any().unwrap();
    assert!(Rooted::ref_eq(&store, &found, &other.to_anyref()).unwrap());
    assert!(Val::from(other).matches_ty(&store, &ValType::EQREF).unwrap());
    assert!(!Ref::from(other).matches_ty(&store, content.unwrap_ref()).unwrap());
}

#[test]
fn host_functions_take_and_return_all_kinds_of_references() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let bytes = std::sync::Arc::new(ArrayRefPre::new(&store, array(StorageType::I8)));
    linker.func_wrap("host", "struct", |it: Option<Rooted<StructRef>>| it).unwrap();
    linker.func_wrap("host", "eq", |it: Rooted<EqRef>| it).unwrap();
    linker.func_wrap("host", "i31", |it: I31| I31::wrapping_u32(it.get_u32() + 1)).unwrap();
    linker.func_wrap("host", "maybe", |it: Option<I31>| it.is_none() as i32).unwrap();
    let owned = |mut caller: Caller<'_, ()>, it: OwnedRooted<AnyRef>| -> Result<Option<OwnedRooted<AnyRef>>> {
        caller.get_export("nothing");
        Ok(Some(it))
    };
    linker.func_wrap("host", "owned", owned).unwrap();
    let make = move |mut caller: Caller<'_, ()>, len: u32| ArrayRef::new(&mut caller, &bytes, &Val::I32(7), len);
    linker.func_wrap("host", "make", make).unwrap();
    let text = r#"(module
        (import "host" "struct" (func $struct (param structref) (result structref)))
        (import "host" "eq" (func $eq (param (ref eq)) (result (ref eq))))
        (import "host" "i31" (func $i31 (param (ref i31)) (result (ref i31))))
        (import "host" "maybe" (func $maybe (param i31ref) (result i32)))
        (import "host" "owned" (func $owned (param (ref any)) (result anyref)))
        (import "host" "make" (func $make (param i32) (result (ref array))))
        (type $s (struct (field i32))) (type $bytes (array (mut i8)))
        (func (export "run") (result i32 i32 i32 i32 i32 i32) (local $s (ref $s))
            (local.set $s (struct.new $s (i32.const 41)))
            (ref.eq (local.get $s) (call $struct (local.get $s)))
            (ref.eq (local.get $s) (call $eq (local.get $s)))
            (i31.get_u (call $i31 (ref.i31 (i32.const 5))))
            (call $maybe (ref.null i31))
            (ref.eq (local.get $s) (ref.cast eqref (call $owned (local.get $s))))
            (array.get_u $bytes (ref.cast (ref $bytes) (call $make (i32.const 10))) (i32.const 9))))"#;
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let results = call(&mut store, it, "run", &[]).unwrap();
    assert_eq!(results.iter().map(Val::unwrap_i32).collect::<Vec<_>>(), [1, 1, 6, 1, 1, 7]);
}

/// Objects that only the guest's frames hold are there after the host has made many more.
#[test]
fn a_host_function_allocates_while_frames_of_the_guest_hold_references() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let pre = std::sync::Arc::new(StructRefPre::new(&store, fields([(VAR, ValType::I32.into())])));
    let make = move |mut caller: Caller<'_, ()>, n: i32| -> Result<Rooted<StructRef>> {
        let last = StructRef::new(&mut caller, &pre, &[Val::I32(n)])?;
        for n in 0..1000 {
            let mut scope = RootScope::new(&mut caller);
            StructRef::new(&mut scope, &pre, &[Val::I32(n)])?;
        }
        Ok(last)
    };
    linker.func_wrap("host", "make", make).unwrap();
    let text = r#"(module
        (type $s (struct (field (mut i32)))) (type $list (struct (field (ref $s)) (field (ref null $list))))
        (import "host" "make" (func $make (param i32) (result (ref struct))))
        (func $sum (export "sum") (param $n i32) (param $list (ref null $list)) (result i32) (local $mine (ref null $s))
            (if (i32.eqz (local.get $n)) (then (return (call $total (local.get $list)))))
            (local.set $mine (struct.new $s (local.get $n)))
            (drop (call $make (i32.const 0)))
            (call $sum (i32.sub (local.get $n) (i32.const 1))
                (struct.new $list (ref.cast (ref $s) (call $make (struct.get $s 0 (local.get $mine)))) (local.get $list)))
            (i32.add (struct.get $s 0 (local.get $mine))))
        (func $total (param $list (ref null $list)) (result i32) (local $sum i32)
            (loop $next
                (if (ref.is_null (local.get $list)) (then (return (local.get $sum))))
                (local.set $sum (i32.add (local.get $sum) (struct.get $s 0 (struct.get $list 0 (local.get $list)))))
                (local.set $list (struct.get $list 1 (local.get $list)))
                (br $next))
            (unreachable)))"#;
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let sum = it.get_typed_func::<(i32, Option<Rooted<StructRef>>), i32>(&store, "sum").unwrap();
    assert_eq!(sum.call(&mut store, (30, None)).unwrap(), 2 * 30 * 31 / 2);
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what_and_where() {
    let engine = engine();
    let (mut store, mut other) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let constant = fields([(CONST, StorageType::I16), (CONST, nullable(HeapType::Eq).into())]);
    let ty = engine.sub_type(Finality::NonFinal, None, &constant).unwrap();
    let pre = StructRefPre::new(&store, ty.clone());
    let null = Val::null_any_ref();
    assert!(message(StructRef::new(&mut store, &pre, &[])).contains("2 fields cannot be made of 0 values"));
    let error = message(StructRef::new(&mut store, &pre, &[Val::I64(1), null]));
    assert!(error.contains("field 0 of the structure: expected i32, found i64"), "{error}");
    let error = message(StructRef::new(&mut store, &pre, &[Val::I32(1), Val::null_extern_ref()]));
    assert!(error.contains("field 1 of the structure: expected eqref, found externref"), "{error}");
    let it = StructRef::new(&mut store, &pre, &[Val::I32(-1), null]).unwrap();
    assert_eq!((it.field(&store, 0).unwrap().unwrap_i32(), it.ty(&store).unwrap()), (0xffff, ty));
    assert!(!it.matches_ty(&store, &constant).unwrap(), "a type that is open to subtypes is another");
    assert!(message(it.field(&store, 2)).contains("there is no field 2: the structure has 2"));
    assert!(message(it.set_field(&mut store, 2, null)).contains("there is no field 2"));
    assert!(message(it.set_field(&mut store, 0, Val::I32(0))).contains("field 0 of the structure is immutable"));
    assert!(StructRef::new(&mut other, &pre, &[Val::I32(0), null]).is_ok(), "another store of the same engine");
    assert!(message(StructRef::new(&mut other, &pre, &[Val::I32(0), it.into()])).contains("belongs to another store"));

    let pre = ArrayRefPre::new(&store, ArrayType::new(FieldType::new(CONST, ValType::I32)));
    let it = ArrayRef::new(&mut store, &pre, &Val::I32(4), 2).unwrap();
    assert!(message(it.get(&store, 2)).contains("there is no element 2: the array has 2"));
    assert!(message(it.get(&store, u32::MAX)).contains("there is no element 4294967295"));
    assert!(message(it.set(&mut store, 2, Val::I32(0))).contains("there is no element 2"));
    assert!(message(it.set(&mut store, 0, Val::I32(0))).contains("the elements of the array are immutable"));
    assert!(message(ArrayRef::new(&mut store, &pre, &Val::F32(0), 1)).contains("expected i32, found f32"));
    let error = message(ArrayRef::new_fixed(&mut store, &pre, &[Val::I32(0), null]));
    assert!(error.contains("element 1 of the array: expected i32, found anyref"), "{error}");
    let pre = ArrayRefPre::new(&store, array(ValType::I32));
    let it = ArrayRef::new(&mut store, &pre, &Val::I32(4), 2).unwrap();
    assert!(message(it.set(&mut store, 1, Val::I64(0))).contains("element 1 of the array: expected i32, found i64"));

    let mut elsewhere = Store::new(&self::engine(), ());
    assert!(message(ArrayRef::new(&mut elsewhere, &pre, &Val::I32(0), 1)).contains("another engine"));
    let mut off = Store::new(&Engine::new(Config::new().wasm_gc(false)).unwrap(), ());
    let pre = StructRefPre::new(&off, StructType::new([]));
    assert!(message(StructRef::new(&mut off, &pre, &[])).contains("switched off"));
}

#[test]
fn a_field_that_is_never_null_takes_no_null() {
    let mut store = store();
    let never = ValType::Ref(RefType::new(false, HeapType::Any));
    let pre = StructRefPre::new(&store, fields([(VAR, never.into())]));
    assert!(message(StructRef::new(&mut store, &pre, &[Val::null_any_ref()])).contains("expected (ref any)"));
    let small = AnyRef::from_i31(&mut store, I31::wrapping_u32(1));
    let it = StructRef::new(&mut store, &pre, &[small.into()]).unwrap();
    assert!(it.set_field(&mut store, 0, Val::null_any_ref()).is_err());
    assert!(it.field(&store, 0).unwrap().unwrap_anyref().unwrap().is_i31(&store).unwrap());
}

#[test]
fn a_heap_that_may_not_grow_is_full_at_some_time_and_the_store_goes_on() {
    let engine = engine();
    let limits = StoreLimitsBuilder::new().memory_size(1 << 20).build();
    let mut store: Store<StoreLimits> = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let pre = ArrayRefPre::new(&store, array(StorageType::I8));
    let small = ArrayRef::new(&mut store, &pre, &Val::I32(1), 1000).unwrap();
    for len in [1 << 20, 1 << 30, u32::MAX] {
        let error = ArrayRef::new(&mut store, &pre, &Val::I32(1), len).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::GcHeapOutOfMemory), "{error:#}");
    }
    assert!(small.elems(&mut store).unwrap().all(|byte| byte.unwrap_i32() == 1));
    let wide = ArrayRefPre::new(&store, array(ValType::V128));
    assert_eq!(trap(ArrayRef::new(&mut store, &wide, &Val::V128(0), u32::MAX)), Trap::GcHeapOutOfMemory);
    assert!(ArrayRef::new(&mut store, &pre, &Val::I32(1), 1000).is_ok());
}

/// The type of an object keeps its number, although nobody else has the type any more.
#[test]
fn an_object_keeps_its_type() {
    let mut store = store();
    let ty = |n: usize| fields(vec![(VAR, ValType::F64.into()); n]);
    let pre = StructRefPre::new(&store, ty(3));
    let it = StructRef::new(&mut store, &pre, &[Val::F64(0), Val::F64(1), Val::F64(2)]).unwrap();
    drop(pre);
    (4..2000).for_each(|n| drop(StructRefPre::new(&store, ty(n))));
    assert_eq!(it.ty(&store).unwrap(), ty(3));
    let text = r#"(module (type $s (struct (field (mut f64) (mut f64) (mut f64))))
        (func (export "second") (param (ref $s)) (result f64) (struct.get $s 1 (local.get 0))))"#;
    let module = instance(&mut store, text);
    let second = module.get_typed_func::<Rooted<StructRef>, f64>(&store, "second").unwrap();
    assert_eq!(second.call(&mut store, it).unwrap().to_bits(), 1);
}
