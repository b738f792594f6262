//! Which pages the instances of an image write to, and so how their slots are best made clean.
//!
//! There are three ways, and none is best for all (RATIONALE.md has the figures):
//!
//! - **hot set**: most programs write to the same pages in every run. These are known, all others are read-only, and
//!   a reset copies the known ones back, without a system call. A write elsewhere faults once, and its page joins.
//! - **scan**: where the written pages wander, the kernel lists them, and they are copied back.
//! - **discard**: the kernel takes the pages away, and the next instance faults for each that it touches. Slow, but it
//!   keeps nothing in memory, and works everywhere.
//!
//! This file remembers what was seen and gives advice. It makes no system call; `cow` acts.

use super::page_set::{Page, Runs};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How instance slots are made clean for the next instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetStrategy {
    /// Whatever fits what a module's instances have been doing. There is no need for anything else.
    #[default]
    Adaptive,
    /// Always watch for writes outside the pages known to be written, and copy the known ones back.
    HotSet,
    /// Always ask the kernel which pages were written, and copy these back.
    Scan,
    /// Always discard all pages.
    Discard,
}

/// How many resets a slot goes on without asking for new advice, to begin with.
const PATIENCE: u32 = 64;
/// The longest that this grows to, when advice turns out wrong again and again.
const LONGEST: u32 = 1 << 16;
/// Runs with unexpected writes, in short succession, before the pages count as wandering.
const STRIKES: u32 = 6;

/// What has been seen of an image's instances. Slots ask only when something changed, never in the steady state.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Pages that runs have written to; `None` before the first, and after they turned out to be out of date.
    hot: Option<Runs>,
    /// Runs in a row that wrote elsewhere.
    strikes: u32,
    /// How often advice was wrong: with each time, slots are told to stay with the next for twice as long.
    mistakes: u32,
}

/// What a slot should do for its next resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Watch for writes outside these pages.
    Watch(Runs),
    /// Let all pages be written, and scan; ask again after so many resets.
    Scan { resets: u32 },
}

impl Habits {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pages that the next run will probably write to, if that is known.
    pub(crate) fn expected(&self) -> Option<Runs> {
        self.lock().hot
    }

    /// After a scan: these pages were written. `strike` says that the run was watched until it went elsewhere too
    /// often, as another did not long ago.
    pub(crate) fn observed(&self, written: &[Range<Page>], strike: bool, strategy: ResetStrategy) -> Advice {
        let mut seen = self.lock();
        if seen.wanders(strike, strategy) {
            return Advice::Scan { resets: seen.mistaken() };
        }
        let known = seen.hot.iter().flat_map(|hot| hot.iter());
        let mut all: Vec<Range<Page>> = known.chain(written.iter().cloned()).collect();
        all.sort_unstable_by_key(|run| run.start);
        let joined = join(all);
        seen.hot = Runs::covering(&joined).or_else(|| Runs::covering(written));
        match seen.hot {
            Some(hot) => Advice::Watch(hot),
            None => Advice::Scan { resets: seen.mistaken() },
        }
    }

    /// A watched run went elsewhere a few times; these are all pages that it may have written now. `strike` says that
    /// another did not long ago.
    pub(crate) fn missed(&self, pages: &Runs, strike: bool, strategy: ResetStrategy) -> Advice {
        let mut seen = self.lock();
        if seen.wanders(strike, strategy) {
            return Advice::Scan { resets: seen.mistaken() };
        }
        let mut hot = seen.hot.unwrap_or(*pages);
        if pages.iter().all(|run| hot.insert(run)) {
            seen.hot = Some(hot);
        }
        Advice::Watch(*pages)
    }

    /// Again, the host was given all of an instance's memory to write to, where no fault would tell what it wrote.
    /// Returns for how many resets to scan.
    pub(crate) fn exposed(&self) -> u32 {
        self.lock().mistaken()
    }

