//! Evacuates a heap: copies each object that is reachable out of it, once, and all of them back to
//! its start.
//!
//! The objects are copied to a buffer of the host, in the order in which they are found. An
//! object's old place says where it is going to be: *forwarding*. The buffer is also the list of
//! what is left to do. So there is no recursion, however deep a structure is. At the end the buffer
//! is copied back: the heap has no gaps then, and its pages are those at its start, which its store
//! had already written.

use super::shapes::{Holds, Shape, Shapes};
use minirt_compiler::instance::layout::object::{ALIGN, ARRAY_FLAG, TAG_MASK};
use minirt_compiler::module::CompositeType;
use std::ops::Range;

/// Stands in place of the type of an object that was copied. Behind it is where the object is going
/// to be. No type has this number.
const FORWARDED: u32 = u32::MAX;

/// Keeps values alive that are no objects, while objects are copied.
pub(crate) trait Others {
    /// Notes that there is a reference that leads to no object: a small integer, a value of the
    /// host, or an exception.
    fn note(&mut self, word: u64);
}

/// A heap whose objects are being copied.
pub(crate) struct Evacuation<'a, O, D> {
    /// The address that offsets count from.
    base: *mut u8,
    /// The offsets of the objects that move. What is before them stays.
    from: Range<u64>,
    /// Where the first one is going to be.
    start: u64,
    /// Their copies.
    to: Vec<u64>,
    /// How many words of them were looked at.
    scanned: usize,
    shapes: &'a mut Shapes,
    describe: D,
    pub(crate) others: O,
}

/// The part of a heap that survives a collection.
#[derive(Debug)]
pub(crate) struct Evacuated<O> {
    /// Where the objects end now.
    pub(crate) end: u64,
    /// An empty buffer, to be used again.
    pub(crate) buffer: Vec<u64>,
    pub(crate) others: O,
}

impl<'a, O: Others, D: Fn(u32) -> Option<CompositeType>> Evacuation<'a, O, D> {
    /// Begins. The objects at the offsets `from` are going to be at `start`. `describe` gives what
    /// a type's number stands for. Gives `others` back if there is no memory for the buffer.
    ///
    /// # Safety
    /// Offsets count from `base`. Up to the end of `from`, and for as many bytes from `start` on,
    /// they must be offsets of a live heap that is readable, and writable from `start` or
    /// `from.start` on, whichever is less. Nobody else may use it before [`Self::finish`].
    pub(crate) unsafe fn begin(
        base: *mut u8,
        from: Range<u64>,
        start: u64,
        mut buffer: Vec<u64>,
        shapes: &'a mut Shapes,
        describe: D,
        others: O,
    ) -> Result<Self, O> {
        buffer.clear();
        // It never grows later, when it would be too late to give up.
        if buffer.try_reserve_exact(((from.end - from.start) / ALIGN) as usize).is_err() {
            return Err(others);
        }
        Ok(Self { base, from, start, to: buffer, scanned: 0, shapes, describe, others })
    }

    /// Visits a root: a word that holds a reference as code does, or null.
    #[inline]
    pub(crate) fn word(&mut self, word: &mut u64) {
        let now = self.reference(*word);
        // What holds the word may be a page that is shared, or that is not to be written.
        if now != *word {
            *word = now;
        }
    }

    /// Returns what a reference is going to be.
    #[inline]
    pub(crate) fn reference(&mut self, word: u64) -> u64 {
        if word as u32 & TAG_MASK != 0 {
            self.others.note(word);
            return word;
        }
        if self.from.contains(&word) { self.forward(word) } else { word }
    }

