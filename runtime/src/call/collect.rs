//! Collects what a store does not need any more: objects, exceptions, and values of the embedder.
//!
//! All three are found together, because they hold references to each other. Objects that are
//! reachable move to the start of the heap; those of the image stay where they are. The others are
//! marked, and what is not marked is freed.

use super::roots::{visit_frames, visit_state};
use crate::gc::{Evacuated, Evacuation, Others};
use crate::pool::InstanceData;
use crate::store::host_values::{HostValue, HostValues};
use crate::store::{Exceptions, ExnReference, Heap, StoreInner};
use minirt_compiler::instance::layout::object::{ALIGN, BIAS, EXCEPTION_TAG, FIRST, HOST_TAG, NEXT, TAG_MASK};
use minirt_compiler::module::CompositeType;
use minirt_compiler::module::canonical::NumberedTypes;
use std::ops::Range;

/// Exceptions and values of the host, marked as a collection finds them.
struct Found {
    exceptions: Option<Box<Exceptions>>,
    host_values: Option<Box<HostValues>>,
}

impl Found {
    /// Frees the exceptions that were not found, and returns the values of the host that were not.
    /// `cost` is how many bytes the collection had to look at or to move.
    fn sweep(&mut self, cost: u64) -> Vec<HostValue> {
        if let Some(exceptions) = &mut self.exceptions {
            exceptions.sweep();
            exceptions.set_pace(cost);
        }
        let Some(values) = &mut self.host_values else { return Vec::new() };
        let dead = values.sweep();
        values.set_pace(cost);
        dead
    }
}

impl Others for Found {
    fn note(&mut self, word: u64) {
        match (word as u32 & TAG_MASK, self) {
            (HOST_TAG, Self { host_values: Some(values), .. }) => values.mark(word),
            (EXCEPTION_TAG, Self { exceptions: Some(exceptions), .. }) => {
                ExnReference::from_word(word).into_iter().for_each(|reference| exceptions.mark(reference));
            }
            _ => {}
        }
    }
}

/// Where the objects of a heap are that move, and where they go.
struct Plan {
    base: *mut u8,
    from: Range<u64>,
    start: u64,
}

impl Plan {
    /// Makes a plan that moves nothing.
    fn none(base: *mut u8, end: u64) -> Self {
        Self { base, from: end..end, start: end }
    }

    /// Returns where the objects of a heap are to go. `None` if there cannot be any, or the kernel
    /// does not let the heap be written. Nearly always it was written before: by whatever made the
    /// objects. But that may have failed, and an object be there that nobody has written.
    ///
    /// # Safety
    /// The heap must be alive, and nobody else use the description of its instance.
    unsafe fn of(heap: &Heap) -> Option<Self> {
        let from = heap.image_end..heap.next();
        // A reset that failed may have left a heap that is neither as in the image nor as it was.
        if from.end < from.start || from.end > BIAS + heap.memory.len() {
            return None;
        }
        let (base, shift) = (heap.base(), heap.shift());
        let start = from.start + shift;
        let end = from.end + shift;
        // What moves further back than it was may come to pages that nobody has written.
        let fits = |end: u64| end <= BIAS + heap.memory.len();
        let make_writable = |range: Range<u64>| {
            // SAFETY: the caller's promise.
            let data = unsafe { InstanceData::of(heap.memory.owner) };
            let bytes = range.end.saturating_sub(range.start) as usize;
            data.slot.make_writable(base.wrapping_add(range.start as usize), bytes).ok()
        };
        make_writable(NEXT..FIRST)?;
        make_writable(from.clone())?;
        if shift != 0 && !from.is_empty() && fits(end) && make_writable(from.start..end).is_some() {
            return Some(Self { base, from, start });
        }
        Some(Self { base, start: from.start, from })
    }
}

