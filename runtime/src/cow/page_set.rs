//! Represents a set of pages as sorted runs, to which a signal handler can add.
//!
//! Plain numbers: nothing here knows what the pages are. The room for runs is allocated ahead,
//! because a signal handler cannot allocate. A full set refuses to take another run.

use std::ops::Range;

/// The number of a page, counted from wherever the user of a set says.
pub(crate) type Page = u32;

/// Pages as sorted runs that neither overlap nor touch.
#[derive(PartialEq, Eq)]
pub(crate) struct PageSet {
    runs: Vec<(Page, Page)>,
}

impl std::fmt::Debug for PageSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Clone for PageSet {
    /// Copies the set, with its room.
    fn clone(&self) -> Self {
        let mut runs = Vec::with_capacity(self.runs.capacity());
        runs.extend_from_slice(&self.runs);
        Self { runs }
    }
}

impl PageSet {
    /// The most runs in a set, and its room. A set takes 8 bytes for each.
    pub(crate) const MAX_RUNS: usize = 256;

    /// Returns an empty set with room for [`Self::MAX_RUNS`] runs.
    pub(crate) fn new() -> Self {
        Self { runs: Vec::with_capacity(Self::MAX_RUNS) }
    }

    /// Returns a set of sorted runs; those that overlap or touch become one. `None` if there are
    /// too many.
    pub(crate) fn from_sorted(sorted: impl IntoIterator<Item = Range<Page>>) -> Option<Self> {
        let mut set = Self::new();
        sorted.into_iter().all(|run| set.insert(run)).then_some(set)
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Range<Page>> + '_ {
        self.runs.iter().map(|(start, end)| *start..*end)
    }

    /// Counts the runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Counts the pages.
    pub(crate) fn pages(&self) -> usize {
        self.iter().map(|run| run.len()).sum()
    }

    /// Returns whether all of `range` is in the set.
    #[inline]
    pub(crate) fn covers(&self, range: &Range<Page>) -> bool {
        range.is_empty() || self.run_around(range).is_some()
    }

    /// Returns the run that all of `range`, which is not empty, is in.
    #[inline]
    pub(crate) fn run_around(&self, range: &Range<Page>) -> Option<Range<Page>> {
        let at = self.runs.partition_point(|(_, end)| *end <= range.start);
        let run = self.runs.get(at).map(|(start, end)| *start..*end)?;
        (run.start <= range.start && range.end <= run.end).then_some(run)
    }

    /// Adds a range. Returns false, and changes nothing, if there would be too many runs. Never
    /// allocates.
    pub(crate) fn insert(&mut self, range: Range<Page>) -> bool {
        if range.is_empty() {
            return true;
        }
        // Runs that the new range overlaps or touches become one with it.
        let first = self.runs.partition_point(|(_, end)| *end < range.start);
        let last = self.runs.partition_point(|(start, _)| *start <= range.end);
        if first == last {
            let fits = self.runs.len() < Self::MAX_RUNS.min(self.runs.capacity());
            if fits {
                self.runs.insert(first, (range.start, range.end));
            }
            return fits;
        }
        self.runs[first] = (range.start.min(self.runs[first].0), range.end.max(self.runs[last - 1].1));
        self.runs.drain(first + 1..last);
        true
    }

    /// Returns the parts of `range` that are not in the set, in order.
    pub(crate) fn gaps(&self, range: Range<Page>) -> impl Iterator<Item = Range<Page>> + '_ {
        let mut from = range.start;
        let end = range.end;
        let inside = self.iter().filter(move |run| run.end > range.start && run.start < range.end);
        let ends = inside.chain(std::iter::once(end..end));
        ends.filter_map(move |run| {
            let gap = from..run.start.max(from).min(end);
            from = run.end;
            (!gap.is_empty()).then_some(gap)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(runs: &[Range<Page>]) -> PageSet {
        let mut set = PageSet::new();
        runs.iter().for_each(|run| assert!(set.insert(run.clone())));
        set
    }

    fn list(set: &PageSet) -> Vec<Range<Page>> {
        set.iter().collect()
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        assert_eq!(list(&set(&[5..6, 1..2, 2..3])), [1..3, 5..6]);
        assert_eq!(list(&set(&[1..2, 3..4, 5..6, 0..9])), vec![0..9]);
        assert_eq!(list(&set(&[1..4, 6..8, 3..7])), vec![1..8]);
    }

    #[test]
    fn a_full_set_refuses_another_run_but_not_a_neighbour() {
        let mut full = PageSet::new();
        (0..PageSet::MAX_RUNS as Page).for_each(|i| assert!(full.insert(i * 10..i * 10 + 1)));
        let before = full.clone();
        assert!(!full.insert(5..6) && !full.insert(90_000..90_001));
        assert_eq!(full, before);
        assert!(full.insert(1..2) && full.insert(2..10));
        assert_eq!(full.len(), PageSet::MAX_RUNS - 1);
        assert!(full.insert(90_000..90_001));
    }

    #[test]
    fn a_set_never_allocates_after_it_was_made() {
        let mut set = PageSet::new();
        let room = set.runs.as_ptr();
        (0..2 * PageSet::MAX_RUNS as Page).for_each(|i| _ = set.insert(i * 10..i * 10 + 1));
        assert_eq!(set.runs.as_ptr(), room);
        assert!(set.clone().runs.capacity() >= PageSet::MAX_RUNS);
    }

    #[test]
    fn a_set_is_what_was_put_into_it_and_its_gaps_are_the_rest() {
        let mut seed = 1_u32;
        let mut random = |below: Page| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..2_000 {
            let (mut runs, mut model) = (PageSet::new(), BTreeSet::new());
            for _ in 0..random(30) {
                let start = random(60);
                let range = start..start + random(6);
                if runs.insert(range.clone()) {
                    model.extend(range);
                }
            }
            assert_eq!(runs.iter().flatten().collect::<BTreeSet<_>>(), model);
            assert!(list(&runs).windows(2).all(|pair| pair[0].end < pair[1].start));
            assert_eq!(runs.pages(), model.len());
            let from = random(30);
            let range = from..from + random(40);
            let rest: Vec<Page> = range.clone().filter(|page| !model.contains(page)).collect();
            assert_eq!(runs.gaps(range.clone()).flatten().collect::<Vec<_>>(), rest);
            assert_eq!(runs.covers(&range), range.clone().all(|page| model.contains(&page)));
        }
    }
}
