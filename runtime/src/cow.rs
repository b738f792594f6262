//! Copy-on-write instantiation, from beginning to end.
//!
//! An **image** is an instance as it stands before any of its code ran: the state and linear memory that
//! the compiler computed, completed with what only this process knows. It is made once per module and
//! never changes; where the system can, it is a sealed memory file.
//!
//! A **slot** is the address space of one instance (`minirt_compiler::layout` has the picture). *Binding* a
//! slot to an image maps the image into it, privately: reading shares the image's pages, writing copies them.
//!
//! ```text
//!   Slot::new ──> blank ──bind──> clean ──touch──> dirty ──reset──> clean ...
//!                   ^               │                │
//!                   └────── wipe ───┴────────────────┘
//! ```
//!
//! - *Clean* means: the image, then zeros up to the initial size of the memory, then nothing accessible.
//! - An instance is born by taking a clean slot that carries its module's image. If the last tenant had the same
//!   module, that is no system call.
//! - It may *grow* its memory: pages behind the initial size become accessible. They are zero.
//! - When it dies, *reset* undoes what it wrote. If nothing ran, there is nothing to undo, and no system call.
//! - A slot whose state is not certain, because a system call failed half-way, is *wiped* before it is used again,
//!   and given back to the system if even that fails.
//!
//! The host cell at the slot's start is not part of this: it belongs to whoever uses the slot, and each
//! instance writes it anew.
//!
//! Nothing here knows of functions, types or stores.

use crate::sys::mapping::{Access, Reservation};
use crate::sys::memfd::SealedFile;
use crate::vmctx::VmContext;
use minirt_compiler::image::Extent;
use minirt_compiler::layout::{MEMORY, MEMORY_RESERVED, SLOT_SIZE, VMCTX};
use rustix::io::Result;
use std::ops::Range;
use std::sync::Arc;

/// Where linear memory 0 starts in a slot.
const MEMORY_AT: usize = VMCTX as usize + MEMORY as usize;

/// States up to this size are reset by copying all of them: less than two page faults cost.
const SMALL_STATE: usize = 16 * 1024;

/// What every slot of a module starts from.
#[derive(Debug)]
pub(crate) struct Image {
    /// Bytes of the host cell: whole pages of zeros in front of the state.
    host: usize,
    /// The state that is not all zeros.
    state: Vec<u8>,
    /// Bytes of the state, with room for its tables to grow: whole pages.
    state_room: usize,
    /// Memory where it is not zero: sorted, whole pages.
    extents: Vec<Extent>,
    /// Bytes of memory that an instance starts with: whole pages.
    memory: usize,
    /// The same as a file: host cell, state with its room, then memory up to its last extent.
    /// `None` where images are switched off; then slots are filled by copying.
    file: Option<SealedFile>,
}

/// What an image is made of. Sizes are in bytes and whole host pages.
pub(crate) struct ImageParts {
    pub(crate) host: usize,
    pub(crate) state: Vec<u8>,
    pub(crate) state_room: usize,
    pub(crate) extents: Vec<Extent>,
    pub(crate) memory: usize,
}

impl Image {
    /// Makes an image; `mapped` says whether as a file to map, or only as bytes to copy.
    ///
    /// # Errors
    /// When the kernel gives no memory file or no room in it.
    pub(crate) fn new(parts: ImageParts, mapped: bool) -> Result<Self> {
        let ImageParts { host, state, state_room, extents, memory } = parts;
        let mut image = Self { host, state, state_room, extents, memory, file: None };
        if mapped {
            let in_file = host + state_room;
            let state = (host, &image.state[..]);
            let memory = image.extents.iter().map(|e| (in_file + e.offset as usize, &e.bytes[..]));
            let file = SealedFile::new(in_file + image.memory_image(), std::iter::once(state).chain(memory))?;
            image.file = Some(file);
        }
        Ok(image)
    }

    /// Bytes from the start of memory to the end of the last extent.
    fn memory_image(&self) -> usize {
        self.extents.last().map_or(0, |e| e.offset as usize + e.bytes.len())
    }

    fn state_range(&self) -> Range<usize> {
        self.host..self.host + self.state_room
    }
}

/// The address space of one instance, and which image it carries.
#[derive(Debug)]
pub(crate) struct Slot {
    space: Reservation,
    /// The image that is mapped; `None` for a blank slot, in which nothing is accessible.
    image: Option<Arc<Image>>,
    /// Bytes of memory that are accessible now: at least the image's initial size.
    accessible: usize,
    /// Whether state or memory may differ from the image.
    dirty: bool,
}

impl Slot {
    /// A blank slot.
    ///
    /// # Errors
    /// When there is no address space left.
    pub(crate) fn new() -> Result<Self> {
        let space = Reservation::new(SLOT_SIZE as usize)?;
        Ok(Self { space, image: None, accessible: 0, dirty: false })
    }

