//! An instance in whatever runtime, as the comparison sees it.

use crate::plan::HowToWrite;
use crate::value::{Outcome, State, Value};

pub(crate) trait Guest {
    fn call(&mut self, name: &str, arguments: &[Value], results: usize) -> Outcome;

    /// What all exports hold.
    fn look(&mut self) -> State;

    /// Changes an exported mutable global.
    fn set_i32(&mut self, name: &str, value: u32);

    /// Writes to a memory, at a place modulo its size and as far as it goes.
    fn write(&mut self, memory: &str, at: u64, bytes: &[u8], how: HowToWrite);

    /// Adds a page to a memory and says how many there were, if that is possible.
    fn grow(&mut self, memory: &str) -> Option<u64>;
}

/// Where a write goes in a memory of `size` bytes.
pub(crate) fn place(at: u64, len: usize, size: usize) -> Option<std::ops::Range<usize>> {
    let at = (at as usize).checked_rem(size)?;
    Some(at..size.min(at + len))
}
