//! How long the embedder's references last, and what happens to those that lasted too long.

use crate::common::call;
use minirt::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, AsContextMut, Config, Engine, ExternRef, FieldType, Global, GlobalType,
    I31, Instance, Linker, Module, Mutability, OwnedRooted, RefType, Result, RootScope, Rooted, StorageType, Store,
    StructRef, StructRefPre, StructType, Table, TableType, Val, ValType,
};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const ENDED: &str = "after the call or scope for which the host had it";
const OTHER: &str = "belongs to another store";
const GONE: &str = "its heap was reset";

/// An engine that collects at each allocation.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_gc(true).gc_zeal_alloc_counter(NonZeroU32::new(1)).unwrap();
    Engine::new(&config).unwrap()
}

fn number(mut store: impl AsContextMut, n: i32) -> Rooted<StructRef> {
    let field = FieldType::new(Mutability::Var, ValType::I32);
    let pre = StructRefPre::new(&store, StructType::new([field]));
    StructRef::new(&mut store, &pre, &[Val::I32(n)]).unwrap()
}

fn message<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

/// Does with a stale reference whatever can be done with one. Each must fail, and say why.
fn try_everything(store: &mut Store<()>, it: Rooted<StructRef>, why: &str) {
    let any = it.to_anyref();
    let null_table = Table::new(&mut *store, TableType::new(RefType::ANYREF, 1, None), minirt::Ref::Any(None)).unwrap();
    let global = GlobalType::new(ValType::ANYREF, Mutability::Var);
    let null_global = Global::new(&mut *store, global, Val::null_any_ref()).unwrap();
    let text = r#"(module (func (export "f") (param anyref) (result anyref) (local.get 0)))"#;
    let module = Module::new(store.engine(), text).unwrap();
    let guest = Instance::new(&mut *store, &module, &[]).unwrap();
    let typed = guest.get_typed_func::<Option<Rooted<AnyRef>>, Option<Rooted<AnyRef>>>(&*store, "f").unwrap();
    let pre = ArrayRefPre::new(&*store, ArrayType::new(FieldType::new(Mutability::Var, ValType::ANYREF)));
    let fresh = number(&mut *store, 1);
    let array = ArrayRef::new(&mut *store, &pre, &Val::null_any_ref(), 1).unwrap();
    let all: Vec<(&str, Result<()>)> = vec![
        ("ty", it.ty(&*store).map(drop)),
        ("matches_ty", it.matches_ty(&*store, &StructType::new([])).map(drop)),
        ("field", it.field(&*store, 0).map(drop)),
        ("fields", it.fields(&mut *store).map(drop)),
        ("set_field", it.set_field(&mut *store, 0, Val::I32(1))),
        ("to_owned_rooted", it.to_owned_rooted(&mut *store).map(drop)),
        ("ref_eq", Rooted::ref_eq(&*store, &it, &fresh).map(drop)),
        ("ref_eq the other way", Rooted::ref_eq(&*store, &fresh, &it).map(drop)),
        ("ref_hash", it.ref_hash(&*store, &mut DefaultHasher::new())),
        ("any.ty", any.ty(&*store).map(drop)),
        ("is_struct", any.is_struct(&*store).map(drop)),
        ("as_struct", any.as_struct(&*store).map(drop)),
        ("as_eqref", any.as_eqref(&*store).map(drop)),
        ("as_i31", any.as_i31(&*store).map(drop)),
        ("convert_any", ExternRef::convert_any(&*store, any).map(drop)),
        ("Val::matches_ty", Val::from(it).matches_ty(&*store, &ValType::ANYREF).map(drop)),
        ("table.set", null_table.set(&mut *store, 0, it.into())),
        ("table.fill", null_table.fill(&mut *store, 0, it.into(), 1)),
        ("table.grow", null_table.grow(&mut *store, 1, it.into()).map(drop)),
        ("Table::new", Table::new(&mut *store, TableType::new(RefType::ANYREF, 1, None), it.into()).map(drop)),
        ("global.set", null_global.set(&mut *store, it.into())),
        ("Global::new", Global::new(&mut *store, global, it.into()).map(drop)),
        ("call", call(store, guest, "f", &[it.into()]).map(drop)),
        ("typed call", typed.call(&mut *store, Some(any)).map(drop)),
        ("array.set", array.set(&mut *store, 0, it.into())),
        ("ArrayRef::new", ArrayRef::new(&mut *store, &pre, &it.into(), 1).map(drop)),
        ("new_fixed", ArrayRef::new_fixed(&mut *store, &pre, &[it.into()]).map(drop)),
    ];
    for (what, result) in all {
        let error = message(result);
        assert!(error.contains(why), "{what}: {error}");
    }
    assert_eq!(fresh.field(&*store, 0).unwrap().unwrap_i32(), 1);
    assert!(array.get(&*store, 0).unwrap().unwrap_anyref().is_none());
}

