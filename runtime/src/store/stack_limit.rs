//! Decides how far down a store's code may use the stack that it runs on.
//!
//! A call from the host may use `Config::max_wasm_stack` bytes, and never the last part of a stack,
//! which is left to host functions. The limit is in the store, where the code of all its instances
//! finds it. Finding out about a stack can take a system call, so a limit is chosen to serve calls
//! from about the same depth.

use std::ops::Range;

/// The bytes that every stack keeps free at its end for host functions and signal handlers, unless
/// it is small.
const HOST_ROOM: usize = 128 * 1024;

/// Entries whose depths differ by no more than this have the same limit.
const SAME_DEPTH: usize = 64 * 1024;

/// A stack, and how far down Wasm may use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackLimit {
    /// The lowest address for Wasm's own frames.
    pub(crate) limit: usize,
    /// Where Wasm can be entered with this limit: it has no more than it may have, and not much
    /// less.
    entries: Range<usize>,
    /// The addresses of the stack. Where that is not the thread's own, it may go on below.
    stack: Range<usize>,
    /// The thread for which this is known, by the lowest address of its own stack; 0 if it is known
    /// for one call only. A stack that the system was asked about may have made way for another one
    /// when the next call begins.
    thread: usize,
}

impl StackLimit {
    /// Chooses the limit for entries near `here`, which may use up to `most` bytes of this stack.
    #[inline]
    pub(crate) fn new(here: usize, most: usize, stack: Range<usize>, thread: usize) -> Self {
        let lowest = stack.start + HOST_ROOM.min(stack.len() / 4);
        let slack = SAME_DEPTH.min(most / 8);
        let wanted = here.saturating_sub(most - slack / 2);
        let limit = wanted.max(lowest);
        // Where the end of the stack decides, an entry from further down may use what is there.
        let least = if wanted > lowest { most - slack } else { 0 };
        Self {
            limit,
            entries: limit.saturating_add(least)..limit.saturating_add(most).saturating_add(1),
            stack,
            thread,
        }
    }

    /// Returns the lowest address of a stack that matters for entries near `here`, which may use up
    /// to `most` bytes.
    pub(crate) fn lowest_wanted(here: usize, most: usize) -> usize {
        here.saturating_sub(most).saturating_sub(HOST_ROOM)
    }

    /// Returns whether this is known to be the limit for an entry from the host at `here`, on this
    /// thread.
    #[inline]
    pub(crate) fn serves(&self, here: usize, thread: usize) -> bool {
        self.entries.contains(&here) && self.thread == thread
    }

    /// Returns whether this limit will do for an entry at `here`, on this stack.
    pub(crate) fn serves_on(&self, here: usize, stack: &Range<usize>) -> bool {
        self.entries.contains(&here) && self.stack == *stack
    }

    /// Forgets for which thread this is known: the next call from the host has to find out.
    pub(crate) fn forget(&mut self) {
        self.thread = 0;
    }

    /// Returns whether `here` is on this stack, while calls are at work on it.
    #[inline]
    pub(crate) fn is_on(&self, here: usize) -> bool {
        self.stack.contains(&here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;
    const BASE: usize = 1 << 40;

    fn limit(here: usize, most: usize, size: usize) -> StackLimit {
        StackLimit::new(BASE + here, most, BASE..BASE + size, 7)
    }

    #[test]
    fn an_entry_never_gets_more_than_it_may_use_and_hardly_less() {
        for most in [0, 1, 4096, 100 * KIB, 512 * KIB, 5 << 20] {
            for here in (6 << 20..7 << 20).step_by(3 * KIB + 16) {
                let limit = limit(here, most, 8 << 20);
                assert!(limit.serves(BASE + here, 7));
                for entry in (here - 100 * KIB..here + 100 * KIB).step_by(1000).filter(|at| limit.serves(BASE + at, 7))
                {
                    let used = BASE + entry - limit.limit;
                    assert!(used <= most && used >= most - (most / 8).min(64 * KIB), "{used} of {most}");
                }
            }
        }
    }

    #[test]
    fn calls_from_about_the_same_depth_have_the_same_limit() {
        let limit = limit(6 << 20, 512 * KIB, 8 << 20);
        let around = [-31_000, -1000, 0, 1000, 31_000_isize].map(|by| BASE.strict_add_signed((6 << 20) + by));
        assert!(around.iter().all(|here| limit.serves(*here, 7)));
        assert!(!limit.serves(around[2], 8), "another thread's stack may be another one");
        assert!(!limit.serves(BASE + (7 << 20), 7) && !limit.serves(BASE + (5 << 20), 7));
        let stack = BASE..BASE + (8 << 20);
        assert!(around.iter().all(|here| limit.serves_on(*here, &stack)));
        assert!(!limit.serves_on(around[2], &(BASE + 4096..stack.end)) && !limit.serves_on(BASE + (7 << 20), &stack));
    }

    #[test]
    fn the_end_of_a_stack_is_left_to_host_functions() {
        let lowest = |size: usize| limit(size - 100, 5 << 20, size).limit - BASE;
        assert_eq!(
            [8 << 20, 512 * KIB, 256 * KIB, 64 * KIB].map(lowest),
            [8 << 20, 512 * KIB, 256 * KIB, 64 * KIB]
                .map(|size| { (128 * KIB).min(size / 4).max((size - 100).saturating_sub((5 << 20) - 32 * KIB)) })
        );
        let small = limit(250 * KIB, 512 * KIB, 256 * KIB);
        // The end of the stack decides, at any depth.
        assert!((65..256).all(|depth| small.serves(BASE + depth * KIB, 7)));
    }

    #[test]
    fn a_stack_is_known_by_its_addresses() {
        let limit = limit(6 << 20, 512 * KIB, 8 << 20);
        assert!([0, 5 << 20, (8 << 20) - 1].iter().all(|at| limit.is_on(BASE + at)));
        assert!(!limit.is_on(BASE - 1) && !limit.is_on(BASE + (8 << 20)));
        assert!(!StackLimit::default().is_on(0) && !StackLimit::default().serves(0, 0));
    }
}
