//! Keeps what is an address as 64 bits.
//!
//! An index of 32 bits is extended for each access. That is free where an instruction makes the
//! index, because those of x86-64 on 32 bits clear the others. It is an instruction if the index is
//! a value of a loop, or was loaded. So these have 64 bits here, if that costs nothing where they
//! come from.

use super::loops::{Loop, pass, passed};
use super::scan::{Scan, maker, replace};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef};

/// How often a value is looked at again because another has stayed as it is.
const ROUNDS: usize = 4;

/// A value of a loop.
struct Param<'l> {
    value: Value,
    of: &'l Loop,
    place: usize,
}

/// Values of 32 bits, and what they are parts of. They are in order, because they are made here.
type Wholes = Vec<(Value, Value)>;

pub(super) fn widen(func: &mut Function, cfg: &ControlFlowGraph, loops: &[Loop], scan: &Scan) -> bool {
    let mut wholes = Wholes::new();
    let mut params = Vec::new();
    for group in scan.extended.chunk_by(|a, b| a.0 == b.0) {
        let value = group[0].0;
        match func.dfg.value_def(value) {
            ValueDef::Result(inst, _) if func.dfg.insts[inst].opcode() == Opcode::Load => {
                let (part, whole) = widen_load(func, inst);
                wholes.push((part, whole));
                group.iter().for_each(|(_, extension)| replace(func, *extension, whole));
            }
            ValueDef::Param(block, place) => {
                let Ok(at) = loops.binary_search_by_key(&block, |it| it.header) else { continue };
                let mut ways = cfg.pred_iter(block).flat_map(|it| passed(func, it.inst, block, place));
                if ways.all(|it| it.is_some()) {
                    params.push((Param { value, of: &loops[at], place }, group));
                }
            }
            _ => {}
        }
    }
    keep_free(func, &mut params, &wholes);
    for (Param { value, of, .. }, group) in &params {
        let whole = func.dfg.replace_block_param(*value, I64);
        let part = FuncCursor::new(func).at_first_insertion_point(of.header).ins().ireduce(I32, whole);
        func.dfg.change_to_alias(*value, part);
        wholes.push((part, whole));
        group.iter().for_each(|(_, extension)| replace(func, *extension, whole));
    }
    for (Param { of, place, .. }, _) in &params {
        let mut branches: Vec<Inst> = cfg.pred_iter(of.header).map(|it| it.inst).collect();
        branches.dedup();
        for branch in branches {
            let parts: Vec<Option<Value>> = passed(func, branch, of.header, *place).collect();
            let parts = parts.into_iter().flatten();
            let extended: Vec<Value> = parts.map(|it| extend(func, &mut wholes, branch, it)).collect();
            pass(func, branch, of.header, *place, extended.into_iter());
        }
    }
    !wholes.is_empty()
}

/// Leaves out values that would be extended in each turn.
fn keep_free(func: &Function, params: &mut Vec<(Param<'_>, &[(Value, Inst)])>, wholes: &Wholes) {
    for round in 0.. {
        let kept: Vec<Value> = params.iter().map(|(it, _)| it.value).collect();
        params.retain(|(it, _)| {
            let free = |next: Option<Value>| {
                next.is_some_and(|next| kept.binary_search(&next).is_ok() || is_free(func, wholes, next))
            };
            it.of.next(func, it.place).all(free)
        });
        if params.len() == kept.len() {
            return;
        }
        if round == ROUNDS {
            params.clear();
        }
    }
}

/// Returns whether the processor clears the other half of a register when it makes a value.
fn is_free(func: &Function, wholes: &Wholes, value: Value) -> bool {
    use Opcode as O;
    if whole(func, wholes, value).is_some() {
        return true;
    }
    let opcode = maker(func, value).map(|inst| func.dfg.insts[inst].opcode());
    matches!(opcode, Some(O::Iadd | O::Isub | O::Imul | O::Band | O::Bor | O::Bxor | O::Ishl | O::Ushr | O::Load))
}

/// Returns what a value is a part of.
fn whole(func: &Function, wholes: &Wholes, value: Value) -> Option<Value> {
    let value = func.dfg.resolve_aliases(value);
    wholes.binary_search_by_key(&value, |it| it.0).ok().map(|at| wholes[at].1)
}

/// Returns a value with 64 bits, for a branch.
fn extend(func: &mut Function, wholes: &mut Wholes, branch: Inst, value: Value) -> Value {
    if let Some(whole) = whole(func, wholes, value) {
        return whole;
    }
    match maker(func, value) {
        Some(load) if func.dfg.insts[load].opcode() == Opcode::Load => {
            let (part, whole) = widen_load(func, load);
            wholes.push((part, whole));
            whole
        }
        _ => FuncCursor::new(func).at_inst(branch).ins().uextend(I64, value),
    }
}

/// Has a load of 32 bits clear the others, too. Returns the value, and what it is a part of.
fn widen_load(func: &mut Function, load: Inst) -> (Value, Value) {
    let InstructionData::Load { flags, offset, arg, .. } = func.dfg.insts[load] else { unreachable!("it is a load") };
    let mut cursor = FuncCursor::new(func).at_inst(load);
    cursor.use_srcloc(load);
    let (wide, dfg) = cursor.ins().Load(Opcode::Uload32, I64, flags, offset, arg);
    let whole = dfg.first_result(wide);
    let part = cursor.ins().ireduce(I32, whole);
    replace(func, load, part);
    (part, whole)
}
