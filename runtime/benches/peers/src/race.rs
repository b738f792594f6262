//! Contestants that take turns on the same processors, and the median round of each.
//!
//! Knows nothing of what they do.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Does something as often as it is told.
pub(crate) type Lap<'a> = Box<dyn FnMut(u32) -> Result<()> + 'a>;

/// Makes a lap ready on the thread that will run it.
pub(crate) type Contestant<'a> = Box<dyn Fn() -> Result<Lap<'a>> + Sync + 'a>;

/// How many rounds there are, and how long each contestant has its turn.
pub(crate) struct Pace {
    rounds: usize,
    slice: Duration,
}

impl Pace {
    pub(crate) const THOROUGH: Self = Self { rounds: 9, slice: Duration::from_millis(50) };
    pub(crate) const QUICK: Self = Self { rounds: 5, slice: Duration::from_millis(20) };

    pub(crate) fn rounds(&self) -> usize {
        self.rounds
    }

    pub(crate) fn slice(&self) -> Duration {
        self.slice
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Medians of {} rounds, {} ms each.", self.rounds, self.slice.as_millis())
    }
}

/// Returns the processors that this process may use, lowest first.
pub(crate) fn processors() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("could not ask which processors there are")?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect())
}

/// Returns how often per second each contestant did its work: all threads together, the median of
/// the rounds.
///
/// Thread `i` stays on the `i`th of `processors`; all threads run the same contestant at the same
/// time.
pub(crate) fn race(contestants: &[Contestant<'_>], processors: &[usize], pace: &Pace) -> Result<Vec<f64>> {
    race_at(contestants, &processors.iter().copied().map(Some).collect::<Vec<_>>(), pace)
}

/// Does the same on one thread that is not pinned, for contestants that start threads: these
/// inherit its processors.
pub(crate) fn race_anywhere(contestants: &[Contestant<'_>], pace: &Pace) -> Result<Vec<f64>> {
    race_at(contestants, &[None], pace)
}

fn race_at(contestants: &[Contestant<'_>], places: &[Option<usize>], pace: &Pace) -> Result<Vec<f64>> {
    let barrier = Barrier::new(places.len());
    let barrier = &barrier;
    let by_thread = std::thread::scope(|scope| {
        let run = |place| scope.spawn(move || attend(contestants, place, barrier, pace));
        let threads: Vec<_> = places.iter().map(|place| run(*place)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a panic ends the process")).collect::<Result<Vec<_>>>()
    })?;
    let total = |contestant: usize, round: usize| by_thread.iter().map(|rates| rates[contestant][round]).sum();
    let rounds = |contestant| (0..pace.rounds).map(|round| total(contestant, round)).collect();
    Ok((0..contestants.len()).map(|contestant| median(rounds(contestant))).collect())
}

/// One thread's part: rates by contestant and round.
fn attend(
    contestants: &[Contestant<'_>],
    place: Option<usize>,
    barrier: &Barrier,
    pace: &Pace,
) -> Result<Vec<Vec<f64>>> {
    let pinned = place.map_or(Ok(()), pin);
    // Errors wait until the end, because the other threads wait at the barrier.
    let warm = |contestant| {
        barrier.wait();
        Runner::warm(contestant, pace.slice)
    };
    let mut runners: Vec<Result<Runner<'_>>> = contestants.iter().map(warm).collect();
    for _ in 0..pace.rounds {
        for runner in &mut runners {
            barrier.wait();
            if let Ok(ready) = runner
                && let Err(error) = ready.take_turn(pace.slice)
            {
                *runner = Err(error);
            }
        }
    }
    pinned?;
    runners.into_iter().map(|runner| Ok(runner?.rates)).collect()
}

/// Keeps this thread on one processor.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("could not stay on processor {cpu}"))
}

/// A contestant on one thread.
struct Runner<'a> {
    lap: Lap<'a>,
    /// Repetitions between two looks at the clock.
    batch: u32,
    rates: Vec<f64>,
}

impl<'a> Runner<'a> {
    /// Runs until caches are warm and it is known how many repetitions make a fraction of a slice.
    fn warm(contestant: &Contestant<'a>, slice: Duration) -> Result<Self> {
        let mut lap = contestant()?;
        let mut batch = 1;
        loop {
            let start = Instant::now();
            lap(batch)?;
            if start.elapsed() >= slice / 16 {
                return Ok(Self { lap, batch, rates: Vec::new() });
            }
            batch *= 2;
        }
    }

    fn take_turn(&mut self, slice: Duration) -> Result<()> {
        let start = Instant::now();
        let mut done = 0.0;
        while start.elapsed() < slice {
            (self.lap)(self.batch)?;
            done += f64::from(self.batch);
        }
        self.rates.push(done / start.elapsed().as_secs_f64());
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (below + above) / 2.0
}