#[test]
fn a_reference_whose_scope_has_ended_is_an_error_everywhere() {
    let mut store = Store::new(&engine(), ());
    let outside = number(&mut store, 1);
    let inside = number(&mut RootScope::new(&mut store), 2);
    try_everything(&mut store, inside, ENDED);
    assert_eq!(outside.field(&store, 0).unwrap().unwrap_i32(), 1);
}

#[test]
fn a_reference_of_another_store_is_an_error_everywhere() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let elsewhere = number(&mut Store::new(&engine, ()), 1);
    number(&mut store, 2); // It has the same place.
    try_everything(&mut store, elsewhere, OTHER);
}

#[test]
fn a_reference_to_what_a_reset_took_away_is_an_error_everywhere() {
    let engine = engine();
    let text = r#"(module (type $s (struct (field (mut i32))))
        (func (export "make") (result (ref $s)) (struct.new $s (i32.const 5))))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let make = it.get_typed_func::<(), Rooted<StructRef>>(&store, "make").unwrap();
    let [before, again] = [(); 2].map(|()| make.call(&mut store, ()).unwrap());
    let owned = again.to_owned_rooted(&mut store).unwrap();
    let value = ExternRef::new(&mut store, 9_u32).unwrap();
    let small = AnyRef::from_i31(&mut store, I31::wrapping_u32(3));
    it.reset(&mut store).unwrap();
    // What is made now is where that was.
    let after = make.call(&mut store, ()).unwrap();
    assert!(message(owned.field(&store, 0)).contains(GONE));
    let revived = owned.to_rooted(&mut store);
    try_everything(&mut store, before, GONE);
    try_everything(&mut store, revived, GONE);
    assert_eq!(after.field(&store, 0).unwrap().unwrap_i32(), 5);
    assert!(value.data(&store).unwrap().is_some() && small.is_i31(&store).unwrap(), "they were not in the heap");
}

#[test]
fn a_reference_in_a_place_that_was_used_before_is_not_taken_for_the_one_before() {
    let mut store = Store::new(&engine(), ());
    let mut stale = Vec::new();
    for n in 0..100 {
        let mut scope = RootScope::new(&mut store);
        let now = number(&mut scope, n);
        assert_eq!(now.field(&scope, 0).unwrap().unwrap_i32(), n);
        assert!(stale.iter().all(|before: &Rooted<StructRef>| message(before.field(&scope, 0)).contains(ENDED)));
        assert!(stale.iter().all(|before| !Rooted::rooted_eq(*before, now)));
        stale.push(now);
    }
    let owned = number(&mut store, 1).to_owned_rooted(&mut store).unwrap();
    let borrowed: StructRef = *owned;
    assert_eq!(borrowed.field(&store, 0).unwrap().unwrap_i32(), 1);
    drop(owned);
    for n in 0..200 {
        let next = number(&mut store, n).to_owned_rooted(&mut store).unwrap();
        assert_eq!(next.field(&store, 0).unwrap().unwrap_i32(), n);
    }
    assert!(message(borrowed.field(&store, 0)).contains(ENDED));
}

