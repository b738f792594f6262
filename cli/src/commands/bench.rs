//! `minirt bench`: what a module's instances cost, from compilation to reset.
//!
//! With `--call`, it measures requests: an instance of its own for each, initialised or from a
//! snapshot, and beside them one instance that answers all.
//!
//! Every kind of reset is measured with an engine of its own that is told to use it. Each engine
//! loads the module anew.

use super::compile::{ARTIFACT, unwritten};
use super::snapshot;
use crate::guest::entry::{self, Call};
use crate::guest::host::{self, Host, invoke};
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source::{self, Source};
use crate::options::args::BenchArgs;
use crate::output::printable;
use crate::output::report::{Report, print};
use crate::output::table::columns;
use minirt::{Config, Engine, Instance, InstancePre, Memory, Module, ResetStrategy, Store};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Kinds of reset with their names, strategies, and whether there are images.
const KINDS: [(&str, ResetStrategy, bool); 5] = [
    ("adaptive (the default)", ResetStrategy::Adaptive, true),
    ("hot set", ResetStrategy::HotSet, true),
    ("scan", ResetStrategy::Scan, true),
    ("discard", ResetStrategy::Discard, true),
    ("discard, without images", ResetStrategy::Discard, false),
];

/// How often something that happens once in a process is repeated.
const FEW: u32 = 10;

/// Measures the module that the command line names, and prints tables.
///
/// # Errors
/// Returns what ends an instance before its end, or an error if the module cannot be compiled.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Outcome> {
    let bytes = Input::open(&args.file)?.into_module(&args.file)?;
    if let Some(name) = &args.call {
        return requests(args, &bytes, name);
    }
    let mut once = Vec::new();
    once.push(row("compile", FEW, |sample| {
        let engine = host::engine()?;
        let begin = Instant::now();
        source::compile(&engine, &args.file, &bytes)?;
        sample.push(begin.elapsed());
        Ok(())
    })?);
    let artifact = Artifact::of(args, &bytes)?;
    once.push(row("load an artifact", FEW, |sample| {
        let engine = host::engine()?;
        let begin = Instant::now();
        Source::files(true).load(&engine, &artifact.0)?;
        sample.push(begin.elapsed());
        Ok(())
    })?);
    once.push(row("first instance", FEW, |sample| {
        let subject = Subject::new(args, &bytes, ResetStrategy::Adaptive, true)?;
        let mut store = host::quiet_store(&subject.engine)?;
        let begin = Instant::now();
        subject.pre.instantiate(&mut store).map_err(|error| Outcome::of(&shown(&args.file), &error))?;
        sample.push(begin.elapsed());
        Ok(())
    })?);
    let (mut instances, mut resets) = (Vec::new(), Vec::new());
    for (name, strategy, images) in KINDS {
        let subject = Subject::new(args, &bytes, strategy, images)?;
        let (mut born, mut ended) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let (birth, end) = subject.round(args)?;
            born.push(birth);
            ended.push(end);
        }
        instances.push(percentiles(name, &mut born));
        resets.push(percentiles(name, &mut ended));
    }
    let tables = [
        ("once, in us", once),
        ("a warm instance, in us, if the last was reset by", instances),
        ("the end of an instance, in us, with a reset by", resets),
    ];
    Ok(print(&tables.map(|(title, rows)| table(title, rows)).join("\n"))?)
}

/// The call of a request, and the calls before it.
struct Calls {
    before: Vec<String>,
    call: Call,
}

impl Calls {
    fn of(args: &BenchArgs, module: &Module, name: &str) -> Result<Self, Report> {
        let entry = entry::choose(module, &args.file, Some(name), &args.arguments)?;
        let init = args.init.as_deref().map(|init| entry::initializer(module, &args.file, init)).transpose()?;
        let init = init.and_then(|init| init.call).map(|call| call.name);
        let before = entry.initialize.map(str::to_owned).into_iter().chain(init).collect();
        Ok(Self { before, call: entry.call.expect("a name was given") })
    }

    fn initialise(&self, store: &mut Store<Host>, instance: Instance, file: &Path) -> Result<(), Outcome> {
        self.before.iter().try_for_each(|name| {
            let outcome = invoke(store, instance, name, &[], 0, file).map(drop);
            outcome.map_err(|outcome| snapshot::unready(file, name, outcome))
        })
    }

