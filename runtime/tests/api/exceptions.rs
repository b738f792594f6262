//! Exceptions in an embedder's hands.

use crate::common::{call, call_i32, engines, instance};
use minirt::{
    AsContextMut, Caller, Engine, Error, ExnRef, ExnRefPre, ExnType, Extern, ExternType, Func, FuncType, Global,
    GlobalType, HeapType, Instance, Linker, Module, Mutability, Ref, RefType, Result, RootScope, Rooted, Store, Table,
    TableType, Tag, TagType, ThrownException, Trap, Val, ValType, WasmBacktrace,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

fn tag_type(params: &[ValType]) -> TagType {
    TagType::new(FuncType::new(params.iter().copied(), []))
}

/// A tag that carries an i32.
fn tag(mut store: impl AsContextMut) -> Tag {
    Tag::new(&mut store, &tag_type(&[ValType::I32])).unwrap()
}

/// An exception with a tag, that carries a number.
fn exception(mut store: impl AsContextMut, tag: &Tag, number: i32) -> Rooted<ExnRef> {
    let ty = ExnType::from_tag_type(&tag.ty(&store));
    let pre = ExnRefPre::new(&mut store, ty);
    ExnRef::new(&mut store, &pre, tag, &[number.into()]).unwrap()
}

fn number(exception: Rooted<ExnRef>, store: impl AsContextMut) -> i32 {
    exception.field(store, 0).unwrap().unwrap_i32()
}

fn same(store: &Store<Option<Instance>>, a: Rooted<ExnRef>, b: Rooted<ExnRef>) -> bool {
    Rooted::ref_eq(store, &a, &b).unwrap()
}

/// A module that catches what its import throws, and throws itself.
const GUEST: &str = r#"(module
  (import "host" "tag" (tag $e (param i32)))
  (import "host" "f" (func $host (param i32) (result i32)))
  (func (export "catch") (param i32) (result i32)
    (block $b (result i32) (try_table (catch $e $b) (return (call $host (local.get 0)))) (unreachable))
    (i32.add (i32.const 1000)))
  (func (export "catch all") (param i32) (result i32)
    (block $b (try_table (catch_all $b) (return (call $host (local.get 0))))) (i32.const -1))
  (func (export "catch reference") (param i32) (result exnref)
    (block $b (result exnref) (try_table (catch_all_ref $b) (drop (call $host (local.get 0)))) (unreachable)))
  (func $pass (export "pass") (param i32) (result i32) (call $host (local.get 0)))
  (func $thrower (export "throw") (param i32) (throw $e (local.get 0)))
  (func (export "throw reference") (param exnref) (throw_ref (local.get 0))))"#;

struct Guest {
    store: Store<Option<Instance>>,
    tag: Tag,
    it: Instance,
}

fn guest(f: impl Fn(Caller<'_, Option<Instance>>, Tag, i32) -> Result<i32> + Send + Sync + 'static) -> Guest {
    let engine = Engine::default();
    let mut store = Store::new(&engine, None);
    let tag = tag(&mut store);
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "tag", tag).unwrap();
    linker.func_wrap("host", "f", move |caller: Caller<'_, _>, n: i32| f(caller, tag, n)).unwrap();
    let it = linker.instantiate(&mut store, &Module::new(&engine, GUEST).unwrap()).unwrap();
    *store.data_mut() = Some(it);
    Guest { store, tag, it }
}

impl Guest {
    fn call(&mut self, name: &str, n: i32) -> Result<i32> {
        self.it.get_typed_func::<i32, i32>(&self.store, name)?.call(&mut self.store, n)
    }
}

#[test]
fn a_host_function_throws_and_wasm_catches() {
    let mut guest = guest(|mut caller, tag, n| {
        let exception = exception(&mut caller, &tag, n);
        caller.throw(exception)
    });
    for n in 0..10 {
        assert_eq!(guest.call("catch", n).unwrap(), 1000 + n);
        assert_eq!(guest.call("catch all", n).unwrap(), -1);
    }
    assert!(!guest.store.has_pending_exception());
    let error = guest.call("pass", 5).unwrap_err();
    assert_eq!(error.downcast_ref::<ThrownException>().unwrap().to_string(), "uncaught exception: tag 0 (i32 5)");
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames()[0].func_name(), Some("pass"));
    assert_eq!(number(guest.store.take_pending_exception().unwrap(), &mut guest.store), 5);
    assert!(guest.store.take_pending_exception().is_none());
}

