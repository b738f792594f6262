//! What an embedder has said about how long a store's code may run, and how much there may be in the store.
//!
//! Stores are named by their address here: what is asked knows the type of their data.

use super::limiter::ResourceLimiter;
use anyhow::Result;
use std::ptr::NonNull;

/// Most stores have none of this, and pay for one word.
#[derive(Default)]
pub(crate) struct Control {
    /// Fuel beyond what code can count.
    pub(crate) fuel_reserve: u64,
    pub(crate) on_deadline: OnDeadline,
    /// Who decides how much there may be.
    pub(crate) limiter: Option<AskLimiter>,
    /// What there is, counted from when there is a limiter.
    pub(crate) counts: Counts,
}

/// What happens when code finds that its epoch deadline has passed.
#[derive(Default)]
pub(crate) enum OnDeadline {
    #[default]
    Trap,
    Ask(AskDeadline),
    /// The closure has been taken out, and is being called.
    Asking,
}

/// Called with a store (a `StoreInner`) that nobody else uses meanwhile.
pub(crate) type AskDeadline = Box<dyn FnMut(NonNull<()>) -> Result<UpdateDeadline> + Send + Sync>;

/// Finds the limiter in the data of a store (a `StoreInner`) that nobody uses meanwhile, and asks it.
pub(crate) type AskLimiter = Box<dyn FnMut(NonNull<()>, &mut dyn FnMut(&mut dyn ResourceLimiter)) + Send + Sync>;

/// What a user has made in a store, whatever it takes: imports and instances behind other memories do not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) instances: usize,
    pub(crate) tables: usize,
    pub(crate) memories: usize,
}

/// What a callback says about code whose epoch deadline has passed
/// ([`Store::epoch_deadline_callback`](crate::Store::epoch_deadline_callback)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// It goes on, and its next deadline is this many ticks beyond the current epoch.
    Continue(u64),
    /// It stops with [`Trap::Interrupt`](crate::Trap::Interrupt).
    Interrupt,
}
