//! What a guest has of the outside.

use super::descriptor::Descriptor;
use super::strings::Strings;
use super::table::Table;

/// All that a guest has of the outside: arguments, environment, and descriptors. Lives in the data of its store.
#[derive(Debug)]
pub struct WasiCtx {
    pub(super) args: Strings,
    pub(super) environ: Strings,
    pub(super) table: Table<Descriptor>,
}
