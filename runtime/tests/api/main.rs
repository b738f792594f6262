//! What an embedder can do: link modules, ask and change what they export, hold handles.

#[path = "../common/mod.rs"]
mod common;
mod backtraces;
mod configuration;
mod exceptions;
mod linking;
mod handles;
mod linker;
mod machine_code;
mod names;
