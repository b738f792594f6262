//! Runs of pages: a small sorted set that a signal handler can add to.
//!
//! Plain numbers; nothing here knows what the pages are. A set never holds more than [`Runs::MAX`] runs, because
//! each run of writable pages among others costs mappings, and its room is fixed, because a signal handler can not
//! allocate.

use std::ops::Range;

/// The number of a page, counted from wherever the user of a set says.
pub(crate) type Page = u32;

/// A set of pages as sorted runs that neither overlap nor touch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Runs {
    len: usize,
    runs: [(Page, Page); Self::MAX],
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Runs {
    /// The most runs in a set.
    pub(crate) const MAX: usize = 12;

    pub(crate) const fn new() -> Self {
        Self { len: 0, runs: [(0, 0); Self::MAX] }
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Range<Page>> + '_ {
        self.runs[..self.len].iter().map(|(start, end)| *start..*end)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many pages there are in the set.
    pub(crate) fn pages(&self) -> usize {
        self.iter().map(|run| run.len()).sum()
    }

    /// Whether all of `range` is in the set.
    #[inline]
    pub(crate) fn covers(&self, range: &Range<Page>) -> bool {
        range.is_empty() || self.iter().any(|run| run.start <= range.start && range.end <= run.end)
    }

    /// Adds a range. False, and nothing changed, if there would be too many runs.
    pub(crate) fn insert(&mut self, range: Range<Page>) -> bool {
        if range.is_empty() {
            return true;
        }
        let runs = &self.runs[..self.len];
        // Those that the new range overlaps or touches become one with it.
        let first = runs.partition_point(|(_, end)| *end < range.start);
        let last = runs.partition_point(|(start, _)| *start <= range.end);
        let merged = if first < last {
            (range.start.min(runs[first].0), range.end.max(runs[last - 1].1))
        } else {
            (range.start, range.end)
        };
        let len = self.len + 1 - (last - first);
        if len > Self::MAX {
            return false;
        }
        if last < self.len {
            self.runs.copy_within(last..self.len, first + 1);
        }
        self.runs[first] = merged;
        self.len = len;
        true
    }

    /// The smallest set with few enough runs that has all of `sorted`, by covering the smallest gaps. `None` if it would
    /// have more than twice as many pages: then the pages are too scattered.
    pub(crate) fn covering(sorted: &[Range<Page>]) -> Option<Self> {
        let wanted: usize = sorted.iter().map(|run| run.len()).sum();
        let mut gaps: Vec<Page> = sorted.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
        gaps.sort_unstable();
        let covered = sorted.len().saturating_sub(Self::MAX);
        let widest = covered.checked_sub(1).map_or(0, |last| gaps[last]);
        let mut set = Self::new();
        let mut current: Option<Range<Page>> = None;
        for run in sorted {
            match &mut current {
                Some(now) if run.start - now.end <= widest => now.end = run.end,
                _ => {
                    set.insert(current.take().unwrap_or(0..0)).then_some(())?;
                    current = Some(run.clone());
                }
            }
        }
        set.insert(current.unwrap_or(0..0)).then_some(())?;
        (set.pages() <= 2 * wanted + 2 * Self::MAX).then_some(set)
    }

    /// What of `range` is not in the set, in order.
    pub(crate) fn gaps(&self, range: Range<Page>) -> impl Iterator<Item = Range<Page>> + '_ {
        let mut from = range.start;
        let end = range.end;
        let inside = self.iter().filter(move |run| run.end > range.start && run.start < range.end);
        let ends = inside.chain(std::iter::once(end..end));
        ends.filter_map(move |run| {
            let gap = from..run.start.max(from);
            from = run.end;
            (!gap.is_empty()).then_some(gap)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(runs: &[Range<Page>]) -> Runs {
        let mut set = Runs::new();
        runs.iter().for_each(|run| assert!(set.insert(run.clone())));
        set
    }

    fn list(set: &Runs) -> Vec<Range<Page>> {
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
        let mut full = Runs::new();
        (0..Runs::MAX as Page).for_each(|i| assert!(full.insert(i * 10..i * 10 + 1)));
        let before = full;
        assert!(!full.insert(5..6) && !full.insert(900..901));
        assert_eq!(full, before);
        assert!(full.insert(1..2) && full.insert(2..10));
        assert_eq!(full.len(), Runs::MAX - 1);
        assert!(full.insert(900..901));
    }

    #[test]
    fn a_set_is_what_was_put_into_it_and_its_gaps_are_the_rest() {
        let mut seed = 1_u32;
        let mut random = |below: Page| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..2_000 {
            let (mut runs, mut model) = (Runs::new(), BTreeSet::new());
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

    #[test]
    fn covering_closes_the_smallest_gaps_first() {
        let near: Vec<Range<Page>> = (0..20).map(|i| i * 3..i * 3 + 2).chain([1000..1001]).collect();
        let covering = Runs::covering(&near).unwrap();
        assert_eq!(list(&covering), [0..59, 1000..1001]);
        let exact = vec![1..2, 4..6, 100..200];
        assert_eq!(list(&Runs::covering(&exact).unwrap()), exact);
        assert_eq!(Runs::covering(&[]).unwrap(), Runs::new());
    }

    #[test]
    fn scattered_pages_are_not_covered() {
        let scattered: Vec<Range<Page>> = (0..100).map(|i| i * 50..i * 50 + 1).collect();
        assert_eq!(Runs::covering(&scattered), None);
    }
}
