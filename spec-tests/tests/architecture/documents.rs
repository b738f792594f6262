//! What the documents name is there: files in backticks, and the targets of links.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The documents for people, relative to the repository.
pub(crate) const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "RATIONALE.md",
    "BENCHMARKS.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "cli/README.md",
];

/// The folders of the repository in which files are named by their whole paths.
const FOLDERS: [&str; 5] = ["compiler/", "runtime/", "cli/", "examples/", "spec-tests/"];

/// Returns the paths in backticks that lead from the repository's root to a file or folder.
pub(crate) fn paths(document: &str) -> Vec<&str> {
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        plain && FOLDERS.iter().any(|folder| text.starts_with(folder))
    };
    prose(document).flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path).collect()
}

/// Returns the links that do not lead to a web page: a path relative to the document, and a heading
/// in that file. Either may be empty.
pub(crate) fn links(document: &str) -> Vec<(&str, &str)> {
    let targets = prose(document).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split_once(')'));
    let local = targets.map(|(target, _)| target).filter(|target| !target.contains("://"));
    local.map(|target| target.split_once('#').unwrap_or((target, ""))).collect()
}

/// Returns the headings of a document, as links name them.
pub(crate) fn headings(document: &str) -> BTreeSet<String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the lines that are not in a fenced block.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// Returns a path without `..`, which a document in a folder needs to name its neighbours.
pub(crate) fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => _ = path.pop(),
            part => path.push(part),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_begins_with_a_folder_and_has_no_pattern() {
        let text =
            "`cli/src/main.rs` and `cli/src`, not `main.rs`, `cli/{a, b}.rs` or\n```sh\n`cli/no.rs`\n```\n`runtime/x`";
        assert_eq!(paths(text), ["cli/src/main.rs", "cli/src", "runtime/x"]);
    }

    #[test]
    fn links_are_split_into_file_and_heading() {
        let text = "[a](b.md#c-d), [e](#f) [g](../h) and [web](https://example.org/#x)";
        assert_eq!(links(text), [("b.md", "c-d"), ("", "f"), ("../h", "")]);
    }

    #[test]
    fn headings_are_named_as_on_a_web_page() {
        let text = "# One\n## What's `Two`, then?\n```\n# not this\n```\n### 3 \u{2013} x";
        let expected = ["one", "whats-two-then", "3--x"].map(String::from);
        assert_eq!(headings(text), BTreeSet::from(expected));
    }
}
