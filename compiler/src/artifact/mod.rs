//! Writes a compiled module to a file that can be mapped and run, the artifact (`.cwasm`), and
//! reads it.
//!
//! ```text
//!  +--------+----------+------+-----------------+-----------------------+
//!  | header | metadata | bulk | text            | memory                |
//!  +--------+----------+------+-----------------+-----------------------+
//!                             ^ whole host pages ^ whole host pages
//! ```
//!
//! - The **metadata** is decoded when the artifact is loaded. It grows with the number of functions
//!   and exports.
//! - The **bulk** is used in place: names, data of passive segments, the tables that explain the
//!   text.
//! - The **text** is position-independent, and is mapped executable as it is.
//! - The **memory** is mapped copy-on-write into every instance.
//!
//! The parts that loading reads come first. Those that are mapped come last, so that only they
//! start at a page.
//!
//! An artifact is machine code, so whoever can write one can run any code. The checks therefore
//! find mistakes, not malice:
//!
//! - always: the version, the settings, the processor's features, the structure, and a digest
//!   (XXH3) of header and metadata;
//! - if asked to: a digest of the rest, which reads all of it. Otherwise damage to code, memory,
//!   names or trap tables goes unnoticed, as in an executable file.
//!
//! Nothing here knows mmap, or where a file is.

mod error;
mod wire;
mod module_wire;
mod header;
mod target;
mod description;
mod file;
#[cfg(test)]
mod tests;

pub use error::ArtifactError;
pub use file::Artifact;
pub(crate) use file::{read, write};
pub use header::is_artifact;
pub(crate) use target::Target;
