//! wasmtime, in three configurations. Its frozen guests are modules that its own tool, Wizer,
//! pre-initialised.

use crate::guests::Guest;
use crate::service::{Host, Service, Start, service};
use anyhow::{Context, Result, bail};
use minirt_runtimes::wasmtime::{self, Config, Enabled, Engine, Instance, Linker, Module, Store, Val};
use minirt_runtimes::wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig};
use std::path::Path;
use std::pin::pin;
use std::task::{Poll, Waker};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

type Pre = wasmtime::InstancePre<()>;

service!(wasmtime);

/// No memory may be larger than this with the pooling allocator, and so many bytes may stay
/// resident.
const LARGEST: usize = 256 << 20;

fn resets(_: &Engine) -> Option<String> {
    None
}

pub(crate) struct Wasmtime {
    engine: Engine,
}

impl Wasmtime {
    /// The default: every instance gets its memory and tables from the kernel and gives them back.
    pub(crate) fn on_demand() -> Result<Self> {
        Ok(Self { engine: Engine::new(&Config::new())? })
    }

    /// With the pooling allocator; with `scan`, all written pages are found and copied back, and
    /// stay resident.
    pub(crate) fn pooling(live: u32, scan: bool) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(live).total_memories(live).total_tables(live);
        pool.max_memory_size(LARGEST).table_elements(100_000).max_core_instance_size(16 << 20);
        if scan {
            pool.pagemap_scan(Enabled::Yes);
            pool.linear_memory_keep_resident(LARGEST);
            pool.table_keep_resident(1 << 20);
        }
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Ok(Self { engine: Engine::new(&config)? })
    }

    fn pre(&self, module: &Module) -> Result<Pre> {
        let mut linker = Linker::new(&self.engine);
        wasi(&mut linker, module)?;
        Ok(linker.instantiate_pre(module)?)
    }
}

impl Host for Wasmtime {
    fn prepare(&self, guest: &Guest, start: Start) -> Result<Vec<u8>> {
        if start == Start::Module {
            return Ok(Module::new(&self.engine, guest.wasm())?.serialize()?);
        }
        let mut wizer = Wizer::new();
        wizer.init_func("setup");
        let (context, instrumented) = wizer.instrument(guest.wasm())?;
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre(&Module::new(&self.engine, &instrumented)?)?.instantiate(&mut store)?;
        initialise(&mut store, instance)?;
        let mut frozen = Frozen { store: &mut store, instance };
        let snapshot = pin!(wizer.snapshot(&context, &mut frozen));
        match snapshot.poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(module) => Ok(Module::new(&self.engine, module?)?.serialize()?),
            Poll::Pending => bail!("nothing here waits for anything"),
        }
    }

    unsafe fn load(&self, path: &Path, start: Start) -> Result<Box<dyn Service>> {
        // SAFETY: the caller's promise.
        let module = unsafe { Module::deserialize_file(&self.engine, path) }?;
        Served::new(&self.engine, self.pre(&module)?, start).context("wasmtime")
    }
}

/// What Wizer asks of the instance that it freezes.
struct Frozen<'a> {
    store: &'a mut Store<()>,
    instance: Instance,
}

impl InstanceState for Frozen<'_> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut *self.store, name).expect("Wizer exports it");
        match global.get(&mut *self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            _ => unreachable!("Wizer has refused such modules"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut *self.store, name).expect("Wizer exports it");
        contents(memory.data(&*self.store));
    }
}
