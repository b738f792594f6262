//! Provides the memory that cranelift-jit links in: one plain buffer, handed out in order and never
//! executed.
//!
//! cranelift-jit copies each function to where its memory provider says, and writes the distances
//! between functions through the pointers that it was given. When it is finished, it sends the
//! buffer to the linker, which waits for the text.
//!
//! # What is trusted here
//!
//! The trait [`JITMemoryProvider`] has an unsafe method, which frees memory, and an implementation
//! has to repeat the word. The method does nothing here: the buffer is a vector that frees itself.
//!
//! The other methods are safe to write and yet trusted: cranelift-jit writes `size` bytes to each
//! pointer that [`TextBuffer::allocate`] returns. That is sound for two reasons:
//!
//! - The buffer has its final size from the start, so it never moves, and nothing makes a reference
//!   to its bytes before [`TextBuffer::finalize`]. cranelift-jit writes nothing after it.
//! - The linker checks beforehand that all that is written lies within its function
//!   (`link::check`).

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::ModuleResult;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A text while it is linked.
pub(super) struct TextBuffer {
    bytes: Vec<u8>,
    used: usize,
    /// How many bytes behind a multiple of its alignment each function starts that is left.
    shifts: std::vec::IntoIter<u32>,
    finished: Sender<Vec<u8>>,
}

impl TextBuffer {
    /// Returns a buffer of `room` bytes, all zeros, and where the text can be received when it is
    /// linked.
    ///
    /// `shifts` says for each function, in their order, how many bytes behind a multiple of its
    /// alignment it starts.
    pub(super) fn new(room: usize, shifts: Vec<u32>) -> (Self, Receiver<Vec<u8>>) {
        let (finished, text) = channel();
        (Self { bytes: vec![0; room], used: 0, shifts: shifts.into_iter(), finished }, text)
    }
}

/// Returns where the next function starts, given how many bytes are used: `shift` bytes behind a
/// multiple of `align`. `None` if there is no such place.
pub(super) fn next_start(used: usize, align: u64, shift: u32) -> Option<usize> {
    // The last function may leave enough room before the next multiple.
    let before = used.saturating_sub(shift as usize);
    before.checked_next_multiple_of(align as usize)?.checked_add(shift as usize)
}

#[allow(unsafe_code, reason = "cranelift-jit's trait has an unsafe method; here it does nothing")]
impl JITMemoryProvider for TextBuffer {
    /// Hands out the next `size` bytes. Offsets are aligned, not addresses: the text will be placed
    /// at the start of a page.
    fn allocate(&mut self, size: usize, align: u64, _: JITMemoryKind) -> io::Result<*mut u8> {
        let start = next_start(self.used, align, self.shifts.next().unwrap_or(0));
        let range = start.and_then(|start| Some((start, start.checked_add(size)?)));
        let Some((start, end)) = range.filter(|(_, end)| *end <= self.bytes.len()) else {
            return Err(io::Error::other(format!("{size} bytes do not fit the buffer of the text")));
        };
        self.used = end;
        Ok(self.bytes.as_mut_ptr().wrapping_add(start))
    }

    unsafe fn free_memory(&mut self) {}

    /// Sends the text away. Afterwards there is no room any more.
    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        let mut text = std::mem::take(&mut self.bytes);
        text.truncate(self.used);
        // Nobody waits when linking was given up.
        let _ = self.finished.send(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Lists the files below `folder` whose text contains `word`.
    fn files_with(word: &str, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files_with(word, &path));
            } else if std::fs::read_to_string(&path).unwrap().contains(word) {
                found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        found
    }

    #[test]
    fn no_other_file_of_this_crate_may_have_unsafe_code() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_eq!(files_with(&format!("allow({}_code", "unsafe"), &source), ["memory_provider.rs"]);
        let crate_root = std::fs::read_to_string(source.join("lib.rs")).unwrap();
        assert!(crate_root.contains("#![deny(unsafe_code)]"));
    }

    fn allocate(buffer: &mut TextBuffer, size: usize, align: u64) -> io::Result<*mut u8> {
        buffer.allocate(size, align, JITMemoryKind::Executable)
    }

    #[test]
    fn offsets_are_aligned_wherever_the_buffer_lies() {
        let (mut buffer, text) = TextBuffer::new(4096, Vec::new());
        let first = allocate(&mut buffer, 5, 1).unwrap();
        let second = allocate(&mut buffer, 7, 1024).unwrap();
        assert_eq!(second.addr() - first.addr(), 1024);
        buffer.finalize(BranchProtection::None).unwrap();
        let text = text.recv().unwrap();
        assert_eq!(text.as_ptr().addr(), first.addr(), "the text was moved");
        assert_eq!(text, [0; 1024 + 7]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (mut buffer, _text) = TextBuffer::new(64, Vec::new());
        assert!(allocate(&mut buffer, 65, 1).is_err());
        assert!(allocate(&mut buffer, usize::MAX, 1).is_err());
        assert!(allocate(&mut buffer, 1, 0).is_err());
        assert!(allocate(&mut buffer, 64, 1).is_ok());
        assert!(allocate(&mut buffer, 1, 1).is_err());
        assert!(allocate(&mut buffer, 1, 1 << 63).is_err());
        buffer.finalize(BranchProtection::None).unwrap();
        assert!(allocate(&mut buffer, 1, 1).is_err(), "the linker is finished");
    }
}
