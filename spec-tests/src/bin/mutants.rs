//! Changes the sources a little, one place at a time, and sees whether the tests notice.
//!
//! ```text
//! cargo run -p minirt-spec-tests --bin mutants -- --count 40 --seed 22 [--together] [--folder COPY] [--only TEXT] [--each]
//! ```
//!
//! `--together` puts all of them into one program, behind switches, and builds it once. That takes
//! a fraction of the time, and leaves out the places where a line cannot be switched. It runs the
//! tests with no mutant first: they have to pass, and say how long they take.
//!
//! `--only` takes files with one of these texts in their names, which commas separate. `--each`
//! counts the places of each line of the list below by itself.
//!
//! The places are drawn by lot from the files on which the sandbox depends. The copy is a worktree
//! of its own (`git worktree add COPY`), because the files change while this runs. A mutant that no
//! test notices *survives*: it becomes a test, or it is explained in SECURITY.md.

#[path = "mutants/switched.rs"]
mod switched;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files and folders that are changed (a file belongs to the first that names it), each with the
/// tests that should notice: words for `cargo test`, the fastest first. Golden code is left out: it
/// notices everything, and a reader has to say whether the change is one for the worse.
const SUBJECTS: [(&str, &[&str]); 27] = [
    (
        "runtime/src/cow",
        &[
            "-p minirt --lib cow -- --skip swaps",
            "-p minirt --test lifecycle reset",
            "-p minirt --test process image_files",
            "-p minirt --test tenants",
            "-p minirt --lib swaps",
        ],
    ),
    (
        "runtime/src/sys/arch/x86_64.rs",
        &["-p minirt --lib sys", "-p minirt --test calls", "-p minirt --test language traps"],
    ),
    (
        "runtime/src/sys/callers.rs",
        &["-p minirt --lib sys", "-p minirt --test calls", "-p minirt --test lifecycle page_map"],
    ),
    ("runtime/src/sys/descriptor.rs", &FILES),
    ("runtime/src/sys/fork.rs", &["-p minirt --lib sys", "-p minirt --test process forks", "-p minirt --test process"]),
    (
        "runtime/src/sys/limits.rs",
        &["-p minirt --lib sys", "-p minirt --lib cow -- --skip swaps", "-p minirt --test process"],
    ),
    (
        "runtime/src/sys/mapping.rs",
        &["-p minirt --lib sys", "-p minirt --lib cow -- --skip swaps", "-p minirt --test process"],
    ),
    ("runtime/src/sys/memfd.rs", &FILES),
    (
        "runtime/src/sys/pagemap.rs",
        &["-p minirt --lib sys", "-p minirt --lib cow -- --skip swaps", "-p minirt --test process"],
    ),
    ("runtime/src/sys/proc_file.rs", &FILES),
    (
        "runtime/src/sys/signal.rs",
        &[
            "-p minirt --lib sys",
            "-p minirt --test calls",
            "-p minirt --test process signals",
            "-p minirt --test process",
        ],
    ),
    (
        "runtime/src/sys/stack.rs",
        &["-p minirt --lib sys", "-p minirt --test calls", "-p minirt --test limits stack", "-p minirt --test process"],
    ),
    ("runtime/src/sys/thread.rs", &["-p minirt --lib sys", "-p minirt --test calls", "-p minirt --test process"]),
    ("runtime/src/code", &["-p minirt --lib code", "-p minirt --test calls", "-p minirt --test api"]),
    (
        "runtime/src/pool",
        &[
            "-p minirt --lib pool",
            "-p minirt --test tenants isolation",
            "-p minirt --test limits",
            "-p minirt --test endurance leaks",
            "-p minirt --test process",
            "-p minirt --test lifecycle",
        ],
    ),
    (
        "runtime/src/call/fault.rs",
        &[
            "-p minirt --lib call",
            "-p minirt --test calls",
            "-p minirt --test language traps",
            "-p minirt --test language",
        ],
    ),
    ("runtime/src/ops", &["-p minirt --test language", "-p minirt --test limits", "-p minirt-spec-tests --test suite"]),
    ("runtime/src/store/fuel.rs", &["-p minirt --lib store", "-p minirt --test limits"]),
    ("runtime/src/wasi/transfer.rs", &TRANSFERS),
    ("runtime/src/wasi/host_io.rs", &TRANSFERS),
    ("runtime/src/wasi/io.rs", &TRANSFERS),
    ("runtime/src/wasi/guest.rs", &TRANSFERS),
    ("runtime/src/wasi", &["-p minirt --lib wasi", "-p minirt --test wasi"]),
    ("compiler/src/codegen/translate/memory.rs", &TRANSLATION),
    ("compiler/src/codegen/translate/table.rs", &TRANSLATION),
    ("compiler/src/codegen/translate/bulk.rs", &TRANSLATION),
    (
        "compiler/src/codegen/translate/meter.rs",
        &["-p minirt-compiler --lib -- --skip golden", "-p minirt --test limits"],
    ),
];

