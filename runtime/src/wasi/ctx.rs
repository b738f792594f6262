//! Holds what a guest has of the outside.

use super::descriptor::Descriptor;
use super::errno::Result;
use super::fd_table::FdTable;
use super::params::Fd;
use super::rights::Rights;
use super::strings::Strings;
use cap_std::fs::Dir;

/// Everything that a guest has of the outside: arguments, environment, and descriptors. It is part
/// of a store's data.
#[derive(Debug)]
pub struct WasiCtx {
    pub(super) args: Strings,
    pub(super) environ: Strings,
    pub(super) table: FdTable<Descriptor>,
}

impl WasiCtx {
    /// Returns the directory that a path is relative to, if it has these rights.
    pub(super) fn dir(&self, fd: Fd, rights: Rights) -> Result<&Dir> {
        Ok(&self.table.get(fd)?.directory(rights)?.dir)
    }
}
