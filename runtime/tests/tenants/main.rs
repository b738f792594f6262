//! What one tenant of a slot leaves behind, and the next one must not see.

#[path = "../common/mod.rs"]
mod common;
mod domains;
mod heaps;
mod isolation;
mod neighbours;
mod patterns;
mod random;
