//! `minirt snapshot`: run an initialiser, and freeze what it leaves.

use super::compile::{ARTIFACT, unwritten};
use crate::guest::entry;
use crate::guest::host::{self, instantiate, invoke};
use crate::guest::input::shown;
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::options::args::SnapshotArgs;
use crate::output::artifact_file;
use crate::output::printable;
use crate::output::report::{ERROR, Report};
use std::path::Path;

/// Initialises the module that the command line names, and writes the artifact.
///
/// # Errors
/// Returns what ends the initialiser before its end, or an error if the artifact cannot be made or
/// written.
pub(crate) fn snapshot(args: &SnapshotArgs) -> Result<(), Outcome> {
    let engine = host::engine()?;
    let module = Source::files(args.allow_precompiled).load(&engine, &args.file)?;
    let entry = entry::initializer(&module, &args.file, &args.init)?;
    let linker = host::linker(&engine)?;
    let mut store = host::store(&engine, &args.host, &args.file, &args.arguments)?;
    let instance = instantiate(&linker, &mut store, &module, &args.file)?;
    let init = entry.call.iter().map(|call| call.name.as_str());
    for name in entry.initialize.into_iter().chain(init) {
        invoke(&mut store, instance, name, &[], 0, &args.file).map_err(|outcome| unready(&args.file, name, outcome))?;
    }
    let snapshot = instance.snapshot(&mut store).map_err(|error| not_frozen(&args.file, &error))?;
    let artifact = snapshot.module().serialize().map_err(|error| unwritten(ARTIFACT, &args.output, &error))?;
    artifact_file::write(&args.output, &artifact).map_err(|error| unwritten(ARTIFACT, &args.output, &error.into()))?;
    Ok(())
}

/// Returns a report about an initialiser, the function `name`, that did not return.
pub(super) fn unready(file: &Path, name: &str, outcome: Outcome) -> Outcome {
    let Outcome::Exit(code) = outcome else { return outcome };
    let because = format!("`{}` exits with code {code}, and an initialiser has to return", printable::name(name));
    let report = Report::new(format!("{} cannot be frozen", shown(file)), because, "name another function with --init");
    report.with_code(if code == 0 { ERROR } else { code }).into()
}

/// Returns a report about an instance of which no snapshot can be taken.
pub(super) fn not_frozen(file: &Path, error: &minirt::Error) -> Report {
    let help = "have the initialiser keep no references that come from outside";
    Report::new(format!("{} cannot be frozen", shown(file)), format!("{error:#}"), help)
}
