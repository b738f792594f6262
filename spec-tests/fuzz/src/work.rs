//! Seeds, shared among threads, and what came of them.

use crate::compare::{Checked, Counts, Runtimes};
use crate::generate::Family;
use crate::options::Options;
use crate::{STACK, generate, report};
use anyhow::{Error, Result, anyhow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// The run ends after this many differences.
const ENOUGH: u64 = 20;

struct Work<'a> {
    options: &'a Options,
    runtimes: Runtimes,
    next: AtomicU64,
    done: Mutex<Done>,
}

struct Done {
    counts: Counts,
    differences: u64,
    wasmi_alone: u64,
    started: Instant,
    reported: Instant,
}

/// Returns whether there was no difference.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let now = Instant::now();
    let done = Done { counts: Counts::default(), differences: 0, wasmi_alone: 0, started: now, reported: now };
    let next = AtomicU64::new(options.seeds.start);
    let work = Work {
        options,
        runtimes: Runtimes::new(options.wasmi, options.all_have == Some(Family::Gc))?,
        next,
        done: Mutex::new(done),
    };
    std::thread::scope(|scope| {
        (0..options.threads).try_for_each(|_| {
            let builder = std::thread::Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, || work.seeds()).map(drop)
        })
    })?;
    let done = work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Counts { modules, calls, traps, threw, objects, survivors, collections, .. } = done.counts;
    println!("{}", done.details());
    println!(
        "{modules} modules, {calls} calls, {traps} traps, {threw} exceptions, {objects} steps that returned or changed objects, \
         {survivors} objects found after {collections} collections by the host"
    );
    println!("{} differences", done.differences);
    Ok(done.differences == 0)
}

impl Work<'_> {
    fn seeds(&self) {
        loop {
            let seed = self.next.fetch_add(1, Relaxed);
            if seed >= self.options.seeds.end || !self.one(seed) {
                return;
            }
        }
    }

    /// Returns whether to go on.
    fn one(&self, seed: u64) -> bool {
        let wasm = match generate::module(seed, self.options.all_have) {
            Ok(Some(wasm)) => wasm,
            Ok(None) => return self.record(seed, Ok(Checked::nothing()), None),
            Err(error) => return self.record(seed, Err(error), None),
        };
        let kept = self.options.keep.then(|| report::keep(seed, &wasm));
        if let Some(Ok(path)) = &kept {
            println!("seed {seed}: {}", path.display());
        }
        // A panic is a difference like others. Only engines are used again, and they allow that.
        let checked = catch_unwind(AssertUnwindSafe(|| self.runtimes.check(seed, &wasm)));
        let checked = checked.unwrap_or_else(|_| Err(anyhow!("a panic, whose message stands above")));
        self.record(seed, checked, Some(&wasm))
    }

    fn record(&self, seed: u64, checked: Result<Checked>, wasm: Option<&[u8]>) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match checked {
            Ok(Checked { counts, note }) => {
                done.counts.add(counts);
                if let Some(note) = note {
                    done.wasmi_alone += 1;
                    println!("seed {seed}: wasmi stands alone: {note}");
                }
            }
            Err(error) => {
                done.differences += 1;
                done.counts.modules += 1;
                self.describe(seed, &error, wasm);
            }
        }
        if done.reported.elapsed() >= PROGRESS {
            done.reported = Instant::now();
            println!("{} ({} differences, at seed {seed})", done.details(), done.differences);
        }
        done.differences < ENOUGH
    }

    fn describe(&self, seed: u64, error: &Error, wasm: Option<&[u8]>) {
        println!("DIFFERENCE with seed {seed}, minirt's configuration {}", self.runtimes.configuration(seed).about);
        println!("  {error:#}");
        match wasm.map(|wasm| report::keep(seed, wasm)) {
            Some(Ok(path)) => println!("  module: {}", path.display()),
            Some(Err(error)) => println!("  the module could not be kept: {error:#}"),
            None => {}
        }
    }
}

impl Done {
    fn details(&self) -> String {
        let Counts {
            modules,
            no_modules,
            invalid,
            not_given,
            stillborn,
            not_for_wasmi,
            exhausted,
            resets,
            snapshots,
            calls,
            ..
        } = self.counts;
        format!(
            "{:.0} s: {modules} modules ({no_modules} seeds give none, {invalid} are invalid, {not_given} import what there \
             is not, {stillborn} do not start, {not_for_wasmi} not for wasmi, {exhausted} exhaust stack or heap), {calls} calls, {resets} with resets, {snapshots} with snapshots, {} where wasmi stands alone",
            self.started.elapsed().as_secs_f64(),
            self.wasmi_alone
        )
    }
}
