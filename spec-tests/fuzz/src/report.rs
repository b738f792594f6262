//! Where a module that shows a difference is kept, to be looked at.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Makes a folder for what this run leaves behind.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("minirt-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make `{}`", folder.display()))?;
    Ok(folder)
}

/// Writes the module, in both formats, and returns where the text is.
pub(crate) fn keep(seed: u64, wasm: &[u8]) -> Result<PathBuf> {
    let path = folder()?.join(format!("{seed}.wat"));
    write(&path.with_extension("wasm"), wasm)?;
    let text = wasmprinter::print_bytes(wasm).unwrap_or_else(|error| format!(";; no text: {error:#}\n"));
    write(&path, text.as_bytes())?;
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("could not write `{}`", path.display()))
}