#[test]
fn an_owned_reference_outlives_scopes_and_is_an_error_after_its_store() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let owned: OwnedRooted<StructRef> = {
        let mut scope = RootScope::new(&mut store);
        let it = number(&mut scope, 7);
        it.to_owned_rooted(&mut scope).unwrap()
    };
    let copy = owned.clone();
    drop(owned);
    assert_eq!(copy.field(&store, 0).unwrap().unwrap_i32(), 7);
    assert!(copy.ty(&store).is_ok() && copy.clone().to_anyref().is_struct(&store).unwrap());
    let scoped = copy.to_rooted(&mut store);
    assert!(Rooted::ref_eq(&store, &scoped, &copy).unwrap() && OwnedRooted::ref_eq(&store, &copy, &scoped).unwrap());
    let hash = |it: &Rooted<StructRef>| {
        let mut state = DefaultHasher::new();
        it.ref_hash(&store, &mut state).unwrap();
        state.finish()
    };
    let mut state = DefaultHasher::new();
    copy.ref_hash(&store, &mut state).unwrap();
    assert_eq!(hash(&scoped), state.finish());
    drop(store);
    let mut other = Store::new(&engine, ());
    number(&mut other, 8).to_owned_rooted(&mut other).unwrap();
    assert!(message(copy.field(&other, 0)).contains(OTHER));
    let stranger = copy.to_rooted(&mut other);
    assert!(message(stranger.field(&other, 0)).contains(OTHER));
}

#[test]
fn a_host_functions_references_end_when_it_returns() {
    let engine = engine();
    let escaped = Arc::new(Mutex::new(None));
    let inside = escaped.clone();
    let mut linker = Linker::new(&engine);
    let keep = move |mut caller: minirt::Caller<'_, ()>, it: Rooted<AnyRef>| {
        let structure = it.unwrap_struct(&caller).unwrap();
        structure.set_field(&mut caller, 0, Val::I32(6)).unwrap();
        let owned = it.to_owned_rooted(&mut caller).unwrap();
        *inside.lock().unwrap() = Some((it, structure, owned));
    };
    linker.func_wrap("host", "keep", keep).unwrap();
    let text = r#"(module (type $s (struct (field (mut i32)))) (import "host" "keep" (func $keep (param (ref any))))
        (func (export "run") (call $keep (struct.new $s (i32.const 5)))))"#;
    let mut store = Store::new(&engine, ());
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let around = number(&mut store, 1);
    call(&mut store, it, "run", &[]).unwrap();
    let (any, structure, owned) = escaped.lock().unwrap().take().unwrap();
    assert!(message(any.ty(&store)).contains(ENDED) && message(structure.ty(&store)).contains(ENDED));
    assert_eq!(owned.as_struct(&store).unwrap().unwrap().field(&store, 0).unwrap().unwrap_i32(), 6);
    assert_eq!(around.field(&store, 0).unwrap().unwrap_i32(), 1);
}

#[test]
fn a_million_references_in_a_scope() {
    let mut store = Store::new(&engine(), ());
    let pre = ArrayRefPre::new(&store, ArrayType::new(FieldType::new(Mutability::Var, StorageType::I16)));
    let array = ArrayRef::new(&mut store, &pre, &Val::I32(1), 1000).unwrap();
    let last = {
        let mut scope = RootScope::new(&mut store);
        scope.reserve(1_000_000);
        let mut last = array;
        for _ in 0..1_000_000 {
            last = array.to_eqref().unwrap_array(&scope).unwrap();
        }
        assert_eq!(last.len(&scope).unwrap(), 1000);
        last
    };
    assert!(message(last.len(&store)).contains(ENDED));
    assert_eq!(array.len(&store).unwrap(), 1000);
}

#[test]
fn an_instance_is_not_frozen_while_the_host_holds_its_objects() {
    let engine = engine();
    let text = r#"(module (type $s (struct (field (mut i32)))) (global $g (ref $s) (struct.new $s (i32.const 5)))
        (func (export "get") (result (ref $s)) (global.get $g)))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let get = it.get_typed_func::<(), Rooted<StructRef>>(&store, "get").unwrap();
    let held = {
        let mut scope = RootScope::new(&mut store);
        let held = get.call(&mut scope, ()).unwrap();
        held.set_field(&mut scope, 0, Val::I32(6)).unwrap();
        held.to_owned_rooted(&mut scope).unwrap()
    };
    let error = message(it.snapshot(&mut store));
    assert!(error.contains("while the host holds references to its objects (here 1)"), "{error}");
    drop(held);
    let snapshot = it.snapshot(&mut store).unwrap();
    let mut other = Store::new(&engine, ());
    let copy = snapshot.instantiate(&mut other, &[]).unwrap();
    let get = copy.get_typed_func::<(), Rooted<StructRef>>(&other, "get").unwrap();
    assert_eq!(get.call(&mut other, ()).unwrap().field(&other, 0).unwrap().unwrap_i32(), 6);
}

