//! Typed references: subtyping, and what null does.

use crate::common::{call, call_i32, engines, instance, linked, links};
use minirt::{
    Caller, Config, Engine, Extern, ExternRef, ExternType, Func, FuncType, Global, GlobalType, HeapType, Instance,
    Linker, Module, Ref, RefType, Rooted, Store, Table, TableType, Trap, Val, ValType,
};

/// Returns the type `(ref null $t)`, or `(ref $t)`, for functions of a type.
fn reference(engine: &Engine, nullable: bool, ty: &FuncType) -> RefType {
    RefType { nullable, heap: HeapType::ConcreteFunc(engine.type_number(ty)) }
}

#[test]
fn calling_null_is_a_trap_in_the_function_that_does() {
    for (name, engine) in engines() {
        let text = r#"(module (type $t (func (param i32) (result i32)))
          (func $caller (export "call") (param i32) (result i32) (call_ref $t (local.get 0) (ref.null $t)))
          (func (export "tail") (param i32) (result i32) (return_call_ref $t (local.get 0) (ref.null nofunc)))
          (func (export "check") (param i32) (result i32)
            (drop (ref.as_non_null (ref.null extern))) (local.get 0))
          (table $t 1 (ref null $t))
          (func (export "element") (param i32) (result i32)
            (call_indirect $t (type $t) (local.get 0) (i32.const 0)))
          (func (export "fine") (param i32) (result i32) (local.get 0)))"#;
        let (mut store, instance) = instance(&engine, text);
        for (func, expected) in [
            ("call", Trap::NullFunctionReference),
            ("tail", Trap::NullFunctionReference),
            ("check", Trap::NullReference),
            ("element", Trap::IndirectCallToNull),
        ] {
            let error = call_i32(&mut store, instance, func, &[1]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&expected), "{name}, {func}: {error:?}");
            assert_eq!(call_i32(&mut store, instance, "fine", &[7]).unwrap(), 7);
        }
        let error = call_i32(&mut store, instance, "call", &[1]).unwrap_err();
        let backtrace = error.downcast_ref::<minirt::WasmBacktrace>().unwrap();
        assert_eq!(backtrace.frames()[0].func_name(), Some("caller"), "{name}");
    }
}

