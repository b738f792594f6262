//! Handles and values: what they are asked for, what can be done with them, and in which store.

use crate::common;
use minirt::{
    Engine, Export, Extern, ExternRef, ExternType, Finality, Func, FuncType, Global, GlobalType, HeapType, Instance,
    Memory, MemoryType, Module, Ref, RefType, Store, Table, TableType, Val, ValType,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_range_of_a_table_is_filled_or_nothing_is() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let ty = TableType { element: RefType::FUNCREF, minimum: 4, maximum: None, table64: false };
    let table = Table::new(&mut store, ty, Ref::null(HeapType::Func)).unwrap();
    let func = Func::wrap(&mut store, || ());
    assert!(table.fill(&mut store, 2, func.into(), 3).unwrap_err().to_string().contains("3 elements from index 2"));
    let there = |store: &Store<()>| [0, 1, 2, 3].map(|i| !table.get(store, i).unwrap().is_null());
    assert_eq!(there(&store), [false; 4]);
    table.fill(&mut store, 1, func.into(), 2).unwrap();
    assert_eq!(there(&store), [false, true, true, false]);
}

#[test]
fn elements_are_copied_between_tables_and_within_one() {
    let engine = Engine::default();
    let text = r#"(module (table (export "t") 4 funcref) (elem (i32.const 0) $one $two)
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2)))"#;
    let (mut store, instance) = common::instance(&engine, text);
    let own = instance.get_table(&store, "t").unwrap();
    let ty = TableType::new(RefType::FUNCREF, 3, None);
    let other = Table::new(&mut store, ty, Ref::null(HeapType::Func)).unwrap();
    let called = |store: &mut Store<()>, table: &Table| {
        let numbers = (0..table.size(&*store)).map(|at| {
            let func = table.get(&*store, at).unwrap().unwrap_func();
            func.map_or(0, |func| func.typed::<(), i32>(&*store).unwrap().call(&mut *store, ()).unwrap())
        });
        numbers.collect::<Vec<_>>()
    };
    Table::copy(&mut store, &other, 1, &own, 0, 2).unwrap();
    assert_eq!(called(&mut store, &other), [0, 1, 2]);
    Table::copy(&mut store, &own, 1, &own, 0, 3).unwrap();
    assert_eq!(called(&mut store, &own), [1, 1, 2, 0], "the ranges overlap");
    for (to, from, len) in [(2, 0, 2), (0, 3, 2), (0, 0, u64::MAX)] {
        let error = Table::copy(&mut store, &other, to, &own, from, len).unwrap_err().to_string();
        assert!(error.contains(&format!("{len} elements from index {from} of 4 to index {to} of 3")), "{error}");
    }
    assert_eq!(called(&mut store, &other), [0, 1, 2]);
    let of_values = TableType::new(RefType::EXTERNREF, 3, None);
    let of_values = Table::new(&mut store, of_values, Ref::null(HeapType::Extern)).unwrap();
    assert!(Table::copy(&mut store, &of_values, 0, &own, 0, 1).is_err());
    let strict = TableType::new(RefType::new(false, HeapType::Func), 1, None);
    let func = other.get(&store, 1).unwrap();
    let strict = Table::new(&mut store, strict, func).unwrap();
    assert!(Table::copy(&mut store, &strict, 0, &own, 0, 1).is_err(), "null would come in");
    Table::copy(&mut store, &own, 3, &strict, 0, 1).unwrap();
    assert_eq!(called(&mut store, &own), [1, 1, 2, 1]);
}

