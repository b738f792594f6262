//! Passes values through the frame where very many branches lead to one block.
//!
//! regalloc2 keeps a list of all values that branches pass to blocks. It often looks through the
//! part for such a block again, for each block in which another value is alive. So its time grows
//! with the product of their numbers: a `switch` with 4,000 cases that all go on at one place took
//! a third of its compilation for that. A value in the frame is in no such list.

use super::loops::passed;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, Function, Inst, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value};

/// From this many branches to a block on, its values are in the frame. Interpreters, whose loops
/// should have them in registers, have fewer instructions.
pub(super) const MANY: usize = 1024;

/// Empties the parameter lists of blocks with very many branches to them. Returns whether there was
/// one.
pub(super) fn relieve(func: &mut Function, cfg: &ControlFlowGraph) -> bool {
    if func.dfg.num_blocks() < MANY {
        return false;
    }
    let joins: Vec<Join> = func.layout.blocks().filter_map(|block| Join::at(func, cfg, block)).collect();
    for join in &joins {
        join.relieve(func);
    }
    !joins.is_empty()
}

/// A block with very many branches to it.
struct Join {
    block: Block,
    /// The branches, and the values that each passes.
    branches: Vec<(Inst, Vec<Value>)>,
}

impl Join {
    /// Returns the block if it is one, and each branch passes values to it in one way. Calls that
    /// branch are left alone: a collection during the call would not find references in the frame.
    fn at(func: &Function, cfg: &ControlFlowGraph, block: Block) -> Option<Self> {
        if func.dfg.num_block_params(block) == 0 {
            return None;
        }
        cfg.pred_iter(block).nth(MANY - 1)?;
        let mut branches: Vec<Inst> = cfg.pred_iter(block).map(|it| it.inst).collect();
        branches.dedup();
        if branches.iter().any(|branch| func.dfg.insts[*branch].opcode().is_call()) {
            return None;
        }
        let values = |branch: Inst| {
            let values = (0..func.dfg.num_block_params(block)).map(|place| {
                let mut ways = passed(func, branch, block, place);
                let first = ways.next()??;
                ways.all(|other| other == Some(first)).then_some(first)
            });
            Some((branch, values.collect::<Option<Vec<Value>>>()?))
        };
        let branches = branches.into_iter().map(values).collect::<Option<_>>()?;
        Some(Self { block, branches })
    }

    fn relieve(&self, func: &mut Function) {
        let mut loaded = Vec::new();
        for (place, param) in func.dfg.block_params(self.block).to_vec().into_iter().enumerate() {
            let ty = func.dfg.value_type(param);
            let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, ty.bytes(), ty.bytes().ilog2() as u8);
            let slot = func.create_sized_stack_slot(slot);
            // Before a branch that goes elsewhere, it does no harm.
            for (branch, values) in &self.branches {
                let mut cursor = FuncCursor::new(func).at_inst(*branch);
                let at = cursor.ins().stack_addr(I64, slot, 0);
                cursor.ins().store(MemFlagsData::trusted(), values[place], at, 0);
            }
            let mut cursor = FuncCursor::new(func).at_first_insertion_point(self.block);
            let at = cursor.ins().stack_addr(I64, slot, 0);
            let value = cursor.ins().load(ty, MemFlagsData::trusted(), at, 0);
            loaded.push((param, value));
        }
        func.dfg.detach_block_params(self.block);
        for (param, value) in loaded {
            func.dfg.change_to_alias(param, value);
        }
        for (branch, _) in &self.branches {
            let dfg = &mut func.dfg;
            let calls = dfg.insts[*branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
            for call in calls {
                if call.block(&dfg.value_lists) == self.block {
                    call.clear(&mut dfg.value_lists);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OptLevel;
    use crate::codegen::refine::{Scan, refine};
    use crate::codegen::translate::tests::{compiler, module, translated};
    use cranelift_codegen::Context;
    use cranelift_codegen::control::ControlPlane;

    /// Returns how many values blocks take in a function with a `switch` of so many cases that all
    /// go on at one place.
    fn values_passed(cases: usize) -> usize {
        let blocks = "block ".repeat(cases);
        let table: String = (0..cases).map(|case| format!(" {case}")).collect();
        let case = |case: usize| format!(" end i32.const {} local.set 1 br {}", case * 7, cases - 1 - case);
        let cases: String = (0..cases).map(case).collect();
        let wat = format!(
            "(func (param i32) (result i32) (local i32)
               block {blocks} local.get 0 br_table {table} {cases} end local.get 1) (func $nop)"
        );
        let compiler = compiler(OptLevel::Speed);
        let func = translated(&compiler, &module(false, &wat)).expect("valid").swap_remove(0);
        let mut context = Context::for_function(func);
        context.optimize(&*compiler.isa, &mut ControlPlane::default()).unwrap();
        refine(&mut context, &*compiler.isa, &mut Scan::default());
        context.verify(&*compiler.isa).unwrap();
        let func = &context.func;
        let entry = func.layout.entry_block();
        let others = func.layout.blocks().filter(|block| Some(*block) != entry);
        others.map(|block| func.dfg.num_block_params(block)).sum()
    }

    #[test]
    fn a_value_goes_through_the_frame_where_very_many_branches_meet() {
        assert_eq!((values_passed(MANY - 10), values_passed(MANY + 10)), (1, 0));
    }
}