/// Collects. `frame` is that of what compiled code has called, or 0 in the host. `others` are
/// references, as code holds them, that are needed besides; they are changed where what they lead
/// to moves.
///
/// Returns the embedder's values that are not needed any more. Dropping them runs the embedder's
/// code, which may panic.
///
/// # Safety
/// The store's activations must be on the stack. If there is a frame, it must be that of a function
/// that keeps frame pointers and was called by compiled code of the innermost activation. No
/// reference to an object may be anywhere but in roots and `others`, and no Rust reference point
/// into the heap.
#[cold]
#[inline(never)]
pub(crate) unsafe fn collect(store: &mut StoreInner, frame: usize, others: &mut [u64]) -> Vec<HostValue> {
    let mut heap = store.heap.take();
    let found = Found { exceptions: store.exceptions.take(), host_values: store.host_values.take() };
    let (mut shapes, buffer) = heap.as_deref_mut().map_or_else(Default::default, Heap::take_tools);
    // SAFETY: the heap is this store's, whose code does not run now.
    let plan = heap.as_ref().map_or(Some(Plan::none(std::ptr::null_mut(), 0)), |heap| unsafe { Plan::of(heap) });
    let engine = store.engine.clone();
    let describe = |number| -> Option<CompositeType> { engine.types().get(number).map(|def| def.composite.clone()) };
    let begun = match plan {
        // SAFETY: the heap is readable up to its next object, and from the end of the image on it
        // was made writable by the plan.
        Some(Plan { base, from, start }) => unsafe {
            let begun = Evacuation::begin(base, from.clone(), start, buffer, &mut shapes, describe, found);
            begun.map(|evacuation| (evacuation, from, start))
        },
        None => Err(found),
    };
    let (mut evacuation, from, start) = match begun {
        Ok(begun) => begun,
        Err(found) => {
            // There is no memory to move them to. Nothing was looked at yet, and all stays.
            if let Some(heap) = &mut heap {
                heap.set_pace(0);
                heap.note_scanned(0);
                heap.put_tools(shapes, Vec::new());
            }
            (store.heap, store.exceptions, store.host_values) = (heap, found.exceptions, found.host_values);
            return Vec::new();
        }
    };
    // SAFETY: the caller's promise.
    let mut seen = unsafe { find_roots(&mut evacuation, store, frame, others) };
    let pinned = FIRST..from.start;
    let scanned = pinned.end.saturating_sub(pinned.start);
    evacuation.scan_pinned(pinned);
    seen.places += find_the_rest(&mut evacuation);
    let Evacuated { end, buffer, others: mut found } = evacuation.finish();
    // Those that were not found are looked at, too.
    let places = found.exceptions.as_ref().map_or(0, |all| all.places())
        + found.host_values.as_ref().map_or(0, |all| all.places());
    let known = scanned + (seen.places + places) as u64 * ALIGN;
    let looked_at = known + seen.others as u64 * ALIGN;
    // Whoever makes exceptions or values of the embedder pays for what was moved as well.
    let dead = found.sweep(looked_at + (end - start));
    if let Some(heap) = &mut heap {
        // SAFETY: the heap is this store's. Where objects were, it is writable.
        unsafe { heap.collected(from, start, end) }
        if frame == 0 {
            // An embedder collects where something has ended.
            heap.forget_needed();
        }
        heap.set_pace(looked_at);
        heap.note_scanned(known);
        // SAFETY: as above. The plan has made the limit writable.
        unsafe { heap.rewrite_limit() }
        heap.put_tools(shapes, buffer);
    }
    (store.heap, store.exceptions, store.host_values) = (heap, found.exceptions, found.host_values);
    dead
}

/// How much a collection has looked at, in places for references.
struct Seen {
    /// Those of the store's instances.
    places: usize,
    /// Those of the embedder, and those in frames, whose number depends on how code was optimised.
    others: usize,
}

/// Visits what the store, its instances and its frames hold, and `others`.
///
/// # Safety
/// As for [`collect`].
unsafe fn find_roots<D: Fn(u32) -> Option<CompositeType>>(
    evacuation: &mut Evacuation<'_, Found, D>,
    store: &mut StoreInner,
    frame: usize,
    others: &mut [u64],
) -> Seen {
    let mut seen = Seen { places: 0, others: others.len() };
    others.iter_mut().for_each(|word| evacuation.word(word));
    store.roots.get_mut().visit(|word| {
        seen.others += 1;
        evacuation.word(word);
    });
    // SAFETY: instances are alive, and none of the store's code runs now. The rest is the caller's
    // promise.
    unsafe {
        for instance in &store.instances {
            seen.places += visit_state(*instance, &mut |word| evacuation.word(word));
        }
        seen.others += visit_frames(store.activation, frame, |word| evacuation.word(word));
    }
    if let Some(exceptions) = &mut evacuation.others.exceptions {
        exceptions.mark_pending();
    }
    seen
}

/// Visits what all objects and exceptions hold that were found, until there are no more. Returns
/// how many words of exceptions that were.
fn find_the_rest<D: Fn(u32) -> Option<CompositeType>>(evacuation: &mut Evacuation<'_, Found, D>) -> usize {
    let mut words = 0;
    loop {
        evacuation.scan();
        let exceptions = evacuation.others.exceptions.as_mut();
        let Some((place, mut exception)) = exceptions.and_then(|exceptions| exceptions.take_found()) else {
            return words;
        };
        exception.visit(|word| {
            words += 1;
            evacuation.word(word);
        });
        if let Some(exceptions) = &mut evacuation.others.exceptions {
            exceptions.put_back(place, exception);
        }
    }
}
