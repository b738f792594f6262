//! Learns which pages the instances of an image write, and decides how their slots are best reset.
//!
//! There are three ways, and none is best for all (RATIONALE.md has the figures):
//!
//! - **Hot set**: most programs write the same pages in every run. These stay writable, all others
//!   are write-protected, and a reset copies the hot set back without a system call. A write
//!   elsewhere faults once, and its page joins. Where the pages are too scattered to be listed one
//!   by one, a few *regions* stay writable, and a reset asks the kernel about these alone.
//! - **Scan**: where no set of pages holds for long, the kernel lists what was written, and that is
//!   copied back.
//! - **Discard**: the kernel takes the pages away, and the next instance faults for each that it
//!   touches. This is slow, but it keeps nothing in memory, and works everywhere.
//!
//! Everything here is arithmetic on observations that it is handed. No function makes a system call
//! or reads guest memory: `cow` and `tracking` act.

use super::page_set::{Page, PageSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// How the slots of instances are reset for the next instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetStrategy {
    /// Chooses the strategy that fits the behaviour of a module's instances. This suits all
    /// programs.
    #[default]
    Adaptive,
    /// Always write-protects what lies outside the hot set, and copies the hot set back. If the
    /// written pages are too scattered to be listed one by one, the hot set is a few regions, and
    /// the kernel is asked which of their pages to copy. Only where the process has no memory
    /// mappings left for this, slots are scanned.
    HotSet,
    /// Always asks the kernel which pages were written, and copies these back.
    Scan,
    /// Always discards all pages.
    Discard,
}

/// The writes outside the hot set that one run may fault for. With the next, tracking ends for that
/// run.
pub(super) const MISSES: u32 = 8;
/// Misses come in short succession if fewer resets than this lie between them.
const RECENT: u32 = 16;
/// The host seldom asks for all of a memory if at least this many tracked resets lie between.
const SELDOM: u32 = 64;
/// How many resets a slot first goes on without new advice.
const PATIENCE: u32 = 64;
/// The most resets without new advice, however often advice turns out wrong.
const LONGEST: u32 = 1 << 16;
/// How many resets a slot stays untracked when the process has no mappings left for it.
const NO_MAPPINGS: u32 = 1024;
/// Runs in short succession that wrote elsewhere, before the pages count as wandering.
const STRIKES: u32 = 6;
/// So few pages cost too little to give them up.
const FEW: usize = 4;
/// The most regions that replace a hot set that is too scattered.
const REGIONS: usize = 8;
/// A hot set of at most this many runs is kept exact. In a longer one, gaps of a page are closed:
/// mappings are scarce.
const EXACT_RUNS: usize = 64;
/// A hot set may always have this many runs, even where the process has few mappings left.
const FEWEST_RUNS: usize = 12;

// The costs of the parts of a reset, in nanoseconds (RATIONALE.md, "How large may a hot set be?").
/// The time to copy a page back.
const COPY: usize = 90;
/// The time to ask the kernel about one range.
const ASK: usize = 350;
/// Returns the time in which the kernel walks over this many pages.
fn walk(pages: usize) -> usize {
    pages * 6 / 10
}

/// A slot takes at most this fraction of the mappings that are left: one in `SHARE`.
const SHARE: usize = 16;

/// How one slot paces itself: when it asks for advice, and when it verifies what it copies.
#[derive(Debug)]
pub(super) struct Pacing {
    /// Resets since the last run that wrote outside the hot set.
    resets_since_miss: u32,
    /// Resets until the slot, while it is not tracked, asks for advice.
    resets_until_advice: u32,
    /// Whether this run was tracked when it began, and then wrote elsewhere too often.
    gave_up_tracking: bool,
    pub(super) verification: Verification,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self {
            resets_since_miss: RECENT,
            resets_until_advice: 0,
            gave_up_tracking: false,
            verification: Verification::new(),
        }
    }

    /// Counts a reset after a run without misses.
    #[inline]
    pub(super) fn tick_without_miss(&mut self) {
        self.resets_since_miss = self.resets_since_miss.saturating_add(1);
    }

    /// Counts a reset of a slot that is not tracked, and says whether it should ask for advice.
    pub(super) fn tick_untracked(&mut self) -> bool {
        self.resets_until_advice = self.resets_until_advice.saturating_sub(1);
        self.resets_until_advice == 0
    }

    /// Notes that a run wrote outside the hot set too often to be tracked to its end.
    pub(super) fn give_up_tracking(&mut self) {
        self.gave_up_tracking = true;
    }

    /// Notes that the host asked for all of the memory, so that nobody knows what it writes.
    /// `habits` are asked for how long to do without tracking if that happens often.
    pub(super) fn all_made_writable(&mut self, habits: &Habits) {
        self.resets_until_advice = if self.resets_since_miss < SELDOM { habits.all_made_writable() } else { 1 };
    }

    /// Returns whether another run wrote outside the hot set not long ago.
    pub(super) fn missed_recently(&self) -> bool {
        self.resets_since_miss < RECENT
    }

    /// Returns whether this run gave up tracking, and another wrote outside the hot set not long
    /// ago.
    pub(super) fn gave_up_again(&self) -> bool {
        self.gave_up_tracking && self.missed_recently()
    }

    /// Notes that a run that had misses, or was not tracked, is over.
    pub(super) fn begin_anew(&mut self) {
        self.resets_since_miss = 0;
        self.gave_up_tracking = false;
    }

    /// Stays untracked for this many resets.
    pub(super) fn stay_untracked(&mut self, resets: u32) {
        self.resets_until_advice = resets;
    }

    /// Stays untracked for a while, because the process has no mappings left.
    pub(super) fn lack_mappings(&mut self) {
        self.resets_until_advice = NO_MAPPINGS;
    }
}

