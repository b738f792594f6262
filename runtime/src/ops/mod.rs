//! Operations that compiled code leaves to the runtime: constant expressions, whole memories and tables, growth.
//!
//! `builtins` is the table of their entry points.

pub(crate) mod constant;
pub(crate) mod bulk;
pub(crate) mod grow;
pub(crate) mod builtins;
