//! Turns the contents of a file into a module, or explains why it cannot.

use super::cache::Cache;
use super::input::{self, Input, shown};
use super::system;
use crate::output::progress;
use crate::output::report::Report;
use minirt::{CompileError, CompileErrorKind, Engine, Error, Module};
use std::borrow::Cow;
use std::path::Path;

/// The places where modules come from, besides files.
#[derive(Debug)]
pub(crate) struct Source {
    /// Whether artifacts are run: the user trusts them.
    pub(crate) trusted: bool,
    /// Where compiled modules are kept, if they are.
    pub(crate) cache: Option<Cache>,
}

impl Source {
    /// Returns a source of nothing but files.
    pub(crate) fn files(trusted: bool) -> Self {
        Self { trusted, cache: None }
    }

    /// Opens a file and loads the module in it. `-` is standard input.
    ///
    /// # Errors
    /// Returns the errors of [`Input::open`] and [`Source::module`].
    pub(crate) fn load(&self, engine: &Engine, file: &Path) -> Result<Module, Report> {
        self.module(engine, file, Input::open(file)?)
    }

    /// Loads or compiles the contents of `file`.
    ///
    /// # Errors
    /// Returns an error if it is an artifact that is not trusted or does not fit this machine, or
    /// if it is a module that cannot be compiled.
    pub(crate) fn module(&self, engine: &Engine, file: &Path, input: Input) -> Result<Module, Report> {
        if input.is_artifact() && !self.trusted {
            return Err(untrusted(file));
        }
        let loaded = match input {
            // SAFETY: the user says that the file can be trusted.
            #[allow(unsafe_code, reason = "an artifact is code, and only the user can know where it comes from")]
            Input::ArtifactFile(artifact) => unsafe { Module::deserialize_open_file(engine, artifact) },
            // SAFETY: as above.
            #[allow(unsafe_code, reason = "an artifact is code, and only the user can know where it comes from")]
            Input::Artifact(bytes) => unsafe { Module::deserialize(engine, bytes) },
            Input::Module(bytes) => {
                return match &self.cache {
                    Some(cache) => cache.module(engine, file, &bytes, || compile(engine, file, &bytes)),
                    None => compile(engine, file, &bytes),
                };
            }
        };
        loaded.map_err(|error| {
            let help = system::help(&error).unwrap_or("minirt compile makes an artifact for this machine");
            Report::new(format!("{} cannot be loaded", shown(file)), error.root_cause().to_string(), help)
        })
    }
}

fn untrusted(file: &Path) -> Report {
    let what = format!("{} is an artifact, which is not run without being trusted", shown(file));
    let because = "it is machine code, and whoever made it can do anything that you can";
    Report::new(what, because, "if you or minirt made it, say --allow-precompiled")
}

/// Compiles the module that these bytes from a file are.
///
/// # Errors
/// Returns an error if it is not a valid module, or exceeds a limit of minirt or the operating
/// system.
pub(crate) fn compile(engine: &Engine, file: &Path, bytes: &[u8]) -> Result<Module, Report> {
    let what = format!("compiling {} ...", shown(file));
    progress::during(&what, || {
        Module::from_binary(engine, &binary(file, bytes)?).map_err(|error| refused(file, &error))
    })
}

/// Returns what the module that these bytes from a file are is translated to.
///
/// # Errors
/// The same as [`compile`].
pub(crate) fn clif(engine: &Engine, file: &Path, bytes: &[u8]) -> Result<String, Report> {
    engine.clif(&binary(file, bytes)?).map_err(|error| refused(file, &error))
}

/// Compiles the module that these bytes from a file are to an artifact, for the engine's target.
///
/// # Errors
/// Returns the errors of [`compile`].
pub(crate) fn precompile(engine: &Engine, file: &Path, bytes: &[u8]) -> Result<Vec<u8>, Report> {
    let what = format!("compiling {} ...", shown(file));
    progress::during(&what, || engine.precompile_module(&binary(file, bytes)?).map_err(|error| refused(file, &error)))
}

/// Returns a module in the binary format.
///
/// # Errors
/// Returns an error if it is text that is wrong.
pub(crate) fn binary<'a>(file: &Path, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, Report> {
    if !input::is_text(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let path = if input::is_stdin(file) { Path::new("<stdin>") } else { file };
    wat::Parser::new().parse_bytes(Some(path), bytes).map_err(|error| {
        Report::new(
            format!("{} cannot be compiled", shown(file)),
            error.to_string(),
            "correct the text and run it again",
        )
    })
}

fn refused(file: &Path, error: &Error) -> Report {
    let what = format!("{} cannot be compiled", shown(file));
    let Some(reason) = error.downcast_ref::<CompileError>() else {
        return Report::new(what, format!("{error:#}"), system::help(error).unwrap_or(BUG));
    };
    let help = match reason.kind() {
        CompileErrorKind::Malformed { cut_off: true } => {
            "it seems to be cut off: build or download it again".to_owned()
        }
        CompileErrorKind::Malformed { cut_off: false } => {
            "it is damaged, or uses a feature that minirt lacks: build it without that feature".to_owned()
        }
        CompileErrorKind::Unsupported(feature) => format!("build it without {}", feature.name()),
        CompileErrorKind::Disabled(feature) => format!("allow it with -W {}", feature.name()),
        CompileErrorKind::Limit => "make the module smaller, or split it".to_owned(),
        _ => BUG.to_owned(),
    };
    Report::new(what, reason.to_string(), help)
}

const BUG: &str = "this is a bug of minirt: please report it, with the module";

#[cfg(test)]
mod tests {
    use super::refused;
    use minirt::error::Context;
    use rustix::io::Errno;
    use std::path::Path;

    #[test]
    fn what_the_system_refuses_is_not_blamed_on_the_module() {
        let denied: Result<(), Errno> = Err(Errno::PERM);
        let error = denied.context("could not make a memory file").unwrap_err();
        let said = refused(Path::new("m.wasm"), &error).to_string();
        assert!(said.contains("memfd_create") && !said.contains("correct the text"), "{said}");
    }
}
