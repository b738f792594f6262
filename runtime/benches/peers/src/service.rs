//! Serving requests, in the same words for minirt and wasmtime.

use crate::guests::Guest;
use anyhow::{Context, Result, ensure};
use std::any::Any;
use std::path::Path;

/// Answers one request after the other.
pub(crate) type Server<'a> = Box<dyn FnMut(&[u8], &mut Vec<u8>) -> Result<()> + Send + 'a>;

/// A guest that is ready to serve.
pub(crate) trait Service: Send + Sync {
    /// Answers each request with an instance of its own.
    fn fresh(&self) -> Server<'_>;

    /// Answers all requests with one instance, which nothing isolates from each other.
    fn live(&self) -> Result<Server<'_>>;

    /// Describes how the instances were reset so far, if the runtime tells.
    fn resets(&self) -> Option<String>;

    /// Answers a request with an instance of its own, and returns its store.
    fn hold(&self, request: &[u8]) -> Result<Box<dyn Any>>;
}

/// Where the instances of a guest start.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Start {
    /// At the module's beginning: each is initialised before it serves.
    Module,
    /// Where another stood after it had been initialised.
    Frozen,
}

impl Start {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Module => "initialised",
            Self::Frozen => "frozen",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = [Self::Module, Self::Frozen].into_iter().find(|start| start.name() == name);
        found.with_context(|| format!("there is no start `{name}`"))
    }
}

/// A runtime in one configuration that can serve guests.
pub(crate) trait Host: Sync {
    /// Compiles a guest to a file's content.
    fn prepare(&self, guest: &Guest, start: Start) -> Result<Vec<u8>>;

    /// Loads what `prepare` returned.
    ///
    /// # Safety
    /// The file must be unchanged, and stay so: it holds machine code.
    unsafe fn load(&self, path: &Path, start: Start) -> Result<Box<dyn Service>>;
}

/// Makes sure that a guest's answers are right, again and again.
pub(crate) fn check(guest: &Guest, server: &mut Server<'_>) -> Result<()> {
    let mut answer = Vec::new();
    for exchange in [guest.exchanges(), guest.exchanges(), guest.exchanges()].iter().flatten() {
        server(exchange.request, &mut answer)?;
        let (seen, wanted) = (String::from_utf8_lossy(&answer), String::from_utf8_lossy(exchange.answer));
        ensure!(seen == wanted, "{} answered `{seen}` instead of `{wanted}`", guest.name);
    }
    Ok(())
}

