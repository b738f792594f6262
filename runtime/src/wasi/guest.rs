//! Reads and writes a guest's memory, at addresses that may be anything.
//!
//! Every access is checked; outside is `FAULT`. Nothing is ever allocated by a number that a guest
//! gave. Knows nothing of descriptors or files.

use super::errno::{Errno, Result};
use super::params::{GuestPath, GuestPtr, GuestSlice, Iovecs};
use super::records::Record;
use crate::MemoryMut;
use smallvec::SmallVec;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

/// The bytes of a guest's memory.
#[derive(Debug)]
pub(super) struct Guest<'a>(pub(super) MemoryMut<'a>);

/// The longest path that the host takes, in bytes.
const PATH_LIMIT: u32 = 4095;

/// The most buffers that the host takes in one system call.
pub(super) const BUFFER_LIMIT: u32 = 1024;

/// How many buffers are read into by one system call. Each is compared with all others, for they
/// may overlap.
const READ_BUFFERS: usize = 8;

/// The most bytes that one call of a guest moves, as on Linux. Libraries take the count for a
/// signed number.
const TRANSFER_LIMIT: u64 = 0x7fff_f000;

/// Where buffers begin and end.
type Steps = SmallVec<[(Cursor, Cursor); READ_BUFFERS]>;

fn range(address: u32, len: u32) -> Range<usize> {
    address as usize..address as usize + len as usize
}

impl Guest<'_> {
    pub(super) fn slice(&self, GuestSlice { address, len }: GuestSlice) -> Result<&[u8]> {
        self.0.as_slice().get(range(address, len)).ok_or(Errno::FAULT)
    }

    pub(super) fn slice_mut(&mut self, GuestSlice { address, len }: GuestSlice) -> Result<&mut [u8]> {
        self.0.range_mut(range(address, len)).map_err(|_| Errno::FAULT)
    }

    /// Finds out whether a record can be written, and makes sure that it can.
    pub(super) fn prepare<R: Record>(&mut self, to: GuestPtr<R>) -> Result<()> {
        self.slice_mut(GuestSlice { address: to.address, len: R::SIZE }).map(drop)
    }

    pub(super) fn write<R: Record>(&mut self, to: GuestPtr<R>, record: &R) -> Result<()> {
        let bytes = self.slice_mut(GuestSlice { address: to.address, len: R::SIZE })?;
        bytes.fill(0);
        record.encode(bytes);
        Ok(())
    }

    pub(super) fn write_bytes(&mut self, to: u32, bytes: &[u8]) -> Result<()> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        self.slice_mut(GuestSlice { address: to, len })?.copy_from_slice(bytes);
        Ok(())
    }

    /// Returns a path: text, not too long, without a NUL.
    pub(super) fn path(&self, GuestPath(path): GuestPath) -> Result<&str> {
        let bytes = self.slice(path)?;
        if path.len > PATH_LIMIT {
            return Err(Errno::NAMETOOLONG);
        }
        if bytes.contains(&0) {
            return Err(Errno::INVAL);
        }
        std::str::from_utf8(bytes).map_err(|_| Errno::ILSEQ)
    }

    /// Begins a transfer. The array of buffers is inside the memory, and so are the first buffers;
    /// those after `BUFFER_LIMIT` are looked at when it is their turn, so that nothing takes long.
    pub(super) fn begin(&self, iovecs: Iovecs) -> Result<Cursor> {
        let start = Cursor { iovecs, index: 0, offset: 0, done: 0 };
        let array = GuestPtr::<Iovecs>::new(iovecs.address).array(iovecs.count, Cursor::ENTRY)?;
        self.slice(array)?;
        let mut cursor = Cursor { iovecs: Iovecs { count: iovecs.count.min(BUFFER_LIMIT), ..iovecs }, ..start };
        while !cursor.is_at_end() {
            cursor.next(self.0.as_slice(), usize::MAX)?;
        }
        Ok(start)
    }

    /// Returns buffers from the cursor on, with `most` bytes at most, and the cursor after them.
    /// There may be none although the cursor is not at its end.
    pub(super) fn buffers(&self, start: Cursor, most: usize) -> Result<(SmallVec<[IoSlice<'_>; 16]>, Cursor)> {
        let (mut buffers, mut cursor) = (SmallVec::new(), start);
        while cursor.is_near(start) && cursor.since(start) < most {
            match cursor.next(self.0.as_slice(), most - cursor.since(start)) {
                Ok(range) if range.is_empty() => (),
                Ok(range) => buffers.push(IoSlice::new(&self.0.as_slice()[range])),
                Err(error) if buffers.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok((buffers, cursor))
    }

    /// Returns buffers that can be read into, in the same way: fewer of them, and only one if some
    /// overlap.
    pub(super) fn buffers_mut(&mut self, start: Cursor, most: usize) -> Result<Chunk<'_>> {
        let mut ranges = [const { 0..0 }; READ_BUFFERS];
        let mut steps: Steps = SmallVec::new();
        let mut cursor = start;
        while steps.len() < READ_BUFFERS && cursor.is_near(start) && cursor.since(start) < most {
            let before = cursor;
            match cursor.next(self.0.as_slice(), most - cursor.since(start)) {
                Ok(range) if range.is_empty() => (),
                Ok(range) => {
                    ranges[steps.len()] = range;
                    steps.push((before, cursor));
                }
                Err(error) if steps.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        let mut end = cursor;
        if steps.len() > 1 && self.0.ranges_mut(ranges.clone()).is_err() {
            steps.truncate(1);
            ranges[1..].fill(0..0);
            end = steps[0].1;
        }
        let buffers = self.0.ranges_mut(ranges).map_err(|_| Errno::FAULT)?.map(IoSliceMut::new);
        Ok(Chunk { buffers, steps, end })
    }
}

impl Guest<'_> {
    /// Copies bytes to the buffers from the cursor on, which had room for them when it was
    /// measured.
    pub(super) fn scatter(&mut self, mut cursor: Cursor, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if cursor.is_at_end() {
                return Err(Errno::FAULT);
            }
            let mut chunk = self.buffers_mut(cursor, bytes.len())?;
            for buffer in chunk.buffers() {
                let (now, later) = bytes.split_at(buffer.len());
                buffer.copy_from_slice(now);
                bytes = later;
            }
            cursor = chunk.end;
        }
        Ok(())
    }
}

/// How far a transfer has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    iovecs: Iovecs,
    /// The entry of the array that is next.
    index: u32,
    /// Bytes of that entry which have been dealt with.
    offset: u32,
    /// Bytes of all entries which have been dealt with.
    pub(super) done: u64,
}