    /// Copies an object, unless that is done, and returns where it is going to be.
    fn forward(&mut self, object: u64) -> u64 {
        let header = self.read(object);
        if header as u32 == FORWARDED {
            return header >> u32::BITS;
        }
        let (number, len) = (header as u32 & !ARRAY_FLAG, (header >> u32::BITS) as u32);
        let words = self.shapes.find(number, &self.describe).map(|shape| shape.words(len));
        // Both are true of all objects: they are in the heap, and no object is copied twice.
        let room = ((self.from.end - object) / ALIGN).min((self.to.capacity() - self.to.len()) as u64);
        let Some(words) = words.filter(|words| *words <= room) else {
            // No code can have such a reference. If there is one all the same, it becomes null,
            // which traps.
            debug_assert!(false, "a reference {object:#x} to what is no object: {header:#x}");
            return 0;
        };
        let place = self.start + self.to.len() as u64 * ALIGN;
        // SAFETY: the object is within the heap and the copy within the buffer, as was just
        // checked. Both are aligned, and nobody else uses them meanwhile.
        unsafe {
            copy_words(self.address(object), self.to.as_mut_ptr().add(self.to.len()), words as usize);
            self.to.set_len(self.to.len() + words as usize);
        }
        // SAFETY: this is the object's first word.
        unsafe { *self.address(object) = place << u32::BITS | u64::from(FORWARDED) }
        place
    }

    fn address(&self, offset: u64) -> *mut u64 {
        self.base.wrapping_add(offset as usize).cast()
    }

    /// Reads a word before the end of the objects.
    fn read(&self, offset: u64) -> u64 {
        debug_assert!(offset < self.from.end && offset.is_multiple_of(ALIGN));
        // SAFETY: up to there, the heap is readable: the promise to `begin`.
        unsafe { *self.address(offset) }
    }

    /// Visits what objects hold that do not move: those at these offsets, without gaps.
    pub(crate) fn scan_pinned(&mut self, objects: Range<u64>) {
        let mut object = objects.start;
        while object < objects.end {
            let header = self.read(object);
            let (number, len) = (header as u32 & !ARRAY_FLAG, (header >> u32::BITS) as u32);
            let shape = self.shapes.find(number, &self.describe);
            let Some(shape) = shape.filter(|shape| shape.words(len) <= (objects.end - object) / ALIGN) else {
                debug_assert!(false, "no object at {object:#x}: {header:#x}");
                return;
            };
            self.scan_parts(shape, len, |this, at, holds| {
                let place = this.address(object).cast::<u8>().wrapping_add(at as usize);
                // SAFETY: the part is within the object, which is in the heap, and aligned. A part
                // is only written if it leads to an object that moves. Then its page was written
                // before.
                unsafe {
                    if holds == Holds::Exception {
                        this.word(&mut *place.cast::<u64>());
                    } else {
                        let part = place.cast::<u32>();
                        let now = this.reference((*part).into()) as u32;
                        if now != *part {
                            *part = now;
                        }
                    }
                }
            });
            object += shape.words(len) * ALIGN;
        }
    }

    /// Visits what all objects hold that were copied, and those that are copied because of that.
    pub(crate) fn scan(&mut self) {
        while let Some(header) = self.to.get(self.scanned).copied() {
            let (number, len) = (header as u32 & !ARRAY_FLAG, (header >> u32::BITS) as u32);
            let shape = self.shapes.find(number, &self.describe).expect("it was found when the object was copied");
            let object = self.scanned;
            match shape {
                Shape::Small { words, references } => {
                    self.scan_small(object, references);
                    self.scanned += words as usize;
                    continue;
                }
                Shape::Array { holds: Holds::Reference, .. } => {
                    let first = 2 * object + (ALIGN / 4) as usize;
                    (first..first + len as usize).for_each(|half| self.scan_half(half));
                    self.scanned += shape.words(len) as usize;
                    continue;
                }
                Shape::Struct { .. } | Shape::Array { .. } => {}
            }
            self.scan_parts(shape, len, |this, at, holds| {
                let (word, shift) = (object + (at / ALIGN) as usize, 8 * (at % ALIGN));
                if holds == Holds::Exception {
                    this.others.note(this.to[word]);
                    return;
                }
                let part = u64::from((this.to[word] >> shift) as u32);
                let now = this.reference(part);
                this.to[word] ^= (part ^ now) << shift;
            });
            self.scanned += shape.words(len) as usize;
        }
    }

    /// Visits what a small structure holds, from the word `object` of the buffer on.
    #[inline]
    fn scan_small(&mut self, object: usize, mut references: u64) {
        while references != 0 {
            let bit = references.trailing_zeros() as usize;
            references &= references - 1;
            self.scan_half(2 * object + bit);
        }
    }

