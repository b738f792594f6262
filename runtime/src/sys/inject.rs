//! System calls that fail when a test of this crate wants them to, on its own thread.
//!
//! A call that fails may have done part of its work: a protection changes the first of several
//! mappings, and a fixed mapping of older kernels takes away what was there before it finds that it
//! cannot go on.

use super::arch::page_size;
use rustix::io::{Errno, Result};
use rustix::mm::{MprotectFlags, mprotect, munmap};
use std::cell::Cell;
use std::ffi::c_void;

/// The state that a failing call leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Everything as it was.
    Nothing,
    /// A part of the work done.
    Half,
    /// The same, and where something was to be replaced, nothing. Other threads must not map
    /// anything meanwhile.
    Hole,
}

/// The calls that fail.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Calls that succeed before.
    after: u32,
    /// Calls that fail then.
    failures: u32,
    error: Errno,
    leaves: Leaves,
}

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// Lets `failures` calls of this thread fail, after `after` more have succeeded.
pub(crate) fn arm(after: u32, failures: u32, error: Errno, leaves: Leaves) {
    PLAN.set(Some(Plan { after, failures, error, leaves }));
}

/// Lets no more calls fail. Returns how many have failed since the last time.
pub(crate) fn disarm() -> u64 {
    PLAN.set(None);
    FAILED.replace(0)
}

/// Returns whether a call of this thread has failed since the last time that no more were to fail.
pub(crate) fn has_failed() -> bool {
    FAILED.get() > 0
}

/// Returns how many more calls of this thread will succeed.
pub(crate) fn left() -> u32 {
    PLAN.get().map_or(0, |plan| plan.after)
}

/// Returns how the next call fails, if it does.
fn next() -> Option<Plan> {
    let plan = PLAN.get()?;
    if plan.after > 0 {
        PLAN.set(Some(Plan { after: plan.after - 1, ..plan }));
        return None;
    }
    PLAN.set(Some(Plan { failures: plan.failures - 1, ..plan }).filter(|plan| plan.failures > 0));
    FAILED.set(FAILED.get() + 1);
    Some(plan)
}

/// Fails if the plan says so, as a system call that then does nothing.
pub(super) fn call() -> Result<()> {
    next().map_or(Ok(()), |plan| Err(plan.error))
}

pub(super) fn before_replacing(at: *mut c_void, len: usize) -> Result<()> {
    let Some(plan) = next() else { return Ok(()) };
    if plan.leaves == Leaves::Hole {
        // SAFETY: the range is about to be replaced, so nothing refers to it.
        unsafe { munmap(at, len) }?;
    }
    Err(plan.error)
}

pub(super) fn before_protecting(at: *mut c_void, len: usize, access: MprotectFlags) -> Result<()> {
    let Some(plan) = next() else { return Ok(()) };
    let half = (len / 2).next_multiple_of(page_size());
    if plan.leaves != Leaves::Nothing && half < len {
        // SAFETY: it is part of what was to be done.
        unsafe { mprotect(at, half, access) }?;
    }
    Err(plan.error)
}

pub(super) fn before_discarding(at: *mut c_void, len: usize) -> Result<()> {
    let Some(plan) = next() else { return Ok(()) };
    let half = (len / 2).next_multiple_of(page_size());
    if plan.leaves != Leaves::Nothing && half < len {
        // SAFETY: it is part of what was to be done.
        unsafe { rustix::mm::madvise(at, half, rustix::mm::Advice::LinuxDontNeed) }?;
    }
    Err(plan.error)
}
