//! Translates instructions on references that need no object: small integers, conversions and
//! comparisons (specification, section 4.4.4).

use crate::base::trap::Trap;
use crate::codegen::translate::state::Translator;
use crate::module::instruction::SmallInteger;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I32;
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    pub(in crate::codegen::translate) fn small_integer(&mut self, op: SmallInteger) {
        match op {
            SmallInteger::RefI31 => {
                let value = self.pop();
                let shifted = self.b.ins().ishl_imm_u(value, 1);
                let tagged = self.b.ins().bor_imm_u(shifted, 1);
                let reference = self.widen(tagged);
                self.push(reference);
            }
            SmallInteger::I31GetS => {
                let tagged = self.pop_small_integer();
                let value = self.b.ins().sshr_imm_u(tagged, 1);
                self.push(value);
            }
            SmallInteger::I31GetU => {
                let tagged = self.pop_small_integer();
                let value = self.b.ins().ushr_imm_u(tagged, 1);
                self.push(value);
            }
            // Both hierarchies have the same representation.
            SmallInteger::AnyConvertExtern | SmallInteger::ExternConvertAny => {}
            SmallInteger::RefEq => {
                let (b, a) = (self.pop(), self.pop());
                let same = self.b.ins().icmp(IntCC::Equal, a, b);
                let same = self.b.ins().uextend(I32, same);
                self.push(same);
            }
        }
    }

    /// Pops a small integer, and returns it with its tag in 32 bits. Traps if it is null.
    fn pop_small_integer(&mut self) -> Value {
        let reference = self.pop();
        let null = self.b.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        self.trap_if(null, Trap::NullI31Ref);
        self.b.ins().ireduce(I32, reference)
    }
}
