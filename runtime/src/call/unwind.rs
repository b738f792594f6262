//! Throwing: from a `throw` to the handler that takes the exception.
//!
//! Compiled code calls one of the functions here. It goes from frame to frame, up to the trampoline
//! that entered the code, and looks each return address up among the calls that have handlers.
//! Where one takes the exception, the thread goes on there: all frames in between are those of
//! compiled code, which have nothing to clean up. Where none does, it goes on in the entry
//! trampoline, as after a trap, and the call from the host returns an error.
//!
//! No Rust frame is skipped. The functions here return before the jump. A host function that throws
//! has returned to its exit trampoline before that throws. And an exception that leaves a call from
//! the host is a return value to it.

use super::collect;
use super::frames::{TrapDetails, callers};
use crate::code::registry::{self, Text};
use crate::pool::InstanceData;
use crate::store::exceptions::TagNumber;
use crate::store::resolve::tag_number;
use crate::store::{Activation, ExnReference, Failure, StoreInner};
use crate::sys::arch::{Landing, Position, shim_with_frame, shim_with_landing};
use crate::vmctx::{HostContext, Raw, VmContext};
use minirt_compiler::Trap;
use minirt_compiler::instance::call_sites::{Catches, Frame, Handler};
use minirt_compiler::module::ValType;

shim_with_frame! {
    /// Implements the builtin `NewException`.
    fn new_exception(_vmctx: VmContext, _tag: u32, _carried: *const u128) -> u64 => make
}

shim_with_landing! {
    tail:
    /// Implements the builtin `Throw`.
    fn throw(_vmctx: VmContext, _tag: u32, _carried: *const u128) => throw_new
}

shim_with_landing! {
    tail:
    /// Implements the builtin `ThrowRef`.
    fn throw_ref(_vmctx: VmContext, _exception: u64) => throw_again
}

shim_with_landing! {
    platform:
    /// Throws the pending exception of the store in which a host function was called. Exit
    /// trampolines call it.
    fn throw_pending(_context: *const HostContext) => throw_from_host
}

// SAFETY, for the functions that follow: compiled code calls them with its own vmctx, or the
// context of a host function that it has called; and with what validation has checked. The store
// has been lent to the call that entered the code, and nobody else uses it. `frame` is that of the
// shim, which compiled code has called.

unsafe extern "C" fn make(vmctx: VmContext, tag: u32, carried: *const Raw, frame: usize) -> u64 {
    // SAFETY: see above.
    unsafe {
        let (store, data) = (StoreInner::of(vmctx).as_mut(), InstanceData::shared(vmctx));
        let types = data.prototype.info().tag_type(tag).params();
        let carried = std::slice::from_raw_parts(carried, types.len());
        let reference = add(store, tag_number(data, tag), types, carried, frame);
        reference.map_or(0, ExnReference::word)
    }
}

unsafe extern "C" fn throw_new(vmctx: VmContext, tag: u32, carried: *const Raw, frame: usize, landing: *mut Landing) {
    // SAFETY: see above.
    unsafe {
        let (store, data) = (StoreInner::of(vmctx).as_mut(), InstanceData::shared(vmctx));
        let types = data.prototype.info().tag_type(tag).params();
        let carried = std::slice::from_raw_parts(carried, types.len());
        let tag = tag_number(data, tag);
        let catcher = find(store.activation, frame, tag);
        if let Some(Catcher { at, reference: false }) = catcher {
            let carried = store.exceptions.get_or_insert_default().keep_caught(carried);
            *landing = Landing { at, words: [carried as u64, 0] };
            return;
        }
        *landing = match add(store, tag, types, carried, frame) {
            Some(reference) => land(store, catcher, reference, frame),
            None => stop(store, Trap::ExceptionsExhausted, Vec::new(), frame),
        };
    }
}

unsafe extern "C" fn throw_again(vmctx: VmContext, exception: u64, _: usize, frame: usize, landing: *mut Landing) {
    // SAFETY: see above.
    unsafe {
        let store = StoreInner::of(vmctx).as_mut();
        let reference = ExnReference::from_word(exception).expect("code has checked that it is not null");
        *landing = throw_reference(store, reference, frame);
    }
}

unsafe extern "C" fn throw_from_host(
    context: *const HostContext,
    _: usize,
    _: usize,
    frame: usize,
    landing: *mut Landing,
) {
    // SAFETY: see above.
    unsafe {
        let store = StoreInner::of_host_function(context).as_mut();
        let pending = store.exceptions.as_mut().and_then(|exceptions| exceptions.pending.take());
        *landing = throw_reference(store, pending.expect("the host has thrown an exception"), frame);
    }
}

/// A handler that takes an exception.
struct Catcher {
    at: Position,
    /// Whether it asks for a reference.
    reference: bool,
}

/// Finds the handler that takes an exception with a tag: in the caller of the function with this
/// frame, or in the callers of that.
///
/// # Safety
/// The frame must be that of a function that keeps frame pointers and was called by compiled code
/// of the activation.
unsafe fn find(activation: *const Activation, frame: usize, tag: TagNumber) -> Option<Catcher> {
    // SAFETY: the caller's promise.
    let (last, callers) = unsafe { ((*activation).frame, callers(frame)) };
    registry::read(|code| {
        let mut text: Option<Text<'_>> = None;
        for caller in callers.take_while(|caller| caller.frame != last) {
            let address = caller.return_address - 1;
            // Callers are mostly of the same module.
            if !text.as_ref().is_some_and(|text| text.contains(address)) {
                text = code.at(address);
            }
            let text = text.as_ref()?;
            let (sites, offset) = text.call_site(caller.return_address);
            let Some(Frame { size, vmctx, mut handlers }) = sites.handlers_at(offset) else { continue };
            let stack = caller.frame - size as usize;
            let taken = |catches: Catches| match catches.tag {
                None => true,
                Some(caught) => {
                    // SAFETY: compiled code keeps its vmctx there during this call, as it says, and
                    // the instance is alive.
                    let data = unsafe { InstanceData::shared(*((stack + vmctx as usize) as *const VmContext)) };
                    // SAFETY: its code runs, so its imports are written.
                    unsafe { tag_number(data, caught) == tag }
                }
            };
            if let Some(Handler { catches, offset }) = handlers.find(|handler| taken(handler.catches)) {
                let at = Position { pc: text.address(offset), stack, frame: caller.frame };
                return Some(Catcher { at, reference: catches.reference });
            }
        }
        None
    })
}

