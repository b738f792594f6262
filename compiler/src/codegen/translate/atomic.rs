//! Translates atomic accesses (threads proposal). minirt has no shared memories, so all memories
//! here are unshared.
//!
//! All code of a store runs on one thread at a time, and no memory belongs to two stores. So nobody
//! can observe such an access half-way, and an ordinary access is enough. Three rules of the
//! proposal remain: a misaligned access traps, `notify` finds nobody who waits, and `wait` traps.

use super::memory::Address;
use super::state::Translator;
use crate::base::trap::Trap;
use crate::codegen::abi::trap_code;
use crate::module::MemArg;
use crate::module::instruction::Atomic;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};

/// How an access changes the value in memory.
#[derive(Clone, Copy)]
enum Update {
    Add,
    Sub,
    And,
    Or,
    Xor,
    Exchange,
}

impl Translator<'_, '_> {
    pub(super) fn atomic(&mut self, op: Atomic) {
        use Atomic as O;
        match op {
            // Orders accesses of several threads, and there is one.
            O::AtomicFence { .. } => {}
            O::MemoryAtomicNotify { memarg } => self.atomic_notify(memarg),
            O::MemoryAtomicWait32 { .. } | O::MemoryAtomicWait64 { .. } => self.atomic_wait(),
            O::I32AtomicLoad { memarg } => self.atomic_load(memarg, I32, I32),
            O::I32AtomicLoad8U { memarg } => self.atomic_load(memarg, I32, I8),
            O::I32AtomicLoad16U { memarg } => self.atomic_load(memarg, I32, I16),
            O::I64AtomicLoad { memarg } => self.atomic_load(memarg, I64, I64),
            O::I64AtomicLoad8U { memarg } => self.atomic_load(memarg, I64, I8),
            O::I64AtomicLoad16U { memarg } => self.atomic_load(memarg, I64, I16),
            O::I64AtomicLoad32U { memarg } => self.atomic_load(memarg, I64, I32),
            O::I32AtomicStore { memarg } => self.atomic_store(memarg, I32),
            O::I32AtomicStore8 { memarg } => self.atomic_store(memarg, I8),
            O::I32AtomicStore16 { memarg } => self.atomic_store(memarg, I16),
            O::I64AtomicStore { memarg } => self.atomic_store(memarg, I64),
            O::I64AtomicStore8 { memarg } => self.atomic_store(memarg, I8),
            O::I64AtomicStore16 { memarg } => self.atomic_store(memarg, I16),
            O::I64AtomicStore32 { memarg } => self.atomic_store(memarg, I32),
            O::I32AtomicRmwAdd { memarg } => self.read_modify_write(memarg, I32, I32, Update::Add),
            O::I32AtomicRmw8AddU { memarg } => self.read_modify_write(memarg, I32, I8, Update::Add),
            O::I32AtomicRmw16AddU { memarg } => self.read_modify_write(memarg, I32, I16, Update::Add),
            O::I64AtomicRmwAdd { memarg } => self.read_modify_write(memarg, I64, I64, Update::Add),
            O::I64AtomicRmw8AddU { memarg } => self.read_modify_write(memarg, I64, I8, Update::Add),
            O::I64AtomicRmw16AddU { memarg } => self.read_modify_write(memarg, I64, I16, Update::Add),
            O::I64AtomicRmw32AddU { memarg } => self.read_modify_write(memarg, I64, I32, Update::Add),
            O::I32AtomicRmwSub { memarg } => self.read_modify_write(memarg, I32, I32, Update::Sub),
            O::I32AtomicRmw8SubU { memarg } => self.read_modify_write(memarg, I32, I8, Update::Sub),
            O::I32AtomicRmw16SubU { memarg } => self.read_modify_write(memarg, I32, I16, Update::Sub),
            O::I64AtomicRmwSub { memarg } => self.read_modify_write(memarg, I64, I64, Update::Sub),
            O::I64AtomicRmw8SubU { memarg } => self.read_modify_write(memarg, I64, I8, Update::Sub),
            O::I64AtomicRmw16SubU { memarg } => self.read_modify_write(memarg, I64, I16, Update::Sub),
            O::I64AtomicRmw32SubU { memarg } => self.read_modify_write(memarg, I64, I32, Update::Sub),
            O::I32AtomicRmwAnd { memarg } => self.read_modify_write(memarg, I32, I32, Update::And),
            O::I32AtomicRmw8AndU { memarg } => self.read_modify_write(memarg, I32, I8, Update::And),
            O::I32AtomicRmw16AndU { memarg } => self.read_modify_write(memarg, I32, I16, Update::And),
            O::I64AtomicRmwAnd { memarg } => self.read_modify_write(memarg, I64, I64, Update::And),
            O::I64AtomicRmw8AndU { memarg } => self.read_modify_write(memarg, I64, I8, Update::And),
            O::I64AtomicRmw16AndU { memarg } => self.read_modify_write(memarg, I64, I16, Update::And),
            O::I64AtomicRmw32AndU { memarg } => self.read_modify_write(memarg, I64, I32, Update::And),
            O::I32AtomicRmwOr { memarg } => self.read_modify_write(memarg, I32, I32, Update::Or),
            O::I32AtomicRmw8OrU { memarg } => self.read_modify_write(memarg, I32, I8, Update::Or),
            O::I32AtomicRmw16OrU { memarg } => self.read_modify_write(memarg, I32, I16, Update::Or),
            O::I64AtomicRmwOr { memarg } => self.read_modify_write(memarg, I64, I64, Update::Or),
            O::I64AtomicRmw8OrU { memarg } => self.read_modify_write(memarg, I64, I8, Update::Or),
            O::I64AtomicRmw16OrU { memarg } => self.read_modify_write(memarg, I64, I16, Update::Or),
            O::I64AtomicRmw32OrU { memarg } => self.read_modify_write(memarg, I64, I32, Update::Or),
            O::I32AtomicRmwXor { memarg } => self.read_modify_write(memarg, I32, I32, Update::Xor),
            O::I32AtomicRmw8XorU { memarg } => self.read_modify_write(memarg, I32, I8, Update::Xor),
            O::I32AtomicRmw16XorU { memarg } => self.read_modify_write(memarg, I32, I16, Update::Xor),
            O::I64AtomicRmwXor { memarg } => self.read_modify_write(memarg, I64, I64, Update::Xor),
            O::I64AtomicRmw8XorU { memarg } => self.read_modify_write(memarg, I64, I8, Update::Xor),
            O::I64AtomicRmw16XorU { memarg } => self.read_modify_write(memarg, I64, I16, Update::Xor),
            O::I64AtomicRmw32XorU { memarg } => self.read_modify_write(memarg, I64, I32, Update::Xor),
            O::I32AtomicRmwXchg { memarg } => self.read_modify_write(memarg, I32, I32, Update::Exchange),
            O::I32AtomicRmw8XchgU { memarg } => self.read_modify_write(memarg, I32, I8, Update::Exchange),
            O::I32AtomicRmw16XchgU { memarg } => self.read_modify_write(memarg, I32, I16, Update::Exchange),
            O::I64AtomicRmwXchg { memarg } => self.read_modify_write(memarg, I64, I64, Update::Exchange),
            O::I64AtomicRmw8XchgU { memarg } => self.read_modify_write(memarg, I64, I8, Update::Exchange),
            O::I64AtomicRmw16XchgU { memarg } => self.read_modify_write(memarg, I64, I16, Update::Exchange),
            O::I64AtomicRmw32XchgU { memarg } => self.read_modify_write(memarg, I64, I32, Update::Exchange),
            O::I32AtomicRmwCmpxchg { memarg } => self.compare_exchange(memarg, I32, I32),
            O::I32AtomicRmw8CmpxchgU { memarg } => self.compare_exchange(memarg, I32, I8),
            O::I32AtomicRmw16CmpxchgU { memarg } => self.compare_exchange(memarg, I32, I16),
            O::I64AtomicRmwCmpxchg { memarg } => self.compare_exchange(memarg, I64, I64),
            O::I64AtomicRmw8CmpxchgU { memarg } => self.compare_exchange(memarg, I64, I8),
            O::I64AtomicRmw16CmpxchgU { memarg } => self.compare_exchange(memarg, I64, I16),
            O::I64AtomicRmw32CmpxchgU { memarg } => self.compare_exchange(memarg, I64, I32),
        }
    }

