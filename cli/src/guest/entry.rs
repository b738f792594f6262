//! Decides which functions to call, with which arguments, and explains why there are none.
//!
//! All of this is decided before anything of the guest runs.

use super::input::shown;
use crate::output::display;
use crate::output::names::{functions, listed, nearest, signature, type_name};
use crate::output::printable;
use crate::output::report::Report;
use minirt::{ExternType, FuncType, Module, Val};
use std::ffi::OsString;
use std::path::Path;

/// The function that a command exports to be run.
const START: &str = "_start";
/// The function that a reactor exports to be run once, before any other.
const INITIALIZE: &str = "_initialize";

/// The calls to make in an instance.
#[derive(Debug)]
pub(crate) struct Entry {
    /// A function to call first, without arguments.
    pub(crate) initialize: Option<&'static str>,
    /// The main call. A reactor that only gets ready has none.
    pub(crate) call: Option<Call>,
}

/// A call: its function, arguments and results.
#[derive(Debug)]
pub(crate) struct Call {
    /// The function.
    pub(crate) name: String,
    /// The arguments.
    pub(crate) arguments: Vec<Val>,
    /// How many results there will be.
    pub(crate) results: usize,
    /// Whether the results are to be printed.
    pub(crate) print: bool,
}

/// Decides what to call to get a module ready to be frozen: the function that `init` names.
///
/// # Errors
/// Returns an error if it is not exported, or takes or returns something.
pub(crate) fn initializer(module: &Module, file: &Path, init: &str) -> Result<Entry, Report> {
    let entry = choose(module, file, Some(init), &[])?;
    match entry.call.as_ref().map_or(0, |call| call.results) {
        0 => Ok(entry),
        results => {
            let what = format!("`{}` of {} is not an initialiser", printable::name(init), shown(file));
            let because = format!("it has {results} results, and an initialiser returns nothing");
            Err(Report::new(what, because, "name another with --init"))
        }
    }
}

/// Decides what to call in `module`: the function that `invoke` names, or `_start`, or in a reactor
/// only `_initialize`.
///
/// # Errors
/// Returns an error if there is no such function, or the words cannot be its arguments.
pub(crate) fn choose(module: &Module, file: &Path, invoke: Option<&str>, words: &[OsString]) -> Result<Entry, Report> {
    let Some(name) = invoke else { return start(module, file) };
    let ty = match module.get_export(name) {
        Some(ExternType::Func(ty)) => ty,
        other => return Err(no_function(module, file, name, other.as_ref())),
    };
    let arguments = arguments(module, file, name, &ty, words)?;
    let call = Call { name: name.to_owned(), arguments, results: ty.results().len(), print: true };
    // A user who names it wants one call, not two.
    let initialize = if name == INITIALIZE { None } else { initialize(module) };
    Ok(Entry { initialize, call: Some(call) })
}

/// Returns the function that a reactor wants to be called before all others.
pub(crate) fn initialize(module: &Module) -> Option<&'static str> {
    // A snapshot has been initialised.
    let asks = !module.is_snapshot() && is_plain_function(module, INITIALIZE);
    asks.then_some(INITIALIZE)
}

fn is_plain_function(module: &Module, name: &str) -> bool {
    matches!(module.get_export(name), Some(ExternType::Func(ty)) if is_plain(&ty))
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().is_empty() && ty.results().is_empty()
}

fn start(module: &Module, file: &Path) -> Result<Entry, Report> {
    match module.get_export(START) {
        Some(ExternType::Func(ty)) if is_plain(&ty) => {
            let call = Call { name: START.to_owned(), arguments: Vec::new(), results: 0, print: false };
            Ok(Entry { initialize: None, call: Some(call) })
        }
        Some(ExternType::Func(ty)) => {
            let what = format!("{} cannot be started", shown(file));
            let because = format!(
                "its function is {}, and a command's takes and returns nothing",
                signature(START, &ty, Some(module))
            );
            Err(Report::new(what, because, format!("call it as in: {}", example(file, START, &ty, module))))
        }
        None if is_plain_function(module, INITIALIZE) => Ok(Entry { initialize: initialize(module), call: None }),
        other => Err(no_function(module, file, START, other.as_ref())),
    }
}

fn no_function(module: &Module, file: &Path, name: &str, other: Option<&ExternType>) -> Report {
    let what = format!("{} has no function `{}`", shown(file), printable::name(name));
    let functions = functions(module);
    let because = match other {
        Some(ty) => format!("its export of that name is {}", kind(ty)),
        None if functions.is_empty() => "it exports no functions at all".to_owned(),
        None if name == START => "it is not a command but a library of these functions:".to_owned(),
        None => "it exports only these functions:".to_owned(),
    };
    let details = if other.is_none() { listed(&functions, module) } else { Vec::new() };
    Report::new(what, because, call_instead(file, name, &functions, module)).with_details(details)
}

fn call_instead(file: &Path, name: &str, functions: &[(String, FuncType)], module: &Module) -> String {
    if let Some(near) = nearest(name, functions.iter().map(|(name, _)| name.as_str())) {
        return format!("did you mean `{}`?", printable::name(near));
    }
    // Names with an underscore first are for toolchains.
    match functions.iter().find(|(name, _)| !name.starts_with('_')).or(functions.first()) {
        Some((name, ty)) => format!("call one of its functions, as in: {}", example(file, name, ty, module)),
        None => "export a function that can be called".to_owned(),
    }
}

fn kind(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "a function",
        ExternType::Table(_) => "a table",
        ExternType::Memory(_) => "a memory",
        ExternType::Global(_) => "a global",
        ExternType::Tag(_) => "a tag",
    }
}

/// Returns the arguments that words of the command line stand for. A function that takes none
/// leaves them to the guest, which gets them all in any case.
fn arguments(module: &Module, file: &Path, name: &str, ty: &FuncType, words: &[OsString]) -> Result<Vec<Val>, Report> {
    let params = ty.params();
    let because = || format!("its signature is {}", signature(name, ty, Some(module)));
    if !params.is_empty() && params.len() != words.len() {
        let (takes, given) = (count(params.len()), words.len());
        let what = format!("`{}` takes {takes}, but got {given}", printable::name(name));
        return Err(Report::new(what, because(), format!("call it as in: {}", example(file, name, ty, module))));
    }
    let mut arguments = Vec::with_capacity(params.len());
    for (word, param) in words.iter().zip(params) {
        // Words that are not UTF-8 are no values of any type.
        let value = display::parse(&word.to_string_lossy(), *param).map_err(|reason| {
            let (word, name) = (printable::path(word), printable::name(name));
            let what = format!("`{word}` cannot be argument {} of `{name}`", arguments.len() + 1);
            Report::new(what, reason, because())
        })?;
        arguments.push(value);
    }
    Ok(arguments)
}

fn count(number: usize) -> String {
    match number {
        1 => "1 argument".to_owned(),
        many => format!("{many} arguments"),
    }
}

/// Returns the command that calls a function.
fn example(file: &Path, name: &str, ty: &FuncType, module: &Module) -> String {
    const MOST: usize = 16;
    let (name, file) = (printable::word(&printable::name(name)), printable::word(&printable::path(file)));
    let placeholders: String =
        ty.params().iter().take(MOST).map(|ty| format!(" <{}>", type_name(ty, Some(module)))).collect();
    let more = if ty.params().len() > MOST { " ..." } else { "" };
    format!("minirt run --invoke {name} {file}{placeholders}{more}")
}
