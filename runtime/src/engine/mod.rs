//! Holds what all modules and stores of an engine share: configuration, compiler, type numbers,
//! pool.
//!
//! Nothing here knows stores.

mod config;
mod engine;

pub(crate) use config::BACKTRACE_FRAMES;
pub use config::{Config, ProfilingStrategy};
pub use engine::Engine;
pub(crate) use engine::{binary_format, refuse_artifact};
