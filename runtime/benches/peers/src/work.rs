//! The work that is measured, in the same words for every runtime.
//!
//! minirt and wasmi have the names of wasmtime, so one text serves all three. The macro `work!`
//! holds what is timed. What is not timed goes through `minirt-runtimes`.

use crate::modules::{INITIAL, STORE_AT};
use crate::race::{Contestant, Lap};
use anyhow::{Result, bail, ensure};
use minirt_runtimes::Guest;
use minirt_runtimes::value::{Outcome, Value};
use std::any::Any;
use std::path::Path;

/// A runtime in one configuration.
pub(crate) trait Peer: Sync {
    /// Compiles a module and looks its imports up, as far as the runtime can do that once for many
    /// instances.
    fn load(&self, wasm: &[u8]) -> Result<Box<dyn Program>>;

    /// Compiles a module to machine code and returns how many bytes that is, for runtimes that do
    /// so.
    fn compile(&self, wasm: &[u8]) -> Result<Option<usize>>;

    /// Compiles a module to a file's content, for runtimes that have this.
    fn precompile(&self, wasm: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Does what `load` does, from a file with what `precompile` returned.
    ///
    /// # Safety
    /// The file must be unchanged, and stay so: it holds machine code.
    unsafe fn load_precompiled(&self, path: &Path) -> Result<Box<dyn Program>>;
}

/// A module ready to be instantiated.
pub(crate) trait Program: Send + Sync {
    /// Makes a store, instantiates, looks `touch` up, calls it with `k` and drops it all, `times`
    /// times.
    fn round_trips(&self, k: i32, times: u32) -> Result<()>;

    /// Makes an instance in a store of its own.
    fn fresh(&self) -> Result<Box<dyn Guest>>;

    /// Returns a store with an instance that has run `touch(1)`.
    fn live(&self) -> Result<Box<dyn Any>>;

    /// Makes a store and an instance, and calls a function without parameters or results once.
    #[cfg(feature = "gc")]
    fn call_once(&self, name: &str) -> Result<()>;