    /// Returns where an aligned access of `size` bytes goes, and how.
    fn aligned(&mut self, memarg: MemArg, index: Value, size: u32) -> (Address, MemFlagsData) {
        if size > 1 {
            // The memory starts at a page, so only the low bits of index and offset matter.
            let wide = self.widen(index);
            let within = u64::from(size - 1);
            let sum = self.b.ins().iadd_imm_u(wide, (memarg.offset & within) as i64);
            let low = self.b.ins().band_imm_u(sum, within as i64);
            let misaligned = self.b.ins().icmp_imm_u(IntCC::NotEqual, low, 0);
            self.trap_if(misaligned, Trap::HeapMisaligned);
        }
        (self.address(memarg.memory, index, memarg.offset, size), self.memory_flags())
    }

    fn atomic_load(&mut self, memarg: MemArg, ty: Type, access: Type) {
        let index = self.pop();
        let (at, flags) = self.aligned(memarg, index, access.bytes());
        let value = self.b.ins().load(access, flags, at.base, at.displacement);
        self.push_extended(value, ty);
    }

    fn atomic_store(&mut self, memarg: MemArg, access: Type) {
        let (value, index) = (self.pop(), self.pop());
        let value = self.reduced(value, access);
        let (at, flags) = self.aligned(memarg, index, access.bytes());
        self.b.ins().store(flags, value, at.base, at.displacement);
    }