/// Finds pages that a slot copies back although its runs no longer write them.
///
/// From time to time, a few resets in a row compare what they copy with the image. Pages that were
/// equal every time are given up. The interval doubles with each such check, because a page that is
/// given up wrongly costs a fault. When a run wrote much more than those before, a check comes
/// early: that may have been an exception.
#[derive(Debug)]
pub(super) struct Verification {
    countdown: u32,
    interval: u32,
    /// Whether the next check comes early, and how many did. Each is later than the one before,
    /// until regular checks find that nothing was given up in vain.
    early: bool,
    early_checks: u32,
    /// Comparisons in a row so far, and the pages that all of them found unwritten.
    rounds: u32,
    unwritten: Vec<Range<Page>>,
}

impl Verification {
    /// The first check comes early, because the first runs of a program write more than later ones.
    const FIRST: u32 = 1;
    const LONGEST: u32 = 1024;
    const ROUNDS: u32 = 4;

    pub(super) fn new() -> Self {
        let (early, early_checks) = (false, 0);
        Self { countdown: Self::FIRST, interval: Self::FIRST, early, early_checks, rounds: 0, unwritten: Vec::new() }
    }

    /// Counts a reset after which `kept` pages are kept, instead of `before`. Says whether it
    /// should compare.
    #[inline]
    pub(super) fn tick(&mut self, before: usize, kept: usize) -> bool {
        let due = self.countdown == 0;
        self.countdown = self.countdown.saturating_sub(1);
        if rose(before, kept) {
            self.come_early();
        }
        due
    }

    #[cold]
    fn come_early(&mut self) {
        let countdown = Self::FIRST << self.early_checks.min(10);
        if countdown < self.countdown {
            (self.countdown, self.early) = (countdown, true);
            self.early_checks += 1;
        }
    }

    /// Returns whether the last check is complete.
    pub(super) fn is_over(&self) -> bool {
        self.rounds == 0
    }

    /// Takes the pages that a comparison found unwritten, among `kept` pages, and returns those to
    /// give up.
    pub(super) fn conclude(&mut self, kept: usize, unwritten: Vec<Range<Page>>) -> Vec<Range<Page>> {
        self.unwritten = match self.rounds {
            0 => unwritten,
            _ => intersection(&self.unwritten, &unwritten),
        };
        self.rounds += 1;
        let worth_it = matters(count(&self.unwritten), kept);
        if worth_it && self.rounds < Self::ROUNDS {
            return Vec::new(); // Compare at the next reset, too.
        }
        if !std::mem::take(&mut self.early) {
            self.interval = (2 * self.interval).min(Self::LONGEST);
            self.early_checks = self.early_checks.saturating_sub(u32::from(!worth_it));
        }
        self.countdown = self.interval;
        self.rounds = 0;
        let unwritten = std::mem::take(&mut self.unwritten);
        if worth_it { unwritten } else { Vec::new() }
    }
}

/// Returns whether a slot that kept `before` pages now keeps so many more that it matters.
#[inline]
pub(super) fn rose(before: usize, kept: usize) -> bool {
    matters(kept.saturating_sub(before), kept)
}

/// Returns whether so many of the pages that are kept are worth looking after.
#[inline]
fn matters(pages: usize, kept: usize) -> bool {
    pages > FEW && pages > kept / 8
}

/// A plan for tracking a slot: which pages stay writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrackingPlan {
    pub(super) writable: PageSet,
    /// Whether they are regions, of which a reset asks the kernel which pages were written.
    /// Otherwise they are the written pages themselves.
    pub(super) regions: bool,
}

/// How much an image and the process allow a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Pages that could be write-protected.
    pub(super) pages: usize,
    /// Mappings that the process has left for tracking.
    pub(super) mappings: usize,
    pub(super) strategy: ResetStrategy,
}

