//! Translates accesses of linear memory: loads, stores and sizes (specification, section 4.4.7).
//!
//! Most accesses need no check, because the address space after the memory is inaccessible and the
//! processor's fault is the trap:
//!
//! - A 32-bit index with a constant offset within the guard needs no check.
//! - A 64-bit index must fit 32 bits, since no memory is larger than what is reserved for it. That
//!   is a comparison with a constant.
//! - Constant offsets beyond the guard, and memories that can end in the middle of a host page,
//!   need a comparison with the current size.
//!
//! The address of the slot's own memory is at a constant distance from vmctx, and also in the host
//! cell. Which of the two a function uses is decided here alone, when all its accesses are known.

use super::repeated::Index;
use super::state::{OwnMemory, Translator};
use crate::base::trap::Trap;
use crate::codegen::abi::trap_code;
use crate::codegen::isa::takes_memory_operands;
use crate::instance::builtin::Builtin;
use crate::instance::layout::{GUARD, MEMORY, MEMORY_RESERVED, MemoryPlace, header, import_space};
use crate::module::MemArg;
use crate::module::instruction::{Load, MemorySize, Store};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I8, I8X16, I16, I32, I64};
use cranelift_codegen::ir::{Endianness, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value};

/// An address for an access: `base + displacement`.
pub(super) struct Address {
    pub(super) base: Value,
    pub(super) displacement: i32,
}

/// From this many accesses on, a function loads the address of the memory.
const LOADED_FROM: usize = 2;
/// The same for a function that calls nothing, where vmctx stays in its register. Then only the
/// length of the instructions counts.
const LOADED_IN_LEAVES_FROM: usize = 8;

impl Translator<'_, '_> {
    pub(super) fn load_instruction(&mut self, op: Load) {
        use Load as O;
        use Opcode as C;
        let (memarg, opcode, ty, bytes) = match op {
            O::I32Load { memarg } => (memarg, C::Load, I32, 4),
            O::I64Load { memarg } => (memarg, C::Load, I64, 8),
            O::F32Load { memarg } => (memarg, C::Load, F32, 4),
            O::F64Load { memarg } => (memarg, C::Load, F64, 8),
            O::V128Load { memarg } => (memarg, C::Load, I8X16, 16),
            O::I32Load8S { memarg } => (memarg, C::Sload8, I32, 1),
            O::I32Load8U { memarg } => (memarg, C::Uload8, I32, 1),
            O::I32Load16S { memarg } => (memarg, C::Sload16, I32, 2),
            O::I32Load16U { memarg } => (memarg, C::Uload16, I32, 2),
            O::I64Load8S { memarg } => (memarg, C::Sload8, I64, 1),
            O::I64Load8U { memarg } => (memarg, C::Uload8, I64, 1),
            O::I64Load16S { memarg } => (memarg, C::Sload16, I64, 2),
            O::I64Load16U { memarg } => (memarg, C::Uload16, I64, 2),
            O::I64Load32S { memarg } => (memarg, C::Sload32, I64, 4),
            O::I64Load32U { memarg } => (memarg, C::Uload32, I64, 4),
        };
        let (at, flags) = self.access(memarg, bytes);
        let flags = self.b.func.dfg.mem_flags.insert(flags).expect("there are few kinds of accesses");
        let (load, dfg) = self.b.ins().Load(opcode, ty, flags, at.displacement.into(), at.base);
        let value = dfg.first_result(load);
        self.push(value);
    }

    pub(super) fn store_instruction(&mut self, op: Store) {
        use Store as O;
        let (memarg, ty) = match op {
            O::I32Store { memarg } => (memarg, I32),
            O::I64Store { memarg } => (memarg, I64),
            O::F32Store { memarg } => (memarg, F32),
            O::F64Store { memarg } => (memarg, F64),
            O::V128Store { memarg } => (memarg, I8X16),
            O::I32Store8 { memarg } | O::I64Store8 { memarg } => (memarg, I8),
            O::I32Store16 { memarg } | O::I64Store16 { memarg } => (memarg, I16),
            O::I64Store32 { memarg } => (memarg, I32),
        };
        let value = self.pop();
        let value = self.reduced(value, ty);
        self.store_to(memarg, value);
    }

