//! Translates casts, and branches on them (specification, section 4.4.4).
//!
//! Whether an object has a type is one comparison if no type can extend it. Otherwise the engine's
//! table has the types that the object's type extends, by how many others each extends in turn:
//! that is one more load. Only types that extend many others are asked about out of line.

use crate::base::trap::Trap;
use crate::codegen::translate::branch::block_args;
use crate::codegen::translate::state::Translator;
use crate::instance::builtin::Builtin;
use crate::instance::layout::object::{ARRAY_FLAG, TAG_MASK};
use crate::instance::layout::{func_record, header, supertypes};
use crate::module::instruction::Cast;
use crate::module::{HeapType, RefType};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

impl Translator<'_, '_> {
    pub(in crate::codegen::translate) fn cast(&mut self, op: Cast) {
        match op {
            Cast::RefTestNonNull { hty } => self.ref_test(RefType::new(false, hty)),
            Cast::RefTestNullable { hty } => self.ref_test(RefType::new(true, hty)),
            Cast::RefCastNonNull { hty } => self.ref_cast(RefType::new(false, hty)),
            Cast::RefCastNullable { hty } => self.ref_cast(RefType::new(true, hty)),
            Cast::BrOnCast { relative_depth, from_ref_type: _, to_ref_type } => {
                self.br_on_cast(relative_depth, to_ref_type, true);
            }
            Cast::BrOnCastFail { relative_depth, from_ref_type: _, to_ref_type } => {
                self.br_on_cast(relative_depth, to_ref_type, false);
            }
        }
    }

    fn ref_test(&mut self, ty: RefType) {
        let reference = self.pop();
        let has = self.has_type(reference, ty);
        let has = self.b.ins().uextend(I32, has);
        self.push(has);
    }

    fn ref_cast(&mut self, ty: RefType) {
        let reference = *self.stack.last().expect("validation counts operands");
        let has = self.has_type(reference, ty);
        let other = self.b.ins().icmp_imm_u(IntCC::Equal, has, 0);
        self.trap_if(other, Trap::CastFailure);
    }

    /// Branches if the reference has the type, or if it has not. It goes along either way.
    fn br_on_cast(&mut self, depth: u32, ty: RefType, if_it_has: bool) {
        let reference = *self.stack.last().expect("validation counts operands");
        let has = self.has_type(reference, ty);
        let (target, arity) = self.label(depth);
        let arguments = block_args(&self.stack[self.stack.len() - arity..]);
        let next = self.b.create_block();
        if if_it_has {
            self.b.ins().brif(has, target, &arguments, next, &[]);
        } else {
            self.b.ins().brif(has, next, &[], target, &arguments);
        }
        self.continue_in(next);
    }

    /// Returns 1 (8 bits) if a reference has a type, otherwise 0.
    fn has_type(&mut self, reference: Value, ty: RefType) -> Value {
        let null = self.b.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        let of_null = self.b.ins().iconst(I8, i64::from(ty.nullable));
        match ty.heap {
            HeapType::None | HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn => {
                if ty.nullable {
                    null
                } else {
                    of_null
                }
            }
            HeapType::Any | HeapType::Func | HeapType::Extern | HeapType::Exn => {
                let always = self.b.ins().iconst(I8, 1);
                if ty.nullable { always } else { self.b.ins().icmp_imm_u(IntCC::NotEqual, reference, 0) }
            }
            HeapType::I31 => {
                let tag = self.b.ins().band_imm_u(reference, 1);
                let small = self.b.ins().icmp_imm_u(IntCC::NotEqual, tag, 0);
                if ty.nullable { self.b.ins().bor(small, null) } else { small }
            }
            HeapType::Eq => {
                // All but values of the host.
                let tag = self.b.ins().band_imm_u(reference, i64::from(TAG_MASK));
                let object = self.b.ins().icmp_imm_u(IntCC::Equal, tag, 0);
                let small = self.b.ins().band_imm_u(reference, 1);
                let small = self.b.ins().ireduce(I8, small);
                let eq = self.b.ins().bor(object, small);
                if ty.nullable { eq } else { self.b.ins().select(null, of_null, eq) }
            }
            HeapType::Struct | HeapType::Array | HeapType::ConcreteStruct(_) | HeapType::ConcreteArray(_) => {
                let no_object = self.b.ins().band_imm_u(reference, i64::from(TAG_MASK));
                let no_object = self.b.ins().icmp_imm_u(IntCC::NotEqual, no_object, 0);
                let zero = self.b.ins().iconst(I8, 0);
                let otherwise = self.b.ins().select(null, of_null, zero);
                let skip = self.b.ins().bor(null, no_object);
                self.unless(skip, otherwise, |this| this.object_has_type(reference, ty.heap))
            }
            HeapType::ConcreteFunc(index) => self.unless(null, of_null, |this| {
                let found = this.load(I32, reference, func_record::TYPE_ID, this.regions.records);
                this.type_is(found, index)
            }),
        }
    }

    /// Returns `otherwise` if a condition holds, and else what the code says that `then` adds.
    fn unless(&mut self, condition: Value, otherwise: Value, then: impl FnOnce(&mut Self) -> Value) -> Value {
        let (look, done) = (self.b.create_block(), self.block_with(&[I8]));
        self.b.ins().brif(condition, done, &block_args(&[otherwise]), look, &[]);
        self.continue_in(look);
        let value = then(self);
        self.jump(done, &[value]);
        self.continue_in(done);
        self.b.block_params(done)[0]
    }

    /// Returns whether an object, not null, has a type.
    fn object_has_type(&mut self, reference: Value, heap: HeapType) -> Value {
        let object = self.object(reference);
        let header = self.object_type(object);
        match heap {
            HeapType::Array => self.b.ins().icmp_imm_s(IntCC::SignedLessThan, header, 0),
            HeapType::Struct => self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, header, 0),
            _ => {
                let index = heap.as_concrete().expect("the other types of objects are concrete");
                let number = self.b.ins().band_imm_u(header, i64::from(!ARRAY_FLAG));
                self.type_is(number, index)
            }
        }
    }

    /// Returns whether a type, by its number in the engine, is one of the module's or extends it.
    fn type_is(&mut self, found: Value, index: u32) -> Value {
        let wanted = self.type_number(index);
        if self.module.info.types[index as usize].is_final {
            return self.b.ins().icmp(IntCC::Equal, found, wanted);
        }
        let depth = self.module.info.supertypes(index);
        if depth < supertypes::DEPTH {
            let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.records));
            let table = self.load_constant(I64, self.vmctx, header::SUPERTYPES, self.regions.host);
            let entry = self.b.ins().uextend(I64, found);
            let entry = self.b.ins().ishl_imm_u(entry, i64::from(supertypes::ENTRY_SIZE_LOG2));
            let entry = self.b.ins().iadd(table, entry);
            let supertype = self.b.ins().load(I32, flags, entry, 4 * depth as i32);
            return self.b.ins().icmp(IntCC::Equal, supertype, wanted);
        }
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        let one = self.b.ins().iconst(I8, 1);
        self.unless(same, one, |this| {
            let other = this.call_builtin(Builtin::CheckSubtype, &[found, wanted]);
            this.b.ins().icmp_imm_u(IntCC::Equal, other, 0)
        })
    }
}