#[test]
fn an_export_is_found_by_its_name_among_many_in_any_order() {
    let engine = Engine::default();
    let names: Vec<String> = (0..300).map(|n| format!("f{}", n * 7919 % 300)).collect();
    let exports: String = names.iter().map(|name| format!(r#"(export "{name}" (global ${name}))"#)).collect();
    let globals: String = names.iter().map(|name| format!("(global ${name} i32 (i32.const {}))", &name[1..])).collect();
    let text = format!("(module {globals} {exports})");
    let compiled = Module::new(&engine, text).unwrap();
    // SAFETY: these are the bytes of an artifact that was just made.
    let loaded = unsafe { Module::deserialize(&engine, compiled.serialize().unwrap()) }.unwrap();
    for module in [compiled, loaded] {
        assert!(module.exports().map(|export| export.name().to_owned()).eq(names.iter().cloned()), "the order stays");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for number in 0..300 {
            let global = instance.get_global(&store, &format!("f{number}")).unwrap();
            assert_eq!(global.get(&mut store).i32(), Some(number));
        }
        assert!(instance.get_export(&store, "f").is_none() && module.get_export("f300").is_none());
    }
}

#[test]
fn exports_and_types_are_asked_for_what_they_are() {
    let (store, instance) = common::instance(
        &Engine::default(),
        r#"(module (memory (export "m") 1) (func (export "f") (param i32)) (global (export "g") i32 (i32.const 1))
          (table (export "t") 2 funcref))"#,
    );
    let types: Vec<ExternType> = instance.exports(&store).map(|export| export.ty(&store)).collect();
    assert_eq!(types[0].unwrap_memory().minimum(), 1);
    assert_eq!(types[1].func(), Some(&FuncType::new([ValType::I32], [])));
    assert!(types[2].unwrap_global().mutability().is_const());
    assert_eq!((types[3].table().map(TableType::minimum), types[3].memory()), (Some(2), None));
    let wrong = catch_unwind(|| types[0].unwrap_func().clone()).unwrap_err();
    assert_eq!(wrong.downcast_ref::<String>().unwrap(), "expected a func, found `(memory 1)`");
    assert_eq!(instance.exports(&store).filter_map(Export::into_func).count(), 1);
    assert_eq!(instance.exports(&store).filter_map(Export::into_table).count(), 1);
}

#[test]
fn a_function_says_what_it_can_stand_in_for() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let ty = FuncType::new([], [ValType::I32]);
    let open = engine.sub_type(Finality::NonFinal, None, &ty).unwrap();
    let extended = engine.sub_type(Finality::Final, Some(&open), &ty).unwrap();
    let func = Func::new(&mut store, extended.clone(), |_, _, _| Ok(()));
    let fits = [&open, &extended, &ty].map(|ty| func.matches_ty(&store, ty));
    assert_eq!(fits, [true, true, false]);
}

#[test]
fn values_are_asked_for_their_number_by_type() {
    assert_eq!((Val::I32(-1).i32(), Val::I32(-1).i64(), Val::from(1.5f64).f64()), (Some(-1), None, Some(1.5)));
    assert!(catch_unwind(|| Val::I32(1).unwrap_f32()).is_err());
}

#[test]
fn references_are_asked_for_their_kind_and_null_is_of_one() {
    let null = Ref::null(HeapType::NoExtern);
    assert!(null.is_null() && !null.is_non_null() && null.is_extern() && !null.is_func());
    assert!(matches!((null.as_extern(), null.as_func()), (Some(None), None)));
    assert!(catch_unwind(|| null.unwrap_func()).is_err());
    assert!(matches!(Val::from(null).ref_(), Some(Ref::Extern(None))));
    assert!(matches!(Val::null_ref(HeapType::Func).funcref(), Some(None)));
    assert!(Val::null_extern_ref().unwrap_externref().is_none() && Val::I32(0).ref_().is_none());
    assert!(catch_unwind(|| Val::null_extern_ref().unwrap_funcref()).is_err());
    assert!(Val::null_func_ref().unwrap_func_ref().is_none() && Val::null_func_ref().extern_ref().is_none());
}

#[test]
fn every_type_has_a_default_but_references_that_are_never_null() {
    assert_eq!(Val::default_for_ty(ValType::I64).unwrap().i64(), Some(0));
    assert!(Val::default_for_ty(ValType::EXTERNREF).unwrap().unwrap_externref().is_none());
    assert!(Val::default_for_ty(ValType::Ref(RefType::new(false, HeapType::Func))).is_none());
}