impl Cursor {
    /// Bytes of an entry.
    const ENTRY: u32 = 8;

    pub(super) fn is_at_end(self) -> bool {
        self.index >= self.iovecs.count || self.done >= TRANSFER_LIMIT
    }

    /// Returns whether it is not at its end, and not so far from `start` that something else has to
    /// be looked at first.
    fn is_near(self, start: Self) -> bool {
        !self.is_at_end() && self.index - start.index < BUFFER_LIMIT
    }

    /// Returns the bytes between two cursors.
    fn since(self, start: Self) -> usize {
        (self.done - start.done) as usize
    }

    /// Returns where the next bytes are, at most `most`, and moves past them. An empty entry is
    /// an empty range.
    ///
    /// The array is in the guest's memory, where what is read into may change it.
    fn next(&mut self, memory: &[u8], most: usize) -> Result<Range<usize>> {
        let most = most.min((TRANSFER_LIMIT - self.done) as usize);
        let entry = memory.get(range(self.iovecs.address + self.index * Self::ENTRY, Self::ENTRY));
        let Some([address, len]) = entry.map(|bytes| bytes.as_chunks().0) else { return Err(Errno::FAULT) };
        let whole = range(u32::from_le_bytes(*address), u32::from_le_bytes(*len));
        if memory.get(whole.clone()).is_none() || whole.len() < self.offset as usize {
            return Err(Errno::FAULT);
        }
        let rest = whole.start + self.offset as usize..whole.end;
        let next = rest.start..rest.end.min(rest.start.saturating_add(most));
        (self.index, self.offset) = match next.end == rest.end {
            true => (self.index + 1, 0),
            false => (self.index, self.offset + next.len() as u32),
        };
        self.done += next.len() as u64;
        Ok(next)
    }
}

