//! Remembers constants and addresses that the current block has, so that they are not made again.
//!
//! Cranelift finds equal values by itself, but each of them takes time until it has. Programs use
//! the same small numbers again and again, and access several fields at the same address.

use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Block, Type, Value};

/// How many values of each kind are remembered. A new one takes the place of an older one.
const PLACES: usize = 16;

/// Values that are in scope in the block in which they were made.
#[derive(Default)]
pub(super) struct Repeated {
    constants: [Option<(Block, Constant, Value)>; PLACES],
    addresses: [Option<(Block, Index, Value)>; PLACES],
}

/// An integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Constant {
    pub(super) ty: Type,
    pub(super) value: i64,
}

/// An index into a memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) memory: u32,
    pub(super) value: Value,
}

impl Repeated {
    /// Returns where the value of a constant in this block is, or is to be.
    pub(super) fn constant(&mut self, block: Block, constant: Constant) -> Place<'_, Constant> {
        let hash = constant.value ^ constant.value >> 4;
        Place { entry: &mut self.constants[hash as usize % PLACES], key: (block, constant) }
    }

    /// Returns where the address of an index in this block is, or is to be.
    pub(super) fn address(&mut self, block: Block, index: Index) -> Place<'_, Index> {
        Place { entry: &mut self.addresses[index.value.index() % PLACES], key: (block, index) }
    }
}

/// A place for a value.
pub(super) struct Place<'r, K> {
    entry: &'r mut Option<(Block, K, Value)>,
    key: (Block, K),
}

impl<K: Copy + PartialEq> Place<'_, K> {
    pub(super) fn get(&self) -> Option<Value> {
        (*self.entry).filter(|(block, key, _)| (*block, *key) == self.key).map(|(.., value)| value)
    }

    pub(super) fn set(self, value: Value) {
        let (block, key) = self.key;
        *self.entry = Some((block, key, value));
    }
}
