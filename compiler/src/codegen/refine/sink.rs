//! Puts loads in front of the one instruction that needs them.
//!
//! There, a load can be part of the instruction. Programs often load many values first, and then
//! there are not enough registers for all of them.
//!
//! These are loads from linear memory alone. Others can depend on each other: the first one from a
//! function's record finds out whether a reference is null, and the next one must come after it.

use super::scan::Scan;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Inst, Opcode, TrapCode, Value};

/// How many loads are kept in mind.
const MOST: usize = 32;

pub(super) fn sink(func: &mut Function, cfg: &ControlFlowGraph, scan: &Scan) {
    let mut loads = Vec::with_capacity(MOST);
    let mut block = func.layout.entry_block();
    while let Some(it) = block {
        sink_in(func, scan, it, &mut loads);
        block = func.layout.next_block(it);
        if !block.is_some_and(|next| follows(func, cfg, it, next)) {
            loads.clear();
        }
    }
}

fn sink_in(func: &mut Function, scan: &Scan, block: Block, loads: &mut Vec<(Value, Inst)>) {
    let mut next = func.layout.first_inst(block);
    while let Some(inst) = next {
        next = func.layout.next_inst(inst);
        let opcode = func.dfg.insts[inst].opcode();
        let trap = func.dfg.insts[inst].memflags_trap_code(&func.dfg);
        if opcode == Opcode::Load && trap == Some(TrapCode::HEAP_OUT_OF_BOUNDS) {
            let value = func.dfg.first_result(inst);
            if scan.is_used_once(value) {
                if loads.len() == MOST {
                    loads.remove(0);
                }
                loads.push((value, inst));
            }
        } else if takes_memory(opcode) && scan.is_used_once(func.dfg.first_result(inst)) {
            // Otherwise Cranelift keeps them apart.
            for arg in func.dfg.inst_args(inst).to_vec() {
                let Some(at) = loads.iter().position(|(value, _)| *value == arg) else { continue };
                let (_, load) = loads.remove(at);
                func.layout.remove_inst(load);
                func.layout.insert_inst(load, inst);
                // If the load is part of it, this is what can trap.
                func.set_srcloc(inst, func.srcloc(load));
            }
        } else if opcode.can_store()
            || opcode.is_call()
            || opcode.other_side_effects()
            || opcode.can_trap() && !opcode.can_load()
            || trap.is_some_and(|trap| trap != TrapCode::HEAP_OUT_OF_BOUNDS)
        {
            loads.clear();
        }
    }
}

/// Returns whether a block is where another always goes, and where nothing else does.
fn follows(func: &Function, cfg: &ControlFlowGraph, block: Block, next: Block) -> bool {
    let mut ways = cfg.pred_iter(next);
    let from = ways.next().filter(|_| ways.next().is_none());
    from.is_some_and(|it| it.block == block && func.dfg.insts[it.inst].opcode() == Opcode::Jump)
}

/// Returns whether one operand can be in memory.
fn takes_memory(opcode: Opcode) -> bool {
    use Opcode as O;
    let integers = matches!(opcode, O::Iadd | O::Isub | O::Imul | O::Band | O::Bor | O::Bxor | O::Icmp);
    integers || matches!(opcode, O::Fadd | O::Fsub | O::Fmul | O::Fdiv | O::Fcmp)
}
