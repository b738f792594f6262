//! Configures an engine before it is made.

use crate::cow::ResetStrategy;
use crate::pool::Limits;
use anyhow::{Context, Result};
use minirt_compiler::base::error::Feature;
use minirt_compiler::{Inlining, Machine, OptLevel, Printable, Settings};
use std::num::{NonZeroU32, NonZeroUsize};

/// The default of [`Config::max_instances`], and the most that 47 bits of addresses hold.
const MAX_INSTANCES: usize = 16_384;

/// The default of [`Config::keep_resident`], in bytes.
const KEEP_RESIDENT: usize = 256 << 20;

/// The default of [`Config::max_wasm_stack`], in bytes.
const MAX_WASM_STACK: usize = 512 << 10;

/// The default of [`Config::wasm_backtrace_max_frames`].
pub(crate) const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(64).expect("not 0");

/// How a profiler learns the names of compiled functions ([`Config::profiler`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// It does not.
    #[default]
    None,
    /// Each module that is loaded adds its functions to the file `/tmp/perf-PID.map`, where `perf
    /// report` looks for the process with that number.
    PerfMap,
}

/// Configures an [`Engine`](crate::Engine). The defaults suit most uses; nothing has to be set.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) settings: Settings,
    pub(super) memory_init_cow: bool,
    pub(super) check_artifacts: bool,
    pub(super) profiler: ProfilingStrategy,
    pub(super) limits: Limits,
    pub(super) max_wasm_stack: usize,
    pub(super) backtrace_frames: Option<NonZeroUsize>,
    pub(super) gc_zeal: Option<NonZeroU32>,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Returns the default configuration.
    pub fn new() -> Self {
        let strategy = ResetStrategy::default();
        Self {
            settings: Settings::default(),
            memory_init_cow: true,
            check_artifacts: false,
            profiler: ProfilingStrategy::None,
            limits: Limits {
                instances: MAX_INSTANCES,
                keep_resident: KEEP_RESIDENT,
                strategy,
                attribute_writes: false,
            },
            max_wasm_stack: MAX_WASM_STACK,
            backtrace_frames: Some(BACKTRACE_FRAMES),
            gc_zeal: None,
        }
    }

    /// Sets whether instances start from a copy-on-write image, or are filled by copying, as on
    /// systems without memory files. Default: `true`.
    pub fn memory_init_cow(&mut self, enable: bool) -> &mut Self {
        self.memory_init_cow = enable;
        self
    }

    /// Sets whether loading an artifact compares every byte of it with the digest in it. Default:
    /// `false`, because that reads the whole file (about 0.1 ms for each MiB that is in the page
    /// cache). Version, target and description are always checked.
    pub fn check_artifacts(&mut self, check: bool) -> &mut Self {
        self.check_artifacts = check;
        self
    }

    /// Sets how a profiler learns the names of compiled functions. Default:
    /// [`ProfilingStrategy::None`].
    ///
    /// Otherwise, machine code from the file of an artifact is copied instead of being mapped,
    /// because `perf` would take the file for the program. A module cannot be loaded if the
    /// profiler cannot be told.
    pub fn profiler(&mut self, strategy: ProfilingStrategy) -> &mut Self {
        self.profiler = strategy;
        self
    }

    /// Sets how the engine cleans an instance slot for its next instance. Default:
    /// [`ResetStrategy::Adaptive`]. The others are for tests and measurements.
    pub fn reset_strategy(&mut self, strategy: ResetStrategy) -> &mut Self {
        self.limits.strategy = strategy;
        self
    }

    /// Sets whether instances note which function first writes each page of their memories and
    /// tables in a run: [`Instance::page_map`](crate::Instance::page_map) tells it then. Default:
    /// `false`.
    ///
    /// Every page that is written faults once in each run, and takes a system call. Instances are
    /// reset with [`ResetStrategy::Scan`], or with `Discard` if that is configured. Globals and
    /// small tables are in pages that are always writable, and have no first writer. `cargo bench
    /// -p minirt --bench drive_attribution` measures the cost.
    pub fn attribute_writes(&mut self, enable: bool) -> &mut Self {
        self.limits.attribute_writes = enable;
        self
    }

    /// Sets how many bytes of memory the idle slots of the engine may keep between them. Pages that
    /// are kept are copied back at a reset; others are given back to the system, and faulted in
    /// again. Default: 256 MiB.
    ///
    /// A slot's host cell and head ([`ImageInfo`](crate::ImageInfo) has their sizes) only count if
    /// they have more than 16 KiB, as with hundreds of imports. If there is no room for them, the
    /// slot is unmapped.
    pub fn keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.limits.keep_resident = bytes;
        self
    }

    /// Sets how many instances of the engine may be alive at a time. Default, and the most that
    /// addresses of 47 bits hold: 16,384. Some 70 fit where addresses have 39 bits, as on some
    /// systems for 64-bit Arm. With a lower limit, idle slots of one module are reused for another
    /// sooner.
    ///
    /// What counts are slots. An instance takes one, one more for each memory that its module
    /// defines after the first, and one for a heap of objects if it is the first in its store that
    /// needs one. So do memories, tables and globals that the embedder makes.
    pub fn max_instances(&mut self, instances: usize) -> &mut Self {
        self.limits.instances = instances;
        self
    }

    /// Sets how many bytes of the host's stack Wasm functions may use before they trap with
    /// [`Trap::StackOverflow`](crate::Trap::StackOverflow), counted from where the host calls.
    /// Default: 512 KiB. They get that many, or up to an eighth or 64 KiB less. Whatever is set,
    /// the last 128 KiB of a stack are left for host functions, or a quarter of a stack of less
    /// than 512 KiB (see [Stacks](crate#stacks)).
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Sets the most frames of a [`WasmBacktrace`](crate::WasmBacktrace), or that errors have none.
    /// Default: 64. Of the call into Wasm that trapped there are never more than 256.
    pub fn wasm_backtrace_max_frames(&mut self, limit: Option<NonZeroUsize>) -> &mut Self {
        self.backtrace_frames = limit;
        self
    }

    /// Sets the most instructions that a function may have. A call or construct counts as one more
    /// for each parameter and result, a branch for each value that it takes along, and what is
    /// inside `n` loops as `n * n / 1024` more. Default: two million, far more than in the longest
    /// function of large programs. A module with a longer function is refused, with the function's
    /// name, because the time to compile one grows faster than its length. So is one with a
    /// function of which `n` values flow into each other, if `n * n / 2048` is more than the limit:
    /// usually, these are the values of one variable.
    pub fn max_function_instructions(&mut self, instructions: u64) -> &mut Self {
        self.settings.max_function_instructions = instructions;
        self
    }

    /// Sets the most bytes that the state of a module's instances may take: their imports, globals,
    /// tables, and functions that are referred to; eight for each element of a table. A module that
    /// asks for more is refused. Default, and the most that there is room for: 512 MiB.
    ///
    /// The time and memory that loading a module takes go by its own size and this. A module of
    /// some bytes can ask for tables of ten million elements.
    pub fn max_core_instance_size(&mut self, bytes: u64) -> &mut Self {
        self.settings.max_instance_size = bytes;
        self
    }

    /// Sets whether code pays for what it executes with its store's fuel, and traps with
    /// [`Trap::OutOfFuel`](crate::Trap::OutOfFuel) when there is none left. Default: `false`.
    ///
    /// A new store has no fuel: give it some with [`Store::set_fuel`](crate::Store::set_fuel),
    /// which also says what an instruction costs. Code that counts fuel is typically 6 to 30 %
    /// slower, and up to 2.1 times slower in a loop of one instruction. An artifact can only be
    /// loaded with the setting that it was made with.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.settings.metering.fuel = enable;
        self
    }

    /// Sets whether code compares the engine's epoch with its store's deadline
    /// ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)) in every loop and at the
    /// start of every function, and stops when the deadline has passed. Default: `false`.
    ///
    /// Epochs cost less than fuel, but where code stops differs from run to run. An artifact can
    /// only be loaded with the setting that it was made with.
    ///
    /// A single instruction is not interrupted, and neither is a collection of objects.
    /// `memory.fill`, `array.copy` and their like may work on 4 GiB at once. A limiter bounds all
    /// three.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.settings.metering.epochs = enable;
        self
    }

    /// Sets how much effort Cranelift puts into optimising code. Default: [`OptLevel::Speed`].
    pub fn cranelift_opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.settings.opt_level = level;
        self
    }

    /// Sets which calls are replaced by the code of the function that is called. Default:
    /// [`Inlining::Yes`], those of small functions that call nothing themselves. Backtraces name
    /// all functions all the same. With [`epoch_interruption`](Self::epoch_interruption), no call
    /// is replaced.
    pub fn compiler_inlining(&mut self, inlining: Inlining) -> &mut Self {
        self.settings.inlining = inlining;
        self
    }

    /// Sets whether modules may use bulk memory instructions (`memory.copy`, `memory.fill`,
    /// `table.init`, ...) and passive segments. Default: `true`.
    pub fn wasm_bulk_memory(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::BulkMemory, enable)
    }

    /// Sets whether memories may have pages of one byte. Default: `true`.
    pub fn wasm_custom_page_sizes(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::CustomPageSizes, enable)
    }

    /// Sets whether modules may throw and catch exceptions, and import and export tags. Default:
    /// `true`.
    pub fn wasm_exceptions(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::Exceptions, enable)
    }

    /// Sets whether constant expressions may add, subtract and multiply. Default: `true`.
    pub fn wasm_extended_const(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::ExtendedConst, enable)
    }

    /// Sets whether modules may use typed function references: references to functions of one type,
    /// references that are never null, and types that name or extend each other. Default: `true`.
    /// Without reference types, there are none.
    pub fn wasm_function_references(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::FunctionReferences, enable)
    }

    /// Sets whether modules may use structures, arrays and the references that lead to them.
    /// Default: `true`. Without typed function references, there are none.
    ///
    /// What nothing refers to is collected. Code that makes more than fits, or than its store's
    /// limiter allows, traps with [`Trap::GcHeapOutOfMemory`](crate::Trap::GcHeapOutOfMemory).
    pub fn wasm_gc(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::Gc, enable)
    }

    /// Sets after how many allocations of structures and arrays a store collects, however much room
    /// there is, to find faults of the collector and its callers: every collection moves all
    /// objects, and overwrites where they were. Default: `None`, to collect when it pays.
    ///
    /// # Errors
    /// Never. It returns a `Result` because wasmtime's does.
    #[doc(hidden)]
    pub fn gc_zeal_alloc_counter(&mut self, counter: Option<NonZeroU32>) -> anyhow::Result<&mut Self> {
        self.gc_zeal = counter;
        Ok(self)
    }

    /// Sets whether modules may use exceptions as they were before WebAssembly 3.0: `try`, `catch`,
    /// `catch_all`, `delegate` and `rethrow`. Some toolchains still write them. Default: `true`.
    /// Without exceptions, there are none.
    pub fn wasm_legacy_exceptions(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::LegacyExceptions, enable)
    }

    /// Sets whether memories and tables may have 64-bit addresses. Default: `true`. No memory is
    /// larger than 4 GiB in any case.
    pub fn wasm_memory64(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::Memory64, enable)
    }

    /// Sets whether modules may have more than one memory. Default: `true`.
    pub fn wasm_multi_memory(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::MultiMemory, enable)
    }

    /// Sets whether functions may have several results, and blocks may have parameters. Default:
    /// `true`.
    pub fn wasm_multi_value(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::MultiValue, enable)
    }

    /// Sets whether modules may use references as values (`funcref`, `externref`), and have more
    /// than one table. Default: `true`.
    pub fn wasm_reference_types(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::ReferenceTypes, enable)
    }

    /// Sets whether modules may use relaxed vector instructions, whose results may differ between
    /// processors. Default: `true`. Without vector instructions, there are none.
    pub fn wasm_relaxed_simd(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::RelaxedSimd, enable)
    }

    /// Sets whether modules may use vectors of 128 bits. Default: `true`.
    pub fn wasm_simd(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::Simd, enable)
    }

    /// Sets whether modules may use tail calls. Default: `true`.
    pub fn wasm_tail_call(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::TailCall, enable)
    }

    /// Sets whether modules may use arithmetic on 128 bits. Default: `true`.
    pub fn wasm_wide_arithmetic(&mut self, enable: bool) -> &mut Self {
        self.feature(Feature::WideArithmetic, enable)
    }

    /// Sets whether a large module is compiled on several threads. However many modules are
    /// compiled at a time, fewer threads than there are processors are started to help, and they
    /// end with the module. Default: `true`.
    pub fn parallel_compilation(&mut self, parallel: bool) -> &mut Self {
        self.settings.parallel = parallel;
        self
    }

    /// Sets the machine that the engine compiles for, by its target triple:
    /// `x86_64-unknown-linux-gnu` or `aarch64-unknown-linux-gnu`. The code uses what every
    /// processor of that kind has: on x86-64, the level x86-64-v2. Default: this machine, and all
    /// that its processor has.
    ///
    /// An engine with a target only makes artifacts
    /// ([`Engine::precompile_module`](crate::Engine::precompile_module)). It refuses to make
    /// modules, also if the target is the kind of machine that it runs on.
    ///
    /// # Errors
    /// Returns an error if minirt does not run on such machines.
    /// [`Engine::new`](crate::Engine::new) returns one if code for them was left out of this build:
    /// it takes the feature `cross`.
    pub fn target(&mut self, triple: &str) -> Result<&mut Self> {
        let known = Machine::ALL.into_iter().find(|machine| machine.triple() == triple);
        self.settings.target = Some(known.with_context(|| {
            let known = Machine::ALL.map(Machine::triple).join(" and ");
            format!("minirt does not run on `{}`; it runs on {known}", Printable::new(triple))
        })?);
        Ok(self)
    }

    /// Sets how many bytes a host page has where the artifacts will be loaded that an engine with a
    /// [`target`](Self::target) makes: a power of two from 4096 to 65536. Artifacts can also be
    /// loaded where pages are smaller than that. Default: 4096, which is right for x86-64 and most
    /// systems on 64-bit Arm.
    pub fn target_page_size(&mut self, bytes: u64) -> &mut Self {
        self.settings.page_size = bytes;
        self
    }

    fn feature(&mut self, feature: Feature, enable: bool) -> &mut Self {
        self.settings.features.set(feature, enable);
        self
    }
}