#[test]
fn a_function_of_another_instance_or_of_the_host_can_be_called_through_a_reference() {
    for (name, engine) in engines() {
        let text = r#"(module (type $t (func (param i32) (result i32)))
          (func (export "apply") (param (ref $t) i32) (result i32) (call_ref $t (local.get 1) (local.get 0)))
          (global $kept (mut (ref null $t)) (ref.null $t))
          (func (export "keep") (param (ref null $t)) (global.set $kept (local.get 0)))
          (func (export "kept") (param i32) (result i32) (call_ref $t (local.get 0) (global.get $kept))))"#;
        let (mut store, a) = instance(&engine, text);
        let other =
            r#"(module (func (export "double") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))"#;
        let b = Instance::new(&mut store, &Module::new(&engine, other).unwrap(), &[]).unwrap();
        let double = b.get_func(&store, "double").unwrap();
        let negate = Func::wrap(&mut store, |n: i32| -n);
        for (func, expected) in [(double, 42), (negate, -21)] {
            let applied = call(&mut store, a, "apply", &[Val::FuncRef(Some(func)), Val::I32(21)]).unwrap();
            assert_eq!(applied[0].unwrap_i32(), expected, "{name}");
            call(&mut store, a, "keep", &[Val::FuncRef(Some(func))]).unwrap();
            assert_eq!(call_i32(&mut store, a, "kept", &[21]).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn the_host_cannot_pass_a_reference_of_another_type_or_null_where_there_must_be_none() {
    let engine = Engine::default();
    let (mut store, instance) = instance(
        &engine,
        r#"(module (type $t (func (result i32))) (func (export "f") (param (ref $t)))
          (func $g (export "g") (type $t) (i32.const 1)) (table (export "t") 1 2 (ref $t) (ref.func $g))
          (global (export "n") (mut (ref $t)) (ref.func $g)))"#,
    );
    let (right, wrong) = (instance.get_func(&store, "g").unwrap(), Func::wrap(&mut store, |_: i32| {}));
    let table = instance.get_table(&store, "t").unwrap();
    let global = instance.get_global(&store, "n").unwrap();
    for (func, fits) in [(Some(right), true), (Some(wrong), false), (None, false)] {
        assert_eq!(call(&mut store, instance, "f", &[Val::FuncRef(func)]).is_ok(), fits, "{func:?}");
        assert_eq!(table.set(&mut store, 0, Ref::Func(func)).is_ok(), fits, "{func:?}");
        assert_eq!(global.set(&mut store, Val::FuncRef(func)).is_ok(), fits, "{func:?}");
    }
    assert!(table.grow(&mut store, 1, Ref::Func(None)).is_err());
    assert_eq!(table.grow(&mut store, 1, Ref::Func(Some(right))).unwrap(), 1);
}

#[test]
fn a_typed_function_takes_subtypes_of_its_parameters_and_gives_supertypes_of_its_results() {
    let text = r#"(module (func $f (export "f") (param (ref null func)) (result (ref func)) (ref.func $f))
      (func (export "x") (param externref (ref extern)) (result (ref extern)) (local.get 1)))"#;
    let (mut store, instance) = instance(&Engine::default(), text);
    let f = instance.get_typed_func::<Func, Option<Func>>(&store, "f").unwrap();
    let given = instance.get_func(&store, "f").unwrap();
    assert!(f.call(&mut store, given).unwrap().is_some());
    let x = instance
        .get_typed_func::<(Rooted<ExternRef>, Rooted<ExternRef>), Option<Rooted<ExternRef>>>(&store, "x")
        .unwrap();
    let value = ExternRef::new(&mut store, 5).unwrap();
    let same = x.call(&mut store, (value, value)).unwrap().unwrap();
    assert!(Rooted::ref_eq(&store, &same, &value).unwrap());
    type Nullable = Option<Rooted<ExternRef>>;
    assert!(instance.get_typed_func::<(Nullable, Nullable), Nullable>(&store, "x").is_err(), "null could be passed");
    assert!(instance.get_typed_func::<(Rooted<ExternRef>, Func), Nullable>(&store, "x").is_err(), "of another kind");
    let error =
        instance.get_typed_func::<(Rooted<ExternRef>, Rooted<ExternRef>, i32), Nullable>(&store, "x").unwrap_err();
    assert!(format!("{error:#}").contains("has type `(func (param externref (ref extern))"), "{error:#}");
}

#[test]
fn a_typed_function_that_takes_functions_of_one_type_checks_each_that_it_gets() {
    let text = r#"(module (type $t (func (result i32)))
      (func (export "call") (param $n i32) (param $f (ref $t)) (result i32)
        (i32.add (local.get $n) (call_ref $t (local.get $f))))
      (func (export "maybe") (param (ref null $t)) (result i32) (ref.is_null (local.get 0)))
      (func (export "get") (result (ref null $t)) (ref.null $t)))"#;
    let (mut store, instance) = instance(&Engine::default(), text);
    let call = instance.get_typed_func::<(i32, Func), i32>(&store, "call").unwrap();
    let maybe = instance.get_typed_func::<Option<Func>, i32>(&store, "maybe").unwrap();
    let call_null = instance.get_typed_func::<(i32, Option<Func>), i32>(&store, "call").unwrap();
    let (right, wrong) = (Func::wrap(&mut store, || 40), Func::wrap(&mut store, || 40i64));
    assert_eq!(call.call(&mut store, (2, right)).unwrap(), 42);
    assert_eq!(call_null.call(&mut store, (2, Some(right))).unwrap(), 42);
    assert_eq!((maybe.call(&mut store, None).unwrap(), maybe.call(&mut store, Some(right)).unwrap()), (1, 0));
    let foreign = Func::wrap(&mut Store::new(store.engine(), ()), || 40);
    let errors = [
        call.call(&mut store, (2, wrong)).unwrap_err(),
        call_null.call(&mut store, (2, None)).unwrap_err(),
        maybe.call(&mut store, Some(wrong)).unwrap_err(),
    ];
    for (error, at) in errors.iter().zip([1, 1, 0]) {
        assert!(error.to_string().contains(&format!("argument {at} is not a reference of the type (ref ")), "{error}");
    }
    assert!(call.call(&mut store, (2, foreign)).unwrap_err().to_string().contains("another store"));
    let get = instance.get_typed_func::<(), Option<Func>>(&store, "get").unwrap();
    assert!(get.call(&mut store, ()).unwrap().is_none());
    assert!(instance.get_typed_func::<(i32, Option<Rooted<ExternRef>>), i32>(&store, "call").is_err());
    assert!(instance.get_typed_func::<i32, i32>(&store, "call").is_err());
    assert!(instance.get_typed_func::<(i32, Func, Func), i32>(&store, "call").is_err());
}

