//! The three runtimes as they are configured, and fresh instances in each.

use crate::shape::{AnswersByArguments, Shape};
use anyhow::Result;
use minirt_runtimes::minirt::{Config, Engine, Inlining, Module, OptLevel, ResetStrategy, Store};
use minirt_runtimes::value::Outcome;
use minirt_runtimes::{on_minirt, on_wasmi, on_wasmtime};
use minirt_runtimes::{wasmi, wasmtime};

/// Bytes of stack that Wasm may use, in every runtime.
const WASM_STACK: usize = 1 << 20;

/// An engine and how it was configured. All modules of a configuration share one, so that their
/// slots do.
pub(crate) struct Configured {
    pub(crate) engine: Engine,
    pub(crate) about: String,
}

/// Returns every combination of settings that change how instances or code are made.
pub(crate) fn configurations() -> Result<Vec<Configured>> {
    let mut all = Vec::new();
    for strategy in [ResetStrategy::Adaptive, ResetStrategy::HotSet, ResetStrategy::Scan, ResetStrategy::Discard] {
        for images in [true, false] {
            // Both levels have calls that were replaced and calls that were not.
            let inlining = if images { Inlining::Always } else { Inlining::No };
            for (level, metered) in [(OptLevel::Speed, false), (OptLevel::None, false), (OptLevel::Speed, true)] {
                let mut config = Config::new();
                config.reset_strategy(strategy).memory_init_cow(images).cranelift_opt_level(level);
                config.max_wasm_stack(WASM_STACK).parallel_compilation(false).check_artifacts(true);
                config.consume_fuel(metered).epoch_interruption(metered).compiler_inlining(inlining);
                let [images, metered] = [images, metered].map(|it| if it { "with" } else { "without" });
                let about = format!(
                    "{strategy:?}, {images} images, {level:?}, inlining {inlining:?}, {metered} fuel and epochs"
                );
                all.push(Configured { engine: Engine::new(&config)?, about });
            }
        }
    }
    Ok(all)
}

/// Returns wasmtime with all the proposals that modules are generated for.
pub(crate) fn wasmtime() -> Result<wasmtime::Engine> {
    let mut config = wasmtime::Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_tail_call(true).wasm_extended_const(true);
    config.wasm_custom_page_sizes(true).wasm_wide_arithmetic(true).wasm_exceptions(true).max_wasm_stack(WASM_STACK);
    Ok(wasmtime::Engine::new(&config)?)
}

/// Returns wasmi with the same.
pub(crate) fn wasmi() -> wasmi::Engine {
    let mut config = wasmi::Config::default();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_tail_call(true).wasm_extended_const(true);
    config.wasm_custom_page_sizes(true).wasm_wide_arithmetic(true);
    config.set_max_recursion_depth(100_000).set_max_stack_height(WASM_STACK);
    wasmi::Engine::new(&config)
}

/// Makes a fresh instance in minirt, or returns how that ended.
pub(crate) fn start_on_minirt(module: &Module, shape: &Shape) -> Result<on_minirt::Live, Outcome> {
    let mut store = Store::new(module.engine(), ());
    let _ = store.set_fuel(u64::MAX); // An error where there is no fuel.
    store.set_epoch_deadline(u64::MAX);
    on_minirt::Live::start(store, module, &AnswersByArguments, shape.exports.clone())
}

/// Does the same in wasmtime.
pub(crate) fn start_on_wasmtime(module: &wasmtime::Module, shape: &Shape) -> Result<on_wasmtime::Live, Outcome> {
    let store = wasmtime::Store::new(module.engine(), ());
    on_wasmtime::Live::start(store, module, &AnswersByArguments, shape.exports.clone())
}

/// Does the same in wasmi.
pub(crate) fn start_on_wasmi(
    engine: &wasmi::Engine,
    module: &wasmi::Module,
    shape: &Shape,
) -> Result<on_wasmi::Live, Outcome> {
    let store = wasmi::Store::new(engine, ());
    on_wasmi::Live::start(store, module, &AnswersByArguments, shape.exports.clone())
}