#[test]
fn each_kind_of_handle_knows_its_store() {
    let engine = Engine::default();
    let mut one = Store::new(&engine, ());
    let (mut other, instance) = common::instance(&engine, r#"(module (func (export "f")))"#);
    let ty = MemoryType { minimum: 1, ..MemoryType::default() };
    let memory = Memory::new(&mut other, ty).unwrap();
    let ty = TableType { element: RefType::FUNCREF, minimum: 1, maximum: None, table64: false };
    let table = Table::new(&mut other, ty, Ref::null(HeapType::Func)).unwrap();
    let global = Global::new(&mut other, GlobalType { content: ValType::I32, mutable: true }, Val::I32(1)).unwrap();
    let func = instance.get_func(&other, "f").unwrap();
    let typed = func.typed::<(), ()>(&other).unwrap();
    let value = ExternRef::new(&mut other, 1).unwrap();
    let snapshot_of = |store: &mut Store<()>| instance.snapshot(store).map(drop);
    let import = Module::new(&engine, r#"(module (import "" "" (func)))"#).unwrap();

    type Use<'a> = (&'a str, &'a mut dyn FnMut(&mut Store<()>));
    let uses: [Use<'_>; 16] = [
        ("instance", &mut |store| drop(instance.exports(&*store))),
        ("reset", &mut |store| instance.reset(store).unwrap()),
        ("snapshot", &mut |store| snapshot_of(store).unwrap()),
        ("memory", &mut |store| _ = memory.data_mut(store)),
        ("write", &mut |store| memory.write(store, 0, b"x").unwrap()),
        ("grow", &mut |store| _ = memory.grow(store, 1).unwrap()),
        ("table", &mut |store| _ = table.get(&*store, 0)),
        ("fill", &mut |store| table.fill(store, 0, Ref::null(HeapType::Func), 1).unwrap()),
        ("copy", &mut |store| Table::copy(store, &table, 0, &table, 0, 1).unwrap()),
        ("matches", &mut |store| _ = func.matches_ty(&*store, &FuncType::new([], []))),
        ("global", &mut |store| global.set(store, Val::I32(2)).unwrap()),
        ("func", &mut |store| func.call(store, &[], &mut []).unwrap()),
        ("typed", &mut |store| typed.call(store, ()).unwrap()),
        ("extern", &mut |store| _ = value.data(&*store).unwrap()),
        ("type", &mut |store| _ = Extern::Table(table).ty(&*store)),
        ("import", &mut |store| _ = Instance::new(store, &import, &[func.into()]).unwrap()),
    ];
    for (name, used) in uses {
        let refused = catch_unwind(AssertUnwindSafe(|| used(&mut one))).is_err();
        assert!(refused, "{name} of one store was used with another");
        catch_unwind(AssertUnwindSafe(|| used(&mut other))).unwrap_or_else(|_| panic!("{name} works in its own store"));
    }
}

#[test]
fn an_invalid_type_makes_no_memory_and_no_table() {
    let mut store = Store::new(&Engine::default(), ());
    let ty = |memory64, minimum, maximum, page_size_log2| MemoryType { memory64, minimum, maximum, page_size_log2 };
    for (ty, expected) in [
        (ty(false, 2, Some(1), 16), "a minimum of 2 pages with a maximum of 1"),
        (ty(true, 2, Some(1), 16), "a minimum of 2 pages with a maximum of 1"),
        (ty(false, 65_537, None, 16), "65537 pages, where at most 65536 are possible"),
        (ty(false, 0, Some(65_537), 16), "65537 pages, where at most 65536 are possible"),
        (ty(true, 0, Some((1 << 48) + 1), 16), "281474976710657 pages, where at most 281474976710656 are possible"),
        (ty(false, 0, Some(1 << 32), 0), "4294967296 pages, where at most 4294967295 are possible"),
        (ty(false, 3, None, 12), "pages of 2^12 bytes, where 65,536 bytes or one are possible"),
    ] {
        let error = Memory::new(&mut store, ty).unwrap_err().to_string();
        assert_eq!(error, format!("invalid memory type: {expected}"));
    }
    let ty = |table64, minimum, maximum| TableType { element: RefType::FUNCREF, minimum, maximum, table64 };
    for (ty, expected) in [
        (ty(false, 2, Some(1)), "a minimum of 2 elements with a maximum of 1"),
        (ty(true, 1 << 40, Some(1)), "a minimum of 1099511627776 elements with a maximum of 1"),
        (ty(false, 0, Some(1 << 32)), "4294967296 elements, where at most 4294967295 are possible"),
    ] {
        let error = Table::new(&mut store, ty, Ref::Func(None)).unwrap_err().to_string();
        assert_eq!(error, format!("invalid table type: {expected}"));
    }
    Memory::new(&mut store, MemoryType::new(0, Some(65_536))).unwrap();
    Memory::new(&mut store, MemoryType::new64(0, Some(1 << 48))).unwrap();
    for make in [|| MemoryType::new(2, Some(1)), || MemoryType::new64(2, Some(1))] {
        assert!(std::panic::catch_unwind(make).is_err(), "such a type cannot be made either");
    }
}

#[test]
fn types_are_asked_for_what_they_are() {
    let all = [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128, ValType::FUNCREF];
    let asked = [ValType::is_i32, ValType::is_i64, ValType::is_f32, ValType::is_f64, ValType::is_v128, ValType::is_ref];
    for (i, ty) in all.iter().enumerate() {
        for (j, is) in asked.iter().enumerate() {
            assert_eq!(is(ty), i == j, "{ty}");
        }
        assert_eq!((ty.is_num(), ty.as_ref().is_some()), (i < 4, i == 5), "{ty}");
    }
    assert!(ValType::FUNCREF.is_funcref() && !ValType::NULLFUNCREF.is_funcref() && !ValType::EXTERNREF.is_funcref());
    assert!(ValType::EXTERNREF.is_externref() && !ValType::NULLEXTERNREF.is_externref());
    assert_eq!(ValType::from(RefType::FUNCREF).unwrap_ref().heap_type(), HeapType::Func);
    assert!(catch_unwind(|| *ValType::I32.unwrap_ref()).is_err());
    let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::V128]);
    assert_eq!((ty.param(1), ty.param(2), ty.result(0)), (Some(ValType::F64), None, Some(ValType::V128)));
    let heaps = [HeapType::Func, HeapType::NoFunc, HeapType::Extern, HeapType::NoExtern, HeapType::ConcreteFunc(7)];
    let asked =
        [HeapType::is_func, HeapType::is_no_func, HeapType::is_extern, HeapType::is_no_extern, HeapType::is_concrete];
    for (i, heap) in heaps.iter().enumerate() {
        for (j, is) in asked.iter().enumerate() {
            assert_eq!(is(heap), i == j, "{heap}");
        }
        let ends = if heap.kind() == minirt::RefKind::Func { [heaps[0], heaps[1]] } else { [heaps[2], heaps[3]] };
        assert_eq!([heap.top(), heap.bottom()], ends, "{heap}");
        assert_eq!((heap.as_concrete_func(), heap.is_abstract()), (if i == 4 { Some(7) } else { None }, i < 4));
    }
}

