//! `minirt snapshot`: run an initialiser, and freeze what it leaves.

use super::compile::unwritten;
use crate::guest::entry;
use crate::guest::host::{self, instantiate, invoke};
use crate::guest::input::{Source, shown};
use crate::guest::outcome::Stopped;
use crate::options::args::SnapshotArgs;
use crate::output::artifact_file;
use crate::output::report::Report;

/// Initialises the module that the command line names, and writes the artifact.
pub(crate) fn snapshot(args: &SnapshotArgs) -> Result<(), Stopped> {
    let engine = host::engine()?;
    let module = Source::files(args.allow_precompiled).load(&engine, &args.file)?;
    let entry = entry::initialiser(&module, &args.file, &args.init)?;
    let linker = host::linker(&engine)?;
    let mut store = host::store(&engine, &args.host, &args.file, &args.arguments)?;
    let instance = instantiate(&linker, &mut store, &module, &args.file)?;
    for name in entry.before.into_iter().chain([entry.name.as_str()]) {
        invoke(&mut store, instance, name, &[], 0, &args.file)?;
    }
    let snapshot = instance.snapshot(&mut store).map_err(|error| {
        let help = "have the initialiser keep no references that come from outside";
        Report::new(format!("{} cannot be frozen", shown(&args.file)), format!("{error:#}"), help)
    })?;
    let artifact = snapshot.module().serialize().map_err(|error| unwritten(&args.output, &format!("{error:#}")))?;
    artifact_file::write(&args.output, &artifact).map_err(|error| unwritten(&args.output, &error.to_string()))?;
    Ok(())
}
