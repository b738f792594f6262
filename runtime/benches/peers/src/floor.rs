//! The floor: a memory that is mapped copy-on-write from an image, written to by Rust, and put
//! back. No runtime, no guest, no table; nothing that starts from an image and ends up clean can do
//! less than this.

use crate::modules::{HOST_PAGE, Memory, STORE_AT};
use crate::pagemap::Pagemap;
use crate::race::{Contestant, Lap};
use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Result as SysResult;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::null_mut;

/// How the dirtied pages are put back.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Ask the kernel which they are, and copy them.
    Scan,
    /// Know which they are, and copy them.
    HotSet,
    /// Tell the kernel to forget them.
    Discard,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Scan, Self::HotSet, Self::Discard];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scan => "raw scan",
            Self::HotSet => "raw hot set",
            Self::Discard => "raw discard",
        }
    }
}

/// Dirties the first `k` pages of a memory and puts them back.
pub(crate) fn contestant<'a>(way: Way, memory: Memory, k: usize) -> Contestant<'a> {
    Box::new(move || {
        let mut floor = Floor::new(memory)?;
        floor.cycle(way, k)?;
        ensure!(floor.is_clean(k), "{} did not put everything back", way.name());
        let lap: Lap<'_> = Box::new(move |times| (0..times).try_for_each(|_| floor.cycle(way, k)));
        Ok(lap)
    })
}

struct Floor {
    memory: Mapping,
    /// The pages of the image, mapped once more to copy from. Behind them, a memory starts with
    /// zeros.
    image: Mapping,
    pagemap: Pagemap,
}

impl Floor {
    fn new(memory: Memory) -> Result<Self> {
        let mut image = memory.image();
        image.resize(image.len().next_multiple_of(HOST_PAGE), 0);
        let (memory, image) = map(memory.bytes, &image).context("could not map the floor's memory")?;
        Ok(Self { memory, image, pagemap: Pagemap::open()? })
    }

    /// Dirties pages and puts them back.
    fn cycle(&mut self, way: Way, k: usize) -> Result<()> {
        for page in 0..k {
            self.memory.store(page * HOST_PAGE + STORE_AT, 1);
        }
        let Self { memory, image, pagemap } = self;
        match way {
            Way::HotSet => memory.restore(image, 0..k * HOST_PAGE),
            Way::Discard => memory.discard()?,
            Way::Scan => {
                let base = memory.base();
                pagemap
                    .dirtied(base..base + memory.len, |run| memory.restore(image, run.start - base..run.end - base))?;
            }
        }
        Ok(())
    }

    /// Returns whether the first `k` pages are as they were at first.
    fn is_clean(&self, k: usize) -> bool {
        let initial = |at| if at < self.image.len { self.image.load(at) } else { 0 };
        (0..k).map(|page| page * HOST_PAGE + STORE_AT).all(|at| self.memory.load(at) == initial(at))
    }
}

/// Maps a memory of `bytes` that starts with `image` (whole pages), and the image itself.
fn map(bytes: usize, image: &[u8]) -> SysResult<(Mapping, Mapping)> {
    let fd = memfd_create("floor", MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, image.len() as u64)?;
    let mut rest = image;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&fd, rest)?..];
    }
    let memory = Mapping::zeros(bytes)?;
    memory.cover(&fd)?;
    Ok((memory, Mapping::of_file(&fd, image.len())?))
}

/// Some of this process's memory, whole pages, unmapped at the end.
struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Maps private memory, readable and writable.
    fn zeros(len: usize) -> SysResult<Self> {
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let start = unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        Ok(Self { start: start.cast(), len })
    }

    /// Maps a file's content, to be read only.
    fn of_file(fd: impl AsFd, len: usize) -> SysResult<Self> {
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let start = unsafe { mmap(null_mut(), len, ProtFlags::READ, MapFlags::SHARED, fd, 0) }?;
        Ok(Self { start: start.cast(), len })
    }

    /// Maps a file over the first pages, copy-on-write.
    fn cover(&self, fd: impl AsFd + Copy) -> SysResult<()> {
        let len = rustix::fs::fstat(fd)?.st_size as usize;
        assert!(len <= self.len, "a file that is larger than the memory");
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: only pages of this mapping are replaced, and no reference into it exists.
        unsafe { mmap(self.start.cast(), len, ProtFlags::READ | ProtFlags::WRITE, flags, fd, 0) }?;
        Ok(())
    }

    fn base(&self) -> usize {
        self.start.addr()
    }

    fn place(&self, at: usize) -> *mut i32 {
        assert!(at.is_multiple_of(4) && at < self.len, "no place in this mapping");
        self.start.wrapping_add(at).cast()
    }

    fn load(&self, at: usize) -> i32 {
        // SAFETY: `place` checked that it lies in the mapping, which is readable, and is aligned.
        unsafe { self.place(at).read_volatile() }
    }

    /// Volatile, so that a store that is soon undone is not left out.
    fn store(&mut self, at: usize, value: i32) {
        // SAFETY: as in `load`, and this is called on memories only, which are writable.
        unsafe { self.place(at).write_volatile(value) }
    }

    /// Copies a range back from the image, and clears what lies after the image.
    ///
    /// An empty copy is left out, and not for tidiness: with AVX-512, `memset` of no bytes is a
    /// masked store, which costs about 150 ns where the page cannot be written.
    fn restore(&mut self, image: &Self, range: Range<usize>) {
        assert!(range.end <= self.len, "a range outside the memory");
        let middle = image.len.clamp(range.start, range.end);
        if range.start < middle {
            let (from, to) = (image.start.wrapping_add(range.start), self.start.wrapping_add(range.start));
            // SAFETY: `middle` is at most the length of either mapping; they are two, and this one
            // is writable.
            unsafe { to.copy_from_nonoverlapping(from, middle - range.start) }
        }
        if middle < range.end {
            // SAFETY: the range lies in this mapping, which is writable.
            unsafe { self.start.wrapping_add(middle).write_bytes(0, range.end - middle) }
        }
    }

    /// Makes all pages what they were when they were mapped.
    fn discard(&mut self) -> SysResult<()> {
        // SAFETY: the pages are this mapping's, private, and no reference into them exists.
        unsafe { madvise(self.start.cast(), self.len, Advice::LinuxDontNeed) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone and not used after this.
        unsafe { munmap(self.start.cast(), self.len) }.expect("unmapping a whole mapping");
    }
}