    fn read_modify_write(&mut self, memarg: MemArg, ty: Type, access: Type, update: Update) {
        let (operand, index) = (self.pop(), self.pop());
        let operand = self.reduced(operand, access);
        let (at, flags) = self.aligned(memarg, index, access.bytes());
        let before = self.b.ins().load(access, flags, at.base, at.displacement);
        let ins = self.b.ins();
        let after = match update {
            Update::Add => ins.iadd(before, operand),
            Update::Sub => ins.isub(before, operand),
            Update::And => ins.band(before, operand),
            Update::Or => ins.bor(before, operand),
            Update::Xor => ins.bxor(before, operand),
            Update::Exchange => operand,
        };
        self.b.ins().store(flags, after, at.base, at.displacement);
        self.push_extended(before, ty);
    }

    fn compare_exchange(&mut self, memarg: MemArg, ty: Type, access: Type) {
        let (replacement, expected, index) = (self.pop(), self.pop(), self.pop());
        let (at, flags) = self.aligned(memarg, index, access.bytes());
        let before = self.b.ins().load(access, flags, at.base, at.displacement);
        let replacement = self.reduced(replacement, access);
        // The expected value keeps all of its bits: if it does not fit the access, it is never
        // found.
        let found = if access == ty { before } else { self.b.ins().uextend(ty, before) };
        let same = self.b.ins().icmp(IntCC::Equal, found, expected);
        let after = self.b.ins().select(same, replacement, before);
        self.b.ins().store(flags, after, at.base, at.displacement);
        self.push_extended(before, ty);
    }

    /// Returns 0, because nobody waits for a memory that is not shared. The access is checked all
    /// the same.
    fn atomic_notify(&mut self, memarg: MemArg) {
        let (_count, index) = (self.pop(), self.pop());
        let (at, flags) = self.aligned(memarg, index, I32.bytes());
        self.b.ins().load(I32, flags, at.base, at.displacement);
        let nobody = self.b.ins().iconst(I32, 0);
        self.push(nobody);
    }

    fn atomic_wait(&mut self) {
        self.b.ins().trap(trap_code(Trap::AtomicWaitNonSharedMemory));
        self.reachable = false;
    }

    fn push_extended(&mut self, value: Value, ty: Type) {
        let same = self.b.func.dfg.value_type(value) == ty;
        let value = if same { value } else { self.b.ins().uextend(ty, value) };
        self.push(value);
    }
}
