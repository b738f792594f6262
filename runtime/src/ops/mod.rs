//! Does what compiled code leaves to the runtime: constant expressions, operations on whole
//! memories and tables, growth. `builtins` has the entry points.
//!
//! Nothing here knows how instances are made.

pub(crate) mod constant;
pub(crate) mod bulk;
pub(crate) mod grow;
pub(crate) mod heap;
pub(crate) mod builtins;
