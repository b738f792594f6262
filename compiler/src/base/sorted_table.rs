//! Holds tables of sorted records, stored as the differences between neighbours.
//!
//! The tables that explain machine code have a record for every other instruction. Stored as they
//! are, they would be as large as the code. Neighbours differ little, so most differences fit a
//! byte.

use super::bytes::{PackedTable, Record};

/// The format of a [`SortedTable`]: blocks, in which each record but the first is the difference
/// from the one before.
///
/// ```text
///  +--------------+---------------------------------+----------------------------------------+
///  | blocks (u32) | for each block: its first       | the other records of each block, each  |
///  |              | record, and where the others    | as two differences from the one before |
///  |              | start (three u32)               |                                        |
///  +--------------+---------------------------------+----------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differences {}

/// Records that are sorted by the first of their two numbers. Looking one up reads one block.
pub type SortedTable<T> = PackedTable<T, Differences>;

/// Records in a block. A look-up reads half of them on average.
const BLOCK: usize = 64;

/// Bytes that say how many blocks there are.
const COUNT: usize = 4;
/// Bytes of the index for each block.
const ENTRY: usize = 12;

/// A block, as the index has it.
struct Block {
    first: [u32; 2],
    /// Where its other records start, counted from the end of the index.
    start: usize,
}

impl<T: Record> PackedTable<T, Differences> {
    /// Returns the last record whose first number is at most `key`.
    pub fn at_or_before(&self, key: u32) -> Option<T> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block(middle)?.first[0] <= key { low = middle + 1 } else { high = middle }
        }
        self.records_of(low.checked_sub(1)?).take_while(|record| record[0] <= key).last().map(T::unpack)
    }

    /// Returns all records.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.blocks()).flat_map(|block| self.records_of(block)).map(T::unpack)
    }

    fn blocks(&self) -> usize {
        let count = self.bytes.first_chunk().map_or(0, |count| u32::from_le_bytes(*count) as usize);
        count.min(self.bytes.len() / ENTRY)
    }

    fn block(&self, index: usize) -> Option<Block> {
        let at = COUNT + index * ENTRY;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *self.bytes.get(at..)?.first_chunk::<ENTRY>()?;
        Some(Block {
            first: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])],
            start: u32::from_le_bytes([i, j, k, l]) as usize,
        })
    }

    /// Returns the records of a block. There are none where the bytes make no sense.
    fn records_of(&self, index: usize) -> impl Iterator<Item = [u32; 2]> + '_ {
        let body = self.bytes.get(COUNT + self.blocks() * ENTRY..).unwrap_or_default();
        let block = self.block(index);
        let end = self.block(index + 1).filter(|_| index + 1 < self.blocks()).map_or(body.len(), |next| next.start);
        let rest = block.as_ref().and_then(|block| body.get(block.start..end)).unwrap_or_default();
        let mut rest = rest.iter();
        std::iter::successors(block.map(|block| block.first), move |before| {
            let (key, value) = (number(&mut rest)?, number(&mut rest)?);
            Some([before[0].wrapping_add(key), before[1].wrapping_add(unsigned(value))])
        })
    }
}

/// Reads a number as [`write`] wrote it: LEB128 of at most five bytes.
fn number(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut value = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = *bytes.next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn write(mut number: u32, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Makes differences that are close to zero small numbers: the sign is the lowest bit.
fn signed(difference: u32) -> u32 {
    let difference = difference.cast_signed();
    ((difference << 1) ^ (difference >> 31)).cast_unsigned()
}

/// Returns what became `number` by [`signed`].
fn unsigned(number: u32) -> u32 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

impl<T: Record> FromIterator<T> for SortedTable<T> {
    /// # Panics
    /// Panics if the differences take more than 4 GiB. No text has so many instructions.
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        let (mut index, mut body, mut count, mut before) = (Vec::new(), Vec::new(), 0, [0; 2]);
        for record in records {
            let now = record.pack();
            debug_assert!(count == 0 || before[0] <= now[0], "the records are sorted");
            if count % BLOCK == 0 {
                let start = u32::try_from(body.len()).expect("a table of less than 4 GiB");
                index.extend([now[0], now[1], start].map(u32::to_le_bytes));
            } else {
                write(now[0].wrapping_sub(before[0]), &mut body);
                write(signed(now[1].wrapping_sub(before[1])), &mut body);
            }
            (count, before) = (count + 1, now);
        }
        if count == 0 {
            return Self::default();
        }
        let blocks = u32::try_from(count.div_ceil(BLOCK)).expect("fewer blocks than bytes").to_le_bytes();
        Self::from_bytes([blocks.as_slice(), index.as_flattened(), &body].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::tests::Pair;
    use super::*;

    /// A generator of numbers that look random (xorshift).
    fn random() -> impl FnMut(u32) -> u32 {
        let mut state: u64 = 0x2545_f491_4f6c_dd1d;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32 % below
        }
    }

    /// Records with all kinds of differences, also none.
    fn pairs(count: usize) -> Vec<Pair> {
        let mut random = random();
        let mut key = 0_u32;
        let steps = [0, 1, 5, 127, 128, 1000, 20_000];
        let pair = |_| {
            key += steps[random(7) as usize];
            let value = if random(3) == 0 { u32::MAX - random(1000) } else { random(1 << 20) };
            Pair(key, value)
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn a_table_has_the_records_that_were_put_into_it() {
        for count in [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 1000] {
            let pairs = pairs(count);
            let table: SortedTable<Pair> = pairs.iter().copied().collect();
            assert_eq!(table.iter().collect::<Vec<_>>(), pairs, "{count}");
            let again = SortedTable::<Pair>::from_bytes(table.as_bytes().to_vec().into());
            assert_eq!(again, table);
        }
    }

    #[test]
    fn a_look_up_finds_the_last_record_at_or_before_a_key() {
        for count in [0, 1, BLOCK, 1000] {
            let pairs = pairs(count);
            let table: SortedTable<Pair> = pairs.iter().copied().collect();
            let last = pairs.last().map_or(0, |pair| pair.0);
            let around = pairs.iter().flat_map(|pair| [pair.0.saturating_sub(1), pair.0, pair.0 + 1]);
            for key in around.chain([0, last + 10_000, u32::MAX]) {
                let expected = pairs.iter().rev().find(|pair| pair.0 <= key).copied();
                assert_eq!(table.at_or_before(key), expected, "{count}, {key}");
            }
        }
    }

    #[test]
    fn neighbours_take_two_bytes() {
        let table: SortedTable<Pair> = (0..64_000).map(|i| Pair(i * 7, i * 3)).collect();
        assert!(table.as_bytes().len() < 64_000 * 5 / 2, "{}", table.as_bytes().len());
    }

    #[test]
    fn bytes_that_make_no_sense_are_read_without_a_panic() {
        let good = pairs(300).into_iter().collect::<SortedTable<Pair>>().as_bytes().to_vec();
        let mut random = random();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            match random(3) {
                0 => bytes.truncate(random(good.len() as u32) as usize),
                1 => bytes[random(4) as usize] = random(256) as u8,
                _ => (0..8).for_each(|_| bytes[random(good.len() as u32) as usize] = random(256) as u8),
            }
            let table = SortedTable::<Pair>::from_bytes(bytes.into());
            let _ = table.at_or_before(random(1 << 24));
            assert!(table.iter().count() <= good.len() * good.len());
        }
    }
}
