//! minirt, with nothing configured. Its frozen guests start from a snapshot.

use crate::guests::Guest;
use crate::service::{Host, Service, Start, service};
use anyhow::Result;
use minirt_runtimes::minirt::{self, Config, Engine, Linker, Module, Store};
use std::path::Path;

type Pre = minirt::InstancePre<()>;

service!(minirt);

fn resets(engine: &Engine) -> Option<String> {
    let stats = engine.stats();
    Some(format!(
        "{} by the hot set, {} by its regions, {} by a scan, {} by discarding; idle instances keep {} KiB",
        stats.resets_hot_set,
        stats.resets_regions,
        stats.resets_scan,
        stats.resets_discard,
        stats.kept_bytes / 1024
    ))
}

pub(crate) struct Minirt {
    engine: Engine,
}

impl Minirt {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { engine: Engine::new(&Config::new())? })
    }

    fn pre(&self, module: &Module) -> Result<Pre> {
        let mut linker = Linker::new(&self.engine);
        wasi(&mut linker, module)?;
        linker.instantiate_pre(module)
    }
}

impl Host for Minirt {
    fn prepare(&self, guest: &Guest, start: Start) -> Result<Vec<u8>> {
        let module = Module::new(&self.engine, guest.wasm())?;
        if start == Start::Module {
            return module.serialize();
        }
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre(&module)?.instantiate(&mut store)?;
        initialise(&mut store, instance)?;
        instance.snapshot(&mut store)?.module().serialize()
    }

    unsafe fn load(&self, path: &Path, start: Start) -> Result<Box<dyn Service>> {
        // SAFETY: the caller's promise.
        let module = unsafe { Module::deserialize_file(&self.engine, path) }?;
        Served::new(&self.engine, self.pre(&module)?, start)
    }
}