    /// Returns the low bits of an integer, as many as `ty` has.
    pub(super) fn reduced(&mut self, value: Value, ty: Type) -> Value {
        if self.b.func.dfg.value_type(value) == ty { value } else { self.b.ins().ireduce(ty, value) }
    }

    /// Pops an index and loads what is there.
    pub(super) fn load_from(&mut self, memarg: MemArg, ty: Type) -> Value {
        let (at, flags) = self.access(memarg, ty.bytes());
        self.b.ins().load(ty, flags, at.base, at.displacement)
    }

    /// Pops an index and stores a value there.
    pub(super) fn store_to(&mut self, memarg: MemArg, value: Value) {
        let size = self.b.func.dfg.value_type(value).bytes();
        let (at, flags) = self.access(memarg, size);
        self.b.ins().store(flags, value, at.base, at.displacement);
    }

    /// Pops an index. Returns where the access goes, and how.
    pub(super) fn access(&mut self, memarg: MemArg, size: u32) -> (Address, MemFlagsData) {
        let index = self.pop();
        (self.address(memarg.memory, index, memarg.offset, size), self.memory_flags())
    }

    pub(super) fn memory_flags(&self) -> MemFlagsData {
        MemFlagsData::new()
            .with_endianness(Endianness::Little)
            .with_trap_code(Some(trap_code(Trap::MemoryOutOfBounds)))
            .with_alias_region(Some(self.regions.memory))
    }

    /// Begins a function, in its first block. The address of the slot's own memory is a distance
    /// from vmctx at first; Cranelift adds that to the displacement of each access.
    pub(super) fn begin_memory(&mut self) {
        let info = self.module.info;
        if info.memories.len() > info.num_imported_memories as usize {
            let distance = self.b.ins().iconst(I64, i64::from(MEMORY));
            let base = self.b.ins().iadd(self.vmctx, distance);
            self.own_memory = Some(OwnMemory { base, accesses: 0 });
        }
    }

    /// Ends a function, when all its accesses are known. If there are several, it loads the address
    /// of the memory: a register of its own serves them better than vmctx, which every call wants
    /// in a register of its choice. Accesses get shorter, too.
    pub(super) fn settle_memory(&mut self) {
        let Some(OwnMemory { base, accesses: accesses @ LOADED_FROM.. }) = self.own_memory else { return };
        let dfg = &mut self.b.func.dfg;
        let is_leaf = || !(0..dfg.num_insts()).any(|inst| dfg.insts[Inst::new(inst)].opcode().is_call());
        if accesses < LOADED_IN_LEAVES_FROM && takes_memory_operands(self.module.isa) && is_leaf() {
            return;
        }
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let flags = flags.with_alias_region(Some(self.regions.host));
        let flags = dfg.mem_flags.insert(flags).expect("there are few kinds of accesses");
        let place = dfg.value_def(base).unwrap_inst();
        dfg.insts[place] =
            InstructionData::Load { opcode: Opcode::Load, arg: self.vmctx, flags, offset: header::MEMORY_BASE.into() };
    }

    /// Returns where a memory's bytes start, for an access.
    fn memory_base(&mut self, memory: u32) -> Value {
        match (self.module.layout.memory(memory), &self.own_memory) {
            (MemoryPlace::Slot { .. }, Some(own)) => own.base,
            (MemoryPlace::Slot { .. }, None) => unreachable!("a function begins with the address of the memory"),
            (MemoryPlace::Import(entry), _) => {
                self.load_constant(I64, self.vmctx, entry + import_space::BASE, self.regions.host)
            }
        }
    }

    fn count_access(&mut self, memory: u32) {
        if let (MemoryPlace::Slot { .. }, Some(own)) = (self.module.layout.memory(memory), &mut self.own_memory) {
            own.accesses += 1;
        }
    }

