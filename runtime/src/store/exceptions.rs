//! The exceptions of a store: what each carries, and which of them are still needed.
//!
//! Most exceptions never get here. Where one is caught that no reference to it can exist of, only
//! what it carries is kept, until the handler has read it.
//!
//! The others are in a list. Code holds references to them by number, and every so often the
//! runtime finds out which ones can be reached (`call::collect`): it marks those, and the rest are
//! freed. A number is not used again for another exception, so a reference that was forgotten would
//! be noticed.

use super::handle::ExnReference;
use crate::vmctx::Raw;
use minirt_compiler::instance::layout::object::{EXCEPTION_TAG, TAG_MASK};
use minirt_compiler::module::ValType;
use std::num::NonZeroU64;

/// The most bytes that the exceptions of a store take.
const MOST: usize = 256 << 20;

/// Bytes of exceptions below which nobody looks for those that are not needed any more.
const SMALL: usize = 64 << 10;

/// What an exception takes besides what it carries and where it was, about: its place in the list,
/// which may be twice as long as it has to be, and what the allocator adds to each part.
const OVERHEAD: usize = 256;

/// The identity of a tag: where it is defined. Numbers of one store mean nothing to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct TagNumber(u64);

impl TagNumber {
    pub(crate) fn new(instance: u32, index: u32) -> Self {
        Self(u64::from(instance) << 32 | u64::from(index))
    }

    /// Returns the instance that defines it, by its place in the store.
    pub(crate) fn instance(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns its index there.
    pub(crate) fn index(self) -> u32 {
        self.0 as u32
    }
}

/// One exception.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) tag: TagNumber,
    /// The values that it carries.
    pub(crate) carried: Vec<Raw>,
    /// Which of them are references that have to be looked at.
    traced: Box<[u32]>,
    /// The return addresses of the functions that it has left, the innermost first: as many as are
    /// kept.
    pub(crate) left: Vec<usize>,
}

/// Bits of a reference below the place.
const TAG_BITS: u32 = TAG_MASK.count_ones();

/// All places have a number of this width.
const _: () = assert!(MOST / OVERHEAD < 1 << (u32::BITS - TAG_BITS));

impl Exception {
    /// Calls `visit` with each reference that it carries, as code holds it.
    pub(crate) fn visit(&mut self, mut visit: impl FnMut(&mut u64)) {
        for index in &self.traced {
            let value = &mut self.carried[*index as usize];
            let mut word = value.0 as u64;
            visit(&mut word);
            *value = Raw(word.into());
        }
    }
}

/// The most functions of which an exception keeps that it has left them.
const MOST_LEFT: usize = 64;

/// A place in the list.
#[derive(Debug)]
struct Place {
    /// How many exceptions were here before.
    generation: u32,
    exception: Option<Exception>,
    marked: bool,
}

/// All exceptions of a store.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    places: Vec<Place>,
    /// Places without an exception.
    free: Vec<u32>,
    /// Places of exceptions that were marked and not yet taken.
    found: Vec<u32>,
    /// About how many bytes the exceptions take.
    bytes: usize,
    /// How many bytes there are to be before somebody looks which are still needed.
    enough: usize,
    /// The values of the last exception that was caught without a reference to it.
    caught: Vec<Raw>,
    /// The exception that the host has thrown, or that no handler has taken.
    pub(crate) pending: Option<ExnReference>,
}

impl ExnReference {
    fn new(place: u32, generation: u32) -> Self {
        let number = u64::from(generation) << 32 | u64::from(place << TAG_BITS | EXCEPTION_TAG);
        Self(NonZeroU64::new(number).expect("the mark is not zero"))
    }

    /// Returns the reference that Wasm holds as a word, and `None` for null or what is no
    /// exception.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        NonZeroU64::new(word).filter(|word| word.get() as u32 & TAG_MASK == EXCEPTION_TAG).map(Self)
    }

    /// Returns the word as which Wasm holds it.
    pub(crate) fn word(self) -> u64 {
        self.0.get()
    }

    fn place(self) -> usize {
        (self.0.get() as u32 >> TAG_BITS) as usize
    }

    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