#[test]
fn a_type_matches_what_its_values_fit_and_an_engine_knows_what_extends_what() {
    let engine = Engine::default();
    let signature = FuncType::new([], []);
    let animal = engine.sub_type(Finality::NonFinal, None, &signature).unwrap();
    let dog = engine.sub_type(Finality::Final, Some(&animal), &signature).unwrap();
    let [animal, dog] = [animal, dog].map(|ty| HeapType::ConcreteFunc(engine.type_number(&ty)));
    let heaps = [HeapType::Func, HeapType::NoFunc, HeapType::Extern, HeapType::NoExtern, animal, dog];
    let references = heaps.map(|heap| [false, true].map(|nullable| ValType::Ref(RefType::new(nullable, heap))));
    let mut types = vec![ValType::I32, ValType::I64, ValType::V128];
    types.extend(references.into_iter().flatten());
    let heap = |ty: &ValType| ty.as_ref().map(RefType::heap_type);
    for ty in &types {
        for other in &types {
            // All but this follows from the two types alone.
            let extends = (heap(ty), heap(other)) == (Some(dog), Some(animal));
            let known = ty.matches(other);
            let nullable = |ty: &ValType| ty.as_ref().is_some_and(RefType::is_nullable);
            let fits = known || extends && (nullable(other) || !nullable(ty));
            assert_eq!(engine.matches(ty, other), fits, "{ty} for {other}");
            assert!(!(known && extends), "{ty} for {other}");
        }
    }
    assert!(HeapType::NoFunc.matches(&animal) && !animal.matches(&HeapType::NoFunc) && !dog.matches(&animal));
}

#[test]
fn a_memory_says_where_it_is_and_how_large_its_pages_are() {
    let (store, instance) = common::instance(&Engine::default(), r#"(module (memory (export "m") 1 (pagesize 1)))"#);
    let memory = instance.get_memory(&store, "m").unwrap();
    assert_eq!((memory.page_size(&store), memory.page_size_log2(&store)), (1, 0));
    assert_eq!(memory.data_ptr(&store).cast_const(), memory.data(&store).as_ptr());
    assert_eq!(MemoryType::new(1, None).page_size_log2(), 16);
}
