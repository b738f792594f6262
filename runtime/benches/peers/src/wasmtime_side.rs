//! wasmtime, in three configurations.

use crate::guest::{Guest, Peer, guest};
use anyhow::{Context, Result};
use std::path::Path;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, Linker, Module, PoolingAllocationConfig};

type Pre = wasmtime::InstancePre<()>;

guest!(wasmtime);

pub(crate) struct Wasmtime {
    engine: Engine,
    linker: Linker<()>,
}

impl Wasmtime {
    /// As it comes: every instance gets its memory and tables from the kernel and gives them back.
    pub(crate) fn on_demand() -> Result<Self> {
        Self::new(&Config::new())
    }

    /// With the pooling allocator, and otherwise as it comes. `live` raises its limits (1,000) when more instances
    /// than that have to live at one time.
    pub(crate) fn pooling(live: Option<u32>) -> Result<Self> {
        Self::pooled(PoolingAllocationConfig::new(), live)
    }

    /// With pooling and what its documentation offers for instances that are made often: memories and tables are
    /// scanned for dirtied pages and these are copied back, up to a limit. No module here reaches the limits, so
    /// nothing is ever given back to the kernel.
    pub(crate) fn pooling_scan(live: Option<u32>) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(32 << 20);
        pool.table_keep_resident(1 << 20);
        Self::pooled(pool, live).context("wasmtime with PAGEMAP_SCAN, which needs Linux 6.7")
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
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "identity", |x: i32| x)?;
        let unary = wasmtime::FuncType::new(&engine, [wasmtime::ValType::I32], [wasmtime::ValType::I32]);
        linker.func_new("host", "any_identity", unary, |_, arguments, results| {
            results[0] = arguments[0];
            Ok(())
        })?;
        Ok(Self { engine, linker })
    }

    fn guest(&self, module: &Module) -> Result<Box<dyn Guest>> {
        Ok(Box::new(Loaded { engine: self.engine.clone(), pre: self.linker.instantiate_pre(module)? }))
    }
}

impl Peer for Wasmtime {
    fn load(&self, wasm: &[u8]) -> Result<Box<dyn Guest>> {
        self.guest(&Module::new(&self.engine, wasm)?)
    }

    fn compile(&self, wasm: &[u8]) -> Result<Option<usize>> {
        Ok(Some(Module::new(&self.engine, wasm)?.text().len()))
    }

    fn precompile(&self, wasm: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(Some(Module::new(&self.engine, wasm)?.serialize()?))
    }

    unsafe fn load_precompiled(&self, path: &Path) -> Result<Box<dyn Guest>> {
        // SAFETY: the caller says that the file is what `serialize` gave, and stays so.
        self.guest(&unsafe { Module::deserialize_file(&self.engine, path) }?)
    }
}
