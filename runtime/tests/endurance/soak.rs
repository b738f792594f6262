//! A million round trips, and as many live instances as fit.

use crate::alone;
use crate::common::{self, Random, call, call_i32, number_from_environment};
use minirt::{Caller, Config, Engine, EngineStats, Instance, InstancePre, Linker, Module, Store, Trap};

const PAGE: usize = 4096;

/// Where a leak would show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) descriptors: usize,
    pub(crate) mappings: usize,
    pub(crate) resident: usize,
}

impl Process {
    pub(crate) fn now() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        Self { descriptors: common::descriptors(), mappings: common::mappings(), resident: pages * PAGE }
    }

    pub(crate) fn assert_no_more_than(self, before: Self, what: &str) {
        let grown = self.resident.saturating_sub(before.resident);
        // A tracked slot has up to 25 mappings more at times.
        let flat = self.descriptors <= before.descriptors && self.mappings <= before.mappings + 32 && grown <= 2 << 20;
        assert!(flat, "{what}: {before:?} became {self:?}");
    }
}

const TEXT: &str = r#"(module
  (import "host" "log" (func $log (param i32)))
  (memory (export "m") 8 12)
  (data (i32.const 0) "soak") (data (i32.const 100000) "data")
  (global $g (mut i32) (i32.const 3))
  (table $t 4 700 funcref)
  (elem (i32.const 0) $run)
  ;; Counts what is not as at first, then writes to three pages, and to one more.
  (func $run (export "run") (param $elsewhere i32) (result i32)
    (i32.add
      (i32.add
        (i32.ne (global.get $g) (i32.const 3))
        (i32.ne (i32.load (i32.const 100000)) (i32.const 0x61746164)))
      (i32.add
        (i32.ne (i32.load8_u (local.get $elsewhere)) (i32.const 0))
        (ref.is_null (table.get $t (i32.const 0)))))
    (global.set $g (i32.const 4))
    (i32.store (i32.const 100000) (i32.const -1))
    (i32.store (i32.const 20000) (i32.const -1))
    (i32.store (i32.const 65534) (i32.const -1))
    (i32.store8 (local.get $elsewhere) (i32.const 1)))
  (func (export "trap") (param i32)
    (i32.store (local.get 0) (i32.const -1))
    (drop (i32.load (i32.const 0x7ffffff0))))
  (func (export "grow") (param i32) (result i32)
    (drop (memory.grow (i32.const 2)))
    (drop (table.grow $t (ref.null func) (local.get 0)))
    (table.set $t (i32.const 0) (ref.null func))
    (i32.store8 (i32.const 600000) (i32.const 1))
    (i32.load8_u (i32.const 524288)))
  (func (export "log") (call $log (i32.const 1))))"#;

/// A million by default, which takes an unoptimised runtime about ten seconds. `MINIRT_SOAK`
/// changes the number.
#[test]
fn round_trips_without_end_take_no_more_than_the_first_ones() {
    let _alone = alone();
    let count = number_from_environment("MINIRT_SOAK").unwrap_or(1_000_000);
    // Once so that slots are mostly tracked, and once with a host that sometimes writes through a
    // slice, which makes all of memory writable.
    for exposed in [false, true] {
        let stats = soak(count / 2, exposed);
        println!("exposed: {exposed}; {stats:?}");
        let [more, less] = if exposed { [stats.resets_scan, 0] } else { [stats.resets_hot_set, stats.resets_scan] };
        assert!(more > less, "not what this is about: {stats:?}");
    }
}

fn soak(count: u64, exposed: bool) -> EngineStats {
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT).unwrap();
    let mut linker = Linker::<u64>::new(&engine);
    let log = |mut caller: Caller<'_, u64>, by: i32| *caller.data_mut() += by as u64;
    linker.func_wrap("host", "log", log).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    let mut random = Random(number_from_environment("MINIRT_SEED").unwrap_or(1));
    let mut trips = |count: u64| (0..count).for_each(|_| round_trip(&engine, &pre, exposed, &mut random));
    // Long enough for the policy to settle, and for every page that is ever written to have been.
    let some = count / 10;
    trips(some);
    let before = Process::now();
    for _ in 1..10 {
        trips(some);
        Process::now().assert_no_more_than(before, "a round trip leaves something behind");
    }
    let stats = engine.stats();
    assert_eq!((stats.live, stats.idle), (0, 1));
    assert_eq!(stats.warm_instantiations + stats.cold_instantiations, 10 * some);
    stats
}

fn round_trip(engine: &Engine, pre: &InstancePre<u64>, exposed: bool, random: &mut Random) {
    let mut store = Store::new(engine, 0);
    let it = pre.instantiate(&mut store).unwrap();
    // Mostly the usual page, now and then any.
    let elsewhere = if random.percent(1) { random.below(8 * 65_536 - 200_000) + 200_000 } else { 300_000 };
    let run = it.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, elsewhere as i32).unwrap(), 0, "not fresh");
    match random.below(100) {
        0 => {
            let trap = it.get_typed_func::<i32, ()>(&store, "trap").unwrap();
            let error = trap.call(&mut store, 150_000).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
        }
        1 => {
            let grow = it.get_typed_func::<i32, i32>(&store, "grow").unwrap();
            assert_eq!(grow.call(&mut store, 100 + random.below(500) as i32).unwrap(), 0);
        }
        2 => {
            it.get_typed_func::<(), ()>(&store, "log").unwrap().call(&mut store, ()).unwrap();
            assert_eq!(*store.data(), 1);
        }
        3 if exposed => it.get_memory(&store, "m").unwrap().data_mut(&mut store)[400_000] = 1,
        _ => {}
    }
}

