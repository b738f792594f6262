//! Bytes that are either owned or part of something larger, and tables of fixed-size records in such bytes.
//!
//! What a compiler made lies in vectors; what an artifact brought lies in the mapped file. Both are used in place, so
//! loading an artifact copies nothing that grows with the code.

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Anything that keeps bytes where they are. Asked for them in a signal handler, it neither allocates nor locks.
pub type Owner = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Immutable bytes, cheap to clone.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: Owner) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// A part of them, if it lies inside.
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
        // The range fitted when it was made. An owner that has shrunk since costs the bytes, not a panic in a handler.
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

/// Something that is eight bytes in a [`Table`].
pub trait Record: Copy {
    /// As two numbers.
    fn pack(self) -> [u32; 2];
    /// From what `pack` made.
    fn unpack(words: [u32; 2]) -> Self;
}

/// Bytes of a record.
const RECORD: usize = 8;

/// Records, one after the other, little-endian. Looking something up neither allocates nor panics, so it is fit for a
/// signal handler, whatever the bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T> {
    bytes: Bytes,
    records: PhantomData<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { bytes: Bytes::default(), records: PhantomData }
    }
}

impl<T: Record> Table<T> {
    /// The table in these bytes; a piece of a record at their end is not looked at.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, records: PhantomData }
    }

    /// The bytes it is in.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / RECORD
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<T> {
        let at = index.checked_mul(RECORD)?;
        let bytes: &[u8; RECORD] = self.bytes.get(at..at.checked_add(RECORD)?)?.first_chunk()?;
        Some(unpack(bytes))
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + '_ {
        let (records, _) = self.bytes.as_chunks::<RECORD>();
        records.iter().map(unpack)
    }

    /// How many at the start fulfil `before`, if those that do come first.
    pub fn partition_point(&self, mut before: impl FnMut(T) -> bool) -> usize {
        let (records, _) = self.bytes.as_chunks::<RECORD>();
        records.partition_point(|record| before(unpack(record)))
    }
}

fn unpack<T: Record>(bytes: &[u8; RECORD]) -> T {
    let [a, b, c, d, e, f, g, h] = *bytes;
    T::unpack([u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])])
}

impl<T: Record> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        let words = records.into_iter().flat_map(T::pack);
        Self::from_bytes(words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Pair(u32, u32);

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
        let table: Table<Pair> = (0..10).map(|i| Pair(i * 3, u32::MAX - i)).collect();
        let moved = [&[9; 5], &table.as_bytes()[..], &[7; 3]].concat();
        let part = Bytes::from(moved).part(5..5 + 80 + 3).unwrap();
        let again: Table<Pair> = Table::from_bytes(part);
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
