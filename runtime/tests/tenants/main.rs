//! What one tenant of a slot leaves behind, and the next one must not see.

#[path = "../common/mod.rs"]
mod common;
mod constants;
mod domains;
mod heaps;
mod host_writes;
mod isolation;
mod named_segments;
mod neighbours;
mod patterns;
mod random;
