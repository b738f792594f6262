//! The engine that a run uses, as the command line names it.

use anyhow::{Result, bail};
use minirt::{Config, Engine, OptLevel};

/// What can be varied between runs. The scripts' outcome must not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Whether instances start from copy-on-write images; otherwise their memory is filled by copying.
    pub images: bool,
    /// How hard the compiler works.
    pub opt_level: OptLevel,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { images: true, opt_level: OptLevel::Speed }
    }
}

impl Configuration {
    /// The optimisation level of a name.
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

    /// An engine of this configuration.
    ///
    /// # Errors
    /// When this machine can not run minirt.
    pub fn engine(self) -> Result<Engine> {
        let mut config = Config::new();
        config.memory_init_cow(self.images).cranelift_opt_level(self.opt_level);
        Engine::new(&config)
    }
}
