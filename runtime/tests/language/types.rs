//! Function types that are open, extend others or name each other: the same in all modules and for
//! the embedder.

use crate::common::{call, call_i32, engines, linked, links, trap};
use minirt::{
    Caller, Engine, ExternType, Finality, Func, FuncType, Global, GlobalType, HeapType, Instance, Linker, Module,
    Mutability, Ref, RefType, Store, Table, TableType, Trap, Val, ValType,
};

#[test]
fn recursive_types_are_the_same_in_all_modules_of_an_engine() {
    let pair = "(rec (type $a (func (param (ref null $b)))) (type $b (func (param (ref null $a)))))";
    let exporter = format!(r#"(module (type (func)) {pair} (func (export "f") (type $a)))"#);
    let importer = |ty| format!(r#"(module {pair} (type $alone (func)) (import "a" "f" (func (type {ty}))))"#);
    assert!(links(&exporter, &importer("$a")));
    assert!(!links(&exporter, &importer("$b")), "the place in the group counts");
    assert!(!links(&exporter, &importer("$alone")));
}

const ANIMALS: &str = "(type $animal (sub (func (result i32)))) (type $dog (sub $animal (func (result i32))))
    (type $stone (func (result i32)))";

#[test]
fn a_function_may_be_imported_as_what_its_type_extends() {
    let exporter = |ty| format!(r#"(module {ANIMALS} (func (export "f") (type {ty}) (i32.const 1)))"#);
    let importer = |ty| format!(r#"(module {ANIMALS} (import "a" "f" (func (type {ty}))))"#);
    assert!(links(&exporter("$dog"), &importer("$animal")));
    assert!(!links(&exporter("$animal"), &importer("$dog")));
    assert!(!links(&exporter("$dog"), &importer("$stone")));
}

/// Returns a function that returns a number, of a type.
fn numbered(store: &mut Store<()>, ty: FuncType, number: i32) -> Func {
    Func::new(store, ty, move |_, _, results| {
        results[0] = Val::I32(number);
        Ok(())
    })
}

/// Returns the types of `ANIMALS`, made by the embedder.
fn animals(engine: &Engine) -> [FuncType; 3] {
    let stone = FuncType::new([], [ValType::I32]);
    let animal = engine.sub_type(Finality::NonFinal, None, &stone).unwrap();
    let dog = engine.sub_type(Finality::NonFinal, Some(&animal), &stone).unwrap();
    [animal, dog, stone]
}

#[test]
fn a_host_function_can_be_of_whatever_type_a_module_asks_for() {
    for (name, engine) in engines() {
        let pair = "(rec (type $a (func (result i32))) (type $b (func (param (ref null $a)) (result i32))))";
        let text = format!(
            r#"(module {ANIMALS} {pair} (import "h" "animal" (func $animal (type $animal)))
              (import "h" "dog" (func $dog (type $dog))) (import "h" "pair" (func $pair (type $b)))
              (table 3 funcref) (elem (i32.const 0) $animal $dog $pair)
              (func (export "animal") (param i32) (result i32) (call_indirect (type $animal) (local.get 0)))
              (func (export "dog") (param i32) (result i32) (call_indirect (type $dog) (local.get 0)))
              (func (export "pair") (param i32) (result i32)
                (call_indirect (type $b) (ref.null $a) (local.get 0))))"#
        );
        let module = Module::new(&engine, text).unwrap();
        let mut linker = Linker::new(&engine);
        for (import, number) in module.imports().zip(0..) {
            let ty = import.ty().func().unwrap().clone();
            linker
                .func_new("h", import.name(), ty, move |_, _, results| {
                    results[0] = Val::I32(number);
                    Ok(())
                })
                .unwrap();
        }
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let mut called = |func, index| call_i32(&mut store, instance, func, &[index]);
        assert_eq!([called("animal", 0).unwrap(), called("animal", 1).unwrap()], [0, 1], "{name}");
        assert_eq!([called("dog", 1).unwrap(), called("pair", 2).unwrap()], [1, 2], "{name}");
        assert_eq!(trap(called("dog", 0)), Trap::BadSignature, "{name}");
        assert_eq!(trap(called("animal", 2)), Trap::BadSignature, "{name}");
    }
}

#[test]
fn a_host_function_stays_what_it_is_where_it_is_imported_as_what_its_type_extends() {
    let engine = Engine::default();
    let [animal, dog, stone] = animals(&engine);
    let text = format!(
        r#"(module {ANIMALS} (import "h" "f" (func $f (type $animal))) (table 1 funcref) (elem (i32.const 0) $f)
          (export "f" (func $f)) (func (export "direct") (result i32) (call $f))
          (func (export "dog") (result i32) (call_indirect (type $dog) (i32.const 0))))"#
    );
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let given = numbered(&mut store, dog.clone(), 7);
    let mut linker = Linker::new(&engine);
    let closure = |_: Caller<'_, ()>, _: &[Val], results: &mut [Val]| {
        results[0] = Val::I32(7);
        Ok(())
    };
    linker.func_new("h", "f", dog.clone(), closure).unwrap();
    let instances = [
        Instance::new(&mut store, &module, &[given.into()]).unwrap(),
        linker.instantiate(&mut store, &module).unwrap(),
    ];
    for instance in instances {
        assert_eq!(call_i32(&mut store, instance, "direct", &[]).unwrap(), 7);
        assert_eq!(call_i32(&mut store, instance, "dog", &[]).unwrap(), 7);
        assert_eq!(instance.get_func(&store, "f").unwrap().ty(&store), dog);
    }
    let wrong = numbered(&mut store, stone.clone(), 7);
    let error = Instance::new(&mut store, &module, &[wrong.into()]).unwrap_err().to_string();
    assert!(error.contains(&format!("asks for `{animal}`, but `{stone}` was given")), "{error}");
    linker.allow_shadowing(true).func_new("h", "f", stone, closure).unwrap();
    assert!(linker.instantiate_pre(&module).and_then(|pre| pre.instantiate(&mut store)).is_err());
}

#[test]
fn unknown_imports_of_any_type_can_be_defined_as_traps() {
    let engine = Engine::default();
    let module = format!(r#"(module {ANIMALS} (import "h" "f" (func $f (type $dog))) (export "f" (func $f)))"#);
    let module = Module::new(&engine, module).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let error = call(&mut store, instance, "f", &[]).unwrap_err();
    assert!(error.to_string().contains("h::f"), "{error}");
}

#[test]
fn an_embedder_makes_the_types_that_modules_make() {
    let engine = Engine::default();
    let text = format!(
        r#"(module {ANIMALS} (import "" "a" (func (type $animal))) (import "" "d" (func (type $dog)))
          (import "" "s" (func (type $stone))))"#
    );
    let module = Module::new(&engine, text).unwrap();
    assert!(module.imports().map(|import| import.ty()).eq(animals(&engine).map(ExternType::Func)));
}

#[test]
fn a_type_can_extend_only_what_is_open_and_what_it_can_stand_in_for() {
    let engine = Engine::default();
    let nothing = FuncType::new([], []);
    let to = |nullable, heap| ValType::Ref(RefType { nullable, heap });
    let open = FuncType::new([to(false, HeapType::Func)], [to(true, HeapType::Func)]);
    let open = engine.sub_type(Finality::NonFinal, None, &open).unwrap();
    let error = engine.sub_type(Finality::Final, Some(&nothing), &nothing).unwrap_err();
    assert!(error.to_string().contains("`(func)` is final"), "{error}");
    let less =
        FuncType::new([to(true, HeapType::Func)], [to(false, HeapType::ConcreteFunc(engine.type_number(&nothing)))]);
    assert!(engine.sub_type(Finality::Final, Some(&open), &less).is_ok());
    for (param, result) in [
        (to(false, HeapType::NoFunc), to(true, HeapType::Func)),
        (to(false, HeapType::Func), to(true, HeapType::Extern)),
    ] {
        let error = engine.sub_type(Finality::Final, Some(&open), &FuncType::new([param], [result])).unwrap_err();
        assert!(error.to_string().contains("cannot extend"), "{error}");
    }
    assert!(engine.sub_type(Finality::Final, Some(&open), &nothing).is_err(), "another number of them");
}

#[test]
#[should_panic(expected = "is of another engine")]
fn a_type_of_another_engine_is_refused() {
    let [animal, ..] = animals(&Engine::default());
    Func::new(&mut Store::new(&Engine::default(), ()), animal, |_, _, _| Ok(()));
}

#[test]
fn an_indirect_call_accepts_what_extends_its_type_in_whatever_module() {
    for (name, engine) in engines() {
        let exporter = format!(
            r#"(module {ANIMALS} (table (export "t") 4 funcref) (elem (i32.const 0) $animal $dog $stone)
              (func $animal (type $animal) (i32.const 1)) (func $dog (type $dog) (i32.const 2))
              (func $stone (type $stone) (i32.const 3)))"#
        );
        let importer = format!(
            r#"(module {ANIMALS} (import "a" "t" (table 4 funcref))
              (func (export "animal") (param i32) (result i32) (call_indirect (type $animal) (local.get 0)))
              (func (export "dog") (param i32) (result i32) (return_call_indirect (type $dog) (local.get 0))))"#
        );
        let (mut store, b) = linked(&engine, &exporter, &importer).unwrap();
        let mut called = |func, index| call_i32(&mut store, b, func, &[index]);
        assert_eq!([called("animal", 0).unwrap(), called("animal", 1).unwrap()], [1, 2], "{name}");
        assert_eq!(called("dog", 1).unwrap(), 2, "{name}");
        assert_eq!(trap(called("dog", 0)), Trap::BadSignature, "{name}");
        assert_eq!(trap(called("animal", 2)), Trap::BadSignature, "{name}");
        assert_eq!(trap(called("animal", 3)), Trap::IndirectCallToNull, "{name}");
    }
}

