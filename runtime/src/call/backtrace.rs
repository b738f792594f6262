//! Captures which Wasm functions were active when something went wrong.

use super::frames::{TrapDetails, callers};
use crate::engine::BACKTRACE_FRAMES;
use crate::module::Module;
use crate::store::{Activation, AsContext, StoreInner};
use minirt_compiler::Printable;
use std::fmt;
use std::sync::Arc;

/// The Wasm part of a stack, innermost frame first.
///
/// Attached as context to the error of a call that entered Wasm:
/// `error.downcast_ref::<WasmBacktrace>()`. It keeps the modules alive that its functions are from.
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
    module: Module,
    func: u32,
    offset: Option<usize>,
}

impl FrameInfo {
    /// Returns the function's index in its module.
    pub fn func_index(&self) -> u32 {
        self.func
    }

    /// Returns the module that the function is from.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Returns the function's name, if the module's name section gives one. It is a guest's choice:
    /// [`Printable`] shows it to people.
    pub fn func_name(&self) -> Option<&str> {
        self.module.info().func_name(self.func)
    }

    /// Returns the module's name, if its name section gives one. It is a guest's choice, too.
    pub fn module_name(&self) -> Option<&str> {
        self.module.name()
    }

    /// Returns the byte of the module at which the active instruction starts.
    pub fn module_offset(&self) -> Option<usize> {
        self.offset
    }

    /// Returns the byte at which the active instruction starts, counted from the start of the
    /// function's body (after its size, before its locals).
    pub fn func_offset(&self) -> Option<usize> {
        let start = self.module.info().funcs[self.func as usize].body as usize;
        self.offset?.checked_sub(start)
    }

    /// Returns whether another frame is of the same function, at the same instruction.
    fn is_like(&self, other: &Self) -> bool {
        let place = |frame: &Self| (frame.func, frame.offset);
        place(self) == place(other) && Arc::ptr_eq(self.module.prototype(), other.module.prototype())
    }
}

impl WasmBacktrace {
    /// Captures the functions that are active in a store: those from which a host function was
    /// called, or whose epoch deadline passed. Elsewhere there are none. There are none either if
    /// the engine's configuration says so
    /// ([`Config::wasm_backtrace_max_frames`](crate::Config::wasm_backtrace_max_frames)).
    pub fn capture(store: impl AsContext) -> Self {
        let store = &store.as_context().0.inner;
        store.engine.backtrace_frames().map_or_else(Self::default, |most| Self::of_active(store, most.get()))
    }

    /// Does the same as [`capture`](Self::capture) even if the configuration says that there are no
    /// backtraces. At most 64 frames are captured then.
    pub fn force_capture(store: impl AsContext) -> Self {
        let store = &store.as_context().0.inner;
        Self::of_active(store, store.engine.backtrace_frames().unwrap_or(BACKTRACE_FRAMES).get())
    }

    fn of_active(store: &StoreInner, most: usize) -> Self {
        let mut backtrace = Self::default();
        // SAFETY: the caller has the store, so the calls that are at work in it are around this
        // one.
        unsafe { backtrace.push_active(store, store.activation, most) };
        backtrace
    }

    /// Returns the active functions, innermost first, as many as
    /// [`Config::wasm_backtrace_max_frames`](crate::Config::wasm_backtrace_max_frames) allows. Of
    /// the call into Wasm that trapped there are at most 256.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// Returns the functions that were active when `innermost`, an activation in this store,
    /// stopped, up to a limit.
    ///
    /// # Safety
    /// The activations around `innermost` must still be on the stack.
    pub(crate) unsafe fn at_failure(store: &StoreInner, innermost: &Activation, most: usize) -> Self {
        let mut backtrace = Self::default();
        let trapped = innermost.trap.is_some();
        let addresses: Vec<usize> =
            if trapped { TrapDetails::with(|details| details.frames().collect()) } else { Vec::new() };
        for (depth, address) in addresses.iter().take(most).enumerate() {
            // A return address may already belong to the next instruction, or even the next
            // function.
            backtrace.push(store, address - usize::from(depth > 0));
        }
        // Where code stands for a call, one address is two functions.
        backtrace.frames.truncate(most);
        // SAFETY: the caller's promise.
        unsafe { backtrace.push_active(store, innermost.previous, most) };
        backtrace
    }

    /// Adds the functions that are active in an activation of a store and in those around it.
    ///
    /// # Safety
    /// The activations must still be on the stack.
    unsafe fn push_active(&mut self, store: &StoreInner, mut activation: *const Activation, most: usize) {
        // SAFETY: the caller's promise.
        while let Some(active) = unsafe { activation.as_ref() } {
            if active.exit_frame != 0 {
                // SAFETY: that activation is in Rust that a trampoline called, so the frames from
                // the trampoline's up to the entry's are intact.
                let callers = unsafe { callers(active.exit_frame) }.take_while(|caller| caller.frame != active.frame);
                for caller in callers {
                    if self.frames.len() >= most {
                        return;
                    }
                    self.push(store, caller.return_address - 1);
                }
            }
            activation = active.previous;
        }
    }

    /// Returns the function of a store's modules whose code an address is in.
    pub(crate) fn locate(store: &StoreInner, address: usize) -> Option<FrameInfo> {
        let mut innermost = Self::default();
        innermost.push(store, address);
        innermost.frames.into_iter().next()
    }

    /// Adds the function whose code an address is in. If the code there stands for a call, that is
    /// the function which is called, and its caller is added as well. Adds nothing for an address
    /// in a trampoline.
    fn push(&mut self, store: &StoreInner, address: usize) {
        // A store can have many instances, and a call is mostly in few modules: those that it was
        // in before come first.
        let known = self.frames.iter().rev().find(|frame| frame.module.prototype().code().offset(address).is_some());
        let module = match known {
            Some(frame) => frame.module.clone(),
            None => {
                let prototypes = (0..store.instances.len() as u32).map(|index| &store.instance(index).prototype);
                let Some(of) = prototypes.into_iter().find(|it| it.code().offset(address).is_some()) else { return };
                Module::of(&store.engine, of)
            }
        };
        let (code, info) = (module.prototype().code(), module.info());
        let Some(offset) = code.offset(address) else { return };
        let Some(defined) = code.tables().func_at(offset) else { return };
        let func = info.num_imported_funcs + defined as u32;
        let mut place = code.tables().wasm_offset(offset);
        if let Some(call) = code.tables().inlined_call(offset) {
            let callee = place.and_then(|place| info.func_of_body(place));
            let offset = place.map(|at| at as usize);
            self.frames.extend(callee.map(|func| FrameInfo { module: module.clone(), func, offset }));
            place = Some(call);
        }
        self.frames.push(FrameInfo { module, func, offset: place.map(|at| at as usize) });
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error while executing at wasm backtrace:")?;
        let mut depth = 0;
        // Endless recursion prints as one line.
        for alike in self.frames.chunk_by(FrameInfo::is_like) {
            let frame = &alike[0];
            write!(f, "\n  {depth:3}: ")?;
            if let Some(offset) = frame.offset {
                write!(f, "{offset:#8x} - ")?;
            }
            let module = Printable::new(frame.module_name().unwrap_or("<unknown>"));
            match frame.func_name() {
                Some(name) => write!(f, "{module}!{}", Printable::new(name))?,
                None => write!(f, "{module}!<wasm function {}>", frame.func)?,
            }
            if alike.len() > 1 {
                write!(f, " ({} times)", alike.len())?;
            }
            depth += alike.len();
        }
        Ok(())
    }
}
