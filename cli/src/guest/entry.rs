//! Which function to call, with what; and what to say if there is none.
//!
//! All of this is decided before anything of the guest runs.

use super::input::shown;
use crate::output::display;
use crate::output::names::{functions, listed, nearest, signature};
use crate::output::report::Report;
use minirt::{ExternType, FuncType, Module, Val};

/// The function that a command exports to be run.
const START: &str = "_start";
/// The function that a library exports to be run once, before any other.
const INITIALIZE: &str = "_initialize";

/// A call to make.
#[derive(Debug)]
pub(crate) struct Entry {
    /// A function to call before, without arguments.
    pub(crate) before: Option<&'static str>,
    /// The function to call.
    pub(crate) name: String,
    /// What to pass.
    pub(crate) arguments: Vec<Val>,
    /// How many results there will be.
    pub(crate) results: usize,
    /// Whether the results are to be printed.
    pub(crate) print: bool,
}

/// Decides what to call to get a module ready to be frozen: the function that `init` names.
pub(crate) fn initialiser(module: &Module, file: &str, init: &str) -> Result<Entry, Report> {
    let entry = choose(module, file, Some(init), &[])?;
    if entry.results == 0 {
        return Ok(entry);
    }
    let because = format!("it has {} results, and an initialiser returns nothing", entry.results);
    Err(Report::new(format!("`{init}` of {} is no initialiser", shown(file)), because, "name another with --init"))
}

/// Decides what to call in `module`: the function that `invoke` names, or `_start`.
pub(crate) fn choose(module: &Module, file: &str, invoke: Option<&str>, words: &[String]) -> Result<Entry, Report> {
    let Some(name) = invoke else { return start(module, file) };
    let ty = match module.get_export(name) {
        Some(ExternType::Func(ty)) => ty,
        other => return Err(no_function(module, file, name, other.as_ref())),
    };
    let arguments = arguments(file, name, &ty, words)?;
    // A snapshot has been initialised.
    let before =
        !module.is_snapshot() && matches!(module.get_export(INITIALIZE), Some(ExternType::Func(ty)) if is_plain(&ty));
    Ok(Entry {
        before: (before && name != INITIALIZE).then_some(INITIALIZE),
        name: name.to_owned(),
        arguments,
        results: ty.results().len(),
        print: true,
    })
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().is_empty() && ty.results().is_empty()
}

fn start(module: &Module, file: &str) -> Result<Entry, Report> {
    match module.get_export(START) {
        Some(ExternType::Func(ty)) if is_plain(&ty) => {
            Ok(Entry { before: None, name: START.to_owned(), arguments: Vec::new(), results: 0, print: false })
        }
        Some(ExternType::Func(ty)) => {
            let what = format!("{} cannot be started", shown(file));
            let because =
                format!("its function is {}, and a command's takes and returns nothing", signature(START, &ty));
            Err(Report::new(what, because, format!("call it as in: {}", example(file, START, &ty))))
        }
        other => Err(no_function(module, file, START, other.as_ref())),
    }
}

fn no_function(module: &Module, file: &str, name: &str, other: Option<&ExternType>) -> Report {
    let what = format!("{} has no function `{name}`", shown(file));
    let functions = functions(module);
    let because = match other {
        Some(ty) => format!("its export of that name is {}", kind(ty)),
        None if functions.is_empty() => "it exports no functions at all".to_owned(),
        None if name == START => "it is no command but a library of these functions:".to_owned(),
        None => "it exports only these functions:".to_owned(),
    };
    let details = if other.is_none() { listed(&functions) } else { Vec::new() };
    Report::new(what, because, call_instead(file, name, &functions)).with_details(details)
}

fn call_instead(file: &str, name: &str, functions: &[(String, FuncType)]) -> String {
    if let Some(near) = nearest(name, functions.iter().map(|(name, _)| name.as_str())) {
        return format!("did you mean `{near}`?");
    }
    // Names with an underscore first are for toolchains.
    match functions.iter().find(|(name, _)| !name.starts_with('_')).or(functions.first()) {
        Some((name, ty)) => format!("call one of its functions, as in: {}", example(file, name, ty)),
        None => "export a function that can be called".to_owned(),
    }
}

fn kind(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "a function",
        ExternType::Table(_) => "a table",
        ExternType::Memory(_) => "a memory",
        ExternType::Global(_) => "a global",
    }
}

fn arguments(file: &str, name: &str, ty: &FuncType, words: &[String]) -> Result<Vec<Val>, Report> {
    let params = ty.params();
    if params.len() != words.len() {
        let (takes, given) = (count(params.len()), words.len());
        let what = format!("`{name}` takes {takes}, but got {given}");
        let because = format!("its signature is {}", signature(name, ty));
        return Err(Report::new(what, because, format!("call it as in: {}", example(file, name, ty))));
    }
    let mut arguments = Vec::with_capacity(words.len());
    for (word, param) in words.iter().zip(params) {
        let value = display::parse(word, *param).map_err(|because| {
            let what = format!("`{word}` cannot be argument {} of `{name}`", arguments.len() + 1);
            Report::new(what, because, format!("its signature is {}", signature(name, ty)))
        })?;
        arguments.push(value);
    }
    Ok(arguments)
}

fn count(number: usize) -> String {
    match number {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        many => format!("{many} arguments"),
    }
}

/// The command that calls a function.
fn example(file: &str, name: &str, ty: &FuncType) -> String {
    let placeholders: String = ty.params().iter().map(|ty| format!(" <{ty}>")).collect();
    format!("minirt run --invoke {name} {file}{placeholders}")
}
