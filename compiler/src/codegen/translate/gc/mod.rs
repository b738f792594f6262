//! Translates instructions on structures, arrays, small integers and casts.
//!
//! `object` has the accesses and the allocation that the others share.

mod object;
mod bulk_array;
mod structure;
mod array;
mod small_integer;
mod cast;
#[cfg(test)]
pub(super) mod tests;
