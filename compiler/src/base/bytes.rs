//! Holds bytes that are either owned or part of something larger, and tables of fixed-size records
//! in such bytes.
//!
//! Bytes that were compiled in this process are in vectors. Those of a loaded artifact are in the
//! mapped file. Both are used in place, so loading an artifact copies nothing that grows with the
//! code.

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Keeps bytes where they are. A signal handler asks for them, so `as_ref` must neither allocate
/// nor lock.
pub type Owner = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Immutable bytes, cheap to clone.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

impl Bytes {
    /// Returns all bytes of `owner`.
    pub fn new(owner: Owner) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// Returns a part of them, if it is inside.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        self.get(range.clone())?;
        let start = self.range.start;
        Some(Self { owner: Arc::clone(&self.owner), range: start + range.start..start + range.end })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // The range fitted when it was made. If the owner has shrunk since, no bytes are better
        // than a panic in a handler.
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A value of eight bytes, as in a [`RecordTable`].
pub trait Record: Copy {
    /// Returns it as two numbers.
    fn pack(self) -> [u32; 2];
    /// Makes it from what `pack` returned.
    fn unpack(words: [u32; 2]) -> Self;
}

/// Bytes of a record.
const RECORD: usize = 8;

/// Records in bytes, in the format `F`. Looking one up neither allocates nor panics, whatever the
/// bytes are, so a signal handler can do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedTable<T, F> {
    pub(super) bytes: Bytes,
    records: PhantomData<(T, F)>,
}

/// The format of records that follow each other, little-endian. An incomplete one at the end is
/// ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {}

/// Records, one after the other.
pub type RecordTable<T> = PackedTable<T, Plain>;

impl<T, F> Default for PackedTable<T, F> {
    fn default() -> Self {
        Self::from_bytes(Bytes::default())
    }
}

impl<T, F> PackedTable<T, F> {
    /// Returns the table in these bytes.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, records: PhantomData }
    }

    /// Returns the bytes that it is in.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<T: Record> PackedTable<T, Plain> {
    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / RECORD
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a record.
    pub fn get(&self, index: usize) -> Option<T> {
        let at = index.checked_mul(RECORD)?;
        let bytes: &[u8; RECORD] = self.bytes.get(at..at.checked_add(RECORD)?)?.first_chunk()?;
        Some(unpack(bytes))
    }

    /// Returns all records.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + '_ {
        let (records, _) = self.bytes.as_chunks::<RECORD>();
        records.iter().map(unpack)
    }

    /// Returns how many records at the start fulfil `before`, if those that do come first.
    pub fn partition_point(&self, mut before: impl FnMut(T) -> bool) -> usize {
        let (records, _) = self.bytes.as_chunks::<RECORD>();
        records.partition_point(|record| before(unpack(record)))
    }
}

fn unpack<T: Record>(bytes: &[u8; RECORD]) -> T {
    let [a, b, c, d, e, f, g, h] = *bytes;
    T::unpack([u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])])
}

impl<T: Record> FromIterator<T> for RecordTable<T> {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        let words = records.into_iter().flat_map(T::pack);
        Self::from_bytes(words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(in crate::base) struct Pair(pub(in crate::base) u32, pub(in crate::base) u32);

    impl Record for Pair {
        fn pack(self) -> [u32; 2] {
            [self.0, self.1]
        }
        fn unpack([a, b]: [u32; 2]) -> Self {
            Self(a, b)
        }
    }

    #[test]
    fn a_table_is_what_was_put_into_it_wherever_its_bytes_are() {
        let table: RecordTable<Pair> = (0..10).map(|i| Pair(i * 3, u32::MAX - i)).collect();
        let moved = [&[9; 5], &table.as_bytes()[..], &[7; 3]].concat();
        let part = Bytes::from(moved).part(5..5 + 80 + 3).unwrap();
        let again: RecordTable<Pair> = RecordTable::from_bytes(part);
        assert_eq!(again.iter().collect::<Vec<_>>(), table.iter().collect::<Vec<_>>());
        assert_eq!((again.len(), again.get(9), again.get(10)), (10, Some(Pair(27, u32::MAX - 9)), None));
        assert_eq!(again.partition_point(|pair| pair.0 < 10), 4);
    }

    #[test]
    fn a_part_outside_is_none() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        assert_eq!(*bytes.part(1..3).unwrap().part(1..2).unwrap(), [3]);
        assert!(bytes.part(1..3).unwrap().part(1..3).is_none());
        assert!(bytes.part(4..4).is_none());
    }
}
