//! Data flows one way: a file uses only what stands above it.

use crate::tree::Tree;
use std::collections::BTreeMap;
use std::fmt;

/// A use of something that stands below: by which file, of which, and the first place where it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Upward {
    user: String,
    used: String,
    path: String,
    line: usize,
}

impl fmt::Display for Upward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.rs:{} uses `{}`, which stands below it in {}.rs", self.user, self.line, self.path, self.used)
    }
}

/// Returns every pair of files of which the first uses the second and stands above it. Where there
/// is none, neither files nor rooms form a circle, for somewhere a circle has to lead back up.
pub(crate) fn upward_uses(tree: &Tree) -> Vec<Upward> {
    let mut found = BTreeMap::new();
    for (user, path, files) in tree.uses() {
        let user = &tree.files[user];
        for used in files.into_iter().map(|file| &tree.files[file]).filter(|used| used.position > user.position) {
            found.entry((&user.name, &used.name)).or_insert_with(|| Upward {
                user: user.name.clone(),
                used: used.name.clone(),
                path: path.segments.join("::"),
                line: path.line,
            });
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Sources;

    /// Returns the pairs that `upward_uses` finds in a made-up crate.
    fn pairs(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Sources = files.iter().map(|&(name, text)| (name.into(), text.into())).collect();
        let tree = Tree::new(&sources).unwrap();
        upward_uses(&tree).into_iter().map(|upward| format!("{} -> {}", upward.user, upward.used)).collect()
    }

    #[test]
    fn uses_of_what_stands_above_are_fine() {
        let none: [&str; 0] = [];
        assert_eq!(
            pairs(&[
                ("lib", "mod base; mod leaf; mod room; pub use room::Thing;"),
                ("base", "pub struct Base; use std::fmt::Debug; use anyhow::anyhow;"),
                ("leaf", "use crate::base::Base;"),
                ("room/mod", "mod first; mod second; pub use first::Thing;"),
                ("room/first", "use crate::leaf; pub struct Thing;"),
                ("room/second", "use super::first::Thing; use super::first; fn f() -> first::Thing { crate::Thing }"),
            ]),
            none
        );
    }

    #[test]
    fn a_file_that_uses_one_below_is_found_with_its_line() {
        let sources = [("lib", "mod a; mod b;"), ("a", "\n\nuse crate::b::B;"), ("b", "pub struct B;")];
        let sources = sources.iter().map(|&(name, text)| (name.into(), text.into())).collect();
        let found = upward_uses(&Tree::new(&sources).unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "a.rs:3 uses `crate::b::B`, which stands below it in b.rs");
    }

    #[test]
    fn a_circle_of_files_is_found_in_either_order() {
        let (a, b) = (("a", "use super::b;"), ("b", "use super::a;"));
        assert_eq!(pairs(&[("lib", "mod a; mod b;"), a, b]), ["a -> b"]);
        assert_eq!(pairs(&[("lib", "mod b; mod a;"), a, b]), ["b -> a"]);
    }

    #[test]
    fn a_circle_of_rooms_is_found_although_none_of_files_exists() {
        let files = [
            ("lib", "mod a; mod b;"),
            ("a/mod", "mod low; mod high;"),
            ("a/low", "pub fn low() {}"),
            ("a/high", "use crate::b::only::only;"),
            ("b/mod", "pub mod only;"),
            ("b/only", "use crate::a::low::low; pub fn only() {}"),
        ];
        assert_eq!(pairs(&files), ["a/high -> b/only"]);
    }

    #[test]
    fn a_name_that_rooms_pass_on_counts_as_the_file_that_it_comes_from() {
        let store = ("store/mod", "mod handle; mod inner; pub use handle::Handle; pub use inner::*;");
        let files = [
            ("lib", "mod sys; mod store; pub use store::{Handle as Name, Inner};"),
            ("sys", "use crate::Name; use crate::store::Inner as Other;"),
            store,
            ("store/handle", "pub struct Handle; use crate::store::Inner;"),
            ("store/inner", "pub struct Inner; use super::Handle;"),
        ];
        assert_eq!(pairs(&files), ["store/handle -> store/inner", "sys -> store/handle", "sys -> store/inner"]);
    }

    #[test]
    fn what_a_room_defines_in_its_mod_stands_below_its_files() {
        let files = [
            ("lib", "mod cow; mod top;"),
            ("cow/mod", "mod inspect; pub struct Slot; mod private { pub const SIZE: u8 = 1; }"),
            ("cow/inspect", "use super::Slot;"),
            ("top", "use crate::cow::Slot; use crate::cow::private::SIZE;"),
        ];
        assert_eq!(pairs(&files), ["cow/inspect -> cow/mod"]);
        let files = [("lib", "mod a; fn helper() {}"), ("a", "fn f() { crate::helper() }")];
        assert_eq!(pairs(&files), ["a -> lib"]);
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        for text in [
            "fn f() { crate::b::f() }",
            "fn f() { use super::b::f; f() }",
            "fn f(x: Option<crate::b::B>) {}",
            "impl crate::b::Trait for u8 {}",
            "fn f() { println!(\"{}\", crate::b::f()) }",
            "macro_rules! m { () => { $crate::b::f() } }",
            "fn f(x: u8) { match x { crate::b::ONE => {} _ => {} } }",
            "mod inner { fn f() { super::super::b::f() } }",
            "use crate::b; fn f() {}",
            "use super::*; use super::{b::{self as other}};",
        ] {
            assert!(pairs(&[("lib", "mod a; mod b;"), ("a", text), ("b", "")]).contains(&"a -> b".into()), "{text}");
        }
    }

    #[test]
    fn a_module_brought_in_by_name_leads_to_what_is_read_through_it() {
        let files = [
            ("lib", "mod a; mod sys;"),
            ("a", "use crate::sys; fn f() { sys::mapping::map() }"),
            ("sys/mod", "pub mod mapping;"),
            ("sys/mapping", "pub fn map() {}"),
        ];
        assert_eq!(pairs(&files), ["a -> sys/mapping"]);
    }

    #[test]
    fn a_type_whose_functions_stand_in_several_files_is_followed_from_one_to_the_other() {
        let files = [
            ("lib", "mod state; mod meter; mod control;"),
            ("state", "pub struct State; impl State { fn new() -> Self { State } fn pop(&self) {} }"),
            ("meter", "use crate::state::State; impl State { fn m(&self) { self.pop(); self.jump(); self.other(); } }"),
            (
                "control",
                "use crate::state::State; impl State { fn jump(&self) { self.m(); Self::new(); } }
                struct Other; impl Other { fn other(&self) {} }",
            ),
        ];
        assert_eq!(pairs(&files), ["meter -> control"]);
    }

    #[test]
    fn tests_and_documentation_may_use_anything() {
        let text = "//! [`crate::b`]\n /// [b](crate::b::B)\n fn f() {} #[cfg(test)] use crate::b::B;
            #[cfg(test)] mod tests { use crate::b; } #[cfg(all(test, unix))] mod more; #[test] fn t() { crate::b::f() }";
        let none: [&str; 0] = [];
        assert_eq!(pairs(&[("lib", "mod a; mod b; #[cfg(doctest)] mod misuse;"), ("a", text), ("b", "")]), none);
        let not = "#[cfg(not(test))] use crate::b::B;";
        assert_eq!(pairs(&[("lib", "mod a; mod b;"), ("a", not), ("b", "")]), ["a -> b"]);
    }

    #[test]
    fn sources_that_cannot_be_followed_are_an_error() {
        let error = |files: &[(&str, &str)]| {
            Tree::new(&files.iter().map(|&(name, text)| (name.into(), text.into())).collect()).unwrap_err()
        };
        assert_eq!(error(&[("a", "")]), "no lib.rs or main.rs");
        assert_eq!(error(&[("lib", "mod a;")]), "`mod a` without a.rs");
        assert!(error(&[("lib", "fn fn")]).starts_with("lib.rs: "));
    }
}
