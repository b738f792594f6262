//! The host that a guest runs in: an engine, WASI, and calls whose failures are reports.

use super::imports;
use super::input::{Input, shown};
use super::outcome::Outcome;
use super::system;
use crate::options::args::HostArgs;
use crate::options::grants::EnvVar;
use crate::options::wasm_options::{self, WasmOption};
use crate::output::printable;
use crate::output::report::Report;
use minirt::wasi::{self, FsPerms, I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{
    Config, Engine, Error, Instance, InstancePre, Linker, Module, Store, StoreLimits, ThrownException, Trap, Val,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The data of a store.
pub(crate) struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

/// Creates an engine with the default configuration.
///
/// # Errors
/// Returns an error if minirt cannot run on this machine.
pub(crate) fn engine() -> Result<Engine, Report> {
    configured(&Config::new())
}

/// Creates an engine for a file. An artifact is loaded as fast as possible. Otherwise, artifacts
/// can only come from the cache, and every byte of them is checked.
///
/// # Errors
/// Returns an error if minirt cannot run on this machine.
pub(crate) fn engine_for(input: &Input, config: &mut Config) -> Result<Engine, Report> {
    configured(config.check_artifacts(!input.is_artifact()))
}

/// Creates an engine.
///
/// # Errors
/// Returns an error if minirt cannot run on this machine.
pub(crate) fn configured(config: &Config) -> Result<Engine, Report> {
    Engine::new(config).map_err(|error| {
        let help = system::help(&error).unwrap_or("use Linux on a machine with an x86-64 or 64-bit Arm processor");
        Report::new("minirt cannot run here", format!("{error:#}"), help)
    })
}

/// Creates a linker that has WASI.
///
/// # Errors
/// Returns an error if minirt has a bug.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>, Report> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi).map_err(|error| internal(&error))?;
    Ok(linker)
}

/// Creates a store for a guest from `file` with these arguments.
///
/// # Errors
/// Returns an error if the guest cannot be given what the command line says.
pub(crate) fn store(engine: &Engine, args: &HostArgs, file: &Path, words: &[OsString]) -> Result<Store<Host>, Report> {
    let wasi = context(WasiCtxBuilder::new().inherit_stdio(), args, file, words)?;
    Ok(Store::new(engine, Host { wasi, limits: StoreLimits::default() }))
}

/// Creates a store as [`store`] does, for a guest whose streams are empty.
///
/// # Errors
/// The same as [`store`].
pub(crate) fn silent_store(
    engine: &Engine,
    args: &HostArgs,
    file: &Path,
    words: &[OsString],
) -> Result<Store<Host>, Report> {
    let wasi = context(&mut WasiCtxBuilder::new(), args, file, words)?;
    Ok(Store::new(engine, Host { wasi, limits: StoreLimits::default() }))
}

/// Limits a store as the command line says.
///
/// # Errors
/// Returns an error if minirt has a bug.
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

/// Creates a store for a guest that has no arguments, no directories, and nobody to talk to.
///
/// # Errors
/// Returns an error if minirt has a bug.
pub(crate) fn quiet_store(engine: &Engine) -> Result<Store<Host>, Report> {
    let wasi = WasiCtxBuilder::new().build().map_err(|error| internal(&error))?;
    Ok(Store::new(engine, Host { wasi, limits: StoreLimits::default() }))
}

fn context(builder: &mut WasiCtxBuilder, args: &HostArgs, file: &Path, words: &[OsString]) -> Result<WasiCtx, Report> {
    let name = args.argv0.as_deref().or(file.file_name()).unwrap_or(file.as_os_str());
    builder.arg(name.as_bytes()).args(words.iter().map(|word| word.as_bytes()));
    for variable in &args.env {
        builder.env(variable.name.as_bytes(), value_of(variable)?.as_bytes());
    }
    for dir in &args.dirs {
        builder.preopened_dir(&dir.host, &dir.guest, FsPerms::ReadWrite).map_err(|error| {
            let what = format!("`{}` cannot be given to the guest as a directory", printable::path(&dir.host));
            let because = error.root_cause().to_string();
            Report::new(what, because, "--dir takes a directory of the host that exists")
        })?;
    }
    builder.build().map_err(|error| {
        let what = "the guest cannot be given these arguments, variables and directories";
        Report::new(what, format!("{error:#}"), "change what is given after the file, with --env or with --dir")
    })
}

fn value_of(variable: &EnvVar) -> Result<OsString, Report> {
    let EnvVar { name, value } = variable;
    value.clone().or_else(|| std::env::var_os(name)).ok_or_else(|| {
        let name = printable::path(name);
        let what = format!("the environment variable `{name}` cannot be passed on");
        Report::new(what, "it is not set", format!("set it, or give the guest a value with --env {name}=VALUE"))
    })
}

/// Looks the imports of a module up in the linker, once for many instances.
///
/// # Errors
/// Returns an error if they are not there.
pub(crate) fn prepare(linker: &Linker<Host>, module: &Module, file: &Path) -> Result<InstancePre<Host>, Outcome> {
    linker.instantiate_pre(module).map_err(|error| imports::unlinked(file, &error).into())
}

/// Creates an instance of a module whose imports are in the linker.
///
/// # Errors
/// Returns an error if they are not there, or if the start function does not return.
pub(crate) fn instantiate(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
    file: &Path,
) -> Result<Instance, Outcome> {
    linker.instantiate(&mut *store, module).map_err(|error| {
        if error.is::<Trap>() || error.is::<ThrownException>() || error.is::<I32Exit>() {
            return Outcome::of(&shown(file), &error);
        }
        imports::unlinked(file, &error).into()
    })
}

/// Calls the export of this name, which is there, and returns its results.
///
/// # Errors
/// Returns what ends the guest, if it does not return.
pub(crate) fn invoke(
    store: &mut Store<Host>,
    instance: Instance,
    name: &str,
    arguments: &[Val],
    results: usize,
    file: &Path,
) -> Result<Vec<Val>, Outcome> {
    let mut results = vec![Val::I32(0); results];
    let func = instance.get_func(&mut *store, name).expect("the module was seen to export this function");
    func.call(store, arguments, &mut results).map_err(|error| Outcome::of(&shown(file), &error))?;
    Ok(results)
}

fn internal(error: &Error) -> Report {
    Report::new("minirt could not be set up", format!("{error:#}"), "this is a bug of minirt: please report it")
}
