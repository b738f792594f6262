//! What every other room uses: reasons to trap, errors, and bytes that are owned or part of a file.
//!
//! Knows nothing of modules.

pub mod trap;
pub mod error;
pub mod bytes;
