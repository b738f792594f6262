//! Translates bulk operations on linear memory: fill, copy, init, and dropping segments
//! (specification, section 4.4.7).
//!
//! The runtime does the work, except where the length is a small constant. Compilers use that for
//! small structures, and then it is a few loads and stores. The rules for a single access make this
//! correct without any comparison: an access outside faults before anything has been written. Where
//! a store that faults may have written in part, a load makes sure of that.

use super::memory::Address;
use super::state::Translator;
use crate::base::trap::Trap;
use crate::codegen::isa::stores_whole_or_nothing;
use crate::instance::builtin::Builtin;
use crate::instance::layout::DropFlag;
use crate::module::instruction::BulkMemory;
use cranelift_codegen::ir::types::{I8, I8X16, I64};
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value};

/// The most bytes that are filled or copied without the runtime.
const SHORT: u32 = 64;

impl Translator<'_, '_> {
    pub(super) fn bulk_memory(&mut self, op: BulkMemory) {
        match op {
            BulkMemory::MemoryFill { mem } => self.fill(mem),
            BulkMemory::MemoryCopy { dst_mem, src_mem } => self.copy(dst_mem, src_mem),
            BulkMemory::MemoryInit { data_index, mem } => {
                let (len, from, at) = (self.pop(), self.pop(), self.pop());
                let (memory, segment) = (self.index_constant(mem), self.index_constant(data_index));
                let arguments = [memory, segment, self.widen(at), self.widen(from), self.widen(len)];
                self.pay_for_bytes(arguments[4]);
                self.call_checked(Builtin::MemoryInit, &arguments, Trap::MemoryOutOfBounds);
            }
            BulkMemory::DataDrop { data_index } => {
                self.drop_segment(self.module.layout.data_dropped(data_index));
            }
        }
    }

    /// Sets the flag of a segment. One without a flag has been dropped long ago.
    pub(super) fn drop_segment(&mut self, flag: Option<DropFlag>) {
        let Some(DropFlag { at, mask }) = flag else { return };
        let flags = self.load(I8, self.vmctx, at, self.regions.sizes);
        let flags = self.b.ins().bor_imm_u(flags, i64::from(mask));
        self.store(flags, self.vmctx, at, self.regions.sizes);
    }

    fn fill(&mut self, memory: u32) {
        let (len, byte, at) = (self.pop(), self.pop(), self.pop());
        if let Some(len) = self.short(len) {
            return self.short_fill(memory, at, byte, len);
        }
        let arguments = [self.index_constant(memory), self.widen(at), byte, self.widen(len)];
        self.pay_for_bytes(arguments[3]);
        self.call_checked(Builtin::MemoryFill, &arguments, Trap::MemoryOutOfBounds);
    }

    fn copy(&mut self, to_memory: u32, from_memory: u32) {
        let (len, from, to) = (self.pop(), self.pop(), self.pop());
        if let Some(len) = self.short(len) {
            return self.short_copy((to_memory, to), (from_memory, from), len);
        }
        let (to_memory, from_memory) = (self.index_constant(to_memory), self.index_constant(from_memory));
        let arguments = [to_memory, self.widen(to), from_memory, self.widen(from), self.widen(len)];
        self.pay_for_bytes(arguments[4]);
        self.call_checked(Builtin::MemoryCopy, &arguments, Trap::MemoryOutOfBounds);
    }

    /// Returns a length that is a small constant. It is not 0: without an access, nothing would
    /// fault where it must.
    fn short(&self, len: Value) -> Option<u32> {
        let dfg = &self.b.func.dfg;
        let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = dfg.insts[dfg.value_def(len).inst()?] else {
            return None;
        };
        u32::try_from(imm.bits()).ok().filter(|len| (1..=SHORT).contains(len))
    }

    fn short_fill(&mut self, memory: u32, at: Value, byte: Value, len: u32) {
        let (ty, offsets) = accesses(len, 8);
        let value = self.repeat(byte, ty);
        let to = self.address(memory, at, 0, len);
        self.probe(&to, ty, len);
        let flags = self.memory_flags();
        for offset in offsets {
            self.b.ins().store(flags, value, to.base, to.displacement + offset);
        }
    }

    /// Reads everything before it writes anything, so it does not matter whether the two places
    /// overlap.
    fn short_copy(&mut self, to: (u32, Value), from: (u32, Value), len: u32) {
        let (ty, offsets) = accesses(len, 16);
        let from = self.address(from.0, from.1, 0, len);
        let flags = self.memory_flags();
        let load = |offset: &i32| self.b.ins().load(ty, flags, from.base, from.displacement + offset);
        let values: Vec<Value> = offsets.iter().map(load).collect();
        let to = self.address(to.0, to.1, 0, len);
        self.probe(&to, ty, len);
        for (offset, value) in offsets.into_iter().zip(values) {
            self.b.ins().store(flags, value, to.base, to.displacement + offset);
        }
    }

    /// Has the last byte fault, if it is outside, before stores of this type could write anything.
    fn probe(&mut self, to: &Address, ty: Type, len: u32) {
        if ty.bytes() > 1 && !stores_whole_or_nothing(self.module.isa) {
            let flags = self.memory_flags();
            // Cranelift keeps a load that can trap, although nobody uses its value.
            self.b.ins().load(I8, flags, to.base, to.displacement + len as i32 - 1);
        }
    }

    /// Returns the low byte of an i32 in every byte of an integer.
    fn repeat(&mut self, byte: Value, ty: Type) -> Value {
        let byte = self.b.ins().ireduce(I8, byte);
        if ty == I8 {
            return byte;
        }
        let byte = self.b.ins().uextend(I64, byte);
        let ones = self.b.ins().iconst(I64, 0x0101_0101_0101_0101);
        let bytes = self.b.ins().imul(byte, ones);
        if ty == I64 { bytes } else { self.b.ins().ireduce(ty, bytes) }
    }
}

/// Returns the type and the offsets of equal accesses that cover `len` bytes and no others. They
/// overlap where they must.
///
/// The last bytes come first. If any of the bytes is outside the memory, the last one is, so the
/// first access faults.
fn accesses(len: u32, widest: u32) -> (Type, Vec<i32>) {
    let size = widest.min(1 << len.ilog2());
    let ty = Type::int_with_byte_size(size as u16).filter(|ty| ty.bytes() <= 8).unwrap_or(I8X16);
    let offset = |i: u32| (i * size).min(len - size) as i32;
    (ty, (0..len.div_ceil(size)).rev().map(offset).collect())
}

#[cfg(test)]
mod tests {
    use super::{SHORT, accesses};

    #[test]
    fn short_accesses_cover_every_byte_and_start_with_the_last() {
        for (len, widest) in (1..=SHORT).flat_map(|len| [(len, 8), (len, 16)]) {
            let (ty, offsets) = accesses(len, widest);
            let mut covered = vec![false; len as usize];
            for offset in &offsets {
                covered[*offset as usize..*offset as usize + ty.bytes() as usize].fill(true);
            }
            assert!(covered.iter().all(|byte| *byte), "{len} bytes by {ty} at {offsets:?}");
            assert_eq!(offsets[0] as u32 + ty.bytes(), len);
            assert!(offsets.is_sorted_by(|a, b| a > b));
        }
    }
}
