//! A live instance in whatever runtime, and the host around it.

use crate::value::{Outcome, State, Type, Value};
use std::ops::Range;

/// An instance, as those who compare runtimes see it. Exports are called by their names.
pub trait Guest {
    /// Calls an exported function that returns `results` values.
    fn call(&mut self, name: &str, arguments: &[Value], results: usize) -> Outcome;

    /// Returns what all exports hold.
    fn look(&mut self) -> State;

    /// Changes an exported mutable global of type `i32`.
    fn set_i32(&mut self, name: &str, value: u32);

    /// Writes to a memory, at a place modulo its size and as far as it goes.
    fn write(&mut self, memory: &str, at: u64, bytes: &[u8], how: HowToWrite);

    /// Adds a page to a memory and returns how many there were, if that is possible.
    fn grow(&mut self, memory: &str) -> Option<u64>;

    /// Collects objects that nothing refers to, where there are objects.
    fn collect(&mut self);
}

/// How the host writes to a memory. minirt treats a slice differently, for it may be written to at
/// any time.
#[derive(Clone, Copy, Debug)]
pub enum HowToWrite {
    /// By the method `write`.
    Method,
    /// Through a slice of the memory.
    Slice,
}

/// The results of a function of the host for its arguments: values of these types. Without them,
/// the function traps as if it were unreachable.
pub type Answer = Box<dyn Fn(&[Value], &[Type]) -> Option<Vec<Value>> + Send + Sync>;

/// The imports of modules. Memories and tables are new and empty.
pub trait Host {
    /// Returns the function that is imported by these names.
    fn function(&self, module: &str, name: &str) -> Answer;

    /// Returns what the global starts with that is imported by these names.
    fn global(&self, module: &str, name: &str, ty: Type) -> Value;
}

/// Returns where a write goes in a memory of `size` bytes.
pub(crate) fn place(at: u64, len: usize, size: usize) -> Option<Range<usize>> {
    let at = (at as usize).checked_rem(size)?;
    Some(at..size.min(at + len))
}
