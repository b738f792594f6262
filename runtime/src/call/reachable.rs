//! Which exceptions of a store can still be reached, so that the others can be freed.
//!
//! Compiled code says in its stack maps where it holds references during each call. So all of them are found in the
//! frames from the innermost one to the entry trampoline, for each call that is at work in the store. Others are in
//! globals, tables, structures and arrays, the embedder's handles, and the exception that is on its way.
//!
//! Nothing moves. A reference that is found stays what it is.

use super::frames::callers;
use crate::code::registry::{self, Text};
use crate::pool::InstanceData;
use crate::store::{Activation, Exceptions, ExnReference, StoreInner};
use crate::vmctx::VmContext;
use minirt_compiler::instance::layout::{GlobalPlace, TablePlace};
use minirt_compiler::module::canonical::NumberedTypes;

/// Frees the exceptions of a store that nothing refers to. `frame` is that of what compiled code has called, or 0 in the
/// host. `others` are references that are needed besides.
///
/// # Safety
/// The store's activations must be on the stack. If there is a frame, it must be that of a function that keeps frame
/// pointers and was called by compiled code of the innermost activation.
#[cold]
#[inline(never)]
pub(super) unsafe fn free_unreachable(
    store: &mut StoreInner,
    frame: usize,
    others: impl Iterator<Item = ExnReference>,
) {
    let Some(mut exceptions) = store.exceptions.take() else { return };
    exceptions.mark_pending();
    store.roots.get_mut().visit(|word| ExnReference::from_word(*word).into_iter().for_each(|it| exceptions.mark(it)));
    others.for_each(|reference| exceptions.mark(reference));
    for instance in 0..store.instances.len() as u32 {
        // SAFETY: the instance is alive, and none of its code runs now.
        unsafe { mark_state(&mut exceptions, store.instance(instance)) }
    }
    mark_heap(&mut exceptions, store);
    let mut activation: *const Activation = store.activation;
    let mut innermost = frame;
    // SAFETY: the caller's promise.
    while let Some(active) = unsafe { activation.as_ref() } {
        let frame = if innermost != 0 { innermost } else { active.exit_frame };
        if frame != 0 {
            // SAFETY: either frame is that of what compiled code of the activation has called.
            unsafe { mark_frames(&mut exceptions, frame, active.frame) }
        }
        (activation, innermost) = (active.previous, 0);
    }
    exceptions.sweep();
    store.exceptions = Some(exceptions);
}

/// Marks what the callers of the function with a frame hold, up to the entry trampoline's frame.
///
/// # Safety
/// As for [`callers`].
unsafe fn mark_frames(exceptions: &mut Exceptions, frame: usize, last: usize) {
    let mut found: Vec<ExnReference> = Vec::new();
    registry::read(|code| {
        let mut text: Option<Text<'_>> = None;
        // SAFETY: the caller's promise.
        for caller in unsafe { callers(frame) }.take_while(|caller| caller.frame != last) {
            let address = caller.return_address - 1;
            if !text.as_ref().is_some_and(|text| text.contains(address)) {
                text = code.at(address);
            }
            let Some(text) = &text else { continue };
            let (sites, offset) = text.call_site(caller.return_address);
            for below in sites.references_at(offset) {
                // SAFETY: compiled code keeps a reference there during this call, as it says.
                let word = unsafe { *((caller.frame - below as usize) as *const u64) };
                found.extend(ExnReference::from_word(word));
            }
        }
    });
    found.into_iter().for_each(|reference| exceptions.mark(reference));
}

/// Marks what the structures and arrays of a store hold.
fn mark_heap(exceptions: &mut Exceptions, store: &StoreInner) {
    let Some(heap) = &store.heap else { return };
    let types = store.engine.types();
    heap.visit(
        |number| types.get(number).map(|def| &def.composite),
        |object, parts| {
            let exceptions_in = parts.iter().filter(|(_, ty)| ty.unpack().is_traced());
            exceptions_in
                .filter_map(|(at, _)| heap.word(object + at).and_then(ExnReference::from_word))
                .for_each(|reference| exceptions.mark(reference));
        },
    );
}

/// Marks what an instance holds in its globals and tables.
///
/// # Safety
/// The instance must be alive, and nobody write its state.
unsafe fn mark_state(exceptions: &mut Exceptions, data: &InstanceData) {
    let (info, layout) = (data.prototype.info(), data.prototype.layout());
    let vmctx: VmContext = data.vmctx();
    for (index, global) in (0..).zip(&info.globals) {
        if let (true, GlobalPlace::State(at)) = (global.content.is_traced(), layout.global(index)) {
            // SAFETY: globals are part of the state.
            let word = unsafe { *vmctx.at::<u64>(at) };
            ExnReference::from_word(word).into_iter().for_each(|reference| exceptions.mark(reference));
        }
    }
    for (index, table) in (0..).zip(&info.tables) {
        let TablePlace::State { base, size, .. } = layout.table(index) else { continue };
        if table.element.heap.kind().is_traced() {
            // SAFETY: tables are part of the state, and as long as they say.
            let elements =
                unsafe { std::slice::from_raw_parts(vmctx.at::<u64>(base), *vmctx.at::<u64>(size) as usize) };
            elements.iter().filter_map(|word| ExnReference::from_word(*word)).for_each(|it| exceptions.mark(it));
        }
    }
}
