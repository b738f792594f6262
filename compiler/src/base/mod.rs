//! Defines what every other room uses: traps, errors, and bytes that are owned or part of a file.
//!
//! Knows nothing of modules.

pub mod trap;
pub mod error;
pub mod bytes;
