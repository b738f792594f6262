//! Explains what to do about a module whose imports are missing, or of other types than it asks
//! for.

use super::input::shown;
use super::system;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Error, LimitExceeded, UnknownImportError};
use std::path::Path;

/// The name under which WASI preview 1 is offered.
const WASI: &str = "wasi_snapshot_preview1";

/// Returns a report about a module that could not be linked, with the linker's reason.
pub(crate) fn unlinked(file: &Path, error: &Error) -> Report {
    Report::new(format!("{} cannot be instantiated", shown(file)), format!("{error:#}"), help(error))
}

fn help(error: &Error) -> String {
    if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
        return define(unknown.module(), unknown.name());
    }
    if let Some(LimitExceeded::MemorySize(_) | LimitExceeded::TableSize(_)) = error.downcast_ref() {
        return "allow it more with -W max-memory-size=N or -W max-table-elements=N".to_owned();
    }
    if let Some(LimitExceeded::GcHeapSize(_)) = error.downcast_ref() {
        return "allow it more with -W max-gc-heap-size=N".to_owned();
    }
    let otherwise = "give it what it asks for: --preload NAME=FILE offers other exports under NAME";
    system::help(error).unwrap_or(otherwise).to_owned()
}

fn define(module: &str, name: &str) -> String {
    if module == WASI {
        return "minirt has all of WASI preview 1: build it with a toolchain for wasm32-wasip1".to_owned();
    }
    if module.starts_with("wasi") {
        return "it was built for another WASI than preview 1: build it for wasm32-wasip1".to_owned();
    }
    let (module, name) = (printable::word(&printable::name(module)), printable::name(name));
    format!("put --preload {module}=FILE before it, where FILE is a module that exports `{name}`")
}