    /// Calls functions without parameters or results in one instance: each of the copies with this
    /// name, in turn.
    fn calls_of(&self, name: &'static str) -> Result<Lap<'_>>;

    /// Calls the copies of `inner` in one instance, as functions whose type is known at run time
    /// only.
    fn calls_by_values(&self) -> Result<Lap<'_>>;
}

/// Makes sure that a program does what is going to be measured, and does it again after that.
pub(crate) fn check(program: &dyn Program) -> Result<()> {
    for _ in 0..3 {
        let seen = probe(program)?;
        ensure!(seen == (INITIAL, 1), "a fresh instance had {seen:?} at {STORE_AT} before and after a store of 1");
    }
    Ok(())
}

/// Makes one instance, and returns what `peek` sees at the place that `touch` stores to, before and
/// after.
pub(crate) fn probe(program: &dyn Program) -> Result<(u32, u32)> {
    let mut guest = program.fresh()?;
    let before = peek(&mut *guest)?;
    let touched = guest.call("touch", &[Value::I32(1)], 0);
    ensure!(touched == Outcome::Returned(Vec::new()), "`touch` ended with {touched:?}");
    Ok((before, peek(&mut *guest)?))
}

fn peek(guest: &mut dyn Guest) -> Result<u32> {
    let seen = guest.call("peek", &[Value::I32(STORE_AT as u32)], 1);
    match seen {
        Outcome::Returned(ref values) if let [Value::I32(value)] = values[..] => Ok(value),
        other => bail!("`peek` ended with {other:?}"),
    }
}

/// Round trips as something to race.
pub(crate) fn round_trips(program: &dyn Program, k: usize) -> Contestant<'_> {
    Box::new(move || Ok(Box::new(move |times| program.round_trips(k as i32, times))))
}

/// Defines `Loaded`, the [`Program`] of a runtime, and `linker`, which has what the modules import.
/// `Pre` must be in scope: what instantiates. So must `Live`.
macro_rules! work {
    ($runtime:ident) => {
        pub(crate) struct Loaded {
            engine: $runtime::Engine,
            pre: Pre,
        }

        impl Loaded {
            fn instance(&self) -> anyhow::Result<($runtime::Store<()>, $runtime::Instance)> {
                let mut store = $runtime::Store::new(&self.engine, ());
                let instance = self.pre.instantiate(&mut store)?;
                Ok((store, instance))
            }
        }

        impl $crate::work::Program for Loaded {
            fn round_trips(&self, k: i32, times: u32) -> anyhow::Result<()> {
                for _ in 0..times {
                    let mut store = $runtime::Store::new(&self.engine, ());
                    let instance = self.pre.instantiate(&mut store)?;
                    let touch = instance.get_typed_func::<i32, ()>(&mut store, "touch")?;
                    touch.call(&mut store, k)?;
                }
                Ok(())
            }

            fn fresh(&self) -> anyhow::Result<Box<dyn minirt_runtimes::Guest>> {
                let (store, instance) = self.instance()?;
                Ok(Box::new(Live::new(store, instance, Vec::new())))
            }

            fn live(&self) -> anyhow::Result<Box<dyn std::any::Any>> {
                let (mut store, instance) = self.instance()?;
                instance.get_typed_func::<i32, ()>(&mut store, "touch")?.call(&mut store, 1)?;
                Ok(Box::new(store))
            }

            #[cfg(feature = "gc")]
            fn call_once(&self, name: &str) -> anyhow::Result<()> {
                let (mut store, instance) = self.instance()?;
                Ok(instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ())?)
            }

            fn calls_of(&self, name: &'static str) -> anyhow::Result<$crate::race::Lap<'_>> {
                let (mut store, instance) = self.instance()?;
                let copies = $crate::modules::copies(name);
                let copies = copies.map(|name| instance.get_typed_func::<(), ()>(&mut store, &name));
                let copies = copies.collect::<Result<Vec<_>, _>>()?;
                Ok(Box::new(move |times| {
                    for _ in 0..times {
                        for copy in &copies {
                            copy.call(&mut store, ())?;
                        }
                    }
                    Ok(())
                }))
            }

            fn calls_by_values(&self) -> anyhow::Result<$crate::race::Lap<'_>> {
                let (mut store, instance) = self.instance()?;
                let copies = $crate::modules::copies("inner");
                let copies = copies.map(|name| instance.get_func(&mut store, &name).expect("the module exports it"));
                let copies: Vec<_> = copies.collect();
                let (argument, mut results) = ([$runtime::Val::I32(1)], [$runtime::Val::I32(0)]);
                Ok(Box::new(move |times| {
                    for _ in 0..times {
                        for copy in &copies {
                            copy.call(&mut store, &argument, &mut results)?;
                        }
                    }
                    Ok(())
                }))
            }
        }

        /// `unary` is the type from i32 to i32.
        fn linker(engine: &$runtime::Engine, unary: $runtime::FuncType) -> anyhow::Result<$runtime::Linker<()>> {
            let mut linker = $runtime::Linker::new(engine);
            linker.func_wrap("host", "identity", |x: i32| x)?;
            linker.func_new("host", "any_identity", unary, |_, arguments, results| {
                results.clone_from_slice(arguments);
                Ok(())
            })?;
            Ok(linker)
        }
    };
}

/// Implements [`Peer`] for a type with an engine and a linker whose modules are machine code.
/// `code_size` must be in scope.
macro_rules! compiled_peer {
    ($runtime:ident, $peer:ty) => {
        impl $peer {
            fn program(&self, module: &$runtime::Module) -> anyhow::Result<Box<dyn $crate::work::Program>> {
                Ok(Box::new(Loaded { engine: self.engine.clone(), pre: self.linker.instantiate_pre(module)? }))
            }
        }

        impl $crate::work::Peer for $peer {
            fn load(&self, wasm: &[u8]) -> anyhow::Result<Box<dyn $crate::work::Program>> {
                self.program(&$runtime::Module::new(&self.engine, wasm)?)
            }

            fn compile(&self, wasm: &[u8]) -> anyhow::Result<Option<usize>> {
                Ok(Some(code_size(&$runtime::Module::new(&self.engine, wasm)?)))
            }

            fn precompile(&self, wasm: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
                Ok(Some($runtime::Module::new(&self.engine, wasm)?.serialize()?))
            }

            unsafe fn load_precompiled(
                &self,
                path: &std::path::Path,
            ) -> anyhow::Result<Box<dyn $crate::work::Program>> {
                // SAFETY: the caller says that the file holds what `serialize` returned, and stays
                // so.
                self.program(&unsafe { $runtime::Module::deserialize_file(&self.engine, path) }?)
            }
        }
    };
}

pub(crate) use {compiled_peer, work};