#[test]
fn a_table_of_the_embedders_keeps_the_type_of_its_elements() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (type $t (func (result i32 i64 f32)))
      (table (export "t") 1 (ref null $t)) (global (export "g") (ref null $t) (ref.null $t)))"#;
    let module = Module::new(&engine, text).unwrap();
    let ty = *module.get_export("t").unwrap().unwrap_table();
    let global = *module.get_export("g").unwrap().unwrap_global();
    let table = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
    let global = Global::new(&mut store, global, Val::null_func_ref()).unwrap();
    drop(module);
    for i in 0..1000 {
        Module::new(&engine, format!("(module (type (func (param {}))))", "i32 ".repeat(i))).unwrap();
    }
    let results = [ValType::I32, ValType::I64, ValType::F32];
    let heap = table.ty(&store).element.heap_type();
    assert_eq!(engine.func_type(heap.as_concrete_func().unwrap()).results(), results);
    assert_eq!(global.ty(&store).content.unwrap_ref().heap_type(), heap);
    let fits = Func::new(&mut store, FuncType::new([], results), |_, _, _| Ok(()));
    let other = Func::wrap(&mut store, || {});
    table.set(&mut store, 0, fits.into()).unwrap();
    assert!(table.set(&mut store, 0, other.into()).is_err());
    // The same module finds its type again.
    let text = r#"(module (type $t (func (result i32 i64 f32))) (import "" "" (table 1 (ref null $t))))"#;
    Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[table.into()]).unwrap();
}

