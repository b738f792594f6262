//! Moves floating-point constants and calculations out of loops.
//!
//! Cranelift makes a constant anew in each block that needs it, and then takes what is calculated
//! with it for a part of the loop. That is right for integers. A floating-point constant that is
//! not an operand in memory takes two instructions, by way of an integer register, and a
//! calculation takes longer than most. So both are moved in front of the loops in which nothing
//! changes them. If there are not enough registers, the value is in memory during the loop, and
//! loading it from there is one instruction.

use super::scan::{Float, Scan, replace};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Inst, Type, Value, ValueDef};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many constants, and how many calculations, are moved to one place. The processor has 16
/// registers for all floating-point values.
const MOST: u8 = 8;

/// Out of how many loops something is moved at the most, and how many blocks in front of a loop are
/// looked at. So the time is in proportion to the size of the function, whatever its loops are.
const FAR: usize = 16;

/// Moves constants and calculations out of loops. Returns whether any became other names of others.
pub(super) fn hoist(func: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, scan: &Scan) -> bool {
    let mut in_loops: Vec<Float> = scan.floats.clone();
    in_loops.retain(|it| loops.innermost_loop(it.block).is_some());
    let changed = hoist_constants(func, domtree, loops, &in_loops);
    hoist_calculations(func, domtree, loops, &in_loops);
    changed
}

fn hoist_constants(func: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, in_loops: &[Float]) -> bool {
    let mut constants: Vec<_> = in_loops.iter().filter_map(|it| Some((it.inst, it.block, it.constant?))).collect();
    // Those of the innermost loops first, and otherwise as they come.
    constants.sort_by_key(|(_, block, _)| Reverse(loops.loop_level(*block)));
    let mut moved: HashMap<(Block, Type, u64), Value> = HashMap::new();
    let mut room = SecondaryMap::with_default(MOST);
    let mut changed = false;
    for (inst, block, bits) in constants {
        let all = outwards(loops, block).last();
        let Some(block) = all.and_then(|all| before(domtree, loops, all)) else { continue };
        let value = func.dfg.first_result(inst);
        let ty = func.dfg.value_type(value);
        if let Some(known) = moved.get(&(block, ty, bits)) {
            replace(func, inst, *known);
            changed = true;
        } else if room[block] > 0 {
            room[block] -= 1;
            move_to_end(func, inst, block);
            moved.insert((block, ty, bits), value);
        }
    }
    changed
}

fn hoist_calculations(func: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, in_loops: &[Float]) {
    let mut room = SecondaryMap::with_default(MOST);
    for Float { inst, block, .. } in in_loops.iter().filter(|it| it.constant.is_none()) {
        let from: Vec<Block> = func.dfg.inst_args(*inst).iter().filter_map(|it| made_in(func, *it)).collect();
        // A block that an instruction of a loop depends on is in the loop if the header dominates
        // it.
        let in_loop = |made: &Block, it: Loop| domtree.block_dominates(loops.loop_header(it), *made);
        let changes_nothing = |it: &Loop| !from.iter().any(|made| in_loop(made, *it));
        let unchanged = outwards(loops, *block).take_while(changes_nothing).last();
        let Some(block) = unchanged.and_then(|it| before(domtree, loops, it)) else { continue };
        let known = from.iter().all(|made| domtree.block_dominates(*made, block));
        if known && room[block] > 0 {
            room[block] -= 1;
            move_to_end(func, *inst, block);
        }
    }
}

/// Returns the loops that a block is in, the innermost first.
fn outwards(loops: &LoopAnalysis, block: Block) -> impl Iterator<Item = Loop> + '_ {
    std::iter::successors(loops.innermost_loop(block), |it| loops.loop_parent(*it)).take(FAR)
}

/// Returns the last block in front of a loop that is not in a loop beside it.
fn before(domtree: &DominatorTree, loops: &LoopAnalysis, it: Loop) -> Option<Block> {
    let around = loops.loop_parent(it);
    let up = std::iter::successors(domtree.idom(loops.loop_header(it)), |block| domtree.idom(*block));
    up.take(FAR).find(|block| loops.innermost_loop(*block) == around)
}

/// Returns the block in which a value is made.
fn made_in(func: &Function, value: Value) -> Option<Block> {
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => func.layout.inst_block(inst),
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Union(..) => None,
    }
}

fn move_to_end(func: &mut Function, inst: Inst, block: Block) {
    let end = func.layout.last_inst(block).expect("a block has an end");
    func.layout.remove_inst(inst);
    func.layout.insert_inst(inst, end);
}
