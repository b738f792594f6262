//! The programs of `examples/guests`, run as `cases.tsv` there says: with images and with eager
//! copies, their output and exit codes must be those of the native programs.

#![forbid(unsafe_code)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The exit code of a trap.
const TRAP: i32 = 134;

/// Names a folder with an artifact of each guest, which runs in its place. An emulated compiler
/// would take minutes for each case (`.ci/arm guests`).
const ARTIFACTS: &str = "MINIRT_GUEST_ARTIFACTS";

/// A row of the table: `-` stands for nothing, and `*` in `stderr` for anything.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    guest: String,
    /// Where to run it, or `@scratch` for an empty folder.
    folder: String,
    arguments: String,
    stdin: String,
    stdout: String,
    exit: String,
    stderr: String,
    environment: String,
}

fn main() {
    let arguments = Arguments::from_args();
    let table = fs::read_to_string(home("cases.tsv")).expect("the table of cases");
    let cases: Vec<Case> = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(case).collect();
    let mut trials = Vec::new();
    for (options, suffix) in [(&[][..], ""), (&["--no-images"][..], " (eager copies)")] {
        for case in cases.iter().cloned() {
            trials.push(Trial::test(format!("{}{suffix}", case.name), move || check(&case, options)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests").join(path)
}

fn case(line: &str) -> Case {
    let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
    let [name, guest, folder, arguments, stdin, stdout, exit, stderr, environment] =
        fields.try_into().unwrap_or_else(|_| panic!("a row with nine fields: {line}"));
    Case { name, guest, folder, arguments, stdin, stdout, exit, stderr, environment }
}

fn words(field: &str) -> impl Iterator<Item = &str> {
    field.split(' ').filter(move |_| field != "-")
}

fn check(case: &Case, options: &[&str]) -> Result<(), Failed> {
    let output = run(case, options)?;
    let exit = output.status.code().map(|code| if code == TRAP { "trap".to_owned() } else { code.to_string() });
    if exit.as_deref() != Some(case.exit.as_str()) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ended with {}, not with {}:\n{stderr}", output.status, case.exit).into());
    }
    same("output", &case.stdout, &output.stdout)?;
    same("error", &case.stderr, &output.stderr)
}

fn run(case: &Case, options: &[&str]) -> Result<Output, Failed> {
    let scratch = tempfile::tempdir()?;
    let folder = if case.folder == "@scratch" { scratch.path().to_owned() } else { home(&case.folder) };
    let stdin = if case.stdin == "-" { Stdio::null() } else { File::open(home(&case.stdin))?.into() };
    let environment = words(&case.environment).flat_map(|pair| ["--env", pair]);
    let output = Command::new(env!("CARGO_BIN_EXE_minirt"))
        .env("MINIRT_CACHE", "off")
        .args(["run", "--dir", "."])
        .args(options)
        .args(environment)
        .args(program(&case.guest))
        .args(words(&case.arguments))
        .current_dir(folder)
        .stdin(stdin)
        .output()?;
    Ok(output)
}

/// Returns the arguments that name a guest.
fn program(guest: &str) -> Vec<OsString> {
    match std::env::var_os(ARTIFACTS) {
        Some(folder) => {
            let artifact = Path::new(&folder).join(guest).with_extension("cwasm");
            vec!["--argv0".into(), guest.into(), "--allow-precompiled".into(), artifact.into()]
        }
        None => vec![home(guest).into()],
    }
}

fn same(what: &str, expected: &str, got: &[u8]) -> Result<(), Failed> {
    let wanted = match expected {
        "*" => return Ok(()),
        "-" => Vec::new(),
        file => fs::read(home(file))?,
    };
    if wanted == got {
        return Ok(());
    }
    let equal = wanted.iter().zip(got).take_while(|(want, got)| want == got).count();
    let rest = |bytes: &[u8]| String::from_utf8_lossy(&bytes[equal..bytes.len().min(equal + 200)]).into_owned();
    Err(format!("standard {what} differs from byte {equal} on: {:?}, not {:?}", rest(got), rest(&wanted)).into())
}