    fn answer(&self, store: &mut Store<Host>, instance: Instance, file: &Path) -> Result<(), Outcome> {
        let Call { name, arguments, results, .. } = &self.call;
        succeeded(invoke(store, instance, name, arguments, *results, file).map(drop), file)
    }
}

/// Takes a guest's exit with code 0 for what it is, a success: the other way in which a command
/// ends. Its failures are not worth measuring.
fn succeeded(outcome: Result<(), Outcome>, file: &Path) -> Result<(), Outcome> {
    match outcome {
        Err(Outcome::Exit(0)) => Ok(()),
        Err(Outcome::Exit(code)) => {
            let because = format!("it exits with code {code}, and only calls that succeed are measured");
            let help = "minirt run shows what it prints";
            Err(Report::new(format!("{} failed", shown(file)), because, help).with_code(code).into())
        }
        other => other,
    }
}

/// The time and system calls of one request.
#[derive(Default)]
struct Sample {
    whole: Vec<Duration>,
    birth: Vec<Duration>,
    call: Vec<Duration>,
    end: Vec<Duration>,
}

/// Measures requests, and prints tables.
fn requests(args: &BenchArgs, bytes: &[u8], name: &str) -> Result<(), Outcome> {
    let file = &args.file;
    let subject = Subject::new(args, bytes, ResetStrategy::Adaptive, true)?;
    let calls = Calls::of(args, &subject.module, name)?;
    let mut store = host::quiet_store(&subject.engine)?;
    let first = subject.instance(&mut store, file)?;
    calls.initialise(&mut store, first, file)?;
    let snapshot = first.snapshot(&mut store).map_err(|error| snapshot::not_frozen(file, &error))?;
    drop(store);
    let frozen = Subject::with_module(subject.engine.clone(), snapshot.module().clone(), file)?;
    let mut live = host::quiet_store(&subject.engine)?;
    let one = subject.instance(&mut live, file)?;
    calls.initialise(&mut live, one, file)?;
    let (mut by_initialised, mut by_frozen, mut by_one) = (Sample::default(), Sample::default(), Vec::new());
    // They take turns, so that whatever else the machine does meets all of them.
    for _ in 0..args.rounds {
        subject.request(&calls, true, file, &mut by_initialised)?;
        frozen.request(&calls, false, file, &mut by_frozen)?;
        let begin = Instant::now();
        calls.answer(&mut live, one, file)?;
        by_one.push(begin.elapsed());
    }
    let whole = vec![
        percentiles("an instance initialised for it", &mut by_initialised.whole),
        percentiles("an instance from a snapshot", &mut by_frozen.whole),
        percentiles("one instance for all", &mut by_one),
    ];
    let mut parts = Vec::new();
    for (kind, sample) in [("initialised", &mut by_initialised), ("from a snapshot", &mut by_frozen)] {
        let Sample { birth, call, end, .. } = sample;
        for (part, sample) in [("making it", birth), ("calls", call), ("its end", end)] {
            parts.push(percentiles(&format!("{kind}: {part}"), sample));
        }
    }
    let tables = [("a whole request, in us, by", whole), ("parts of it, in us", parts)];
    Ok(print(&tables.map(|(title, rows)| table(title, rows)).join("\n"))?)
}

fn table(title: &str, rows: Vec<Vec<String>>) -> String {
    let head = [title, "p50", "p90", "p99", "most"].map(str::to_owned).to_vec();
    columns(&[vec![head], rows].concat())
}

/// The module as an artifact on disk, for as long as it is measured.
struct Artifact(PathBuf);

