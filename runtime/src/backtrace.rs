//! Which Wasm functions were active when something went wrong.

use crate::activation::{Activation, Frames};
use crate::store::StoreInner;
use std::fmt;

/// The Wasm part of a stack, innermost frame first.
///
/// Attached as context to the error of a call that entered Wasm: `error.downcast_ref::<WasmBacktrace>()`.
#[derive(Clone, Debug, Default)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
}

/// One active Wasm function.
#[derive(Clone, Debug)]
pub struct FrameInfo {
    module: Option<String>,
    func: u32,
    name: Option<String>,
    offset: Option<usize>,
}

impl FrameInfo {
    /// The function's index in its module.
    pub fn func_index(&self) -> u32 {
        self.func
    }

    /// The function's name, if the module's name section gives one.
    pub fn func_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The module's name, if its name section gives one.
    pub fn module_name(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// The byte of the module at which the active instruction starts.
    pub fn module_offset(&self) -> Option<usize> {
        self.offset
    }
}

impl WasmBacktrace {
    /// The active functions, innermost first; at most 64 of the innermost call into Wasm.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// What was active when `innermost`, an activation in this store, stopped.
    ///
    /// # Safety
    /// The activations around `innermost` must still be on the stack.
    pub(crate) unsafe fn capture(store: &StoreInner, innermost: &Activation) -> Self {
        let mut frames = Vec::new();
        let trapped = innermost.trap.is_some();
        let addresses: Vec<usize> = if trapped { Frames::with(|frames| frames.iter().collect()) } else { Vec::new() };
        for (depth, address) in addresses.iter().enumerate() {
            // A return address may already belong to the next instruction, or even the next function.
            frames.extend(locate(store, address - usize::from(depth > 0)));
        }
        let mut outer = innermost.previous;
        // SAFETY: the list's entries are alive: the caller's promise.
        while let Some(activation) = unsafe { outer.as_ref() } {
            if std::ptr::eq(activation.store, innermost.store) && !activation.exit_frame.is_null() {
                // SAFETY: that activation is in a host function that the exit trampoline called, so the frames from
                // the trampoline's up to the entry's are intact.
                unsafe {
                    walk(activation.exit_frame, activation.frame, |address| {
                        frames.extend(locate(store, address - 1));
                        frames.len() < 4 * addresses.len().max(64)
                    });
                }
            }
            outer = activation.previous;
        }
        Self { frames }
    }
}

/// Calls `f` with each return address from `frame` outwards until the frame `end`, or until `f` says stop.
///
/// # Safety
/// `frame` must be the frame pointer of a function that was called, directly or not, by the function
/// with frame `end`, and all functions between must keep frame pointers.
pub(crate) unsafe fn walk(mut frame: *const usize, end: usize, mut f: impl FnMut(usize) -> bool) {
    while frame as usize != end && !frame.is_null() {
        // SAFETY: a frame starts with the caller's frame pointer and the return address: the caller's promise.
        let (outer, address) = unsafe { (*frame, *frame.add(1)) };
        if outer == end || !f(address) {
            // The function whose frame this is was called by the entry trampoline: its return address is there.
            break;
        }
        frame = outer as *const usize;
    }
}

fn locate(store: &StoreInner, address: usize) -> Option<FrameInfo> {
    (0..store.instances.len() as u32).find_map(|index| {
        let module = &store.instance(index).prototype;
        let offset = module.code().offset(address)?;
        let tables = module.code().tables();
        let func = module.info().num_imported_funcs + tables.func_at(offset)? as u32;
        Some(FrameInfo {
            module: module.info().name.clone(),
            func,
            name: module.info().func_name(func).map(str::to_owned),
            offset: tables.wasm_offset(offset).map(|at| at as usize),
        })
    })
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error while executing at wasm backtrace:")?;
        for (depth, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {depth:3}: ")?;
            if let Some(offset) = frame.offset {
                write!(f, "{offset:#8x} - ")?;
            }
            let module = frame.module.as_deref().unwrap_or("<unknown>");
            match &frame.name {
                Some(name) => write!(f, "{module}!{name}")?,
                None => write!(f, "{module}!<wasm function {}>", frame.func)?,
            }
        }
        Ok(())
    }
}
