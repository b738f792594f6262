//! From an image to an instance and back: resets, snapshots, artifacts.

#[path = "../common/mod.rs"]
mod common;
mod artifact;
mod image_info;
#[cfg(feature = "wasi")]
mod kotlin;
mod page_map;
#[cfg(feature = "wasi")]
mod programs;
mod reset;
mod snapshot;
mod target;