#[test]
fn a_host_function_of_values_throws_as_well() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let tag = tag(&mut store);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    let f = Func::new(&mut store, ty, move |mut caller, arguments, _| {
        let exception = exception(&mut caller, &tag, arguments[0].unwrap_i32());
        caller.throw(exception)
    });
    let module = Module::new(&engine, GUEST).unwrap();
    let it = Instance::new(&mut store, &module, &[tag.into(), f.into()]).unwrap();
    assert_eq!(call_i32(&mut store, it, "catch", &[8]).unwrap(), 1008);
    // The host calls the host: nobody is there to catch it.
    let error = f.call(&mut store, &[3.into()], &mut [Val::I32(0)]).unwrap_err();
    assert!(error.is::<ThrownException>());
    assert_eq!(number(store.take_pending_exception().unwrap(), &mut store), 3);
}

#[test]
fn a_host_function_catches_what_wasm_throws() {
    let mut guest = guest(|mut caller, tag, n| {
        let it = caller.data().unwrap();
        let throw = it.get_typed_func::<i32, ()>(&caller, "throw")?;
        let error = throw.call(&mut caller, n).unwrap_err();
        assert_eq!(error.downcast_ref::<ThrownException>().unwrap().tag().ty(&caller), tag.ty(&caller));
        let exception = caller.take_pending_exception().expect("it was not caught");
        assert!(Tag::eq(&exception.tag(&caller)?, &tag, &caller));
        Ok(number(exception, &mut caller) + 1)
    });
    assert_eq!(guest.call("catch", 5).unwrap(), 6);
    assert!(!guest.store.has_pending_exception());
}

#[test]
fn a_host_function_passes_on_what_wasm_throws_and_the_backtrace_begins_where_that_was() {
    let mut guest = guest(|mut caller, _, n| {
        let it = caller.data().unwrap();
        let throw = it.get_typed_func::<i32, ()>(&caller, "throw")?;
        throw.call(&mut caller, n).map_err(|error| error.context("on the way"))?;
        Ok(0)
    });
    assert_eq!(guest.call("catch", 5).unwrap(), 1005);
    let error = guest.call("pass", 6).unwrap_err();
    assert!(error.is::<ThrownException>());
    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.func_name().unwrap()).collect();
    assert_eq!(names, ["thrower", "pass"]);
}

#[test]
fn errors_and_traps_of_host_functions_are_not_caught() {
    let mut failing = guest(|_, _, n| if n == 0 { Err(Error::msg("plain")) } else { Err(Trap::HostError.into()) });
    for n in [0, 1] {
        for way in ["catch", "catch all"] {
            assert!(!failing.call(way, n).unwrap_err().is::<ThrownException>());
        }
    }
    // A panic passes as well.
    let mut panicking = guest(|_, _, _| panic!("the host's own"));
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.call("catch all", 0))).is_err());
}

#[test]
fn an_exception_of_another_store_is_no_exception_here() {
    let other = Mutex::new(guest(|_, _, n| Ok(n)));
    let mut guest = guest(move |mut caller, _, n| {
        let mut other = other.lock().unwrap();
        let it = other.it;
        let throw = it.get_typed_func::<i32, ()>(&other.store, "throw")?;
        if n == 0 {
            throw.call(&mut other.store, n)?;
        }
        // This one is known to the other store alone.
        let foreign = {
            let tag = other.tag;
            exception(&mut other.store, &tag, n)
        };
        caller.throw(foreign)
    });
    // Something else is pending when it comes.
    let throw = guest.it.get_typed_func::<i32, ()>(&guest.store, "throw").unwrap();
    throw.call(&mut guest.store, 7).unwrap_err();
    assert!(guest.store.has_pending_exception());
    for way in ["catch", "catch all"] {
        assert!(guest.call(way, 0).is_err(), "{way}");
        let error = guest.call(way, 1).unwrap_err();
        assert!(format!("{error:#}").contains("a reference belongs to another store"), "{error:#}");
    }
}

