//! Hosts that fail, panic, collect and keep references, whatever their guests do with objects.

use crate::common::call_i32;
use minirt::{
    AnyRef, AsContextMut, Caller, Config, Engine, Func, FuncType, Instance, Module, OwnedRooted, ResourceLimiter,
    Result, Rooted, Store, Val, ValType, bail,
};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns an engine that collects at every `every`th allocation, or when it pays for 0.
fn engine(every: u32) -> Engine {
    Engine::new(Config::new().wasm_gc(true).gc_zeal_alloc_counter(NonZeroU32::new(every)).unwrap()).unwrap()
}

const LIST: &str = r#"(module
    (import "host" "keep" (func $keep (param anyref)))
    (type $list (struct (field $value (mut i32)) (field $next (mut (ref null $list)))))
    (global $list (mut (ref null $list)) (ref.null $list))
    (func (export "push") (param $n i32)
        (loop
            (global.set $list (struct.new $list (local.get $n) (global.get $list)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "len") (result i32) (local $at (ref null $list)) (local $len i32)
        (local.set $at (global.get $list))
        (block (loop
            (br_if 1 (ref.is_null (local.get $at)))
            (local.set $len (i32.add (local.get $len) (i32.const 1)))
            (local.set $at (struct.get $list $next (local.get $at)))
            (br 0)))
        (local.get $len))
    (func (export "keep") (result i32) (local $it (ref $list))
        (local.set $it (struct.new $list (i32.const 5) (ref.null $list)))
        (call $keep (local.get $it))
        (struct.get $list $value (local.get $it)))
    (func (export "churn") (param $n i32)
        (loop
            (drop (struct.new $list (local.get $n) (ref.null $list)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

struct Host {
    /// The limiter panics if the heap is to have more bytes.
    most: usize,
    owned: Vec<OwnedRooted<AnyRef>>,
    scoped: Vec<Rooted<AnyRef>>,
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        assert!(desired <= self.most, "the limiter panics");
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

/// Returns an instance whose host keeps what it gets, collects, and then fails or panics every
/// other time.
fn instance(every: u32, most: usize) -> (Store<Host>, Instance) {
    let engine = engine(every);
    let mut store = Store::new(&engine, Host { most, owned: Vec::new(), scoped: Vec::new() });
    store.limiter(|host| host);
    let ty = FuncType::new([ValType::ANYREF], []);
    let keep = Func::new(&mut store, ty, |mut caller: Caller<'_, Host>, params, _| {
        let Val::AnyRef(Some(given)) = params[0] else { bail!("null") };
        let owned = given.to_owned_rooted(&mut caller)?;
        let times = caller.data().owned.len();
        caller.data_mut().owned.push(owned);
        caller.data_mut().scoped.push(given);
        caller.as_context_mut().gc();
        match times % 4 {
            1 => bail!("the host fails"),
            3 => panic!("the host panics"),
            _ => Ok(()),
        }
    });
    let module = Module::new(&engine, LIST).unwrap();
    let it = Instance::new(&mut store, &module, &[keep.into()]).unwrap();
    (store, it)
}

#[test]
fn a_limiter_may_panic_about_a_heap_and_the_store_goes_on() {
    let (mut store, it) = instance(0, 1 << 20);
    let push = it.get_typed_func::<i32, ()>(&store, "push").unwrap();
    let len = it.get_typed_func::<(), i32>(&store, "len").unwrap();
    catch_unwind(AssertUnwindSafe(|| push.call(&mut store, 100_000))).unwrap_err();
    let before = len.call(&mut store, ()).unwrap();
    assert!(before > 30_000, "{before}");
    store.gc();
    assert_eq!(len.call(&mut store, ()).unwrap(), before);
    store.data_mut().most = 64 << 20;
    push.call(&mut store, 100_000).unwrap();
    assert_eq!(len.call(&mut store, ()).unwrap(), before + 100_000);
}

#[test]
fn what_a_host_function_owns_outlives_its_failure_and_what_it_does_not_ends() {
    for every in [0, 1, 3] {
        let (mut store, it) = instance(every, usize::MAX);
        let keep = it.get_typed_func::<(), i32>(&store, "keep").unwrap();
        let churn = it.get_typed_func::<i32, ()>(&store, "churn").unwrap();
        for n in 0..40 {
            let ended = catch_unwind(AssertUnwindSafe(|| keep.call(&mut store, ())));
            match n % 4 {
                1 => assert!(ended.unwrap().is_err()),
                3 => assert!(ended.is_err()),
                _ => assert_eq!(ended.unwrap().unwrap(), 5),
            }
            churn.call(&mut store, 50).unwrap();
        }
        let owned = std::mem::take(&mut store.data_mut().owned);
        for owned in &owned {
            let structure = owned.as_struct(&store).unwrap().unwrap();
            assert_eq!(structure.field(&mut store, 0).unwrap().unwrap_i32(), 5);
        }
        for scoped in std::mem::take(&mut store.data_mut().scoped) {
            assert!(scoped.is_struct(&store).is_err());
        }
        // The store's data may hold references to its objects when it goes.
        store.data_mut().owned = owned;
    }
}

/// Instances with objects and others take turns in one store. Those with objects share a heap and
/// are not reset; the others are, as often as one likes.
#[test]
fn many_instances_of_one_store_keep_their_objects_while_others_are_reset() {
    let objects = r#"(module (type $s (struct (field (mut i32)) (field (mut (ref null $s)))))
        (global $first (mut (ref null $s))
            (struct.new $s (i32.const 0) (struct.new $s (i32.const 4) (ref.null $s))))
        (table $t 5 (ref null $s))
        (func (export "run") (result i32)
            (table.set $t (i32.const 1) (struct.new $s (i32.const 9) (global.get $first)))
            (struct.set $s 0 (global.get $first)
                (i32.add (i32.const 1) (struct.get $s 0 (global.get $first))))
            (struct.get $s 0 (struct.get $s 1 (table.get $t (i32.const 1))))))"#;
    let plain = r#"(module (memory 1) (global (export "any") (mut anyref) (ref.null any)) (table 3 externref)
        (func (export "run") (result i32)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (i32.load (i32.const 0))))"#;
    for every in [0, 1] {
        let engine = engine(every);
        let [objects, plain] = [objects, plain].map(|text| Module::new(&engine, text).unwrap());
        let mut store = Store::new(&engine, ());
        let mut all = Vec::new();
        for n in 0..24 {
            let is_plain = n % 3 == 1;
            let it = Instance::new(&mut store, if is_plain { &plain } else { &objects }, &[]).unwrap();
            all.push((is_plain, it, 0));
            for (is_plain, it, times) in &mut all {
                *times += 1;
                assert_eq!(call_i32(&mut store, *it, "run", &[]).unwrap(), *times);
                if *is_plain && n % 2 == 1 {
                    it.reset(&mut store).unwrap();
                    *times = 0;
                } else if !*is_plain && n > 0 {
                    assert!(it.reset(&mut store).is_err() && it.snapshot(&mut store).is_err());
                }
            }
            if n % 7 == 0 {
                store.gc();
            }
        }
    }
}