/// Returns about how many bytes an exception takes that carries so many values, and has left so
/// many functions.
fn size(carried: usize, left: usize) -> usize {
    OVERHEAD + carried * (size_of::<Raw>() + size_of::<u32>()) + left * size_of::<usize>()
}

impl Exceptions {
    /// Returns whether it is time to look which exceptions are still needed, before one is added
    /// that carries so many values.
    pub(crate) fn is_time_to_look(&self, carried: usize) -> bool {
        self.bytes + size(carried, 0) > self.enough.clamp(SMALL, MOST)
    }

    /// Adds an exception. `None` if there are too many.
    pub(crate) fn add(&mut self, tag: TagNumber, types: &[ValType], carried: &[Raw]) -> Option<ExnReference> {
        let bytes = self.bytes + size(carried.len(), 0);
        if bytes > MOST {
            return None;
        }
        let traced = (0..).zip(types).filter(|(_, ty)| ty.is_traced()).map(|(index, _)| index).collect();
        let exception = Some(Exception { tag, carried: carried.to_vec(), traced, left: Vec::new() });
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize].exception = exception;
                place
            }
            None => {
                self.places.push(Place { generation: 0, exception, marked: false });
                self.places.len() as u32 - 1
            }
        };
        self.bytes = bytes;
        Some(ExnReference::new(place, self.places[place as usize].generation))
    }

    /// Returns whether there is room for one that carries so many values, and for a sixteenth of
    /// what there is. After a collection there has to be. Otherwise code close to the limit could
    /// collect with every exception.
    pub(crate) fn has_room(&self, carried: usize) -> bool {
        self.bytes + self.bytes / 16 + size(carried, 0) <= MOST
    }

    /// Returns an exception. `None` if it is not there any more.
    pub(crate) fn get(&self, reference: ExnReference) -> Option<&Exception> {
        let place = self.places.get(reference.place())?;
        place.exception.as_ref().filter(|_| place.generation == reference.generation())
    }

    /// Returns whether there is no exception.
    pub(crate) fn is_empty(&self) -> bool {
        // Each takes some, and what is freed is taken off: no need to look at all places at every
        // reset.
        self.bytes == 0
    }

    /// Notes which functions an exception has left, by their return addresses, and returns where
    /// its values are.
    pub(crate) fn caught(&mut self, reference: ExnReference, left: impl Iterator<Item = usize>) -> Option<*const Raw> {
        let place = self.places.get_mut(reference.place())?;
        let exception = place.exception.as_mut().filter(|_| place.generation == reference.generation())?;
        let left: Vec<usize> = left.take(MOST_LEFT - exception.left.len()).collect();
        self.bytes += left.len() * size_of::<usize>();
        exception.left.reserve_exact(left.len());
        exception.left.extend(left);
        Some(exception.carried.as_ptr())
    }

    /// Keeps what an exception carries until another one is caught, and returns where it is.
    pub(crate) fn keep_caught(&mut self, carried: &[Raw]) -> *const Raw {
        self.caught.clear();
        self.caught.extend_from_slice(carried);
        self.caught.as_ptr()
    }

    /// Marks an exception that is needed. [`Self::take_found`] returns it then.
    pub(crate) fn mark(&mut self, reference: ExnReference) {
        let Some(place) = self.places.get_mut(reference.place()) else { return };
        if !place.marked && place.generation == reference.generation() && place.exception.is_some() {
            place.marked = true;
            self.found.push(reference.place() as u32);
        }
    }

    /// Takes out an exception that was marked, so that what it carries can be looked at. It has to
    /// be put back.
    pub(crate) fn take_found(&mut self) -> Option<(u32, Exception)> {
        let place = self.found.pop()?;
        Some((place, self.places[place as usize].exception.take()?))
    }

    /// Puts back what [`Self::take_found`] has returned.
    pub(crate) fn put_back(&mut self, place: u32, exception: Exception) {
        self.places[place as usize].exception = Some(exception);
    }

    /// Marks what has been thrown and not yet taken.
    pub(crate) fn mark_pending(&mut self) {
        self.pending.into_iter().for_each(|reference| self.mark(reference));
    }

    /// Frees all exceptions that are not marked.
    pub(crate) fn sweep(&mut self) {
        for (index, place) in (0..).zip(&mut self.places) {
            if std::mem::take(&mut place.marked) {
                continue;
            }
            let Some(exception) = place.exception.take() else { continue };
            self.bytes -= size(exception.carried.len(), exception.left.len());
            // A place whose numbers are used up is left empty.
            if let Some(next) = place.generation.checked_add(1) {
                place.generation = next;
                self.free.push(index);
            }
        }
        self.enough = self.bytes.saturating_mul(2);
    }

    /// Decides when to look the next time: not before there are half as many bytes of exceptions as
    /// the last collection has looked at or moved. So code that throws does not make the store
    /// collect a large heap all the time.
    pub(crate) fn set_pace(&mut self, cost: u64) {
        self.enough = self.enough.max(usize::try_from(cost / 2).unwrap_or(usize::MAX));
    }

    /// Returns how many places there are, with and without an exception.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: TagNumber = TagNumber(7);

    impl Exceptions {
        fn len(&self) -> usize {
            self.places.iter().filter(|place| place.exception.is_some()).count()
        }
    }

    /// Marks what can be reached from an exception, as a collection does.
    fn mark(exceptions: &mut Exceptions, reference: ExnReference) {
        exceptions.mark(reference);
        while let Some((place, mut exception)) = exceptions.take_found() {
            exception.visit(|word| ExnReference::from_word(*word).into_iter().for_each(|inner| exceptions.mark(inner)));
            exceptions.put_back(place, exception);
        }
    }

    fn add(exceptions: &mut Exceptions, inside: Option<ExnReference>) -> ExnReference {
        let word = inside.map_or(0, ExnReference::word);
        exceptions.add(TAG, &[ValType::I32, ValType::EXNREF], &[Raw(1), Raw(word.into())]).unwrap()
    }

    #[test]
    fn what_is_marked_stays_with_all_that_it_carries_and_the_rest_goes() {
        let mut exceptions = Exceptions::default();
        let inner = add(&mut exceptions, None);
        let outer = add(&mut exceptions, Some(inner));
        let other = add(&mut exceptions, Some(outer));
        mark(&mut exceptions, outer);
        exceptions.sweep();
        assert_eq!([inner, outer, other].map(|it| exceptions.get(it).is_some()), [true, true, false]);
        exceptions.sweep();
        assert_eq!((exceptions.len(), exceptions.bytes), (0, 0));
    }

    #[test]
    fn the_functions_that_an_exception_has_left_count_among_its_bytes() {
        let mut exceptions = Exceptions::default();
        let thrown = add(&mut exceptions, None);
        let before = exceptions.bytes;
        for _ in 0..3 {
            exceptions.caught(thrown, 0..1000).unwrap();
        }
        let left = &exceptions.get(thrown).unwrap().left;
        assert_eq!((left.len(), left.capacity()), (MOST_LEFT, MOST_LEFT));
        assert_eq!(exceptions.bytes - before, MOST_LEFT * size_of::<usize>());
        exceptions.sweep();
        assert_eq!(exceptions.bytes, 0);
    }

    #[test]
    fn a_long_chain_is_marked_without_recursion() {
        let mut exceptions = Exceptions::default();
        let last = (0..200_000).fold(None, |inner, _| Some(add(&mut exceptions, inner)));
        mark(&mut exceptions, last.unwrap());
        exceptions.sweep();
        assert_eq!(exceptions.len(), 200_000);
    }

    #[test]
    fn a_reference_to_what_is_gone_is_never_one_to_what_came_after() {
        let mut exceptions = Exceptions::default();
        let before = add(&mut exceptions, None);
        exceptions.sweep();
        let after = add(&mut exceptions, None);
        assert_eq!((before.place(), exceptions.get(before).is_some()), (after.place(), false));
        assert!(exceptions.get(after).is_some());
    }

    #[test]
    fn there_are_never_more_than_the_limit_allows() {
        let mut exceptions = Exceptions::default();
        let carried = [Raw(0); 1000];
        while exceptions.add(TAG, &[ValType::I64; 1000], &carried).is_some() {}
        assert!(exceptions.bytes <= MOST && exceptions.bytes > MOST - size(1000, 0));
        exceptions.sweep();
        assert!(exceptions.add(TAG, &[], &[]).is_some());
    }
}