impl Artifact {
    fn of(args: &BenchArgs, bytes: &[u8]) -> Result<Self, Report> {
        let path = std::env::temp_dir().join(format!("minirt-bench-{}.cwasm", std::process::id()));
        let artifact = source::compile(&host::engine()?, &args.file, bytes)?.serialize();
        let artifact = artifact.map_err(|error| unwritten(ARTIFACT, &path, &error))?;
        std::fs::write(&path, artifact).map_err(|error| unwritten(ARTIFACT, &path, &error.into()))?;
        Ok(Self(path))
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        // What is left in the directory for temporary files does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A module in an engine that resets in one way.
struct Subject {
    engine: Engine,
    module: Module,
    pre: InstancePre<Host>,
}

impl Subject {
    fn new(args: &BenchArgs, bytes: &[u8], strategy: ResetStrategy, images: bool) -> Result<Self, Outcome> {
        let mut config = Config::new();
        config.reset_strategy(strategy).memory_init_cow(images);
        let engine = host::configured(&config)?;
        let module = source::compile(&engine, &args.file, bytes)?;
        Self::with_module(engine, module, &args.file)
    }

    fn with_module(engine: Engine, module: Module, file: &Path) -> Result<Self, Outcome> {
        let pre = host::prepare(&host::linker(&engine)?, &module, file)?;
        Ok(Self { engine, module, pre })
    }

    fn instance(&self, store: &mut Store<Host>, file: &Path) -> Result<Instance, Outcome> {
        self.pre.instantiate(store).map_err(|error| Outcome::of(&shown(file), &error))
    }

    /// Answers a request with an instance of its own, which is initialised before if `initialise`
    /// says so.
    fn request(&self, calls: &Calls, initialise: bool, file: &Path, sample: &mut Sample) -> Result<(), Outcome> {
        // WASI's context of the guest is the host's, and not measured.
        let mut store = host::quiet_store(&self.engine)?;
        let begin = Instant::now();
        let instance = self.instance(&mut store, file)?;
        let born = Instant::now();
        if initialise {
            calls.initialise(&mut store, instance, file)?;
        }
        calls.answer(&mut store, instance, file)?;
        let answered = Instant::now();
        drop(store);
        let end = Instant::now();
        sample.whole.push(end - begin);
        sample.birth.push(born - begin);
        sample.call.push(answered - born);
        sample.end.push(end - answered);
        Ok(())
    }

    /// Returns how long it took to make an instance, and to end it after it had run.
    fn round(&self, args: &BenchArgs) -> Result<(Duration, Duration), Outcome> {
        let mut store = host::quiet_store(&self.engine)?;
        let begin = Instant::now();
        let instance = self.instance(&mut store, &args.file)?;
        let born = begin.elapsed();
        let memory = instance.exports(&store).find_map(|export| export.into_extern().into_memory());
        if let Some(memory) = memory {
            dirty(&mut store, memory, args.dirty);
        }
        if let Some(name) = &args.invoke {
            check(&self.module, &args.file, name)?;
            succeeded(invoke(&mut store, instance, name, &[], 0, &args.file).map(drop), &args.file)?;
        }
        let begin = Instant::now();
        drop(store);
        Ok((born, begin.elapsed()))
    }
}

fn dirty(store: &mut Store<Host>, memory: Memory, pages: u32) {
    for page in 0..pages as usize {
        // Pages that are not there are left out.
        let _ = memory.write(&mut *store, page * rustix::param::page_size(), &[1]);
    }
}

fn check(module: &Module, file: &Path, name: &str) -> Result<(), Report> {
    match module.get_export(name) {
        Some(minirt::ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty() => Ok(()),
        _ => {
            let name = printable::name(name);
            let what = format!("{} has no function `{name}` that takes and returns nothing", shown(file));
            let help = format!("minirt inspect {} shows what it exports", printable::path(file));
            Err(Report::new(what, "only such a function can be called in every instance", help))
        }
    }
}

fn row(
    name: &str,
    times: u32,
    mut measure: impl FnMut(&mut Vec<Duration>) -> Result<(), Outcome>,
) -> Result<Vec<String>, Outcome> {
    let mut sample = Vec::new();
    (0..times).try_for_each(|_| measure(&mut sample))?;
    Ok(percentiles(name, &mut sample))
}

/// Returns a name and the percentiles 50, 90, 99 and 100 of a sample, in microseconds.
fn percentiles(name: &str, sample: &mut [Duration]) -> Vec<String> {
    sample.sort_unstable();
    let at = |percent: usize| sample[(sample.len() * percent).div_ceil(100).max(1) - 1];
    let shown = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e6);
    let cells = [50, 90, 99, 100].map(|percent| shown(at(percent)));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

#[cfg(test)]
mod tests {
    use super::percentiles;
    use std::time::Duration;

    #[test]
    fn percentiles_are_of_the_sorted_sample() {
        let mut sample: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(percentiles("x", &mut sample), ["x", "50.00", "90.00", "99.00", "100.00"]);
        assert_eq!(percentiles("x", &mut sample[..1]), ["x", "1.00", "1.00", "1.00", "1.00"]);
    }
}
