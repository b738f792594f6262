//! What concerns the whole process: fork, signals, limits, filters and failures of system calls.
//!
//! Each case runs in a process of its own, where it may lose rights, fork or die.

mod child;
#[path = "../common/mod.rs"]
mod common;
mod denied;
mod forks;
mod hosts;
mod image_files;
mod injected;
mod life;
mod limits;
mod main_thread;
mod signals;
