//! `PAGEMAP_SCAN`: asks the kernel which pages of a range have been written to since they were
//! mapped.
//!
//! Neither rustix nor libc has it; the numbers are those of the kernel's `linux/fs.h`.

use anyhow::{Context, Result};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = (3 << 30 | (size_of::<ScanArg>() << 16) | (b'f' as usize) << 8 | 16) as libc::Ioctl;

const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const PFNZERO: u64 = 1 << 5;

/// `struct pm_scan_arg`.
#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The page map of this process, with room for what a scan finds.
pub(crate) struct Pagemap {
    file: File,
    found: [Region; 64],
}

impl Pagemap {
    pub(crate) fn open() -> Result<Self> {
        let file = File::open("/proc/self/pagemap").context("could not open the page map")?;
        Ok(Self { file, found: [Region::default(); 64] })
    }

    /// Calls `restore` with every run of addresses in `range` (whole pages) that has pages of its
    /// own: neither the file's, nor the shared page of zeros, nor absent.
    pub(crate) fn dirtied(&mut self, range: Range<usize>, mut restore: impl FnMut(Range<usize>)) -> Result<()> {
        let (mut start, end) = (range.start as u64, range.end as u64);
        while start < end {
            let (count, walked) = self.scan(start, end).context("PAGEMAP_SCAN, which needs Linux 6.7")?;
            for run in &self.found[..count] {
                restore(run.start as usize..run.end as usize);
            }
            start = walked;
        }
        Ok(())
    }

    /// Returns how many runs were found, and the address up to which the kernel has looked.
    fn scan(&mut self, start: u64, end: u64) -> std::io::Result<(usize, u64)> {
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            flags: 0,
            start,
            end,
            walk_end: 0,
            vec: self.found.as_mut_ptr() as u64,
            vec_len: self.found.len() as u64,
            max_pages: 0,
            category_inverted: FILE | PFNZERO,
            category_mask: FILE | PFNZERO,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: PRESENT,
        };
        // SAFETY: `arg` is laid out as the kernel wants it and alive during the call; `vec` points
        // to `vec_len` regions that nobody else uses. The kernel writes nothing but these.
        let count = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg) };
        if count < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((count as usize, arg.walk_end))
    }
}
