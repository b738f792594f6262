//! Measures what each way of resetting costs a module, and finds out which one the runtime chose
//! and why.

use super::class::{Class, Region, bytes, page_size};
use super::life::{Life, Stage, Subject};
use crate::guest::input::Input;
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::options::args::ShowArgs;
use crate::output::report::Report;
use minirt::{Config, EngineStats, RegionKind, ResetStrategy};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Ways of resetting with their names, and whether there are images.
const WAYS: [(&str, ResetStrategy, bool); 4] = [
    ("hot set", ResetStrategy::HotSet, true),
    ("scan", ResetStrategy::Scan, true),
    ("discard", ResetStrategy::Discard, true),
    ("copying", ResetStrategy::Discard, false),
];

const REGIONS: &str = "regions";

/// How long each way is measured, if that is enough for a few lives.
const TIME: Duration = Duration::from_millis(150);
const LIVES: std::ops::RangeInclusive<usize> = 5..=500;
/// The lives of one way before it is the turn of the next: what else the machine does slows all
/// alike, and all but the first of them find the processor's caches warm.
const TURN: usize = 5;

/// The costs of a way of resetting.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) way: &'static str,
    /// The time of a reset.
    pub(crate) reset: Duration,
    /// The time of a whole life: instantiation, calls, reset.
    pub(crate) life: Duration,
    /// Bytes that an idle slot keeps in memory.
    pub(crate) kept: usize,
}

