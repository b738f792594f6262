//! Defines imports that nobody else defines, as the user asks: `-W unknown-imports-trap` and
//! `-W unknown-imports-default`.

use super::host::Host;
use super::input::shown;
use crate::options::wasm_options::{self, WasmOption};
use crate::output::report::Report;
use minirt::{Linker, Module, Store};
use std::path::Path;

/// Returns a copy of the linker that also defines what `module` imports and nobody defines. `None`
/// if the user does not ask for that.
///
/// # Errors
/// Returns an error if an import is of a type that has no default value.
pub(crate) fn define(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
    file: &Path,
    options: &[WasmOption],
) -> Result<Option<Linker<Host>>, Report> {
    let (trap, default) = (wasm_options::unknown_imports_trap(options), wasm_options::unknown_imports_default(options));
    if !trap && !default {
        return Ok(None);
    }
    let mut linker = linker.clone();
    // In this order, as in wasmtime: with both, functions trap, and everything else is zero.
    let traps = if trap { linker.define_unknown_imports_as_traps(module) } else { Ok(()) };
    let defaults = if default { linker.define_unknown_imports_as_default_values(store, module) } else { Ok(()) };
    traps.and(defaults).map_err(|error| {
        let help = "preload a module that defines it: --preload NAME=FILE";
        Report::new(format!("{} has an unknown import that cannot be made up", shown(file)), format!("{error:#}"), help)
    })?;
    Ok(Some(linker))
}
