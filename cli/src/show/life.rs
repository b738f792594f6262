//! Watches instances of a module: what their pages are after each step of their lives.
//!
//! A guest runs several times, each time in an instance of its own and with streams that are empty.

use super::class::{self, Region};
use crate::guest::entry::{self, Call};
use crate::guest::host::{self, Host};
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::preloads::{self, Preloads};
use crate::guest::source::Source;
use crate::guest::timeout::{self, Timer};
use crate::options::args::ShowArgs;
use crate::options::wasm_options;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Config, Engine, Instance, InstancePre, Linker, Module, PageMap, Store};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time of a call, if the command line does not say: a guest may never return.
const TIME: Duration = Duration::from_secs(10);

/// A module that can be instantiated by an engine of its own.
pub(crate) struct Subject<'a> {
    args: &'a ShowArgs,
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) preloads: Preloads<'a>,
    linker: Linker<Host>,
    /// The module with its imports, if these are the same in every store.
    pre: Option<InstancePre<Host>>,
    calls: Vec<Call>,
    /// Whether its code looks at the epoch, which stops it.
    stoppable: bool,
    /// The stages of all lives so far.
    seen: Arc<Mutex<Vec<Vec<Stage>>>>,
    before_end: Option<BeforeEnd>,
}

/// Is told what was seen before the process ends, because a guest does not.
pub(crate) type BeforeEnd = Arc<dyn Fn(Vec<Vec<Stage>>, &Report) + Send + Sync>;

/// A moment in the life of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The event before it.
    pub(crate) after: String,
    pub(crate) regions: Vec<Region>,
}

/// The life of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) stages: Vec<Stage>,
    /// The library's map of each stage.
    pub(crate) maps: Vec<PageMap>,
    /// Why it ended early, if it did.
    pub(crate) end: Option<Outcome>,
}

impl Life {
    /// Returns a life of which no more is known than these stages.
    pub(crate) fn until_now(stages: Vec<Stage>) -> Self {
        Self { stages, maps: Vec::new(), end: None }
    }
}

impl<'a> Subject<'a> {
    /// Loads the module for an engine with this configuration, and decides what to call.
    ///
    /// # Errors
    /// Returns an error if it cannot be loaded, its imports are not there, or it has no function to
    /// call.
    pub(crate) fn load(
        args: &'a ShowArgs,
        input: &Input,
        source: &Source,
        config: &mut Config,
    ) -> Result<Self, Outcome> {
        wasm_options::configure(config, &args.guest.wasm);
        if !input.is_artifact() {
            return Self::load_as(args, input, source, config.epoch_interruption(true));
        }
        // An artifact has been made with or without what it takes to stop a guest that never
        // returns. If it is without, the process ends (`before_end`).
        Self::load_as(args, input, source, config.epoch_interruption(false))
            .map(|subject| Self { stoppable: false, ..subject })
            .or_else(|refused| Self::load_as(args, input, source, config.epoch_interruption(true)).map_err(|_| refused))
    }

    fn load_as(args: &'a ShowArgs, input: &Input, source: &Source, config: &mut Config) -> Result<Self, Outcome> {
        let guest = &args.guest;
        let engine = host::engine_for(input, config)?;
        let again = input.again().map_err(|error| {
            Report::new(format!("{} cannot be read again", shown(guest.file())), error.to_string(), "check the file")
        })?;
        let module = source.module(&engine, guest.file(), again)?;
        let preloads = Preloads::load(guest, &engine, source)?;
        Self::of(args, engine, module, preloads)
    }

    /// Uses a module of an engine: the one that was loaded, or a snapshot.
    ///
    /// # Errors
    /// Returns an error if its imports are not there, or it has no function to call.
    pub(crate) fn of(
        args: &'a ShowArgs,
        engine: Engine,
        module: Module,
        preloads: Preloads<'a>,
    ) -> Result<Self, Outcome> {
        let linker = host::linker(&engine)?;
        let same = preloads.is_empty() && !wasm_options::unknown_imports(&args.guest.wasm);
        let pre = if same { Some(host::prepare(&linker, &module, args.guest.file())?) } else { None };
        let calls = calls(args, &module)?;
        let seen = Arc::default();
        Ok(Self { args, engine, module, preloads, linker, pre, calls, stoppable: true, seen, before_end: None })
    }

    /// Has this called before the process ends, because a guest does not.
    pub(crate) fn before_end(self, before_end: BeforeEnd) -> Self {
        Self { before_end: Some(before_end), ..self }
    }

