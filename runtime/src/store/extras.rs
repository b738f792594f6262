//! Holds what only some stores have: fuel beyond what code can count, a deadline callback, exit
//! trampolines, a limiter.
//!
//! Callbacks are given the address of their store. The closures inside them know the type of its
//! data.

use super::limiter::ResourceLimiter;
use crate::code::LoadedCode;
use anyhow::Result;
use std::ptr::NonNull;
use std::sync::Arc;

/// Most stores have none of this, and pay for one pointer.
#[derive(Default)]
pub(crate) struct Extras {
    /// Units of fuel beyond what code can count.
    pub(super) fuel_reserve: u64,
    pub(super) on_deadline: OnDeadline,
    /// The exit trampolines in the records of host functions to which Wasm got a reference.
    pub(super) exit_trampolines: Vec<Arc<LoadedCode>>,
    /// Decides how much there may be in the store.
    pub(super) limiter: Option<LimiterCallback>,
    /// The contents of the store in numbers, kept only while there is a limiter.
    pub(super) counts: Counts,
}

/// The reaction when code finds that its epoch deadline has passed.
#[derive(Default)]
pub(super) enum OnDeadline {
    #[default]
    Trap,
    Call(DeadlineCallback),
    /// The callback has been taken out, and is running.
    Calling,
}

/// Called with a store (a `StoreInner`) that nobody else uses meanwhile.
pub(super) type DeadlineCallback = Box<dyn FnMut(NonNull<()>) -> Result<UpdateDeadline> + Send + Sync>;

/// Finds the limiter in the data of a store (a `StoreInner`), whose data nobody uses meanwhile, and
/// passes it on.
pub(super) type LimiterCallback = Box<dyn FnMut(NonNull<()>, &mut dyn FnMut(&mut dyn ResourceLimiter)) + Send + Sync>;

/// How many of each an embedder has made in a store. Imports and instances behind other memories do
/// not count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) instances: usize,
    pub(super) tables: usize,
    pub(super) memories: usize,
}

/// The answer of a callback about code whose epoch deadline has passed
/// ([`Store::epoch_deadline_callback`](crate::Store::epoch_deadline_callback)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// The code continues, and its next deadline is this many ticks beyond the current epoch.
    Continue(u64),
    /// The code stops with [`Trap::Interrupt`](crate::Trap::Interrupt).
    Interrupt,
}