#[test]
fn references_go_in_and_out_of_wasm() {
    let mut guest = guest(|mut caller, tag, n| {
        let exception = exception(&mut caller, &tag, n);
        caller.throw(exception)
    });
    let (store, it) = (&mut guest.store, guest.it);
    let caught = it.get_typed_func::<i32, Option<Rooted<ExnRef>>>(&*store, "catch reference").unwrap();
    let throw = it.get_typed_func::<Option<Rooted<ExnRef>>, ()>(&*store, "throw reference").unwrap();
    let exception = caught.call(&mut *store, 9).unwrap().unwrap();
    assert_eq!(exception.ty(&*store).unwrap().fields(), [ValType::I32]);
    assert_eq!(exception.fields(&mut *store).unwrap().len(), 1);
    assert!(exception.field(&mut *store, 1).unwrap_err().to_string().contains("carries 1 values, and none at 1"));
    assert!(throw.call(&mut *store, Some(exception)).unwrap_err().is::<ThrownException>());
    let taken = store.take_pending_exception().unwrap();
    assert!(same(store, taken, exception));
    let null = throw.call(&mut *store, None).unwrap_err();
    assert_eq!(null.downcast_ref(), Some(&Trap::NullExceptionReference));
    // Through globals and tables, too.
    let ty = GlobalType::new(ValType::EXNREF, Mutability::Var);
    let global = Global::new(&mut *store, ty, Val::ExnRef(Some(exception))).unwrap();
    let found = global.get(&*store).unwrap_exn_ref().unwrap();
    assert!(same(store, found, exception));
    let table = Table::new(&mut *store, TableType::new(RefType::EXNREF, 2, None), Ref::Exn(None)).unwrap();
    table.set(&mut *store, 1, exception.into()).unwrap();
    let found = table.get(&*store, 1).unwrap().unwrap_exn().unwrap();
    assert!(same(store, found, exception));
    assert!(table.get(&*store, 0).unwrap().is_null());
    assert!(table.set(&mut *store, 0, Ref::Func(None)).is_err());
}

#[test]
fn a_handle_lasts_as_long_as_the_host_function_or_the_scope_that_has_it() {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let inside = kept.clone();
    let mut guest = guest(move |mut caller, tag, n| {
        let exception = exception(&mut caller, &tag, n);
        *inside.lock().unwrap() = Some(exception);
        caller.as_context_mut().gc();
        Ok(number(exception, &mut caller))
    });
    assert_eq!(guest.call("pass", 4).unwrap(), 4);
    let escaped = kept.lock().unwrap().unwrap();
    guest.store.gc();
    let error = escaped.tag(&guest.store).unwrap_err().to_string();
    assert!(error.contains("after the call or scope for which the host had it"), "{error}");
    assert!(guest.store.throw::<()>(escaped).is_err());
    // Outside of calls there are scopes.
    let tag = guest.tag;
    let outside = exception(&mut guest.store, &tag, 1);
    let inside = {
        let mut scope = RootScope::new(&mut guest.store);
        let inside = exception(&mut scope, &tag, 2);
        scope.as_context_mut().gc();
        assert_eq!(number(inside, &mut scope), 2);
        inside
    };
    guest.store.gc();
    assert!(inside.tag(&guest.store).is_err());
    assert_eq!(number(outside, &mut guest.store), 1);
}

#[test]
fn a_host_that_only_looks_at_errors_keeps_no_exception() {
    // As many as fit, many times over.
    let values = "(i64.const 0)".repeat(1000);
    let text = format!(r#"(module (tag $e (param{})) (func (export "f") (throw $e {values})))"#, " i64".repeat(1000));
    let (mut store, it) = instance(&Engine::default(), &text);
    let f = it.get_typed_func::<(), ()>(&store, "f").unwrap();
    for _ in 0..20_000 {
        assert!(f.call(&mut store, ()).unwrap_err().is::<ThrownException>());
    }
}

#[test]
fn frames_of_all_calls_of_a_store_are_searched_for_references() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, None::<Instance>);
    let tag = tag(&mut store);
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "tag", tag).unwrap();
    // The host function frees everything, and calls again, with the guest's references in frames
    // further out.
    let again = move |mut caller: Caller<'_, Option<Instance>>, n: i32| -> Result<i32> {
        caller.as_context_mut().gc();
        let sum = caller.data().unwrap().get_typed_func::<i32, i32>(&caller, "hold")?;
        let sum = if n == 0 { 0 } else { sum.call(&mut caller, n - 1)? };
        caller.as_context_mut().gc();
        Ok(sum)
    };
    linker.func_wrap("host", "again", again).unwrap();
    let text = r#"(module
      (import "host" "tag" (tag $e (param i32))) (import "host" "again" (func $again (param i32) (result i32)))
      (func $make (param i32) (result exnref) (local exnref)
        (block $b (result i32 exnref) (try_table (catch_ref $e $b) (throw $e (local.get 0))) (unreachable))
        (local.set 1) (drop) (local.get 1))
      (func (export "hold") (param i32) (result i32) (local exnref i32)
        (local.set 1 (call $make (local.get 0)))
        (call $make (i32.const 100))
        (local.set 2 (call $again (local.get 0)))
        (call $number) (i32.add (call $number (local.get 1))) (i32.add (local.get 2)))
      (func $number (param exnref) (result i32)
        (block $b (result i32) (try_table (catch $e $b) (throw_ref (local.get 0))) (unreachable))))"#;
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    *store.data_mut() = Some(it);
    let hold = it.get_typed_func::<i32, i32>(&store, "hold").unwrap();
    assert_eq!(hold.call(&mut store, 5).unwrap(), 6 * 100 + 15);
}

