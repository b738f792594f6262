//! Finds out for which compiled code the host is writing now.

use super::registry;
use crate::cow::Writer;
use crate::sys::arch;
use crate::sys::callers;

/// Returns the instruction of compiled code that has called the host, and whether it called a
/// function of the host or only what the runtime does for an instruction, such as `memory.copy`.
pub(crate) fn find() -> Writer {
    let active = callers::active();
    let found = registry::read(|code| {
        active.iter().find_map(|function| {
            // The address may already belong to the next function.
            let address = function.pc.checked_sub(1)?;
            code.at(address).map(|text| (address, function.frame, text.is_body(address)))
        })
    });
    match found {
        Some((pc, _, true)) => Writer { pc, host: false },
        // SAFETY: what is not a body and has called the host is an exit trampoline, which keeps a
        // frame pointer.
        Some((_, frame, false)) => Writer { pc: unsafe { arch::frame(frame) }.return_address - 1, host: true },
        None => Writer { pc: 0, host: true },
    }
}
