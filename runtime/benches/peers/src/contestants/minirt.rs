//! minirt, with nothing configured.

use crate::work::{Program, compiled_peer, work};
use anyhow::Result;
use minirt_runtimes::minirt::{self, Config, Engine, FuncType, Linker, Module, Store, ValType};
use minirt_runtimes::on_minirt::Live;

type Pre = minirt::InstancePre<()>;

work!(minirt);
compiled_peer!(minirt, Minirt);

pub(crate) struct Minirt {
    engine: Engine,
    linker: Linker<()>,
}

impl Minirt {
    pub(crate) fn new() -> Result<Self> {
        Self::configured(&Config::new())
    }

    /// Returns minirt with structures and arrays.
    #[cfg(feature = "gc")]
    pub(crate) fn with_gc() -> Result<Self> {
        Self::configured(Config::new().wasm_gc(true))
    }

    fn configured(config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let linker = linker(&engine, FuncType::new([ValType::I32], [ValType::I32]))?;
        Ok(Self { engine, linker })
    }

    /// Returns a program that starts where an instance of the module stood after `touch(1)`.
    pub(crate) fn load_snapshot(&self, wasm: &[u8]) -> Result<Box<dyn Program>> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &Module::new(&self.engine, wasm)?)?;
        instance.get_typed_func::<i32, ()>(&mut store, "touch")?.call(&mut store, 1)?;
        let snapshot = instance.snapshot(&mut store)?;
        self.program(snapshot.module())
    }
}

fn code_size(module: &Module) -> usize {
    module.image_info().code
}
