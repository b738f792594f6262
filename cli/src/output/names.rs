//! Signatures as one reads them, and names that are nearly right.

use minirt::{ExternType, FuncType, Module, ValType};

/// The most functions that a message lists.
const MOST: usize = 20;

/// `add(i32, i32) -> i32`
pub(crate) fn signature(name: &str, ty: &FuncType) -> String {
    let params = joined(ty.params());
    match ty.results() {
        [] => format!("{name}({params})"),
        [one] => format!("{name}({params}) -> {one}"),
        many => format!("{name}({params}) -> ({})", joined(many)),
    }
}

fn joined(types: &[ValType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The functions that a module exports.
pub(crate) fn functions(module: &Module) -> Vec<(String, FuncType)> {
    let function = |(name, ty): (String, ExternType)| match ty {
        ExternType::Func(ty) => Some((name, ty)),
        _ => None,
    };
    module.exports().map(|export| (export.name().to_owned(), export.ty())).filter_map(function).collect()
}

/// The signatures of functions, one a line, and not too many of them.
pub(crate) fn listed(functions: &[(String, FuncType)]) -> Vec<String> {
    let mut lines: Vec<String> = functions.iter().take(MOST).map(|(name, ty)| signature(name, ty)).collect();
    if functions.len() > MOST {
        lines.push(format!("and {} more", functions.len() - MOST));
    }
    lines
}

/// The name that was probably meant: few edits away from what was written.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let (edits, name) = names.map(|name| (distance(name), name)).min()?;
    let few = written.chars().count().max(name.chars().count()).div_ceil(3);
    (edits <= few).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{nearest, signature};
    use minirt::{FuncType, ValType};

    #[test]
    fn a_signature_reads_like_a_declaration() {
        let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::I64]);
        assert_eq!(signature("f", &ty), "f(i32, f64) -> i64");
        assert_eq!(signature("g", &FuncType::new([], [])), "g()");
        let ty = FuncType::new([], [ValType::I32, ValType::FUNCREF]);
        assert_eq!(signature("h", &ty), "h() -> (i32, funcref)");
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
}
