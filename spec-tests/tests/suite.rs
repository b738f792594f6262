//! Every carried script as a test of its own: for each optimisation level with images and with
//! eager copies, once with metered code, and once with a collection at every allocation. With eager
//! copies and such collections, calls are replaced by the code of their function wherever that is
//! possible; without optimisation otherwise, nowhere.
//!
//! A file passes if nothing in it fails and as many assertions pass and are skipped as `RESULTS.md`
//! says.

#![forbid(unsafe_code)]

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use minirt::{Engine, Inlining, OptLevel};
use minirt_spec_tests::{Configuration, Source, Tally, carried, run, table};
use std::collections::BTreeMap;
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let rows = table::files(&std::fs::read_to_string(table::PATH).unwrap_or_default());
    let table: Arc<BTreeMap<_, _>> = Arc::new(rows.into_iter().map(|row| (row.name, row.tally)).collect());
    let sources = carried();
    let mut trials = vec![table_trial(&table, &sources), sums_trial(), readme_trial()];
    let default = Configuration::default();
    let not_optimised = Configuration { opt_level: OptLevel::None, inlining: Inlining::No, ..default };
    let copies = |of| Configuration { images: false, inlining: Inlining::Always, ..of };
    let configurations = [
        (default, ""),
        (copies(default), " (eager copies)"),
        (Configuration { metered: true, ..default }, " (metered)"),
        (Configuration { zeal: true, inlining: Inlining::Always, ..default }, " (collecting at every allocation)"),
        (not_optimised, " (not optimised)"),
        (copies(not_optimised), " (not optimised, eager copies)"),
    ];
    for (configuration, suffix) in configurations {
        let engines = configuration.engines().expect("engines");
        trials.extend(sources.iter().map(|source| trial(engines.of(source), source.clone(), suffix, &table)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(engine: &Engine, source: Source, suffix: &str, table: &Arc<BTreeMap<String, Tally>>) -> Trial {
    let (engine, table) = (engine.clone(), table.clone());
    Trial::ignorable_test(format!("{}{suffix}", source.name), move || {
        let report = run(&engine, &source);
        if let Some(why) = report.skipped {
            return Ok(Completion::ignored_with(why));
        }
        if !report.is_ok() {
            return Err(report.to_string().into());
        }
        match table.get(&source.name) {
            Some(tally) if *tally == report.tally => Ok(Completion::Completed),
            row => Err(stale(&format!("{row:?}, where it is {:?}", report.tally))),
        }
    })
}

fn table_trial(table: &Arc<BTreeMap<String, Tally>>, sources: &[Source]) -> Trial {
    let rows: Vec<String> = table.keys().cloned().collect();
    let mut files: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    files.sort();
    Trial::test("RESULTS.md has a row for every carried file and no other", move || {
        if rows == files { Ok(()) } else { Err(stale("other files")) }
    })
}

/// Checks that the rows for suites, and the last line, are sums of the rows for files.
fn sums_trial() -> Trial {
    Trial::test("RESULTS.md sums its files up", || {
        let text = read(table::PATH)?;
        if text == table::render(&table::files(&text)) { Ok(()) } else { Err(stale("other sums")) }
    })
}

/// README has the last line, too.
fn readme_trial() -> Trial {
    Trial::test("README.md has the total of RESULTS.md", || {
        let total = table::total(&read(table::PATH)?);
        let found = read(README)?.contains(&total);
        if found { Ok(()) } else { Err(format!("README.md lacks `{total}`").into()) }
    })
}

fn read(path: &str) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}").into())
}

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

fn stale(what: &str) -> Failed {
    format!("RESULTS.md says {what}; `cargo run -p minirt-spec-tests -- --table` writes it anew").into()
}
