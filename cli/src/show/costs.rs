//! Measures what each way of resetting costs a module, and finds out which one the runtime chose and why.

use super::class::{Class, Region, bytes, page_size};
use super::life::{Life, Subject};

use crate::guest::input::Input;
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::options::args::ShowArgs;
use crate::output::report::Report;
use minirt::{Config, EngineStats, RegionKind, ResetStrategy};
use std::time::{Duration, Instant};

/// Ways of resetting with their names, and whether there are images.
const WAYS: [(&str, ResetStrategy, bool); 4] = [
    ("hot set", ResetStrategy::HotSet, true),
    ("scan", ResetStrategy::Scan, true),
    ("discard", ResetStrategy::Discard, true),
    ("copying", ResetStrategy::Discard, false),
];

/// How long each way is measured, if that is enough for a few lives.
const TIME: Duration = Duration::from_millis(150);
const LIVES: std::ops::RangeInclusive<usize> = 5..=500;

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
    let of = |(way, strategy, images)| {
        let mut config = Config::new();
        config.reset_strategy(strategy).memory_init_cow(images);
        let subject = Subject::load(args, input, source, &mut config)?;
        let (reset, life) = times(&subject)?;
        Ok(Cost { way, reset, life, kept: subject.engine.stats().kept_bytes })
    };
    WAYS.into_iter().map(of).collect()
}

/// Returns the medians of the time of a reset, and of a life.
///
/// # Errors
/// Returns what ends an instance before its end.
pub(crate) fn times(subject: &Subject<'_>) -> Result<(Duration, Duration), Outcome> {
    let (mut resets, mut lives) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while lives.len() < *LIVES.start() || (start.elapsed() < TIME && lives.len() < *LIVES.end()) {
        let mut store = subject.store()?;
        let born = Instant::now();
        let instance = subject.instantiate(&mut store)?;
        subject.call_all(&mut store, instance, |_, _, _| ())?;
        let over = Instant::now();
        drop(store);
        let end = Instant::now();
        resets.push(end - over);
        lives.push(end - born);
    }
    Ok((median(resets), median(lives)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Stands for ways that differ: from memory to memory, or among the instances in a store.
const SEVERAL: &str = "several ways";

/// Returns the way in which the last of some lives was reset: the statistics of its engine before and after.
pub(crate) fn chosen(before: &EngineStats, after: &EngineStats) -> &'static str {
    type Count = fn(&EngineStats) -> u64;
    let ways: [(&str, Count); 3] = [
        ("discard", |stats| stats.resets_discard),
        ("scan", |stats| stats.resets_scan),
        ("hot set", |stats| stats.resets_hot_set),
    ];
    let mut more = ways.iter().filter(|(_, count)| count(after) > count(before)).map(|(way, _)| *way);
    match (more.next(), more.next()) {
        (None, _) => "nothing",
        (Some(way), None) => way,
        (Some(_), Some(_)) => SEVERAL,
    }
}

/// Returns the reason why the runtime chose a way for an instance that lived like the last of `lives`.
pub(crate) fn why(chosen: &str, lives: &[Life]) -> String {
    let Some(last) = lives.last() else { return "nothing has run".to_owned() };
    let tracked = last.maps.iter().any(|map| map.regions.iter().any(|region| region.tracked));
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
        "scan" if tracked => {
            "the pages that its runs write are scattered: a few regions are writable, and the kernel is \
                              asked which of their pages were written"
                .to_owned()
        }
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

/// Returns how many pages a run writes, besides state and grown memory, and how many of them all later runs write.
fn habits(lives: &[Life]) -> (u64, u64) {
    let written = |life: &Life| -> Vec<(RegionKind, u64)> {
        let regions = life.stages.last().map_or(&[][..], |stage| &stage.regions);
        let pages = |region: &Region| {
            let own = region.runs.iter().filter(|run| matches!(run.class, Class::Changed | Class::HotChanged));
            own.flat_map(|run| run.pages.clone()).map(|page| (region.kind, page)).collect::<Vec<_>>()
        };
        regions.iter().filter(|region| region.kind != RegionKind::State).flat_map(pages).collect()
    };
    let Some((last, before)) = lives.split_last() else { return (0, 0) };
    let last = written(last);
    let others: Vec<std::collections::HashSet<(RegionKind, u64)>> =
        before.iter().map(|life| written(life).into_iter().collect()).collect();
    let common = last.iter().filter(|page| others.iter().all(|other| other.contains(page))).count();
    (last.len() as u64, common as u64)
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
