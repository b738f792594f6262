//! What a person sees: errors, names, values, tables, a line of progress.
//!
//! It knows nothing of options or guests.

pub(crate) mod printable;
pub(crate) mod report;
pub(crate) mod names;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod artifact_file;
pub(crate) mod display;
