//! `minirt run`: runs a guest, and has the order in which things happen.

use crate::guest::cache::Cache;
use crate::guest::debugger;
use crate::guest::entry::{self, Entry};
use crate::guest::host::{self, Host, invoke};
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::preloads::{self, Preloads};
use crate::guest::source::Source;
use crate::guest::timeout::{self, Timer};
use crate::options::args::{GuestArgs, Profile, RunArgs};
use crate::options::wasm_options;
use crate::output::object;
use crate::output::report::{Report, print};
use minirt::{Config, Engine, Instance, Module, ProfilingStrategy, Store};
use std::mem::ManuallyDrop;
use std::path::Path;

/// Runs the module that the command line names.
///
/// # Errors
/// Returns what ends the command before its end.
pub(crate) fn run(args: &RunArgs) -> Result<(), Outcome> {
    let guest = &args.guest;
    let input = Input::open(guest.file())?;
    let mut config = Config::new();
    wasm_options::configure(config.memory_init_cow(!args.no_images), &guest.wasm);
    if args.profile == Some(Profile::Perfmap) {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    let engine = host::engine_for(&input, &mut config)?;
    let source = Source { trusted: guest.allow_precompiled, cache: Cache::open(guest.no_cache)? };
    let module = source.module(&engine, guest.file(), input)?;
    let entry = entry::choose(&module, guest.file(), args.invoke.as_deref(), guest.guest_args())?;
    let preloads = Preloads::load(guest, &engine, &source)?;
    if args.profile == Some(Profile::Gdb) {
        preloads.modules().chain([&module]).try_for_each(debugger::add)?;
    }
    // They are not dropped: the process ends after the guest, and cleaning a slot that nobody will
    // use would take longer than most guests.
    let linker = &mut *ManuallyDrop::new(host::linker(&engine)?);
    let store = &mut *ManuallyDrop::new(host::store(&engine, &guest.host, guest.file(), guest.guest_args())?);
    host::limit(store, &guest.wasm)?;
    let _timer = timer(&engine, guest)?;
    preloads.offer(linker, store)?;
    let instance = preloads::link(linker, store, &module, guest.file(), guest)?;
    call(store, instance, &module, &entry, guest.file())
}

/// Starts the clock by which the guest has to end, if there is one.
fn timer(engine: &Engine, args: &GuestArgs) -> Result<Option<Timer>, Report> {
    let Some(time) = wasm_options::timeout(&args.wasm) else { return Ok(None) };
    timeout::start(engine, true, &shown(args.file()), time, |_| ()).map(Some)
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
