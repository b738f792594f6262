//! One module on all runtimes: whether they take it, how it starts, and what every step leads to.

use crate::guest::Guest;
use crate::minirt_side::{self, Configured};
use crate::plan::{After, Step, plan};
use crate::value::{Outcome, State, difference};
use crate::{copies, wasmi_side, wasmtime_side};
use anyhow::{Result, anyhow, bail, ensure};

/// The runtimes, made once.
pub(crate) struct Runtimes {
    minirt: Vec<Configured>,
    wasmtime: wasmtime::Engine,
    wasmi: wasmi::Engine,
}

/// What was done with a module, or with all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) modules: u64,
    pub(crate) calls: u64,
    pub(crate) traps: u64,
    /// Seeds of which the generator makes nothing.
    pub(crate) no_modules: u64,
    /// Modules that never came to life: their start traps, everywhere.
    pub(crate) stillborn: u64,
    /// Modules that no runtime takes.
    pub(crate) invalid: u64,
    /// Modules that wasmi, and only wasmi, does not take.
    pub(crate) not_for_wasmi: u64,
    /// Modules not followed to the end, because a stack overflowed.
    pub(crate) overflows: u64,
    pub(crate) resets: u64,
    pub(crate) snapshots: u64,
}

impl Runtimes {
    pub(crate) fn new() -> Result<Self> {
        let minirt = minirt_side::configurations()?;
        Ok(Self { minirt, wasmtime: wasmtime_side::engine()?, wasmi: wasmi_side::engine() })
    }

    pub(crate) fn configuration(&self, seed: u64) -> &Configured {
        &self.minirt[(seed % self.minirt.len() as u64) as usize]
    }

    /// # Errors
    /// What differs.
    pub(crate) fn check(&self, seed: u64, wasm: &[u8]) -> Result<Counts> {
        let mut counts = Counts { modules: 1, ..Counts::default() };
        let ours = minirt::Module::new(&self.configuration(seed).engine, wasm);
        let theirs = wasmtime::Module::new(&self.wasmtime, wasm);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(_), Err(_)) => return Ok(Counts { invalid: 1, ..counts }),
            // Nothing that is generated comes near a limit of minirt: 65,536 pages, 2^30 bytes, the largest state.
            (Err(error), Ok(_)) => bail!("only minirt refuses the module: {error:#}"),
            (Ok(_), Err(error)) => bail!("wasmtime refuses the module, minirt does not: {error:#}"),
        };
        let third = wasmi::Module::new(&self.wasmi, wasm).ok();
        counts.not_for_wasmi = u64::from(third.is_none());
        let shape = minirt_side::shape(&ours);
        let live = minirt_side::start(&ours, &shape);
        let mut others = vec![("wasmtime", wasmtime_side::start(&theirs, &shape).map(boxed))];
        others.extend(third.map(|third| ("wasmi", wasmi_side::start(&self.wasmi, &third, &shape).map(boxed))));
        let mut live = match same_start(live, &mut others)? {
            Ok(live) => live,
            Err(how) => {
                copies::check_stillborn(&ours, &shape, &how)?;
                return Ok(Counts { stillborn: 1, overflows: u64::from(how.is_overflow()), ..counts });
            }
        };
        let steps = plan(seed, &shape);
        let mut others: Vec<_> = others.into_iter().filter_map(|(name, it)| Some((name, it.ok()?))).collect();
        let fresh = live.look();
        others.iter_mut().try_for_each(|(name, other)| same_state(&other.look(), &fresh, name, "at the start"))?;
        let Some(trace) = run(&steps, &mut live, &mut others, &mut counts)? else {
            return Ok(Counts { overflows: 1, ..counts });
        };
        drop(others);
        copies::check(
            &copies::Subject { seed, module: &ours, shape: &shape, steps: &steps, fresh, trace },
            live,
            &mut counts,
        )?;
        Ok(counts)
    }
}

fn boxed(guest: impl Guest + 'static) -> Box<dyn Guest> {
    Box::new(guest)
}

type Started = Result<Box<dyn Guest>, Outcome>;

/// Whether the instances came to life alike; and then minirt's, or how the attempts ended.
fn same_start(
    ours: Result<minirt_side::Live, Outcome>,
    others: &mut [(&'static str, Started)],
) -> Result<Result<minirt_side::Live, Outcome>> {
    let how = |outcome: Option<&Outcome>| outcome.map_or("starts".to_owned(), |outcome| format!("{outcome:?}"));
    let mine = ours.as_ref().err();
    for (name, other) in others {
        let other = other.as_ref().err();
        let lenient = mine.is_some_and(Outcome::is_overflow) || other.is_some_and(Outcome::is_overflow);
        ensure!(lenient || mine == other, "instantiation: minirt: {}, {name}: {}", how(mine), how(other));
        if lenient {
            return Ok(Err(mine.or(other).expect("one of them overflowed").clone()));
        }
    }
    Ok(ours)
}

/// Runs the steps everywhere. `None` when a stack overflowed.
fn run(
    steps: &[Step],
    ours: &mut dyn Guest,
    others: &mut [(&'static str, Box<dyn Guest>)],
    counts: &mut Counts,
) -> Result<Option<Vec<After>>> {
    let mut trace = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let after = step.run(ours);
        counts.calls += u64::from(matches!(step, Step::Call { .. }));
        counts.traps += u64::from(matches!(after.outcome, Outcome::Trapped(_)));
        let mut overflow = after.outcome.is_overflow();
        for (name, other) in &mut *others {
            let theirs = step.run(&mut **other);
            overflow |= theirs.outcome.is_overflow();
            if !overflow {
                same(&theirs, &after, name, index, step)?;
            }
        }
        if overflow {
            return Ok(None);
        }
        trace.push(after);
    }
    Ok(Some(trace))
}

/// Whether a step led to what it should.
pub(crate) fn same(expected: &After, found: &After, by: &str, index: usize, step: &Step) -> Result<()> {
    ensure!(
        expected.outcome == found.outcome,
        "step {index}, {step:?}: minirt: {:?}, expected by {by}: {:?}",
        found.outcome,
        expected.outcome
    );
    same_state(&expected.state, &found.state, by, &format!("after step {index}, {step:?}"))
}

/// Whether an instance of minirt holds what it should.
pub(crate) fn same_state(expected: &State, found: &State, by: &str, when: &str) -> Result<()> {
    match difference(expected, found) {
        None => Ok(()),
        Some(what) => Err(anyhow!("{when}: {what} by {by}")),
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.modules += other.modules;
        self.calls += other.calls;
        self.traps += other.traps;
        self.no_modules += other.no_modules;
        self.stillborn += other.stillborn;
        self.invalid += other.invalid;
        self.not_for_wasmi += other.not_for_wasmi;
        self.overflows += other.overflows;
        self.resets += other.resets;
        self.snapshots += other.snapshots;
    }
}
