//! Holds machine code in executable memory, and the tables that explain it.

use super::registry;
use crate::sys::arch;
use crate::sys::mapping::{Access, Reservation, page_size, whole_pages};
use crate::sys::memfd::ImageFile;
use anyhow::{Context, Result};
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::code::{Code, CodeTables};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::Arc;

/// A module's code, executable until it is dropped.
#[derive(Debug)]
pub(crate) struct LoadedCode {
    text: Reservation,
    /// Bytes of text; the rest of its last page is zeros.
    len: usize,
    tables: CodeTables,
}

impl LoadedCode {
    /// Places code in memory of its own: first writable, then executable, never both.
    ///
    /// # Errors
    /// Returns an error if the kernel gives no memory, or refuses to make it executable.
    pub(crate) fn new(code: Code) -> Result<Arc<Self>> {
        let text = place(&code.text).context("could not place machine code in executable memory")?;
        Ok(Self::register(text, code.text.len(), code.tables))
    }

    /// Maps code from a file: `len` bytes at `offset`, whole pages.
    ///
    /// # Errors
    /// Returns an error if the kernel gives no address space, or refuses to make the file
    /// executable.
    pub(crate) fn from_file(code: Code, file: BorrowedFd<'_>, offset: usize, len: usize) -> Result<Arc<Self>> {
        let map = || {
            let text = Reservation::new(len.max(page_size()))?;
            // SAFETY: the reservation is new, so nothing refers into it.
            unsafe { text.map_file(0..len, file, offset, Access::ReadExecute) }?;
            // The kernel has seen to the caches of what it reads from files.
            publish(&text, 0)?;
            anyhow::Ok(text)
        };
        let text = map().context("could not map an artifact's machine code")?;
        Ok(Self::register(text, code.text.len(), code.tables))
    }

    fn register(text: Reservation, len: usize, tables: CodeTables) -> Arc<Self> {
        let loaded = Arc::new(Self { text, len, tables });
        // SAFETY: `drop` takes it out again before the tables go, and the Arc keeps them where they
        // are.
        unsafe { registry::add(loaded.addresses(), &loaded.tables) };
        loaded
    }

    /// Returns what it was made from. The text is this one, not a copy.
    pub(crate) fn to_code(self: &Arc<Self>) -> Code {
        Code { text: Bytes::new(Arc::<Self>::clone(self)), tables: self.tables.clone() }
    }

    /// Returns the address of an offset into the text.
    pub(crate) fn address(&self, offset: u32) -> *const u8 {
        self.text.at(offset as usize)
    }

    /// Returns the offset into the text that an address stands for.
    pub(crate) fn offset(&self, address: usize) -> Option<u32> {
        let addresses = self.addresses();
        addresses.contains(&address).then(|| (address - addresses.start) as u32)
    }

    /// Returns how many bytes of machine code there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the tables that explain the text.
    pub(crate) fn tables(&self) -> &CodeTables {
        &self.tables
    }

    /// Returns the addresses of the text, without the zeros after it.
    fn addresses(&self) -> Range<usize> {
        let start = self.text.addresses().start;
        start..start + self.len
    }
}

/// The text.
impl AsRef<[u8]> for LoadedCode {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the text is mapped readable, at least `len` bytes of it, and never changes.
        unsafe { std::slice::from_raw_parts(self.text.at(0), self.len) }
    }
}

impl Drop for LoadedCode {
    fn drop(&mut self) {
        registry::remove(self.addresses().start);
    }
}

fn place(bytes: &[u8]) -> Result<Reservation> {
    let len = whole_pages(bytes.len().max(1));
    let text = Reservation::new(len)?;
    // SAFETY: the reservation is new, so nothing refers into it; `bytes` fit, because `len` rounds
    // them up.
    let protected = unsafe {
        text.map_zeros(0..len, Access::ReadWrite)?;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), text.at(0), bytes.len());
        text.protect(0..len, Access::ReadExecute)
    };
    match protected {
        // A process that was hardened (`PR_SET_MDWE`, or a filter) may execute no memory that it
        // has written, but a file. Where there is no such file either, the first error is told.
        Err(refused @ (Errno::ACCESS | Errno::PERM)) => map_sealed(&text, bytes, len).map_err(|_| refused)?,
        protected => protected?,
    }
    // What the embedder defines has no code, and needs no processor to know.
    if !bytes.is_empty() {
        publish(&text, bytes.len())?;
    }
    Ok(text)
}

/// Replaces all of `text` by a sealed file with these bytes, executable.
fn map_sealed(text: &Reservation, bytes: &[u8], len: usize) -> rustix::io::Result<()> {
    let file = ImageFile::sealed(len, [(0, bytes)])?;
    // SAFETY: nothing refers into the reservation.
    unsafe { text.map_file(0..len, file.as_fd(), 0, Access::ReadExecute) }
}

/// Makes all processors see new code, of which this process has written the first `len` bytes.
fn publish(text: &Reservation, len: usize) -> Result<()> {
    // SAFETY: that much is mapped readable, and nothing changes it any more.
    unsafe { arch::publish_code(text.at(0), len) }.context("could not make the processors fetch new code")
}
