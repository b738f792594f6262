//! `minirt run`: the host that a guest runs in, and the order in which things happen.

use crate::args::{EnvVar, RunArgs};
use crate::entry::{self, Entry};
use crate::imports;
use crate::input;
use crate::report::{Report, print};
use crate::stopped::{Stopped, stopped};
use crate::values;
use minirt::wasi::{self, DirAccess, I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{Config, Engine, Error, Instance, Linker, Module, Store, Trap, Val};
use std::path::Path;

/// What a store of ours carries.
struct Host {
    wasi: WasiCtx,
}

/// Runs the module that the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<(), Stopped> {
    let engine = engine(args)?;
    let module = input::load(&engine, args.file())?;
    let entry = entry::choose(&module, args.file(), args.invoke.as_deref(), args.guest_args())?;
    let mut linker = Linker::new(&engine);
    wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi).map_err(|error| internal(&error))?;
    let mut store = Store::new(&engine, Host { wasi: context(args)? });
    for preload in &args.preloads {
        let module = input::load(&engine, &preload.file)?;
        let instance = instantiate(&linker, &mut store, &module, &preload.file)?;
        linker
            .instance(&mut store, &preload.name, instance)
            .map_err(|error| taken(&preload.name, &preload.file, &error))?;
    }
    let instance = instantiate(&linker, &mut store, &module, args.file())?;
    call(&mut store, instance, &entry, args.file())
}

fn engine(args: &RunArgs) -> Result<Engine, Report> {
    let mut config = Config::new();
    config.memory_init_cow(!args.no_images);
    Engine::new(&config).map_err(|error| {
        Report::new("minirt can not run here", format!("{error:#}"), "use a machine with an x86-64 processor and Linux")
    })
}

fn context(args: &RunArgs) -> Result<WasiCtx, Report> {
    let name = Path::new(args.file()).file_name().map_or_else(|| args.file().into(), |name| name.to_string_lossy());
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio().arg(name.as_bytes()).args(args.guest_args());
    for variable in &args.env {
        builder.env(&variable.name, &value_of(variable)?);
    }
    for dir in &args.dirs {
        builder.preopened_dir(&dir.host, &dir.guest, DirAccess::ReadWrite).map_err(|error| {
            let what = format!("`{}` can not be given to the guest as a folder", dir.host.display());
            Report::new(what, format!("{error:#}"), "--dir takes a folder of the host that exists")
        })?;
    }
    builder.build().map_err(|error| {
        let what = "the guest can not be given these arguments, variables and folders";
        Report::new(what, format!("{error:#}"), "change what is given after the file, with --env or with --dir")
    })
}

fn value_of(variable: &EnvVar) -> Result<String, Report> {
    let EnvVar { name, value } = variable;
    if let Some(value) = value {
        return Ok(value.clone());
    }
    std::env::var(name).map_err(|error| {
        let what = format!("the environment variable `{name}` can not be passed on");
        Report::new(what, error.to_string(), format!("set it, or give the guest a value with --env {name}=VALUE"))
    })
}

fn instantiate(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
    file: &str,
) -> Result<Instance, Stopped> {
    linker.instantiate(&mut *store, module).map_err(|error| {
        if error.is::<Trap>() || error.is::<I32Exit>() {
            return stopped(&input::shown(file), &error);
        }
        imports::unlinked(linker, store, module, file, &error).into()
    })
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

fn invoke(
    store: &mut Store<Host>,
    instance: Instance,
    name: &str,
    arguments: &[Val],
    results: usize,
    file: &str,
) -> Result<Vec<Val>, Stopped> {
    let mut results = vec![Val::I32(0); results];
    let func = instance.get_func(&mut *store, name).expect("the module was seen to export this function");
    func.call(store, arguments, &mut results).map_err(|error| stopped(&input::shown(file), &error))?;
    Ok(results)
}

fn taken(name: &str, file: &str, error: &Error) -> Report {
    let what = format!("the exports of `{file}` can not be offered as `{name}`");
    Report::new(what, format!("{error:#}"), "preload it under another name")
}

fn internal(error: &Error) -> Report {
    Report::new("minirt could not be set up", format!("{error:#}"), "this is a bug of minirt: please report it")
}
