//! Limits on memories, tables and instances: a guest that asks for more and more is refused or
//! stopped, and its host goes on.

use crate::common::{call_i32, each_config, instance};
use minirt::{
    Config, Engine, Error, Instance, LimitExceeded, Linker, Memory, MemoryType, Module, Ref, RefType, ResourceLimiter,
    Result, Store, StoreLimits, StoreLimitsBuilder, Table, TableType, Trap, Val,
};

use std::panic::AssertUnwindSafe;

const MIB: usize = 1 << 20;
const PAGE: usize = 65536;

const GREEDY: &str = r#"(module
  (memory (export "memory") 1)
  (memory $other 0 5)
  (table $t (export "table") 1 funcref)
  (func (export "memory.grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "other.grow") (param i32) (result i32) (memory.grow $other (local.get 0)))
  (func (export "table.grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
  (func (export "all memory") (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
  (func (export "all elements")
    (loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))))
  (func (export "memory.size") (result i32) (memory.size)))"#;

fn limited(engine: &Engine, limits: StoreLimitsBuilder) -> Store<StoreLimits> {
    let mut store = Store::new(engine, limits.build());
    store.limiter(|limits| limits);
    store
}

fn greedy<T>(store: &mut Store<T>) -> Instance {
    let module = Module::new(store.engine(), GREEDY).unwrap();
    Instance::new(store, &module, &[]).unwrap()
}

fn grow<T>(store: &mut Store<T>, instance: Instance, name: &str, delta: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&*store, name)?.call(store, delta)
}

fn text<R: std::fmt::Debug>(result: Result<R>) -> String {
    format!("{:#}", result.expect_err("this must fail"))
}

fn memory_type(minimum: u64, maximum: Option<u64>) -> MemoryType {
    MemoryType { minimum, maximum, ..MemoryType::default() }
}

fn table_type(minimum: u64) -> TableType {
    TableType { element: RefType::FUNCREF, minimum, maximum: None, table64: false }
}

#[test]
fn a_guest_gets_so_much_memory_and_so_many_elements_and_no_more() {
    each_config(|_, _, config| {
        let engine = Engine::new(&config).unwrap();
        let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(MIB).table_elements(5000));
        let instance = greedy(&mut store);
        instance.get_typed_func::<(), ()>(&store, "all memory").unwrap().call(&mut store, ()).unwrap();
        instance.get_typed_func::<(), ()>(&store, "all elements").unwrap().call(&mut store, ()).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        let table = instance.get_table(&store, "table").unwrap();
        assert_eq!((memory.data_size(&store), table.size(&store)), (MIB, 4001));
        // The host may not do more either.
        assert!(text(memory.grow(&mut store, 1)).contains("cannot grow by 1"));
        assert!(text(table.grow(&mut store, 1000, Ref::Func(None))).contains("cannot grow by 1000"));
        assert_eq!(table.grow(&mut store, 999, Ref::Func(None)).unwrap(), 4001);
        // What it cannot have leaves it as it was.
        assert_eq!(grow(&mut store, instance, "memory.grow", 1).unwrap(), -1);
        assert_eq!(grow(&mut store, instance, "memory.grow", 0).unwrap(), 16);
        assert_eq!(grow(&mut store, instance, "other.grow", 6).unwrap(), -1, "beyond its type");
        assert_eq!(grow(&mut store, instance, "other.grow", 5).unwrap(), 0, "each memory by itself");
        instance.reset(&mut store).unwrap();
        assert_eq!(memory.size(&store), 1);
        assert_eq!(grow(&mut store, instance, "memory.grow", 15).unwrap(), 1);
        assert_eq!(grow(&mut store, instance, "memory.grow", 1).unwrap(), -1);
    });
}

#[test]
fn a_guest_that_cannot_grow_is_stopped_if_that_is_wanted() {
    let engine = Engine::default();
    let limits = StoreLimitsBuilder::new().memory_size(MIB).table_elements(10).trap_on_grow_failure(true);
    let mut store = limited(&engine, limits);
    let instance = greedy(&mut store);
    let all = instance.get_typed_func::<(), ()>(&store, "all memory").unwrap();
    assert!(text(all.call(&mut store, ())).contains("forcing trap when growing memory to 1114112 bytes"));
    let error = grow(&mut store, instance, "table.grow", 10);
    assert!(text(error).contains("forcing trap when growing table to 11 elements"));
    assert!(text(grow(&mut store, instance, "other.grow", 6)).contains("forcing trap"));
    let memory = instance.get_memory(&store, "memory").unwrap();
    assert!(text(memory.grow(&mut store, 1)).contains("forcing trap"));
    // The store is as usable as before.
    assert_eq!(grow(&mut store, instance, "table.grow", 9).unwrap(), 1);
    assert_eq!(memory.size(&store), 16);
}

#[test]
fn a_refusal_says_by_its_type_what_was_refused() {
    let engine = Engine::default();
    let limits = StoreLimitsBuilder::new().memory_size(2 * PAGE).table_elements(10).memories(1);
    for (wat, expected) in [
        ("(module (memory 3))", LimitExceeded::MemorySize(3)),
        ("(module (table 11 funcref))", LimitExceeded::TableSize(11)),
        ("(module (memory 1) (memory 1))", LimitExceeded::Count { what: "memory", count: 2, most: 1 }),
    ] {
        let mut store = limited(&engine, limits.clone());
        let error = Instance::new(&mut store, &Module::new(&engine, wat).unwrap(), &[]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&expected), "{error:#}");
    }
}

