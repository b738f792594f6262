//! `minirt run`: the order in which things happen.

use crate::guest::cache::Cache;
use crate::guest::entry::{self, Entry};
use crate::guest::host::{self, Host, instantiate, invoke};
use crate::guest::input::{Source, shown};
use crate::guest::outcome::Stopped;
use crate::guest::timeout::{self, Timer};
use crate::options::args::RunArgs;
use crate::options::wasm_options;
use crate::output::display;
use crate::output::report::{Report, print};
use minirt::{Config, Engine, Error, Instance, Store};
use std::mem::ManuallyDrop;

/// Runs the module that the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<(), Stopped> {
    let mut config = Config::new();
    wasm_options::configure(config.memory_init_cow(!args.no_images), &args.wasm);
    let engine = host::engine_for(args.file(), &mut config)?;
    let source = Source { trusted: args.allow_precompiled, cache: Cache::open(args.no_cache) };
    let module = source.load(&engine, args.file())?;
    let entry = entry::choose(&module, args.file(), args.invoke.as_deref(), args.guest_args())?;
    let mut linker = host::linker(&engine)?;
    // It is not dropped: the process ends after the guest, and to clean a slot for nobody would take longer than most guests.
    let store = &mut *ManuallyDrop::new(host::store(&engine, &args.host, args.file(), args.guest_args())?);
    host::limit(store, &args.wasm)?;
    let _timer = timer(&engine, args)?;
    for preload in &args.preloads {
        let module = source.load(&engine, &preload.file)?;
        let instance = instantiate(&linker, store, &module, &preload.file)?;
        linker
            .instance(&mut *store, &preload.name, instance)
            .map_err(|error| taken(&preload.name, &preload.file, &error))?;
    }
    let instance = instantiate(&linker, store, &module, args.file())?;
    call(store, instance, &entry, args.file())
}

/// The clock by which the guest has to end, if there is one.
fn timer(engine: &Engine, args: &RunArgs) -> Result<Option<Timer>, Report> {
    let Some(time) = wasm_options::timeout(&args.wasm) else { return Ok(None) };
    let timer = timeout::start(engine, &shown(args.file()), time).map_err(|error| {
        Report::new("the guest's time cannot be measured", error.to_string(), "allow minirt to start a thread")
    })?;
    Ok(Some(timer))
}

fn call(store: &mut Store<Host>, instance: Instance, entry: &Entry, file: &str) -> Result<(), Stopped> {
    if let Some(before) = entry.before {
        invoke(store, instance, before, &[], 0, file)?;
    }
    let results = invoke(store, instance, &entry.name, &entry.arguments, entry.results, file)?;
    if entry.print {
        print(&results.iter().map(|value| display::text(value) + "\n").collect::<String>())?;
    }
    Ok(())
}

fn taken(name: &str, file: &str, error: &Error) -> Report {
    let what = format!("the exports of `{file}` cannot be offered as `{name}`");
    Report::new(what, format!("{error:#}"), "preload it under another name")
}
