//! Makes the files that images are mapped from: sealed memory files, which nothing in the process
//! can change any more, and parts of files on disk.

use super::descriptor::beyond_standard_streams;
#[cfg(test)]
use super::inject;
use super::limits::limit_of;
use super::mapping::FileView;
use memfd::{FileSeal, MemfdOptions};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::ftruncate;
use rustix::io::{Errno, Result, pwrite};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Every seal there is: nothing about the file can change, not even its seals.
const SEALS: [FileSeal; 4] = [FileSeal::SealWrite, FileSeal::SealGrow, FileSeal::SealShrink, FileSeal::SealSeal];

/// One in this many of a process's descriptors is left to others. A host that cannot open a socket
/// any more is worse off than one whose instances are filled by copying.
const LEFT_TO_OTHERS: u64 = 4;

/// A file, or part of one, that is only ever mapped privately.
#[derive(Clone, Debug)]
pub(crate) struct ImageFile {
    file: Arc<OwnedFd>,
    /// Where the part starts: whole pages.
    offset: usize,
    len: usize,
    /// Whether the file may go on after the part.
    goes_on: bool,
}

impl ImageFile {
    /// Makes an anonymous file of `len` bytes with each of `parts` at its offset and zeros
    /// elsewhere. Zeros take no space. The file cannot be written, grown, shrunk or unsealed, and
    /// programs that this process starts do not inherit it.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses: `FBIG` if the process may not have files of this
    /// size, `MFILE` if it has few descriptors left.
    pub(crate) fn sealed<'a>(len: usize, parts: impl IntoIterator<Item = (usize, &'a [u8])>) -> Result<Self> {
        if len as u64 > limit_or_none(libc::RLIMIT_FSIZE) {
            return Err(Errno::FBIG); // Trying would not fail: it would end the process with a signal (SIGXFSZ).
        }
        #[cfg(test)]
        inject::call()?;
        let options = MemfdOptions::new().allow_sealing(true).close_on_exec(true);
        let file = options.create("minirt-image").map_err(errno)?;
        // It has the lowest free number, so as many others are open at least.
        let most = limit_or_none(libc::RLIMIT_NOFILE);
        if file.as_file().as_raw_fd() as u64 >= most - most / LEFT_TO_OTHERS {
            return Err(Errno::MFILE);
        }
        ftruncate(file.as_file(), len as u64)?;
        for (offset, bytes) in parts {
            write_all(file.as_file().as_fd(), bytes, offset)?;
        }
        file.add_seals(&SEALS).map_err(errno)?;
        let file = beyond_standard_streams(file.into_file().into())?;
        Ok(Self { file: Arc::new(file), offset: 0, len, goes_on: false })
    }

    /// Takes a part of a file on disk. Whoever can write the file can change what is not private
    /// yet.
    pub(crate) fn on_disk(file: Arc<OwnedFd>, offset: usize, len: usize) -> Self {
        Self { file, offset, len, goes_on: true }
    }

    /// Takes a part of this, with the same descriptor. It must lie inside.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "a part outside its file");
        let goes_on = self.goes_on || range.end < self.len;
        Self { file: Arc::clone(&self.file), offset: self.offset + range.start, len: range.len(), goes_on }
    }

    /// Returns whether the file may go on after this. If it does not, pages that are mapped beyond
    /// it are never accessible.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns its contents, without a copy. Only a sealed file can be looked at like this: it
    /// never changes.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    pub(crate) fn view(&self) -> Result<FileView> {
        debug_assert!(self.offset == 0 && !self.goes_on, "a part of a file, which others may be able to write");
        // SAFETY: the file is sealed against every change.
        unsafe { FileView::new(self.as_fd(), self.len) }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Returns the limit of a resource. Where a filter denies the question, there is none.
fn limit_or_none(resource: libc::__rlimit_resource_t) -> u64 {
    limit_of(resource).ok().flatten().unwrap_or(u64::MAX)
}

/// Returns what the kernel said.
fn errno(error: memfd::Error) -> Errno {
    let (memfd::Error::Create(error) | memfd::Error::AddSeals(error) | memfd::Error::GetSeals(error)) = error;
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: usize) -> Result<()> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, offset as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_all_seals_and_is_closed_when_another_program_starts() {
        use rustix::fs::{SealFlags, fcntl_get_seals};
        use rustix::io::{FdFlags, fcntl_getfd};
        let sealed = ImageFile::sealed(4096, []).unwrap();
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        assert_eq!(fcntl_get_seals(sealed.as_fd()), Ok(all));
        assert_eq!(fcntl_getfd(sealed.as_fd()), Ok(FdFlags::CLOEXEC));
    }

    #[test]
    fn parts_share_a_descriptor_and_know_whether_the_file_goes_on() {
        let file = ImageFile::sealed(4 * 4096, []).unwrap();
        let (front, back) = (file.part(0..8192), file.part(8192..4 * 4096));
        assert_eq!(front.as_fd().as_raw_fd(), back.as_fd().as_raw_fd());
        assert!(front.goes_on() && !back.goes_on() && !file.goes_on());
        let middle = back.part(0..4096);
        assert!((middle.offset(), middle.len(), middle.goes_on()) == (8192, 4096, true));
    }

    #[test]
    fn an_error_is_the_kernels() {
        let error = |number| std::io::Error::from_raw_os_error(number);
        assert_eq!(errno(memfd::Error::Create(error(libc::EMFILE))), Errno::MFILE);
        assert_eq!(errno(memfd::Error::AddSeals(error(libc::EPERM))), Errno::PERM);
    }

    #[test]
    fn a_sealed_file_can_not_be_changed_even_through_another_descriptor() {
        let sealed = ImageFile::sealed(8192, [(4096, &b"abc"[..])]).unwrap();
        assert_eq!(pwrite(sealed.as_fd(), b"x", 0), Err(Errno::PERM));
        assert_eq!(ftruncate(sealed.as_fd(), 0), Err(Errno::PERM));
        assert_eq!(ftruncate(sealed.as_fd(), 1 << 20), Err(Errno::PERM));
        let path = format!("/proc/self/fd/{}", sealed.as_fd().as_raw_fd());
        let again = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        use std::os::unix::fs::FileExt;
        assert!(again.write_at(b"x", 0).is_err());
        let mut back = [0; 4];
        again.read_exact_at(&mut back, 4095).unwrap();
        assert_eq!(&back, b"\0abc");
    }
}
