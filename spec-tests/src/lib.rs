//! The official test scripts (`.wast`) run against minirt, their assertions counted.
//!
//! | file | idea |
//! |---|---|
//! | `source` | where scripts come from: the carried suites, files, folders |
//! | `configuration` | the engine that a run uses |
//! | `runner` | one script, from its text to a report |
//! | `directive` | what each directive of a script demands, checked |
//! | `session` | the store and instances that a script's directives share |
//! | `spectest` | the host module that scripts import |
//! | `value` | values as scripts write and expect them |
//! | `report` | the results, counted |
//! | `table` | `RESULTS.md`: the passed assertions of every carried suite and file |
//!
//! Every `assert_*` directive is one assertion, passed or failed. A directive that asserts nothing
//! (`module`, `register`, `invoke`) but does not succeed counts as one more failure, and so does a
//! file that cannot be read or parsed. Only whole files are skipped, and each says why.
//!
//! Nothing here knows more of minirt than its public interface.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod source;
mod configuration;
mod directive;
mod report;
mod runner;
mod session;
mod spectest;
pub mod table;
mod value;

pub use configuration::{Configuration, Engines};
pub use report::{Failure, FileReport, Place, Tally};
pub use runner::{run, run_text};
pub use source::{Era, Source, carried, found};