#[test]
fn what_is_made_wrongly_is_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let own = tag(&mut store);
    let results = TagType::new(FuncType::new([], [ValType::I32]));
    let error = Tag::new(&mut store, &results).unwrap_err().to_string();
    assert!(error.contains("a tag of `(func (result i32))` cannot have results"), "{error}");
    let ty = ExnType::from_tag_type(&own.ty(&store));
    let pre = ExnRefPre::new(&mut store, ty);
    let mut refused = |values: &[Val]| ExnRef::new(&mut store, &pre, &own, values).unwrap_err().to_string();
    assert!(refused(&[]).contains("cannot carry 0 values"));
    assert!(refused(&[Val::I64(1)]).contains("value 0 of the exception is i64, but its tag asks for i32"));
    let other = Tag::new(&mut store, &tag_type(&[])).unwrap();
    assert!(ExnRef::new(&mut store, &pre, &other, &[]).is_err());
    let mut stranger = Store::new(&engine, ());
    let foreign = tag(&mut stranger);
    assert!(catch_unwind(AssertUnwindSafe(|| foreign.ty(&store))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| ExnRef::new(&mut store, &pre, &foreign, &[1.into()]))).is_err());
    // As an import, as an argument, and in a global.
    let module = Module::new(&engine, r#"(module (import "" "" (tag (param i32))))"#).unwrap();
    assert!(Instance::new(&mut store, &module, &[foreign.into()]).is_err());
    let foreign = exception(&mut stranger, &foreign, 1);
    let ty = GlobalType::new(ValType::EXNREF, Mutability::Const);
    let error = Global::new(&mut store, ty, foreign.into()).unwrap_err().to_string();
    assert!(error.contains("a reference belongs to another store"), "{error}");
    assert!(store.throw::<()>(foreign).unwrap_err().to_string().contains("belongs to another store"));
}

