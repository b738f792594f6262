//! Finds the names that were probably meant, for messages about names that nobody defines.
//!
//! Names and their number may be a guest's choice, so this takes a bounded time.

use minirt_compiler::Printable;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// How many names a message lists.
const LISTED: usize = 5;

/// How many names are compared on either side of where the wanted one would stand: those that begin
/// like it.
const COMPARED: usize = 1000;

/// How many characters of a name are compared.
const CHARACTERS: usize = 64;

/// Lists names for a message: those first that are spelt most like the wanted one, and only some of
/// many.
pub(super) fn list<V>(names: &BTreeMap<String, V>, wanted: &str) -> String {
    let before = names.range::<str, _>((Unbounded, Excluded(wanted))).rev().take(COMPARED);
    let behind = names.range::<str, _>((Included(wanted), Unbounded)).take(COMPARED);
    // Names that are equally near stand in their order.
    let near = (0_i32..).zip(behind).chain((1..).map(|at| -at).zip(before));
    let mut ranked: Vec<_> = near.map(|(at, (name, _))| (distance(name, wanted), at, name)).collect();
    ranked.sort_unstable_by_key(|(distance, at, _)| (*distance, *at));
    let shown: Vec<String> =
        ranked.iter().take(LISTED).map(|(_, _, name)| format!("`{}`", Printable::new(name))).collect();
    match names.len() - shown.len() {
        _ if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns how many edits turn one name into another (Levenshtein), as far as they are compared.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(CHARACTERS).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(CHARACTERS).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn names(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeMap<String, ()> {
        names.into_iter().map(|name| (name.into(), ())).collect()
    }

    #[test]
    fn similar_names_come_first() {
        let some = names(["fd_read", "fd_write", "path_open"]);
        assert_eq!(list(&some, "fd_wirte"), "`fd_write`, `fd_read`, `path_open`");
        assert_eq!(list(&names([""; 0]), "x"), "none");
        let many = names((0..100).map(|i| format!("f{i:02}")));
        assert_eq!(list(&many, "f50x"), "`f50`, `f00`, `f01`, `f02`, `f03` and 95 more");
    }

    #[test]
    fn many_long_names_take_no_longer_than_a_few() {
        let started = Instant::now();
        let long = "n".repeat(100_000);
        let some = names((0..1000).map(|i| format!("{long}{i}")));
        assert!(list(&some, &long).ends_with("and 995 more"));
        let many = names((0..200_000).map(|i| format!("{i:064}")));
        assert!(list(&many, "5").len() < 2000);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}
