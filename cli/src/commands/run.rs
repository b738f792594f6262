//! `minirt run`: runs a guest, and has the order in which things happen.

use crate::guest::cache::Cache;
use crate::guest::entry::{self, Entry};
use crate::guest::host::{self, Host, instantiate, invoke};
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::guest::timeout::{self, Timer};
use crate::guest::unknown_imports;
use crate::options::args::{Profile, RunArgs};
use crate::options::grants::Preload;
use crate::options::wasm_options;
use crate::output::object;
use crate::output::printable;
use crate::output::report::{Report, print};
use minirt::{Config, Engine, Instance, Linker, Module, ProfilingStrategy, Store};
use std::mem::ManuallyDrop;
use std::path::Path;

/// Runs the module that the command line names.
///
/// # Errors
/// Returns what ends the command before its end.
pub(crate) fn run(args: &RunArgs) -> Result<(), Outcome> {
    let input = Input::open(args.file())?;
    let mut config = Config::new();
    wasm_options::configure(config.memory_init_cow(!args.no_images), &args.wasm);
    if args.profile == Some(Profile::Perfmap) {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    let engine = host::engine_for(&input, &mut config)?;
    let source = Source { trusted: args.allow_precompiled, cache: Cache::open(args.no_cache)? };
    let module = source.module(&engine, args.file(), input)?;
    let entry = entry::choose(&module, args.file(), args.invoke.as_deref(), args.guest_args())?;
    let preloads = args.preloads.iter().map(|preload| Ok((preload, source.load(&engine, &preload.file)?)));
    let preloads: Vec<(&Preload, Module)> = preloads.collect::<Result<_, Report>>()?;
    let mut linker = host::linker(&engine)?;
    // It is not dropped: the process ends after the guest, and cleaning a slot that nobody will use
    // would take longer than most guests.
    let store = &mut *ManuallyDrop::new(host::store(&engine, &args.host, args.file(), args.guest_args())?);
    host::limit(store, &args.wasm)?;
    let _timer = timer(&engine, args)?;
    for (preload, module) in &preloads {
        offer(&mut linker, store, preload, module, args)?;
    }
    let instance = link(&linker, store, &module, args.file(), args)?;
    call(store, instance, &module, &entry, args.file())
}

/// Starts the clock by which the guest has to end, if there is one.
fn timer(engine: &Engine, args: &RunArgs) -> Result<Option<Timer>, Report> {
    let Some(time) = wasm_options::timeout(&args.wasm) else { return Ok(None) };
    let timer = timeout::start(engine, &shown(args.file()), time).map_err(|error| {
        Report::new("the guest's time cannot be measured", error.to_string(), "allow minirt to start a thread")
    })?;
    Ok(Some(timer))
}

/// Makes an instance for others to import from. A reactor gets ready first.
fn offer(
    linker: &mut Linker<Host>,
    store: &mut Store<Host>,
    preload: &Preload,
    module: &Module,
    args: &RunArgs,
) -> Result<(), Outcome> {
    let Preload { name, file } = preload;
    let instance = link(linker, store, module, file, args)?;
    if let Some(initialize) = entry::initialize(module) {
        invoke(store, instance, initialize, &[], 0, file)?;
    }
    linker.instance(&mut *store, name, instance).map_err(|error| {
        let what = format!("the exports of {} cannot be offered as `{}`", shown(file), printable::name(name));
        Report::new(what, format!("{error:#}"), "preload it under another name")
    })?;
    Ok(())
}

/// Makes an instance. Where the user says what unknown imports are, that holds for this instance
/// alone.
fn link(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
    file: &Path,
    args: &RunArgs,
) -> Result<Instance, Outcome> {
    match unknown_imports::define(linker, store, module, file, &args.wasm)? {
        Some(linker) => instantiate(&linker, store, module, file),
        None => instantiate(linker, store, module, file),
    }
}

fn call(
    store: &mut Store<Host>,
    instance: Instance,
    module: &Module,
    entry: &Entry,
    file: &Path,
) -> Result<(), Outcome> {
    if let Some(initialize) = entry.initialize {
        invoke(store, instance, initialize, &[], 0, file)?;
    }
    let Some(call) = &entry.call else { return Ok(()) };
    let results = invoke(store, instance, &call.name, &call.arguments, call.results, file)?;
    if call.print {
        print(&results.iter().map(|value| object::display(value, &mut *store, module) + "\n").collect::<String>())?;
    }
    Ok(())
}