#[test]
fn first_sizes_count_whoever_defines_them() {
    let engine = Engine::default();
    let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(2 * PAGE).table_elements(10));
    let refused = |store: &mut Store<StoreLimits>, wat: &str| {
        let module = Module::new(&engine, wat).unwrap();
        text(Instance::new(store, &module, &[]))
    };
    assert!(refused(&mut store, "(module (memory 3))").contains("minimum size of 3 pages exceeds memory limits"));
    assert!(refused(&mut store, "(module (memory 1) (memory 3))").contains("minimum size of 3 pages"));
    let table = refused(&mut store, "(module (table 11 funcref))");
    assert!(table.contains("minimum size of 11 elements exceeds table limits"));
    assert!(text(Memory::new(&mut store, memory_type(3, None))).contains("3 pages"));
    assert!(text(Table::new(&mut store, table_type(11), Ref::Func(None))).contains("11 elements"));
    let memory = Memory::new(&mut store, memory_type(2, None)).unwrap();
    let table = Table::new(&mut store, table_type(10), Ref::Func(None)).unwrap();
    assert!(memory.grow(&mut store, 1).is_err() && table.grow(&mut store, 1, Ref::Func(None)).is_err());
    let module = Module::new(&engine, "(module (memory 2) (table 10 funcref))").unwrap();
    Instance::new(&mut store, &module, &[]).unwrap();
}

#[test]
fn a_snapshot_counts_as_large_as_it_is() {
    let engine = Engine::default();
    let (mut store, small) = instance(&engine, GREEDY);
    assert_eq!(call_i32(&mut store, small, "memory.grow", &[7]).unwrap(), 1);
    let snapshot = small.snapshot(&mut store).unwrap();
    let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(7 * PAGE));
    assert!(text(snapshot.instantiate(&mut store, &[])).contains("8 pages"));
    let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(8 * PAGE));
    let instance = snapshot.instantiate(&mut store, &[]).unwrap();
    assert_eq!(grow(&mut store, instance, "memory.grow", 1).unwrap(), -1);
}

