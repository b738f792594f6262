//! Any bytes as a module, in the binary or the text format: an error or a module, never a panic, a
//! hang or an abort. What is a module lives for a while, with fuel.

#![no_main]

use libfuzzer_sys::fuzz_target;
use minirt::{Config, Engine, Instance, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Val};
use std::sync::LazyLock;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true).parallel_compilation(false).max_instances(8).max_function_instructions(20_000);
    Engine::new(&config).expect("an engine")
});

fuzz_target!(|bytes: &[u8]| {
    let valid = Module::validate(&ENGINE, bytes).is_ok();
    let module = Module::new(&ENGINE, bytes);
    assert!(!valid || module.is_ok() || too_large(bytes), "valid, and yet: {:?}", module.err());
    let Ok(module) = module else { return };
    let (exports, imports) = (module.exports().count(), module.imports().count());
    assert!(exports + imports < 1 << 20);
    let _ = module.image_info();
    let limits = StoreLimitsBuilder::new().memory_size(16 << 20).table_elements(100_000).instances(8).build();
    let mut store = Store::<StoreLimits>::new(&ENGINE, limits);
    store.limiter(|limits| limits);
    store.set_fuel(100_000).expect("the engine counts fuel");
    let mut linker = Linker::new(&ENGINE);
    if linker.define_unknown_imports_as_default_values(&mut store, &module).is_err() {
        return;
    }
    let Ok(it) = linker.instantiate(&mut store, &module) else { return };
    run(&mut store, it);
    if it.reset(&mut store).is_ok() {
        run(&mut store, it);
    }
});

/// Calls every function with zeros and nulls, as long as there is fuel.
fn run(store: &mut Store<StoreLimits>, it: Instance) {
    let names: Vec<String> = it.exports(&*store).map(|export| export.name().to_owned()).collect();
    for name in names {
        let Some(func) = it.get_func(&*store, &name) else { continue };
        let ty = func.ty(&*store);
        let Some(params) = ty.params().iter().copied().map(Val::default_for_ty).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let mut results = vec![Val::I32(0); ty.results().len()];
        let _ = func.call(&mut *store, &params, &mut results);
    }
}

/// Whether a limit of compiling can refuse what is valid.
fn too_large(bytes: &[u8]) -> bool {
    bytes.len() > 4_000
}