#[test]
fn a_host_function_cannot_return_a_reference_of_another_type() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let wanted = reference(&engine, false, &FuncType::new([], []));
    let mut linker = Linker::new(&engine);
    let wrong = Func::wrap(&mut store, |_: i32| {});
    let right = Func::wrap(&mut store, || {});
    linker
        .func_new("h", "get", FuncType::new([ValType::I32], [ValType::Ref(wanted)]), move |_, args, results| {
            results[0] = Val::FuncRef([Some(right), Some(wrong), None][args[0].unwrap_i32() as usize]);
            Ok(())
        })
        .unwrap();
    let text = r#"(module (type $t (func)) (import "h" "get" (func $get (param i32) (result (ref $t))))
      (func (export "f") (param i32) (call_ref $t (call $get (local.get 0)))))"#;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let mut called = |which| call(&mut store, instance, "f", &[Val::I32(which)]).map(drop);
    called(0).unwrap();
    for which in [1, 2] {
        let error = format!("{:#}", called(which).unwrap_err());
        assert!(error.contains("returned funcref as result 0, but its type has (ref "), "{error}");
    }
}

#[test]
fn an_immutable_global_may_be_imported_as_less_than_it_is_and_a_mutable_one_only_as_it_is() {
    let exporter = r#"(module (type $t (func)) (func $f (type $t)) (elem declare func $f)
      (global (export "const") (ref $t) (ref.func $f)) (global (export "mut") (mut (ref $t)) (ref.func $f)))"#;
    let importer = |name, ty| format!(r#"(module (type $t (func)) (import "a" "{name}" (global {ty})))"#);
    for ty in ["(ref $t)", "(ref null $t)", "(ref func)", "funcref"] {
        assert!(links(exporter, &importer("const", ty)), "{ty}");
    }
    for ty in ["nullfuncref", "externref", "(ref extern)", "(mut (ref $t))"] {
        assert!(!links(exporter, &importer("const", ty)), "{ty}");
    }
    assert!(links(exporter, &importer("mut", "(mut (ref $t))")));
    for ty in ["(ref $t)", "(mut (ref null $t))", "(mut funcref)"] {
        assert!(!links(exporter, &importer("mut", ty)), "{ty}");
    }
}

#[test]
fn a_global_that_goes_through_a_module_that_asks_for_less_is_still_what_it_was() {
    let engine = Engine::default();
    let exporter = r#"(module (type $t (func)) (func $f (type $t)) (global i32 (i32.const 0))
      (global (export "g") (ref $t) (ref.func $f)))"#;
    let through = r#"(module (import "a" "g" (global funcref)) (export "again" (global 0)))"#;
    let (mut store, b) = linked(&engine, exporter, through).unwrap();
    let global = b.get_global(&store, "again").unwrap();
    let content = ValType::Ref(reference(&engine, false, &FuncType::new([], [])));
    assert_eq!(global.ty(&store), GlobalType { content, mutable: false });
    let text = r#"(module (type $t (func)) (import "b" "again" (global (ref $t))))"#;
    Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[Extern::from(global)]).unwrap();
}

