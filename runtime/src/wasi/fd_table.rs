//! Keeps a guest's descriptors: small numbers, the lowest free one first, up to a limit.
//!
//! The numbers of the standard streams are handed out last. A program that has closed its standard
//! output must not get that number for the next file, and then print into it.
//!
//! It does not know what a descriptor is.

use super::errno::{Errno, Result};
use super::params::Fd;

/// How many numbers belong to standard streams: 0, 1 and 2.
const STANDARD: usize = 3;

/// Entries by number.
#[derive(Debug)]
pub(super) struct FdTable<D> {
    entries: Vec<Option<D>>,
    /// No number below this is free, but perhaps those of standard streams.
    lowest: usize,
    /// The number of entries there may be.
    limit: usize,
}

impl<D> FdTable<D> {
    /// Returns a table of the standard streams. It is `MFILE` if not even those may be there.
    pub(super) fn new(standard: [D; STANDARD], limit: u32) -> Result<Self> {
        let limit = limit as usize;
        let entries = standard.into_iter().map(Some).collect();
        if limit < STANDARD { Err(Errno::MFILE) } else { Ok(Self { entries, lowest: STANDARD, limit }) }
    }

    pub(super) fn get(&self, fd: Fd) -> Result<&D> {
        self.entries.get(fd.0 as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(super) fn get_mut(&mut self, fd: Fd) -> Result<&mut D> {
        self.entries.get_mut(fd.0 as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Returns the number that the next entry gets, if there may be one.
    pub(super) fn next_free(&self) -> Result<Fd> {
        let len = self.entries.len();
        let free = |numbers: std::ops::Range<usize>| numbers.into_iter().find(|fd| self.entries[*fd].is_none());
        let next = free(self.lowest..len).or((len < self.limit).then_some(len)).or_else(|| free(0..STANDARD));
        next.map(|fd| Fd(fd as u32)).ok_or(Errno::MFILE)
    }

    pub(super) fn insert(&mut self, entry: D) -> Result<Fd> {
        let fd = self.next_free()?;
        match self.entries.get_mut(fd.0 as usize) {
            Some(free) => *free = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        self.lowest = self.lowest.max(fd.0 as usize + 1);
        Ok(fd)
    }

    pub(super) fn remove(&mut self, fd: Fd) -> Result<D> {
        let entry = self.entries.get_mut(fd.0 as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.lowest = self.lowest.min(fd.0 as usize).max(STANDARD);
        Ok(entry)
    }

    /// Moves an entry to a number that is in use, and returns what was there before: nothing, if it
    /// is the same.
    pub(super) fn renumber(&mut self, from: Fd, to: Fd) -> Result<Option<D>> {
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

    const LIMIT: u32 = 7;

    /// Returns a table of `i`, `o`, `e` and these entries.
    fn table(entries: &[char]) -> FdTable<char> {
        let mut table = FdTable::new(['i', 'o', 'e'], LIMIT).unwrap();
        for entry in entries {
            table.insert(*entry).unwrap();
        }
        table
    }

    #[test]
    fn the_lowest_free_number_is_taken_first() {
        let mut table = table(&['a', 'b', 'c']);
        assert_eq!((table.remove(Fd(4)), table.remove(Fd(3))), (Ok('b'), Ok('a')));
        assert_eq!((table.insert('d'), table.insert('e'), table.insert('f')), (Ok(Fd(3)), Ok(Fd(4)), Ok(Fd(6))));
        assert_eq!((table.remove(Fd(3)), table.remove(Fd(5)), table.next_free()), (Ok('d'), Ok('c'), Ok(Fd(3))));
    }

    #[test]
    fn the_numbers_of_standard_streams_are_taken_last() {
        let mut table = table(&['a']);
        assert_eq!((table.remove(Fd(2)), table.remove(Fd(1)), table.remove(Fd(3))), (Ok('e'), Ok('o'), Ok('a')));
        let numbers: Vec<_> = (0..7).map(|_| table.insert('x').map(|fd| fd.0)).collect();
        assert_eq!(numbers, [Ok(3), Ok(4), Ok(5), Ok(6), Ok(1), Ok(2), Err(Errno::MFILE)]);
        assert_eq!((table.remove(Fd(0)), table.insert('y')), (Ok('i'), Ok(Fd(0))));
    }

    #[test]
    fn a_full_table_takes_nothing_until_something_goes() {
        let mut table = table(&['a', 'b', 'c', 'd']);
        assert_eq!(table.insert('e'), Err(Errno::MFILE));
        assert_eq!(table.remove(Fd(5)), Ok('c'));
        assert_eq!(table.insert('e'), Ok(Fd(5)));
        assert_eq!(FdTable::new([(); 3], 2).err(), Some(Errno::MFILE));
        assert_eq!(FdTable::new([(); 3], 3).unwrap().next_free(), Err(Errno::MFILE));
    }

    #[test]
    fn a_number_that_is_not_open_is_badf() {
        let mut table = table(&['a', 'b']);
        table.remove(Fd(3)).unwrap();
        for fd in [Fd(3), Fd(5), Fd(u32::MAX)] {
            assert_eq!((table.get(fd).err(), table.get_mut(fd).err()), (Some(Errno::BADF), Some(Errno::BADF)));
            assert_eq!(table.remove(fd), Err(Errno::BADF));
        }
    }

    #[test]
    fn renumbering_closes_the_target_and_frees_the_source() {
        let mut table = table(&['a', 'b', 'c']);
        assert_eq!(table.renumber(Fd(3), Fd(5)), Ok(Some('c')));
        assert_eq!((table.get(Fd(3)), table.get(Fd(5))), (Err(Errno::BADF), Ok(&'a')));
        assert_eq!(table.insert('d'), Ok(Fd(3)));
        assert_eq!((table.renumber(Fd(4), Fd(1)), table.get(Fd(1))), (Ok(Some('o')), Ok(&'b')));
    }

    #[test]
    fn renumbering_needs_both_numbers_open() {
        let mut table = table(&['a']);
        let (open, closed) = (Fd(3), Fd(4));
        assert_eq!((table.renumber(open, closed), table.renumber(closed, open)), (Err(Errno::BADF), Err(Errno::BADF)));
        assert_eq!((table.renumber(open, open), table.get(open)), (Ok(None), Ok(&'a')));
    }
}
