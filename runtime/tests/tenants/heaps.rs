//! Nothing of one tenant's objects is visible to the next one: in its heap, in another module's
//! heap, or in the memory of a module that has neither structures nor arrays.

use crate::common::heaps::{OBJECTS, assert_fresh, mess};
use crate::common::{Random, call, call_i32, each_config, is_zero, number_from_environment};
use minirt::{Engine, EngineStats, ExternRef, Instance, Module, ResetStrategy, Store, StoreLimitsBuilder, Trap, Val};
use std::num::NonZeroU32;
use std::sync::Arc;

const WASM_PAGE: u64 = 65_536;

/// Tenants in each configuration, unless the environment says otherwise.
const TENANTS: u64 = 60;

/// Uses as a memory what was a heap before.
const MEMORY: &str = r#"(module (memory (export "m") 1 64) (func (export "f")))"#;

/// Makes objects of other types in a heap without any at first. All are zero.
const EMPTY: &str = r#"(module
  (type $longs (array (mut i64)))
  (type $refs (array (mut anyref)))
  (func (export "check") (result i32) (local $a (ref $longs)) (local $r (ref $refs)) (local $i i32)
    (local.set $a (array.new_default $longs (i32.const 20000)))
    (local.set $r (array.new_default $refs (i32.const 20000)))
    (loop $next
      (if (i32.eqz (i64.eqz (array.get $longs (local.get $a) (local.get $i)))) (then (return (i32.const 1))))
      (if (i32.eqz (ref.is_null (array.get $refs (local.get $r) (local.get $i)))) (then (return (i32.const 2))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20000))))
    (array.fill $longs (local.get $a) (i32.const 0) (i64.const 0xcccccccccccccccc) (i32.const 20000))
    (i32.const 0)))"#;

struct Tenants {
    engine: Engine,
    objects: Module,
    empty: Module,
    memory: Module,
    random: Random,
}

impl Tenants {
    fn new(engine: Engine, seed: u64) -> Self {
        let [objects, empty, memory] = [OBJECTS, EMPTY, MEMORY].map(|text| Module::new(&engine, text).unwrap());
        Self { engine, objects, empty, memory, random: Random(seed) }
    }

    /// One tenant, which finds nothing of others and leaves a mess.
    fn next(&mut self, context: &str) {
        let mut store = Store::new(&self.engine, ());
        match self.random.below(10) {
            0 => {
                let it = Instance::new(&mut store, &self.memory, &[]).unwrap();
                let memory = it.get_memory(&store, "m").unwrap();
                memory.grow(&mut store, self.random.below(20) as u64).unwrap();
                assert!(is_zero(memory.data(&store)), "{context}: a memory that was a heap is not zero");
                memory.data_mut(&mut store).fill(0xcc);
            }
            1 => {
                let it = Instance::new(&mut store, &self.empty, &[]).unwrap();
                assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0, "{context}: an empty heap");
            }
            _ => {
                let it = Instance::new(&mut store, &self.objects, &[]).unwrap();
                assert_fresh(&mut store, it, context);
                let how = self.random.below(1000);
                let ended = mess(&mut store, it, how);
                assert_eq!(ended.is_err(), matches!(how % 8, 4 | 6), "{context}: {ended:?}");
                if self.random.percent(30) && how % 8 != 6 {
                    it.reset(&mut store).unwrap();
                    assert_fresh(&mut store, it, &format!("{context}, reset in place"));
                    mess(&mut store, it, self.random.below(4)).unwrap();
                }
            }
        }
    }
}

fn tenants() -> u64 {
    number_from_environment("MINIRT_SWAPS").unwrap_or(TENANTS)
}

fn seed() -> u64 {
    number_from_environment("MINIRT_SEED").unwrap_or(15)
}

/// Returns how many resets there were in the way that a strategy stands for.
fn resets(strategy: ResetStrategy, stats: &EngineStats) -> u64 {
    match strategy {
        ResetStrategy::HotSet => stats.resets_hot_set,
        ResetStrategy::Scan => stats.resets_scan,
        ResetStrategy::Discard => stats.resets_discard,
        _ => stats.resets_hot_set + stats.resets_scan + stats.resets_discard,
    }
}

#[test]
fn tenants_with_and_without_objects_take_turns_in_few_slots() {
    for zeal in [0, 1] {
        each_config(|name, strategy, mut config| {
            config.max_instances(2).gc_zeal_alloc_counter(NonZeroU32::new(zeal)).unwrap();
            let mut all = Tenants::new(Engine::new(&config).unwrap(), seed());
            for number in 0..tenants() {
                all.next(&format!("{name}, zeal {zeal}, tenant {number}, seed {}", seed()));
            }
            let stats = all.engine.stats();
            assert!(stats.live == 0 && stats.idle <= 2, "{name}: {stats:?}");
            assert!(resets(strategy, &stats) > tenants() / 2, "{name}: {stats:?}");
        });
    }
}