    /// Most of the known pages are no longer written. Returns after how many resets to look again.
    pub(crate) fn outdated(&self) -> u32 {
        let mut seen = self.lock();
        seen.hot = None;
        seen.mistaken()
    }
}

impl Seen {
    /// Counts runs in short succession that went elsewhere, and says whether there are too many.
    fn wanders(&mut self, strike: bool, strategy: ResetStrategy) -> bool {
        self.strikes = if strike { self.strikes + 1 } else { 0 };
        let out = self.strikes >= STRIKES && strategy == ResetStrategy::Adaptive;
        if out {
            *self = Self { hot: None, strikes: 0, ..*self };
        }
        out
    }

    /// How long to stay with the next advice.
    fn mistaken(&mut self) -> u32 {
        let resets = (PATIENCE << self.mistakes.min(16)).min(LONGEST);
        self.mistakes += 1;
        resets
    }
}

/// After how many resets a slot first looks whether it still copies the right pages.
pub(crate) const fn first_look() -> u32 {
    PATIENCE
}

/// Sorted runs, with those that overlap or touch made one.
fn join(sorted: Vec<Range<Page>>) -> Vec<Range<Page>> {
    let mut joined: Vec<Range<Page>> = Vec::with_capacity(sorted.len());
    for run in sorted {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResetStrategy::{Adaptive, HotSet};

    fn runs(ranges: &[Range<Page>]) -> Runs {
        Runs::covering(ranges).unwrap()
    }

    #[test]
    fn what_a_run_wrote_is_what_the_next_is_watched_for() {
        let habits = Habits::default();
        assert_eq!(habits.expected(), None);
        let first = [1..2, 10..12];
        assert_eq!(habits.observed(&first, false, Adaptive), Advice::Watch(runs(&first)));
        assert_eq!(habits.expected(), Some(runs(&first)));
        // Another slot's run adds to it.
        assert_eq!(habits.observed(&[2..3], false, Adaptive), Advice::Watch(runs(&[1..3, 10..12])));
    }

    #[test]
    fn a_run_that_wrote_nothing_is_a_known_set_too() {
        assert_eq!(Habits::default().observed(&[], false, Adaptive), Advice::Watch(Runs::new()));
    }

    #[test]
    fn scattered_pages_are_scanned_for_longer_each_time() {
        let habits = Habits::default();
        let scattered: Vec<Range<Page>> = (0..100).map(|i| i * 50..i * 50 + 1).collect();
        let advice: Vec<Advice> = (0..3).map(|_| habits.observed(&scattered, false, Adaptive)).collect();
        let twice = |resets| Advice::Scan { resets };
        assert_eq!(advice, [twice(PATIENCE), twice(2 * PATIENCE), twice(4 * PATIENCE)]);
        assert!((0..40).all(|_| habits.outdated() <= LONGEST));
    }

    #[test]
    fn wandering_pages_are_scanned_for_unless_watching_is_forced() {
        for (strategy, gives_up) in [(Adaptive, true), (HotSet, false)] {
            let habits = Habits::default();
            let missed = |i: Page| habits.missed(&runs(&[i..i + 1]), true, strategy);
            let advice: Vec<Advice> = (0..STRIKES).map(missed).collect();
            assert_eq!(advice.iter().any(|advice| matches!(advice, Advice::Scan { .. })), gives_up);
        }
    }

    #[test]
    fn rare_misses_are_no_reason_to_stop_watching() {
        let habits = Habits::default();
        let missed = |i: Page| habits.missed(&runs(&[i % 9..i % 9 + 1]), false, Adaptive);
        assert!((0..1000).map(missed).all(|advice| matches!(advice, Advice::Watch(_))));
    }

    #[test]
    fn an_outdated_set_is_learnt_anew() {
        let habits = Habits::default();
        habits.observed(&[0..512], false, Adaptive);
        habits.outdated();
        assert_eq!(habits.observed(&[0..1], false, Adaptive), Advice::Watch(runs(&[0..1])));
    }
}
