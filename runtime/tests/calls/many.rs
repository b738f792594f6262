//! Stores with many instances: each of them traps as if it were alone, and knows the stack it is
//! on.

use minirt::{Engine, Func, Instance, MemoryFault, Module, Store, Trap, TypedFunc};

const MANY: usize = 150;

/// Has a memory of one page; `load` reads from it, `deep` calls itself until the stack ends, and
/// `chain` calls the instance before it.
const MODULE: &str = r#"(module
  (import "" "before" (func $before (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 7)))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "chain") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (call $before (i32.sub (local.get 0) (i32.const 1))))
      (else (call $deep (i32.const 0))))))"#;

/// A store with instances each of which imports the `chain` of the one before.
fn many(engine: &Engine) -> (Store<()>, Vec<Instance>) {
    let module = Module::new(engine, MODULE).unwrap();
    let mut store = Store::new(engine, ());
    let mut before = Func::wrap(&mut store, |_: i32| 0);
    let mut instances = Vec::new();
    for _ in 0..MANY {
        let instance = Instance::new(&mut store, &module, &[before.into()]).unwrap();
        before = instance.get_func(&store, "chain").unwrap();
        instances.push(instance);
    }
    (store, instances)
}

#[test]
fn a_fault_is_that_of_the_instance_it_is_in() {
    let engine = Engine::default();
    let (mut store, instances) = many(&engine);
    for (i, instance) in instances.iter().enumerate() {
        if i % 3 == 0 {
            instance.get_memory(&store, "memory").unwrap().grow(&mut store, i as u64).unwrap();
        }
    }
    for (i, instance) in instances.iter().enumerate() {
        let memory_size = if i % 3 == 0 { (i as u64 + 1) << 16 } else { 1 << 16 };
        let load: TypedFunc<i32, i32> = instance.get_typed_func(&store, "load").unwrap();
        let wasm_address = memory_size + 5 * i as u64;
        let error = load.call(&mut store, wasm_address as i32).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
        assert_eq!(error.downcast_ref(), Some(&MemoryFault { wasm_address, memory_size }), "instance {i}");
    }
}

#[test]
fn first_writes_are_handled_in_all_of_them_run_after_run() {
    let engine = Engine::default();
    for run in 0..3 {
        let (mut store, instances) = many(&engine);
        for (i, instance) in instances.iter().enumerate() {
            let write: TypedFunc<i32, ()> = instance.get_typed_func(&store, "store").unwrap();
            let load: TypedFunc<i32, i32> = instance.get_typed_func(&store, "load").unwrap();
            let at = ((i + run) % 16 * 4096) as i32;
            assert_eq!(load.call(&mut store, at).unwrap(), 0, "what an earlier run wrote is gone");
            write.call(&mut store, at).unwrap();
            assert_eq!(load.call(&mut store, at).unwrap(), 7);
        }
    }
}

#[test]
fn all_of_them_stop_before_the_stack_ends_whichever_it_is() {
    let engine = Engine::default();
    let (mut store, instances) = many(&engine);
    let overflow = |store: &mut Store<()>| {
        // The recursion is in another instance than the one that is called.
        for (from, depth) in [(MANY - 1, 100), (MANY - 1, 3), (40, 40), (7, 0)] {
            let chain: TypedFunc<i32, i32> = instances[from].get_typed_func(&mut *store, "chain").unwrap();
            let error = chain.call(&mut *store, depth).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
        }
    };
    for size in [256, 4096, 192, 1024] {
        overflow(&mut store);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(size << 10);
            thread.spawn_scoped(scope, || overflow(&mut store)).unwrap().join().unwrap();
        });
    }
}
