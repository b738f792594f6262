//! `minirt compile`: from a module to an artifact.

use crate::guest::host;
use crate::guest::input::{self, Input};
use crate::guest::outcome::Outcome;
use crate::guest::source;
use crate::guest::system;
use crate::options::args::CompileArgs;
use crate::output::artifact_file;
use crate::output::printable;
use crate::output::report::Report;
use minirt::Error;
use std::path::{Path, PathBuf};

/// Compiles the module that the command line names.
///
/// # Errors
/// Returns an error if it cannot be compiled, or the artifact cannot be written.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Outcome> {
    let output = output(args)?;
    let bytes = Input::open(&args.file)?.into_module(&args.file)?;
    let module = source::compile(&host::engine()?, &args.file, &bytes)?;
    let artifact = module.serialize().map_err(|error| unwritten(&output, &error))?;
    artifact_file::write(&output, &artifact).map_err(|error| unwritten(&output, &error.into()))?;
    Ok(())
}

fn output(args: &CompileArgs) -> Result<PathBuf, Report> {
    match &args.output {
        Some(output) => Ok(output.clone()),
        None if input::is_stdin(&args.file) => {
            let because = "a module from standard input has no name to go by";
            Err(Report::new("there is no file to write the artifact to", because, "name it with -o OUT.cwasm"))
        }
        None => Ok(args.file.with_extension("cwasm")),
    }
}

/// Returns what to say when an artifact cannot be written.
pub(crate) fn unwritten(output: &Path, error: &Error) -> Report {
    let what = format!("the artifact `{}` cannot be written", printable::path(output));
    let help =
        error.downcast_ref().and_then(system::help_with_file).unwrap_or("name a place that can be written with -o");
    Report::new(what, format!("{error:#}"), help)
}
