//! Translates instructions on tables: elements, sizes and bulk operations (specification, section
//! 4.4.6).
//!
//! A table never moves. So its base is a constant distance from vmctx, or a constant of the host
//! cell if it is imported. If its size is constant too, an access is a comparison with a constant,
//! and a load.

use super::state::Translator;
use crate::base::trap::Trap;
use crate::codegen::abi::trap_code;
use crate::instance::builtin::Builtin;
use crate::instance::layout::{ELEMENT_SIZE, TablePlace, import_space};
use crate::module::ValType;
use crate::module::instruction::{BulkTable, Table};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

/// A table element's address, `base + displacement`, and the vmctx from which funcrefs in it are
/// counted.
pub(super) struct Element {
    pub(super) base: Value,
    pub(super) displacement: i32,
    pub(super) owner: Value,
}

impl Translator<'_, '_> {
    pub(super) fn table(&mut self, op: Table) {
        match op {
            Table::TableGet { table } => self.table_get(table),
            Table::TableSet { table } => self.table_set(table),
            Table::TableSize { table } => {
                let size = self.table_size(table);
                self.push_table_size(table, size);
            }
            Table::TableGrow { table } => {
                let (delta, value) = (self.pop(), self.pop());
                let arguments = [self.index_constant(table), value, self.widen(delta)];
                let before = self.call_growth(Builtin::TableGrow, &arguments);
                self.pay_for_growth(before, arguments[2]);
                self.push_table_size(table, before);
            }
        }
    }

    pub(super) fn bulk_table(&mut self, op: BulkTable) {
        match op {
            BulkTable::TableFill { table } => {
                let (len, value, at) = (self.pop(), self.pop(), self.pop());
                let arguments = [self.index_constant(table), self.widen(at), value, self.widen(len)];
                self.pay_for_elements(arguments[3]);
                self.call_checked(Builtin::TableFill, &arguments, Trap::TableOutOfBounds);
            }
            BulkTable::TableCopy { dst_table, src_table } => {
                let (len, from, to) = (self.pop(), self.pop(), self.pop());
                let (to_table, from_table) = (self.index_constant(dst_table), self.index_constant(src_table));
                let arguments = [to_table, self.widen(to), from_table, self.widen(from), self.widen(len)];
                self.pay_for_elements(arguments[4]);
                self.call_checked(Builtin::TableCopy, &arguments, Trap::TableOutOfBounds);
            }
            BulkTable::TableInit { elem_index, table } => {
                let (len, from, at) = (self.pop(), self.pop(), self.pop());
                let (table, segment) = (self.index_constant(table), self.index_constant(elem_index));
                let arguments = [table, segment, self.widen(at), self.widen(from), self.widen(len)];
                self.pay_for_elements(arguments[4]);
                self.call_checked(Builtin::TableInit, &arguments, Trap::TableOutOfBounds);
            }
            BulkTable::ElemDrop { elem_index } => {
                self.drop_segment(self.module.layout.element_dropped(elem_index));
            }
        }
    }

    fn table_get(&mut self, table: u32) {
        let index = self.pop();
        let element = self.element(table, index);
        let stored = self.load_element(&element, Trap::TableOutOfBounds);
        let kind = self.module.info.tables[table as usize].element.heap.kind();
        let value = self.decode_reference(kind, stored, element.owner);
        self.trace(ValType::Ref(self.module.info.tables[table as usize].element), value);
        self.push(value);
    }

    fn table_set(&mut self, table: u32) {
        let (value, index) = (self.pop(), self.pop());
        let element = self.element(table, index);
        let kind = self.module.info.tables[table as usize].element.heap.kind();
        let stored = self.encode_reference(kind, value, element.owner);
        let flags = self.element_flags(Trap::TableOutOfBounds);
        self.b.ins().store(flags, stored, element.base, element.displacement);
    }

    /// Returns the element at an index. For an index beyond the table's size, that is vmctx, in the
    /// guard, where the access faults.
    ///
    /// No branch decides this. So the processor cannot mispredict one and read what is outside.
    pub(super) fn element(&mut self, table: u32, index: Value) -> Element {
        let index = self.widen(index);
        let size = self.table_size(table);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, size);
        match self.module.layout.table(table) {
            TablePlace::State { base, .. } => {
                let vmctx = self.b.ins().iconst(I64, -i64::from(base) / ELEMENT_SIZE as i64);
                let index = self.b.ins().select_spectre_guard(outside, vmctx, index);
                let base_and_index = self.indexed(self.vmctx, index);
                Element { base: base_and_index, displacement: base, owner: self.vmctx }
            }
            TablePlace::Import(entry) => {
                let base = self.load_constant(I64, self.vmctx, entry + import_space::BASE, self.regions.host);
                let owner = self.load_constant(I64, self.vmctx, entry + import_space::OWNER, self.regions.host);
                let address = self.indexed(base, index);
                let address = self.b.ins().select_spectre_guard(outside, self.vmctx, address);
                Element { base: address, displacement: 0, owner }
            }
        }
    }

    fn indexed(&mut self, base: Value, index: Value) -> Value {
        let offset = self.b.ins().ishl_imm_u(index, i64::from(ELEMENT_SIZE.trailing_zeros()));
        self.b.ins().iadd(base, offset)
    }

    fn element_flags(&self, trap: Trap) -> MemFlagsData {
        MemFlagsData::trusted().with_trap_code(Some(trap_code(trap))).with_alias_region(Some(self.regions.tables))
    }

    /// Loads an element. Traps if the index was outside.
    pub(super) fn load_element(&mut self, element: &Element, outside: Trap) -> Value {
        let flags = self.element_flags(outside);
        self.b.ins().load(I64, flags, element.base, element.displacement)
    }

    /// Returns a table's current size in elements, 64 bits.
    fn table_size(&mut self, table: u32) -> Value {
        let ty = &self.module.info.tables[table as usize];
        // An imported one can become smaller than it was: a reset of its owner does that.
        if table >= self.module.info.num_imported_tables && ty.maximum == Some(ty.minimum) {
            return self.b.ins().iconst(I64, ty.minimum as i64);
        }
        match self.module.layout.table(table) {
            TablePlace::State { size, .. } => self.load(I64, self.vmctx, size, self.regions.sizes),
            TablePlace::Import(entry) => {
                let at = self.load_constant(I64, self.vmctx, entry + import_space::SIZE_AT, self.regions.host);
                self.load(I64, at, 0, self.regions.sizes)
            }
        }
    }

    /// Pushes a 64-bit count of elements as the table's index type.
    fn push_table_size(&mut self, table: u32, elements: Value) {
        let wide = self.module.info.tables[table as usize].table64;
        let elements = if wide { elements } else { self.b.ins().ireduce(I32, elements) };
        self.push(elements);
    }
}
