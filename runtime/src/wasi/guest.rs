//! A guest's memory, as the functions of WASI see it: pointers are numbers that may be anything.
//!
//! Every access is checked; outside is `FAULT`. Nothing is ever allocated by a number that a guest gave. Knows
//! nothing of descriptors or files.

use super::errno::{Errno, Result};
use crate::MemoryMut;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

/// The bytes of a guest's memory during one call.
pub(super) struct Guest<'a>(pub(super) MemoryMut<'a>);

/// The longest path the host takes, in bytes.
const PATH_LIMIT: u32 = 4095;

/// The most buffers that one call may name, as on Linux.
const VECTOR_LIMIT: u32 = 1024;

/// How many buffers are handed to the host at once.
const WRITE_CHUNK: usize = 16;
const READ_CHUNK: usize = 8;

fn range(pointer: u32, len: u32) -> Range<usize> {
    pointer as usize..pointer as usize + len as usize
}

impl Guest<'_> {
    pub(super) fn slice(&self, pointer: u32, len: u32) -> Result<&[u8]> {
        self.0.as_slice().get(range(pointer, len)).ok_or(Errno::FAULT)
    }

    pub(super) fn slice_mut(&mut self, pointer: u32, len: u32) -> Result<&mut [u8]> {
        self.0.range_mut(range(pointer, len)).map_err(|_| Errno::FAULT)
    }

    pub(super) fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<()> {
        let end = (pointer as usize).checked_add(bytes.len()).ok_or(Errno::FAULT)?;
        self.0.range_mut(pointer as usize..end).map_err(|_| Errno::FAULT)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, pointer: u32, value: u32) -> Result<()> {
        self.write(pointer, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, pointer: u32, value: u64) -> Result<()> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// A path: text, not too long, without a NUL.
    pub(super) fn path(&self, pointer: u32, len: u32) -> Result<&str> {
        let bytes = self.slice(pointer, len)?;
        if len > PATH_LIMIT {
            return Err(Errno::NAMETOOLONG);
        }
        if bytes.contains(&0) {
            return Err(Errno::INVAL);
        }
        std::str::from_utf8(bytes).map_err(|_| Errno::ILSEQ)
    }

    /// An array of buffers, all of which are inside, and which together are not longer than a count can say.
    pub(super) fn vectors(&self, pointer: u32, count: u32) -> Result<Vectors> {
        if count > VECTOR_LIMIT {
            return Err(Errno::INVAL);
        }
        self.slice(pointer, count * Vectors::ENTRY)?;
        let vectors = Vectors { pointer, count };
        let mut total = 0_u32;
        for index in 0..count {
            let range = vectors.range(self.0.as_slice(), index);
            total = total.checked_add(range.len() as u32).ok_or(Errno::INVAL)?;
            self.0.as_slice().get(range).ok_or(Errno::FAULT)?;
        }
        Ok(vectors)
    }

    /// Hands the buffers to `write`, some at a time and with the number of bytes taken before, until it takes less
    /// than it was given. Returns how many bytes it took.
    pub(super) fn gather(
        &self,
        vectors: Vectors,
        mut write: impl FnMut(&[IoSlice<'_>], u64) -> Result<usize>,
    ) -> Result<u32> {
        let mut done = 0;
        for first in (0..vectors.count).step_by(WRITE_CHUNK) {
            let mut chunk = [IoSlice::new(&[]); WRITE_CHUNK];
            let (mut used, mut wanted) = (0, 0);
            for (slot, index) in chunk.iter_mut().zip(first..vectors.count) {
                let bytes = self.0.as_slice();
                let bytes = bytes.get(vectors.range(bytes, index)).ok_or(Errno::FAULT)?;
                *slot = IoSlice::new(bytes);
                (used, wanted) = (used + 1, wanted + bytes.len());
            }
            let taken = match write(&chunk[..used], done) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(taken) => taken,
            };
            done += taken as u64;
            if taken < wanted {
                break;
            }
        }
        Ok(done as u32)
    }

    /// Hands the buffers to `read`, some at a time and with the number of bytes read before, until it fills less than
    /// it was given. Unless `repeat`, it is asked once only: another time might wait for input.
    pub(super) fn scatter(
        &mut self,
        vectors: Vectors,
        repeat: bool,
        mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> Result<usize>,
    ) -> Result<u32> {
        let (mut done, mut index) = (0, 0);
        while index < vectors.count {
            let (mut chunk, used) = self.chunk_mut(vectors, index)?;
            index += used as u32;
            let wanted: usize = chunk.iter().map(|buffer| buffer.len()).sum();
            if wanted == 0 {
                continue;
            }
            let taken = match read(&mut chunk[..used], done) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(taken) => taken,
            };
            done += taken as u64;
            if taken < wanted || !repeat {
                break;
            }
        }
        Ok(done as u32)
    }

    /// Some buffers from the one at `first` on, and how many: as many as fit, but only one if some of them overlap.
    fn chunk_mut(&mut self, vectors: Vectors, first: u32) -> Result<([IoSliceMut<'_>; READ_CHUNK], usize)> {
        let used = ((vectors.count - first) as usize).min(READ_CHUNK);
        let mut ranges = [const { 0..0 }; READ_CHUNK];
        for (slot, index) in ranges.iter_mut().zip(first..first + used as u32) {
            *slot = Some(vectors.range(self.0.as_slice(), index)).filter(|range| !range.is_empty()).unwrap_or(0..0);
        }
        let used = if self.0.ranges_mut(ranges.clone()).is_ok() { used } else { 1 };
        for range in &mut ranges[used..] {
            *range = 0..0;
        }
        let buffers = self.0.ranges_mut(ranges).map_err(|_| Errno::FAULT)?;
        Ok((buffers.map(IoSliceMut::new), used))
    }
}

/// A guest's array of buffers, each a pointer and a length.
#[derive(Clone, Copy)]
pub(super) struct Vectors {
    pointer: u32,
    count: u32,
}

impl Vectors {
    /// Bytes of one entry.
    const ENTRY: u32 = 8;

    /// Where the buffer of this index is said to be. What is read into a guest's memory may change that.
    fn range(self, memory: &[u8], index: u32) -> Range<usize> {
        let entry = range(self.pointer + index * Self::ENTRY, Self::ENTRY);
        match memory.get(entry).map(|bytes| bytes.as_chunks().0) {
            Some([pointer, len]) => range(u32::from_le_bytes(*pointer), u32::from_le_bytes(*len)),
            _ => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory whose beginning is an array of these buffers.
    fn memory(buffers: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            buffers.iter().flat_map(|(p, n)| [p.to_le_bytes(), n.to_le_bytes()].concat()).collect();
        bytes.resize(1024, 0);
        bytes[512..].copy_from_slice(&[7; 512]);
        bytes
    }

    #[test]
    fn what_is_outside_is_a_fault() {
        let mut bytes = [0; 16];
        let guest = Guest(bytes[..].as_mut().into());
        assert!(guest.slice(0, 16).is_ok());
        assert!(guest.slice(16, 0).is_ok());
        assert_eq!(guest.slice(17, 0), Err(Errno::FAULT));
        assert_eq!(guest.slice(8, 9), Err(Errno::FAULT));
        assert_eq!(guest.slice(u32::MAX, u32::MAX), Err(Errno::FAULT));
    }

    #[test]
    fn writes_at_the_edge_are_whole_or_not_at_all() {
        let mut bytes = [0; 16];
        let mut guest = Guest(bytes[..].as_mut().into());
        assert_eq!(guest.write_u64(9, u64::MAX), Err(Errno::FAULT));
        assert_eq!(guest.write_u32(u32::MAX, 1), Err(Errno::FAULT));
        assert_eq!(guest.write_u64(8, u64::MAX), Ok(()));
        assert_eq!(bytes, *[[0; 8], [255; 8]].as_flattened());
    }

    #[test]
    fn paths_are_checked_before_they_are_used() {
        let mut bytes = vec![b'a'; 5000];
        bytes[1] = 0;
        bytes[2] = 0xff;
        let guest = Guest(bytes[..].as_mut().into());
        assert_eq!(guest.path(3, 2), Ok("aa"));
        assert_eq!(guest.path(0, 2), Err(Errno::INVAL));
        assert_eq!(guest.path(2, 2), Err(Errno::ILSEQ));
        assert_eq!(guest.path(3, 4096), Err(Errno::NAMETOOLONG));
        assert_eq!(guest.path(3, 5000), Err(Errno::FAULT));
    }

    #[test]
    fn too_many_or_too_long_buffers_are_refused() {
        let mut bytes = memory(&[(0, 1025)]);
        let guest = Guest(bytes[..].as_mut().into());
        assert_eq!(guest.vectors(0, 1).err(), Some(Errno::FAULT));
        assert_eq!(guest.vectors(0, 1025).err(), Some(Errno::INVAL));
        assert_eq!(guest.vectors(1020, 1).err(), Some(Errno::FAULT));
        let mut bytes = memory(&[(512, 512); 8]);
        Guest(bytes[..].as_mut().into()).vectors(0, 8).unwrap();
    }

    #[test]
    fn writing_goes_on_after_a_chunk_and_stops_when_less_is_taken() {
        let mut bytes = memory(&[(600, 2); 40]);
        let guest = Guest(bytes[..].as_mut().into());
        let vectors = guest.vectors(0, 40).unwrap();
        let mut calls = Vec::new();
        let mut take = |buffers: &[IoSlice<'_>], done| {
            calls.push((buffers.len(), done));
            Ok(if done == 0 { 32 } else { 5 })
        };
        assert_eq!(guest.gather(vectors, &mut take), Ok(37));
        assert_eq!(calls, [(16, 0), (16, 32)]);
    }

    #[test]
    fn an_error_after_progress_is_progress() {
        let mut bytes = memory(&[(600, 1); 17]);
        let guest = Guest(bytes[..].as_mut().into());
        let vectors = guest.vectors(0, 17).unwrap();
        let fail_later = |_: &[IoSlice<'_>], done| if done == 0 { Ok(16) } else { Err(Errno::IO) };
        assert_eq!(guest.gather(vectors, fail_later), Ok(16));
        assert_eq!(guest.gather(vectors, |_, _| Err(Errno::IO)), Err(Errno::IO));
    }

    #[test]
    fn several_buffers_are_read_at_once() {
        let mut bytes = memory(&[(600, 2), (0, 0), (700, 3)]);
        let mut guest = Guest(bytes[..].as_mut().into());
        let vectors = guest.vectors(0, 3).unwrap();
        let count = guest.scatter(vectors, false, |buffers, _| {
            assert_eq!(buffers.iter().map(|b| b.len()).collect::<Vec<_>>(), [2, 0, 3]);
            buffers[2].copy_from_slice(b"end");
            Ok(5)
        });
        assert_eq!((count, &bytes[700..703]), (Ok(5), &b"end"[..]));
    }

    #[test]
    fn overlapping_buffers_are_read_one_by_one() {
        let mut bytes = memory(&[(600, 4), (602, 4)]);
        let mut guest = Guest(bytes[..].as_mut().into());
        let vectors = guest.vectors(0, 2).unwrap();
        let mut fill = |buffers: &mut [IoSliceMut<'_>], done| {
            buffers[0].fill(b'a' + done as u8);
            Ok(buffers[0].len())
        };
        assert_eq!(guest.scatter(vectors, true, &mut fill), Ok(8));
        assert_eq!(guest.scatter(vectors, false, &mut fill), Ok(4));
        assert_eq!(&bytes[600..606], b"aaaaee");
    }

    #[test]
    fn reading_over_the_array_of_buffers_is_harmless() {
        let mut bytes = memory(&[(0, 160); 17]);
        let mut guest = Guest(bytes[..].as_mut().into());
        let vectors = guest.vectors(0, 17).unwrap();
        let mut fill = |buffers: &mut [IoSliceMut<'_>], _| {
            buffers[0].fill(255);
            Ok(buffers[0].len())
        };
        assert_eq!(guest.scatter(vectors, true, &mut fill), Err(Errno::FAULT));
    }
}
