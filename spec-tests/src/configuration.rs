//! The engine that a run uses, as the command line names it.

use crate::source::{Era, Source};
use anyhow::{Result, bail};
use minirt::{Config, Engine, Inlining, OptLevel};
use std::num::NonZeroU32;

/// The settings that vary between runs. The scripts' outcome must not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Whether instances start from copy-on-write images; otherwise their memory is filled by
    /// copying.
    pub images: bool,
    /// How hard the compiler works.
    pub opt_level: OptLevel,
    /// Whether a store collects at every allocation of a structure or array.
    pub zeal: bool,
    /// Whether code counts its fuel, and asks at every loop and function whether it may go on.
    pub metered: bool,
    /// Which calls are replaced by the code of the function that is called.
    pub inlining: Inlining,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { images: true, opt_level: OptLevel::Speed, zeal: false, metered: false, inlining: Inlining::Yes }
    }
}

impl Configuration {
    /// Returns the optimisation level of a name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse_opt_level(name: &str) -> Result<OptLevel> {
        Ok(match name {
            "none" => OptLevel::None,
            "speed" => OptLevel::Speed,
            other => bail!("there is no optimisation level `{other}`, only `none` and `speed`"),
        })
    }

    /// Returns which calls are replaced, by the name of the choice.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse_inlining(name: &str) -> Result<Inlining> {
        Ok(match name {
            "no" => Inlining::No,
            "yes" => Inlining::Yes,
            "always" => Inlining::Always,
            other => bail!("calls can be replaced `no`, `yes` or `always`, not `{other}`"),
        })
    }

    /// Returns the engines of this configuration.
    ///
    /// # Errors
    /// When this machine cannot run minirt.
    pub fn engines(self) -> Result<Engines> {
        let mut config = Config::new();
        config.memory_init_cow(self.images).cranelift_opt_level(self.opt_level);
        config.gc_zeal_alloc_counter(NonZeroU32::new(1).filter(|_| self.zeal))?;
        config.consume_fuel(self.metered).epoch_interruption(self.metered).compiler_inlining(self.inlining);
        let version3 = Engine::new(&config)?;
        let memory64 = Engine::new(config.wasm_gc(false).wasm_multi_memory(false))?;
        let version2 = Engine::new(config.wasm_memory64(false).wasm_function_references(false))?;
        Ok(Engines { version3, memory64, version2 })
    }
}

/// Engines that are alike but for what modules may use.
#[derive(Clone, Debug)]
pub struct Engines {
    version3: Engine,
    memory64: Engine,
    version2: Engine,
}

impl Engines {
    /// Returns the engine that the assertions of a script were written for.
    pub fn of(&self, source: &Source) -> &Engine {
        match source.era {
            Era::Version3 => &self.version3,
            Era::Memory64 => &self.memory64,
            Era::Version2 => &self.version2,
        }
    }
}
