//! What minirt promises about copies of instances, tested on a module whose behaviour is known:
//! whatever way an instance comes to a state, it holds the same and does the same from there.

use crate::compare::{Counts, same, same_state};
use crate::engines::start_on_minirt;
use crate::plan::{After, Step};
use crate::rng::Rng;
use crate::shape::Shape;
use anyhow::{Context, Result, anyhow, ensure};
use minirt_runtimes::Guest;
use minirt_runtimes::minirt::{Module, Snapshot};
use minirt_runtimes::on_minirt::Live;
use minirt_runtimes::value::{Content, Outcome, State, Value};

/// Why an instance with structures or arrays is neither reset nor frozen.
const NOT_ALONE: &str = "while there is something else in its store";

/// The same, if exceptions are left after a collection.
const HAS_EXCEPTIONS: &str = "while there are exceptions in its store";

/// A module, and what the first of its instances did.
pub(crate) struct Subject<'a> {
    pub(crate) seed: u64,
    pub(crate) module: &'a Module,
    pub(crate) shape: &'a Shape,
    pub(crate) steps: &'a [Step],
    /// What it held right after instantiation.
    pub(crate) fresh: State,
    /// What each step led to.
    pub(crate) trace: Vec<After>,
}

/// Checks all promises. `live` is the instance that took the steps.
pub(crate) fn check(subject: &Subject<'_>, live: Live, counts: &mut Counts) -> Result<()> {
    let mut rng = Rng::new(subject.seed, 4);
    if subject.shape.owns_its_state {
        let reset = subject.check_reset(live, &mut rng).context("an instance after a reset in place")?;
        counts.resets += u64::from(reset);
        counts.snapshots += u64::from(subject.check_snapshot(&mut rng).context("snapshots")?);
    } else {
        drop(live);
    }
    subject.check_recycled(&mut rng).context("an instance in a recycled slot")?;
    subject.check_artifact().context("an instance of an artifact")
}

/// Checks that a module that does not start fails in the same way a second time.
pub(crate) fn check_stillborn(module: &Module, shape: &Shape, how: &Outcome) -> Result<()> {
    let again = start_on_minirt(module, shape).err();
    ensure!(
        how.is_exhaustion() || again.as_ref() == Some(how),
        "the second instantiation: {again:?}, the first: {how:?}"
    );
    Ok(())
}

