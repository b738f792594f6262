//! The work that is measured, in the same words for every runtime.
//!
//! minirt and wasmi have the names of wasmtime, so one text serves all three. The macro `guest!` holds it; what a
//! runtime is, how it is configured and how it links stays with its own side.

use crate::modules::{INITIAL, STORE_AT};
use crate::race::{Contestant, Lap};
use anyhow::{Result, ensure};
use std::any::Any;
use std::path::Path;

/// A runtime in one configuration.
pub(crate) trait Peer: Sync {
    /// Compiles a module and looks its imports up, as far as the runtime can do that once for many instances.
    fn load(&self, wasm: &[u8]) -> Result<Box<dyn Guest>>;

    /// Compiles a module to machine code and says how many bytes, for runtimes that do so.
    fn compile(&self, wasm: &[u8]) -> Result<Option<usize>>;

    /// The module compiled to a file's content, for runtimes that have this.
    fn precompile(&self, wasm: &[u8]) -> Result<Option<Vec<u8>>>;

    /// As `load`, from a file with what `precompile` gave.
    ///
    /// # Safety
    /// The file must be unchanged, and stay so: what it holds is machine code.
    unsafe fn load_precompiled(&self, path: &Path) -> Result<Box<dyn Guest>>;
}

/// A module ready to be instantiated.
pub(crate) trait Guest: Send + Sync {
    /// So many times: make a store, instantiate, look `touch` up, call it with `k`, drop.
    fn round_trips(&self, k: i32, times: u32) -> Result<()>;

    /// Makes one instance, and tells what `peek` sees at the place `touch` stores to, before and after.
    fn probe(&self) -> Result<(i32, i32)>;

    /// An instance that has run `touch(1)`, in a store of its own.
    fn live(&self) -> Result<Box<dyn Any>>;

    /// Calls of functions without parameters or results in one instance: of each of the copies with this name, in turn.
    fn calls_of(&self, name: &'static str) -> Result<Lap<'_>>;

    /// Calls of the copies of `inner` in one instance, as functions whose type is known at run time only.
    fn calls_by_values(&self) -> Result<Lap<'_>>;
}

/// That a guest does what is going to be measured, and does it again after that.
pub(crate) fn check(guest: &dyn Guest) -> Result<()> {
    for _ in 0..3 {
        let seen = guest.probe()?;
        ensure!(seen == (INITIAL, 1), "a fresh instance had {seen:?} at {STORE_AT} before and after a store of 1");
    }
    Ok(())
}

/// Round trips as something to race.
pub(crate) fn round_trips(guest: &dyn Guest, k: usize) -> Contestant<'_> {
    Box::new(move || Ok(Box::new(move |times| guest.round_trips(k as i32, times))))
}

/// Defines `Loaded`, the [`Guest`] of a runtime whose crate is named. `Pre` must be in scope: what instantiates.
macro_rules! guest {
    ($runtime:ident) => {
        pub(crate) struct Loaded {
            engine: $runtime::Engine,
            pre: Pre,
        }

        impl Loaded {
            fn fresh(&self) -> anyhow::Result<($runtime::Store<()>, $runtime::Instance)> {
                let mut store = $runtime::Store::new(&self.engine, ());
                let instance = self.pre.instantiate(&mut store)?;
                Ok((store, instance))
            }
        }

        impl $crate::guest::Guest for Loaded {
            fn round_trips(&self, k: i32, times: u32) -> anyhow::Result<()> {
                for _ in 0..times {
                    let mut store = $runtime::Store::new(&self.engine, ());
                    let instance = self.pre.instantiate(&mut store)?;
                    let touch = instance.get_typed_func::<i32, ()>(&mut store, "touch")?;
                    touch.call(&mut store, k)?;
                }
                Ok(())
            }

            fn probe(&self) -> anyhow::Result<(i32, i32)> {
                let (mut store, instance) = self.fresh()?;
                let touch = instance.get_typed_func::<i32, ()>(&mut store, "touch")?;
                let peek = instance.get_typed_func::<i32, i32>(&mut store, "peek")?;
                let at = $crate::modules::STORE_AT as i32;
                let before = peek.call(&mut store, at)?;
                touch.call(&mut store, 1)?;
                Ok((before, peek.call(&mut store, at)?))
            }

            fn live(&self) -> anyhow::Result<Box<dyn std::any::Any>> {
                let (mut store, instance) = self.fresh()?;
                instance.get_typed_func::<i32, ()>(&mut store, "touch")?.call(&mut store, 1)?;
                Ok(Box::new(store))
            }

            fn calls_of(&self, name: &'static str) -> anyhow::Result<$crate::race::Lap<'_>> {
                let (mut store, instance) = self.fresh()?;
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
                let (mut store, instance) = self.fresh()?;
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
    };
}

pub(crate) use guest;
