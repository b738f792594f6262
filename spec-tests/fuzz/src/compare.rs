//! One module on all runtimes: whether they take it, how it starts, and what every step leads to.

use crate::copies;
use crate::engines::{self, Configured, start_on_minirt, start_on_wasmi, start_on_wasmtime};
use crate::plan::{After, Step, plan};
use crate::shape::Shape;
use anyhow::{Result, anyhow, bail, ensure};
use minirt_runtimes::value::{Content, Object, Outcome, State, Value, difference};
use minirt_runtimes::{Guest, minirt, wasmi, wasmtime};

/// The runtimes, made once.
pub(crate) struct Runtimes {
    minirt: Vec<Configured>,
    wasmtime: wasmtime::Engine,
    wasmi: Option<wasmi::Engine>,
}

/// The counts of a module, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) modules: u64,
    pub(crate) calls: u64,
    pub(crate) traps: u64,
    /// Calls that ended with an exception.
    pub(crate) threw: u64,
    /// Steps that returned a structure or an array, or changed one that an export leads to, or
    /// which of them.
    pub(crate) objects: u64,
    /// Structures and arrays that the host found by way of exports after it had collected, at most
    /// some for each export.
    pub(crate) survivors: u64,
    /// Collections by the host.
    pub(crate) collections: u64,
    /// Seeds of which the generator makes nothing.
    pub(crate) no_modules: u64,
    /// Modules that never came to life: their start traps, everywhere.
    pub(crate) stillborn: u64,
    /// Modules that no runtime takes.
    pub(crate) invalid: u64,
    /// Modules that wasmi, and only wasmi, does not take.
    pub(crate) not_for_wasmi: u64,
    /// Modules that import what the host does not have.
    pub(crate) not_given: u64,
    /// Modules not followed to the end, because a stack or a heap was exhausted.
    pub(crate) exhausted: u64,
    pub(crate) resets: u64,
    pub(crate) snapshots: u64,
}

/// The outcome of one module.
pub(crate) struct Checked {
    pub(crate) counts: Counts,
    /// A peculiarity of wasmi alone.
    pub(crate) note: Option<String>,
}

impl Checked {
    /// For a seed of which the generator makes nothing.
    pub(crate) fn nothing() -> Self {
        Self { counts: Counts { no_modules: 1, ..Counts::default() }, note: None }
    }
}

impl Runtimes {
    /// With `gc`, half of minirt's configurations collect all the time.
    pub(crate) fn new(wasmi: bool, gc: bool) -> Result<Self> {
        let minirt = engines::configurations(gc)?;
        Ok(Self { minirt, wasmtime: engines::wasmtime()?, wasmi: wasmi.then(engines::wasmi) })
    }

    pub(crate) fn configuration(&self, seed: u64) -> &Configured {
        &self.minirt[(seed % self.minirt.len() as u64) as usize]
    }

    /// # Errors
    /// Returns the counts, or the first difference.
    pub(crate) fn check(&self, seed: u64, wasm: &[u8]) -> Result<Checked> {
        let mut checked = Checked { counts: Counts { modules: 1, ..Counts::default() }, note: None };
        let counts = &mut checked.counts;
        let ours = minirt::Module::new(&self.configuration(seed).engine, wasm);
        let theirs = wasmtime::Module::new(&self.wasmtime, wasm);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(_), Err(_)) => {
                counts.invalid = 1;
                return Ok(checked);
            }
            // Nothing that is generated comes near a limit of minirt: 65,536 pages, 2^30 bytes, the
            // largest state.
            (Err(error), Ok(_)) => bail!("only minirt refuses the module: {error:#}"),
            (Ok(_), Err(error)) => bail!("wasmtime refuses the module, minirt does not: {error:#}"),
        };
        let third = self.wasmi.as_ref().and_then(|engine| Some((engine, wasmi::Module::new(engine, wasm).ok()?)));
        counts.not_for_wasmi = u64::from(third.is_none());
        let shape = Shape::of(&ours);
        if !shape.can_be_given {
            counts.not_given = 1;
            return Ok(checked);
        }
        let live = start_on_minirt(&ours, &shape);
        let wasmtime = start_on_wasmtime(&theirs, &shape);
        let wasmi = third.map(|(engine, third)| start_on_wasmi(engine, &third, &shape));
        let how = [live.as_ref().err(), wasmtime.as_ref().err(), wasmi.as_ref().and_then(|it| it.as_ref().err())];
        if let Some(exhausted) = how.iter().flatten().find(|how| how.is_exhaustion()) {
            counts.exhausted = 1;
            copies::check_stillborn(&ours, &shape, exhausted)?;
            return Ok(checked);
        }
        ensure!(how[0] == how[1], "instantiation: minirt: {:?}, wasmtime: {:?}", how[0], how[1]);
        if wasmi.is_some() && how[0] != how[2] {
            checked.note = Some(format!("instantiation: {:?}, with wasmi: {:?}", how[0], how[2]));
        }
        let (mut live, wasmtime) = match (live, wasmtime) {
            (Ok(live), Ok(wasmtime)) => (live, Box::new(wasmtime)),
            (Err(how), _) | (_, Err(how)) => {
                counts.stillborn = 1;
                copies::check_stillborn(&ours, &shape, &how)?;
                return Ok(checked);
            }
        };
        let wasmi = wasmi.and_then(Result::ok).map(|it| Box::new(it) as Box<dyn Guest>);
        let steps = plan(seed, &shape);
        let mut peers = Peers { wasmtime, wasmi, note: checked.note.take() };
        let fresh = live.look();
        peers.same_start(&fresh)?;
        let trace = run(&steps, &fresh, &mut live, &mut peers, counts)?;
        checked.note = peers.note;
        match trace {
            Some(trace) => {
                let subject = copies::Subject { seed, module: &ours, shape: &shape, steps: &steps, fresh, trace };
                copies::check(&subject, live, counts)?;
            }
            None => counts.exhausted = 1,
        }
        Ok(checked)
    }
}