impl Subject<'_> {
    /// Returns what an instance holds before a step.
    fn before(&self, step: usize) -> &State {
        step.checked_sub(1).map_or(&self.fresh, |last| &self.trace[last].state)
    }

    /// Runs the steps of a range and compares what they lead to.
    fn follow(&self, guest: &mut Live, steps: std::ops::Range<usize>) -> Result<()> {
        for index in steps {
            let after = self.steps[index].run(guest);
            same(&self.trace[index], &after, "the first instance", index, &self.steps[index])?;
        }
        Ok(())
    }

    fn expect(&self, guest: &mut Live, step: usize) -> Result<()> {
        same_state(self.before(step), &guest.look(), "the first instance", &format!("before step {step}"))
    }

    fn some_step(&self, rng: &mut Rng) -> usize {
        rng.below(self.steps.len() as u64 + 1) as usize
    }

    fn fresh(&self) -> Result<Live> {
        start_on_minirt(self.module, self.shape).map_err(|how| anyhow!("it did not start: {how:?}"))
    }

    /// Returns whether there was a reset.
    fn check_reset(&self, mut live: Live, rng: &mut Rng) -> Result<bool> {
        for _ in 0..3 {
            if !self.reset(&mut live)? {
                return Ok(false);
            }
            self.expect(&mut live, 0)?;
            self.follow(&mut live, 0..self.some_step(rng))?;
        }
        Ok(true)
    }

    /// Resets an instance. Returns false if something else in its store could refer to its objects.
    fn reset(&self, live: &mut Live) -> Result<bool> {
        match live.instance.reset(&mut live.store) {
            Ok(()) => Ok(true),
            Err(error) if self.is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether there is a reason for an instance to be neither reset nor frozen, and the
    /// error is about that.
    fn is_refusal(&self, error: &anyhow::Error) -> bool {
        let text = format!("{error:#}");
        let may_hold_exceptions = || (0..=self.trace.len()).any(|step| self.holds_what_cannot_be_frozen(step));
        self.shape.shares_objects && text.contains(NOT_ALONE) || text.contains(HAS_EXCEPTIONS) && may_hold_exceptions()
    }

    /// Each instance leaves its slot to the next, after more or less work.
    fn check_recycled(&self, rng: &mut Rng) -> Result<()> {
        for _ in 0..4 {
            let mut live = self.fresh()?;
            self.expect(&mut live, 0)?;
            self.follow(&mut live, 0..self.some_step(rng))?;
        }
        Ok(())
    }

    fn check_artifact(&self) -> Result<()> {
        let bytes = self.module.serialize()?;
        // SAFETY: these are the bytes of an artifact.
        let module = unsafe { Module::deserialize(self.module.engine(), bytes) }?;
        let mut live = start_on_minirt(&module, self.shape).map_err(|how| anyhow!("it did not start: {how:?}"))?;
        self.expect(&mut live, 0)?;
        self.follow(&mut live, 0..self.steps.len())
    }

    /// Returns whether there was a snapshot.
    fn check_snapshot(&self, rng: &mut Rng) -> Result<bool> {
        let step = self.some_step(rng);
        let mut live = self.fresh()?;
        self.follow(&mut live, 0..step)?;
        let snapshot = match live.instance.snapshot(&mut live.store) {
            Ok(snapshot) => snapshot,
            Err(error) if self.is_refusal(&error) => return Ok(false),
            Err(error) if self.holds_what_cannot_be_frozen(step) => {
                ensure!(format!("{error:#}").contains("cannot be frozen"), "refused for another reason: {error:#}");
                return Ok(false);
            }
            Err(error) => return Err(error.context(format!("before step {step}"))),
        };
        let rest = step..self.steps.len();
        self.expect(&mut live, step).context("the live instance")?;
        self.follow(&mut live, rest.clone()).context("the live instance")?;
        for _ in 0..2 {
            let mut copy = self.thaw(snapshot.module())?;
            self.expect(&mut copy, step).context("a copy")?;
            self.follow(&mut copy, step..step + rng.below(rest.len() as u64 + 1) as usize).context("a copy")?;
            if !self.reset(&mut copy)? {
                continue;
            }
            self.expect(&mut copy, step).context("a copy after a reset")?;
            self.follow(&mut copy, rest.clone()).context("a copy after a reset")?;
        }
        if rng.one_in(8) {
            self.check_saved(&snapshot, step).context("loaded from a file")?;
        }
        Ok(true)
    }

    fn check_saved(&self, snapshot: &Snapshot, step: usize) -> Result<()> {
        let path = crate::report::folder()?.join(format!("{}.cwasm", self.seed));
        snapshot.save(&path)?;
        // SAFETY: `save` wrote the file, and nobody else knows of it.
        let module = unsafe { Module::deserialize_file(self.module.engine(), &path) };
        std::fs::remove_file(&path)?;
        let mut copy = self.thaw(&module?)?;
        self.expect(&mut copy, step)?;
        self.follow(&mut copy, step..self.steps.len())
    }

    fn thaw(&self, snapshot: &Module) -> Result<Live> {
        start_on_minirt(snapshot, self.shape).map_err(|how| anyhow!("it did not start: {how:?}"))
    }

    /// Exceptions, values of the host, and functions of the host, which may be in any reference
    /// that is not null, and in objects that are not looked at.
    fn holds_what_cannot_be_frozen(&self, step: usize) -> bool {
        let host = |value: &Value| {
            let holds = value.holds();
            holds.foreign || holds.more || holds.function && self.shape.imports_functions
        };
        self.before(step).iter().any(|(_, content)| match content {
            Content::Global(value) => host(value),
            Content::Table(elements) => elements.iter().any(host),
            Content::Memory(_) => false,
        })
    }
}
