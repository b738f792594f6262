//! Every carried script as a test of its own: once with images, once with eager copies, and once with metered code.
//!
//! A file passes if nothing in it fails and as many assertions pass as `RESULTS.md` says.

#![forbid(unsafe_code)]

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use minirt::Engine;
use minirt_spec_tests::{Configuration, Source, carried, run, table};
use std::collections::BTreeMap;
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let table = Arc::new(table::passed_by_file(&std::fs::read_to_string(table::PATH).unwrap_or_default()));
    let sources = carried();
    let mut trials = vec![table_trial(&table, &sources)];
    let default = Configuration::default();
    let copies = Configuration { images: false, ..default };
    let metered = Configuration { metered: true, ..default };
    for (configuration, suffix) in [(default, ""), (copies, " (eager copies)"), (metered, " (metered)")] {
        let engines = configuration.engines().expect("engines");
        trials.extend(sources.iter().map(|source| trial(engines.of(source), source.clone(), suffix, &table)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(engine: &Engine, source: Source, suffix: &str, table: &Arc<BTreeMap<String, usize>>) -> Trial {
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
            Some(passed) if *passed == report.tally.passed => Ok(Completion::Completed),
            row => Err(stale(&format!("{row:?} passed, where {} did", report.tally.passed))),
        }
    })
}

fn table_trial(table: &Arc<BTreeMap<String, usize>>, sources: &[Source]) -> Trial {
    let rows: Vec<String> = table.keys().cloned().collect();
    let mut files: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    files.sort();
    Trial::test("RESULTS.md has a row for every carried file and no other", move || {
        if rows == files { Ok(()) } else { Err(stale("other files")) }
    })
}

fn stale(what: &str) -> Failed {
    format!("RESULTS.md says {what}; `cargo run -p minirt-spec-tests -- --table` writes it anew").into()
}