    /// Visits a reference of 32 bits, by its place in the buffer.
    #[inline]
    fn scan_half(&mut self, half: usize) {
        debug_assert!(half < 2 * self.to.len());
        // SAFETY: the whole object was copied to the buffer, which never moves, and the place is
        // within it: its shape says so, by which it was copied.
        let part = unsafe { self.to.as_mut_ptr().cast::<u32>().add(half) };
        // SAFETY: as above. `reference` copies to what is behind the buffer's end.
        unsafe { part.write(self.reference(part.read().into()) as u32) }
    }

    /// Calls `visit` with the place of each reference in an object, as a distance from it, and what
    /// it is.
    #[inline]
    fn scan_parts(&mut self, shape: Shape, len: u32, mut visit: impl FnMut(&mut Self, u64, Holds)) {
        match shape {
            Shape::Small { mut references, .. } => {
                while references != 0 {
                    visit(self, 4 * u64::from(references.trailing_zeros()), Holds::Reference);
                    references &= references - 1;
                }
            }
            Shape::Struct { first, exceptions, end, .. } => {
                for place in first..exceptions {
                    visit(self, self.shapes.offset(place).into(), Holds::Reference);
                }
                for place in exceptions..end {
                    visit(self, self.shapes.offset(place).into(), Holds::Exception);
                }
            }
            Shape::Array { holds: Holds::Nothing, .. } => {}
            Shape::Array { element, holds } => {
                for index in 0..u64::from(len) {
                    visit(self, ALIGN + index * u64::from(element), holds);
                }
            }
        }
    }

    /// Copies the objects back to the heap. What is behind them is undefined.
    pub(crate) fn finish(mut self) -> Evacuated<O> {
        // SAFETY: no more was copied than there was, so it is all within what is writable. The
        // buffer is elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(self.to.as_ptr(), self.address(self.start), self.to.len()) }
        let end = self.start + self.to.len() as u64 * ALIGN;
        self.to.clear();
        Evacuated { end, buffer: self.to, others: self.others }
    }
}

