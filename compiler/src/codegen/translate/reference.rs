//! Translates instructions that make references, and that test whether one is null (specification,
//! section 4.4.4).
//!
//! [`RefKind`](crate::module::RefKind) says what a reference is as a value. Null is 0. Only
//! validation cares whether a type excludes null.

use super::branch::block_args;
use super::state::Translator;
use crate::base::trap::Trap;
use crate::codegen::abi::reference_type;
use crate::module::instruction::Reference;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I32;
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    pub(super) fn reference(&mut self, op: Reference) {
        match op {
            Reference::RefNull { hty } => {
                let null = self.b.ins().iconst(reference_type(hty.kind()), 0);
                self.push(null);
            }
            Reference::RefIsNull => {
                let reference = self.pop();
                let flag = self.is_null(reference);
                let flag = self.b.ins().uextend(I32, flag);
                self.push(flag);
            }
            Reference::RefFunc { function_index } => {
                let reference = self.function_reference(function_index);
                self.push(reference);
            }
            Reference::RefAsNonNull => {
                let reference = *self.stack.last().expect("validation counts operands");
                let null = self.is_null(reference);
                self.trap_if(null, Trap::NullReference);
            }
            Reference::BrOnNull { relative_depth } => self.br_on_null(relative_depth),
            Reference::BrOnNonNull { relative_depth } => self.br_on_non_null(relative_depth),
        }
    }

    fn is_null(&mut self, reference: Value) -> Value {
        self.b.ins().icmp_imm_u(IntCC::Equal, reference, 0)
    }

    pub(super) fn function_reference(&mut self, func: u32) -> Value {
        let record = self.module.layout.func_record(func);
        let record = record.expect("a function that ref.func names is declared, so it escapes");
        self.b.ins().iadd_imm_s(self.vmctx, i64::from(record))
    }

    /// Translates `br_on_null`. The branch does not take the reference along; what follows has it.
    fn br_on_null(&mut self, depth: u32) {
        let reference = self.pop();
        let (target, arity) = self.label(depth);
        let arguments = block_args(&self.stack[self.stack.len() - arity..]);
        let next = self.b.create_block();
        self.b.ins().brif(reference, next, &[], target, &arguments);
        self.continue_in(next);
        self.push(reference);
    }

    /// Translates `br_on_non_null`. The branch takes the reference along, as its last value; what
    /// follows is without it.
    fn br_on_non_null(&mut self, depth: u32) {
        let (target, arity) = self.label(depth);
        let arguments = block_args(&self.stack[self.stack.len() - arity..]);
        let reference = self.pop();
        let next = self.b.create_block();
        self.b.ins().brif(reference, target, &arguments, next, &[]);
        self.continue_in(next);
    }
}
