//! Translates bulk operations on arrays: fill, copy and init (specification, section 4.4.4).

use crate::base::trap::Trap;
use crate::codegen::translate::state::Translator;
use crate::instance::builtin::Builtin;
use crate::instance::layout::object::{FIELDS, storage_size};
use crate::module::StorageType;
use crate::module::instruction::BulkArray;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    pub(in crate::codegen::translate) fn bulk_array(&mut self, op: BulkArray) {
        match op {
            BulkArray::ArrayFill { array_type_index } => {
                let (count, value, at, reference) = (self.pop(), self.pop(), self.pop(), self.pop());
                let element = self.element_type(array_type_index);
                let value = self.encode_part(element, value);
                let start = self.elements_in_bounds(element, reference, at, count);
                let count = self.widen(count);
                self.pay_for_elements(count);
                self.fill_elements(element, start, count, value);
            }
            BulkArray::ArrayCopy { array_type_index_dst, array_type_index_src } => {
                let (count, from_at, from, to_at, to) = (self.pop(), self.pop(), self.pop(), self.pop(), self.pop());
                let element = self.element_type(array_type_index_dst);
                // References of one kind have one size, whatever their types.
                debug_assert_eq!(storage_size(element), storage_size(self.element_type(array_type_index_src)));
                let to = self.elements_in_bounds(element, to, to_at, count);
                let from = self.elements_in_bounds(element, from, from_at, count);
                let count = self.widen(count);
                self.pay_for_elements(count);
                let bytes = self.bytes_of(element, count);
                self.call_checked(Builtin::HeapCopy, &[to, from, bytes], Trap::ArrayOutOfBounds);
            }
            BulkArray::ArrayInitData { array_type_index, array_data_index } => {
                self.array_init(Builtin::ArrayInitData, array_type_index, array_data_index);
            }
            BulkArray::ArrayInitElem { array_type_index, array_elem_index } => {
                self.array_init(Builtin::ArrayInitElem, array_type_index, array_elem_index);
            }
        }
    }

    /// Copies a part of a segment into an array.
    fn array_init(&mut self, builtin: Builtin, ty: u32, segment: u32) {
        let (count, from, at, reference) = (self.pop(), self.pop(), self.pop(), self.pop());
        let element = self.element_type(ty);
        self.elements_in_bounds(element, reference, at, count);
        let wide = self.widen(count);
        self.pay_for_elements(wide);
        self.init_elements(builtin, ty, segment, [reference, at, from, count]);
    }

    /// Calls the builtin that copies a part of a segment: to which array, where in it, from where
    /// in the segment, how much.
    pub(super) fn init_elements(&mut self, builtin: Builtin, ty: u32, segment: u32, [to, at, from, count]: [Value; 4]) {
        let trap = match builtin {
            Builtin::ArrayInitElem => Trap::TableOutOfBounds,
            _ => Trap::MemoryOutOfBounds,
        };
        let size = self.index_constant(storage_size(self.element_type(ty)) as u32);
        let segment = self.index_constant(segment);
        self.call_checked(builtin, &[to, segment, size, at, from, count], trap);
    }

    /// Returns the address of the first of `count` elements. Traps if not all of them are in the
    /// array, or it is null.
    fn elements_in_bounds(&mut self, ty: StorageType, reference: Value, at: Value, count: Value) -> Value {
        let object = self.object(reference);
        let length = self.array_length(object);
        let (length, at, count) = (self.widen(length), self.widen(at), self.widen(count));
        let end = self.b.ins().iadd(at, count);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.trap_if(outside, Trap::ArrayOutOfBounds);
        let first = self.behind(object, ty, at);
        self.b.ins().iadd_imm_u(first, FIELDS as i64)
    }

    /// Stores a value to `count` elements, a number of 64 bits. It is as objects hold it.
    pub(super) fn fill_elements(&mut self, ty: StorageType, start: Value, count: Value, value: Value) {
        let end = self.behind(start, ty, count);
        let (body, done) = (self.b.create_block(), self.b.create_block());
        let header = self.block_with(&[I64]);
        self.jump(header, &[start]);
        self.b.switch_to_block(header);
        let at = self.b.block_params(header)[0];
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, at, end);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.continue_in(body);
        self.store_part(ty, value, at, 0, None);
        let next = self.b.ins().iadd_imm_u(at, storage_size(ty) as i64);
        self.jump(header, &[next]);
        self.b.seal_block(header);
        self.continue_in(done);
    }
}