/// The tests that should notice a change of how images' files are made and found.
const FILES: [&str; 4] = [
    "-p minirt --lib sys",
    "-p minirt --test process image_files",
    "-p minirt --test process",
    "-p minirt --test lifecycle artifact",
];

/// The tests that should notice a change of how WASI moves bytes.
const TRANSFERS: [&str; 4] = [
    "-p minirt --lib wasi",
    "-p minirt --test wasi streams",
    "-p minirt --test wasi host_limits",
    "-p minirt --test wasi -- --skip escape",
];

/// The tests that should notice a change of translation.
const TRANSLATION: [&str; 4] = [
    "-p minirt-compiler --lib -- --skip golden",
    "-p minirt --test language",
    "-p minirt --test tenants neighbours",
    "-p minirt-spec-tests --test suite",
];

/// The replacements. A line with several of them is several places.
const CHANGES: [(&str, &str); 27] = [
    (" < ", " <= "),
    (" <= ", " < "),
    (" > ", " >= "),
    (" >= ", " > "),
    (" == ", " != "),
    (" != ", " == "),
    (" + ", " - "),
    (" - ", " + "),
    (" += ", " -= "),
    (" -= ", " += "),
    (" * ", " + "),
    (" && ", " || "),
    (" || ", " && "),
    (" & ", " | "),
    ("if !", "if "),
    ("true", "false"),
    ("false", "true"),
    (".min(", ".max("),
    (".max(", ".min("),
    (".is_some()", ".is_none()"),
    (".is_none()", ".is_some()"),
    (".is_ok()", ".is_err()"),
    (".is_err()", ".is_ok()"),
    (".start", ".end"),
    (".end", ".start"),
    ("UnsignedGreaterThan", "UnsignedGreaterThanOrEqual"),
    (".next_multiple_of(PAGE)", ""),
];

/// A build that takes longer hangs, and so does a test run if it is not known how long it takes
/// otherwise.
const PATIENCE: Duration = Duration::from_secs(300);

struct Options {
    count: usize,
    seed: u64,
    folder: PathBuf,
    only: String,
    together: bool,
    each: bool,
}

/// One place in one file, and what stands there instead.
#[derive(Clone)]
struct Mutant {
    file: PathBuf,
    /// The file or folder of the list that it is in.
    subject: &'static str,
    tests: &'static [&'static str],
    line: usize,
    was: String,
    becomes: String,
}

/// The fate of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is no program.
    Invalid,
    Noticed,
    Hangs,
    Survives,
}

fn main() -> std::io::Result<()> {
    let options = options();
    let mut mutants = Vec::new();
    for (subject, tests) in SUBJECTS {
        collect(&options.folder.join(subject), subject, tests, &mut mutants)?;
    }
    mutants.retain(|mutant| options.only.split(',').any(|text| mutant.file.to_string_lossy().contains(text)));
    let places = mutants.len();
    shuffle(&mut mutants, options.seed);
    let mut fates = Vec::new();
    if options.together {
        let (mutants, programs) = switched::build(&options, mutants)?;
        let usual = programs.usual_times(&mutants)?;
        for (number, mutant) in (1..).zip(&mutants) {
            fates.push(tell(mutant, programs.test(mutant, number, &usual)?));
        }
    } else {
        for mutant in &mutants {
            if fates.iter().filter(|fate| **fate != Fate::Invalid).count() == options.count {
                break;
            }
            fates.push(tell(mutant, try_one(&options.folder, mutant)?));
        }
    }
    let count = |fate| fates.iter().filter(|it| **it == fate).count();
    println!(
        "{places} places, seed {}: {} noticed, {} hang, {} survive; {} were no programs",
        options.seed,
        count(Fate::Noticed),
        count(Fate::Hangs),
        count(Fate::Survives),
        count(Fate::Invalid)
    );
    Ok(())
}

fn tell(mutant: &Mutant, fate: Fate) -> Fate {
    println!("{fate:?}: {}:{}", mutant.file.display(), mutant.line + 1);
    if fate == Fate::Survives {
        println!("  - {}\n  + {}", mutant.was.trim(), mutant.becomes.trim());
    }
    fate
}

fn options() -> Options {
    let (folder, only) = (PathBuf::from("."), String::new());
    let mut options = Options { count: 20, seed: 1, folder, only, together: false, each: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--together" => options.together = true,
            "--each" => options.each = true,
            _ => {}
        }
        if matches!(word.as_str(), "--together" | "--each") {
            continue;
        }
        let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{word} needs a number"));
        match word.as_str() {
            "--count" => options.count = number() as usize,
            "--seed" => options.seed = number(),
            "--folder" => options.folder = value.into(),
            "--only" => options.only = value,
            _ => panic!("no such option: {word}"),
        }
    }
    options
}

