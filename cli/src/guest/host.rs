//! The host that a guest runs in: an engine, WASI, and calls whose failures are reports.

use super::imports;
use super::input;
use super::outcome::{Stopped, stopped};
use crate::options::args::{EnvVar, HostArgs};
use crate::options::wasm_options::{self, WasmOption};
use crate::output::report::Report;
use minirt::wasi::{self, DirAccess, I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{Config, Engine, Error, Instance, InstancePre, Linker, Module, Store, StoreLimits, Trap, Val};
use std::path::Path;

/// What a store of ours carries.
pub(crate) struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

/// An engine with nothing configured.
pub(crate) fn engine() -> Result<Engine, Report> {
    configured(&Config::new())
}

/// An engine that loads artifacts as fast as can be if `file` is one; otherwise those that come from the cache are checked.
pub(crate) fn engine_for(file: &str, config: &mut Config) -> Result<Engine, Report> {
    configured(config.check_artifacts(!input::starts_like_artifact(file)))
}

/// An engine as configured.
pub(crate) fn configured(config: &Config) -> Result<Engine, Report> {
    Engine::new(config).map_err(|error| {
        Report::new("minirt cannot run here", format!("{error:#}"), "use a machine with an x86-64 processor and Linux")
    })
}

/// A linker with WASI in it.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>, Report> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi).map_err(|error| internal(&error))?;
    Ok(linker)
}

/// A store for a guest from `file` with these arguments.
pub(crate) fn store(engine: &Engine, args: &HostArgs, file: &str, words: &[String]) -> Result<Store<Host>, Report> {
    Ok(Store::new(engine, Host { wasi: context(args, file, words)?, limits: StoreLimits::default() }))
}

/// Has these limits hold in a store.
pub(crate) fn limit(store: &mut Store<Host>, options: &[WasmOption]) -> Result<(), Report> {
    store.data_mut().limits = wasm_options::limits(options);
    store.limiter(|host| &mut host.limits);
    // The first tick is that of the timer.
    store.set_epoch_deadline(1);
    match wasm_options::fuel(options) {
        Some(fuel) => store.set_fuel(fuel).map_err(|error| internal(&error)),
        None => Ok(()),
    }
}

/// A store for a guest that has no arguments, no folders, and nobody to talk to.
pub(crate) fn quiet_store(engine: &Engine) -> Result<Store<Host>, Report> {
    let wasi = WasiCtxBuilder::new().build().map_err(|error| internal(&error))?;
    Ok(Store::new(engine, Host { wasi, limits: StoreLimits::default() }))
}

fn context(args: &HostArgs, file: &str, words: &[String]) -> Result<WasiCtx, Report> {
    let name = Path::new(file).file_name().map_or_else(|| file.into(), |name| name.to_string_lossy());
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio().arg(name.as_bytes()).args(words);
    for variable in &args.env {
        builder.env(&variable.name, &value_of(variable)?);
    }
    for dir in &args.dirs {
        builder.preopened_dir(&dir.host, &dir.guest, DirAccess::ReadWrite).map_err(|error| {
            let what = format!("`{}` cannot be given to the guest as a folder", dir.host.display());
            Report::new(what, format!("{error:#}"), "--dir takes a folder of the host that exists")
        })?;
    }
    builder.build().map_err(|error| {
        let what = "the guest cannot be given these arguments, variables and folders";
        Report::new(what, format!("{error:#}"), "change what is given after the file, with --env or with --dir")
    })
}

fn value_of(variable: &EnvVar) -> Result<String, Report> {
    let EnvVar { name, value } = variable;
    if let Some(value) = value {
        return Ok(value.clone());
    }
    std::env::var(name).map_err(|error| {
        let what = format!("the environment variable `{name}` cannot be passed on");
        Report::new(what, error.to_string(), format!("set it, or give the guest a value with --env {name}=VALUE"))
    })
}

/// A module whose imports are looked up in the linker once, for many instances.
pub(crate) fn prepare(linker: &Linker<Host>, module: &Module, file: &str) -> Result<InstancePre<Host>, Stopped> {
    let mut store = quiet_store(linker.engine())?;
    linker.instantiate_pre(module).map_err(|error| imports::unlinked(linker, &mut store, module, file, &error).into())
}

/// An instance of a module whose imports are in the linker.
pub(crate) fn instantiate(
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

/// Calls an export of this name, which is there, and returns its results.
pub(crate) fn invoke(
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

fn internal(error: &Error) -> Report {
    Report::new("minirt could not be set up", format!("{error:#}"), "this is a bug of minirt: please report it")
}
