//! The types of structures, arrays and small integers, as the embedder sees them. Objects are in
//! `gc_host` and `collector`.

use minirt::{
    AnyRef, ArrayType, Config, Engine, ExternType, FieldType, Finality, FuncType, Global, GlobalType, HeapType, I31,
    Instance, Module, Mutability, Ref, RefKind, RefType, StorageType, Store, StructType, Table, TableType, Val,
    ValType,
};

fn engine() -> Engine {
    Engine::new(Config::new().wasm_gc(true)).unwrap()
}

const VAR: Mutability = Mutability::Var;
const CONST: Mutability = Mutability::Const;

#[test]
fn the_hierarchy_of_any_is_the_specifications() {
    let engine = engine();
    let field = FieldType::new(CONST, ValType::I32);
    let small = engine.sub_type(Finality::NonFinal, None, &StructType::new([field])).unwrap();
    let large = engine.sub_type(Finality::Final, Some(&small), &StructType::new([field; 2])).unwrap();
    let [small, large] = [small, large].map(|ty| HeapType::ConcreteStruct(engine.type_number(&ty)));
    let bytes = HeapType::ConcreteArray(engine.type_number(&ArrayType::new(FieldType::new(VAR, StorageType::I8))));
    use HeapType::{Any, Array, Eq, I31, None as Nothing, Struct};
    // Each with what is directly above it.
    let above = [(Eq, Any), (I31, Eq), (Struct, Eq), (Array, Eq), (small, Struct), (large, small), (bytes, Array)];
    let all = [Any, Eq, I31, Struct, Array, small, large, bytes, Nothing];
    let fits = |heap: HeapType, of: HeapType| {
        let steps = std::iter::successors(Some(heap), |heap| above.iter().find(|it| it.0 == *heap).map(|it| it.1));
        heap == Nothing || steps.into_iter().any(|heap| heap == of)
    };
    for heap in all {
        assert_eq!((heap.kind(), heap.top(), heap.bottom()), (RefKind::Any, Any, Nothing), "{heap}");
        for of in all {
            let reference = |heap| ValType::Ref(RefType::new(true, heap));
            assert_eq!(engine.matches(&reference(heap), &reference(of)), fits(heap, of), "{heap} for {of}");
            assert_eq!(heap.matches(&of), fits(heap, of) && (heap, of) != (large, small), "{heap} for {of} by itself");
        }
        for of in [HeapType::Func, HeapType::NoFunc, HeapType::Extern, HeapType::NoExtern] {
            assert!(!heap.matches(&of) && !of.matches(&heap), "{heap} and {of}");
        }
    }
}

#[test]
fn a_type_extends_another_if_its_fields_do() {
    let engine = engine();
    let int = |mutability| FieldType::new(mutability, ValType::I32);
    let [any, eq] = [ValType::ANYREF, ValType::EQREF].map(|ty| move |mutability| FieldType::new(mutability, ty));
    let packed = FieldType::new(CONST, StorageType::I8);
    let open = |fields: &[FieldType]| {
        engine.sub_type(Finality::NonFinal, None, &StructType::new(fields.iter().copied())).unwrap()
    };
    for (of, fields, fits) in [
        (vec![], vec![int(VAR)], true),
        (vec![int(VAR)], vec![], false),
        (vec![int(VAR)], vec![int(VAR), packed], true),
        (vec![int(VAR)], vec![int(CONST)], false),
        (vec![int(CONST)], vec![packed], false),
        (vec![any(CONST)], vec![eq(CONST)], true),
        (vec![eq(CONST)], vec![any(CONST)], false),
        (vec![any(VAR)], vec![eq(VAR)], false),
        (vec![eq(VAR)], vec![eq(VAR)], true),
    ] {
        let of = open(&of);
        let found = engine.sub_type(Finality::Final, Some(&of), &StructType::new(fields.clone()));
        assert_eq!(found.is_ok(), fits, "{fields:?} for {of}: {found:?}");
    }
    let arrays = engine.sub_type(Finality::NonFinal, None, &ArrayType::new(any(CONST))).unwrap();
    assert!(engine.sub_type(Finality::Final, Some(&arrays), &ArrayType::new(eq(CONST))).is_ok());
    let error = engine.sub_type(Finality::Final, Some(&arrays), &ArrayType::new(packed)).unwrap_err();
    assert!(error.to_string().starts_with("`(array i8)` cannot extend `(array (type "), "{error}");
}