/// Measures every way.
///
/// # Errors
/// Returns what ends an instance before its end.
pub(crate) fn measure(args: &ShowArgs, input: &Input, source: &Source) -> Result<Vec<Cost>, Outcome> {
    let load = |(_, strategy, images)| {
        Subject::load(args, input, source, Config::new().reset_strategy(strategy).memory_init_cow(images))
    };
    let subjects: Vec<Subject<'_>> = WAYS.into_iter().map(load).collect::<Result<_, _>>()?;
    let times = times(&subjects.iter().collect::<Vec<_>>())?;
    let of = |((way, ..), (subject, (reset, life))): ((_, _, _), (&Subject<'_>, _))| {
        let stats = subject.engine.stats();
        // A hot set whose pages are too scattered is a few regions.
        let way = if stats.resets_regions > stats.resets_hot_set { REGIONS } else { way };
        Cost { way, reset, life, kept: stats.kept_bytes }
    };
    Ok(WAYS.into_iter().zip(subjects.iter().zip(times)).map(of).collect())
}

/// Returns for each subject the medians of the time of a reset, and of a life. They take turns.
///
/// # Errors
/// Returns what ends an instance before its end.
pub(crate) fn times(subjects: &[&Subject<'_>]) -> Result<Vec<(Duration, Duration)>, Outcome> {
    let mut all = vec![(Vec::new(), Vec::new()); subjects.len()];
    let (start, time) = (Instant::now(), TIME * subjects.len() as u32);
    for count in (0..*LIVES.end()).step_by(TURN) {
        if count >= *LIVES.start() && start.elapsed() >= time {
            break;
        }
        for (subject, (resets, lives)) in subjects.iter().zip(&mut all) {
            for _ in 0..TURN {
                let (reset, life) = live_timed(subject)?;
                resets.push(reset);
                lives.push(life);
            }
        }
    }
    Ok(all.into_iter().map(|(resets, lives)| (median(resets), median(lives))).collect())
}

/// Returns the time of a reset, and of the life before it together with it.
fn live_timed(subject: &Subject<'_>) -> Result<(Duration, Duration), Outcome> {
    let mut store = subject.store()?;
    let born = Instant::now();
    let instance = subject.instantiate(&mut store)?;
    subject.call_all(&mut store, instance, |_, _, _| ())?;
    let over = Instant::now();
    drop(store);
    let end = Instant::now();
    Ok((end - over, end - born))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Stands for ways that differ: from memory to memory, or among the instances in a store.
const SEVERAL: &str = "several ways";

/// Returns the way in which the last of some lives was reset: the statistics of its engine before
/// and after.
pub(crate) fn chosen(before: &EngineStats, after: &EngineStats) -> &'static str {
    type Count = fn(&EngineStats) -> u64;
    let ways: [(&str, Count); 4] = [
        ("discard", |stats| stats.resets_discard),
        ("scan", |stats| stats.resets_scan),
        (REGIONS, |stats| stats.resets_regions),
        ("hot set", |stats| stats.resets_hot_set),
    ];
    let mut more = ways.iter().filter(|(_, count)| count(after) > count(before)).map(|(way, _)| *way);
    match (more.next(), more.next()) {
        (None, _) => "nothing",
        (Some(way), None) => way,
        (Some(_), Some(_)) => SEVERAL,
    }
}

/// Returns the reason why the runtime chose a way for an instance that lived like the last of
/// `lives`.
pub(crate) fn why(chosen: &str, lives: &[Life]) -> String {
    if lives.is_empty() {
        return "nothing has run".to_owned();
    }
    let (written, common) = habits(lives);
    let size = |pages: u64| format!("{} ({})", pages_of(pages), bytes(pages * page_size()));
    match chosen {
        "hot set" if written == 0 => {
            "its runs write nothing but the head of the state, which is always copied".to_owned()
        }
        "hot set" => format!(
            "every run writes {}: a reset copies that back without a system call, and all other pages are write-protected",
            size(common.max(1))
        ),
        "scan" if lives.len() == 1 => {
            "this was the first run of the module: which pages its runs write is not known yet".to_owned()
        }
        REGIONS => "the pages that its runs write are scattered: a few regions are writable, and the kernel is asked \
                      which of their pages were written"
            .to_owned(),
        "scan" if common < written => format!(
            "its runs write different pages, {} each and {} of them in every run: the kernel is asked which",
            size(written),
            size(common)
        ),
        "scan" => "no set of pages is small enough to be worth protecting all others".to_owned(),
        "discard" => {
            format!("it is told to, the kernel cannot list pages, or {} are too many to be kept", size(written))
        }
        SEVERAL => {
            "its memories, or it and the instances that it imports from, are each reset as suits them".to_owned()
        }
        _ => "no code of it has run, so there is nothing to reset".to_owned(),
    }
}

/// Returns a number of pages in words.
pub(crate) fn pages_of(pages: u64) -> String {
    if pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") }
}

/// A page of a region.
type Page = (RegionKind, u64);

/// Returns how many pages a run writes, besides the head of the state and grown memory, and how
/// many of them all later runs write.
fn habits(lives: &[Life]) -> (u64, u64) {
    let Some((last, before)) = lives.split_last() else { return (0, 0) };
    // The head of the state has been written whenever an instance is fresh, and is not in the hot
    // set.
    let fresh = last.stages.first().map(|stage| pages(stage, RegionKind::State, |class| class == Class::Changed));
    let head = fresh.unwrap_or_default();
    let written = |life: &Life| -> Vec<Page> {
        let is_written = |class| matches!(class, Class::Changed | Class::HotChanged);
        let stage = life.stages.last().into_iter();
        let all = stage.flat_map(|stage| {
            stage.regions.iter().flat_map(|region| pages(stage, region.kind, is_written)).collect::<Vec<_>>()
        });
        all.filter(|page| !head.contains(page)).collect()
    };
    let last = written(last);
    let others: Vec<HashSet<Page>> = before.iter().map(|life| written(life).into_iter().collect()).collect();
    let common = last.iter().filter(|page| others.iter().all(|other| other.contains(page))).count();
    (last.len() as u64, common as u64)
}

/// Returns the pages of a region that are of some classes.
fn pages(stage: &Stage, kind: RegionKind, wanted: impl Fn(Class) -> bool) -> Vec<Page> {
    let region = stage.regions.iter().find(|region| region.kind == kind);
    let runs = region.map_or(&[][..], |region| &region.runs).iter().filter(|run| wanted(run.class));
    runs.flat_map(|run| run.pages.clone()).map(|page| (kind, page)).collect()
}

/// Returns a time in microseconds.
pub(crate) fn us(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

/// Lives one life to its reset, and returns it with the way in which it was reset.
///
/// # Errors
/// Returns an error if its pages cannot be looked at.
pub(crate) fn live(subject: &Subject<'_>, image: &[Region]) -> Result<(Life, &'static str), Report> {
    let before = subject.engine.stats();
    let life = subject.live(image)?;
    Ok((life, chosen(&before, &subject.engine.stats())))
}
