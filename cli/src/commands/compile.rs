//! `minirt compile`: from a module to an artifact, or to what people can read of it.

use crate::guest::host;
use crate::guest::input::{self, Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source;
use crate::guest::system;
use crate::options::args::{CompileArgs, Emit};
use crate::output::artifact_file;
use crate::output::assembly::Assembly;
use crate::output::printable;
use crate::output::report::Report;
use minirt::{Config, Engine, Error};
use std::path::{Path, PathBuf};

/// Bytes in a page of most systems.
const USUAL_PAGE: u64 = 4 << 10;

/// Compiles the module that the command line names.
///
/// # Errors
/// Returns an error if it cannot be compiled, or the result cannot be written.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Outcome> {
    let (output, file) = (output(args)?, &args.file);
    refuse_asm_for_target(args)?;
    let bytes = Input::open(file)?.into_module(file)?;
    let engine = match &args.target {
        Some(target) => engine_for(target, args.page_size)?,
        None => host::engine()?,
    };
    let (what, result) = match args.emit {
        Emit::Artifact if args.target.is_some() => (ARTIFACT, source::precompile(&engine, file, &bytes)?),
        Emit::Artifact => {
            let module = source::compile(&engine, file, &bytes)?;
            (ARTIFACT, module.serialize().map_err(|error| unwritten(ARTIFACT, &output, &error))?)
        }
        Emit::Clif => ("the text", source::clif(&engine, file, &bytes)?.into_bytes()),
        Emit::Asm => ("the text", assembly(&engine, file, &bytes)?.into_bytes()),
    };
    artifact_file::write(&output, &result).map_err(|error| unwritten(what, &output, &error.into()))?;
    Ok(())
}

/// The name of an artifact in messages.
pub(crate) const ARTIFACT: &str = "the artifact";

/// Returns an engine that makes artifacts for other machines than this one.
fn engine_for(target: &str, page_size: Option<u64>) -> Result<Engine, Report> {
    let refused = |error: Error, help: &str| {
        let what = format!("there is no code for `{}`", printable::text(target));
        Report::new(what, error.root_cause().to_string(), help)
    };
    let mut config = Config::new();
    config.target(target).map_err(|error| refused(error, "name one of these, in full"))?;
    config.target_page_size(page_size.unwrap_or(USUAL_PAGE));
    Engine::new(&config).map_err(|error| refused(error, "build minirt with the feature `cross`"))
}

/// Refuses to show machine code for a target: what shows it reads that of modules that could run
/// here.
fn refuse_asm_for_target(args: &CompileArgs) -> Result<(), Report> {
    let (Some(target), Emit::Asm) = (&args.target, args.emit) else { return Ok(()) };
    Err(Report::new(
        format!("machine code for `{}` cannot be shown", printable::text(target)),
        "minirt only shows what it compiles for the machine that it runs on",
        "leave --target out; --emit=clif shows what Cranelift makes it from, for any target",
    ))
}

fn output(args: &CompileArgs) -> Result<PathBuf, Report> {
    let (what, extension) = match args.emit {
        Emit::Artifact => (ARTIFACT, "cwasm"),
        Emit::Clif => ("the text", "clif"),
        Emit::Asm => ("the text", "asm"),
    };
    match &args.output {
        Some(output) => Ok(output.clone()),
        None if input::is_stdin(&args.file) => {
            let because = "a module from standard input has no name to go by";
            let help = format!("name it with -o OUT.{extension}");
            Err(Report::new(format!("there is no file to write {what} to"), because, help))
        }
        None => Ok(args.file.with_extension(extension)),
    }
}

fn assembly(engine: &Engine, file: &Path, bytes: &[u8]) -> Result<String, Report> {
    let binary = source::binary(file, bytes)?;
    let module = source::compile(engine, file, &binary)?;
    let assembly = Assembly::of(&module, Some(&binary))?;
    let mut text = format!("{}\n", shown(file));
    for function in assembly.functions() {
        text.push('\n');
        // Writing to a string does not fail.
        let _ = assembly.print(&mut text, function);
    }
    Ok(text)
}

/// Returns what to say when what was made of a module cannot be written.
pub(crate) fn unwritten(what: &str, output: &Path, error: &Error) -> Report {
    let what = format!("{what} `{}` cannot be written", printable::path(output));
    let help =
        error.downcast_ref().and_then(system::help_with_file).unwrap_or("name a place that can be written with -o");
    Report::new(what, format!("{error:#}"), help)
}
