//! Translates the instructions that throw and catch exceptions (specification, section 4.4.8).
//!
//! Where the function itself catches an exception that it throws, the throw is a branch. Otherwise
//! it calls the runtime, which does not return: execution resumes at a handler, in this function or
//! in one of its callers.

use super::clause::Target;
use super::state::{FrameKind, Translator};
use crate::base::trap::Trap;
use crate::codegen::abi::{builtin_signature, trap_code};
use crate::instance::builtin::Builtin;
use crate::instance::call_sites::Catches;
use crate::instance::layout::{VALUE_SIZE, import_tag};
use crate::module::instruction::Exception;
use crate::module::{Catch, TryTable, ValType};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value};
use cranelift_codegen::isa::CallConv;
use std::ops::Range;

/// Whether an exception with one tag is caught by a clause for another.
enum Match {
    Always,
    Never,
    /// If two imported tags turn out to be the same one.
    IfSame(u32, u32),
}

impl Translator<'_, '_> {
    pub(super) fn exception(&mut self, op: Exception) {
        match op {
            Exception::Throw { tag_index } => self.throw(tag_index),
            Exception::ThrowRef => {
                let exception = self.pop();
                self.throw_reference(exception);
            }
            Exception::Rethrow { relative_depth } => self.rethrow(relative_depth),
        }
    }

    pub(super) fn try_table(&mut self, op: TryTable) {
        let TryTable { ty, catches } = op;
        let first = self.clauses.len();
        for Catch { tag, label, reference } in catches {
            let target = Target::Label(self.frames.len() - 1 - label as usize);
            self.add_clause(Catches { tag, reference }, target);
        }
        let own = first..self.clauses.len();
        let handlers = self.handlers_with(own.clone(), &self.handlers());
        let (params, results) = self.block_types(ty);
        self.push_frame(FrameKind::TryTable { clauses: own }, params.len(), &results);
        self.frames.last_mut().expect("it was just pushed").handlers = handlers;
    }

    /// Fills in the landings of a construct that ends.
    pub(super) fn end_try_table(&mut self, clauses: Range<usize>) {
        clauses.for_each(|clause| self.land(clause));
    }

    fn throw(&mut self, tag: u32) {
        let carried = self.module.info.tag_type(tag).params().len();
        let values = self.pop_many(carried);
        self.reachable = false;
        for clause in self.handlers().as_deref().unwrap_or_default() {
            let catches = self.clauses[*clause].catches;
            match self.compare(tag, catches.tag) {
                Match::Never => {}
                Match::Always => return self.catch_here(tag, &values, *clause, catches),
                Match::IfSame(thrown, caught) => {
                    let (here, next) = (self.b.create_block(), self.b.create_block());
                    let (thrown, caught) = (self.tag_number(thrown), self.tag_number(caught));
                    let same = self.b.ins().icmp(IntCC::Equal, thrown, caught);
                    self.b.ins().brif(same, here, &[], next, &[]);
                    self.continue_in(here);
                    self.catch_here(tag, &values, *clause, catches);
                    self.continue_in(next);
                }
            }
        }
        let (tag, address) = (self.index_constant(tag), self.carry(&values));
        self.leave_to_runtime(Builtin::Throw, &[tag, address]);
    }

    /// Finds out whether a clause catches what has a tag. The tags of a module that defines them
    /// are all different, and other ones than those that it imports.
    fn compare(&self, thrown: u32, caught: Option<u32>) -> Match {
        let info = self.module.info;
        let type_of = |tag: u32| info.canonical_types[info.tags[tag as usize] as usize];
        match caught {
            None => Match::Always,
            Some(caught) if caught == thrown => Match::Always,
            Some(caught) if caught.max(thrown) >= info.num_imported_tags => Match::Never,
            Some(caught) if type_of(caught) != type_of(thrown) => Match::Never,
            Some(caught) => Match::IfSame(thrown, caught),
        }
    }

    fn tag_number(&mut self, imported: u32) -> Value {
        let entry = self.module.layout.import_tag(imported);
        self.load_constant(I64, self.vmctx, entry + import_tag::NUMBER, self.regions.host)
    }

    /// Catches an exception that is thrown here.
    fn catch_here(&mut self, tag: u32, values: &[Value], clause: usize, catches: Catches) {
        let mut taken = if catches.tag.is_some() { values.to_vec() } else { Vec::new() };
        if catches.reference {
            let (tag, address) = (self.index_constant(tag), self.carry(values));
            let exception = self.call_builtin(Builtin::NewException, &[tag, address]);
            self.trace(ValType::EXNREF, exception);
            self.b.ins().trapz(exception, trap_code(Trap::ExceptionsExhausted));
            taken.push(exception);
        }
        self.go_to(clause, &taken);
    }

    /// Puts the values that an exception carries where the runtime reads them, and returns the
    /// address.
    fn carry(&mut self, values: &[Value]) -> Value {
        let size = values.len().max(1) as u32 * VALUE_SIZE as u32;
        let slot = *self.carried.get_or_insert_with(|| {
            let align = VALUE_SIZE.trailing_zeros() as u8;
            self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, align))
        });
        // One for all exceptions of the function.
        let data = &mut self.b.func.sized_stack_slots[slot];
        data.size = data.size.max(size);
        let address = self.b.ins().stack_addr(I64, slot, 0);
        for (i, value) in values.iter().enumerate() {
            self.b.ins().store(MemFlagsData::trusted(), *value, address, i as i32 * VALUE_SIZE as i32);
        }
        address
    }

    /// Throws an exception again. Only when it is thrown, the runtime finds out what catches it.
    pub(super) fn throw_reference(&mut self, exception: Value) {
        self.b.ins().trapz(exception, trap_code(Trap::NullExceptionReference));
        self.reachable = false;
        self.leave_to_runtime(Builtin::ThrowRef, &[exception]);
    }

    /// Calls a function of the runtime that never returns. The convention is one in which no
    /// register keeps its value where an exception is caught.
    fn leave_to_runtime(&mut self, builtin: Builtin, arguments: &[Value]) {
        let signature = self.b.import_signature(builtin_signature(builtin, CallConv::Tail));
        let function = self.builtin(builtin);
        let arguments: Vec<Value> = std::iter::once(self.vmctx).chain(arguments.iter().copied()).collect();
        // `throw` has looked at the handlers of this function itself.
        if builtin == Builtin::Throw {
            self.b.ins().call_indirect(signature, function, &arguments);
        } else {
            self.call_with_handlers(
                signature,
                |this, table| this.b.ins().try_call_indirect(function, &arguments, table),
                |this| this.b.ins().call_indirect(signature, function, &arguments),
            );
        }
        self.b.ins().trap(trap_code(Trap::UnreachableCodeReached));
    }

    /// Throws the exception again that the legacy `catch` at a label has caught.
    pub(super) fn rethrow(&mut self, depth: u32) {
        let exception = self.caught_at(depth);
        self.throw_reference(exception);
    }

    fn caught_at(&self, depth: u32) -> Value {
        match &self.frames[self.frames.len() - 1 - depth as usize].kind {
            FrameKind::Catch { exception: Some(exception), .. } => *exception,
            _ => unreachable!("validation has found that `rethrow` names a `catch`, which keeps its exception"),
        }
    }
}
