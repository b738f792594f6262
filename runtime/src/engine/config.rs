//! What an embedder chooses before an engine is made.

use crate::cow::ResetStrategy;
use crate::pool::Limits;
use minirt_compiler::{OptLevel, Settings};

/// The most instances that are alive at one time in an engine: what 47 bits of addresses hold.
const MAX_INSTANCES: usize = 16_384;

/// Memory that idle instances of an engine may keep.
const KEEP_RESIDENT: usize = 256 << 20;

/// How an [`Engine`] works. The defaults serve everyone; nothing has to be set.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) settings: Settings,
    pub(super) images: bool,
    pub(super) check_artifacts: bool,
    pub(super) limits: Limits,
    pub(super) max_wasm_stack: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The default configuration.
    pub fn new() -> Self {
        let strategy = ResetStrategy::default();
        let limits = Limits { instances: MAX_INSTANCES, keep_resident: KEEP_RESIDENT, strategy };
        Self { settings: Settings::default(), images: true, check_artifacts: false, limits, max_wasm_stack: 512 * 1024 }
    }

    /// Whether instances start from a copy-on-write image (the default), or are filled by copying, as on
    /// systems without memory files.
    pub fn memory_init_cow(&mut self, enable: bool) -> &mut Self {
        self.images = enable;
        self
    }

    /// Whether every byte of an artifact is compared with the digest in it when it is loaded. Default: no, because all of
    /// the file has to be read for that (about 0.1 ms for each MiB that is in the page cache). Version, target and
    /// description are always checked.
    pub fn check_artifacts(&mut self, check: bool) -> &mut Self {
        self.check_artifacts = check;
        self
    }

    /// How instance slots are made clean for the next instance. Default: [`ResetStrategy::Adaptive`], which serves
    /// everyone; the others are for tests and measurements.
    pub fn reset_strategy(&mut self, strategy: ResetStrategy) -> &mut Self {
        self.limits.strategy = strategy;
        self
    }

    /// Bytes of memory that all slots of an engine together may keep to be copied back at a reset, instead of being
    /// given back to the system and faulted in again. Default: 256 MiB.
    pub fn keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.limits.keep_resident = bytes;
        self
    }

    /// The most instances that are alive at one time in an engine. Default, and what fits into the addresses of a
    /// process: 16,384. With fewer, idle slots of one module are taken for another sooner.
    pub fn max_instances(&mut self, instances: usize) -> &mut Self {
        self.limits.instances = instances;
        self
    }

    /// Bytes of the host's stack that Wasm functions may use before they trap with
    /// [`Trap::StackOverflow`](crate::Trap::StackOverflow). Default: 512 KiB. Whatever is set, the
    /// last 128 KiB of a thread's stack are left for host functions.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Whether code pays for what it executes with its store's fuel, and traps with
    /// [`Trap::OutOfFuel`](crate::Trap::OutOfFuel) when that is used up. Default: no. See
    /// [`Store::set_fuel`](crate::Store::set_fuel) for what is paid, without which there is nothing to run on.
    ///
    /// It makes modules larger and slower: from some hundredths
    /// to, in the shortest of loops, twice the time. An artifact can be loaded only where this is as it
    /// was when it was made.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.settings.metering.fuel = enable;
        self
    }

    /// Whether code looks at the engine's epoch in every loop and at the start of every function, and stops when its
    /// store's deadline has passed ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)). Default: no.
    ///
    /// That is cheaper than fuel, but where code is stopped differs from run to run. An artifact can be loaded only where
    /// this is as it was when it was made.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.settings.metering.epochs = enable;
        self
    }

    /// How hard Cranelift works on the code. Default: [`OptLevel::Speed`].
    pub fn cranelift_opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.settings.opt_level = level;
        self
    }

    /// Whether modules may have more than one memory. Default: yes.
    pub fn wasm_multi_memory(&mut self, enable: bool) -> &mut Self {
        self.settings.features.multi_memory = enable;
        self
    }

    /// Whether memories and tables may have 64-bit addresses. Default: yes. No memory is larger than 4 GiB in any case.
    pub fn wasm_memory64(&mut self, enable: bool) -> &mut Self {
        self.settings.features.memory64 = enable;
        self
    }

    /// Whether modules may use typed function references: references to functions of a certain type, references that
    /// are never null, and types that name or extend each other. Default: yes.
    pub fn wasm_function_references(&mut self, enable: bool) -> &mut Self {
        self.settings.features.function_references = enable;
        self
    }

    /// Whether a large module is compiled on several threads. However many modules are compiled at a time, fewer threads
    /// than there are processors are started to help, and they end with the module. Default: yes.
    pub fn parallel_compilation(&mut self, parallel: bool) -> &mut Self {
        self.settings.parallel = parallel;
        self
    }
}