/// Adds an exception to a store, after a collection if there are many.
///
/// # Safety
/// As for [`find`], of the store's innermost activation, and for [`collect::collect`].
unsafe fn add(
    store: &mut StoreInner,
    tag: TagNumber,
    types: &[ValType],
    carried: &[Raw],
    frame: usize,
) -> Option<ExnReference> {
    if !store.exceptions.get_or_insert_default().is_time_to_look(carried.len()) {
        return store.exceptions.get_or_insert_default().add(tag, types, carried);
    }
    let traced: Vec<usize> =
        types.iter().enumerate().filter(|(_, ty)| ty.is_traced()).map(|(index, _)| index).collect();
    let mut words: Vec<u64> = traced.iter().map(|index| carried[*index].0 as u64).collect();
    // SAFETY: the caller's promise.
    let dead = unsafe { collect::collect(store, frame, &mut words) };
    let mut carried = carried.to_vec();
    traced.into_iter().zip(words).for_each(|(index, word)| carried[index] = Raw(word.into()));
    let exceptions = store.exceptions.get_or_insert_default();
    let added = if exceptions.has_room(carried.len()) { exceptions.add(tag, types, &carried) } else { None };
    // What the embedder's code does here is not part of the throw, and may panic.
    let _ = Failure::catch(|| {
        drop(dead);
        Ok(())
    });
    added
}

/// Throws an exception that there is a reference to.
///
/// # Safety
/// As for [`add`].
unsafe fn throw_reference(store: &mut StoreInner, reference: ExnReference, frame: usize) -> Landing {
    let exception = store.exceptions.as_ref().and_then(|all| all.get(reference));
    let tag = exception.expect("what code refers to is there").tag;
    // SAFETY: the caller's promise.
    unsafe {
        let catcher = find(store.activation, frame, tag);
        land(store, catcher, reference, frame)
    }
}

/// Returns where the thread goes on: at the handler, or at the end of the call from the host.
///
/// # Safety
/// As for [`add`].
unsafe fn land(store: &mut StoreInner, catcher: Option<Catcher>, reference: ExnReference, frame: usize) -> Landing {
    // SAFETY: the caller's promise.
    let callers = unsafe { callers(frame) };
    if let Some(Catcher { at, .. }) = catcher {
        // It is no failure any more. What the host has returned is dropped here, and may panic.
        let failure = store.failure.take();
        let _ = Failure::catch(|| {
            drop(failure);
            Ok(())
        });
        let left = callers.take_while(|caller| caller.frame != at.frame).map(|caller| caller.return_address);
        let carried = store.exceptions.as_mut().and_then(|all| all.caught(reference, left));
        let carried = carried.expect("what is thrown is there");
        return Landing { at, words: [carried as u64, reference.word()] };
    }
    if store.failure.is_none() {
        store.failure = Some(Failure::Error(store.thrown(reference).into()));
    }
    store.exceptions.get_or_insert_default().pending = Some(reference);
    // Where it was thrown again is told after where it was thrown.
    let left = store.exceptions.as_ref().and_then(|all| all.get(reference)).map(|exception| exception.left.clone());
    // SAFETY: the caller's promise.
    unsafe { stop(store, Trap::HostError, left.unwrap_or_default(), frame) }
}

/// Ends the call from the host, as a trap does that happens where compiled code has called the
/// function with this frame, or in functions that were left before.
///
/// # Safety
/// As for [`add`].
unsafe fn stop(store: &mut StoreInner, trap: Trap, left: Vec<usize>, frame: usize) -> Landing {
    // SAFETY: compiled code of the store runs, so there is an activation; the walk ends at its
    // trampoline.
    let (activation, callers) = unsafe { (&mut *store.activation, callers(frame)) };
    activation.trap = Some(trap);
    let callers = callers.take_while(|caller| caller.frame != activation.frame);
    let addresses = left.into_iter().chain(callers.map(|caller| caller.return_address));
    // The first one is where code stopped, and the others are return addresses.
    let addresses = (0..).zip(addresses).map(|(depth, address)| address - usize::from(depth == 0));
    TrapDetails::with(|details| details.set(addresses, None));
    let at = Position { pc: activation.handler, stack: activation.stack, frame: activation.frame };
    Landing { at, words: [0; 2] }
}

/// Makes an exception for the embedder.
pub(crate) fn new_from_host(
    store: &mut StoreInner,
    tag: TagNumber,
    types: &[ValType],
    carried: &[Raw],
) -> Option<ExnReference> {
    // SAFETY: the host has the store, so no compiled code is at work that has not called the host.
    unsafe { add(store, tag, types, carried, 0) }
}

/// Collects what nothing in a store refers to.
///
/// # Panics
/// Panics with the panic of the embedder's code, if a value of the embedder was dropped.
pub(crate) fn collect(store: &mut StoreInner) {
    // SAFETY: as above.
    drop(unsafe { collect::collect(store, 0, &mut []) });
}
