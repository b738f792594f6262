//! Programs that run from beginning to end, in the same words for minirt and wasmtime.

use anyhow::Result;
use std::time::Duration;

/// A runtime that compiles programs and runs them.
pub(crate) trait Machine {
    /// Compiles a module. Returns how many bytes of machine code that is, and the artifact.
    fn compile(&self, wasm: &[u8]) -> Result<(usize, Vec<u8>)>;

    /// Loads an artifact that [`Machine::compile`] returned.
    ///
    /// # Safety
    /// It must be what the same runtime returned, because it is machine code.
    unsafe fn load(&self, artifact: &[u8]) -> Result<Box<dyn Runs>>;
}

/// A program that is ready to run.
pub(crate) trait Runs: Send + Sync {
    /// Runs `_start` in a new instance, with these arguments. Returns the time that this thread
    /// computed, and how many bytes the program has written.
    fn run(&self, arguments: &[&str]) -> Result<(Duration, u64)>;
}

/// Returns the time that this thread has computed so far.
pub(crate) fn thread_time() -> Duration {
    time(rustix::time::ClockId::ThreadCPUTime)
}

/// Returns the time that all threads of this process have computed so far.
pub(crate) fn process_time() -> Duration {
    time(rustix::time::ClockId::ProcessCPUTime)
}