#[test]
fn tags_are_imports_and_exports_as_all_others() {
    let engine = Engine::default();
    let module =
        Module::new(&engine, r#"(module (import "a" "b" (tag $t (param i32))) (export "c" (tag $t)))"#).unwrap();
    let ty = tag_type(&[ValType::I32]);
    assert_eq!(module.imports().next().unwrap().ty(), ExternType::Tag(ty.clone()));
    assert_eq!(module.exports().next().unwrap().ty().unwrap_tag(), &ty);
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_default_values(&mut store, &module).unwrap();
    let it = linker.instantiate(&mut store, &module).unwrap();
    let exported = it.get_tag(&store, "c").unwrap();
    assert_eq!(exported.ty(&store), ty);
    let Some(Extern::Tag(imported)) = linker.get(&mut store, "a", "b") else { panic!("it was defined") };
    assert!(Tag::eq(&exported, &imported, &store));
    assert!(!Tag::eq(&exported, &tag(&mut store), &store));
    assert_eq!(Extern::from(exported).ty(&store), ExternType::Tag(ty));
    assert_eq!(ValType::EXNREF.to_string(), "exnref");
    assert_eq!(RefType::new(false, HeapType::Exn).to_string(), "(ref exn)");
}

#[test]
fn a_tag_of_the_type_that_a_module_asks_for_fits_whatever_else_there_is_to_that_type() {
    let engine = Engine::default();
    for ty in ["(type $t (sub (func (param i32))))", "(rec (type $t (func (param i32))) (type (func)))"] {
        let text = format!(r#"(module {ty} (import "a" "b" (tag $t (type $t))) (export "c" (tag $t)))"#);
        let module = Module::new(&engine, text).unwrap();
        let wanted = module.imports().next().unwrap().ty().unwrap_tag().clone();
        assert_eq!(module.exports().next().unwrap().ty().unwrap_tag(), &wanted);
        assert_ne!(wanted, tag_type(&[ValType::I32]));
        let mut store = Store::new(&engine, ());
        let tag = Tag::new(&mut store, &wanted).unwrap();
        assert_eq!(tag.ty(&store), wanted);
        Instance::new(&mut store, &module, &[tag.into()]).unwrap();
        let other = Tag::new(&mut store, &tag_type(&[ValType::I32])).unwrap();
        Instance::new(&mut store, &module, &[other.into()]).unwrap_err();
    }
}

const HOLDING: &str = r#"(module (tag $e (param i32))
  (global $g (export "g") (mut exnref) (ref.null exn)) (table $t (export "t") 4 exnref)
  (func $make (result exnref)
    (block $b (result exnref) (try_table (catch_all_ref $b) (throw $e (i32.const 1))) (unreachable)))
  (func (export "global") (global.set $g (call $make)))
  (func (export "table") (table.set $t (i32.const 2) (call $make)))
  (func (export "empty") (result i32)
    (i32.and (ref.is_null (global.get $g)) (ref.is_null (table.get $t (i32.const 2))))))"#;

#[test]
fn a_snapshot_with_an_exception_is_refused_by_name_and_a_reset_lets_it_go() {
    for (name, engine) in engines() {
        let (mut store, it) = instance(&engine, HOLDING);
        for (where_, what) in [("global", "global 0 (`g`) holds"), ("table", "element 2 of table 0 (`t`) holds")] {
            call(&mut store, it, where_, &[]).unwrap();
            let error = it.snapshot(&mut store).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("an exception (exnref), which cannot be frozen"), "{error}");
            assert_eq!(call_i32(&mut store, it, "empty", &[]).unwrap(), 0, "{name}");
            it.reset(&mut store).unwrap();
            assert_eq!(call_i32(&mut store, it, "empty", &[]).unwrap(), 1, "{name}");
        }
        let snapshot = it.snapshot(&mut store).unwrap();
        let again = snapshot.instantiate(&mut store, &[]).unwrap();
        assert_eq!(call_i32(&mut store, again, "empty", &[]).unwrap(), 1, "{name}");
    }
}

#[test]
fn a_store_is_dropped_with_an_exception_in_it_and_the_next_tenant_sees_none() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, HOLDING).unwrap();
        for _ in 0..50 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            assert_eq!(call_i32(&mut store, it, "empty", &[]).unwrap(), 1, "{name}");
            call(&mut store, it, "global", &[]).unwrap();
            call(&mut store, it, "table", &[]).unwrap();
            let exception = it.get_global(&store, "g").unwrap().get(&store).unwrap_exn_ref().unwrap();
            store.throw::<()>(exception).unwrap_err();
        }
    }
}

/// Throws in the moment in which its store is dropped.
struct ThrowsWhenDropped {
    thrown: Option<Error>,
    seen: Arc<Mutex<String>>,
}

impl Drop for ThrowsWhenDropped {
    fn drop(&mut self) {
        let error = self.thrown.take().unwrap();
        let thrown = error.downcast_ref::<ThrownException>().unwrap();
        // Another store knows nothing of it, not even now.
        let mut other = Store::new(&Engine::default(), ());
        assert!(!other.has_pending_exception());
        let own = tag(&mut other);
        let own = exception(&mut other, &own, 3);
        assert!(other.throw::<()>(own).is_err());
        *self.seen.lock().unwrap() = thrown.to_string();
    }
}

#[test]
fn what_was_thrown_can_be_told_while_its_store_is_dropped_and_afterwards() {
    let seen = Arc::new(Mutex::new(String::new()));
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (tag $e (export "oops") (param i32)) (func (export "f") (throw $e (i32.const 7))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ThrowsWhenDropped { thrown: None, seen: seen.clone() });
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let f = it.get_typed_func::<(), ()>(&mut store, "f").unwrap();
    let kept = f.call(&mut store, ()).unwrap_err();
    store.data_mut().thrown = Some(f.call(&mut store, ()).unwrap_err());
    drop(store);
    assert_eq!(*seen.lock().unwrap(), "uncaught exception: `oops` (i32 7)");
    assert_eq!(kept.downcast_ref::<ThrownException>().unwrap().to_string(), "uncaught exception: `oops` (i32 7)");
}
