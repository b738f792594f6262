//! One file a command.

pub(crate) mod compile;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod inspect;
pub(crate) mod bench;
pub(crate) mod show;
pub(crate) mod cache;
pub(crate) mod man;