#[test]
fn a_number_that_is_no_types_is_refused() {
    let mut store = Store::new(&Engine::default(), ());
    let nothing = RefType::new(true, HeapType::ConcreteFunc(123_456));
    let ty = TableType::new(nothing, 1, None);
    let error = Table::new(&mut store, ty, Ref::Func(None)).unwrap_err().to_string();
    assert_eq!(error, "one of the types [123456] is not a function type of this engine");
    let ty = GlobalType::new(nothing.into(), Mutability::Const);
    assert!(Global::new(&mut store, ty, Val::null_func_ref()).unwrap_err().to_string().contains("[123456]"));
    let ty = FuncType::new([nothing.into()], []);
    let make = std::panic::AssertUnwindSafe(|| Func::new(&mut store, ty, |_, _, _| Ok(())));
    assert!(std::panic::catch_unwind(make).is_err());
}

#[test]
fn messages_show_the_types_that_are_named_instead_of_their_numbers() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (type $t (func (param i32))) (type $deep (func (result (ref $t))))
      (func (export "takes") (param (ref null $t))) (func $f (export "f") (param i64)) (memory (export "m") 1)
      (table (export "t") 1 (ref null $t)) (global (export "g") (mut (ref null $t)) (ref.null $t))
      (global (export "deep") (mut (ref null $deep)) (ref.null $deep)))"#;
    let module = Module::new(&engine, text).unwrap();
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let wrong = it.get_func(&store, "f").unwrap();
    let shown = "(ref null (func (param i32)))";
    let takes = it.get_func(&store, "takes").unwrap();
    let set = it.get_table(&store, "t").unwrap().set(&mut store, 0, wrong.into());
    let put = it.get_global(&store, "g").unwrap().set(&mut store, wrong.into());
    let deep = it.get_global(&store, "deep").unwrap().set(&mut store, wrong.into());
    let call = takes.call(&mut store, &[wrong.into()], &mut []);
    let typed = it.get_typed_func::<Option<Func>, ()>(&store, "takes").unwrap().call(&mut store, Some(wrong));
    let as_other = it.get_typed_func::<i32, ()>(&store, "takes").map(drop);
    let importer =
        Module::new(&engine, r#"(module (type $t (func (param f32))) (import "" "" (table 1 (ref null $t))))"#);
    let table = it.get_table(&store, "t").unwrap();
    let import = Instance::new(&mut store, &importer.unwrap(), &[table.into()]).map(drop);
    for (result, expected) in [
        (set, format!("the value does not fit a table of {shown}")),
        (put, format!("a global of {shown} cannot hold funcref")),
        (call, format!("argument 0 is of type funcref, where the function takes {shown}")),
        (typed, format!("argument 0 is not a reference of the type {shown}")),
        (
            as_other,
            format!(
                "the export `takes` cannot be used: the function has type `(func (param {shown}))`, not `(func (param i32))`"
            ),
        ),
        (
            import,
            "incompatible import type for `::`: the module asks for `(table 1 (ref null (func (param f32))))`, \
             but `(table 1 (ref null (func (param i32))))` was given"
                .to_owned(),
        ),
    ] {
        assert_eq!(format!("{:#}", result.unwrap_err()), expected);
    }
    // What a named type names in turn has to end somewhere: types can name themselves.
    let number = engine.type_number(&FuncType::new([ValType::I32], []));
    let expected = format!("a global of (ref null (func (result (ref {number})))) cannot hold funcref");
    assert_eq!(deep.unwrap_err().to_string(), expected);
}

#[test]
fn an_export_that_is_no_function_is_called_what_it_is() {
    let text =
        r#"(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 1)))"#;
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    for (name, expected) in [
        ("m", "the export `m` is a memory, not a function"),
        ("t", "the export `t` is a table, not a function"),
        ("g", "the export `g` is a global, not a function"),
        ("x", "no function is exported as `x`"),
    ] {
        assert_eq!(it.get_typed_func::<(), ()>(&store, name).unwrap_err().to_string(), expected);
    }
}
