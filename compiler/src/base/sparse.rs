//! Holds bytes of which most are zeros.
//!
//! An instance's state has room for its tables. A table of ten million elements of which two are
//! not null takes two pages here, and not 80 MB.

use std::collections::BTreeMap;

/// Bytes that are kept together: a host page.
const PAGE: usize = 4096;

/// Bytes of a fixed length, zero at first. Only pages that were written take memory.
#[derive(Clone, Debug, Default)]
pub struct SparseBytes {
    len: usize,
    pages: BTreeMap<usize, Box<[u8; PAGE]>>,
}

impl SparseBytes {
    /// Returns this many zeros.
    pub fn new(len: usize) -> Self {
        Self { len, pages: BTreeMap::new() }
    }

    /// Returns how many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes some bytes.
    ///
    /// # Panics
    /// Panics if they do not fit.
    pub fn put(&mut self, mut at: usize, mut bytes: &[u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "{} bytes at {at}", bytes.len());
        while !bytes.is_empty() {
            let (page, within) = (at / PAGE, at % PAGE);
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE - within));
            if self.pages.contains_key(&page) || now.iter().any(|byte| *byte != 0) {
                let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
                page[within..within + now.len()].copy_from_slice(now);
            }
            at += now.len();
            bytes = rest;
        }
    }

    /// Reads some bytes.
    ///
    /// # Panics
    /// Panics if there are not so many.
    pub fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at.checked_add(N).is_some_and(|end| end <= self.len), "{N} bytes at {at}");
        std::array::from_fn(|i| self.pages.get(&((at + i) / PAGE)).map_or(0, |page| page[(at + i) % PAGE]))
    }

    /// Returns where the bytes are not zero: whole pages, but for the last of all, with neighbours
    /// joined. Each run comes with where it starts.
    pub fn runs(&self) -> Vec<(usize, Vec<u8>)> {
        let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
        for (page, bytes) in self.pages.iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)) {
            let at = page * PAGE;
            let bytes = &bytes[..PAGE.min(self.len - at)];
            match runs.last_mut() {
                Some((start, run)) if *start + run.len() == at => run.extend_from_slice(bytes),
                _ => runs.push((at, bytes.to_vec())),
            }
        }
        runs
    }
}

impl PartialEq for SparseBytes {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.runs() == other.runs()
    }
}

impl Eq for SparseBytes {}

impl From<&[u8]> for SparseBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut all = Self::new(bytes.len());
        all.put(0, bytes);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_where_they_were_put_and_zeros_take_no_room() {
        let mut bytes = SparseBytes::new(100 * PAGE + 5);
        bytes.put(3 * PAGE - 2, &[1, 2, 3, 4]);
        bytes.put(50 * PAGE, &[0; 3 * PAGE]);
        bytes.put(100 * PAGE, &[9; 5]);
        assert_eq!((bytes.pages.len(), bytes.len()), (3, 100 * PAGE + 5));
        assert_eq!((bytes.get(3 * PAGE - 3), bytes.get(100 * PAGE + 4)), ([0, 1, 2, 3, 4, 0], [9]));
        let runs = bytes.runs();
        assert_eq!(
            runs.iter().map(|(at, run)| (*at, run.len())).collect::<Vec<_>>(),
            [(2 * PAGE, 2 * PAGE), (100 * PAGE, 5)]
        );
        let mut again = SparseBytes::new(bytes.len());
        runs.iter().for_each(|(at, run)| again.put(*at, run));
        assert_eq!(again, bytes);
        // A page that has become zero is as if it had never been written.
        bytes.put(100 * PAGE, &[0; 5]);
        assert_eq!(bytes.runs(), runs[..1]);
        assert_ne!(again, bytes);
    }

    #[test]
    #[should_panic(expected = "4 bytes at 18446744073709551614")]
    fn nothing_is_written_outside() {
        SparseBytes::new(10).put(usize::MAX - 1, &[1; 4]);
    }
}
