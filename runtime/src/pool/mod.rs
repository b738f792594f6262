//! Keeps idle instances, ready to be used again.
//!
//! Knows what instances are made of, and nothing of stores or of what images contain.

mod sharded;
mod prototype;
mod tenant;
mod pool;

pub use pool::EngineStats;
pub(crate) use pool::{Limits, Pool, Taken};
pub(crate) use prototype::{Program, Prototype};
pub(crate) use sharded::Sharded;
pub(crate) use tenant::{Closures, InstanceData, Role};
