//! Prints what people read: errors, names, values, tables, a line of progress.
//!
//! It knows neither options nor guests.

pub(crate) mod printable;
pub(crate) mod report;
pub(crate) mod names;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod words;
pub(crate) mod artifact_file;
pub(crate) mod assembly;
pub(crate) mod display;
pub(crate) mod object;