/// Copies an object, of which most have two to four words.
///
/// # Safety
/// Both places must have so many words, and not overlap.
#[inline]
unsafe fn copy_words(from: *const u64, to: *mut u64, words: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match words {
            2 => to.cast::<[u64; 2]>().write(from.cast::<[u64; 2]>().read()),
            3 => to.cast::<[u64; 3]>().write(from.cast::<[u64; 3]>().read()),
            4 => to.cast::<[u64; 4]>().write(from.cast::<[u64; 4]>().read()),
            words => std::ptr::copy_nonoverlapping(from, to, words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minirt_compiler::module::{ArrayType, FieldType, HeapType, Mutability, RefType, StructType, ValType};

    /// Numbers of types.
    const PAIR: u32 = 3;
    const ARRAY: u32 = 4;
    const BYTES: u32 = 5;

    fn describe(number: u32) -> Option<CompositeType> {
        let field = |ty: ValType| FieldType::new(Mutability::Var, ty);
        let any = ValType::Ref(RefType::new(true, HeapType::Any));
        match number {
            PAIR => Some(CompositeType::Struct(StructType::new([field(any), field(any), field(ValType::EXNREF)]))),
            ARRAY => Some(CompositeType::Array(ArrayType::new(field(any)))),
            BYTES => Some(CompositeType::Array(ArrayType::new(field(ValType::I32)))),
            _ => None,
        }
    }

    #[derive(Default)]
    struct Noted(Vec<u64>);

    impl Others for Noted {
        fn note(&mut self, word: u64) {
            self.0.push(word);
        }
    }

    /// A heap that starts at offset 16, with the objects of an image up to an offset.
    struct Heap {
        words: Vec<u64>,
        image_end: u64,
    }

    impl Heap {
        fn new() -> Self {
            Self { words: vec![0; 2], image_end: 16 }
        }

        fn end(&self) -> u64 {
            self.words.len() as u64 * ALIGN
        }

        fn pair(&mut self, a: u64, b: u64, exception: u64) -> u64 {
            let at = self.end();
            self.words.extend([u64::from(PAIR), a | b << 32, exception]);
            at
        }

        fn array(&mut self, number: u32, elements: &[u64]) -> u64 {
            let at = self.end();
            self.words.push((elements.len() as u64) << 32 | u64::from(number | ARRAY_FLAG));
            self.words.extend(elements.chunks(2).map(|two| two[0] | two.get(1).copied().unwrap_or(0) << 32));
            at
        }

        /// Collects, and returns what else was found.
        fn collect(&mut self, roots: &mut [u64]) -> Vec<u64> {
            let (mut shapes, base, from) =
                (Shapes::default(), self.words.as_mut_ptr().cast(), self.image_end..self.end());
            let (start, image_end) = (self.image_end, self.image_end);
            // SAFETY: the words are the heap, and nobody else uses them.
            let begun =
                unsafe { Evacuation::begin(base, from, start, Vec::new(), &mut shapes, describe, Noted::default()) };
            let mut evacuation = begun.unwrap_or_else(|_| panic!("there is memory"));
            roots.iter_mut().for_each(|root| evacuation.word(root));
            evacuation.scan_pinned(16..image_end);
            evacuation.scan();
            let Evacuated { end, others, .. } = evacuation.finish();
            self.words.truncate((end / ALIGN) as usize);
            others.0
        }
    }

    #[test]
    fn what_is_reachable_moves_to_the_start_and_references_follow() {
        let mut heap = Heap::new();
        let gone = heap.pair(0, 0, 0);
        let a = heap.pair(7, 0, 0xc);
        heap.pair(gone, a, 0);
        let b = heap.array(ARRAY, &[a, 0, a]);
        heap.words[(a / 8) as usize + 1] |= b << 32; // A cycle.
        let bytes = heap.array(BYTES, &[gone, gone, gone]);
        let mut roots = [b, 0, bytes, b, 2];
        let mut noted = heap.collect(&mut roots);
        // In the order in which they are found: the array, the bytes, then what the array holds.
        let [b, zero, bytes, same, two] = roots;
        assert_eq!((b, zero, bytes, same, two), (16, 0, 16 + 24, 16, 2));
        let a = bytes + 24;
        assert_eq!(
            heap.words[2..],
            [
                3 << 32 | u64::from(ARRAY | ARRAY_FLAG),
                a,
                a,
                3 << 32 | u64::from(BYTES | ARRAY_FLAG),
                gone | gone << 32,
                gone,
                u64::from(PAIR),
                7 | b << 32,
                0xc,
            ]
        );
        noted.sort_unstable();
        assert_eq!(noted, [2, 7, 0xc]);
    }

    #[test]
    fn objects_of_the_image_stay_and_what_they_hold_is_reachable() {
        let mut heap = Heap::new();
        let pinned = heap.pair(0, 0, 0);
        heap.image_end = heap.end();
        heap.pair(0, 0, 0);
        let held = heap.pair(pinned, 0, 0);
        heap.words[(pinned / 8) as usize + 1] = held << 32 | pinned;
        let mut roots = [pinned];
        heap.collect(&mut roots);
        let held = pinned + 24;
        assert_eq!((roots, heap.end()), ([pinned], held + 24));
        assert_eq!(heap.words[2..], [u64::from(PAIR), held << 32 | pinned, 0, u64::from(PAIR), pinned, 0]);
    }

    #[test]
    fn a_long_list_is_copied_without_recursion() {
        let mut heap = Heap::new();
        let mut last = 0;
        for _ in 0..1_000_000 {
            last = heap.pair(last, 0, 0);
        }
        let before = heap.end();
        let mut roots = [last];
        heap.collect(&mut roots);
        assert_eq!((roots, heap.end()), ([16], before));
    }

    #[test]
    fn nothing_is_left_if_there_are_no_roots() {
        let mut heap = Heap::new();
        (0..1000).for_each(|_| _ = heap.pair(0, 0, 0));
        heap.collect(&mut []);
        assert_eq!(heap.end(), 16);
    }
}
