//! What the tests share: engines with and without images, and short ways to get an instance.
#![allow(dead_code, reason = "each test binary uses its own part")]

use minirt::{Config, Engine, Instance, Module, Result, Store, Val};

/// The default engine, and one that fills slots by copying.
pub(crate) fn engines() -> [(&'static str, Engine); 2] {
    let mut copying = Config::new();
    copying.memory_init_cow(false);
    [("images", Engine::default()), ("eager copies", Engine::new(&copying).unwrap())]
}

/// An instance of a module without imports, in a store of its own.
pub(crate) fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let module = Module::new(engine, text).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    (store, instance)
}

/// Calls an export and returns its results.
pub(crate) fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>> {
    let func = instance.get_func(&*store, name).unwrap();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    func.call(store, args, &mut results)?;
    Ok(results)
}

/// Calls an export that returns one i32.
pub(crate) fn call_i32(store: &mut Store<()>, instance: Instance, name: &str, args: &[i32]) -> Result<i32> {
    let args: Vec<Val> = args.iter().map(|v| Val::I32(*v)).collect();
    Ok(call(store, instance, name, &args)?[0].unwrap_i32())
}

/// Mappings of this process.
pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Open descriptors of this process.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
