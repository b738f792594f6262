//! Which Wasm functions were active when something went wrong.

use super::frames::{TrapFrames, callers};
use crate::store::{Activation, AsContext, StoreInner};
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
    /// Captures the functions that are active in a store: those from which a host function was called, or whose
    /// epoch deadline passed. Elsewhere there are none.
    pub fn capture(store: impl AsContext) -> Self {
        let mut backtrace = Self::default();
        let store = &store.as_context().0.inner;
        // SAFETY: who has the store is called by the calls that are at work in it.
        unsafe { backtrace.push_active(store, store.activation) };
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
        let addresses: Vec<usize> =
            if trapped { TrapFrames::with(|frames| frames.iter().collect()) } else { Vec::new() };
        for (depth, address) in addresses.iter().enumerate() {
            // A return address may already belong to the next instruction, or even the next function.
            backtrace.frames.extend(locate(store, address - usize::from(depth > 0)));
        }
        // SAFETY: the caller's promise.
        unsafe { backtrace.push_active(store, innermost.previous) };
        backtrace
    }

    /// Adds the functions that are active in an activation of a store and in those around it.
    ///
    /// # Safety
    /// The activations must still be on the stack.
    unsafe fn push_active(&mut self, store: &StoreInner, mut activation: *const Activation) {
        // SAFETY: the caller's promise.
        while let Some(active) = unsafe { activation.as_ref() } {
            if active.exit_frame != 0 {
                // SAFETY: that activation is in Rust that a trampoline called, so the frames from the trampoline's up
                // to the entry's are intact.
                let callers = unsafe { callers(active.exit_frame) }.take_while(|caller| caller.frame != active.frame);
                for caller in callers {
                    self.frames.extend(locate(store, caller.return_address - 1));
                    if self.frames.len() >= MAX_SHOWN {
                        break;
                    }
                }
            }
            activation = active.previous;
        }
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