    /// Returns the functions that are called, in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().map(|call| call.name.as_str())
    }

    /// Does the same without calling a function that has been called already.
    pub(crate) fn without(mut self, name: Option<&str>) -> Self {
        self.calls.retain(|call| Some(call.name.as_str()) != name);
        self
    }

    /// Creates a store for a guest that has nobody to talk to.
    ///
    /// # Errors
    /// Returns an error if the guest cannot be given what the command line says.
    pub(crate) fn store(&self) -> Result<Store<Host>, Report> {
        let guest = &self.args.guest;
        let mut store = host::silent_store(&self.engine, &guest.host, guest.file(), guest.guest_args())?;
        host::limit(&mut store, &guest.wasm)?;
        Ok(store)
    }

    /// Creates an instance, after instances of what is preloaded.
    ///
    /// # Errors
    /// Returns what ends it before its beginning.
    pub(crate) fn instantiate(&self, store: &mut Store<Host>) -> Result<Instance, Outcome> {
        let (_timer, guest) = (self.timer()?, &self.args.guest);
        if let Some(pre) = &self.pre {
            return pre.instantiate(store).map_err(|error| Outcome::of(&shown(guest.file()), &error));
        }
        let mut linker = self.linker.clone();
        self.preloads.offer(&mut linker, store)?;
        preloads::link(&linker, store, &self.module, guest.file(), guest)
    }

    /// Calls what is called in an instance, and then `after` with the name of each function.
    ///
    /// # Errors
    /// Returns what ends the guest, if that is more than its exit with success.
    pub(crate) fn call_all(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
        mut after: impl FnMut(&mut Store<Host>, &str, bool),
    ) -> Result<(), Outcome> {
        for call in &self.calls {
            let timer = self.timer()?;
            let done = host::invoke(store, instance, &call.name, &call.arguments, call.results, self.args.guest.file());
            drop(timer);
            let done = match done {
                Err(Outcome::Exit(0)) => Ok(()),
                done => done.map(|_| ()),
            };
            after(store, &call.name, done.is_ok());
            done?;
        }
        Ok(())
    }

    fn timer(&self) -> Result<Timer, Report> {
        let time = wasm_options::timeout(&self.args.guest.wasm).unwrap_or(TIME);
        let (seen, before_end) = (Arc::clone(&self.seen), self.before_end.clone());
        let before_end = move |report: &Report| {
            let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
            before_end.iter().for_each(|before_end| before_end(seen.clone(), report));
        };
        timeout::start(&self.engine, self.stoppable, &shown(self.args.guest.file()), time, before_end)
    }

    /// Lives the life of one instance.
    ///
    /// # Errors
    /// Returns an error if its pages cannot be looked at.
    pub(crate) fn live(&self, image: &[Region]) -> Result<Life, Report> {
        let mut life = Life::until_now(Vec::new());
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen().push(Vec::new());
        let mut store = self.store()?;
        let instance = match self.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(end) => return Ok(Life { end: Some(end), ..life }),
        };
        let mut failure = None;
        let mut look = |store: &mut Store<Host>, after: String| match instance.page_map(&*store) {
            Ok(map) => {
                let stage = Stage { after, regions: class::of_map(&map, image) };
                seen().last_mut().into_iter().for_each(|stages| stages.push(stage.clone()));
                life.stages.push(stage);
                life.maps.push(map);
            }
            Err(error) => failure = Some(error),
        };
        look(&mut store, "fresh".to_owned());
        let called = self.call_all(&mut store, instance, |store, name, returned| {
            let name = printable::name(name);
            look(store, if returned { name } else { format!("{name} stopped") });
        });
        match failure {
            Some(error) => Err(Report::new(
                "the pages of an instance cannot be looked at",
                format!("{error:#}"),
                "use Linux 6.7 or later, and allow the system call ioctl on /proc/self/pagemap",
            )),
            None => Ok(Life { end: called.err(), ..life }),
        }
    }
}

/// Decides what to call, in order.
fn calls(args: &ShowArgs, module: &Module) -> Result<Vec<Call>, Report> {
    let names: Vec<Option<&str>> =
        if args.invoke.is_empty() { vec![None] } else { args.invoke.iter().map(|name| Some(name.as_str())).collect() };
    let mut calls = Vec::new();
    for name in names {
        let entry = match entry::choose(module, args.guest.file(), name, args.guest.guest_args()) {
            // A module without functions still has an image and an instance.
            Err(_) if name.is_none() && module.exports().all(|export| export.ty().func().is_none()) => break,
            chosen => chosen?,
        };
        // A reactor gets ready once.
        let initialize = entry.initialize.filter(|_| calls.is_empty());
        let plain = |name: &str| Call { name: name.to_owned(), arguments: Vec::new(), results: 0, print: false };
        calls.extend(initialize.map(plain));
        calls.extend(entry.call);
    }
    Ok(calls)
}