#[test]
fn a_store_has_no_more_instances_memories_and_tables_than_it_may() {
    let engine = Engine::default();
    // Three memories take three slots, and are one instance.
    let three = Module::new(&engine, "(module (memory 0) (memory 0) (memory 0) (table 0 funcref))").unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&three).unwrap();
    let mut store = limited(&engine, StoreLimitsBuilder::new().instances(3));
    for _ in 0..3 {
        pre.instantiate(&mut store).unwrap();
    }
    let refusal = text(pre.instantiate(&mut store));
    assert!(refusal.contains("resource limit exceeded: instance count too high at 4"), "{refusal}");
    // What the embedder defines is no instance.
    Memory::new(&mut store, memory_type(0, None)).unwrap();
    Table::new(&mut store, table_type(0), Ref::Func(None)).unwrap();

    let mut store = limited(&engine, StoreLimitsBuilder::new().memories(7));
    pre.instantiate(&mut store).unwrap();
    pre.instantiate(&mut store).unwrap();
    assert!(text(pre.instantiate(&mut store)).contains("memory count too high at 9"));
    let own = Memory::new(&mut store, memory_type(0, None)).unwrap();
    assert!(text(Memory::new(&mut store, memory_type(0, None))).contains("memory count too high at 8"));
    // An import is not one more.
    let imports = Module::new(&engine, r#"(module (import "" "" (memory 0)))"#).unwrap();
    Instance::new(&mut store, &imports, &[own.into()]).unwrap();

    let mut store = limited(&engine, StoreLimitsBuilder::new().tables(2));
    pre.instantiate(&mut store).unwrap();
    pre.instantiate(&mut store).unwrap();
    assert!(text(Table::new(&mut store, table_type(0), Ref::Func(None))).contains("table count too high at 3"));
}

#[test]
fn what_was_made_before_there_was_a_limiter_counts() {
    let engine = Engine::default();
    let empty = Module::new(&engine, "(module)").unwrap();
    let mut store = Store::new(&engine, StoreLimitsBuilder::new().instances(2).build());
    for _ in 0..3 {
        Instance::new(&mut store, &empty, &[]).unwrap();
    }
    store.limiter(|limits| limits);
    assert!(text(Instance::new(&mut store, &empty, &[])).contains("instance count too high at 4"));
    store.data_mut().clone_from(&StoreLimitsBuilder::new().instances(4).build());
    Instance::new(&mut store, &empty, &[]).unwrap();
}

/// A limiter that writes down what it is asked, and answers as it is told.
#[derive(Default)]
struct Recorder {
    asked: Vec<String>,
    answer: Option<fn() -> Result<bool>>,
}

impl Recorder {
    fn answer(&self) -> Result<bool> {
        self.answer.map_or(Ok(true), |answer| answer())
    }
}

impl ResourceLimiter for Recorder {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.asked.push(format!("memory {current} {desired} {maximum:?}"));
        self.answer()
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.asked.push(format!("failed: {error}"));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.asked.push(format!("table {current} {desired} {maximum:?}"));
        self.answer()
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.asked.push(format!("failed: {error}"));
        Ok(())
    }
}

fn recorded(engine: &Engine) -> (Store<Recorder>, Instance) {
    let mut store = Store::new(engine, Recorder::default());
    store.limiter(|recorder| recorder);
    let instance = greedy(&mut store);
    (store, instance)
}

#[test]
fn a_limiter_is_asked_about_every_size_in_bytes_or_elements() {
    let (mut store, instance) = recorded(&Engine::default());
    assert_eq!(store.data().asked, ["memory 0 65536 None", "table 0 1 None", "memory 0 0 Some(327680)"]);
    store.data_mut().asked.clear();
    assert_eq!(grow(&mut store, instance, "memory.grow", 2).unwrap(), 1);
    assert_eq!(grow(&mut store, instance, "memory.grow", 0).unwrap(), 3);
    assert_eq!(grow(&mut store, instance, "memory.grow", -1).unwrap(), -1);
    assert_eq!(grow(&mut store, instance, "other.grow", 6).unwrap(), -1);
    assert_eq!(grow(&mut store, instance, "table.grow", 4).unwrap(), 1);
    let expected = [
        "memory 65536 196608 None",
        "memory 196608 281474976841728 None",
        "failed: a memory of 3 pages cannot grow by 4294967295",
        "memory 0 393216 Some(327680)",
        "failed: a memory of 0 pages cannot grow by 6",
        "table 1 5 None",
    ];
    assert_eq!(store.data().asked, expected);
}

