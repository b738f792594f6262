//! The sources keep to what ARCHITECTURE.md says of them.
//!
//! | file | idea |
//! |---|---|
//! | `source` | one file as a list of what it declares and names |
//! | `tree` | a crate's modules in order, and where a path leads |
//! | `order` | a file uses only what stands above it |
//! | `map` | ARCHITECTURE.md lists what is there, in that order |
//! | `documents` | files and headings that the documents name are there |
//!
//! Paths are seen, and the functions that a type's `impl` blocks in several files call on `self`.
//! Methods called on other values are not, for that takes a compiler.

#![forbid(unsafe_code)]

mod source;
mod tree;
mod order;
mod map;
mod documents;

use order::upward_uses;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tree::{Sources, Tree};

/// The crates whose sources are read. Cargo sees to it that they use each other in this order.
const CRATES: [&str; 3] = ["compiler", "runtime", "cli"];

#[test]
fn a_file_uses_only_what_stands_above_it() {
    let mut complaints = String::new();
    for name in CRATES {
        for upward in upward_uses(&tree_of(name)) {
            complaints += &format!("\n{name}/src/{upward}");
        }
    }
    assert!(complaints.is_empty(), "{complaints}\nThe order is that of the `mod` lines in lib.rs and in each mod.rs.");
}

#[test]
fn the_map_is_true() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut complaints = String::new();
    for name in CRATES {
        let folder = format!("{name}/src");
        for complaint in map::complaints(&map::entries(&document, &folder), &tree_of(name)) {
            complaints += &format!("\n{folder}: {complaint}");
        }
    }
    assert!(
        complaints.is_empty(),
        "{complaints}\nWhat a map looks like is said in spec-tests/tests/architecture/map.rs."
    );
}

#[test]
fn wasi_names_no_room_of_the_runtime_but_its_own() {
    let tree = tree_of("runtime");
    let rooms: BTreeSet<&str> = tree.files.iter().filter_map(|file| file.name.split('/').next()).collect();
    let mut names = BTreeSet::new();
    for (user, path, _) in tree.uses() {
        let user = &tree.files[user].name;
        if user.starts_with("wasi/") && path.segments[0] == "crate" && path.segments[1] != "wasi" {
            let room = rooms.contains(&*path.segments[1]);
            assert!(!room, "{user}.rs:{} {}: the public API is in lib.rs", path.line, path.segments.join("::"));
            names.insert(&path.segments[1]);
        }
    }
    assert!(names.contains(&"Linker".to_string()), "nothing was read: {names:?}");
}

#[test]
fn unsafe_code_of_the_runtime_is_where_architecture_md_says() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, list) = document.split_once("unsafe code is in ").unwrap();
    let (list, _) = list.split_once("nowhere else").unwrap();
    let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let sources = sources_of("runtime");
    let of_list = |place: &str, file: &str| if place.ends_with('/') { file.starts_with(place) } else { file == place };
    let mut found = BTreeSet::new();
    for (file, _) in sources.iter().filter(|(_, text)| has_unsafe(text.parse().unwrap())) {
        let place = listed.iter().find(|place| of_list(place, file));
        found.insert(*place.unwrap_or_else(|| panic!("ARCHITECTURE.md does not list the unsafe code of {file}.rs")));
    }
    assert_eq!(found, listed.into_iter().collect(), "left: where unsafe code is; right: what is listed");
}

#[test]
fn what_the_documents_name_is_there() {
    let mut missing = String::new();
    for name in documents::DOCUMENTS {
        let path = root().join(name);
        let document = std::fs::read_to_string(&path).unwrap();
        for path in documents::paths(&document).into_iter().filter(|path| !root().join(path).exists()) {
            missing += &format!("\n{name} names `{path}`");
        }
        for (file, heading) in documents::links(&document) {
            let target = if file.is_empty() { path.clone() } else { documents::normal(&path.with_file_name(file)) };
            let found = std::fs::read_to_string(&target).map(|text| documents::headings(&text)).unwrap_or_default();
            if !target.exists() || !heading.is_empty() && !found.contains(heading) {
                missing += &format!("\n{name} links to {file}#{heading}");
            }
        }
    }
    assert!(missing.is_empty(), "{missing}\nThese files or headings are not there.");
}

/// Returns whether the keyword stands in the code. Comments and texts are no such tokens.
fn has_unsafe(code: proc_macro2::TokenStream) -> bool {
    code.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(name) => name == "unsafe",
        proc_macro2::TokenTree::Group(group) => has_unsafe(group.stream()),
        _ => false,
    })
}

fn tree_of(name: &str) -> Tree {
    Tree::new(&sources_of(name)).unwrap_or_else(|error| panic!("{name}/src: {error}"))
}

fn sources_of(name: &str) -> Sources {
    let src = root().join(name).join("src");
    let mut sources = Sources::new();
    read_sources(&src, &src, &mut sources);
    sources
}

fn read_sources(src: &Path, folder: &Path, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(src, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(src).unwrap().with_extension("");
            sources.insert(name.to_str().unwrap().into(), std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}