fn time(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Defines `Compiles`, the [`Machine`] of a runtime with its default configuration, for programs of
/// WASI whose world has no files. `code_size` must be in scope.
macro_rules! world {
    ($runtime:ident) => {
        use anyhow::Context as _;

        /// What a program is given, and what it has done.
        #[derive(Default)]
        struct World {
            arguments: Vec<u8>,
            starts: Vec<u32>,
            written: u64,
            ended: bool,
        }

        pub(crate) struct Compiles {
            engine: $runtime::Engine,
        }

        impl Compiles {
            pub(crate) fn new() -> anyhow::Result<Self> {
                Ok(Self { engine: $runtime::Engine::new(&$runtime::Config::new())? })
            }
        }

        impl $crate::world::Machine for Compiles {
            fn compile(&self, wasm: &[u8]) -> anyhow::Result<(usize, Vec<u8>)> {
                let module = $runtime::Module::new(&self.engine, wasm)?;
                Ok((code_size(&module), module.serialize()?))
            }

            unsafe fn load(&self, artifact: &[u8]) -> anyhow::Result<Box<dyn $crate::world::Runs>> {
                // SAFETY: the caller's promise.
                let module = unsafe { $runtime::Module::deserialize(&self.engine, artifact) }?;
                let mut linker = $runtime::Linker::new(&self.engine);
                define(&mut linker, &module)?;
                let pre = linker.instantiate_pre(&module)?;
                Ok(Box::new(Ready { engine: self.engine.clone(), pre }))
            }
        }

        struct Ready {
            engine: $runtime::Engine,
            pre: $runtime::InstancePre<World>,
        }

        impl $crate::world::Runs for Ready {
            fn run(&self, arguments: &[&str]) -> anyhow::Result<(std::time::Duration, u64)> {
                let mut world = World::default();
                for argument in ["program"].iter().chain(arguments) {
                    world.starts.push(world.arguments.len() as u32);
                    world.arguments.extend(argument.bytes().chain([0]));
                }
                let mut store = $runtime::Store::new(&self.engine, world);
                let instance = self.pre.instantiate(&mut store)?;
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
                let before = $crate::world::thread_time();
                let outcome = start.call(&mut store, ());
                let took = $crate::world::thread_time() - before;
                match outcome {
                    Err(error) if !store.data().ended => Err(anyhow::Error::from(error)),
                    _ => Ok((took, store.data().written)),
                }
            }
        }

        fn memory(caller: &mut $runtime::Caller<'_, World>) -> anyhow::Result<$runtime::Memory> {
            caller.get_export("memory").and_then(|export| export.into_memory()).context("the program has no memory")
        }

        /// Writes numbers and bytes into a program's memory.
        fn put(caller: &mut $runtime::Caller<'_, World>, parts: &[(u32, &[u8])]) -> anyhow::Result<i32> {
            let memory = memory(caller)?;
            for (at, bytes) in parts {
                memory.write(&mut *caller, *at as usize, bytes)?;
            }
            Ok(0)
        }

        /// Defines what a module imports: of WASI, and the functions that mark the part of a
        /// program that counts.
        fn define(linker: &mut $runtime::Linker<World>, module: &$runtime::Module) -> anyhow::Result<()> {
            use $runtime::Caller;
            const WASI: &str = "wasi_snapshot_preview1";
            const BAD_DESCRIPTOR: i32 = 8;
            linker.allow_shadowing(true); // Programs can import a function twice.
            for import in module.imports() {
                let name = import.name();
                match (import.module(), name) {
                    ("bench", _) => {
                        linker.func_wrap("bench", name, || ())?;
                    }
                    (WASI, "args_sizes_get") => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, World>, count: u32, size: u32| {
                            let World { arguments, starts, .. } = caller.data();
                            let (arguments, starts) = (arguments.len() as u32, starts.len() as u32);
                            put(&mut caller, &[(count, &starts.to_le_bytes()), (size, &arguments.to_le_bytes())])
                                .map_err(fail)
                        })?;
                    }
                    (WASI, "args_get") => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, World>, list: u32, text: u32| {
                            let World { arguments, starts, .. } = caller.data();
                            let pointers: Vec<u8> = starts.iter().flat_map(|at| (text + at).to_le_bytes()).collect();
                            let arguments = arguments.clone();
                            put(&mut caller, &[(list, &pointers), (text, &arguments)]).map_err(fail)
                        })?;
                    }
                    (WASI, "environ_sizes_get") => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, World>, count: u32, size: u32| {
                            put(&mut caller, &[(count, &[0; 4]), (size, &[0; 4])]).map_err(fail)
                        })?;
                    }
                    (WASI, "environ_get") => {
                        linker.func_wrap(WASI, name, |_: u32, _: u32| 0_i32)?;
                    }
                    (WASI, "fd_write") => {
                        let write = |mut caller: Caller<'_, World>, _: u32, list: u32, len: u32, at: u32| {
                            let memory = memory(&mut caller).map_err(fail)?;
                            let mut parts = vec![0; len as usize * 8];
                            memory.read(&caller, list as usize, &mut parts)?;
                            let len = |part: &[u8]| u32::from_le_bytes([part[4], part[5], part[6], part[7]]);
                            let written: u32 = parts.chunks_exact(8).map(len).sum();
                            caller.data_mut().written += u64::from(written);
                            put(&mut caller, &[(at, &written.to_le_bytes())]).map_err(fail)
                        };
                        linker.func_wrap(WASI, name, write)?;
                    }
                    (WASI, "clock_time_get") => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, World>, _: u32, _: u64, at: u32| {
                            put(&mut caller, &[(at, &1_000_000_u64.to_le_bytes())]).map_err(fail)
                        })?;
                    }
                    (WASI, "random_get") => {
                        linker.func_wrap(WASI, name, |mut caller: Caller<'_, World>, at: u32, len: u32| {
                            put(&mut caller, &[(at, &vec![7; len as usize])]).map_err(fail)
                        })?;
                    }
                    (WASI, "proc_exit") => {
                        let exit = |mut caller: Caller<'_, World>, code: i32| {
                            caller.data_mut().ended = true;
                            Err::<(), _>(fail(anyhow::anyhow!("the program ends with the code {code}")))
                        };
                        linker.func_wrap(WASI, name, exit)?;
                    }
                    (from, _) => {
                        let ty = import.ty();
                        let ty = ty.func().with_context(|| format!("{from}::{name} is no function"))?.clone();
                        linker.func_new(from, name, ty, |_, _, results| {
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

pub(crate) use world;