impl TrackingPlan {
    /// Plans for runs that write the pages of `sorted`. `None` if a scan of everything is cheaper.
    fn new(sorted: &[Range<Page>], room: Room) -> Option<Self> {
        let most = (room.mappings / SHARE / 2).clamp(FEWEST_RUNS, PageSet::MAX_RUNS - 2 * MISSES as usize);
        let exact = Self { writable: cover(sorted, most)?, regions: false };
        let wanted = count(sorted);
        match Self::in_regions(sorted, wanted) {
            Some(regions) if regions.cost(wanted) < exact.cost(wanted) => regions.unless_large(room),
            _ => Some(exact),
        }
    }

    /// Plans regions for runs that write `wanted` of the pages of `sorted`: the fewest, if that
    /// makes no difference.
    fn in_regions(sorted: &[Range<Page>], wanted: usize) -> Option<Self> {
        let regions = (1..=REGIONS).filter_map(|most| cover(sorted, most));
        regions.map(|writable| Self { writable, regions: true }).min_by_key(|plan| plan.cost(wanted))
    }

    /// Plans for runs that write the pages of this plan or of `written`. Which pages of its regions
    /// runs write is not known, so they stay regions.
    fn widened(&self, written: &[Range<Page>], room: Room) -> Option<Self> {
        let mut all: Vec<Range<Page>> = self.writable.iter().chain(written.iter().cloned()).collect();
        all.sort_unstable_by_key(|run| run.start);
        let all = join(all);
        if self.regions { Self::in_regions(&all, count(written))?.unless_large(room) } else { Self::new(&all, room) }
    }

    /// Joins regions that pages beside them have made many. `None` if a scan of everything is
    /// cheaper.
    fn with_few_regions(self, room: Room) -> Option<Self> {
        if !self.regions || self.writable.len() <= 2 * REGIONS {
            return Some(self);
        }
        let runs: Vec<Range<Page>> = self.writable.iter().collect();
        Self { writable: cover(&runs, REGIONS)?, regions: true }.unless_large(room)
    }

    /// Returns nothing for regions that are no better than a scan of everything, unless they are
    /// asked for.
    fn unless_large(self, room: Room) -> Option<Self> {
        let small = 2 * self.writable.pages() <= room.pages || room.strategy == ResetStrategy::HotSet;
        small.then_some(self)
    }

    /// Returns the time of a reset, in nanoseconds, after a run that wrote `wanted` of its pages.
    fn cost(&self, wanted: usize) -> usize {
        let pages = self.writable.pages();
        if self.regions { ASK * self.writable.len() + walk(pages) + COPY * wanted } else { COPY * pages }
    }
}

/// Advice for a slot's next resets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Track writes outside these pages.
    Track(TrackingPlan),
    /// Make all pages writable, and scan. Ask again after this many resets.
    Scan { resets: u32 },
}

/// Remembers what the instances of an image write. Slots ask only when something changed, never in
/// the steady state.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// A plan for the pages that runs have written. `None` before the first run, and after the
    /// pages turned out to wander.
    plan: Option<TrackingPlan>,
    /// Runs in a row that wrote elsewhere.
    strikes: u32,
    /// How often advice was wrong. Each time, slots are told to stay with the next for twice as
    /// long.
    mistakes: u32,
}

