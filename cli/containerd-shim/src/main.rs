//! `containerd-shim-minirt-v1`: runs WebAssembly containers with minirt, under containerd.
//!
//! containerd starts this program for every pod, or for every container outside of pods. Its life:
//!
//! ```text
//! create    node       asks containerd for the container's image
//!           program    finds the module in it: a layer, or a file named by the entry point
//!           artifact   finds its artifact in the content store, or has one made
//!             prepare    ... by a process without any rights: compiled, and with an initialiser frozen
//!           check      finds what the container cannot have
//!           container  loads the artifact and makes namespaces and cgroup around a process
//! start     guest      that process runs the guest, and ends with its exit code
//! wait      exit       tells how the process ended
//! delete    idle       ends the shim if that was its last container
//! ```
//!
//! README.md tells how to use it.

#![deny(unsafe_code)]

// In reading order: a file uses only what stands above it.
mod annotations;
mod settings;
mod idle;
mod prepare;
mod node;
mod program;
mod artifact;
mod guest;
mod check;
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
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    // What is wrong with them is said by whoever needs them next. The rest of each answer is the
    // same for all shims.
    if let Ok(flags) = containerd_shim::parse(&words)
        && !(flags.id.is_empty() || flags.namespace.is_empty() || flags.version || flags.info)
    {
        match flags.action.as_str() {
            "delete" => container::remove_what_a_shim_left(&flags),
            "" => {
                idle::wait_for_first();
                idle::keep_socket();
            }
            _ => {}
        }
    }
    shim_main::<Container>(settings::NAME, shim_version!(), None);
    ExitCode::SUCCESS
}
