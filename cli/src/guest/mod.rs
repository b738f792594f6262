//! Turns a file into a guest that runs, and explains how its run ended.
//!
//! Nothing here knows the commands.

pub(crate) mod system;
pub(crate) mod stack;
pub(crate) mod input;
pub(crate) mod cache;
pub(crate) mod source;
pub(crate) mod imports;
pub(crate) mod entry;
pub(crate) mod timeout;
pub(crate) mod outcome;
pub(crate) mod host;
pub(crate) mod unknown_imports;
pub(crate) mod preloads;
pub(crate) mod debugger;
