//! Bounds how long Cranelift looks for registers, for values that flow into each other.
//!
//! Its allocator first puts the values together that flow into each other at branches, in *webs*:
//! usually, all values of one variable. It adds them one by one, and may go through all that are
//! together already for each. So the time grows with their number squared: 20,000 loops one after
//! the other that change one variable took 14 s.

use cranelift_codegen::ir::{Block, BlockArg, Function, Value};

/// A function with fewer parameters of blocks has no web that counts.
const FEW: usize = 500;

/// Returns how many instructions a function counts as because of its webs. The largest that was
/// seen in a program has 21,000 values, in the interpreter of Ruby's virtual machine.
pub(super) fn weight(func: &Function) -> u64 {
    let params = |block: Block| func.dfg.block_params(block).len();
    if func.layout.blocks().map(params).sum::<usize>() < FEW {
        return 0;
    }
    let mut webs = Webs::new(func.dfg.num_values());
    for branch in func.layout.blocks().filter_map(|block| func.layout.last_inst(block)) {
        let (lists, tables, exceptions) = (&func.dfg.value_lists, &func.dfg.jump_tables, &func.dfg.exception_tables);
        for target in func.dfg.insts[branch].branch_destination(tables, exceptions) {
            for (argument, param) in target.args(lists).zip(func.dfg.block_params(target.block(lists))) {
                if let BlockArg::Value(value) = argument {
                    webs.join(func.dfg.resolve_aliases(value), *param);
                }
            }
        }
    }
    webs.sizes.iter().map(|size| size * size / 2048).sum()
}

/// Which values are in one web (union by size).
struct Webs {
    /// For each value, another of its web that is nearer to the web's root; or itself.
    towards: Vec<usize>,
    /// For each root, how many values are in its web; otherwise 0.
    sizes: Vec<u64>,
}

impl Webs {
    fn new(values: usize) -> Self {
        Self { towards: (0..values).collect(), sizes: vec![1; values] }
    }

    fn root(&mut self, of: Value) -> usize {
        let mut at = of.as_u32() as usize;
        while self.towards[at] != at {
            self.towards[at] = self.towards[self.towards[at]];
            at = self.towards[at];
        }
        at
    }

    fn join(&mut self, one: Value, other: Value) {
        let [small, large] = {
            let mut roots = [self.root(one), self.root(other)];
            roots.sort_unstable_by_key(|root| self.sizes[*root]);
            roots
        };
        if small != large {
            self.towards[small] = large;
            self.sizes[large] += std::mem::take(&mut self.sizes[small]);
        }
    }
}