impl Habits {
    /// Locks what was seen. Returns `None` while another thread has it: a slot that waited would
    /// gain nothing. In a child that was forked at such a moment it stays locked, and the instances
    /// of this image are scanned.
    fn lock(&self) -> Option<MutexGuard<'_, Seen>> {
        match self.seen.try_lock() {
            Ok(seen) => Some(seen),
            Err(TryLockError::Poisoned(seen)) => Some(seen.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns a plan for what the next run will probably write, if that is known.
    pub(super) fn expected(&self) -> Option<TrackingPlan> {
        self.lock()?.plan.clone()
    }

    /// Learns which pages a run wrote that was not tracked to its end. `strike` says that it gave
    /// up tracking, as another did not long ago.
    pub(super) fn observed(&self, written: &[Range<Page>], strike: bool, room: Room) -> Advice {
        let Some(mut seen) = self.lock() else { return Advice::Scan { resets: 1 } };
        if seen.wanders(strike, room.strategy) {
            return Advice::Scan { resets: seen.mistaken() };
        }
        let widened = seen.plan.take().and_then(|plan| plan.widened(written, room));
        let plan = widened.or_else(|| TrackingPlan::new(written, room));
        seen.decide(plan)
    }

    /// Learns that a tracked run wrote outside the hot set a few times; `plan` contains those pages
    /// by now. `strike` says that another run did so not long ago.
    pub(super) fn missed(&self, plan: &TrackingPlan, strike: bool, room: Room) -> Advice {
        let Some(mut seen) = self.lock() else { return Advice::Track(plan.clone()) };
        if seen.wanders(strike, room.strategy) {
            return Advice::Scan { resets: seen.mistaken() };
        }
        let mut all = seen.plan.take().unwrap_or_else(|| plan.clone());
        if !plan.writable.iter().all(|run| all.writable.insert(run)) {
            all = plan.clone();
        }
        all.regions |= plan.regions;
        seen.plan = all.with_few_regions(room);
        match plan.clone().with_few_regions(room) {
            Some(plan) => Advice::Track(plan),
            None => Advice::Scan { resets: seen.mistaken() },
        }
    }

    /// Learns that the host asked again for all of an instance's memory, where no fault tells what
    /// it writes. Returns for how many resets to scan.
    fn all_made_writable(&self) -> u32 {
        self.lock().map_or(PATIENCE, |mut seen| seen.mistaken())
    }

    /// Learns that runs no longer write some pages; `written` has the remaining ones.
    pub(super) fn narrowed(&self, written: &[Range<Page>], room: Room) -> Advice {
        let Some(mut seen) = self.lock() else { return Advice::Scan { resets: 1 } };
        seen.decide(TrackingPlan::new(written, room))
    }

    /// Learns that runs in the regions of `plan` write only `written` of their pages. Returns
    /// advice if another plan is cheaper by more than a tenth.
    pub(super) fn shrunk(&self, plan: &TrackingPlan, written: &[Range<Page>], room: Room) -> Option<Advice> {
        let wanted = count(written);
        let cheaper = TrackingPlan::new(written, room).filter(|new| 10 * new.cost(wanted) < 9 * plan.cost(wanted))?;
        Some(self.lock()?.decide(Some(cheaper)))
    }
}

impl Seen {
    /// Counts runs in short succession that wrote outside the hot set. Returns whether there are
    /// too many.
    fn wanders(&mut self, strike: bool, strategy: ResetStrategy) -> bool {
        self.strikes = if strike { self.strikes + 1 } else { 0 };
        let out = self.strikes >= STRIKES && strategy == ResetStrategy::Adaptive;
        if out {
            self.plan = None;
            self.strikes = 0;
        }
        out
    }

    /// Remembers a plan, or that there is none, and advises accordingly.
    fn decide(&mut self, plan: Option<TrackingPlan>) -> Advice {
        self.plan = plan.clone();
        match plan {
            Some(plan) => Advice::Track(plan),
            None => Advice::Scan { resets: self.mistaken() },
        }
    }

    /// Returns for how long to stay with the next advice.
    fn mistaken(&mut self) -> u32 {
        let resets = (PATIENCE << self.mistakes.min(16)).min(LONGEST);
        self.mistakes += 1;
        resets
    }
}

/// Covers all of `sorted` with at most `most` runs, by closing the smallest gaps.
fn cover(sorted: &[Range<Page>], most: usize) -> Option<PageSet> {
    let mut gaps: Vec<Page> = sorted.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
    gaps.sort_unstable();
    let to_close = sorted.len().saturating_sub(most);
    let narrow = if sorted.len() > EXACT_RUNS.min(most) { 1 } else { 0 };
    let widest = to_close.checked_sub(1).map_or(0, |last| gaps[last]).max(narrow);
    let close = sorted.chunk_by(|left, right| right.start - left.end <= widest);
    PageSet::from_sorted(close.map(|runs| runs[0].start..runs[runs.len() - 1].end))
}

/// Counts the pages of some runs.
pub(super) fn count(runs: &[Range<Page>]) -> usize {
    runs.iter().map(|run| run.len()).sum()
}

/// Returns sorted runs with those that overlap or touch made one.
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

/// Returns the parts of the sorted runs `from` that are not in the sorted runs `what`.
pub(super) fn difference(from: &[Range<Page>], what: &[Range<Page>]) -> Vec<Range<Page>> {
    let mut rest = Vec::new();
    for run in from {
        let mut start = run.start;
        let first = what.partition_point(|other| other.end <= run.start);
        for other in what[first..].iter().take_while(|other| other.start < run.end) {
            rest.extend((start < other.start).then_some(start..other.start));
            start = other.end;
        }
        rest.extend((start < run.end).then_some(start..run.end));
    }
    rest
}

/// Returns the parts that two lists of sorted runs have in common.
fn intersection(left: &[Range<Page>], right: &[Range<Page>]) -> Vec<Range<Page>> {
    let mut common = Vec::new();
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
        let both = a.start.max(b.start)..a.end.min(b.end);
        if !both.is_empty() {
            common.push(both);
        }
        if a.end <= b.end {
            l.next()
        } else {
            r.next()
        };
    }
    common
}

#[cfg(test)]
mod tests;
