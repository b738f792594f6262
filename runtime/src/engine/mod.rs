//! What all modules and stores of a process share: configuration, compiler, type numbers, pool.

mod engine;

pub use engine::Config;
pub use engine::Engine;
