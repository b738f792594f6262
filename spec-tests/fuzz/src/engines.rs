//! The three runtimes as they are configured, and fresh instances in each.

use crate::shape::{AnswersByArguments, Shape};
use anyhow::Result;
use minirt_runtimes::minirt::{Config, Engine, Inlining, Module, OptLevel, ResetStrategy, Store};
use minirt_runtimes::value::Outcome;
use minirt_runtimes::{on_minirt, on_wasmi, on_wasmtime};
use minirt_runtimes::{wasmi, wasmtime};
use std::num::NonZeroU32;

/// Bytes of stack that Wasm may use, in every runtime.
const WASM_STACK: usize = 1 << 20;

/// Bytes that a heap of structures and arrays may have, in every runtime. Linear memories have
/// fewer.
const HEAP: usize = 16 << 20;

/// After how many allocations minirt collects, by turns, where all modules have structures or
/// arrays.
const ZEAL: [Option<u32>; 4] = [None, Some(1), Some(3), Some(1)];

/// An engine and how it was configured. All modules of a configuration share one, so that their
/// slots do.
pub(crate) struct Configured {
    pub(crate) engine: Engine,
    pub(crate) about: String,
}

/// Returns every combination of settings that change how instances or code are made. With `gc`,
/// each of them four times.
pub(crate) fn configurations(gc: bool) -> Result<Vec<Configured>> {
    let zeal = if gc { &ZEAL[..] } else { &ZEAL[..1] };
    zeal.iter().map(|zeal| with_zeal(*zeal)).collect::<Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
}

fn with_zeal(zeal: Option<u32>) -> Result<Vec<Configured>> {
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
                config.gc_zeal_alloc_counter(zeal.and_then(NonZeroU32::new))?;
                let [images, metered] = [images, metered].map(|it| if it { "with" } else { "without" });
                let about = format!(
                    "{strategy:?}, {images} images, {level:?}, inlining {inlining:?}, {metered} fuel and epochs, \
                     zeal {zeal:?}"
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
    config.wasm_function_references(true).wasm_gc(true);
    // What it does is compared, not how fast; most of the time here is compilation. Another
    // register allocator than minirt's also shows what both would have in common.
    config.cranelift_opt_level(wasmtime::OptLevel::None);
    config.cranelift_regalloc_algorithm(wasmtime::RegallocAlgorithm::SinglePass);
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

/// Limits heaps. It has no size, so to leak one takes nothing.
struct Limit;

impl minirt_runtimes::minirt::ResourceLimiter for Limit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= HEAP)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

impl wasmtime::ResourceLimiter for Limit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= HEAP)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// Makes a fresh instance in minirt, or returns how that ended.
pub(crate) fn start_on_minirt(module: &Module, shape: &Shape) -> Result<on_minirt::Live, Outcome> {
    let mut store = Store::new(module.engine(), ());
    let _ = store.set_fuel(u64::MAX); // An error where there is no fuel.
    store.set_epoch_deadline(u64::MAX);
    store.limiter(|()| Box::leak(Box::new(Limit)));
    on_minirt::Live::start(store, module, &AnswersByArguments, shape.exports.clone())
}

/// Does the same in wasmtime.
pub(crate) fn start_on_wasmtime(module: &wasmtime::Module, shape: &Shape) -> Result<on_wasmtime::Live, Outcome> {
    let mut store = wasmtime::Store::new(module.engine(), ());
    store.limiter(|()| Box::leak(Box::new(Limit)));
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
