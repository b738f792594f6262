//! The program: runs scripts, prints a line for each file and the total at the end.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use minirt_spec_tests::{Configuration, FileReport, Source, Tally, carried, found, run, table};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "usage: minirt-spec-tests [--no-images] [--opt-level none|speed] [--inlining no|yes|always] [--metered]
                         [--gc-zeal] [--table] [FILES or FOLDERS]...

Runs official test scripts (.wast) and counts their assertions. Without files or folders: the carried
suites v1 to v3 and proposals.

  --no-images         fill instances by copying instead of mapping images
  --opt-level LEVEL   how hard the compiler works: none or speed (the default)
  --inlining CHOICE   replace calls by the code of the function: no, yes (small ones, the default) or always
  --metered           let code count fuel, and ask at every loop and function whether it may go on
  --gc-zeal           collect at every allocation of a structure or array
  --table             write the results of the carried suites to RESULTS.md";

/// The options of the command line.
#[derive(Default)]
struct Options {
    configuration: Configuration,
    table: bool,
    help: bool,
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match execute(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let quiet = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe);
            if !quiet {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--no-images" => options.configuration.images = false,
            "--opt-level" => {
                let level = args.next().context("`--opt-level` needs a level")?;
                options.configuration.opt_level = Configuration::parse_opt_level(&level)?;
            }
            "--inlining" => {
                let choice = args.next().context("`--inlining` needs a choice")?;
                options.configuration.inlining = Configuration::parse_inlining(&choice)?;
            }
            "--metered" => options.configuration.metered = true,
            "--gc-zeal" => options.configuration.zeal = true,
            "--table" => options.table = true,
            "--help" | "-h" => options.help = true,
            "--" => options.paths.extend(args.by_ref().map(PathBuf::from)),
            flag if flag.starts_with('-') => bail!("there is no option `{flag}`"),
            path => options.paths.push(path.into()),
        }
    }
    if options.table && !options.paths.is_empty() {
        bail!("`--table` is about the carried suites and takes no files");
    }
    Ok(options)
}

/// Returns whether nothing failed.
fn execute(options: &Options) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    if options.help {
        writeln!(out, "{USAGE}")?;
        return Ok(true);
    }
    let engines = options.configuration.engines()?;
    let mut total = Tally::default();
    let mut reports: Vec<FileReport> = Vec::new();
    for source in sources(&options.paths) {
        let report = run(engines.of(&source), &source);
        writeln!(out, "{report}")?;
        total += report.tally;
        reports.push(report);
    }
    if options.table {
        std::fs::write(table::PATH, table::render(&reports)).with_context(|| format!("writing {}", table::PATH))?;
    }
    writeln!(out, "{total}")?;
    Ok(total.failed == 0)
}

fn sources(paths: &[PathBuf]) -> Vec<Source> {
    if paths.is_empty() { carried() } else { paths.iter().map(Path::new).flat_map(found).collect() }
}
