//! The table of a guest's descriptors: small numbers, the lowest free one first, at most so many.
//!
//! Does not know what a descriptor is.

use super::errno::{Errno, Result};

/// Entries by number.
#[derive(Debug)]
pub(super) struct Table<D> {
    entries: Vec<Option<D>>,
    /// No number below this is free.
    lowest: usize,
    /// The number of entries there may be.
    limit: usize,
}

impl<D> Table<D> {
    pub(super) fn new(limit: u32) -> Self {
        Self { entries: Vec::new(), lowest: 0, limit: limit as usize }
    }

    pub(super) fn get(&self, fd: u32) -> Result<&D> {
        self.entries.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut D> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// The number that the next entry gets, if there may be one.
    pub(super) fn next_free(&self) -> Result<u32> {
        let free = (self.lowest..self.entries.len()).find(|fd| self.entries[*fd].is_none());
        match free.unwrap_or(self.entries.len()) {
            fd if fd < self.limit => Ok(fd as u32),
            _ => Err(Errno::MFILE),
        }
    }

    pub(super) fn insert(&mut self, entry: D) -> Result<u32> {
        let fd = self.next_free()?;
        match self.entries.get_mut(fd as usize) {
            Some(free) => *free = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        self.lowest = fd as usize + 1;
        Ok(fd)
    }

    pub(super) fn remove(&mut self, fd: u32) -> Result<D> {
        let entry = self.entries.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.lowest = self.lowest.min(fd as usize);
        Ok(entry)
    }

    /// Moves an entry to a number that is in use, and returns what was there before: nothing, if it is the same.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<D>> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let entry = self.remove(from)?;
        Ok(Some(std::mem::replace(self.get_mut(to)?, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[char]) -> Table<char> {
        let mut table = Table::new(4);
        for entry in entries {
            table.insert(*entry).unwrap();
        }
        table
    }

    #[test]
    fn the_lowest_free_number_is_taken_first() {
        let mut table = table(&['a', 'b', 'c']);
        assert_eq!((table.remove(1), table.remove(0)), (Ok('b'), Ok('a')));
        assert_eq!((table.insert('d'), table.insert('e'), table.insert('f')), (Ok(0), Ok(1), Ok(3)));
    }

    #[test]
    fn a_full_table_takes_nothing_until_something_goes() {
        let mut table = table(&['a', 'b', 'c', 'd']);
        assert_eq!(table.insert('e'), Err(Errno::MFILE));
        assert_eq!(table.remove(2), Ok('c'));
        assert_eq!(table.insert('e'), Ok(2));
    }

    #[test]
    fn a_number_that_is_not_open_is_badf() {
        let mut table = table(&['a']);
        for fd in [1, 4, u32::MAX] {
            assert_eq!((table.get(fd).err(), table.remove(fd).err()), (Some(Errno::BADF), Some(Errno::BADF)));
        }
    }

    #[test]
    fn renumbering_closes_the_target_and_frees_the_source() {
        let mut table = table(&['a', 'b', 'c']);
        assert_eq!(table.renumber(0, 2), Ok(Some('c')));
        assert_eq!((table.get(0), table.get(2)), (Err(Errno::BADF), Ok(&'a')));
        assert_eq!(table.insert('d'), Ok(0));
    }

    #[test]
    fn renumbering_needs_both_numbers_open() {
        let mut table = table(&['a']);
        assert_eq!((table.renumber(0, 1), table.renumber(1, 0)), (Err(Errno::BADF), Err(Errno::BADF)));
        assert_eq!((table.renumber(0, 0), table.get(0)), (Ok(None), Ok(&'a')));
    }
}
