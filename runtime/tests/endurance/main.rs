//! Many rounds, many instances: the process takes no more than it did after the first.
//!
//! Every test looks at the whole process or fills it up, so each one takes [`alone`] first: they
//! run one after the other.

#[path = "../common/mod.rs"]
mod common;
mod calls;
mod heaps;
mod leaks;
mod mixed;
mod soak;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the other tests of this program waiting for as long as the guard lives.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