#[test]
fn a_table_may_be_imported_only_with_the_elements_it_has() {
    let exporter = r#"(module (type $t (func)) (table (export "t") 1 (ref null $t)))"#;
    let importer =
        |ty| format!(r#"(module (type (func (param i32))) (type $t (func)) (import "a" "t" (table 1 {ty})))"#);
    assert!(links(exporter, &importer("(ref null $t)")));
    for ty in ["funcref", "(ref null 0)", "externref"] {
        assert!(!links(exporter, &importer(ty)), "{ty}");
    }
}

#[test]
fn types_that_are_told_to_the_embedder_are_the_engines() {
    let engine = Engine::default();
    // The engine's numbers, which differ from the module's indices.
    (0..5).for_each(|n| _ = engine.type_number(&FuncType::new(vec![ValType::F64; n], [ValType::F32])));
    let ty = FuncType::new([ValType::I64], []);
    let content = ValType::Ref(reference(&engine, true, &ty));
    let text = r#"(module (type $t (func (param i64))) (import "a" "t" (table 1 (ref null $t)))
      (global (export "g") (ref null $t) (ref.null $t)) (func (export "f") (result (ref null $t)) (ref.null $t)))"#;
    let module = Module::new(&engine, text).unwrap();
    let element = reference(&engine, true, &ty);
    let table = TableType { element, minimum: 1, maximum: None, table64: false };
    assert_eq!(module.imports().next().map(|import| import.ty()), Some(ExternType::Table(table)));
    assert_eq!(module.get_export("f"), Some(ExternType::Func(FuncType::new([], [content]))));
    let mut store = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |_: i64| {});
    let own = Table::new(&mut store, table, Ref::Func(Some(func))).unwrap();
    assert_eq!(own.ty(&store), table);
    let instance = Instance::new(&mut store, &module, &[own.into()]).unwrap();
    let global = instance.get_global(&store, "g").unwrap();
    assert_eq!(global.ty(&store), GlobalType { content, mutable: false });
    assert_eq!(engine.func_type(engine.type_number(&ty)), ty);
    // The embedder's own things follow the same rules.
    let strict = reference(&engine, false, &ty);
    let wrong = Func::wrap(&mut store, || {});
    let global_type = GlobalType { content: ValType::Ref(strict), mutable: true };
    assert!(Global::new(&mut store, global_type, Val::FuncRef(None)).is_err());
    assert!(Global::new(&mut store, global_type, Val::FuncRef(Some(wrong))).is_err());
    assert!(Global::new(&mut store, global_type, Val::FuncRef(Some(func))).is_ok());
}

/// Two tables that start with other than null: one with a function of the module, one with what it
/// imports.
const FILLED: &str = r#"(module (type $t (func (result i32)))
  (import "" "g" (global $given (ref $t)))
  (func $own (type $t) (i32.const 10)) (func $other (type $t) (i32.const 20))
  (table $static (export "static") 3 (ref $t) (ref.func $own))
  (table $dynamic (export "dynamic") 3 (ref $t) (global.get $given))
  (elem (table $dynamic) (i32.const 1) (ref $t) (ref.func $other))
  (func (export "static at") (param i32) (result i32) (call_indirect $static (type $t) (local.get 0)))
  (func (export "dynamic at") (param i32) (result i32) (call_ref $t (table.get $dynamic (local.get 0))))
  (func (export "change")
    (table.set $static (i32.const 0) (ref.func $other)) (table.set $dynamic (i32.const 0) (ref.func $other))))"#;

fn filled(engine: &Engine, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let given = Func::wrap(&mut store, || 30);
    let content = ValType::Ref(reference(engine, false, &FuncType::new([], [ValType::I32])));
    let ty = GlobalType { content, mutable: false };
    let global = Global::new(&mut store, ty, Val::FuncRef(Some(given))).unwrap();
    let instance = Instance::new(&mut store, module, &[global.into()]).unwrap();
    (store, instance)
}

fn elements(store: &mut Store<()>, instance: Instance) -> [i32; 6] {
    let at =
        [("static at", 0), ("static at", 1), ("static at", 2), ("dynamic at", 0), ("dynamic at", 1), ("dynamic at", 2)];
    at.map(|(func, index)| call_i32(store, instance, func, &[index]).unwrap())
}

#[test]
fn tables_start_with_what_their_expressions_say_and_segments_come_after() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, FILLED).unwrap();
        // SAFETY: these are the bytes of an artifact that was just made.
        let loaded = unsafe { Module::deserialize(&engine, module.serialize().unwrap()) }.unwrap();
        for module in [module, loaded] {
            for _ in 0..3 {
                let (mut store, instance) = filled(&engine, &module);
                assert_eq!(elements(&mut store, instance), [10, 10, 10, 30, 20, 30], "{name}");
                call(&mut store, instance, "change", &[]).unwrap();
                assert_eq!(elements(&mut store, instance), [20, 10, 10, 20, 20, 30], "{name}");
                instance.reset(&mut store).unwrap();
                assert_eq!(elements(&mut store, instance), [10, 10, 10, 30, 20, 30], "{name}");
            }
        }
    }
}

