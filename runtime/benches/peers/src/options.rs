//! The command line.

use crate::modules::Table;
use crate::race::Pace;
use crate::service::Start;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Usage: minirt-peers [--quick] [--only NAME]... [--guest NAME] [--programs DIR]
       minirt-peers --drive GUEST HOST START TIMES
       minirt-peers --list

  --quick      fewer and shorter rounds
  --only NAME  this measurement, not all of them
  --guest NAME requests to this guest alone
  --programs DIR
               besides the guests, measure the code of the programs in this folder
  --list       the names of the measurements
  --drive      for profilers: answer the requests to a guest so many times, and do nothing else.
               HOST is minirt, wasmtime, 'wt pooling' or 'wt pool+scan'; START is initialised or
               frozen, or live for one instance that answers all
";

/// The option by which this program asks itself, in a child process, to count what live instances
/// hold.
pub(crate) const COUNT_LIVE: &str = "--count-live";
/// The same for instances that have answered a request.
pub(crate) const COUNT_SERVED: &str = "--count-served";
/// The option by which this program asks itself to load a guest and to answer one request.
pub(crate) const FIRST_REQUEST: &str = "--first-request";

/// What to do.
pub(crate) enum Task {
    Help,
    List,
    Measure(Options),
    CountLive(CountLive),
    CountServed(CountServed),
    FirstRequest(FirstRequest),
    Drive(Drive),
}

pub(crate) struct Options {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) pace: Pace,
    /// The only guest that is asked, if not all are.
    pub(crate) guest: Option<String>,
    /// Where programs are whose code is measured, besides the guests.
    pub(crate) programs: Option<PathBuf>,
}

/// So many instances, held by one contestant.
pub(crate) struct CountLive {
    pub(crate) peer: String,
    pub(crate) table: Table,
    pub(crate) instances: usize,
}

/// So many instances of a guest that was precompiled to a file.
pub(crate) struct CountServed {
    pub(crate) guest: String,
    pub(crate) host: String,
    pub(crate) start: Start,
    pub(crate) path: PathBuf,
    pub(crate) instances: usize,
}

/// A guest that was precompiled to a file.
pub(crate) struct FirstRequest {
    pub(crate) guest: String,
    pub(crate) host: String,
    pub(crate) start: Start,
    pub(crate) path: PathBuf,
}

/// Requests to a guest, for a profiler.
pub(crate) struct Drive {
    pub(crate) guest: String,
    pub(crate) host: String,
    pub(crate) start: Start,
    /// Whether one instance answers all.
    pub(crate) live: bool,
    pub(crate) times: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Measurement {
    RoundTrip,
    Scattered,
    Calls,
    Live,
    Compile,
    Artifact,
    Snapshot,
    Requests,
    Code,
    #[cfg(feature = "exceptions")]
    Exceptions,
    #[cfg(feature = "gc")]
    Gc,
}

impl Measurement {
    pub(crate) const ALL: &[Self] = &[
        Self::RoundTrip,
        Self::Scattered,
        Self::Calls,
        Self::Live,
        Self::Compile,
        Self::Artifact,
        Self::Snapshot,
        Self::Requests,
        Self::Code,
        #[cfg(feature = "exceptions")]
        Self::Exceptions,
        #[cfg(feature = "gc")]
        Self::Gc,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Scattered => "scattered",
            Self::Calls => "calls",
            Self::Live => "live",
            Self::Compile => "compile",
            Self::Artifact => "artifact",
            Self::Snapshot => "snapshot",
            Self::Requests => "requests",
            Self::Code => "code",
            #[cfg(feature = "exceptions")]
            Self::Exceptions => "exceptions",
            #[cfg(feature = "gc")]
            Self::Gc => "gc",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::RoundTrip => "A fresh instance: make a store, instantiate, look a function up, call it, drop",
            Self::Scattered => "A fresh instance of a large program, which dirties scattered pages",
            Self::Calls => "Calls between host and Wasm",
            Self::Live => "What a live instance holds",
            Self::Compile => "Compiling a program",
            Self::Artifact => "Loading a precompiled module from disk",
            Self::Snapshot => "A fresh instance from a snapshot, against one from its module",
            Self::Requests => "Requests to real guests",
            Self::Code => "The code of programs",
            #[cfg(feature = "exceptions")]
            Self::Exceptions => "Exceptions: thrown and caught, and code that could",
            #[cfg(feature = "gc")]
            Self::Gc => "Structures and arrays: made, collected, used, and in images",
        }
    }

    fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().copied().find(|measurement| measurement.name() == name);
        found.with_context(|| format!("there is no measurement `{name}`; see --list"))
    }
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Task> {
    let mut pace = Pace::THOROUGH;
    let mut measurements = Vec::new();
    let mut guest = None;
    let mut programs = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--quick" => pace = Pace::QUICK,
            "--only" => measurements.push(Measurement::named(&value(&arg, args.next())?)?),
            "--programs" => programs = Some(PathBuf::from(value(&arg, args.next())?)),
            "--guest" => guest = Some(value(&arg, args.next())?),
            COUNT_LIVE => {
                let mut next = || value(&arg, args.next());
                let (peer, table, instances) = (next()?, next()?, next()?);
                return Ok(Task::CountLive(CountLive {
                    peer,
                    table: Table::named(&table)?,
                    instances: instances.parse()?,
                }));
            }
            COUNT_SERVED | FIRST_REQUEST => {
                let mut next = || value(&arg, args.next());
                let (guest, host, start, path) = (next()?, next()?, Start::named(&next()?)?, PathBuf::from(next()?));
                if arg == FIRST_REQUEST {
                    return Ok(Task::FirstRequest(FirstRequest { guest, host, start, path }));
                }
                let instances = next()?.parse()?;
                return Ok(Task::CountServed(CountServed { guest, host, start, path, instances }));
            }
            "--drive" => {
                let mut next = || value(&arg, args.next());
                let (guest, host, start, times) = (next()?, next()?, next()?, next()?.parse()?);
                let live = start == "live";
                let start = if live { Start::Frozen } else { Start::named(&start)? };
                return Ok(Task::Drive(Drive { guest, host, start, live, times }));
            }
            other => bail!("what is `{other}`? See --help"),
        }
    }
    if measurements.is_empty() {
        measurements.extend(Measurement::ALL);
    }
    Ok(Task::Measure(Options { measurements, pace, guest, programs }))
}

fn value(option: &str, value: Option<String>) -> Result<String> {
    value.with_context(|| format!("{option} wants a value"))
}
