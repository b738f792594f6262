//! The command line as its user sees it: `cases/*.txt` hold commands and what they print.
//!
//! A case is a line `$ [NAME=VALUE]... minirt ARGS [< FILE]`, run in this folder, and under it what
//! came of it: lines of standard output after `1> `, of standard error after `2> ` (`1~ ` and `2~ `
//! for a last line without its newline), and the exit code after `= `. `OUT` is a folder for what
//! the commands of one file write; it is empty at its start. Everything else is prose.
//! `MINIRT_BLESS=1` writes down what the commands do now, on x86-64: elsewhere machine code has
//! other sizes. A file whose name ends in `x86_64` is for that processor alone.

#![forbid(unsafe_code)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    let arguments = Arguments::from_args();
    let mut files: Vec<PathBuf> = fs::read_dir(here("cases"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    let of_x86 = |file: &PathBuf| file.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("x86_64"));
    files.retain(|file| cfg!(target_arch = "x86_64") || !of_x86(file));
    files.sort();
    assert!(!files.is_empty(), "there are no cases");
    let trials = files.into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

fn trial(file: PathBuf) -> Trial {
    let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
    Trial::test(name, move || {
        let expected = fs::read_to_string(&file)?;
        let out = tempfile::tempdir()?;
        let actual = replay(&expected, out.path())?;
        if std::env::var_os("MINIRT_BLESS").is_some() {
            fs::write(&file, actual)?;
        } else if let Some(difference) = difference(&expected, &actual) {
            return Err(format!("{}: {difference}\nMINIRT_BLESS=1 accepts it", file.display()).into());
        }
        Ok(())
    })
}

/// The same transcript with what its commands do now.
fn replay(transcript: &str, out: &Path) -> Result<String, Failed> {
    let mut actual = String::new();
    let mut commands = 0;
    for line in transcript.lines().filter(|line| !is_outcome(line)) {
        actual.push_str(line);
        actual.push('\n');
        if let Some(command) = line.strip_prefix("$ ") {
            actual.push_str(&outcome(command, out)?);
            commands += 1;
        }
    }
    if commands == 0 { Err("the file has no commands".into()) } else { Ok(actual) }
}

fn is_outcome(line: &str) -> bool {
    ["1> ", "1~ ", "2> ", "2~ ", "= "].iter().any(|prefix| line.starts_with(prefix)) || line == "1>" || line == "2>"
}

fn outcome(line: &str, out: &Path) -> Result<String, Failed> {
    let output = command(line, out)?.output()?;
    let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    let outcome = format!("{}{}= {code}\n", marked(1, &output.stdout), marked(2, &output.stderr));
    Ok(outcome.replace(&*out.to_string_lossy(), "OUT"))
}

fn command(line: &str, out: &Path) -> Result<Command, Failed> {
    let mut words = words(line)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_minirt"));
    command.current_dir(here("")).env_clear().stdin(Stdio::null());
    // Where an emulator finds the libraries of its processor (`.ci/arm`).
    let libraries = std::env::var_os("QEMU_LD_PREFIX");
    command.envs(libraries.map(|folder| ("QEMU_LD_PREFIX", folder)));
    let in_out = |word: &str| word.replace("OUT/", &format!("{}/", out.display()));
    while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
        command.env(name, in_out(value));
        words.remove(0);
    }
    if words.first().map(String::as_str) != Some("minirt") {
        return Err(format!("`{line}` does not run minirt").into());
    }
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        if word == "<" {
            let file = words.next().ok_or("a file is missing after `<`")?;
            let file = file.strip_prefix("OUT/").map_or_else(|| here(&file), |file| out.join(file));
            command.stdin(File::open(file)?);
        } else {
            command.arg(in_out(&word));
        }
    }
    Ok(command)
}

/// Words are separated by spaces, unless these stand between single quotes.
fn words(line: &str) -> Result<Vec<String>, Failed> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quoted { Err(format!("a quote is not closed: {line}").into()) } else { Ok(words) }
}

fn marked(stream: u8, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| match line.strip_suffix('\n') {
        Some("") => format!("{stream}>\n"),
        Some(line) => format!("{stream}> {line}\n"),
        None => format!("{stream}~ {line}\n"),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Returns whether two lines say how many bytes of machine code there are, where it is not that of
/// the processor on which the transcripts were written.
fn are_sizes_of_code(want: Option<&str>, got: Option<&str>) -> bool {
    let is_size = |line: Option<&str>| {
        let bytes = line.and_then(|line| line.strip_prefix("1>   machine code  "));
        bytes.is_some_and(|bytes| bytes.parse::<u64>().is_ok())
    };
    !cfg!(target_arch = "x86_64") && is_size(want) && is_size(got)
}

/// The first line that differs.
fn difference(expected: &str, actual: &str) -> Option<String> {
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (expected.next(), actual.next()) {
            (None, None) => return None,
            (want, got) if want == got || are_sizes_of_code(want, got) => {}
            (want, got) => {
                let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return Some(format!("line {number}\nexpected: {}\n     got: {}", show(want), show(got)));
            }
        }
    }
    unreachable!("files end")
}