/// Collects all places of a file, or of all files in a folder.
fn collect(
    path: &Path,
    subject: &'static str,
    tests: &'static [&'static str],
    mutants: &mut Vec<Mutant>,
) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, subject, tests, mutants));
    }
    let name = path.file_name().unwrap_or_default();
    // They make calls fail in tests, or are for another processor.
    let is_elsewhere = name == "inject.rs" || name == "aarch64.rs";
    let is_test = name == "tests.rs" || path.to_string_lossy().contains("/tests/");
    let is_known = mutants.iter().any(|mutant| mutant.file == path);
    if path.extension().is_none_or(|it| it != "rs") || is_elsewhere || is_test || is_known {
        return Ok(());
    }
    let text = fs::read_to_string(path)?;
    for (line, was) in text.lines().enumerate() {
        let code = was.trim_start();
        if code == "mod tests {" {
            break; // Tests come last in every file.
        }
        let no_code = ["//", "#", "assert", "debug_assert", "const _", "use ", "println", "inject::"];
        if no_code.iter().any(|start| code.starts_with(start)) {
            continue;
        }
        let code_end = was.find(" // ").unwrap_or(was.len());
        for (from, to) in CHANGES {
            for (at, _) in was[..code_end].match_indices(from) {
                let becomes = format!("{}{to}{}", &was[..at], &was[at + from.len()..]);
                mutants.push(Mutant { file: path.to_owned(), subject, tests, line, was: was.to_owned(), becomes });
            }
        }
        // A statement that is a call, left out.
        let is_call = code.ends_with(");") || code.ends_with(")?;");
        let is_statement =
            !["let ", "return", "match ", "if ", "Ok(", "Err(", "}", "."].iter().any(|start| code.starts_with(start));
        if is_call && is_statement && code.matches('(').count() == code.matches(')').count() {
            mutants.push(Mutant {
                file: path.to_owned(),
                subject,
                tests,
                line,
                was: was.to_owned(),
                becomes: String::new(),
            });
        }
    }
    Ok(())
}

/// Puts mutants in an order that only the seed decides (Fisher and Yates, with SplitMix64).
fn shuffle(mutants: &mut [Mutant], seed: u64) {
    let mut state = seed;
    for last in (1..mutants.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mutants.swap(last, ((mixed ^ (mixed >> 31)) % (last as u64 + 1)) as usize);
    }
}

fn try_one(folder: &Path, mutant: &Mutant) -> std::io::Result<Fate> {
    let text = fs::read_to_string(&mutant.file)?;
    let lines: Vec<&str> =
        text.lines().enumerate().map(|(line, was)| if line == mutant.line { &mutant.becomes } else { was }).collect();
    fs::write(&mutant.file, lines.join("\n") + "\n")?;
    let fate = test(folder, mutant.tests);
    fs::write(&mutant.file, text)?;
    fate
}

/// Runs some tests after the others, until one notices.
fn test(folder: &Path, tests: &[&str]) -> std::io::Result<Fate> {
    for words in tests {
        let cargo = |words: &[&str]| {
            let mut command = Command::new("cargo");
            command.args(["test", "--all-features"]).args(words).current_dir(folder);
            run(&mut command, PATIENCE)
        };
        let (program, _) = parts(words);
        match cargo(&[&program[..], &["--no-run"]].concat())? {
            Some(true) => {}
            Some(false) => return Ok(Fate::Invalid),
            None => return Ok(Fate::Hangs),
        }
        match cargo(&words.split(' ').collect::<Vec<_>>())? {
            Some(true) => {}
            Some(false) => return Ok(Fate::Noticed),
            None => return Ok(Fate::Hangs),
        }
    }
    Ok(Fate::Survives)
}

/// Takes the words for `cargo test` apart: which test program, and which of its tests.
fn parts(words: &str) -> (Vec<&str>, Vec<&str>) {
    let all: Vec<&str> = words.split(' ').collect();
    let (program, tests) = all.split_at(if all.contains(&"--lib") { 3 } else { 4 });
    (program.to_vec(), tests.iter().filter(|word| **word != "--").copied().collect())
}

/// Returns whether a command succeeded, or nothing if it takes longer than `patience`.
fn run(command: &mut Command, patience: Duration) -> std::io::Result<Option<bool>> {
    use std::os::unix::process::CommandExt;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if started.elapsed() > patience {
            // The tests that it started end with it.
            Command::new("kill").args(["-KILL", &format!("-{}", child.id())]).status()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
