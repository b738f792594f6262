//! Keeps the supertypes of an engine's types where compiled code can read them: in one table, by
//! the numbers of types.
//!
//! The table is a reservation for all numbers that there can be. Only the parts that have been
//! written are accessible.

use crate::sys::mapping::{Access, Reservation};
use anyhow::{Context, Result};
use minirt_compiler::instance::layout::supertypes::{DEPTH, ENTRY_SIZE, NONE};
use minirt_compiler::module::canonical::NUMBERS;
use rustc_hash::FxHashSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Bytes that become accessible together.
const PART: usize = 1 << 16;

/// The supertypes of an engine's types.
#[derive(Debug)]
pub(crate) struct SupertypeTable {
    reservation: Reservation,
    /// The parts that are accessible.
    parts: FxHashSet<usize>,
    /// Whether the system has no memory.
    #[cfg(test)]
    pub(crate) refuse: bool,
}

impl SupertypeTable {
    /// Makes an empty table.
    ///
    /// # Errors
    /// Returns an error if there is no address space for it.
    pub(crate) fn new() -> Result<Self> {
        let reservation = Reservation::new(NUMBERS as usize * ENTRY_SIZE as usize);
        let reservation = reservation.context(
            "could not reserve address space for the table of types (see `ulimit -v`; and `ulimit -l`, if the process locks \
             its memory)",
        )?;
        Ok(Self {
            reservation,
            parts: FxHashSet::default(),
            #[cfg(test)]
            refuse: false,
        })
    }

    /// Returns where entries start. It never changes.
    pub(crate) fn address(&self) -> usize {
        self.reservation.base().as_ptr().expose_provenance()
    }

    /// Writes the entry of a type: the types that it extends, beginning with the one that extends
    /// none, and itself.
    ///
    /// # Errors
    /// Returns an error if there is no memory for it.
    pub(crate) fn set(&mut self, number: u32, types: impl Iterator<Item = u32>) -> Result<()> {
        #[cfg(test)]
        anyhow::ensure!(!self.refuse, "no memory");
        let at = number as usize * ENTRY_SIZE as usize;
        let part = at / PART;
        if self.parts.insert(part) {
            let range = part * PART..(part + 1) * PART;
            // SAFETY: no part of the table was used that had not been made accessible.
            let mapped = unsafe { self.reservation.map_zeros(range, Access::ReadWrite) };
            mapped.inspect_err(|_| _ = self.parts.remove(&part)).context("no memory for the table of types")?;
        }
        let types = types.chain(std::iter::repeat(NONE));
        for (index, ty) in (0..DEPTH as usize).zip(types) {
            let entry = self.reservation.at(at + size_of::<u32>() * index).cast::<AtomicU32>();
            // SAFETY: the entry is accessible and aligned. Compiled code only reads it, and only
            // for types that it knows.
            unsafe { &*entry }.store(ty, Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
impl SupertypeTable {
    /// Returns an entry that has been written.
    pub(crate) fn entry(&self, number: u32) -> [u32; DEPTH as usize] {
        let at = self.address() + number as usize * ENTRY_SIZE as usize;
        assert!(self.parts.contains(&(number as usize * ENTRY_SIZE as usize / PART)));
        // SAFETY: the part of the table is accessible.
        unsafe { *std::ptr::with_exposed_provenance(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_types_that_a_type_extends_and_nothing_behind_them() {
        let mut table = SupertypeTable::new().unwrap();
        table.set(7, [3, 5, 7].into_iter()).unwrap();
        table.set(NUMBERS - 1, 0..100).unwrap();
        assert_eq!(table.entry(7), [3, 5, 7, NONE, NONE, NONE, NONE, NONE]);
        assert_eq!(table.entry(NUMBERS - 1), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
