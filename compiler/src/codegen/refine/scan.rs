//! Looks at all instructions of a function once, for everybody who wants to know something.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// Uses, extensions and counters of one function.
#[derive(Default)]
pub(in crate::codegen) struct Scan {
    /// How often each value is used, or 255 if it is more often.
    uses: SecondaryMap<Value, u8>,
    /// The values of 32 bits that are extended to 64 with zeros, and the instructions that do so.
    pub(super) extended: Vec<(Value, Inst)>,
    /// Floating-point constants and calculations, in their order.
    pub(super) floats: Vec<Float>,
    /// The uses of loops' counters, in their order.
    pub(super) counters: Vec<CounterUse>,
    /// One more than a value's place among the counters, or 0 if it is none.
    counter: SecondaryMap<Value, u32>,
}

/// A floating-point constant, or a calculation with such numbers that does nothing else.
#[derive(Clone, Copy)]
pub(super) struct Float {
    pub(super) inst: Inst,
    pub(super) block: Block,
    /// The bits of a constant.
    pub(super) constant: Option<u64>,
}

/// A use of a loop's counter.
pub(super) struct CounterUse {
    /// The counter's first place in the list.
    pub(super) first: usize,
    pub(super) inst: Inst,
    pub(super) block: Block,
    /// Where `inst` is among all.
    pub(super) place: usize,
}

impl Scan {
    /// Looks at a function. A counter can be listed several times, one after the other.
    pub(super) fn look_at(&mut self, func: &Function, counters: &[Value]) {
        self.uses.clear();
        self.counter.clear();
        self.extended.clear();
        self.floats.clear();
        self.counters.clear();
        for (index, counter) in counters.iter().enumerate().rev() {
            self.counter[*counter] = index as u32 + 1;
        }
        let mut place = 0;
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                place += 1;
                for value in func.dfg.inst_values(inst) {
                    self.uses[value] = self.uses[value].saturating_add(1);
                    let first = if counters.is_empty() { 0 } else { self.counter[value] as usize };
                    if first > 0 {
                        self.counters.push(CounterUse { first: first - 1, inst, block, place });
                    }
                }
                match func.dfg.insts[inst] {
                    InstructionData::Unary { opcode: Opcode::Uextend, arg }
                        if func.dfg.value_type(arg) == I32
                            && func.dfg.value_type(func.dfg.first_result(inst)) == I64 =>
                    {
                        self.extended.push((arg, inst));
                    }
                    // Clearing a register makes 0.
                    InstructionData::UnaryIeee32 { imm, .. } if imm.bits() != 0 => {
                        self.floats.push(Float { inst, block, constant: Some(imm.bits().into()) });
                    }
                    InstructionData::UnaryIeee64 { imm, .. } if imm.bits() != 0 => {
                        self.floats.push(Float { inst, block, constant: Some(imm.bits()) });
                    }
                    InstructionData::Unary { opcode, .. } | InstructionData::Binary { opcode, .. }
                        if calculates(opcode) =>
                    {
                        self.floats.push(Float { inst, block, constant: None });
                    }
                    _ => {}
                }
            }
        }
        self.extended.sort_unstable();
    }

    /// Returns whether a value was used in one place.
    pub(super) fn is_used_once(&self, value: Value) -> bool {
        self.uses[value] == 1
    }
}

/// Returns whether an instruction calculates with floating-point numbers, and cannot trap.
fn calculates(opcode: Opcode) -> bool {
    use Opcode as O;
    let one =
        matches!(opcode, O::Sqrt | O::Ceil | O::Floor | O::Trunc | O::Nearest | O::Fneg | O::Fpromote | O::Fdemote);
    let two = matches!(opcode, O::Fadd | O::Fsub | O::Fmul | O::Fdiv);
    one || two || matches!(opcode, O::FcvtFromSint | O::FcvtFromUint)
}

/// Returns the instruction that makes a value.
pub(super) fn maker(func: &Function, value: Value) -> Option<Inst> {
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => Some(inst),
        ValueDef::Param(..) | ValueDef::Union(..) => None,
    }
}

/// Removes an instruction. Its result becomes another name of a value.
pub(super) fn replace(func: &mut Function, inst: Inst, by: Value) {
    let result = func.dfg.first_result(inst);
    func.layout.remove_inst(inst);
    func.dfg.detach_inst_results(inst);
    func.dfg.change_to_alias(result, by);
}
