//! Which Wasm functions were active when something went wrong.

use super::activation::{self, Activation, Frames};
use crate::store::{AsContext, StoreInner};
use std::fmt;

/// When a backtrace has this many frames, no more are added of the same call into Wasm.
const MAX_SHOWN: usize = 256;

/// The Wasm part of a stack, innermost frame first.
///
/// Attached as context to the error of a call that entered Wasm: `error.downcast_ref::<WasmBacktrace>()`.
///
/// # Examples
/// ```
/// # use minirt::{Engine, Instance, Module, Store};
/// use minirt::{Trap, WasmBacktrace};
/// # let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func $deep unreachable) (func $run (export "run") (call $deep)))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&store, "run")?.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
/// let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
/// assert!(frames.iter().map(|frame| frame.func_name()).eq([Some("deep"), Some("run")]));
/// # Ok::<(), minirt::Error>(())
/// ```
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
    /// The functions that are active in a store, on this thread: those from which a host function was called, or whose
    /// epoch deadline passed. Elsewhere there are none.
    pub fn capture(store: impl AsContext) -> Self {
        let mut backtrace = Self::default();
        // SAFETY: the activations of this thread are those of our callers.
        unsafe { backtrace.push_active(&store.as_context().0.inner, activation::current()) };
        backtrace
    }

    /// The active functions, innermost first. Of the innermost call into Wasm there are at most 64, and about 256 in all.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// What was active when `innermost`, an activation in this store, stopped.
    ///
    /// # Safety
    /// The activations around `innermost` must still be on the stack.
    pub(crate) unsafe fn at_failure(store: &StoreInner, innermost: &Activation) -> Self {
        let mut backtrace = Self::default();
        let trapped = innermost.trap.is_some();
        let addresses: Vec<usize> = if trapped { Frames::with(|frames| frames.iter().collect()) } else { Vec::new() };
        for (depth, address) in addresses.iter().enumerate() {
            // A return address may already belong to the next instruction, or even the next function.
            backtrace.frames.extend(locate(store, address - usize::from(depth > 0)));
        }
        // SAFETY: the caller's promise.
        unsafe { backtrace.push_active(store, innermost.previous) };
        backtrace
    }

    /// Adds the functions of a store that are active in an activation and in those around it.
    ///
    /// # Safety
    /// The activations must still be on the stack.
    unsafe fn push_active(&mut self, store: &StoreInner, mut activation: *const Activation) {
        // SAFETY: the caller's promise.
        while let Some(active) = unsafe { activation.as_ref() } {
            let of_store = std::ptr::eq(active.store.cast(), store);
            if of_store && !active.exit_frame.is_null() {
                // SAFETY: that activation is in Rust that a trampoline called, so the frames from the trampoline's up
                // to the entry's are intact.
                unsafe {
                    walk(active.exit_frame, active.frame, |address| {
                        self.frames.extend(locate(store, address - 1));
                        self.frames.len() < MAX_SHOWN
                    });
                }
            }
            activation = active.previous;
        }
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
