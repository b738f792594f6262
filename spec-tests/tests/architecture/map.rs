//! ARCHITECTURE.md's map of a crate: every room and file, in the order in which they may use each
//! other.
//!
//! A map stands under a heading that names the crate's folder, such as `` `runtime/src` ``. Its
//! entries are the paths in backticks at the start of a list's items or in the first column of a
//! table, relative to that folder. A room ends in `/`. A map that names a file of a room names all
//! of that room.

use crate::tree::Tree;
use std::collections::BTreeSet;

/// Returns the entries of the map of a folder, in the order of the document.
pub(crate) fn entries(document: &str, folder: &str) -> Vec<String> {
    let heading = format!("`{folder}`");
    let mut entries = Vec::new();
    // The level of the heading that the map stands under.
    let mut under = None;
    for line in document.lines() {
        let level = line.chars().take_while(|&c| c == '#').count();
        if level > 0 && under.is_none_or(|under| level <= under) {
            under = line.contains(&heading).then_some(level);
        } else if under.is_some() {
            let row = line.trim_start();
            if let Some(row) = row.strip_prefix('|') {
                let first = row.split('|').next().unwrap_or_default();
                entries.extend(first.split('`').skip(1).step_by(2).map(to_name));
            } else if let Some(item) = row.strip_prefix("- `") {
                entries.extend(item.split('`').next().map(to_name));
            }
        }
    }
    entries
}

fn to_name(path: &str) -> String {
    path.strip_suffix(".rs").unwrap_or(path).into()
}

/// Returns what is wrong with a map: what it lists twice, out of order or without its being there,
/// and what it misses.
pub(crate) fn complaints(entries: &[String], tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut last: Option<(Place<'_>, &str)> = None;
    for entry in entries {
        match place(entry, tree) {
            None => complaints.push(format!("`{entry}` is in the map and not in the sources")),
            Some(place) => {
                if let Some((_, before)) = last.filter(|(before, _)| *before >= place) {
                    complaints.push(format!("`{entry}` stands below `{before}` in the map and not in the sources"));
                }
                last = Some((place, entry));
            }
        }
    }
    let listed: BTreeSet<&str> = entries.iter().map(String::as_str).collect();
    let missing = expected(entries, tree).into_iter().filter(|name| !listed.contains(&**name));
    complaints.extend(missing.map(|name| format!("`{name}` is in the sources and not in the map")));
    complaints
}

/// Where an entry stands: with the first of its files, a room before what is in it.
type Place<'a> = (usize, &'a str);

fn place<'a>(entry: &'a str, tree: &Tree) -> Option<Place<'a>> {
    let is_it = |name: &str| if entry.ends_with('/') { name.starts_with(entry) } else { name == entry };
    let files = tree.files.iter().filter(|file| is_it(&file.name));
    files.map(|file| file.position).min().map(|position| (position, entry))
}

/// Returns what a map with these entries has to list: all that is in the crate's folder, and in
/// each room that it opens.
fn expected(entries: &[String], tree: &Tree) -> BTreeSet<String> {
    let mut opened: BTreeSet<&str> = BTreeSet::from([""]);
    for entry in entries {
        opened.extend(entry.trim_end_matches('/').match_indices('/').map(|(at, _)| &entry[..=at]));
    }
    let mut expected = BTreeSet::new();
    for file in tree.files.iter().filter(|file| !is_head(&file.name)) {
        for room in &opened {
            if let Some(rest) = file.name.strip_prefix(room) {
                let end = rest.find('/').map_or(rest.len(), |at| at + 1);
                expected.insert(format!("{room}{}", &rest[..end]));
            }
        }
    }
    expected
}

/// Returns whether a file only stands for its room or crate, which the map lists anyway.
fn is_head(name: &str) -> bool {
    ["lib", "main", "mod"].contains(&name.rsplit('/').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Sources;

    /// Returns the complaints about a map of a made-up crate: `base`, `cow/` (`set`, `deep/one`,
    /// `policy`) and `top`.
    fn about(map: &str) -> Vec<String> {
        let files = [
            ("lib", "mod base; mod cow; mod top; #[cfg(test)] mod tests;"),
            ("base", ""),
            ("cow/mod", "mod set; mod deep; mod policy;"),
            ("cow/set", ""),
            ("cow/deep/mod", "mod one;"),
            ("cow/deep/one", ""),
            ("cow/policy", ""),
            ("top", ""),
            ("tests", ""),
        ];
        let sources: Sources = files.iter().map(|&(name, text)| (name.into(), text.into())).collect();
        complaints(&entries(map, "x/src"), &Tree::new(&sources).unwrap())
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_map_may_list_rooms_alone_or_all_of_their_files() {
        assert_eq!(about("## X, `x/src`\n| `base` | |\n| `cow/` | with `others` |\n| `top` | |"), NOTHING);
        assert_eq!(about("## `x/src`\n- `base`: a\n- `cow/`: b\n- `top`, the `end`\n- and more"), NOTHING);
        let open =
            "# `x/src`\n|---|\n|`base`|\n|`cow/`|\n|`cow/set`, `cow/deep/`|\n|`cow/policy.rs`|\n|`cow/mod`|\n|`top`|";
        assert_eq!(about(open), NOTHING);
        let deep = "# `x/src`\n|`base`|\n|`cow/`|\n### In cow\n|`cow/set`|\n|`cow/deep/`|\n|`cow/deep/one`|\n|`cow/policy`|\n|`top`|";
        assert_eq!(about(deep), NOTHING);
    }

    #[test]
    fn what_other_headings_hold_is_no_part_of_the_map() {
        let map = "## `y/src`\n|`other`|\n## `x/src`\n|`base`|\n|`cow/`|\n|`top`|\n## More\n|`strange`|\n# `z`\n|`z`|";
        assert_eq!(about(map), NOTHING);
    }

    #[test]
    fn what_the_map_misses_is_found() {
        let missing = |name: &str| vec![format!("`{name}` is in the sources and not in the map")];
        assert_eq!(about("## `x/src`\n|`base`|\n|`cow/`|"), missing("top"));
        assert_eq!(about("## `x/src`\n|`base`|\n|`top`|"), missing("cow/"));
        assert_eq!(about("## `x/src`\n|`base`|\n|`cow/`|\n|`cow/set`|\n|`cow/policy`|\n|`top`|"), missing("cow/deep/"));
        assert_eq!(about("no map").len(), 3);
    }

    #[test]
    fn what_the_sources_lack_is_found() {
        let found = about("## `x/src`\n|`base`|\n|`cow/`|\n|`cow/gone`|\n|`top`|");
        assert!(found.contains(&"`cow/gone` is in the map and not in the sources".into()), "{found:?}");
        let found = about("## `x/src`\n|`base/`|\n|`base`|\n|`cow/`|\n|`top`|");
        assert_eq!(found, ["`base/` is in the map and not in the sources"]);
    }

    #[test]
    fn another_order_and_a_second_mention_are_found() {
        let found = about("## `x/src`\n|`cow/`|\n|`base`|\n|`top`|");
        assert_eq!(found, ["`base` stands below `cow/` in the map and not in the sources"]);
        let found = about("## `x/src`\n|`base`|\n|`cow/`|\n|`cow/policy`|\n|`cow/set`|\n|`cow/deep/`|\n|`top`|");
        assert_eq!(found, ["`cow/set` stands below `cow/policy` in the map and not in the sources"]);
        let found = about("## `x/src`\n|`base`|\n|`base`|\n|`cow/`|\n|`top`|");
        assert_eq!(found, ["`base` stands below `base` in the map and not in the sources"]);
    }
}