/// Instances of the other runtimes.
struct Peers {
    wasmtime: Box<dyn Guest>,
    /// Until it differs from both others.
    wasmi: Option<Box<dyn Guest>>,
    /// How it did.
    note: Option<String>,
}

impl Peers {
    fn same_start(&mut self, fresh: &State) -> Result<()> {
        same_state(&self.wasmtime.look(), fresh, "wasmtime", "at the start")?;
        if let Some(wasmi) = &mut self.wasmi {
            let same = same_state(&wasmi.look(), fresh, "wasmi", "at the start");
            self.without_wasmi_if(same);
        }
        Ok(())
    }

    /// Takes a step that led minirt to `after`. Returns whether a stack or a heap was exhausted.
    fn step(&mut self, index: usize, step: &Step, after: &After) -> Result<bool> {
        let theirs = step.run(&mut *self.wasmtime);
        if after.outcome.is_exhaustion() || theirs.outcome.is_exhaustion() {
            return Ok(true);
        }
        same(&theirs, after, "wasmtime", index, step)?;
        if let Some(wasmi) = &mut self.wasmi {
            let theirs = step.run(&mut **wasmi);
            if theirs.outcome.is_exhaustion() {
                self.wasmi = None;
                return Ok(false);
            }
            let same = same(&theirs, after, "wasmi", index, step);
            self.without_wasmi_if(same);
        }
        Ok(false)
    }

    /// Notes what wasmi alone does, for a human to look at: two runtimes against one.
    fn without_wasmi_if(&mut self, same: Result<()>) {
        if let Err(difference) = same {
            self.wasmi = None;
            self.note = Some(format!("{difference:#}"));
        }
    }
}

/// Runs the steps everywhere. Returns nothing if a stack or a heap was exhausted.
fn run(
    steps: &[Step],
    fresh: &State,
    ours: &mut dyn Guest,
    peers: &mut Peers,
    counts: &mut Counts,
) -> Result<Option<Vec<After>>> {
    let mut trace = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let after = step.run(ours);
        counts.calls += u64::from(matches!(step, Step::Call { .. }));
        counts.traps += u64::from(matches!(after.outcome, Outcome::Trapped(_)));
        counts.threw += u64::from(matches!(after.outcome, Outcome::Threw(_)));
        if matches!(step, Step::Collect) {
            counts.collections += 1;
            counts.survivors += objects_in(&after.state);
        }
        let before = trace.last().map_or(fresh, |last: &After| &last.state);
        counts.objects += u64::from(returns_objects(&after.outcome) || changes_objects(before, &after.state));
        if peers.step(index, step, &after)? {
            return Ok(None);
        }
        trace.push(after);
    }
    Ok(Some(trace))
}

fn is_object(value: &Value) -> bool {
    matches!(value, Value::Any(Some(Object::Struct(_) | Object::Array(_))))
}

/// Counts the objects that exports lead to.
fn objects_in(state: &State) -> u64 {
    let count = |value: &Value| u64::from(value.objects());
    let objects = state.iter().map(|(_, content)| match content {
        Content::Global(value) => count(value),
        Content::Table(elements) => elements.iter().map(count).sum(),
        Content::Memory(_) => 0,
    });
    objects.sum()
}

fn returns_objects(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Returned(values) | Outcome::Threw(values) if values.iter().any(is_object))
}

/// Returns whether something leads to another structure or array than before.
fn changes_objects(before: &State, after: &State) -> bool {
    before.iter().zip(after).any(|(before, after)| match (&before.1, &after.1) {
        (Content::Global(before), Content::Global(after)) => before != after && is_object(after),
        (Content::Table(before), Content::Table(after)) => before != after && after.iter().any(is_object),
        _ => false,
    })
}

/// Checks that a step led to what it should.
pub(crate) fn same(expected: &After, found: &After, by: &str, index: usize, step: &Step) -> Result<()> {
    ensure!(
        expected.outcome == found.outcome,
        "step {index}, {step:?}: minirt: {:?}, expected by {by}: {:?}",
        found.outcome,
        expected.outcome
    );
    same_state(&expected.state, &found.state, by, &format!("after step {index}, {step:?}"))
}

/// Checks that an instance of minirt holds what it should.
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
        self.threw += other.threw;
        self.objects += other.objects;
        self.survivors += other.survivors;
        self.collections += other.collections;
        self.no_modules += other.no_modules;
        self.stillborn += other.stillborn;
        self.invalid += other.invalid;
        self.not_for_wasmi += other.not_for_wasmi;
        self.not_given += other.not_given;
        self.exhausted += other.exhausted;
        self.resets += other.resets;
        self.snapshots += other.snapshots;
    }
}
