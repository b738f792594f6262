//! Fuel, epochs, and limits of size: what ends a guest that does not end by itself.

use super::super::api::{
    Config, Engine, Instance, Memory, MemoryType, Module, ResourceLimiter, Result, Store, StoreLimits,
    StoreLimitsBuilder, Trap, UpdateDeadline,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const SPIN: &str =
    r#"(module (func (export "spin") (loop (br 0))) (func (export "short") (result i32) (i32.const 3)))"#;

pub(crate) fn fuel() -> Result<Vec<String>> {
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config)?;
    let mut store = Store::new(&engine, ());
    let module = Module::new(&engine, wat::parse_str(SPIN)?)?;
    store.set_fuel(10_000)?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    let short = instance.get_typed_func::<(), i32>(&mut store, "short")?;
    let mut lines = vec![format!("{}", short.call(&mut store, ())?)];
    lines.push(format!("{}", (1..10_000).contains(&store.get_fuel()?)));
    lines.push(format!("{:?}", spin.call(&mut store, ()).expect_err("no fuel").downcast_ref::<Trap>()));
    lines.push(format!("{}", store.get_fuel()?));
    lines.push(format!("{:?}", short.call(&mut store, ()).expect_err("no fuel").downcast_ref::<Trap>()));
    store.set_fuel(100)?;
    lines.push(format!("{}", short.call(&mut store, ())?));
    let mut without = Store::new(&Engine::default(), ());
    lines.push(format!("{} {}", without.set_fuel(1).is_err(), without.get_fuel().is_err()));
    Ok(lines)
}

pub(crate) fn epochs() -> Result<Vec<String>> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, wat::parse_str(SPIN)?)?;
    let mut store = Store::new(&engine, 0);
    store.set_epoch_deadline(2);
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    let short = instance.get_typed_func::<(), i32>(&mut store, "short")?;
    let mut lines = vec![format!("{}", short.call(&mut store, ())?)];
    engine.increment_epoch();
    lines.push(format!("{}", short.call(&mut store, ())?));
    let ticking = engine.clone();
    let clock = std::thread::spawn(move || {
        (0..20).for_each(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            ticking.increment_epoch();
        })
    });
    lines.push(format!("{:?}", spin.call(&mut store, ()).expect_err("its time is up").downcast_ref::<Trap>()));
    clock.join().expect("it only ticks");

    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        *context.data_mut() += 1;
        Ok(if *context.data() < 3 { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
    });
    let over = Arc::new(AtomicBool::new(false));
    let (ticking, stop) = (engine.clone(), Arc::clone(&over));
    let clock = std::thread::spawn(move || {
        while !stop.load(SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(5));
            ticking.increment_epoch();
        }
    });
    lines.push(format!("{:?}", spin.call(&mut store, ()).expect_err("interrupted").downcast_ref::<Trap>()));
    over.store(true, SeqCst);
    lines.push(format!("{}", store.data()));
    clock.join().expect("it only ticks");
    Ok(lines)
}

/// A limiter of one's own: it counts.
#[derive(Default)]
struct Counting {
    asked: Vec<String>,
}

impl ResourceLimiter for Counting {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.asked.push(format!("memory {current} {desired} {maximum:?}"));
        Ok(desired <= 3 << 16)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.asked.push(format!("table {current} {desired} {maximum:?}"));
        Ok(desired <= 10)
    }
}

pub(crate) fn limits() -> Result<Vec<String>> {
    let engine = Engine::default();
    let text = r#"(module (memory (export "memory") 1 8) (table (export "table") 2 30 funcref)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "grow table") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#;
    let module = Module::new(&engine, wat::parse_str(text)?)?;
    let mut lines = Vec::new();

    let mut store = Store::new(&engine, Counting::default());
    store.limiter(|counting| counting);
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow")?;
    let grow_table = instance.get_typed_func::<i32, i32>(&mut store, "grow table")?;
    lines.push(format!("{} {} {}", grow.call(&mut store, 2)?, grow.call(&mut store, 1)?, grow.call(&mut store, 0)?));
    lines.push(format!("{} {}", grow_table.call(&mut store, 8)?, grow_table.call(&mut store, 1)?));
    lines.extend(store.into_data().asked);

    let limits: StoreLimits =
        StoreLimitsBuilder::new().memory_size(2 << 16).instances(2).trap_on_grow_failure(true).build();
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow")?;
    lines.push(format!("{} {}", grow.call(&mut store, 1)?, grow.call(&mut store, 1).is_err()));
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    lines.push(format!("{}", memory.grow(&mut store, 1).is_err()));
    lines.push(format!("{}", Memory::new(&mut store, MemoryType::new(3, None)).is_err()));
    lines.push(format!("{}", Instance::new(&mut store, &module, &[]).is_ok()));
    lines.push(format!("{}", Instance::new(&mut store, &module, &[]).is_err()));
    Ok(lines)
}