#[test]
fn a_heap_that_was_filled_to_its_limit_leaves_nothing() {
    each_config(|name, _, mut config| {
        let engine = Engine::new(config.max_instances(2)).unwrap();
        let module = Module::new(&engine, OBJECTS).unwrap();
        for round in 0..3 {
            let limits = StoreLimitsBuilder::new().memory_size(4 << 20).build();
            let mut store = Store::new(&engine, limits);
            store.limiter(|limits| limits);
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            let exhaust = it.get_typed_func::<(), ()>(&store, "exhaust").unwrap();
            let error = exhaust.call(&mut store, ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::GcHeapOutOfMemory), "{name}, round {round}: {error:?}");
            drop(store);
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            assert_fresh(&mut store, it, name);
        }
    });
}

/// A snapshot of one tenant's heap is the start of its own instances, and of no others.
#[test]
fn instances_of_a_snapshot_and_of_its_module_do_not_see_each_other() {
    each_config(|name, _, mut config| {
        let engine = Engine::new(config.max_instances(3)).unwrap();
        let module = Module::new(&engine, OBJECTS).unwrap();
        let (snapshot, sum) = {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            mess(&mut store, it, 1000).unwrap();
            mess(&mut store, it, 2002).unwrap();
            (it.snapshot(&mut store).unwrap(), call_i32(&mut store, it, "sum", &[]).unwrap())
        };
        for round in 0..6 {
            let mut store = Store::new(&engine, ());
            let it = snapshot.instantiate(&mut store, &[]).unwrap();
            assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), sum, "{name}, round {round}");
            mess(&mut store, it, 8 * round).unwrap();
            assert_ne!(call_i32(&mut store, it, "sum", &[]).unwrap(), sum, "{name}, round {round}");
            if round % 2 == 0 {
                it.reset(&mut store).unwrap();
                assert_eq!(call_i32(&mut store, it, "sum", &[]).unwrap(), sum, "{name}, round {round}, reset");
            }
            drop(store);
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            assert_fresh(&mut store, it, name);
            mess(&mut store, it, round % 4).unwrap();
        }
    });
}

/// A value of the host that a tenant's object held is dropped with the tenant.
#[test]
fn values_of_the_host_in_objects_end_with_their_store() {
    each_config(|name, _, mut config| {
        let engine = Engine::new(config.max_instances(2)).unwrap();
        let module = Module::new(&engine, OBJECTS).unwrap();
        let value = Arc::new(());
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &module, &[]).unwrap();
            assert_fresh(&mut store, it, name);
            let held = ExternRef::new(&mut store, Arc::clone(&value)).unwrap();
            call(&mut store, it, "hold", &[Val::ExternRef(Some(held))]).unwrap();
            store.gc();
            assert_eq!(Arc::strong_count(&value), 2, "{name}, round {round}");
            drop(store);
            assert_eq!(Arc::strong_count(&value), 1, "{name}, round {round}");
        }
    });
}

/// Instances of one store share a heap; the next store has none of it, whichever instance brings
/// the heap then.
#[test]
fn stores_with_several_instances_leave_nothing_to_stores_with_one() {
    each_config(|name, _, mut config| {
        let engine = Engine::new(config.max_instances(4)).unwrap();
        let [objects, empty] = [OBJECTS, EMPTY].map(|text| Module::new(&engine, text).unwrap());
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let order = if round % 2 == 0 { [&objects, &empty, &objects] } else { [&empty, &objects, &objects] };
            let all = order.map(|module| Instance::new(&mut store, module, &[]).unwrap());
            for (at, it) in all.into_iter().enumerate() {
                assert_eq!(call_i32(&mut store, it, "check", &[]).unwrap(), 0, "{name}, round {round}, {at}");
                if it.get_func(&store, "mess").is_some() {
                    mess(&mut store, it, 16 * round).unwrap();
                }
            }
            drop(store);
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, &objects, &[]).unwrap();
            assert_fresh(&mut store, it, name);
            let memory = minirt::Memory::new(&mut store, minirt::MemoryType::new(20, None)).unwrap();
            assert!(is_zero(memory.data(&store)) && memory.data(&store).len() as u64 == 20 * WASM_PAGE, "{name}");
        }
    });
}