/// Buffers to read into.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    /// Those that are not needed are empty.
    buffers: [IoSliceMut<'a>; READ_BUFFERS],
    /// Where each buffer begins and ends.
    steps: Steps,
    pub(super) end: Cursor,
}

impl<'a> Chunk<'a> {
    pub(super) fn buffers(&mut self) -> &mut [IoSliceMut<'a>] {
        &mut self.buffers[..self.steps.len()]
    }

    /// Returns the cursor after this many bytes of the buffers.
    pub(super) fn after(&self, mut count: usize) -> Cursor {
        for (start, end) in &self.steps {
            let len = end.since(*start);
            if count < len {
                let done = start.done + count as u64;
                return Cursor { offset: start.offset + count as u32, done, ..*start };
            }
            count -= len;
        }
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a memory whose beginning is an array of these buffers.
    fn memory(buffers: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            buffers.iter().flat_map(|(p, n)| [p.to_le_bytes(), n.to_le_bytes()].concat()).collect();
        bytes.resize(bytes.len().max(1024), 0);
        bytes
    }

    fn guest(bytes: &mut [u8]) -> Guest<'_> {
        Guest(bytes.into())
    }

    fn slice(address: u32, len: u32) -> GuestSlice {
        GuestSlice { address, len }
    }

    fn begin(guest: &Guest<'_>, count: u32) -> Cursor {
        guest.begin(Iovecs { address: 0, count }).unwrap()
    }

    /// Returns the lengths of the pieces to be written.
    fn lengths(guest: &Guest<'_>, count: u32, most: usize) -> Vec<Vec<usize>> {
        let (mut cursor, mut found) = (begin(guest, count), Vec::new());
        while !cursor.is_at_end() {
            let (buffers, after) = guest.buffers(cursor, most).unwrap();
            found.push(buffers.iter().map(|buffer| buffer.len()).collect());
            cursor = after;
        }
        found
    }

    #[test]
    fn what_is_outside_is_a_fault() {
        let mut bytes = [0; 16];
        let mut guest = guest(&mut bytes);
        for inside in [slice(0, 16), slice(16, 0), slice(15, 1)] {
            assert!(guest.slice(inside).is_ok() && guest.slice_mut(inside).is_ok());
        }
        for outside in [slice(17, 0), slice(8, 9), slice(u32::MAX, u32::MAX), slice(u32::MAX, 1)] {
            assert_eq!(guest.slice(outside), Err(Errno::FAULT));
            assert_eq!(guest.slice_mut(outside), Err(Errno::FAULT));
        }
        assert_eq!(
            (guest.write_bytes(14, b"abc"), guest.write_bytes(u32::MAX, b"")),
            (Err(Errno::FAULT), Err(Errno::FAULT))
        );
        assert_eq!((guest.write_bytes(13, b"abc"), &bytes[12..]), (Ok(()), &b"\0abc"[..]));
    }

    #[test]
    fn records_at_the_edge_are_whole_or_not_at_all() {
        use crate::wasi::params::{Filesize, Size};
        let mut bytes = [7; 16];
        let mut guest = guest(&mut bytes);
        assert_eq!(guest.write(GuestPtr::new(9), &Filesize(u64::MAX)), Err(Errno::FAULT));
        assert_eq!(guest.prepare(GuestPtr::<Filesize>::new(9)), Err(Errno::FAULT));
        assert_eq!(guest.write(GuestPtr::new(u32::MAX), &Size(1)), Err(Errno::FAULT));
        assert_eq!(guest.prepare(GuestPtr::<Filesize>::new(8)), Ok(()));
        assert_eq!(guest.write(GuestPtr::new(8), &Filesize(u64::MAX)), Ok(()));
        assert_eq!(bytes, *[[7; 8], [255; 8]].as_flattened());
    }