#[test]
fn types_of_a_module_are_those_of_the_embedder() {
    let engine = engine();
    let module = r#"(module (type $bytes (array (mut i8)))
        (rec (type $list (struct (field (ref null $list)) (field $value (mut i16)))))
        (import "a" "bytes" (global (ref null $bytes))) (table (export "lists") 2 (ref null $list)))"#;
    let module = Module::new(&engine, module).unwrap();
    let ExternType::Global(bytes) = module.imports().next().unwrap().ty() else { panic!("it is a global") };
    let ty = ArrayType::new(FieldType::new(VAR, StorageType::I8));
    assert_eq!(bytes.content.unwrap_ref().heap, HeapType::ConcreteArray(engine.type_number(&ty)));
    let ExternType::Table(lists) = module.exports().next().unwrap().ty() else { panic!("it is a table") };
    let number = lists.element.heap.as_concrete_struct().expect("elements are structures");
    let list = engine.struct_type(number);
    let [next, value] = list.fields() else { panic!("two fields: {list}") };
    assert_eq!(next.element_type().unwrap_val_type().unwrap_ref().heap, lists.element.heap);
    assert_eq!((value.element_type(), value.mutability()), (StorageType::I16, VAR));
    assert_eq!(list.to_string(), format!("(struct (type {number}) (field (ref null {number})) (field (mut i16)))"));

    // Instances have them, too, with null in all places.
    let mut store = Store::new(&engine, ());
    let null = Global::new(&mut store, bytes, Val::null_any_ref()).unwrap();
    let instance = Instance::new(&mut store, &module, &[null.into()]).unwrap();
    let table = instance.get_table(&store, "lists").unwrap();
    assert!(matches!(table.get(&store, 1), Some(Ref::Any(None))));
    let five = AnyRef::from_i31(&mut store, I31::wrapping_u32(5));
    assert!(table.set(&mut store, 0, five.into()).is_err(), "a small integer is no list");
    let other = GlobalType::new(ValType::Ref(RefType::new(true, HeapType::ConcreteStruct(number))), CONST);
    let other = Global::new(&mut store, other, Val::null_any_ref()).unwrap();
    let error = Instance::new(&mut store, &module, &[other.into()]).unwrap_err().to_string();
    assert!(error.contains("(global (ref null $bytes))") && error.contains("(global (ref null $list))"), "{error}");
}

#[test]
fn artifacts_keep_types() {
    let engine = engine();
    let text = r#"(module (rec (type $a (sub (struct (field (mut i8) i16 (ref $b))))) (type $b (array (ref null $a))))
        (global (export "g") (ref null $b) (ref.null $b)))"#;
    let artifact = engine.precompile_module(text.as_bytes()).unwrap();
    // SAFETY: the artifact was made a line above.
    let [loaded, module] = [unsafe { Module::deserialize(&engine, artifact) }, Module::new(&engine, text)];
    let (loaded, module) = (loaded.unwrap(), module.unwrap());
    let ty = |module: &Module| module.exports().next().unwrap().ty();
    assert_eq!(ty(&loaded), ty(&module));
    // Names, too.
    let ExternType::Global(global) = ty(&loaded) else { panic!("it is a global") };
    let HeapType::ConcreteArray(number) = global.content.unwrap_ref().heap else { panic!("it is an array") };
    assert_eq!((loaded.type_name(number), module.type_name(number)), (Some("b"), Some("b")));
    assert_eq!(loaded.type_name(number + 1_000_000), None);
}

#[test]
fn small_integers_need_no_heap() {
    let mut store = Store::new(&Engine::default(), ());
    for (bits, signed) in [(0, 0), (1, 1), (0x3fff_ffff, 0x3fff_ffff), (0x4000_0000, -0x4000_0000), (0x7fff_ffff, -1)] {
        let value = I31::new_u32(bits).unwrap();
        assert_eq!((value.get_u32(), value.get_i32(), I31::new_i32(signed)), (bits, signed, Some(value)));
        assert_eq!((I31::wrapping_u32(bits | 1 << 31), I31::wrapping_i32(signed)), (value, value));
        let any = AnyRef::from_i31(&mut store, value);
        let ty = TableType::new(RefType::new(false, HeapType::Eq), 2, None);
        let table = Table::new(&mut store, ty, any.into()).unwrap();
        let found = table.get(&store, 1).and_then(|found| found.unwrap_any()).expect("it is not null");
        assert_eq!(found.unwrap_i31(&store).unwrap(), value);
    }
    assert_eq!((I31::new_u32(1 << 31), I31::new_i32(1 << 30), I31::new_i32(-(1 << 30) - 1)), (None, None, None));
    let any = AnyRef::from_i31(&mut store, I31::default());
    for (heap, fits) in
        [(HeapType::Any, true), (HeapType::I31, true), (HeapType::Struct, false), (HeapType::None, false)]
    {
        let ty = GlobalType::new(ValType::Ref(RefType::new(true, heap)), VAR);
        assert_eq!(Global::new(&mut store, ty, any.into()).is_ok(), fits, "{heap}");
    }
    let other = Store::new(&Engine::default(), ());
    assert!(any.is_i31(&store).unwrap() && any.is_i31(&other).is_err(), "a reference of another store");
}

#[test]
fn functions_take_and_return_small_integers() {
    let engine = engine();
    let text = r#"(module (func (export "f") (param anyref i31ref) (result anyref i31ref i32)
        (local.get 0) (local.get 1) (ref.is_null (local.get 1))))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let f = instance.get_func(&mut store, "f").unwrap();
    let seven = AnyRef::from_i31(&mut store, I31::wrapping_i32(-7));
    let mut results = [Val::I32(0); 3];
    f.call(&mut store, &[seven.into(), Val::null_any_ref()], &mut results).unwrap();
    let [Val::AnyRef(Some(any)), Val::AnyRef(None), Val::I32(1)] = results else { panic!("{results:?}") };
    assert_eq!(any.unwrap_i31(&store).unwrap().get_i32(), -7);
    assert!(f.call(&mut store, &[Val::null_func_ref(), Val::null_any_ref()], &mut results).is_err());
    assert!(FuncType::new([ValType::I31REF], []).param(0).is_some_and(|ty| ty.is_i31ref()));
}