/// A value that counts how many of its kind there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn values_of_the_host_go_with_their_store() {
    let count = Arc::default();
    let mut store = Store::new(&Engine::default(), ());
    for _ in 0..10 {
        ExternRef::new(&mut store, Counted::new(&count)).unwrap();
    }
    assert_eq!(count.load(SeqCst), 10);
    drop(store);
    assert_eq!(count.load(SeqCst), 0);
}

#[test]
fn values_of_the_host_go_when_nothing_refers_to_them() {
    let engine = Engine::default();
    let text = r#"(module (global (export "g") (mut externref) (ref.null extern))
        (table (export "t") 2 externref))"#;
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &Module::new(&engine, text).unwrap(), &[]).unwrap();
    let (global, table) = (it.get_global(&store, "g").unwrap(), it.get_table(&store, "t").unwrap());
    let count = Arc::default();
    let owned = {
        let mut scope = RootScope::new(&mut store);
        let [one, other, third] = [(); 3].map(|()| ExternRef::new(&mut scope, Counted::new(&count)).unwrap());
        global.set(&mut scope, one.into()).unwrap();
        table.set(&mut scope, 1, other.into()).unwrap();
        third.to_owned_rooted(&mut scope).unwrap()
    };
    let mut most = 0;
    for _ in 0..100_000 {
        let mut scope = RootScope::new(&mut store);
        ExternRef::new(&mut scope, Counted::new(&count)).unwrap();
        most = most.max(count.load(SeqCst));
    }
    assert!(most < 5000, "there were up to {most}");
    let left = |store: &mut Store<()>| {
        store.gc();
        count.load(SeqCst)
    };
    assert_eq!(left(&mut store), 3);
    assert!(owned.data(&store).unwrap().unwrap().is::<Counted>());
    drop(owned);
    assert_eq!(left(&mut store), 2);
    table.set(&mut store, 1, minirt::Ref::Extern(None)).unwrap();
    assert_eq!(left(&mut store), 1);
    assert!(global.get(&store).unwrap_externref().unwrap().data(&store).unwrap().unwrap().is::<Counted>());
    global.set(&mut store, Val::null_extern_ref()).unwrap();
    assert_eq!(left(&mut store), 1, "the reference that was just read holds it");
    drop(store);
    assert_eq!(count.load(SeqCst), 0);
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("it is dropped");
    }
}

#[test]
fn a_value_may_panic_when_it_is_dropped_and_the_store_goes_on() {
    let mut store = Store::new(&Engine::default(), ());
    let kept = ExternRef::new(&mut store, 7_u32).unwrap();
    ExternRef::new(&mut RootScope::new(&mut store), Panics).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| store.gc())).is_err());
    store.gc();
    let next = ExternRef::new(&mut store, 8_u32).unwrap();
    for (value, expected) in [(kept, 7), (next, 8_u32)] {
        assert_eq!(value.data(&store).unwrap().unwrap().downcast_ref(), Some(&expected));
    }
}

#[test]
fn threads_that_share_a_store_may_read_references() {
    let mut store = Store::new(&engine(), ());
    let it = number(&mut store, 5);
    let ty = GlobalType::new(ValType::ANYREF, Mutability::Const);
    let global = Global::new(&mut store, ty, it.into()).unwrap();
    let store = &store;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..1000 {
                    let found = global.get(store).unwrap_anyref().unwrap().unwrap_struct(store).unwrap();
                    assert_eq!(found.field(store, 0).unwrap().unwrap_i32(), 5);
                }
            });
        }
    });
}
