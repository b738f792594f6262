//! `minirt inspect`: shows what a module imports and exports, and what its instances start from.

use crate::guest::host;
use crate::guest::input::shown;
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::options::args::InspectArgs;
use crate::output::names::signature;
use crate::output::printable;
use crate::output::report::print;
use minirt::{ExternType, ImageInfo, Module};
use std::fmt::Write;

/// The most extents that are listed.
const MOST: usize = 40;

/// Bytes in a page of the host.
const PAGE: u64 = 4096;

/// Shows the module that the command line names.
///
/// # Errors
/// Returns an error if it cannot be read or compiled.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Outcome> {
    let module = Source::files(args.allow_precompiled).load(&host::engine()?, &args.file)?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = describe(&mut text, &module, &shown(&args.file));
    Ok(print(&text)?)
}

fn describe(out: &mut String, module: &Module, file: &str) -> std::fmt::Result {
    match module.name() {
        Some(name) => writeln!(out, "module {file}, named `{}`", printable::name(name))?,
        None => writeln!(out, "module {file}")?,
    }
    writeln!(out, "\nimports: {}", module.imports().len())?;
    for import in module.imports() {
        writeln!(out, "  {}::{}", printable::name(import.module()), typed(import.name(), &import.ty()))?;
    }
    writeln!(out, "\nexports: {}", module.exports().len())?;
    for export in module.exports() {
        writeln!(out, "  {}", typed(export.name(), &export.ty()))?;
    }
    let image = module.image_info();
    sizes(out, &image)?;
    extents(out, &image)?;
    remaining(out, &image)
}

fn typed(name: &str, ty: &ExternType) -> String {
    match ty {
        ExternType::Func(ty) => signature(name, ty),
        other => format!("{}: {other}", printable::name(name)),
    }
}

fn sizes(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    let ImageInfo { host_cell, state, head, memory, code, .. } = image;
    writeln!(out, "\nsizes in bytes")?;
    writeln!(out, "  machine code  {code}")?;
    writeln!(out, "  host cell     {host_cell}, written for each instance unless it imports what the last one did")?;
    writeln!(out, "  state         {state}, of which each reset copies {head}")?;
    writeln!(out, "  memory        {memory}")
}

fn extents(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    let pages: u64 = image.extents.iter().map(|extent| (extent.end - extent.start) / PAGE).sum();
    let zeros = image.memory as u64 / PAGE - pages;
    writeln!(
        out,
        "\nimage of the memory: {pages} pages of 4 KiB in {} extents; {zeros} are zeros",
        image.extents.len()
    )?;
    for extent in image.extents.iter().take(MOST) {
        writeln!(out, "  {:#010x}..{:#010x}  {} pages", extent.start, extent.end, (extent.end - extent.start) / PAGE)?;
    }
    match image.extents.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }?;
    image.copied.iter().try_for_each(|why| writeln!(out, "  copied for each instance: {why}"))
}

fn remaining(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    if image.remaining.is_empty() {
        return writeln!(out, "\nthe image holds all of instantiation");
    }
    writeln!(out, "\nnot in the image, and so done for each instance")?;
    image.remaining.iter().try_for_each(|step| writeln!(out, "  {}: {}", step.what, step.why))
}