    /// Returns the address for an access of `size` bytes at `index + offset`, checked as far as
    /// needed.
    pub(super) fn address(&mut self, memory: u32, index: Value, offset: u64, size: u32) -> Address {
        self.count_access(memory);
        let reach = offset.saturating_add(u64::from(size));
        let ty = self.module.info.memories[memory as usize];
        let wide = ty.memory64;
        if reach <= GUARD && ty.ends_at_a_page() {
            // index + offset + size < 4 GiB + GUARD, so it ends in the guard at the latest.
            return self.start(memory, index, offset as i32);
        }
        let index = self.widen(index);
        let base = self.memory_base(memory);
        // No memory is larger than its reservation. Beyond that, an access is outside whatever the
        // index is.
        let (offset, reach) = if reach > MEMORY_RESERVED { (0, i64::MAX) } else { (offset as i64, reach as i64) };
        let bytes = self.memory_bytes(memory);
        let end = self.b.ins().iadd_imm_u(index, reach);
        let mut outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, bytes);
        if wide {
            // If the index fits 32 bits, the sum has not wrapped around.
            let high = self.b.ins().ushr_imm_u(index, 32);
            let high = self.b.ins().icmp_imm_u(IntCC::NotEqual, high, 0);
            outside = self.b.ins().bor(outside, high);
        }
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        let start = self.b.ins().iadd_imm_u(index, offset);
        let zero = self.b.ins().iconst(I64, 0);
        let start = self.b.ins().select_spectre_guard(outside, zero, start);
        Address { base: self.b.ins().iadd(base, start), displacement: 0 }
    }

    /// Returns the address of an index that needs no comparison.
    fn start(&mut self, memory: u32, index: Value, offset: i32) -> Address {
        if let Some(displacement) = self.known_index(index).and_then(|known| offset.checked_add(known)) {
            return Address { base: self.memory_base(memory), displacement };
        }
        let block = self.b.current_block().expect("code is being added");
        let place = Index { memory, value: index };
        if let Some(base) = self.repeated.address(block, place).get() {
            return Address { base, displacement: offset };
        }
        let index = self.widen(index);
        let base = self.memory_base(memory);
        let index = if self.module.info.memories[memory as usize].memory64 { self.narrow(index) } else { index };
        let base = self.b.ins().iadd(base, index);
        self.repeated.address(block, place).set(base);
        Address { base, displacement: offset }
    }

    /// Returns an index that is a constant, if it fits a displacement.
    fn known_index(&self, index: Value) -> Option<i32> {
        let dfg = &self.b.func.dfg;
        match dfg.insts[dfg.value_def(index).inst()?] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                i32::try_from(imm.bits()).ok().filter(|it| *it >= 0)
            }
            _ => None,
        }
    }

    /// Returns a 64-bit index, or that of vmctx if it does not fit 32 bits. vmctx is in the guard
    /// before the memory, so an access there faults. As for tables, no branch decides this.
    fn narrow(&mut self, index: Value) -> Value {
        let high = self.b.ins().ushr_imm_u(index, 32);
        let vmctx = self.b.ins().iconst(I64, -i64::from(MEMORY));
        self.b.ins().select_spectre_guard(high, vmctx, index)
    }

    /// Returns a memory's current size in bytes.
    fn memory_bytes(&mut self, memory: u32) -> Value {
        let ty = &self.module.info.memories[memory as usize];
        // An imported one can become smaller than it was: a reset of its owner does that.
        if memory >= self.module.info.num_imported_memories && ty.maximum == Some(ty.minimum) {
            return self.b.ins().iconst(I64, ty.initial_bytes() as i64);
        }
        match self.module.layout.memory(memory) {
            MemoryPlace::Slot { size } => self.load(I64, self.vmctx, size, self.regions.sizes),
            MemoryPlace::Import(entry) => {
                let at = self.load_constant(I64, self.vmctx, entry + import_space::SIZE_AT, self.regions.host);
                self.load(I64, at, 0, self.regions.sizes)
            }
        }
    }

    pub(super) fn memory_size(&mut self, op: MemorySize) {
        match op {
            MemorySize::MemorySize { mem } => {
                let bytes = self.memory_bytes(mem);
                let log2 = self.module.info.memories[mem as usize].page_size_log2;
                let pages = self.b.ins().ushr_imm_u(bytes, i64::from(log2));
                self.push_memory_size(mem, pages);
            }
            MemorySize::MemoryGrow { mem } => {
                let delta = self.pop();
                let arguments = [self.index_constant(mem), self.widen(delta)];
                let before = self.call_growth(Builtin::MemoryGrow, &arguments);
                self.push_memory_size(mem, before);
            }
        }
    }

    /// Pushes a 64-bit count of pages as the memory's address type.
    fn push_memory_size(&mut self, memory: u32, pages: Value) {
        let wide = self.module.info.memories[memory as usize].memory64;
        let pages = if wide { pages } else { self.b.ins().ireduce(I32, pages) };
        self.push(pages);
    }
}
