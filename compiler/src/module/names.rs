//! Holds the names of functions and types, from the name section.

use crate::base::bytes::{Bytes, Record, RecordTable};

/// Names by number, looked up in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Sorted by number.
    pub(crate) entries: RecordTable<NameEntry>,
    /// All names, one after the other.
    pub(crate) text: Bytes,
}

/// An index, and where its name ends in the text. The name starts where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameEntry {
    index: u32,
    end: u32,
}

impl Record for NameEntry {
    fn pack(self) -> [u32; 2] {
        [self.index, self.end]
    }
    fn unpack([index, end]: [u32; 2]) -> Self {
        Self { index, end }
    }
}

impl Names {
    /// Makes the names of a sorted list. They take less than 4 GiB, since no module is larger.
    pub fn new<'a>(sorted: impl IntoIterator<Item = (u32, &'a str)>) -> Self {
        let mut text = Vec::new();
        let entry = |(index, name): (u32, &str)| {
            text.extend_from_slice(name.as_bytes());
            NameEntry { index, end: text.len() as u32 }
        };
        let entries = sorted.into_iter().map(entry).collect();
        Self { entries, text: text.into() }
    }

    /// Returns the name of `index`.
    pub fn get(&self, index: u32) -> Option<&str> {
        let at = self.entries.partition_point(|entry| entry.index < index);
        let entry = self.entries.get(at).filter(|entry| entry.index == index)?;
        let start = at.checked_sub(1).map_or(Some(0), |before| Some(self.entries.get(before)?.end))?;
        std::str::from_utf8(self.text.get(start as usize..entry.end as usize)?).ok()
    }
}
