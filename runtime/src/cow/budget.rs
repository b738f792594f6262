//! Limits how many memory mappings write tracking takes in this process.
//!
//! The kernel limits the mappings of a process (`vm.max_map_count`, 65,530 by default), and
//! instances come first. Each run of writable pages between write-protected ones is a mapping of
//! its own, and splits another.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most mappings that tracking takes in a process.
const TOTAL: usize = 12_000;
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The mappings that one slot's tracking takes. They are given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct MappingBudget {
    taken: usize,
}

impl MappingBudget {
    /// Takes this many mappings more. Returns false, and takes none, if the process has too few
    /// left.
    pub(super) fn take(&mut self, mappings: usize) -> bool {
        let fits = TAKEN.fetch_add(mappings, Relaxed) + mappings <= TOTAL;
        if fits {
            self.taken += mappings;
        } else {
            TAKEN.fetch_sub(mappings, Relaxed);
        }
        fits
    }

    /// Gives back what is above `mappings`.
    pub(super) fn shrink_to(&mut self, mappings: usize) {
        let surplus = self.taken.saturating_sub(mappings);
        self.taken -= surplus;
        TAKEN.fetch_sub(surplus, Relaxed);
    }

    /// Counts the mappings taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns how many mappings the process has left for tracking.
    pub(super) fn left() -> usize {
        TOTAL.saturating_sub(TAKEN.load(Relaxed))
    }
}

impl Drop for MappingBudget {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