/// Defines `Served`, the [`Service`] of a runtime, and `wasi`, which defines what its guests
/// import. `Pre` must be in scope: what instantiates. So must `resets`, which describes how an
/// engine's instances were reset.
macro_rules! service {
    ($runtime:ident) => {
        pub(crate) struct Served {
            engine: $runtime::Engine,
            pre: Pre,
            start: $crate::service::Start,
            /// Where requests go.
            buffer: usize,
        }

        /// An instance that is ready to serve.
        struct Ready {
            store: $runtime::Store<()>,
            memory: $runtime::Memory,
            serve: $runtime::TypedFunc<u32, u64>,
        }

        impl Served {
            fn new(
                engine: &$runtime::Engine,
                pre: Pre,
                start: $crate::service::Start,
            ) -> anyhow::Result<Box<dyn $crate::service::Service>> {
                let mut store = $runtime::Store::new(engine, ());
                let instance = pre.instantiate(&mut store)?;
                if start == $crate::service::Start::Module {
                    initialise(&mut store, instance)?;
                }
                let buffer = instance.get_typed_func::<(), u32>(&mut store, "buffer")?.call(&mut store, ())?;
                Ok(Box::new(Self { engine: engine.clone(), pre, start, buffer: buffer as usize }))
            }

            fn ready(&self) -> anyhow::Result<Ready> {
                let mut store = $runtime::Store::new(&self.engine, ());
                let instance = self.pre.instantiate(&mut store)?;
                if self.start == $crate::service::Start::Module {
                    initialise(&mut store, instance)?;
                }
                let memory = anyhow::Context::context(instance.get_memory(&mut store, "memory"), "no memory")?;
                let serve = instance.get_typed_func::<u32, u64>(&mut store, "serve")?;
                Ok(Ready { store, memory, serve })
            }

            fn answer(&self, ready: &mut Ready, request: &[u8], answer: &mut Vec<u8>) -> anyhow::Result<()> {
                let Ready { store, memory, serve } = ready;
                memory.write(&mut *store, self.buffer, request)?;
                let place = serve.call(&mut *store, request.len() as u32)?;
                answer.resize(place as u32 as usize, 0);
                memory.read(&mut *store, (place >> 32) as usize, answer)?;
                Ok(())
            }
        }

        fn initialise(store: &mut $runtime::Store<()>, instance: $runtime::Instance) -> anyhow::Result<()> {
            for name in ["_initialize", "setup"] {
                instance.get_typed_func::<(), ()>(&mut *store, name)?.call(&mut *store, ())?;
            }
            Ok(())
        }

        impl $crate::service::Service for Served {
            fn fresh(&self) -> $crate::service::Server<'_> {
                Box::new(move |request, answer| self.answer(&mut self.ready()?, request, answer))
            }

            fn live(&self) -> anyhow::Result<$crate::service::Server<'_>> {
                let mut ready = self.ready()?;
                Ok(Box::new(move |request, answer| self.answer(&mut ready, request, answer)))
            }

            fn resets(&self) -> Option<String> {
                resets(&self.engine)
            }

            fn hold(&self, request: &[u8]) -> anyhow::Result<Box<dyn std::any::Any>> {
                let mut ready = self.ready()?;
                self.answer(&mut ready, request, &mut Vec::new())?;
                Ok(Box::new(ready.store))
            }
        }

        /// Defines what a module imports of WASI: a world without files, in which it is always the
        /// same time.
        fn wasi(linker: &mut $runtime::Linker<()>, module: &$runtime::Module) -> anyhow::Result<()> {
            use $runtime::Caller;
            const WASI: &str = "wasi_snapshot_preview1";
            const BAD_DESCRIPTOR: i32 = 8;
            fn put(caller: &mut Caller<'_, ()>, at: u32, bytes: &[u8]) -> i32 {
                let memory = caller.get_export("memory").and_then(|export| export.into_memory());
                let written = memory.is_some_and(|memory| memory.write(caller, at as usize, bytes).is_ok());
                if written { 0 } else { 21 }
            }
            linker.allow_shadowing(true); // Guests can import a function twice.
            for import in module.imports() {
                let name = import.name();
                match name {
                    "args_sizes_get" | "environ_sizes_get" => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, ()>, count: u32, size: u32| {
                            put(&mut caller, count, &[0; 4]) | put(&mut caller, size, &[0; 4])
                        })?;
                    }
                    "args_get" | "environ_get" => {
                        linker.func_wrap(WASI, name, |_: u32, _: u32| 0_i32)?;
                    }
                    "clock_time_get" => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, ()>, _: u32, _: u64, at: u32| {
                            put(&mut caller, at, &1_000_000_u64.to_le_bytes())
                        })?;
                    }
                    "random_get" => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, ()>, at: u32, len: u32| {
                            put(&mut caller, at, &vec![7; len as usize])
                        })?;
                    }
                    "sched_yield" => {
                        linker.func_wrap(WASI, name, || 0_i32)?;
                    }
                    _ => {
                        let ty = import.ty();
                        let ty = anyhow::Context::with_context(ty.func(), || format!("{name} is no function"))?.clone();
                        linker.func_new(WASI, name, ty, |_, _, results| {
                            results.iter_mut().for_each(|result| *result = $runtime::Val::I32(BAD_DESCRIPTOR));
                            Ok(())
                        })?;
                    }
                }
            }
            Ok(())
        }
    };
}

pub(crate) use service;
