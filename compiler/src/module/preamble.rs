//! Checks the first eight bytes of a module, and explains what else a file may be.

use crate::base::error::{CompileError, Feature};
use wasmparser::Parser;

/// The first bytes of every module.
const MAGIC: &[u8; 4] = b"\0asm";

/// The most bytes that a module may have, as in other engines. Offsets in it fit 32 bits.
const MODULE_MAX: usize = 1 << 30;

/// Checks that the bytes start like a module.
///
/// # Errors
/// Returns an error if they do not, or are too many.
pub(crate) fn check(bytes: &[u8]) -> Result<(), CompileError> {
    if bytes.len() > MODULE_MAX {
        let message = format!("the module has {} bytes; at most {MODULE_MAX} are possible", bytes.len());
        return Err(CompileError::limit(message));
    }
    if bytes.is_empty() {
        return Err(CompileError::cut_off("the input is empty; a WebAssembly module has at least 8 bytes", 0));
    }
    if !bytes.starts_with(&MAGIC[..bytes.len().min(4)]) {
        let start: String = bytes.iter().take(4).map(|b| b.escape_ascii().to_string()).collect();
        let message = format!("not a WebAssembly module: it starts with `{start}` instead of `\\0asm`");
        return Err(CompileError::malformed(message, 0));
    }
    let Some(version) = bytes.get(4..8).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes) else {
        let message = format!("the module is cut off after {} bytes; its preamble alone has 8", bytes.len());
        return Err(CompileError::cut_off(message, bytes.len()));
    };
    if Parser::is_component(bytes) {
        return Err(CompileError::unsupported(Feature::ComponentModel, "it runs core modules", 4));
    }
    if version != 1 {
        let message = format!("unknown binary version {version}; minirt reads version 1");
        return Err(CompileError::malformed(message, 4));
    }
    Ok(())
}
