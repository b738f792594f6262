//! `minirt run`: the order in which things happen.

use crate::args::RunArgs;
use crate::entry::{self, Entry};
use crate::host::{self, Host, instantiate, invoke};
use crate::input;
use crate::report::{Report, print};
use crate::stopped::Stopped;
use crate::values;
use minirt::{Error, Instance, Store};

/// Runs the module that the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<(), Stopped> {
    let engine = host::engine(args.no_images)?;
    let module = input::load(&engine, args.file(), args.allow_precompiled)?;
    let entry = entry::choose(&module, args.file(), args.invoke.as_deref(), args.guest_args())?;
    let mut linker = host::linker(&engine)?;
    let mut store = host::store(&engine, &args.host, args.file(), args.guest_args())?;
    for preload in &args.preloads {
        let module = input::load(&engine, &preload.file, args.allow_precompiled)?;
        let instance = instantiate(&linker, &mut store, &module, &preload.file)?;
        linker
            .instance(&mut store, &preload.name, instance)
            .map_err(|error| taken(&preload.name, &preload.file, &error))?;
    }
    let instance = instantiate(&linker, &mut store, &module, args.file())?;
    call(&mut store, instance, &entry, args.file())
}

fn call(store: &mut Store<Host>, instance: Instance, entry: &Entry, file: &str) -> Result<(), Stopped> {
    if let Some(before) = entry.before {
        invoke(store, instance, before, &[], 0, file)?;
    }
    let results = invoke(store, instance, &entry.name, &entry.arguments, entry.results, file)?;
    if entry.print {
        print(&results.iter().map(|value| values::print(value) + "\n").collect::<String>())?;
    }
    Ok(())
}

fn taken(name: &str, file: &str, error: &Error) -> Report {
    let what = format!("the exports of `{file}` can not be offered as `{name}`");
    Report::new(what, format!("{error:#}"), "preload it under another name")
}
