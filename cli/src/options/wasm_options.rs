//! Defines the options of `-W`: what a guest may use, and which features of WebAssembly.

use crate::output::names::nearest;
use crate::output::printable;
use minirt::{Config, StoreLimits, StoreLimitsBuilder};
use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

/// One option, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmOption {
    /// Units of work after which the guest traps.
    Fuel(u64),
    /// Time after which the guest is stopped.
    Timeout(Duration),
    /// Bytes that each memory may have.
    MaxMemorySize(usize),
    /// Bytes that the guest's structures and arrays may take.
    MaxGcHeapSize(usize),
    /// Elements that each table may have.
    MaxTableElements(usize),
    /// Bytes of stack that functions may use.
    MaxWasmStack(usize),
    /// Whether the guest is stopped when it cannot have more.
    TrapOnGrowFailure(bool),
    /// Whether modules may have several memories.
    MultiMemory(bool),
    /// Whether memories and tables may have 64-bit addresses.
    Memory64(bool),
    /// Whether there are typed function references.
    FunctionReferences(bool),
    /// Whether unknown imports are functions that stop the guest when it calls them.
    UnknownImportsTrap(bool),
    /// Whether unknown imports are zeros and nulls, and functions that return such.
    UnknownImportsDefault(bool),
    /// Whether there are exceptions.
    Exceptions(bool),
    /// Whether there are exceptions as they were before WebAssembly 3.0.
    LegacyExceptions(bool),
    /// Whether there are structures and arrays.
    Gc(bool),
}

/// An option: its name, the value that it takes, what it does, and how the value is read.
type Known = (&'static str, &'static str, &'static str, fn(&str) -> Result<WasmOption, String>);

const KNOWN: [Known; 15] = {
    use WasmOption as W;
    [
        ("fuel", "N", "trap after N units of work; about one for each instruction", |v| number(v).map(W::Fuel)),
        ("timeout", "TIME", "trap after a time, such as 500ms, 2s or 5m; compiling does not count", |v| {
            time(v).map(W::Timeout)
        }),
        ("max-memory-size", "N", "the most bytes of each memory", |v| size(v).map(W::MaxMemorySize)),
        ("max-gc-heap-size", "N", "the most bytes for structures and arrays; otherwise as each memory", |v| {
            size(v).map(W::MaxGcHeapSize)
        }),
        ("max-table-elements", "N", "the most elements of each table", |v| size(v).map(W::MaxTableElements)),
        ("max-wasm-stack", "N", "the most bytes of stack; otherwise 512 KiB", |v| size(v).map(W::MaxWasmStack)),
        ("trap-on-grow-failure", "y|n", "stop the guest when it cannot have more, instead of telling it", |v| {
            switch(v).map(W::TrapOnGrowFailure)
        }),
        ("multi-memory", "y|n", "several memories in a module; otherwise y", |v| switch(v).map(W::MultiMemory)),
        ("memory64", "y|n", "64-bit addresses; otherwise y", |v| switch(v).map(W::Memory64)),
        ("function-references", "y|n", "typed function references; otherwise y", |v| {
            switch(v).map(W::FunctionReferences)
        }),
        (
            "unknown-imports-trap",
            "y|n",
            "let unknown imports be functions that stop the guest when it calls them",
            |v| switch(v).map(W::UnknownImportsTrap),
        ),
        ("unknown-imports-default", "y|n", "let unknown imports be zeros, and functions that return zeros", |v| {
            switch(v).map(W::UnknownImportsDefault)
        }),
        ("exceptions", "y|n", "exceptions; otherwise y", |v| switch(v).map(W::Exceptions)),
        ("legacy-exceptions", "y|n", "exceptions as before WebAssembly 3.0; otherwise y", |v| {
            switch(v).map(W::LegacyExceptions)
        }),
        ("gc", "y|n", "structures and arrays; otherwise y", |v| switch(v).map(W::Gc)),
    ]
};

impl FromStr for WasmOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let Some((.., read)) = KNOWN.iter().find(|(known, ..)| *known == name) else { return Err(unknown(name)) };
        read(value).map_err(|because| format!("`{name}` {because}"))
    }
}

fn unknown(name: &str) -> String {
    let names = || KNOWN.iter().map(|(name, ..)| *name);
    let all = names().collect::<Vec<_>>().join(", ");
    let near = nearest(name, names());
    let name = printable::name(name);
    match near {
        Some(near) => format!("there is no option `{name}`; did you mean `{near}`? The options are {all}"),
        None => format!("there is no option `{name}`; the options are {all}"),
    }
}

/// Returns the options as `minirt run --help` shows them.
pub(crate) fn help() -> String {
    let mut text = "Options of -W, alone or with commas between:\n".to_owned();
    for (name, value, what, _) in KNOWN {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      {:<27} {what}", format!("{name}={value}"));
    }
    text
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "takes a whole number, as in 1000000".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "takes a whole number, as in 1000000".to_owned())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "" | "y" | "yes" | "true" => Ok(true),
        "n" | "no" | "false" => Ok(false),
        _ => Err("takes y or n".to_owned()),
    }
}

/// Reads a number and a unit. A number alone is seconds.
fn time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
    let time = seconds.zip(number.parse::<f64>().ok()).map(|(unit, number)| unit * number);
    let time = time.and_then(|time| Duration::try_from_secs_f64(time).ok());
    time.ok_or_else(|| "takes a time, as in 500ms, 2s or 5m".to_owned())
}

