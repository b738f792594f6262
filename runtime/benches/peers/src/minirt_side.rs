//! minirt, with nothing configured.

use crate::guest::{Guest, Peer, guest};
use anyhow::Result;
use minirt::{Engine, Linker, Module};
use std::path::Path;

type Pre = minirt::InstancePre<()>;

guest!(minirt);

pub(crate) struct Minirt {
    engine: Engine,
    linker: Linker<()>,
}

impl Minirt {
    pub(crate) fn new() -> Result<Self> {
        let engine = Engine::new(&minirt::Config::new())?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "identity", |x: i32| x)?;
        let unary = minirt::FuncType::new([minirt::ValType::I32], [minirt::ValType::I32]);
        linker.func_new("host", "any_identity", unary, |_, arguments, results| {
            results[0] = arguments[0];
            Ok(())
        })?;
        Ok(Self { engine, linker })
    }

    fn guest(&self, module: &Module) -> Result<Box<dyn Guest>> {
        Ok(Box::new(Loaded { engine: self.engine.clone(), pre: self.linker.instantiate_pre(module)? }))
    }

    /// A guest that starts where an instance of the module stood after `touch(1)`.
    pub(crate) fn load_snapshot(&self, wasm: &[u8]) -> Result<Box<dyn Guest>> {
        let mut store = minirt::Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &Module::new(&self.engine, wasm)?)?;
        instance.get_typed_func::<i32, ()>(&mut store, "touch")?.call(&mut store, 1)?;
        let snapshot: minirt::Snapshot = instance.snapshot(&mut store)?;
        self.guest(snapshot.module())
    }
}

impl Peer for Minirt {
    fn load(&self, wasm: &[u8]) -> Result<Box<dyn Guest>> {
        self.guest(&Module::new(&self.engine, wasm)?)
    }

    fn compile(&self, wasm: &[u8]) -> Result<Option<usize>> {
        Ok(Some(Module::new(&self.engine, wasm)?.image_info().code))
    }

    fn precompile(&self, wasm: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(Some(Module::new(&self.engine, wasm)?.serialize()?))
    }

    unsafe fn load_precompiled(&self, path: &Path) -> Result<Box<dyn Guest>> {
        // SAFETY: the caller says that the file is what `serialize` gave, and stays so.
        self.guest(&unsafe { Module::deserialize_file(&self.engine, path) }?)
    }
}
