//! Finds the handlers at each place of a function, and emits calls that may throw an exception to
//! them.
//!
//! Every construct that catches adds *clauses* to those around it. A clause has two ways in. A
//! `throw` in the same function is a branch to the clause's target, with the values that the
//! exception carries. A call inside the construct lists the clause in its exception table: then the
//! runtime resumes at the clause's *landing*, with the address of those values and perhaps a
//! reference, and from there it is the same branch.
//!
//! A clause is listed only if no other one in front of it takes all that it could.

use super::branch::block_args;
use super::clause::{Clause, Handlers, Target};
use super::state::Translator;
use crate::codegen::abi::value_type;
use crate::instance::call_sites::Catches;
use crate::instance::layout::VALUE_SIZE;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    BlockArg, ExceptionTable, ExceptionTableData, ExceptionTableItem, ExceptionTag, Inst, InstBuilder, MemFlagsData,
    SigRef, Value,
};
use std::collections::HashSet;
use std::ops::Range;

impl Translator<'_, '_> {
    /// Adds a clause.
    pub(super) fn add_clause(&mut self, catches: Catches, target: Target) -> usize {
        let landing = self.block_with(&[I64, I64]);
        self.clauses.push(Clause { catches, landing, landed: false, target });
        self.clauses.len() - 1
    }

    /// Returns the clauses that may catch an exception inside a construct: its own, and then those
    /// around it.
    pub(super) fn handlers_with(&mut self, own: Range<usize>, around: &Handlers) -> Handlers {
        let mut tags = HashSet::new();
        let mut all = Vec::new();
        let around = around.as_deref().unwrap_or_default();
        for clause in own.chain(around.iter().copied()) {
            match self.clauses[clause].catches.tag {
                Some(tag) if !tags.insert(tag) => continue,
                _ => all.push(clause),
            }
            if self.clauses[clause].catches.tag.is_none() {
                break; // Nothing gets past it.
            }
        }
        self.listed = self.listed.saturating_add(all.len());
        Some(all.into())
    }

    /// Emits a call that can throw, by a function that adds the call proper. Without handlers that
    /// is a plain call, which the second one adds. Returns the call's results.
    pub(super) fn call_with_handlers(
        &mut self,
        signature: SigRef,
        try_call: impl FnOnce(&mut Self, ExceptionTable) -> Inst,
        call: impl FnOnce(&mut Self) -> Inst,
    ) -> Vec<Value> {
        let Some(handlers) = self.handlers() else {
            let call = call(self);
            return self.b.inst_results(call).to_vec();
        };
        let results: Vec<_> = self.b.func.dfg.signatures[signature].returns.iter().map(|it| it.value_type).collect();
        let returned = self.block_with(&results);
        let arguments: Vec<BlockArg> = (0..results.len() as u32).map(BlockArg::TryCallRet).collect();
        let returned_to = self.b.func.dfg.block_call(returned, &arguments);
        // Tags are those of this instance.
        let mut items = vec![ExceptionTableItem::Context(self.vmctx)];
        for clause in handlers.iter() {
            let Clause { catches, landing, landed, .. } = &mut self.clauses[*clause];
            *landed = true;
            let landing = self.b.func.dfg.block_call(*landing, &[BlockArg::TryCallExn(0), BlockArg::TryCallExn(1)]);
            items.push(ExceptionTableItem::Tag(ExceptionTag::from_u32(catches.pack()), landing));
        }
        self.listed = self.listed.saturating_add(handlers.len());
        let table = self.b.func.dfg.exception_tables.push(ExceptionTableData::new(signature, returned_to, items));
        try_call(self, table);
        self.continue_in(returned);
        self.b.block_params(returned).to_vec()
    }

    /// Fills in the landing of a clause, when all calls that list it are known.
    pub(super) fn land(&mut self, clause: usize) {
        let Clause { catches, landing, landed, .. } = self.clauses[clause];
        if !landed {
            return;
        }
        self.continue_in(landing);
        let [address, reference] = self.b.block_params(landing)[..] else { unreachable!("a landing takes two words") };
        let module = self.module;
        let carried = catches.tag.map_or(&[][..], |tag| module.info.tag_type(tag).params());
        let mut values = Vec::with_capacity(carried.len() + 1);
        for (i, ty) in carried.iter().enumerate() {
            let at = i as i32 * VALUE_SIZE as i32;
            values.push(self.b.ins().load(value_type(*ty), MemFlagsData::trusted(), address, at));
        }
        if catches.reference {
            values.push(reference);
        }
        self.go_to(clause, &values);
    }

    /// Branches to the target of a clause, with the values that it takes.
    pub(super) fn go_to(&mut self, clause: usize, values: &[Value]) {
        let block = match &mut self.clauses[clause].target {
            Target::Block { block, used } => {
                *used = true;
                *block
            }
            Target::Label(index) => {
                let index = *index;
                self.label_of(index).0
            }
        };
        let arguments = block_args(values);
        self.b.ins().jump(block, &arguments);
    }
}
