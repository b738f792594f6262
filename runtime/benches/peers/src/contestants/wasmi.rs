//! wasmi, an interpreter, with nothing configured. It has no way to look imports up once for many
//! instances, and no precompiled modules.

use crate::work::{Peer, Program, work};
use anyhow::{Result, bail};
use minirt_runtimes::on_wasmi::Live;
use minirt_runtimes::wasmi::{self, Engine, FuncType, Linker, Module, ValType};
use std::path::Path;
use std::sync::Arc;

work!(wasmi);

/// What wasmi has in place of an `InstancePre`: the linker and the module.
struct Pre {
    linker: Arc<Linker<()>>,
    module: Module,
}

impl Pre {
    fn instantiate(&self, store: &mut wasmi::Store<()>) -> Result<wasmi::Instance, wasmi::Error> {
        self.linker.instantiate_and_start(store, &self.module)
    }
}

pub(crate) struct Wasmi {
    engine: Engine,
    linker: Arc<Linker<()>>,
}

impl Wasmi {
    pub(crate) fn new() -> Result<Self> {
        let engine = Engine::default();
        let linker = linker(&engine, FuncType::new([ValType::I32], [ValType::I32]))?;
        Ok(Self { engine, linker: Arc::new(linker) })
    }
}

impl Peer for Wasmi {
    fn load(&self, wasm: &[u8]) -> Result<Box<dyn Program>> {
        let pre = Pre { linker: self.linker.clone(), module: Module::new(&self.engine, wasm)? };
        Ok(Box::new(Loaded { engine: self.engine.clone(), pre }))
    }

    fn compile(&self, _: &[u8]) -> Result<Option<usize>> {
        Ok(None)
    }

    fn precompile(&self, _: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    unsafe fn load_precompiled(&self, _: &Path) -> Result<Box<dyn Program>> {
        bail!("wasmi has no precompiled modules")
    }
}
