//! Lets a loop's counter live in one register.
//!
//! `i + 1` is known before the end of a loop, and `i` is often still needed: for the comparison
//! that ends the loop, or because the optimiser would rather compute `i + 1` again than keep it.
//! Then both are alive at the same time, and the loop moves one register to the other in each turn.
//! Here, what comes when the next value is known refers to that: `i == 7` is `i + 1 == 8`.

use super::loops::Loop;
use super::scan::{CounterUse, Scan, maker, replace};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Function, Inst, InstBuilder, InstructionData, Opcode, Value};

/// A counter that has more next values than this is left as it is.
const MOST: usize = 4;

/// Where the next value of a loop's counter is known.
pub(super) struct Step {
    pub(super) counter: Value,
    next: Value,
    by: i64,
    /// The instruction that makes the next value.
    inst: Inst,
    /// Where that is among all.
    place: usize,
    block: Block,
    /// Uses of the old value that can do with the next one.
    uses: Vec<Use>,
    /// Something needs the old value itself.
    needed: bool,
}

struct Use {
    inst: Inst,
    how: How,
    /// It stands before the next value is known.
    early: bool,
}

/// How an instruction uses a counter.
enum How {
    /// It adds a number.
    Sum(i64),
    /// It compares with a number, to see whether they are equal.
    Equal(i64),
}

/// Returns the steps of all loops, those of a counter one after the other.
pub(super) fn steps(func: &Function, loops: &[Loop]) -> Vec<Step> {
    let mut steps = Vec::new();
    for it in loops {
        for (place, counter) in func.dfg.block_params(it.header).iter().copied().enumerate() {
            let first = steps.len();
            for next in it.next(func, place).flatten() {
                let Some(inst) = maker(func, next) else { continue };
                let (Some(How::Sum(by)), Some(block)) = (how(func, inst, counter), func.layout.inst_block(inst)) else {
                    continue;
                };
                if !steps[first..].iter().any(|it: &Step| it.next == next) {
                    let uses = Vec::new();
                    steps.push(Step { counter, next, by, inst, place: 0, block, uses, needed: false });
                }
            }
            if steps.len() - first > MOST {
                steps.truncate(first);
            }
        }
    }
    steps
}

/// Has what comes when the next value of a counter is known refer to that, if nothing is left then
/// that needs the old one.
pub(super) fn forget_old_values(
    func: &mut Function,
    domtree: &DominatorTree,
    scan: &Scan,
    mut steps: Vec<Step>,
) -> bool {
    for it in &scan.counters {
        of(&mut steps, it).filter(|step| step.inst == it.inst).for_each(|step| step.place = it.place);
    }
    for it in &scan.counters {
        of(&mut steps, it).for_each(|step| step.consider(func, domtree, scan, it));
    }
    let mut changed = false;
    for step in steps.iter().filter(|step| !step.needed) {
        for it in &step.uses {
            // It may have been replaced already, if it is behind two steps.
            if func.layout.inst_block(it.inst).is_some() {
                it.apply(func, step);
                changed = true;
            }
        }
    }
    changed
}

/// Returns the steps of the counter that is used somewhere.
fn of<'s>(steps: &'s mut [Step], it: &CounterUse) -> impl Iterator<Item = &'s mut Step> {
    let counter = steps[it.first].counter;
    steps[it.first..].iter_mut().take_while(move |step| step.counter == counter)
}

impl Step {
    fn consider(&mut self, func: &Function, domtree: &DominatorTree, scan: &Scan, it: &CounterUse) {
        let CounterUse { inst, block, place, .. } = *it;
        let how = how(func, inst, self.counter);
        let here = block == self.block;
        let early = here && place < self.place;
        let late = if here {
            // A comparison belongs to the branch that it decides.
            place > self.place || matches!(how, Some(How::Equal(_))) && decides(func, scan, inst, block)
        } else {
            domtree.block_dominates(self.block, block)
        };
        if inst == self.inst || !late {
            return;
        }
        match how {
            // A sum of the next value and another number would be an instruction more.
            Some(How::Sum(by)) if by != self.by => self.needed = true,
            Some(how) => self.uses.push(Use { inst, how, early }),
            None => self.needed = true,
        }
    }
}

impl Use {
    fn apply(&self, func: &mut Function, step: &Step) {
        match self.how {
            How::Sum(_) => replace(func, self.inst, step.next),
            How::Equal(with) => {
                let ty = func.dfg.value_type(step.next);
                let mask = u64::MAX >> (64 - ty.bits());
                let with = (with.wrapping_add(step.by) as u64 & mask) as i64;
                if self.early {
                    let branch = func.layout.last_inst(step.block).expect("a block has an end");
                    func.layout.remove_inst(self.inst);
                    func.layout.insert_inst(self.inst, branch);
                }
                let with = FuncCursor::new(func).at_inst(self.inst).ins().iconst(ty, with);
                if let InstructionData::IntCompare { args, .. } = &mut func.dfg.insts[self.inst] {
                    *args = [step.next, with];
                }
            }
        }
    }
}

/// Returns how an instruction uses a counter, if that can be said by its next value.
fn how(func: &Function, inst: Inst, counter: Value) -> Option<How> {
    let number = |args: [Value; 2]| {
        let other = match args {
            [a, b] if a == counter && b != counter => b,
            [a, b] if b == counter && a != counter => a,
            _ => return None,
        };
        match func.dfg.insts[maker(func, other)?] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    };
    match func.dfg.insts[inst] {
        InstructionData::Binary { opcode: Opcode::Iadd, args } => number(args).map(How::Sum),
        InstructionData::IntCompare { cond: IntCC::Equal | IntCC::NotEqual, args, .. } => number(args).map(How::Equal),
        _ => None,
    }
}

/// Returns whether an instruction decides the branch at the end of its block, and nothing else.
fn decides(func: &Function, scan: &Scan, inst: Inst, block: Block) -> bool {
    let result = func.dfg.first_result(inst);
    let branch = func.layout.last_inst(block).map(|it| func.dfg.insts[it]);
    scan.is_used_once(result) && matches!(branch, Some(InstructionData::Brif { arg, .. }) if arg == result)
}
