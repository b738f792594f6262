//! `minirt inspect`: shows what a module imports and exports, and what its instances start from; or
//! the machine code of a function.

use crate::guest::host;
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source::{self, Source};
use crate::options::args::InspectArgs;
use crate::output::assembly::Assembly;
use crate::output::names::{nearest, signature};
use crate::output::printable;
use crate::output::report::{Report, print};
use crate::show::class::{bytes, page_size};
use minirt::{ExternType, HeapImageInfo, ImageInfo, Module, ModuleFunction};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// The most extents that are listed.
const MOST: usize = 40;

/// Shows the module that the command line names.
///
/// # Errors
/// Returns an error if it cannot be read or compiled.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Outcome> {
    if let Some(function) = &args.asm {
        return assembly(args, function);
    }
    let module = Source::files(args.allow_precompiled).load(&host::engine()?, &args.file)?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = describe(&mut text, &module, &shown(&args.file));
    Ok(print(&text)?)
}

/// Shows the machine code of a function.
fn assembly(args: &InspectArgs, function: &str) -> Result<(), Outcome> {
    let (engine, file) = (host::engine()?, &args.file);
    let (module, binary) = match Input::open(file)? {
        Input::Module(bytes) => {
            let binary = source::binary(file, &bytes)?.into_owned();
            (source::compile(&engine, file, &binary)?, Some(binary))
        }
        artifact => (Source::files(args.allow_precompiled).module(&engine, file, artifact)?, None),
    };
    let assembly = Assembly::of(&module, binary.as_deref())?;
    let found = find(assembly.functions(), function).ok_or_else(|| unknown(&module, &assembly, file, function))?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = assembly.print(&mut text, found);
    Ok(print(&text)?)
}

/// Returns the function of this index, or the first one of this name.
fn find<'a>(functions: &'a [ModuleFunction], wanted: &str) -> Option<&'a ModuleFunction> {
    match wanted.parse::<u32>() {
        Ok(index) => functions.iter().find(|function| function.index == index),
        Err(_) => functions.iter().find(|function| function.name.as_deref() == Some(wanted)),
    }
}

fn unknown(module: &Module, assembly: &Assembly<'_>, file: &Path, wanted: &str) -> Report {
    let what = format!("{} has no function `{}` with code", shown(file), printable::name(wanted));
    let functions = assembly.functions();
    let Some((first, last)) = functions.first().zip(functions.last()) else {
        return Report::new(what, "it defines no functions", "name a module that does");
    };
    let because = format!("it defines the functions {} to {}", first.index, last.index);
    let names = functions.iter().filter_map(|function| function.name.as_deref());
    let help = match nearest(wanted, names) {
        Some(near) => format!("did you mean `{}`?", printable::name(near)),
        None if module.imports().len() > 0 => "name one by its index or name; imported ones have no code".to_owned(),
        None => "name one by its index or name".to_owned(),
    };
    Report::new(what, because, help)
}

fn describe(out: &mut String, module: &Module, file: &str) -> std::fmt::Result {
    match module.name() {
        Some(name) => writeln!(out, "module {file}, named `{}`", printable::name(name))?,
        None => writeln!(out, "module {file}")?,
    }
    writeln!(out, "\nimports: {}", module.imports().len())?;
    for import in module.imports() {
        writeln!(out, "  {}::{}", printable::name(import.module()), typed(import.name(), &import.ty(), module))?;
    }
    writeln!(out, "\nexports: {}", module.exports().len())?;
    for export in module.exports() {
        writeln!(out, "  {}", typed(export.name(), &export.ty(), module))?;
    }
    let image = module.image_info();
    sizes(out, &image)?;
    images(out, &image)?;
    remaining(out, &image)
}

fn typed(name: &str, ty: &ExternType, module: &Module) -> String {
    match ty {
        ExternType::Func(ty) => signature(name, ty, Some(module)),
        other => format!("{}: {}", printable::name(name), module.display_type(other)),
    }
}

fn sizes(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    let ImageInfo { host_cell, state, head, memory, code, .. } = image;
    writeln!(out, "\nsizes in bytes")?;
    writeln!(out, "  machine code  {code}")?;
    writeln!(out, "  host cell     {host_cell}, written for each instance unless it imports what the last one did")?;
    writeln!(out, "  state         {state}, of which each reset copies {head}")?;
    writeln!(out, "  memory        {memory}")?;
    image.heap.iter().try_for_each(|heap| {
        let HeapImageInfo { size, objects, object_bytes, .. } = heap;
        writeln!(out, "  heap          {size}; objects in it: {objects}, together {object_bytes} bytes")
    })
}

fn images(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    extents(out, "memory", image.memory, &image.extents)?;
    image.heap.iter().try_for_each(|heap| extents(out, "heap", heap.size, &heap.extents))?;
    image.copied.iter().try_for_each(|why| writeln!(out, "  copied for each instance: {why}"))
}

/// Lists where the image of a part is not zero.
fn extents(out: &mut String, part: &str, size: usize, extents: &[Range<u64>]) -> std::fmt::Result {
    let pages_in = |extent: &Range<u64>| (extent.end - extent.start) / page_size();
    let pages: u64 = extents.iter().map(pages_in).sum();
    let (zeros, each, count) = (size as u64 / page_size() - pages, bytes(page_size()), extents.len());
    writeln!(out, "\nimage of the {part}: {pages} pages of {each} in {count} extents; {zeros} are zeros")?;
    for extent in extents.iter().take(MOST) {
        writeln!(out, "  {:#010x}..{:#010x}  {} pages", extent.start, extent.end, pages_in(extent))?;
    }
    match extents.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn remaining(out: &mut String, image: &ImageInfo) -> std::fmt::Result {
    if image.remaining.is_empty() {
        return writeln!(out, "\nthe image holds all of instantiation");
    }
    writeln!(out, "\nnot in the image, and so done for each instance")?;
    image.remaining.iter().try_for_each(|step| writeln!(out, "  {}: {}", step.what, step.why))
}
