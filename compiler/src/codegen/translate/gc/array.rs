//! Translates instructions that make arrays, and those on single elements (specification, section
//! 4.4.4).

use super::object::Extension;
use crate::base::trap::Trap;
use crate::codegen::translate::state::Translator;
use crate::instance::builtin::Builtin;
use crate::instance::layout::object::{FIELDS, storage_size};
use crate::module::StorageType;
use crate::module::instruction::Array;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    pub(in crate::codegen::translate) fn array(&mut self, op: Array) {
        match op {
            Array::ArrayNew { array_type_index } => {
                let (length, value) = (self.pop(), self.pop());
                self.array_new(array_type_index, length, value);
            }
            Array::ArrayNewDefault { array_type_index } => {
                let length = self.pop();
                let value = self.zero(self.element_type(array_type_index).unpack());
                self.array_new(array_type_index, length, value);
            }
            Array::ArrayNewFixed { array_type_index, array_size } => {
                let values = self.pop_many(array_size as usize);
                self.array_new_fixed(array_type_index, &values);
            }
            Array::ArrayNewData { array_type_index, array_data_index } => {
                self.array_new_segment(Builtin::ArrayInitData, array_type_index, array_data_index);
            }
            Array::ArrayNewElem { array_type_index, array_elem_index } => {
                self.array_new_segment(Builtin::ArrayInitElem, array_type_index, array_elem_index);
            }
            Array::ArrayGet { array_type_index } | Array::ArrayGetU { array_type_index } => {
                self.array_get(array_type_index, Extension::Unsigned);
            }
            Array::ArrayGetS { array_type_index } => self.array_get(array_type_index, Extension::Signed),
            Array::ArraySet { array_type_index } => {
                let (value, index, reference) = (self.pop(), self.pop(), self.pop());
                let ty = self.element_type(array_type_index);
                let value = self.encode_part(ty, value);
                let at = self.element_address(ty, reference, index);
                self.store_part(ty, value, at, FIELDS as i32, Some(Trap::ArrayOutOfBounds));
            }
            Array::ArrayLen => {
                let reference = self.pop();
                let object = self.object(reference);
                let length = self.array_length(object);
                self.push(length);
            }
        }
    }

    /// Makes an array whose elements can hold anything. Returns the reference and the address.
    fn allocate_array(&mut self, ty: u32, length: Value) -> (Value, Value) {
        let count = self.widen(length);
        let bytes = self.bytes_of(self.element_type(ty), count);
        let bytes = self.b.ins().iadd_imm_u(bytes, FIELDS as i64);
        let size = self.whole_words(bytes);
        self.allocate(ty, size, Some(length))
    }

    fn array_new(&mut self, ty: u32, length: Value, value: Value) {
        let element = self.element_type(ty);
        let value = self.encode_part(element, value);
        let count = self.widen(length);
        self.pay_for_elements(count);
        let (reference, object) = self.allocate_array(ty, length);
        let start = self.b.ins().iadd_imm_u(object, FIELDS as i64);
        self.fill_elements(element, start, count, value);
        self.push(reference);
    }

    fn array_new_fixed(&mut self, ty: u32, values: &[Value]) {
        let element = self.element_type(ty);
        let values: Vec<Value> = values.iter().map(|value| self.encode_part(element, *value)).collect();
        let length = self.b.ins().iconst(I32, values.len() as i64);
        let (reference, object) = self.allocate_array(ty, length);
        for (index, value) in (0..).zip(values) {
            let offset = FIELDS + index * storage_size(element);
            self.store_part(element, value, object, offset as i32, None);
        }
        self.push(reference);
    }

    /// Makes an array from a part of a segment. What is out of bounds there is so before anything
    /// is made.
    fn array_new_segment(&mut self, builtin: Builtin, ty: u32, segment: u32) {
        let (length, from) = (self.pop(), self.pop());
        let zero = self.b.ins().iconst(I64, 0);
        let (none, count) = (self.index_constant(0), self.widen(length));
        self.pay_for_elements(count);
        // Into no array, it only checks the bounds.
        self.init_elements(builtin, ty, segment, [zero, none, from, length]);
        let (reference, _) = self.allocate_array(ty, length);
        self.init_elements(builtin, ty, segment, [reference, none, from, length]);
        self.push(reference);
    }

    fn array_get(&mut self, ty: u32, extension: Extension) {
        let (index, reference) = (self.pop(), self.pop());
        let ty = self.element_type(ty);
        let at = self.element_address(ty, reference, index);
        let value = self.load_part(ty, extension, at, FIELDS as i32, Some(Trap::ArrayOutOfBounds));
        self.push(value);
    }

    /// Returns the address [`FIELDS`] bytes before an element, and the base of the heap if the
    /// index is out of bounds, where all accesses fault. Traps if the array is null. As for tables,
    /// no branch decides this.
    fn element_address(&mut self, ty: StorageType, reference: Value, index: Value) -> Value {
        let object = self.object(reference);
        let length = self.array_length(object);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        let index = self.widen(index);
        let at = self.behind(object, ty, index);
        let heap = self.heap();
        self.b.ins().select_spectre_guard(outside, heap, at)
    }
}