    #[test]
    fn paths_are_checked_before_they_are_used() {
        let mut bytes = vec![b'a'; 5000];
        bytes[1] = 0;
        bytes[2] = 0xff;
        let guest = guest(&mut bytes);
        let path = |address, len| guest.path(GuestPath(slice(address, len)));
        assert_eq!(path(3, 2), Ok("aa"));
        assert_eq!(path(0, 2), Err(Errno::INVAL));
        assert_eq!(path(2, 2), Err(Errno::ILSEQ));
        assert_eq!(path(3, 4095).map(str::len), Ok(4095));
        assert_eq!(path(3, 4096), Err(Errno::NAMETOOLONG));
        assert_eq!(path(3, 5000), Err(Errno::FAULT));
    }

    #[test]
    fn a_transfer_begins_only_if_its_buffers_are_inside() {
        let mut bytes = memory(&[(0, 1025)]);
        let fault = |guest: &Guest<'_>, address, count| guest.begin(Iovecs { address, count }).err();
        assert_eq!(fault(&guest(&mut bytes), 0, 1), Some(Errno::FAULT));
        assert_eq!(fault(&guest(&mut bytes), 1020, 1), Some(Errno::FAULT));
        assert_eq!(fault(&guest(&mut bytes), 0, 1 << 29), Some(Errno::FAULT));
        assert_eq!(fault(&guest(&mut bytes), 0, u32::MAX), Some(Errno::FAULT));
        let mut bytes = memory(&[(512, 512), (512, 513)]);
        assert_eq!(fault(&guest(&mut bytes), 0, 1), None);
        assert_eq!(fault(&guest(&mut bytes), 0, 2), Some(Errno::FAULT));
    }

    #[test]
    fn only_the_first_buffers_are_looked_at_beforehand() {
        let mut buffers = vec![(0, 1); 1025];
        buffers[1024] = (0, u32::MAX);
        let mut bytes = memory(&buffers);
        let guest = guest(&mut bytes);
        let cursor = begin(&guest, 1025);
        let (found, after) = guest.buffers(cursor, 5000).unwrap();
        assert_eq!((found.len(), after.done, after.is_at_end()), (1024, 1024, false));
        assert_eq!(guest.buffers(after, 5000).err(), Some(Errno::FAULT));
        let last = Iovecs { address: 0, count: 1024 };
        assert!(guest.begin(last).is_ok());
        assert_eq!(guest.begin(Iovecs { address: 8, count: 1024 }).err(), Some(Errno::FAULT));
    }

    #[test]
    fn pieces_end_where_they_are_full() {
        let mut bytes = memory(&[(100, 3), (0, 0), (200, 5), (300, 2)]);
        let guest = guest(&mut bytes);
        assert_eq!(lengths(&guest, 4, 100), [[3, 5, 2]]);
        assert_eq!(lengths(&guest, 4, 8), [vec![3, 5], vec![2]]);
        assert_eq!(lengths(&guest, 4, 4), [vec![3, 1], vec![4], vec![2]]);
        assert_eq!(lengths(&guest, 4, 1), vec![[1]; 10]);
    }

    #[test]
    fn a_piece_has_as_many_buffers_as_the_host_takes_and_looks_at_as_many() {
        let mut bytes = memory(&[(9, 1); 2500]);
        assert_eq!(lengths(&guest(&mut bytes), 2500, 5000), [vec![1; 1024], vec![1; 1024], vec![1; 452]]);
        let mut bytes = memory(&[[(9, 0); 1024], [(9, 1); 1024]].concat());
        assert_eq!(lengths(&guest(&mut bytes), 2048, 5000), [vec![], vec![1; 1024]]);
    }

    #[test]
    fn a_transfer_ends_where_its_count_would_be_a_negative_number() {
        let cursor = Cursor { iovecs: Iovecs { address: 0, count: 9 }, index: 0, offset: 0, done: TRANSFER_LIMIT - 3 };
        let mut bytes = memory(&[(100, 2); 9]);
        let (buffers, after) = guest(&mut bytes).buffers(cursor, 100).map(|(b, c)| (b.len(), c)).unwrap();
        assert_eq!((buffers, after.done, after.is_at_end()), (2, TRANSFER_LIMIT, true));
    }

