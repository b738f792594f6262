//! What to do about a module whose imports are not there, or not what it asks for.

use super::input::shown;
use super::system;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Error, LimitExceeded, Linker, Module, Store};
use std::path::Path;

/// The name under which WASI preview 1 is offered.
const WASI: &str = "wasi_snapshot_preview1";

/// Returns what to say about a module that could not be linked. The reason is the linker's.
pub(crate) fn unlinked<T>(
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &Module,
    file: &Path,
    error: &Error,
) -> Report {
    let what = format!("{} cannot be instantiated", shown(file));
    let missing = module.imports().find(|import| linker.get(&mut *store, import.module(), import.name()).is_none());
    let help = match missing.map(|import| (import.module(), import.name())) {
        None if matches!(error.downcast_ref(), Some(LimitExceeded::MemorySize(_) | LimitExceeded::TableSize(_))) => {
            "allow it more with -W max-memory-size=N or -W max-table-elements=N".to_owned()
        }
        None if let Some(help) = system::help(error) => help.to_owned(),
        None => "give it what it asks for: --preload NAME=FILE offers other exports under NAME".to_owned(),
        Some((WASI, _)) => "minirt has all of WASI preview 1: build it with a toolchain for wasm32-wasip1".to_owned(),
        Some((from, _)) if from.starts_with("wasi") => {
            "it was built for another WASI than preview 1: build it for wasm32-wasip1".to_owned()
        }
        Some((from, name)) => {
            let (from, name) = (printable::name(from), printable::name(name));
            format!("put --preload {from}=FILE before it, where FILE is a module that exports `{name}`")
        }
    };
    Report::new(what, format!("{error:#}"), help)
}
