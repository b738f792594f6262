//! Asks the kernel which pages of a range this process has made its own: `PAGEMAP_SCAN`, since
//! Linux 6.7.
//!
//! One system call lists them by category (kernel documentation, admin-guide/mm/pagemap). It may be
//! missing, on older kernels or behind a filter of system calls; whoever asks has another way then.

#[cfg(test)]
use super::inject;
use super::proc_file::PAGE_MAP;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Categories of pages, as the kernel numbers them.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO: u64 = 1 << 5;
const HUGE: u64 = 1 << 6;

/// `struct pm_scan_arg` of the kernel's interface.
#[repr(C)]
struct ScanArguments {
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

/// `struct page_region`: neighbouring pages of the same categories.
#[derive(Clone, Copy)]
#[repr(C)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = (3 << 30 | size_of::<ScanArguments>() << 16 | (b'f' as usize) << 8 | 16) as _;

/// Regions that one call returns, if no more are expected. A longer list takes more calls.
const FEW: usize = 64;
/// The most that one call is asked for. The kernel makes room for them, too, which takes it 0.1 us.
const MOST: usize = 512;

/// The kernel cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// The state of a page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shared with the file behind the mapping.
    Shared,
    /// The kernel's page of zeros.
    Zero,
    /// This process's own, in memory.
    Private,
    /// This process's own, swapped out.
    Swapped,
}

/// Calls `found` with each run of pages in `range` that were written, whether in memory or swapped
/// out. If no more than `expected` runs are there, or half a thousand, that takes one system call.
///
/// A written page is not the file's. Being present is not enough: reading a file maps its pages,
/// and neighbours that were never asked for.
///
/// From `zeros_from` on, where a page that nobody wrote reads as zeros, the kernel's page of zeros
/// does not count: reading maps it. In front of that it does. It gets there only if a page was
/// written and the kernel merged it since, because it held nothing but zeros (KSM with
/// `use_zero_pages`).
///
/// Returns whether some of the runs are in huge pages. Where the system may make those, one write
/// lists all 2 MiB around it, and pages that were written become neighbours of such that were not
/// when the kernel moves them into a huge page later (`khugepaged`).
pub(crate) fn written(
    range: Range<usize>,
    zeros_from: usize,
    expected: usize,
    mut found: impl FnMut(Range<usize>),
) -> Result<bool, Unavailable> {
    let mut scan = scan(&range);
    scan.category_inverted = FILE;
    scan.category_mask = FILE;
    scan.category_anyof_mask = PRESENT | SWAPPED;
    scan.return_mask = PRESENT | ZERO | HUGE;
    // Neighbours of different categories are listed apart.
    let mut last: Option<Range<usize>> = None;
    let mut huge = false;
    each_region(scan, expected, |region| {
        let Some(run) = written_part(&region, zeros_from) else { return };
        huge |= region.categories & HUGE != 0;
        match &mut last {
            Some(before) if before.end == run.start => before.end = run.end,
            _ => last.replace(run).into_iter().for_each(&mut found),
        }
    })?;
    last.into_iter().for_each(found);
    Ok(huge)
}

/// Returns the part of a listed region that was written.
fn written_part(region: &Region, zeros_from: usize) -> Option<Range<usize>> {
    let run = region.start as usize..region.end as usize;
    let end = if region.categories & ZERO == 0 { run.end } else { run.end.min(zeros_from) };
    (run.start < end).then_some(run.start..end)
}

/// Calls `found` with each run of pages in `range` that are mapped or swapped out, and what they
/// are.
pub(crate) fn kinds(range: Range<usize>, mut found: impl FnMut(Kind, Range<usize>)) -> Result<(), Unavailable> {
    let mut scan = scan(&range);
    scan.category_anyof_mask = PRESENT | SWAPPED;
    scan.return_mask = FILE | PRESENT | SWAPPED | ZERO;
    each_region(scan, FEW, |region| {
        let has = |category| region.categories & category != 0;
        let kind = match () {
            () if has(SWAPPED) => Kind::Swapped,
            () if has(ZERO) => Kind::Zero,
            () if has(FILE) => Kind::Shared,
            () => Kind::Private,
        };
        found(kind, region.start as usize..region.end as usize);
    })
}

fn scan(range: &Range<usize>) -> ScanArguments {
    ScanArguments {
        size: size_of::<ScanArguments>() as u64,
        flags: 0,
        start: range.start as u64,
        end: range.end as u64,
        walk_end: 0,
        vec: 0,
        vec_len: 0,
        max_pages: 0,
        category_inverted: 0,
        category_mask: 0,
        category_anyof_mask: 0,
        return_mask: 0,
    }
}

fn each_region(scan: ScanArguments, expected: usize, found: impl FnMut(Region)) -> Result<(), Unavailable> {
    if expected <= FEW {
        return each_region_in(&mut [MaybeUninit::uninit(); FEW], scan, found);
    }
    // Not on the stack, which may be a fiber's and small.
    let mut regions = Vec::with_capacity(expected.min(MOST));
    each_region_in(regions.spare_capacity_mut(), scan, found)
}