#[test]
fn what_an_image_does_not_hold_of_tables_is_told() {
    let module = Module::new(&Engine::default(), FILLED).unwrap();
    let steps: Vec<String> = module.image_info().remaining.into_iter().map(|step| step.what).collect();
    assert_eq!(steps, ["first elements of table 1", "element segment 0"]);
}

#[test]
fn a_snapshot_keeps_typed_references_to_its_own_functions() {
    for (name, engine) in engines() {
        let text = r#"(module (type $t (func (result i32))) (func $f (type $t) (i32.const 5)) (elem declare func $f)
          (global $g (mut (ref null $t)) (ref.null $t)) (table 1 (ref null $t))
          (func (export "set") (global.set $g (ref.func $f)) (table.set (i32.const 0) (global.get $g)))
          (func (export "get") (result i32)
            (i32.add (call_ref $t (global.get $g)) (call_indirect (type $t) (i32.const 0)))))"#;
        let (mut store, first) = instance(&engine, text);
        call(&mut store, first, "set", &[]).unwrap();
        let snapshot = first.snapshot(&mut store).unwrap();
        let mut other = Store::new(&engine, ());
        let again = snapshot.instantiate(&mut other, &[]).unwrap();
        assert_eq!(call_i32(&mut other, again, "get", &[]).unwrap(), 10, "{name}");
    }
}

#[test]
fn a_linker_serves_modules_of_its_own_engine() {
    let mut linker: Linker<()> = Linker::new(&Engine::default());
    linker.func_wrap("a", "f", || {}).unwrap();
    let module = Module::new(&Engine::default(), r#"(module (import "a" "f" (func)))"#).unwrap();
    let error = linker.instantiate_pre(&module).unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[test]
fn typed_references_can_be_switched_off() {
    let mut config = Config::new();
    let engine = Engine::new(config.wasm_function_references(false)).unwrap();
    let error = Module::new(&engine, "(module (func (param (ref null func) (ref extern))))").unwrap_err();
    assert!(error.to_string().contains("function references"), "{error}");
}

#[test]
fn external_references_that_are_not_null_have_a_type_of_their_own() {
    let engine = Engine::default();
    let text = r#"(module (import "host" "add" (func $add (param (ref extern)) (result (ref extern))))
      (func (export "run") (param externref) (result externref)
        (call $add (ref.as_non_null (local.get 0)))))"#;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let add = |mut caller: Caller<'_, ()>, value: Rooted<ExternRef>| -> minirt::Result<Rooted<ExternRef>> {
        let number: &u32 = value.data(&caller)?.and_then(|value| value.downcast_ref()).expect("a number");
        let sum = number + 1;
        ExternRef::new(&mut caller, sum)
    };
    linker.func_wrap("host", "add", add).unwrap();
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let run = it.get_typed_func::<Option<Rooted<ExternRef>>, Option<Rooted<ExternRef>>>(&store, "run").unwrap();
    let one = ExternRef::new(&mut store, 1u32).unwrap();
    let two = run.call(&mut store, Some(one)).unwrap().unwrap();
    assert_eq!(two.data(&store).unwrap().unwrap().downcast_ref(), Some(&2u32));
    assert_eq!(run.call(&mut store, None).unwrap_err().downcast_ref(), Some(&Trap::NullReference));
}

#[test]
fn functions_that_are_not_null_have_a_type_of_their_own() {
    let engine = Engine::default();
    let text = r#"(module
      (import "host" "pick" (func $pick (param (ref func)) (result (ref func))))
      (elem declare func $f)
      (func $f (export "f") (result i32) (i32.const 5))
      (func (export "same") (param (ref func)) (result (ref func)) (call $pick (local.get 0)))
      (func (export "nullable") (param funcref)))"#;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "pick", |func: Func| func).unwrap();
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let f = it.get_func(&store, "f").unwrap();
    let same = it.get_typed_func::<Func, Func>(&store, "same").unwrap().call(&mut store, f).unwrap();
    assert_eq!(same.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 5);
    assert!(it.get_typed_func::<Func, ()>(&store, "nullable").is_ok(), "null is only allowed");
    assert!(it.get_typed_func::<Option<Func>, Option<Func>>(&store, "same").is_err());
    let mut results = [Val::null_func_ref()];
    let null = it.get_func(&store, "same").unwrap().call(&mut store, &[Val::null_func_ref()], &mut results);
    assert!(null.is_err(), "null is no such function");
}
