//! Translates instructions on structures (specification, section 4.4.4).

use super::object::Extension;
use crate::base::trap::Trap;
use crate::codegen::abi::value_type;
use crate::codegen::translate::state::Translator;
use crate::instance::layout::object::{ALIGN, FIELDS, field_offsets};
use crate::module::instruction::Struct;
use crate::module::{StorageType, StructType, ValType};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};
use std::rc::Rc;

/// The most bytes of a structure whose zeros are stored one by one.
const LARGE: u64 = 256;

impl<'m> Translator<'m, '_> {
    pub(in crate::codegen::translate) fn struct_instruction(&mut self, op: Struct) {
        match op {
            Struct::StructNew { struct_type_index } => {
                let fields = self.struct_type(struct_type_index).fields().len();
                let values = self.pop_many(fields);
                self.struct_new(struct_type_index, &values);
            }
            Struct::StructNewDefault { struct_type_index } => self.struct_new_default(struct_type_index),
            Struct::StructGet { struct_type_index, field_index }
            | Struct::StructGetU { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, Extension::Unsigned);
            }
            Struct::StructGetS { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, Extension::Signed);
            }
            Struct::StructSet { struct_type_index, field_index } => {
                let (value, reference) = (self.pop(), self.pop());
                let (ty, offset) = self.field(struct_type_index, field_index);
                let value = self.encode_part(ty, value);
                let object = self.object(reference);
                self.store_part(ty, value, object, offset, Some(Trap::NullReference));
            }
        }
    }

    fn struct_type(&self, ty: u32) -> &'m StructType {
        let composite = &self.module.info.types[ty as usize].composite;
        composite.as_struct().expect("validation has found a structure type")
    }

    /// Returns what a field holds, and where it is in its object.
    fn field(&mut self, ty: u32, field: u32) -> (StorageType, i32) {
        let offset = self.struct_offsets(ty)[field as usize];
        (self.struct_type(ty).fields()[field as usize].element, offset as i32)
    }

    /// Returns where each field of a structure type is, and behind them the size of the whole. A
    /// type may have thousands of fields, and a function thousands of instructions on it.
    fn struct_offsets(&mut self, ty: u32) -> Rc<[u64]> {
        let struct_type = self.struct_type(ty);
        let offsets = self.struct_offsets.entry(ty).or_insert_with(|| field_offsets(struct_type).into());
        Rc::clone(offsets)
    }

    /// Makes a structure of zeros and null. The instruction is short however large that is, so the
    /// code is, too, and metered code pays for the size.
    fn struct_new_default(&mut self, ty: u32) {
        let fields = self.struct_type(ty).fields();
        let size = self.struct_offsets(ty)[fields.len()];
        if size <= LARGE {
            let values: Vec<Value> = fields.iter().map(|field| self.zero(field.element.unpack())).collect();
            return self.struct_new(ty, &values);
        }
        let bytes = self.b.ins().iconst(I64, size as i64);
        self.pay_for_bytes(bytes);
        let (reference, object) = self.allocate(ty, bytes, None);
        let start = self.b.ins().iadd_imm_u(object, FIELDS as i64);
        let words = self.b.ins().iconst(I64, ((size - FIELDS) / ALIGN) as i64);
        let zero = self.b.ins().iconst(I64, 0);
        self.fill_elements(ValType::I64.into(), start, words, zero);
        self.push(reference);
    }

    fn struct_new(&mut self, ty: u32, values: &[Value]) {
        let (struct_type, offsets) = (self.struct_type(ty), self.struct_offsets(ty));
        let values: Vec<Value> = struct_type
            .fields()
            .iter()
            .zip(values)
            .map(|(field, value)| self.encode_part(field.element, *value))
            .collect();
        let size = self.b.ins().iconst(I64, offsets[values.len()] as i64);
        let (reference, object) = self.allocate(ty, size, None);
        for ((field, value), offset) in struct_type.fields().iter().zip(values).zip(offsets.iter()) {
            self.store_part(field.element, value, object, *offset as i32, None);
        }
        self.push(reference);
    }

    fn struct_get(&mut self, ty: u32, field: u32, extension: Extension) {
        let reference = self.pop();
        let (ty, offset) = self.field(ty, field);
        let object = self.object(reference);
        let value = self.load_part(ty, extension, object, offset, Some(Trap::NullReference));
        debug_assert_eq!(self.b.func.dfg.value_type(value), value_type(ty.unpack()));
        self.push(value);
    }
}