#[test]
fn engines_and_modules_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let round = |i: usize| {
        let engine = Engine::new(Config::new().memory_init_cow(i.is_multiple_of(2))).unwrap();
        let text = format!(r#"(module (memory (export "m") 2) (data (i32.const {i}) "x") (func (export "f")))"#);
        let module = Module::new(&engine, text).unwrap();
        let mut stores: Vec<_> = (0..3).map(|_| Store::new(&engine, ())).collect();
        for store in &mut stores {
            let it = Instance::new(&mut *store, &module, &[]).unwrap();
            it.get_memory(&*store, "m").unwrap().data_mut(&mut *store).fill(1);
            call(store, it, "f", &[]).unwrap();
        }
        // In any order.
        let mut order = [Some(engine), None, None];
        order.rotate_left(i % 3);
        for (engine, store) in order.into_iter().zip(stores) {
            drop(engine);
            drop(store);
        }
    };
    (0..30).for_each(round);
    let before = Process::now();
    (0..300).for_each(round);
    Process::now().assert_no_more_than(before, "an engine leaves something behind");
}

/// As many as there can be at the defaults of Linux, which allows 65,530 mappings.
const ALL: usize = 16_384;

#[test]
fn sixteen_thousand_instances_live_at_once_each_with_its_own_memory() {
    let _alone = alone();
    let engine = Engine::default();
    let module = Module::new(&engine, many(16)).unwrap();
    for time in 0..2 {
        let before = common::mappings();
        let (mut live, error) = fill(&engine, &module);
        assert!(live.len() == ALL && error.contains("16384"), "{} instances, then: {error}", live.len());
        let mappings = common::mappings() - before.min(1000);
        println!("{ALL} instances take {mappings} mappings");
        assert!(mappings <= 4 * ALL, "{mappings} mappings");
        verify(&mut live);
        // Any order: from both ends.
        while let Some(last) = live.pop() {
            drop(last);
            if !live.is_empty() {
                live.swap_remove(0);
            }
        }
        let stats = engine.stats();
        assert_eq!((stats.live, stats.idle), (0, ALL), "time {time}");
    }
    drop(module);
    assert_eq!(engine.stats().idle, ALL, "the slots outlive the module");
    drop(engine);
    assert!(common::mappings() < 1000, "and go with the engine");
}

/// Larger memories take four mappings, so the system's limit comes first, by a few instances.
#[test]
fn where_mappings_run_out_there_is_an_error_and_all_others_go_on() {
    let _alone = alone();
    let engine = Engine::default();
    // Compiling needs mappings as well, and soon there will be none.
    let [module, other] = [20, 21].map(|pages| Module::new(&engine, many(pages)).unwrap());
    let (mut live, error) = fill(&engine, &module);
    println!("{} instances, then: {error}", live.len());
    // Either the slot's reservation is one mapping too many, or what is mapped in it.
    assert!(["max_map_count", "reserve", "16384"].iter().any(|what| error.contains(what)), "{error}");
    assert!(common::mappings() <= 4 * live.len() + 1000);
    assert!(live.len() > 16_000, "{} instances", live.len());
    verify(&mut live);
    live.truncate(100);
    verify_again(&mut live);
    let (mut more, _) = fill(&engine, &module);
    verify(&mut more);
    // Idle slots keep their mappings, but not from another module.
    drop(live);
    drop(more);
    let (mut others, error) = fill(&engine, &other);
    assert!(others.len() > 16_000, "{} instances of another module, then: {error}", others.len());
    verify(&mut others);
}

fn many(pages: usize) -> String {
    format!(
        r#"(module (memory (export "m") {pages}) (data (i32.const 5000) "many")
          (func (export "swap") (param i32 i32) (result i32)
            (i32.load (local.get 0)) (i32.store (local.get 0) (local.get 1))))"#
    )
}

/// Makes instances until there is an error.
fn fill(engine: &Engine, module: &Module) -> (Vec<(Store<()>, Instance)>, String) {
    let mut live = Vec::with_capacity(ALL);
    loop {
        let mut store = Store::new(engine, ());
        match Instance::new(&mut store, module, &[]) {
            Ok(it) if live.is_empty() => {
                // Calling needs a signal stack, which takes two mappings, once for the thread.
                call_i32(&mut store, it, "swap", &[0, 0]).unwrap();
                live.push((store, it));
            }
            Ok(it) => live.push((store, it)),
            Err(error) => return (live, format!("{error:#}")),
        }
    }
}

/// Checks that all are fresh, get values of their own, and keep them.
fn verify(live: &mut [(Store<()>, Instance)]) {
    let many = i32::from_le_bytes(*b"many");
    for (i, (store, it)) in live.iter_mut().enumerate() {
        assert_eq!(call_i32(store, *it, "swap", &[5000, i as i32]).unwrap(), many, "instance {i}");
        assert_eq!(call_i32(store, *it, "swap", &[1_000_000, !(i as i32)]).unwrap(), 0, "instance {i}");
    }
    verify_again(live);
}

fn verify_again(live: &mut [(Store<()>, Instance)]) {
    for (i, (store, it)) in live.iter_mut().enumerate() {
        let memory = it.get_memory(&*store, "m").unwrap();
        let word = |at: usize| i32::from_le_bytes(memory.data(&*store)[at..at + 4].try_into().unwrap());
        assert_eq!([word(5000), word(1_000_000)], [i as i32, !(i as i32)], "instance {i}");
    }
}