fn each_region_in(
    regions: &mut [MaybeUninit<Region>],
    mut scan: ScanArguments,
    mut found: impl FnMut(Region),
) -> Result<(), Unavailable> {
    (scan.vec, scan.vec_len) = (regions.as_mut_ptr() as u64, regions.len() as u64);
    while scan.start < scan.end {
        let listed = ioctl(&mut scan)?;
        for region in regions.iter().take(listed) {
            // SAFETY: the kernel has written as many regions as it says.
            found(unsafe { region.assume_init() });
        }
        if scan.walk_end <= scan.start {
            return Err(Unavailable); // No progress: never loop on what the kernel says.
        }
        scan.start = scan.walk_end;
    }
    Ok(())
}

fn ioctl(scan: &mut ScanArguments) -> Result<usize, Unavailable> {
    #[cfg(test)]
    inject::call().map_err(|_| Unavailable)?;
    let file = descriptor()?;
    loop {
        // SAFETY: the arguments have the kernel's layout, `vec` points to `vec_len` regions, and
        // both outlive the call.
        let listed = unsafe { libc::ioctl(file, PAGEMAP_SCAN, std::ptr::from_mut(scan)) };
        if listed >= 0 {
            return Ok(listed as usize);
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            // The kernel does not know the call, or a filter forbids it: that will not change.
            Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EACCES) => {
                MISSING.store(true, Relaxed);
                return Err(Unavailable);
            }
            _ => return Err(Unavailable),
        }
    }
}

/// Whether the call is known to be missing.
static MISSING: AtomicBool = AtomicBool::new(false);

#[inline]
fn descriptor() -> Result<i32, Unavailable> {
    if MISSING.load(Relaxed) { Err(Unavailable) } else { PAGE_MAP.descriptor().ok_or(Unavailable) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::{Access, Reservation, page_size};

    fn pages(space: &Reservation, range: Range<usize>) -> Vec<Range<usize>> {
        pages_of(space, range, 0)
    }

    fn pages_of(space: &Reservation, range: Range<usize>, expected: usize) -> Vec<Range<usize>> {
        let base = space.addresses().start;
        let mut found = Vec::new();
        written(base + range.start * page_size()..base + range.end * page_size(), 0, expected, |run| {
            found.push((run.start - base) / page_size()..(run.end - base) / page_size());
        })
        .unwrap();
        found
    }

    #[test]
    fn only_written_pages_are_listed_in_runs_and_in_order() {
        let space = Reservation::new(400 * page_size()).unwrap();
        // SAFETY: nothing refers to this memory, and every byte used is mapped writable.
        unsafe {
            space.map_zeros(0..400 * page_size(), Access::ReadWrite).unwrap();
            assert_eq!(*space.at(100 * page_size()), 0); // read, not written
            for page in [0, 1, 2, 50, 399] {
                *space.at(page * page_size()) = 1;
            }
        }
        assert_eq!(pages(&space, 0..400), [0..3, 50..51, 399..400]);
        assert_eq!(pages(&space, 1..399), [1..3, 50..51]);
    }

    #[test]
    fn a_page_of_zeros_was_written_where_the_image_has_something_else() {
        let region = |categories| Region { start: 3, end: 9, categories };
        assert_eq!(written_part(&region(PRESENT), 0), Some(3..9));
        assert_eq!(written_part(&region(PRESENT | ZERO), 0), None);
        assert_eq!(written_part(&region(PRESENT | ZERO), 3), None);
        assert_eq!(written_part(&region(PRESENT | ZERO), 5), Some(3..5));
        assert_eq!(written_part(&region(PRESENT | ZERO), 20), Some(3..9));
        assert_eq!(written_part(&region(SWAPPED), 0), Some(3..9));
    }

    #[test]
    fn more_runs_than_one_call_returns_are_all_listed_and_one_call_lists_those_that_are_expected() {
        let space = Reservation::new(400 * page_size()).unwrap();
        // SAFETY: nothing refers to this memory, and every byte used is mapped writable.
        unsafe {
            space.map_zeros(0..400 * page_size(), Access::ReadWrite).unwrap();
            (0..400).step_by(2).for_each(|page| *space.at(page * page_size()) = 1);
        }
        for (expected, calls) in [(0, 4), (64, 4), (65, 4), (100, 2), (200, 1), (100_000, 1)] {
            inject::arm(1000, 1, rustix::io::Errno::NOSYS, inject::Leaves::Nothing);
            assert_eq!(pages_of(&space, 0..400, expected).len(), 200);
            assert_eq!(1000 - inject::left(), calls, "{expected} were expected");
            assert_eq!(inject::disarm(), 0);
        }
    }
}