    #[test]
    fn several_buffers_are_read_into_at_once() {
        let mut bytes = memory(&[(600, 2), (0, 0), (700, 3), (800, 0)]);
        let mut guest = guest(&mut bytes);
        let mut chunk = guest.buffers_mut(begin(&guest, 4), 100).unwrap();
        assert_eq!(chunk.buffers().iter().map(|b| b.len()).collect::<Vec<_>>(), [2, 3]);
        chunk.buffers()[1].copy_from_slice(b"end");
        assert!(chunk.end.is_at_end());
        assert_eq!((chunk.end.done, &bytes[700..703]), (5, &b"end"[..]));
    }

    #[test]
    fn reading_goes_on_in_the_middle_of_a_buffer() {
        let mut bytes = memory(&[(600, 2), (0, 0), (700, 3), (800, 4)]);
        let mut guest = guest(&mut bytes);
        let start = begin(&guest, 4);
        let chunk = guest.buffers_mut(start, 7).unwrap();
        let cursors = [0, 1, 2, 4, 5, 6, 7].map(|count| chunk.after(count));
        assert_eq!(cursors[6], chunk.end);
        assert_eq!(cursors.map(|cursor| cursor.done), [0, 1, 2, 4, 5, 6, 7]);
        for (cursor, rest) in cursors.into_iter().zip([&[2, 3, 4][..], &[1, 3, 4], &[3, 4], &[1, 4], &[4], &[3], &[2]])
        {
            let (buffers, _) = guest.buffers(cursor, 100).unwrap();
            assert_eq!(buffers.iter().map(|b| b.len()).collect::<Vec<_>>(), rest);
        }
    }

    #[test]
    fn overlapping_buffers_are_read_into_one_by_one() {
        let mut bytes = memory(&[(600, 4), (602, 4)]);
        let mut guest = guest(&mut bytes);
        let mut cursor = begin(&guest, 2);
        for fill in [b'a', b'e'] {
            let mut chunk = guest.buffers_mut(cursor, 100).unwrap();
            let [buffer] = chunk.buffers() else { panic!("they overlap") };
            buffer.fill(fill);
            cursor = chunk.end;
        }
        assert!(cursor.is_at_end());
        assert_eq!(&bytes[600..606], b"aaeeee");
    }

    #[test]
    fn at_most_eight_buffers_are_read_into_at_once() {
        let mut bytes = memory(&(0..20).map(|i| (600 + i, 1)).collect::<Vec<_>>());
        let mut guest = guest(&mut bytes);
        let (mut cursor, mut found) = (begin(&guest, 20), Vec::new());
        while !cursor.is_at_end() {
            let mut chunk = guest.buffers_mut(cursor, 100).unwrap();
            found.push(chunk.buffers().len());
            cursor = chunk.end;
        }
        assert_eq!(found, [8, 8, 4]);
    }

    #[test]
    fn reading_over_the_array_of_buffers_is_harmless() {
        let mut bytes = memory(&[(0, 160); 17]);
        let mut guest = guest(&mut bytes);
        let mut chunk = guest.buffers_mut(begin(&guest, 17), 500).unwrap();
        chunk.buffers()[0].fill(255);
        let next = chunk.end;
        assert_eq!(guest.buffers_mut(next, 500).err(), Some(Errno::FAULT));
        // Shorter than what has been dealt with.
        let mut chunk = guest.buffers_mut(Cursor { index: 0, offset: 0, ..next }, 500);
        assert!(chunk.is_err());
        guest.write_bytes(0, &[0, 0, 0, 0, 3, 0, 0, 0]).unwrap();
        chunk = guest.buffers_mut(Cursor { index: 0, offset: 4, ..next }, 500);
        assert_eq!(chunk.err(), Some(Errno::FAULT));
    }
}
