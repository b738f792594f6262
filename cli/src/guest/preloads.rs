//! Instantiates modules for others to import from: `--preload NAME=FILE`.

use super::entry;
use super::host::{Host, instantiate, invoke};
use super::input::shown;
use super::outcome::Outcome;
use super::source::Source;
use super::unknown_imports;
use crate::options::args::GuestArgs;
use crate::options::grants::Preload;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Engine, Instance, Linker, Module, Store};
use std::path::Path;

/// The modules that are preloaded, in order.
#[derive(Clone)]
pub(crate) struct Preloads<'a> {
    args: &'a GuestArgs,
    modules: Vec<(&'a Preload, Module)>,
}

impl<'a> Preloads<'a> {
    /// Loads them.
    ///
    /// # Errors
    /// Returns an error if one of them cannot be loaded.
    pub(crate) fn load(args: &'a GuestArgs, engine: &Engine, source: &Source) -> Result<Self, Report> {
        let load = |preload: &'a Preload| Ok((preload, source.load(engine, &preload.file)?));
        Ok(Self { args, modules: args.preloads.iter().map(load).collect::<Result<_, Report>>()? })
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Returns the modules.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().map(|(_, module)| module)
    }

    /// Makes an instance of each for others to import from. Reactors get ready first.
    ///
    /// # Errors
    /// Returns what ends one of them, or an error if it cannot be linked or offered.
    pub(crate) fn offer(&self, linker: &mut Linker<Host>, store: &mut Store<Host>) -> Result<(), Outcome> {
        for (Preload { name, file }, module) in &self.modules {
            let instance = link(linker, store, module, file, self.args)?;
            if let Some(initialize) = entry::initialize(module) {
                invoke(store, instance, initialize, &[], 0, file)?;
            }
            linker.instance(&mut *store, name, instance).map_err(|error| {
                let what = format!("the exports of {} cannot be offered as `{}`", shown(file), printable::name(name));
                Report::new(what, format!("{error:#}"), "preload it under another name")
            })?;
        }
        Ok(())
    }
}

/// Makes an instance. Where the user says what unknown imports are, that holds for this instance
/// alone.
///
/// # Errors
/// Returns an error if it cannot be linked, or what ends its start function.
pub(crate) fn link(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
    file: &Path,
    args: &GuestArgs,
) -> Result<Instance, Outcome> {
    match unknown_imports::define(linker, store, module, file, &args.wasm)? {
        Some(linker) => instantiate(&linker, store, module, file),
        None => instantiate(linker, store, module, file),
    }
}
