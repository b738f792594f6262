//! Finds the loops of a function.

use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, Value};

/// A loop with more values, or more ways back to its start, is left as it is. So the time to look
/// at loops is in proportion to their number.
const MOST: usize = 64;

/// A loop.
pub(super) struct Loop {
    /// Where it begins.
    pub(super) header: Block,
    /// The branches that lead there from inside.
    pub(super) back: Vec<Inst>,
}

impl Loop {
    /// Returns the loops of a function, in the order of their headers' numbers.
    pub(super) fn all(func: &Function, cfg: &ControlFlowGraph, domtree: &DominatorTree) -> Vec<Self> {
        let mut loops = Vec::new();
        for header in func.layout.blocks() {
            let mut back: Vec<Inst> = cfg
                .pred_iter(header)
                .filter(|it| domtree.block_dominates(header, it.block))
                .map(|it| it.inst)
                .collect();
            back.dedup();
            let ways = || back.iter().map(|branch| calls(func, *branch, header).count()).sum::<usize>();
            if !back.is_empty() && func.dfg.num_block_params(header) <= MOST && back.len() <= MOST && ways() <= MOST {
                loops.push(Self { header, back });
            }
        }
        loops.sort_unstable_by_key(|it: &Self| it.header);
        loops
    }

    /// Returns what a parameter of the header becomes in the next turn, once for each way back.
    /// `None` stands for what is no value of the function.
    pub(super) fn next(&self, func: &Function, place: usize) -> impl Iterator<Item = Option<Value>> {
        self.back.iter().flat_map(move |branch| passed(func, *branch, self.header, place))
    }
}

/// Returns the ways from a branch to a block.
fn calls(func: &Function, branch: Inst, to: Block) -> impl Iterator<Item = &BlockCall> {
    let dfg = &func.dfg;
    let calls = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables).iter();
    calls.filter(move |call| call.block(&dfg.value_lists) == to)
}

/// Returns what a branch passes to a parameter of a block, once for each way there.
pub(super) fn passed(func: &Function, branch: Inst, to: Block, place: usize) -> impl Iterator<Item = Option<Value>> {
    calls(func, branch, to).map(move |call| match call.args(&func.dfg.value_lists).nth(place) {
        Some(BlockArg::Value(value)) => Some(value),
        _ => None,
    })
}

/// Changes what a branch passes to a parameter of a block, on each way there.
pub(super) fn pass(
    func: &mut Function,
    branch: Inst,
    to: Block,
    place: usize,
    mut values: impl Iterator<Item = Value>,
) {
    let dfg = &mut func.dfg;
    for call in dfg.insts[branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables) {
        if call.block(&dfg.value_lists) == to {
            let mut index = 0..;
            call.update_args(&mut dfg.value_lists, |old| match index.next() {
                Some(it) if it == place => values.next().map_or(old, BlockArg::Value),
                _ => old,
            });
        }
    }
}
