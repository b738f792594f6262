//! Improves a function once more when Cranelift has optimised it, where its optimiser does not see
//! what registers cost.
//!
//! Blocks and branches stay as they are, and so does everything that an instruction can be seen to
//! do. Only loads from linear memory change their order among themselves: where two of them would
//! trap, the backtrace may name either.

mod loops;
mod scan;
mod induction;
mod widen;
mod sink;
mod hoist;
mod joins;

use super::isa::{makes_floats_from_integers, takes_memory_operands};
use cranelift_codegen::Context;
use cranelift_codegen::isa::TargetIsa;
use loops::Loop;
pub(super) use scan::Scan;

/// Improves a function that Cranelift has optimised. `scan` is memory that is used again.
pub(super) fn refine(context: &mut Context, isa: &dyn TargetIsa, scan: &mut Scan) {
    let Context { func, cfg, domtree, loop_analysis, .. } = context;
    let loops = Loop::all(func, cfg, domtree);
    let steps = induction::steps(func, &loops);
    let counters: Vec<_> = steps.iter().map(|step| step.counter).collect();
    scan.look_at(func, &counters);
    let mut changed = induction::forget_old_values(func, domtree, scan, steps);
    let memory_operands = takes_memory_operands(isa);
    if memory_operands {
        changed |= widen::widen(func, cfg, &loops, scan);
    }
    if makes_floats_from_integers(isa) && !loops.is_empty() && !scan.floats.is_empty() {
        // Cranelift may have changed branches since it looked for loops.
        loop_analysis.compute(func, cfg, domtree);
        changed |= hoist::hoist(func, domtree, loop_analysis, scan);
    }
    changed |= joins::relieve(func, cfg);
    if changed {
        func.dfg.resolve_all_aliases();
    }
    if memory_operands {
        sink::sink(func, cfg, scan);
    }
}
