//! Watches instances of a module: what their pages are after each step of their lives.
//!
//! A guest runs several times, each time in an instance of its own and with streams that are empty.

use super::class::{self, Region};
use crate::guest::entry::{self, Call};
use crate::guest::host::{self, Host};
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::guest::timeout::{self, Timer};
use crate::options::args::ShowArgs;
use crate::options::wasm_options;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Config, Engine, Instance, InstancePre, Module, PageMap, Store};
use std::time::Duration;

/// The time of a call, if the command line does not say: a guest may never return.
const TIME: Duration = Duration::from_secs(10);

/// A module that can be instantiated by an engine of its own.
pub(crate) struct Subject<'a> {
    args: &'a ShowArgs,
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pre: InstancePre<Host>,
    calls: Vec<Call>,
}

/// A moment in the life of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// What has just happened.
    pub(crate) after: String,
    pub(crate) regions: Vec<Region>,
}

/// The life of an instance.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) stages: Vec<Stage>,
    /// What the library said at each stage.
    pub(crate) maps: Vec<PageMap>,
    /// Why it ended early, if it did.
    pub(crate) end: Option<Outcome>,
}

impl<'a> Subject<'a> {
    /// Loads the module for an engine with this configuration, and decides what to call.
    ///
    /// # Errors
    /// Returns an error if it cannot be loaded, its imports are not there, or it has no function to call.
    pub(crate) fn load(
        args: &'a ShowArgs,
        input: &Input,
        source: &Source,
        config: &mut Config,
    ) -> Result<Self, Outcome> {
        wasm_options::configure(config, &args.wasm);
        // A guest that never returns has to be stopped. An artifact has been made with or without what that takes; if it
        // is without, the whole program ends.
        if !input.is_artifact() {
            config.epoch_interruption(true);
        }
        let engine = host::engine_for(input, config)?;
        let again = input.again().map_err(|error| {
            Report::new(format!("{} cannot be read again", shown(args.file())), error.to_string(), "check the file")
        })?;
        let module = source.module(&engine, args.file(), again)?;
        Self::of(args, engine, module)
    }

    /// Uses a module of an engine: the one that was loaded, or a snapshot.
    ///
    /// # Errors
    /// Returns an error if its imports are not there, or it has no function to call.
    pub(crate) fn of(args: &'a ShowArgs, engine: Engine, module: Module) -> Result<Self, Outcome> {
        let pre = host::prepare(&host::linker(&engine)?, &module, args.file())?;
        let calls = calls(args, &module)?;
        Ok(Self { args, engine, module, pre, calls })
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
        let mut store = host::silent_store(&self.engine, &self.args.host, self.args.file(), self.args.guest_args())?;
        host::limit(&mut store, &self.args.wasm)?;
        Ok(store)
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// Returns what ends it before its beginning.
    pub(crate) fn instantiate(&self, store: &mut Store<Host>) -> Result<Instance, Outcome> {
        let _timer = self.timer()?;
        self.pre.instantiate(store).map_err(|error| Outcome::of(&shown(self.args.file()), &error))
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
            let done = host::invoke(store, instance, &call.name, &call.arguments, call.results, self.args.file());
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
        let time = wasm_options::timeout(&self.args.wasm).unwrap_or(TIME);
        timeout::start(&self.engine, &shown(self.args.file()), time).map_err(|error| {
            Report::new("the guest's time cannot be measured", error.to_string(), "allow minirt to start a thread")
        })
    }

    /// Lives the life of one instance.
    ///
    /// # Errors
    /// Returns an error if its pages cannot be looked at.
    pub(crate) fn live(&self, image: &[Region]) -> Result<Life, Report> {
        let mut life = Life { stages: Vec::new(), maps: Vec::new(), end: None };
        let mut store = self.store()?;
        let instance = match self.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(end) => return Ok(Life { end: Some(end), ..life }),
        };
        let mut failure = None;
        let mut look = |store: &mut Store<Host>, after: String| match instance.page_map(&*store) {
            Ok(map) => {
                life.stages.push(Stage { after, regions: class::of_map(&map, image) });
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
        let entry = match entry::choose(module, args.file(), name, args.guest_args()) {
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