/// Returns the value of the last option of a kind, which counts where several are given.
fn last<T>(options: &[WasmOption], pick: impl Fn(&WasmOption) -> Option<T>) -> Option<T> {
    options.iter().rev().find_map(pick)
}

/// Returns the guest's fuel, if it is limited.
pub(crate) fn fuel(options: &[WasmOption]) -> Option<u64> {
    last(options, |option| if let WasmOption::Fuel(fuel) = option { Some(*fuel) } else { None })
}

/// Returns the guest's time, if it is limited.
pub(crate) fn timeout(options: &[WasmOption]) -> Option<Duration> {
    last(options, |option| if let WasmOption::Timeout(time) = option { Some(*time) } else { None })
}

/// Returns how many bytes of stack the guest's functions may use.
pub(crate) fn max_wasm_stack(options: &[WasmOption]) -> usize {
    let pick = |option: &WasmOption| if let WasmOption::MaxWasmStack(bytes) = option { Some(*bytes) } else { None };
    last(options, pick).unwrap_or(512 << 10)
}

/// Configures an engine as the options say.
pub(crate) fn configure(config: &mut Config, options: &[WasmOption]) {
    config.consume_fuel(fuel(options).is_some()).epoch_interruption(timeout(options).is_some());
    for option in options {
        match *option {
            WasmOption::MaxWasmStack(bytes) => config.max_wasm_stack(bytes),
            WasmOption::MultiMemory(enable) => config.wasm_multi_memory(enable),
            WasmOption::Memory64(enable) => config.wasm_memory64(enable),
            WasmOption::FunctionReferences(enable) => config.wasm_function_references(enable),
            WasmOption::Exceptions(enable) => config.wasm_exceptions(enable),
            WasmOption::LegacyExceptions(enable) => config.wasm_legacy_exceptions(enable),
            WasmOption::Gc(enable) => config.wasm_gc(enable),
            _ => continue,
        };
    }
}

/// Returns whether unknown imports are functions that stop the guest, as far as they are functions.
pub(crate) fn unknown_imports_trap(options: &[WasmOption]) -> bool {
    let pick = |option: &WasmOption| if let WasmOption::UnknownImportsTrap(on) = option { Some(*on) } else { None };
    last(options, pick) == Some(true)
}

/// Returns whether unknown imports are zeros and nulls. With [`unknown_imports_trap`], those that
/// are not functions.
pub(crate) fn unknown_imports_default(options: &[WasmOption]) -> bool {
    let pick = |option: &WasmOption| if let WasmOption::UnknownImportsDefault(on) = option { Some(*on) } else { None };
    last(options, pick) == Some(true)
}

/// Returns whether the user says what unknown imports are.
pub(crate) fn unknown_imports(options: &[WasmOption]) -> bool {
    unknown_imports_trap(options) || unknown_imports_default(options)
}

/// Returns the limits of a store, as the options say.
pub(crate) fn limits(options: &[WasmOption]) -> StoreLimits {
    let mut limits = StoreLimitsBuilder::new();
    for option in options {
        limits = match *option {
            WasmOption::MaxMemorySize(bytes) => limits.memory_size(bytes),
            WasmOption::MaxGcHeapSize(bytes) => limits.gc_heap_size(bytes),
            WasmOption::MaxTableElements(elements) => limits.table_elements(elements),
            WasmOption::TrapOnGrowFailure(trap) => limits.trap_on_grow_failure(trap),
            _ => limits,
        };
    }
    limits.build()
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, WasmOption, fuel};
    use std::time::Duration;

    #[test]
    fn the_readme_has_every_option_and_its_default() {
        let readme = include_str!("../../README.md");
        for (name, value, effect, _) in KNOWN {
            let row = format!("| `{name}={}` | ", value.replace('|', "\\|"));
            let said = readme.lines().find_map(|line| line.strip_prefix(&row));
            let said = said.unwrap_or_else(|| panic!("there is no row of {name}"));
            assert_eq!(said.contains("the default is y"), effect.ends_with("otherwise y"), "{name}: {said}");
            assert!(!said.contains("the default is n"), "{name}: {said}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, millis) in [("2s", 2000), ("500ms", 500), ("1.5s", 1500), ("2", 2000), ("1m", 60_000)] {
            assert_eq!(format!("timeout={text}").parse(), Ok(WasmOption::Timeout(Duration::from_millis(millis))));
        }
        for text in ["", "s", "2 weeks", "-1s", "nan", "inf", "1e300h"] {
            assert!(format!("timeout={text}").parse::<WasmOption>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_switch_without_a_value_is_on() {
        assert_eq!("memory64".parse(), Ok(WasmOption::Memory64(true)));
        assert_eq!("memory64=n".parse(), Ok(WasmOption::Memory64(false)));
        assert!("memory64=maybe".parse::<WasmOption>().is_err());
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!("fuel=18446744073709551615".parse(), Ok(WasmOption::Fuel(u64::MAX)));
        for text in ["fuel", "fuel=", "fuel=-1", "fuel=1.5", "max-memory-size=1M"] {
            assert!(text.parse::<WasmOption>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        assert_eq!(fuel(&[WasmOption::Fuel(1), WasmOption::Fuel(2)]), Some(2));
        assert_eq!(fuel(&[]), None);
    }
}