    pub(crate) fn vmctx(&self) -> VmContext {
        // SAFETY: VMCTX is less than the reservation's length, so this is inside it and not null.
        VmContext(unsafe { self.space.base().add(VMCTX as usize) })
    }

    /// The addresses that belong to this slot, guards included.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.space.addresses()
    }

    pub(crate) fn image(&self) -> Option<&Arc<Image>> {
        self.image.as_ref()
    }

    /// From now on, this slot's contents may differ from its image.
    #[inline]
    pub(crate) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Makes this slot clean and carry `image`. Does nothing if that is so already.
    ///
    /// # Errors
    /// When the kernel refuses a mapping; the slot is then blank, or its error says that it is lost.
    pub(crate) fn bind(&mut self, image: &Arc<Image>) -> Result<()> {
        if !self.dirty && self.image.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, image)) {
            return Ok(());
        }
        if self.image.is_some() {
            self.wipe()?;
        }
        self.image = Some(Arc::clone(image));
        self.map(image).inspect_err(|_| {
            // What is mapped now is unknown. If this fails as well, `dirty` keeps the slot out of use.
            self.dirty = true;
            let _ = self.wipe();
        })
    }

    fn map(&mut self, image: &Image) -> Result<()> {
        let state_end = image.state_range().end;
        let filled = image.memory_image();
        let memory = MEMORY_AT..MEMORY_AT + filled;
        let zeros = memory.end..MEMORY_AT + image.memory;
        // SAFETY: a slot that is being bound has no tenant, so nothing refers into it.
        unsafe {
            if let Some(file) = &image.file {
                self.space.map_file(0..state_end, file.as_fd(), 0)?;
                self.space.map_file(memory, file.as_fd(), state_end)?;
                self.space.map_zeros(zeros, Access::ReadWrite)?;
            } else {
                self.space.map_zeros(0..state_end, Access::ReadWrite)?;
                self.space.map_zeros(MEMORY_AT..zeros.end, Access::ReadWrite)?;
                self.copy_in(image);
            }
        }
        self.accessible = image.memory;
        self.dirty = false;
        Ok(())
    }

    /// Fills fresh zeros from the image.
    ///
    /// # Safety
    /// State and initial memory must be mapped writable, and nothing may refer into them.
    unsafe fn copy_in(&self, image: &Image) {
        let parts = image.extents.iter().map(|e| (MEMORY_AT + e.offset as usize, &e.bytes));
        for (at, bytes) in parts.chain([(image.host, &image.state)]) {
            // SAFETY: `at` checks the start, `Image::new` that parts are within state and memory; the rest is
            // the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.space.at(at), bytes.len()) }
        }
    }

    /// Makes memory accessible up to `bytes` (whole pages). It never shrinks.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing has changed.
    pub(crate) fn grow_memory(&mut self, bytes: usize) -> Result<()> {
        assert!(bytes as u64 <= MEMORY_RESERVED, "a memory larger than its reservation");
        if bytes > self.accessible {
            self.dirty = true;
            let range = MEMORY_AT + self.accessible..MEMORY_AT + bytes;
            // SAFETY: the range is inaccessible, so nothing refers to it. It was never touched since it was
            // last discarded, so it reads as zeros: that is what `reset` and `map_zeros` leave behind.
            unsafe { self.space.protect(range, Access::ReadWrite) }?;
            self.accessible = bytes;
        }
        Ok(())
    }

    /// Makes a slot clean after its instance has died.
    ///
    /// # Errors
    /// When the kernel refuses; the slot is then still dirty, and `bind` will wipe it.
    pub(crate) fn reset(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let Some(image) = self.image.clone() else { return Ok(()) };
        let memory = MEMORY_AT..MEMORY_AT + self.accessible;
        let grown = MEMORY_AT + image.memory..memory.end;
        // SAFETY: the instance has died, so nothing refers into its slot.
        unsafe {
            self.reset_state(&image)?;
            self.space.discard(memory)?;
            self.space.protect(grown, Access::None)?;
            if image.file.is_none() {
                self.copy_in(&image);
            }
        }
        self.accessible = image.memory;
        self.dirty = false;
        Ok(())
    }

    /// # Safety
    /// Nothing may refer into the slot.
    unsafe fn reset_state(&self, image: &Image) -> Result<()> {
        if image.state_room <= SMALL_STATE {
            let zeros = image.state_room - image.state.len();
            let at = self.space.at(image.host);
            // SAFETY: the state's room is mapped writable, and all of it is written, with what the image has.
            unsafe {
                std::ptr::copy_nonoverlapping(image.state.as_ptr(), at, image.state.len());
                std::ptr::write_bytes(at.add(image.state.len()), 0, zeros);
            }
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.space.discard(image.state_range()) }
    }

    /// Makes a slot blank, whatever is mapped in it. No image is mapped afterwards, and none is kept alive.
    ///
    /// # Errors
    /// When the kernel refuses; the slot must then not be used again.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        self.dirty = true;
        // SAFETY: the slot has no tenant, so nothing refers into it.
        unsafe { self.space.map_zeros(0..SLOT_SIZE as usize, Access::None) }?;
        self.image = None;
        self.accessible = 0;
        self.dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::PAGE;

    fn image(memory_pages: usize, extents: Vec<Extent>, mapped: bool) -> Arc<Image> {
        let parts =
            ImageParts { host: PAGE, state: vec![7; 100], state_room: PAGE, extents, memory: memory_pages * PAGE };
        Arc::new(Image::new(parts, mapped).unwrap())
    }

    fn page_of(byte: u8, page: usize) -> Extent {
        Extent { offset: (page * PAGE) as u64, bytes: vec![byte; PAGE] }
    }

    /// Accessible memory, as it is now.
    fn memory(slot: &Slot) -> &[u8] {
        // SAFETY: that much is accessible, and the tests write only while they hold no such slice.
        unsafe { std::slice::from_raw_parts(slot.space.at(MEMORY_AT), slot.accessible) }
    }

    fn state(slot: &Slot) -> &[u8] {
        // SAFETY: the state of a bound slot is accessible.
        unsafe { std::slice::from_raw_parts(slot.space.at(PAGE), PAGE) }
    }

    fn write(slot: &mut Slot, at: usize, byte: u8) {
        slot.touch();
        // SAFETY: the tests write to accessible memory or state only.
        unsafe { *slot.space.at(at) = byte }
    }

    fn assert_clean(slot: &Slot, extents: &[Extent], pages: usize) {
        let mut expected = vec![0; pages * PAGE];
        for extent in extents {
            expected[extent.offset as usize..][..extent.bytes.len()].copy_from_slice(&extent.bytes);
        }
        assert!(memory(slot) == expected);
        assert!(state(slot)[..100].iter().all(|b| *b == 7) && state(slot)[100..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_bound_slot_is_the_image_then_zeros() {
        for mapped in [true, false] {
            let extents = vec![page_of(1, 1), page_of(2, 3)];
            let mut slot = Slot::new().unwrap();
            slot.bind(&image(6, extents.clone(), mapped)).unwrap();
            assert_clean(&slot, &extents, 6);
        }
    }

    #[test]
    fn reset_undoes_writes_to_state_image_zeros_and_grown_memory() {
        for mapped in [true, false] {
            let extents = vec![page_of(1, 0), page_of(2, 2)];
            let image = image(4, extents.clone(), mapped);
            let mut slot = Slot::new().unwrap();
            slot.bind(&image).unwrap();
            for _ in 0..3 {
                slot.grow_memory(9 * PAGE).unwrap();
                assert!(memory(&slot)[4 * PAGE..].iter().all(|b| *b == 0));
                for page in 0..9 {
                    write(&mut slot, MEMORY_AT + page * PAGE + 5, 0xcc);
                }
                write(&mut slot, PAGE, 0xcc);
                write(&mut slot, PAGE + 4000, 0xcc);
                slot.reset().unwrap();
                assert_clean(&slot, &extents, 4);
            }
        }
    }

    #[test]
    fn a_dirty_slot_can_be_bound_to_another_image() {
        for mapped in [true, false] {
            let (first, second) = (image(4, vec![page_of(1, 0)], mapped), image(2, vec![], mapped));
            let mut slot = Slot::new().unwrap();
            for _ in 0..3 {
                slot.bind(&first).unwrap();
                slot.grow_memory(5 * PAGE).unwrap();
                write(&mut slot, MEMORY_AT + 4 * PAGE, 1);
                slot.bind(&second).unwrap();
                assert_clean(&slot, &[], 2);
                write(&mut slot, MEMORY_AT, 1);
                slot.bind(&first).unwrap();
                assert_clean(&slot, &[page_of(1, 0)], 4);
            }
        }
    }

    #[test]
    fn no_write_reaches_the_image() {
        let image = image(2, vec![page_of(1, 0)], true);
        let (mut a, mut b) = (Slot::new().unwrap(), Slot::new().unwrap());
        a.bind(&image).unwrap();
        write(&mut a, MEMORY_AT, 0xcc);
        write(&mut a, PAGE, 0xcc);
        b.bind(&image).unwrap();
        assert_clean(&b, &[page_of(1, 0)], 2);
    }

    #[test]
    fn wiping_leaves_nothing_accessible_and_lets_the_image_go() {
        let image = image(2, vec![page_of(1, 0)], true);
        let mut slot = Slot::new().unwrap();
        slot.bind(&image).unwrap();
        slot.wipe().unwrap();
        assert_eq!(Arc::strong_count(&image), 1);
        let range = slot.addresses();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let inside = |line: &&str| {
            let start = usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
            range.contains(&start)
        };
        assert!(maps.lines().filter(inside).all(|line| line.contains("---p")), "{maps}");
    }
}
