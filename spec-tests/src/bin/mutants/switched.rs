//! Puts many mutants into one program, each behind a switch: a variable of the environment says
//! which of them is on.
//!
//! A line can be switched if it is a condition, a binding, a statement, an arm of a match or a
//! value by itself: `let a = b + c;` becomes `let a = if crate::mutant(7) { b - c } else { b + c
//! };`. What the compiler then refuses is left out.

use super::{Fate, Mutant, Options, PATIENCE, parts, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Has the number of the mutant that is on, or 0.
const VARIABLE: &str = "MINIRT_MUTANT";

/// What each crate gets that has mutants.
const SWITCH: &str = "
#[allow(missing_docs)]
pub fn mutant(number: u32) -> bool {
    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    number == *ON.get_or_init(|| std::env::var(\"MINIRT_MUTANT\").map_or(0, |text| text.parse().unwrap()))
}
";

/// The crates.
const CRATES: [&str; 2] = ["compiler", "runtime"];

/// How long a test may take, where it takes `usual` without a mutant.
fn patience(usual: Duration) -> Duration {
    Duration::from_secs(20) + 4 * usual
}

/// The test programs with all mutants, by the words that build them.
pub(super) struct Programs {
    /// Where they are. They are large, so they go when this goes.
    copies: PathBuf,
    folder: PathBuf,
    packages: BTreeMap<Vec<&'static str>, &'static str>,
}

/// How long tests take without a mutant.
pub(super) type UsualTimes = BTreeMap<&'static str, Duration>;

impl Programs {
    /// Runs all tests of these mutants once, with none of them on.
    ///
    /// # Panics
    /// Panics if a test fails: then it would notice anything.
    pub(super) fn usual_times(&self, mutants: &[Mutant]) -> std::io::Result<UsualTimes> {
        let mut times = UsualTimes::new();
        for words in mutants.iter().flat_map(|mutant| mutant.tests).copied() {
            if !times.contains_key(words) {
                let start = Instant::now();
                let passed = run(&mut self.command(words, 0), PATIENCE)?;
                assert!(passed == Some(true), "without a mutant, `{words}` does not pass: {passed:?}");
                times.insert(words, start.elapsed());
                println!("{:?} for {words}", start.elapsed());
            }
        }
        Ok(times)
    }

    /// Runs a mutant's tests after each other, until one notices.
    pub(super) fn test(&self, mutant: &Mutant, number: u32, usual: &UsualTimes) -> std::io::Result<Fate> {
        for words in mutant.tests {
            match run(&mut self.command(words, number), patience(usual[words]))? {
                Some(true) => {}
                Some(false) => return Ok(Fate::Noticed),
                None => return Ok(Fate::Hangs),
            }
        }
        Ok(Fate::Survives)
    }

    /// Returns the command for some tests, while the mutant with this number is on.
    fn command(&self, words: &'static str, number: u32) -> Command {
        let (program, tests) = parts(words);
        let mut command = Command::new(self.copies.join(program.concat()));
        command.args(tests).current_dir(self.folder.join(self.packages[&program])).env(VARIABLE, number.to_string());
        command
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.copies); // Nobody needs them.
    }
}

/// Changes the sources so that they hold as many of these mutants as are wanted, and builds their
/// tests. Returns those mutants, and the programs. The sources are as before, then.
pub(super) fn build(options: &Options, mutants: Vec<Mutant>) -> std::io::Result<(Vec<Mutant>, Programs)> {
    let mut chosen: Vec<Mutant> = Vec::new();
    for mutant in mutants {
        let is_other = |other: &Mutant| (&other.file, other.line) != (&mutant.file, mutant.line);
        let counts = |other: &&Mutant| !options.each || other.subject == mutant.subject;
        let is_wanted = chosen.iter().filter(counts).count() < options.count;
        if is_wanted && chosen.iter().all(is_other) && !lines(&mutant, 1).is_empty() {
            chosen.push(mutant);
        }
    }
    loop {
        let copies = std::env::temp_dir().join(format!("mutants-{}", std::process::id()));
        fs::create_dir_all(&copies)?;
        let mut programs = Programs { copies, folder: options.folder.clone(), packages: BTreeMap::new() };
        let originals = write(&options.folder, &chosen)?;
        let refused = refused(&mut programs, &chosen);
        for (path, text) in originals {
            fs::write(path, text)?;
        }
        let refused = refused?;
        if refused.is_empty() {
            println!("{} places can be switched", chosen.len());
            return Ok((chosen, programs));
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
    for name in CRATES.iter().filter(|name| mutants.iter().any(|mutant| mutant.subject.starts_with(**name))) {
        let path = folder.join(name).join("src/lib.rs");
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

/// Builds and keeps the programs, or returns the mutants that the compiler names in its errors.
fn refused(programs: &mut Programs, mutants: &[Mutant]) -> std::io::Result<Vec<usize>> {
    for words in mutants.iter().flat_map(|mutant| mutant.tests) {
        let (program, _) = parts(words);
        if programs.packages.contains_key(&program) {
            continue;
        }
        let folder = &programs.folder;
        let output = Command::new("cargo")
            .args(["test", "--all-features", "--no-run", "--color=never", "--message-format=json-render-diagnostics"])
            .args(&program)
            .current_dir(folder)
            .output()?;
        if output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            let built = said.rsplit_once("\"executable\":\"").and_then(|(_, rest)| rest.split('"').next());
            fs::copy(built.expect("a program"), programs.copies.join(program.concat()))?;
            let packages =
                [("minirt-compiler", "compiler"), ("minirt", "runtime"), ("minirt-spec-tests", "spec-tests")];
            let package = packages.iter().find(|(name, _)| *name == program[1]).expect("a known package").1;
            programs.packages.insert(program, package);
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
