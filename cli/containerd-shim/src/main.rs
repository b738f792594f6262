//! `containerd-shim-minirt-v1`: runs WebAssembly containers with minirt, under containerd.
//!
//! containerd starts this program for every pod, or for every container outside of pods. Its life:
//!
//! ```text
//! create    node       asks containerd for the container's image
//!           program    finds the module in it: a layer, or a file named by the entry point
//!           artifact   finds its artifact in the content store, or has one made
//!             prepare    ... by a process without any rights: compiled, and with an initialiser frozen
//!           container  loads the artifact and makes namespaces and cgroup around a process
//! start     guest      that process runs the guest, and ends with its exit code
//! wait      exit       tells how the process ended
//! ```
//!
//! README.md tells how to use it.

#![deny(unsafe_code)]

// In reading order: a file uses only what stands above it.
mod annotations;
mod settings;
mod prepare;
mod node;
mod program;
mod artifact;
mod guest;
mod container;
mod exit;
mod instance;

use containerd_shimkit::sandbox::cli::shim_main;
use containerd_shimkit::shim_version;
use instance::Container;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    if arguments.nth(1).as_deref() == Some(prepare::COMMAND) {
        return prepare::child(arguments);
    }
    container::remove_what_a_shim_left();
    shim_main::<Container>(settings::NAME, shim_version!(), None);
    ExitCode::SUCCESS
}
