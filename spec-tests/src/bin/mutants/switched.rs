//! Puts many mutants into one program, each behind a switch: a variable of the environment says which of them is on.
//!
//! A line can be switched if it is a condition, a binding, a statement, an arm of a match or a value by itself:
//! `let a = b + c;` becomes `let a = if crate::mutant(7) { b - c } else { b + c };`. What the compiler then refuses is
//! left out.

use super::{Mutant, Options};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has the number of the mutant that is on, or 0.
pub(super) const VARIABLE: &str = "MINIRT_MUTANT";

/// What each crate gets.
const SWITCH: &str = "
#[allow(missing_docs)]
pub fn mutant(number: u32) -> bool {
    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    number == *ON.get_or_init(|| std::env::var(\"MINIRT_MUTANT\").map_or(0, |text| text.parse().unwrap()))
}
";

/// The crates.
const CRATES: [&str; 2] = ["compiler", "runtime"];

/// Changes the sources so that they hold as many of these mutants as are wanted, and returns those. The sources stay changed.
pub(super) fn build(options: &Options, mutants: Vec<Mutant>) -> std::io::Result<Vec<Mutant>> {
    let mut chosen: Vec<Mutant> = Vec::new();
    for mutant in mutants {
        let is_other = |other: &Mutant| (&other.file, other.line) != (&mutant.file, mutant.line);
        let in_test = mutant.file.file_name().is_some_and(|name| name == "inject.rs");
        if chosen.len() < options.count && !in_test && chosen.iter().all(is_other) && !lines(&mutant, 1).is_empty() {
            chosen.push(mutant);
        }
    }
    loop {
        let originals = write(&options.folder, &chosen)?;
        let refused = refused(&options.folder, &chosen)?;
        if refused.is_empty() {
            println!("{} places can be switched", chosen.len());
            return Ok(chosen);
        }
        for (path, text) in originals {
            fs::write(path, text)?;
        }
        println!("{} cannot", refused.len());
        let mut number = 0;
        chosen.retain(|_| {
            number += 1;
            !refused.contains(&(number - 1))
        });
    }
}

/// Writes the sources with switches, and returns what was there.
fn write(folder: &Path, mutants: &[Mutant]) -> std::io::Result<BTreeMap<PathBuf, String>> {
    let mut originals = BTreeMap::new();
    for path in CRATES.map(|name| folder.join(name).join("src/lib.rs")) {
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.clone() + SWITCH)?;
        originals.insert(path, text);
    }
    for (number, mutant) in (1..).zip(mutants) {
        let text = fs::read_to_string(&mutant.file)?;
        let switched: Vec<String> = (text.lines().enumerate())
            .map(|(at, line)| if at == mutant.line { lines(mutant, number) } else { line.to_owned() })
            .collect();
        fs::write(&mutant.file, switched.join("\n") + "\n")?;
        originals.entry(mutant.file.clone()).or_insert(text);
    }
    Ok(originals)
}

/// Returns the mutants that the compiler names in its errors.
fn refused(folder: &Path, mutants: &[Mutant]) -> std::io::Result<Vec<usize>> {
    let mut tests: Vec<&str> = mutants.iter().flat_map(|mutant| mutant.tests).copied().collect();
    tests.sort_unstable();
    tests.dedup();
    for words in tests {
        let words = words.split(" -- ").next().unwrap_or_default();
        let output = Command::new("cargo")
            .args(["test", "--all-features", "--no-run", "--color=never"])
            .args(words.split(' '))
            .current_dir(folder)
            .output()?;
        if output.status.success() {
            continue;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let names = |mutant: &Mutant, line: &str| {
            let file = mutant.file.strip_prefix(folder).unwrap_or(&mutant.file).display();
            said.contains(&format!("{file}:{line}"))
        };
        let is_named = |at: &usize| names(&mutants[*at], &format!("{}:", mutants[*at].line + 1));
        let mut refused: Vec<usize> = (0..mutants.len()).filter(is_named).collect();
        if refused.is_empty() {
            // An error may be told of another line of the file.
            refused = (0..mutants.len()).filter(|at| names(&mutants[*at], "")).collect();
        }
        assert!(!refused.is_empty(), "no mutant's fault: {said}");
        return Ok(refused);
    }
    Ok(Vec::new())
}

/// Returns the line with a switch, or nothing where there can be none.
fn lines(mutant: &Mutant, number: u32) -> String {
    let [was, becomes] = [&mutant.was, &mutant.becomes].map(|line| line.trim());
    let switch = |before: &str, behind: &str| {
        let part = |line: &str| Some(line.strip_prefix(before)?.strip_suffix(behind)?.to_owned());
        let (Some(was), Some(becomes)) = (part(was), part(becomes)) else { return String::new() };
        let fits = is_balanced(&was) && is_balanced(&becomes) && !was.is_empty() && was != becomes;
        let switch = format!("if crate::mutant({number}) {{ {becomes} }} else {{ {was} }}");
        if fits { format!("{before}{switch}{behind}") } else { String::new() }
    };
    for before in ["if ", "} else if ", "while "] {
        if was.starts_with(before) && was.ends_with(" {") && !was.contains("let ") {
            let switched = switch(before, " {");
            let condition = switched.strip_prefix(before).and_then(|it| it.strip_suffix(" {"));
            return condition.map_or_else(String::new, |condition| format!("{before}({condition}) {{"));
        }
    }
    if was.ends_with(';') {
        if let Some(at) = was.starts_with("let ").then(|| was.find(" = ")).flatten() {
            return switch(&was[..at + 3], ";");
        }
        if was.starts_with("return ") {
            return switch("return ", ";");
        }
        let begins = was.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
        let is_item =
            ["let ", "use ", "pub ", "const ", "static ", "break", "continue", "type ", "fn ", "struct ", "unsafe "];
        if !begins || !is_balanced(was) || is_item.iter().any(|word| was.starts_with(word)) {
            return String::new();
        }
        if becomes.is_empty() {
            return format!("if !crate::mutant({number}) {{ {was} }}");
        }
        return format!("if crate::mutant({number}) {{ {becomes} }} else {{ {was} }}");
    }
    if let Some(at) = was.ends_with(',').then(|| was.find(" => ")).flatten() {
        return switch(&was[..at + 4], ",");
    }
    // A value by itself.
    let begins = was.starts_with(|first: char| first.is_ascii_alphanumeric() || "(!*&".contains(first))
        && !was.starts_with("&&");
    let goes_on = ['{', '}', ',', '(', '[', '|', '&', '+', '=', ':'];
    if begins && !was.ends_with(goes_on) && !was.starts_with("let ") { switch("", "") } else { String::new() }
}

fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => open.push(letter),
            ')' | ']' | '}' if open.pop().is_none() => return false,
            _ => {}
        }
    }
    open.is_empty()
}
