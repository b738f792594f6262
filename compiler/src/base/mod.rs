//! Defines what every other room uses: traps, errors, names for people, and
//! bytes that are owned or part of a file.
//!
//! Knows nothing of modules.

pub mod trap;
pub mod printable;
pub mod error;
pub mod bytes;
pub mod sparse;
pub mod sorted_table;
