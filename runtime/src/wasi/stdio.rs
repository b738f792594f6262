//! Provides a guest's standard input, output and error.
//!
//! Inherited streams are the process's own descriptors. Nothing here buffers, so what the embedder
//! has in the buffers of `std::io` comes before or after what a guest writes in one call, never
//! between. Streams in memory are bounded.

use super::errno::{Errno, Result};
use std::io::{IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a guest's standard input comes from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Input {
    /// Nowhere: the guest is at the end of its input at once.
    #[default]
    Null,
    /// The standard input of this process, as a stream: the guest cannot seek in it even if it is a
    /// file.
    Inherit,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
}

/// Where a guest's standard output or error goes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// To the stream of the same number of this process. The guest can write to it, but neither
    /// seek nor write at an offset even if it is a file, for others write there, too.
    Inherit,
    /// Into memory, where the embedder finds it.
    Buffer(OutputBuffer),
}

/// Collects what guests write. All clones share the same bytes.
#[derive(Clone, Debug)]
pub struct OutputBuffer {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl OutputBuffer {
    /// Creates an empty buffer for at most `limit` bytes. A guest that writes more gets `NOSPC`.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    /// Returns a copy of the bytes written so far.
    pub fn contents(&self) -> Vec<u8> {
        self.lock().clone()
    }

    /// Returns the bytes written so far, and leaves the buffer empty.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }

    /// Locks the bytes. A vector of them is whole even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        let mut bytes = self.lock();
        let before = bytes.len();
        for buffer in buffers {
            let room = self.limit.saturating_sub(bytes.len()).min(buffer.len());
            bytes.extend_from_slice(&buffer[..room]);
        }
        match bytes.len() - before {
            0 if buffers.iter().any(|buffer| !buffer.is_empty()) => Err(Errno::NOSPC),
            taken => Ok(taken),
        }
    }
}

/// A stream that a descriptor can stand for.
#[derive(Debug)]
pub(super) enum Stream {
    Null,
    /// The rest of an input in memory.
    Bytes(std::io::Cursor<Vec<u8>>),
    Buffer(OutputBuffer),
    Stdin(std::io::Stdin),
    Stdout(std::io::Stdout),
    Stderr(std::io::Stderr),
}

impl Stream {
    pub(super) fn input(input: Input) -> Self {
        match input {
            Input::Null => Self::Null,
            Input::Inherit => Self::Stdin(std::io::stdin()),
            Input::Bytes(bytes) => Self::Bytes(std::io::Cursor::new(bytes)),
        }
    }

    pub(super) fn output(output: Output) -> Self {
        Self::from_output(output, || Self::Stdout(std::io::stdout()))
    }

    pub(super) fn error(output: Output) -> Self {
        Self::from_output(output, || Self::Stderr(std::io::stderr()))
    }

    fn from_output(output: Output, inherited: impl FnOnce() -> Self) -> Self {
        match output {
            Output::Null => Self::Null,
            Output::Inherit => inherited(),
            Output::Buffer(buffer) => Self::Buffer(buffer),
        }
    }

    /// Returns the host's descriptor, if there is one behind it.
    pub(super) fn host(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Null | Self::Bytes(_) | Self::Buffer(_) => None,
            Self::Stdin(stdin) => Some(stdin.as_fd()),
            Self::Stdout(stdout) => Some(stdout.as_fd()),
            Self::Stderr(stderr) => Some(stderr.as_fd()),
        }
    }

    /// Reads from a stream in memory.
    pub(super) fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        match self {
            Self::Bytes(cursor) => Ok(cursor.read_vectored(buffers)?),
            Self::Null => Ok(0),
            _ => Err(Errno::BADF),
        }
    }

    /// Writes to a stream in memory.
    pub(super) fn write(&self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        match self {
            Self::Buffer(buffer) => buffer.write(buffers),
            Self::Null => Ok(buffers.iter().map(|buffer| buffer.len()).sum()),
            _ => Err(Errno::BADF),
        }
    }

    /// Returns how many bytes are left in a stream in memory.
    pub(super) fn available(&self) -> u64 {
        match self {
            Self::Bytes(cursor) => (cursor.get_ref().len() as u64).saturating_sub(cursor.position()),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_what_fits_and_then_nothing() {
        let buffer = OutputBuffer::new(5);
        assert_eq!(buffer.write(&[IoSlice::new(b"abc"), IoSlice::new(b"defg")]), Ok(5));
        assert_eq!(buffer.write(&[IoSlice::new(b"h")]), Err(Errno::NOSPC));
        assert_eq!(buffer.write(&[IoSlice::new(b"")]), Ok(0));
        assert_eq!(buffer.clone().take(), b"abcde");
        assert_eq!(buffer.contents(), b"");
    }

    #[test]
    fn bytes_are_read_to_their_end() {
        let mut stream = Stream::input(Input::Bytes(b"hello".to_vec()));
        let (mut a, mut b) = ([0; 2], [0; 9]);
        assert_eq!(stream.read(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]), Ok(5));
        assert_eq!((&a, &b[..3]), (b"he", &b"llo"[..]));
        assert_eq!(stream.read(&mut [IoSliceMut::new(&mut a)]), Ok(0));
    }
}
