//! Roots: where a store holds references outside of its heap and its exceptions.
//!
//! Compiled code says in its stack maps where it holds references during each call. So all of them
//! are found in the frames from the innermost one to the entry trampoline, for each call that is at
//! work in the store. Others are in globals, tables and the kept values of element segments that
//! were not dropped. Those of the embedder are in the store's own table.

use super::frames::callers;
use crate::code::registry::{self, Text};
use crate::pool::InstanceData;
use crate::store::Activation;
use minirt_compiler::instance::layout::{GlobalPlace, TablePlace};
use std::ptr::NonNull;

/// Visits what an instance holds in its globals, tables and element segments. What a dropped
/// segment had is never read again, and so stays as it is. A reference is a word of 64 bits, as
/// code holds it, in a page that may not be writable unless it was written since the last reset.
/// Returns how many places were looked at, those without references included.
///
/// # Safety
/// The instance must be alive, and nobody else use its state.
pub(super) unsafe fn visit_state(instance: NonNull<InstanceData>, visit: &mut impl FnMut(&mut u64)) -> usize {
    // SAFETY: the caller's promise.
    let data = unsafe { instance.as_ref() };
    if !data.is_attached {
        return 0;
    }
    let view = data.view();
    let mut places = view.module.globals.len() + view.module.tables.len() + view.module.elements.len();
    // SAFETY: globals, tables and the values of element segments are part of the state; tables are
    // as long as they say.
    let mut visit_all = |at: i32, len: usize| unsafe {
        places += len;
        std::slice::from_raw_parts_mut(view.vmctx.at::<u64>(at), len).iter_mut().for_each(&mut *visit);
    };
    for (index, global) in (0..).zip(&view.module.globals) {
        if let (true, GlobalPlace::State(at)) = (global.content.is_traced(), view.layout.global(index)) {
            visit_all(at, 1);
        }
    }
    for (index, table) in (0..).zip(&view.module.tables) {
        if let (true, TablePlace::State { base, size, .. }) = (table.element.heap.is_traced(), view.layout.table(index))
        {
            // SAFETY: sizes are part of the state.
            let len = unsafe { *view.vmctx.at::<u64>(size) };
            visit_all(base, len as usize);
        }
    }
    for segment in &view.module.elements {
        // SAFETY: the instance is alive.
        let dropped = || unsafe { view.is_dropped(view.layout.element_dropped(segment.index)) };
        if let Some(at) = view.layout.element_values(segment.index)
            && !dropped()
        {
            visit_all(at, segment.items.len());
        }
    }
    places
}

/// Visits what the frames of compiled code hold, of all calls from `activation` on outwards.
/// `frame` is that of what the innermost one's code has called, or 0 if that was the host. Returns
/// how many frames and references there were.
///
/// # Safety
/// The activations must be on the stack, and their store's innermost ones. If there is a frame, it
/// must be that of a function that keeps frame pointers and was called by compiled code of the
/// innermost activation.
pub(super) unsafe fn visit_frames(
    mut activation: *const Activation,
    mut frame: usize,
    mut visit: impl FnMut(&mut u64),
) -> usize {
    let (mut found, mut frames): (Vec<*mut u64>, usize) = (Vec::new(), 0);
    // SAFETY: the caller's promise.
    while let Some(active) = unsafe { activation.as_ref() } {
        let innermost = if frame != 0 { frame } else { active.exit_frame };
        if innermost != 0 {
            // SAFETY: either frame is that of what compiled code of the activation has called.
            frames += unsafe { find_in_frames(innermost, active.frame, &mut found) };
        }
        (activation, frame) = (active.previous, 0);
    }
    // SAFETY: compiled code keeps a reference there while it waits, as it says, and reads it again
    // when it goes on.
    found.iter().for_each(|word| visit(unsafe { &mut **word }));
    frames + found.len()
}

/// Finds where the callers of the function with a frame hold references, up to the entry
/// trampoline's frame. Returns how many callers there are.
///
/// # Safety
/// As for [`callers`].
unsafe fn find_in_frames(frame: usize, last: usize, found: &mut Vec<*mut u64>) -> usize {
    registry::read(|code| {
        let (mut text, mut frames): (Option<Text<'_>>, usize) = (None, 0);
        // SAFETY: the caller's promise.
        for caller in unsafe { callers(frame) }.take_while(|caller| caller.frame != last) {
            let address = caller.return_address - 1;
            frames += 1;
            if !text.as_ref().is_some_and(|text| text.contains(address)) {
                text = code.at(address);
            }
            let Some(text) = &text else { continue };
            let (sites, offset) = text.call_site(caller.return_address);
            found.extend(sites.references_at(offset).map(|below| (caller.frame - below as usize) as *mut u64));
        }
        frames
    })
}