#[test]
fn a_limiter_is_asked_about_first_sizes_that_are_not_possible() {
    let mut store = Store::new(&Engine::default(), Recorder::default());
    store.limiter(|recorder| recorder);
    let memory = MemoryType::new64(1 << 40, None);
    let table = TableType::new64(RefType::FUNCREF, 1 << 40, Some(1 << 41));
    assert!(text(Memory::new(&mut store, memory)).contains("at most 65536 are possible"));
    assert!(text(Table::new(&mut store, table, Ref::Func(None))).contains("are possible"));
    let asked = ["memory 0 72057594037927936 None", "table 0 1099511627776 Some(2199023255552)"];
    assert_eq!(store.data().asked, asked);
    store.data_mut().answer = Some(|| Err(Error::msg("not today")));
    assert_eq!(text(Memory::new(&mut store, memory)), "not today");
    assert_eq!(text(Table::new(&mut store, table, Ref::Func(None))), "not today");
    store.data_mut().answer = Some(|| Ok(false));
    assert!(text(Memory::new(&mut store, memory)).ends_with("exceeds memory limits"));
}

#[test]
fn what_a_limiter_fails_with_is_what_the_call_fails_with() {
    let (mut store, instance) = recorded(&Engine::default());
    store.data_mut().answer = Some(|| Err(Error::msg("not today")));
    for name in ["memory.grow", "other.grow", "table.grow"] {
        assert!(text(grow(&mut store, instance, name, 1)).contains("not today"), "{name}");
    }
    store.data_mut().answer = Some(|| Err(Error::new(Trap::Interrupt)));
    let error = grow(&mut store, instance, "memory.grow", 1).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    store.data_mut().answer = Some(|| panic!("never"));
    for _ in 0..2 {
        let run = std::panic::AssertUnwindSafe(|| grow(&mut store, instance, "memory.grow", 1));
        assert_eq!(*std::panic::catch_unwind(run).unwrap_err().downcast::<&str>().unwrap(), "never");
        let memory = instance.get_memory(&store, "memory").unwrap();
        let run = std::panic::AssertUnwindSafe(|| memory.grow(&mut store, 1));
        assert_eq!(*std::panic::catch_unwind(run).unwrap_err().downcast::<&str>().unwrap(), "never");
    }
    store.data_mut().answer = None;
    assert_eq!(grow(&mut store, instance, "memory.grow", 1).unwrap(), 1, "nothing has grown meanwhile");
    assert_eq!(grow(&mut store, instance, "table.grow", 1).unwrap(), 1);
}

#[test]
fn a_memory_with_64_bit_addresses_is_limited_too() {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (memory i64 1) (table $t i64 1 funcref)
          (func (export "m") (param i64) (result i64) (memory.grow (local.get 0)))
          (func (export "t") (param i64) (result i64) (table.grow $t (ref.null func) (local.get 0))))"#,
    );
    let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(MIB).table_elements(10));
    let instance = Instance::new(&mut store, &module.unwrap(), &[]).unwrap();
    for (name, fits, before) in [("m", 15, 1), ("t", 9, 1)] {
        let func = instance.get_func(&store, name).unwrap();
        let mut run = |delta: i64| {
            let mut results = [Val::I64(0)];
            func.call(&mut store, &[Val::I64(delta)], &mut results).map(|()| results[0].unwrap_i64()).unwrap()
        };
        for delta in [fits + 1, -1, i64::MAX, i64::MIN, 1 << 48] {
            assert_eq!(run(delta), -1, "{name} {delta}");
        }
        assert_eq!(run(fits), before);
    }
}

/// A limiter whose panic a test waits for.
struct Panics;

impl ResourceLimiter for Panics {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        panic!("the limiter panics")
    }
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

#[test]
fn a_limiter_that_panics_does_not_cost_a_slot() {
    let engine = Engine::new(Config::new().max_instances(2)).unwrap();
    let module = Module::new(&engine, "(module (memory (export \"m\") 1))").unwrap();
    for _ in 0..5 {
        let mut store = Store::new(&engine, Panics);
        store.limiter(|limiter| limiter);
        let attempt = AssertUnwindSafe(|| Instance::new(&mut store, &module, &[]).map(drop));
        assert!(std::panic::catch_unwind(attempt).is_err());
    }
    let stats = engine.stats();
    assert_eq!((stats.live, stats.kept_bytes), (0, 0));
    let mut store = Store::new(&engine, ());
    for _ in 0..2 {
        Instance::new(&mut store, &module, &[]).unwrap();
    }
}
