//! Tells `perf` the names of compiled functions, in the file where it looks for them.
//!
//! Each line of `/tmp/perf-PID.map` has the address and the size of a function in hexadecimal, and
//! its name. Lines are only ever added: `perf` reads the file after the process has ended.

use super::functions::Names;
use crate::pool::Program;
use anyhow::{Context, Result};
use minirt_compiler::Printable;
use minirt_compiler::instance::code::FuncRange;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

/// Adds the functions and trampolines of a module, which has just been loaded.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(super) fn add(program: &Program) -> Result<()> {
    let lines = lines(program);
    if lines.is_empty() {
        return Ok(()); // It has no code.
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let write = || {
        // Anybody may make files in that folder, so a link there is not followed.
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        // One call, so that the lines of two threads do not mix.
        options.open(&path)?.write_all(lines.as_bytes())
    };
    write().with_context(|| format!("could not tell perf the names of functions, in `{path}`"))
}

fn lines(program: &Program) -> String {
    let (info, tables) = (&program.info, program.code.tables());
    let names = Names::of(info);
    let module = info.name.as_deref().unwrap_or("wasm");
    let mut lines = String::new();
    let mut line = |range: FuncRange, name: &dyn std::fmt::Display| {
        let (address, len) = (program.code.address(range.start) as usize, range.end - range.start);
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{address:x} {len:x} {}!{name}", Printable::new(module));
    };
    for (defined, range) in tables.funcs.iter().enumerate() {
        let func = info.num_imported_funcs + defined as u32;
        match names.get(func) {
            Some(name) => line(range, &Printable::new(name)),
            None => line(range, &format_args!("<wasm function {func}>")),
        }
    }
    let trampolines = FuncRange { start: tables.bodies_end(), end: program.code.len() as u32 };
    if trampolines.start < trampolines.end {
        line(trampolines, &"<trampolines>");
    }
    lines
}
