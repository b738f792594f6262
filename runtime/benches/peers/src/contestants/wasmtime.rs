//! wasmtime, in three configurations.

use crate::work::{compiled_peer, work};
use anyhow::{Context, Result};
use minirt_runtimes::on_wasmtime::Live;
use minirt_runtimes::wasmtime::{self, Config, Enabled, Engine, FuncType, Linker, Module, ValType};
use minirt_runtimes::wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig};

type Pre = wasmtime::InstancePre<()>;

work!(wasmtime);
compiled_peer!(wasmtime, Wasmtime);

pub(crate) struct Wasmtime {
    engine: Engine,
    linker: Linker<()>,
}

impl Wasmtime {
    /// The default: every instance gets its memory and tables from the kernel and gives them back.
    pub(crate) fn on_demand() -> Result<Self> {
        Self::new(&Config::new())
    }

    /// With the pooling allocator and otherwise the default. `live` raises its limits (1,000) if
    /// more instances have to live at a time.
    pub(crate) fn pooling(live: Option<u32>) -> Result<Self> {
        Self::pooled(PoolingAllocationConfig::new(), live)
    }

    /// With pooling and what its documentation offers for instances that are made often: memories
    /// and tables are scanned for dirtied pages and these are copied back, up to a limit. No module
    /// here reaches the limits, so nothing is ever given back to the kernel.
    pub(crate) fn pooling_scan(live: Option<u32>) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(32 << 20);
        pool.table_keep_resident(1 << 20);
        Self::pooled(pool, live).context("wasmtime with PAGEMAP_SCAN, which needs Linux 6.7")
    }

    /// The default, with exceptions, structures and arrays: this collector has the objects of all
    /// three.
    #[cfg(feature = "exceptions")]
    pub(crate) fn with_collector(collector: wasmtime::Collector) -> Result<Self> {
        Self::new(Config::new().wasm_exceptions(true).wasm_gc(true).collector(collector))
    }

    fn pooled(mut pool: PoolingAllocationConfig, live: Option<u32>) -> Result<Self> {
        if let Some(live) = live {
            pool.total_core_instances(live).total_memories(live).total_tables(live);
        }
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Self::new(&config)
    }

    fn new(config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let linker = linker(&engine, FuncType::new(&engine, [ValType::I32], [ValType::I32]))?;
        Ok(Self { engine, linker })
    }
}

fn code_size(module: &Module) -> usize {
    module.text().len()
}
