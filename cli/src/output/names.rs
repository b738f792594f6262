//! Signatures as one reads them, and names that are nearly right.

use super::printable;
use minirt::{ExternType, FuncType, Module, ValType};

/// The most functions that a message lists.
const MOST: usize = 20;
/// The most types of parameters or results that a signature shows.
const MOST_TYPES: usize = 16;

/// The most bytes of names that are compared with each other to find a similar one. The time for a
/// pair of names is the product of their lengths.
const LONGEST: usize = 100;
/// The most names that are compared. A module can export a million.
const CANDIDATES: usize = 10_000;

/// Returns a signature as a declaration, safe to print: `add(i32, i32) -> i32`.
pub(crate) fn signature(name: &str, ty: &FuncType, module: Option<&Module>) -> String {
    let (name, params) = (printable::name(name), joined(ty.params(), module));
    match ty.results() {
        [] => format!("{name}({params})"),
        [one] => format!("{name}({params}) -> {}", type_name(one, module)),
        many => format!("{name}({params}) -> ({})", joined(many, module)),
    }
}

/// Returns a type as it is printed, with the names that the module has for types.
pub(crate) fn type_name(ty: &ValType, module: Option<&Module>) -> String {
    module.map_or_else(|| ty.to_string(), |module| module.display_type(ty))
}

fn joined(types: &[ValType], module: Option<&Module>) -> String {
    let shown = types.iter().take(MOST_TYPES).map(|ty| type_name(ty, module)).collect::<Vec<_>>().join(", ");
    match types.len().saturating_sub(MOST_TYPES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the functions that a module exports.
pub(crate) fn functions(module: &Module) -> Vec<(String, FuncType)> {
    let function = |(name, ty): (String, ExternType)| match ty {
        ExternType::Func(ty) => Some((name, ty)),
        _ => None,
    };
    module.exports().map(|export| (export.name().to_owned(), export.ty())).filter_map(function).collect()
}

/// Returns the signatures of functions, one a line, and not too many of them.
pub(crate) fn listed(functions: &[(String, FuncType)], module: &Module) -> Vec<String> {
    let line = |(name, ty): &(String, FuncType)| signature(name, ty, Some(module));
    let mut lines: Vec<String> = functions.iter().take(MOST).map(line).collect();
    if functions.len() > MOST {
        lines.push(format!("and {} more", functions.len() - MOST));
    }
    lines
}

/// Returns the name that was probably meant: the one with the fewest edits, if these are few. Long
/// names are not compared, nor are more than the first ten thousand.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST {
        return None;
    }
    let lower = written.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&lower, &name.to_lowercase());
    let short = names.take(CANDIDATES).filter(|name| name.len() <= LONGEST);
    let (edits, name) = short.map(|name| (distance(name), name)).min()?;
    let few = written.chars().count().max(name.chars().count()).div_ceil(3);
    (edits <= few).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, nearest, signature};
    use minirt::{FuncType, ValType};
    use rustix::time::{ClockId, clock_gettime};
    use std::time::Duration;

    #[test]
    fn a_signature_reads_like_a_declaration() {
        let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::I64]);
        assert_eq!(signature("f", &ty, None), "f(i32, f64) -> i64");
        assert_eq!(signature("g", &FuncType::new([], []), None), "g()");
        let ty = FuncType::new([], [ValType::I32, ValType::FUNCREF]);
        assert_eq!(signature("h", &ty, None), "h() -> (i32, funcref)");
    }

    #[test]
    fn only_names_that_are_near_are_suggested() {
        let names = || ["fibonacci", "factorial", "add"].into_iter();
        assert_eq!(nearest("fibonaci", names()), Some("fibonacci"));
        assert_eq!(nearest("Add", names()), Some("add"));
        assert_eq!(nearest("adn", names()), Some("add"));
        assert_eq!(nearest("multiply", names()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }

    #[test]
    fn a_signature_is_one_short_line() {
        let ty = FuncType::new(vec![ValType::I32; 1000], vec![ValType::I64; 1000]);
        let shown = signature("f\n\x1b[2Jg", &ty, None);
        assert!(shown.starts_with("f\\n\\u{1b}[2Jg(i32, ") && shown.contains("i32 and 984 more) -> (i64"), "{shown}");
        assert!(signature(&"x".repeat(1 << 20), &ty, None).len() < 500);
    }

    #[test]
    fn the_search_for_a_similar_name_is_bounded() {
        let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let begin = used();
        let long: Vec<String> = (0..1000).map(|i| format!("{i}{}", "x".repeat(100_000))).collect();
        let names = || long.iter().map(String::as_str);
        assert_eq!(nearest(&"x".repeat(100_000), names()), None);
        assert_eq!(nearest("fibonaci", names().chain(["fibonacci"])), Some("fibonacci"));
        let many: Vec<String> = (0..100_000).map(|i| format!("{i:0100}")).collect();
        assert_eq!(nearest(&"x".repeat(LONGEST), many.iter().map(String::as_str)), None);
        // A single pair of the long names takes a minute.
        let used = used() - begin;
        assert!(used < Duration::from_secs(20), "{used:?}");
    }
}
