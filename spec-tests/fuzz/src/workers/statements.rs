//! Emits what workers do: store objects, find them again, look at them, throw, catch, call, and do
//! all that in loops.

use super::types::{ARRAY, EQ, EXN, STRUCT, reference};
use super::values::{Code, Place, size_of};
use wasm_encoder::{BlockType, Catch, HeapType, Instruction, RefType, StorageType, ValType};

/// How deep loops and handlers are inside of each other.
const NESTED: u32 = 3;
/// How deep objects are inside of each other that are made at once.
const DEPTH: u32 = 3;
/// A worker does one thing in so many that may trap.
const TRAPS: u64 = 60;

impl Code<'_> {
    pub(super) fn statements(&mut self, count: u64, nested: u32) {
        (0..count).for_each(|_| self.statement(nested));
    }

    fn statement(&mut self, nested: u32) {
        match self.rng.below(26) {
            0..=5 => self.store_somewhere(),
            6..=8 => self.set_field(),
            9..=10 => self.set_element(),
            11 => self.fill_or_copy(),
            12..=15 => self.look(),
            16 => self.compare(),
            17 => self.cast(),
            18 => self.small_integer_again(),
            19 => self.table(),
            20 => self.call(),
            21 if nested < NESTED => self.attempt(nested),
            22 if nested < NESTED => self.repeat(nested),
            23 if self.rng.one_in(12) => self.litter(),
            24 if self.rng.one_in(TRAPS / 8) => self.risk(),
            _ => self.look(),
        }
    }

    /// Adds a number that is on the stack to the sum.
    fn add(&mut self, ty: ValType) {
        match ty {
            ValType::I32 => self.emit(Instruction::I64ExtendI32U),
            ValType::I64 => {}
            ValType::F32 => {
                self.emit(Instruction::I32ReinterpretF32);
                self.emit(Instruction::I64ExtendI32U);
            }
            ValType::F64 => self.emit(Instruction::I64ReinterpretF64),
            ValType::V128 => self.emit(Instruction::I64x2ExtractLane(1)),
            ValType::Ref(_) => {
                self.emit(Instruction::RefIsNull);
                self.emit(Instruction::I64ExtendI32U);
            }
        }
        self.emit(Instruction::GlobalGet(self.around.sum));
        self.emit(Instruction::I64Const(7));
        self.emit(Instruction::I64Rotl);
        self.emit(Instruction::I64Xor);
        self.emit(Instruction::GlobalSet(self.around.sum));
    }

    /// Stores what is on the stack where it fits, or adds it.
    pub(super) fn keep(&mut self, ty: ValType) {
        let ValType::Ref(RefType { heap_type, .. }) = ty else { return self.add(ty) };
        let around = self.around;
        let fits = |place: HeapType| around.types.matches(heap_type, place);
        let globals = around.globals.iter().filter(|(_, heap)| fits(*heap));
        let mut places: Vec<Place> = globals.map(|(index, _)| Place::Global(*index)).collect();
        for (index, local) in (0..).zip(&self.locals) {
            if let ValType::Ref(local) = local
                && local.nullable
                && fits(local.heap_type)
            {
                places.push(Place::Local(index));
            }
        }
        for table in around.tables.iter().filter(|table| fits(table.heap)) {
            places.push(Place::Element(table.index, self.rng.below(u64::from(table.len)) as u32));
        }
        if places.is_empty() {
            return self.add(ty);
        }
        match self.rng.pick(&places) {
            Place::Local(index) => self.emit(Instruction::LocalSet(index)),
            Place::Global(index) => self.emit(Instruction::GlobalSet(index)),
            Place::Element(table, element) => {
                let kept = self.local(ty);
                self.emit(Instruction::LocalSet(kept));
                self.emit(Instruction::I32Const(element as i32));
                self.emit(Instruction::LocalGet(kept));
                self.emit(Instruction::TableSet(table));
            }
        }
    }

    fn store_somewhere(&mut self) {
        let heap = self.around.types.pick(&mut self.rng);
        let ty = reference(true, heap);
        let depth = 1 + self.rng.below(u64::from(DEPTH)) as u32;
        self.value(ty, depth);
        self.keep(ty);
    }

    /// Picks a type of structures, or of arrays.
    fn pick(&mut self, above: HeapType) -> Option<u32> {
        let all = self.around.types.objects(above);
        (!all.is_empty()).then(|| self.rng.pick(&all))
    }

    fn set_field(&mut self) {
        let Some(ty) = self.pick(STRUCT) else { return };
        let fields = (0_u32..).zip(self.around.types.fields(ty).into_iter().flatten());
        let wanted =
            |field: &wasm_encoder::FieldType| field.mutable && self.around.types.can_make(field.element_type.unpack());
        let fields: Vec<_> = fields.filter(|(_, field)| wanted(field)).map(|(index, field)| (index, *field)).collect();
        if fields.is_empty() {
            return self.look();
        }
        let (index, field) = self.rng.pick(&fields);
        self.existing(HeapType::Concrete(ty), DEPTH - 1);
        self.value(field.element_type.unpack(), DEPTH - 1);
        self.emit(Instruction::StructSet { struct_type_index: ty, field_index: index });
    }

    /// Leaves an array's type, an array of it in a local, and opens a block that is only entered if
    /// it has elements.
    fn with_elements(&mut self, ty: u32) -> u32 {
        let array = self.local(reference(true, HeapType::Concrete(ty)));
        self.existing(HeapType::Concrete(ty), DEPTH - 1);
        self.emit(Instruction::LocalTee(array));
        self.emit(Instruction::ArrayLen);
        self.emit(Instruction::If(BlockType::Empty));
        array
    }

    /// Leaves an index of an array that has elements.
    fn index(&mut self, array: u32) {
        self.value(ValType::I32, 0);
        self.emit(Instruction::LocalGet(array));
        self.emit(Instruction::ArrayLen);
        self.emit(Instruction::I32RemU);
    }

    fn set_element(&mut self) {
        let Some(ty) = self.pick(ARRAY) else { return };
        let Some(field) = self.around.types.element(ty).filter(|field| field.mutable) else { return self.look() };
        let element = field.element_type.unpack();
        if !self.around.types.can_make(element) {
            return;
        }
        let array = self.with_elements(ty);
        self.emit(Instruction::LocalGet(array));
        self.index(array);
        self.value(element, DEPTH - 1);
        self.emit(Instruction::ArraySet(ty));
        self.emit(Instruction::End);
    }

    /// Fills a part of an array, or copies one within it or from another of its type.
    fn fill_or_copy(&mut self) {
        let Some(ty) = self.pick(ARRAY) else { return };
        let Some(field) = self.around.types.element(ty).filter(|field| field.mutable) else { return self.look() };
        let element = field.element_type.unpack();
        let to = self.with_elements(ty);
        let at = self.local(ValType::I32);
        self.index(to);
        self.emit(Instruction::LocalSet(at));
        match self.rng.below(3) {
            0 if self.around.types.can_make(element) => {
                self.emit(Instruction::LocalGet(to));
                self.emit(Instruction::LocalGet(at));
                self.value(element, DEPTH - 1);
                self.rest(to, at);
                self.emit(Instruction::ArrayFill(ty));
            }
            1 if !element.is_reference() && !self.around.data.is_empty() => {
                let data = self.rng.pick(&self.around.data);
                let len = u64::from(data.len / size_of(field.element_type));
                let len = self.rng.below(len + 1).min(3) as i32;
                self.emit(Instruction::LocalGet(to));
                self.emit(Instruction::I32Const(0));
                self.emit(Instruction::I32Const(0));
                self.emit(Instruction::I32Const(len));
                self.emit(Instruction::ArrayInitData { array_type_index: ty, array_data_index: data.index });
            }
            _ => {
                let from = self.with_elements(ty);
                let place = self.local(ValType::I32);
                self.index(from);
                self.emit(Instruction::LocalSet(place));
                self.emit(Instruction::LocalGet(to));
                self.emit(Instruction::LocalGet(at));
                self.emit(Instruction::LocalGet(from));
                self.emit(Instruction::LocalGet(place));
                self.rest(to, at);
                self.rest(from, place);
                self.rest(to, at);
                self.rest(from, place);
                self.emit(Instruction::I32LtU);
                self.emit(Instruction::Select);
                self.emit(Instruction::ArrayCopy { array_type_index_dst: ty, array_type_index_src: ty });
                self.emit(Instruction::End);
            }
        }
        self.emit(Instruction::End);
    }

    /// Leaves how many elements there are from a place on.
    fn rest(&mut self, array: u32, at: u32) {
        self.emit(Instruction::LocalGet(array));
        self.emit(Instruction::ArrayLen);
        self.emit(Instruction::LocalGet(at));
        self.emit(Instruction::I32Sub);
    }

    /// Reads a field or an element of what was stored before, and keeps it.
    fn look(&mut self) {
        let Some(ty) = self.pick(HeapType::ANY) else { return };
        if let Some(fields) = self.around.types.fields(ty) {
            if fields.is_empty() {
                return;
            }
            let index = self.rng.below(fields.len() as u64) as u32;
            let storage = fields[index as usize].element_type;
            self.existing(HeapType::Concrete(ty), DEPTH - 1);
            let (struct_type_index, field_index) = (ty, index);
            let signed = self.rng.one_in(2);
            self.emit(match storage {
                StorageType::Val(_) => Instruction::StructGet { struct_type_index, field_index },
                _ if signed => Instruction::StructGetS { struct_type_index, field_index },
                _ => Instruction::StructGetU { struct_type_index, field_index },
            });
            self.keep(storage.unpack());
        } else if let Some(field) = self.around.types.element(ty) {
            let array = self.with_elements(ty);
            self.emit(Instruction::LocalGet(array));
            self.index(array);
            let signed = self.rng.one_in(2);
            self.emit(match field.element_type {
                StorageType::Val(_) => Instruction::ArrayGet(ty),
                _ if signed => Instruction::ArrayGetS(ty),
                _ => Instruction::ArrayGetU(ty),
            });
            self.keep(field.element_type.unpack());
            self.emit(Instruction::LocalGet(array));
            self.emit(Instruction::ArrayLen);
            self.add(ValType::I32);
            self.emit(Instruction::End);
        }
    }

    /// Whether two references lead to the same.
    fn compare(&mut self) {
        for _ in 0..2 {
            let heap = match self.pick(HeapType::ANY) {
                Some(ty) if self.rng.one_in(2) => HeapType::Concrete(ty),
                _ => EQ,
            };
            self.existing(heap, 1);
        }
        self.emit(Instruction::RefEq);
        self.add(ValType::I32);
    }

    /// Tests and casts something that may be anything.
    fn cast(&mut self) {
        let to = self.around.types.pick(&mut self.rng);
        if !self.around.types.is_internal(to) {
            // There and back again.
            let ty = reference(true, HeapType::ANY);
            self.value(ty, DEPTH);
            self.emit(Instruction::ExternConvertAny);
            self.emit(Instruction::AnyConvertExtern);
            return self.keep(ty);
        }
        let any = self.local(reference(true, HeapType::ANY));
        self.value(reference(true, HeapType::ANY), DEPTH);
        self.emit(Instruction::LocalTee(any));
        let nullable = self.rng.one_in(2);
        self.emit(if nullable { Instruction::RefTestNullable(to) } else { Instruction::RefTestNonNull(to) });
        self.emit(Instruction::If(BlockType::Empty));
        self.emit(Instruction::LocalGet(any));
        self.emit(if nullable { Instruction::RefCastNullable(to) } else { Instruction::RefCastNonNull(to) });
        self.keep(reference(nullable, to));
        self.emit(Instruction::Else);
        // What is left when a cast fails has the type that it had.
        let (from_ref_type, to_ref_type) =
            (RefType { nullable: true, heap_type: HeapType::ANY }, RefType { nullable, heap_type: to });
        let ty = reference(true, HeapType::ANY);
        self.emit(Instruction::Block(BlockType::Result(ty)));
        self.emit(Instruction::LocalGet(any));
        self.emit(Instruction::BrOnCastFail { relative_depth: 0, from_ref_type, to_ref_type });
        self.emit(Instruction::End);
        self.keep(ty);
        self.emit(Instruction::End);
    }

    fn small_integer_again(&mut self) {
        self.existing(HeapType::I31, 1);
        let signed = self.rng.one_in(2);
        self.emit(if signed { Instruction::I31GetS } else { Instruction::I31GetU });
        self.add(ValType::I32);
    }

    /// Copies or fills a part of a table.
    fn table(&mut self) {
        if self.around.tables.is_empty() {
            return;
        }
        let table = self.rng.pick(&self.around.tables);
        let count = self.rng.below(u64::from(table.len) / 2) as i32;
        let at = self.rng.below(u64::from(table.len) / 2) as i32;
        self.emit(Instruction::I32Const(at));
        if self.rng.one_in(3) {
            self.value(reference(true, table.heap), DEPTH);
            self.emit(Instruction::I32Const(count / 2));
            self.emit(Instruction::TableFill(table.index));
        } else {
            let from = self.rng.below(u64::from(table.len) / 2) as i32;
            self.emit(Instruction::I32Const(from));
            self.emit(Instruction::I32Const(count));
            self.emit(Instruction::TableCopy { src_table: table.index, dst_table: table.index });
        }
    }

    /// Calls a function, by its index or a reference.
    fn call(&mut self) {
        let around = self.around;
        let workers = around.made as usize..around.functions.len();
        let some = if around.calm || self.rng.one_in(12) { 0..around.functions.len() } else { workers };
        if some.is_empty() {
            return;
        }
        let index = some.start + self.rng.below(some.len() as u64) as usize;
        let Some(ty) = around.types.func(around.functions[index]) else { return };
        if ty.params().iter().any(|ty| !around.types.can_make(*ty)) {
            return;
        }
        ty.params().iter().for_each(|ty| self.value(*ty, 2));
        if self.rng.one_in(4) {
            self.emit(Instruction::RefFunc(index as u32));
            self.emit(Instruction::CallRef(around.functions[index]));
        } else {
            self.emit(Instruction::Call(index as u32));
        }
        ty.results().iter().rev().for_each(|ty| self.keep(*ty));
    }

    /// Opens a block that is entered depending on the sum.
    fn if_sum(&mut self, one_in: i64) {
        self.emit(Instruction::GlobalGet(self.around.sum));
        self.emit(Instruction::I64Const(one_in));
        self.emit(Instruction::I64RemU);
        self.emit(Instruction::I64Eqz);
        self.emit(Instruction::If(BlockType::Empty));
    }

    /// Catches exceptions, of which some are thrown.
    fn attempt(&mut self, nested: u32) {
        let tag = self.rng.pick(&(0..self.around.tags.len()).collect::<Vec<_>>());
        let tag = &self.around.tags[tag];
        let exception = reference(true, EXN);
        let (catch, ty, left) = match self.rng.below(4) {
            0 => (Catch::All { label: 0 }, BlockType::Empty, Vec::new()),
            1 => (Catch::AllRef { label: 0 }, BlockType::Result(exception), vec![exception]),
            2 => (Catch::One { tag: tag.index, label: 0 }, BlockType::FunctionType(tag.caught), tag.payload.clone()),
            _ => {
                let left = tag.payload.iter().copied().chain([exception]).collect();
                (Catch::OneRef { tag: tag.index, label: 0 }, BlockType::FunctionType(tag.caught_with_reference), left)
            }
        };
        self.emit(Instruction::Block(BlockType::Empty));
        self.emit(Instruction::Block(ty));
        self.emit(Instruction::TryTable(BlockType::Empty, vec![catch].into()));
        let some = 1 + self.rng.below(4);
        self.statements(some, nested + 1);
        if self.rng.one_in(2) {
            let one_in = 1 + self.rng.below(3) as i64;
            self.if_sum(one_in);
        } else {
            self.emit(Instruction::Block(BlockType::Empty));
        }
        if self.rng.one_in(4)
            && let Some((place, _)) = self.place_for(EXN, false)
        {
            self.get(place);
            self.emit(Instruction::BrOnNull(0));
            self.emit(Instruction::ThrowRef);
        } else {
            tag.payload.iter().for_each(|ty| self.value(*ty, 2));
            self.emit(Instruction::Throw(tag.index));
        }
        self.emit(Instruction::End);
        self.emit(Instruction::End);
        self.emit(Instruction::Br(1));
        self.emit(Instruction::End);
        left.iter().rev().for_each(|ty| self.keep(*ty));
        self.emit(Instruction::End);
    }

    /// Does some things several times, as long as there is fuel.
    fn repeat(&mut self, nested: u32) {
        let count = self.local(ValType::I32);
        let times = 2 + self.rng.below(10) as i32;
        self.emit(Instruction::I32Const(times));
        self.emit(Instruction::LocalSet(count));
        self.emit(Instruction::Block(BlockType::Empty));
        self.emit(Instruction::Loop(BlockType::Empty));
        self.emit(Instruction::GlobalGet(self.around.fuel));
        self.emit(Instruction::I32Eqz);
        self.emit(Instruction::BrIf(1));
        self.spend();
        let some = 1 + self.rng.below(4);
        self.statements(some, nested + 1);
        self.count_down(count);
        self.emit(Instruction::End);
        self.emit(Instruction::End);
    }

    fn count_down(&mut self, count: u32) {
        self.emit(Instruction::LocalGet(count));
        self.emit(Instruction::I32Const(1));
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::LocalTee(count));
        self.emit(Instruction::BrIf(0));
    }

    /// Takes one from the fuel.
    fn spend(&mut self) {
        self.emit(Instruction::GlobalGet(self.around.fuel));
        self.emit(Instruction::I32Const(1));
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::GlobalSet(self.around.fuel));
    }

    /// Takes a quarter of the fuel, and one. So few workers are at work at a time, where each
    /// object that they make has all of their frames looked at.
    fn spend_a_quarter(&mut self) {
        self.spend();
        self.emit(Instruction::GlobalGet(self.around.fuel));
        self.emit(Instruction::GlobalGet(self.around.fuel));
        self.emit(Instruction::I32Const(2));
        self.emit(Instruction::I32ShrU);
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::GlobalSet(self.around.fuel));
    }

    /// Makes as much that nobody keeps as it takes for a collection.
    fn litter(&mut self) {
        let Some(ty) = self.pick(ARRAY) else { return };
        let Some(field) = self.around.types.element(ty) else { return };
        if !field.element_type.unpack().is_defaultable() {
            return;
        }
        let count = self.local(ValType::I32);
        self.emit(Instruction::I32Const(150));
        self.emit(Instruction::LocalSet(count));
        self.emit(Instruction::Loop(BlockType::Empty));
        self.emit(Instruction::I32Const((4096 / size_of(field.element_type)) as i32));
        self.emit(Instruction::ArrayNewDefault(ty));
        self.emit(Instruction::Drop);
        self.count_down(count);
        self.emit(Instruction::End);
    }

    /// Does what may trap, or throws what may not be caught.
    fn risk(&mut self) {
        let Some(ty) = self.pick(HeapType::ANY) else { return };
        let heap = HeapType::Concrete(ty);
        match self.rng.below(4) {
            0 => {
                self.value(reference(true, HeapType::ANY), 1);
                self.emit(Instruction::RefCastNonNull(heap));
                self.keep(reference(false, heap));
            }
            1 => {
                self.value(reference(true, heap), 1);
                self.emit(Instruction::RefAsNonNull);
                self.keep(reference(false, heap));
            }
            2 => {
                let tag = self.around.tags[0].clone();
                self.if_sum(2);
                tag.payload.iter().for_each(|ty| self.value(*ty, 2));
                self.emit(Instruction::Throw(tag.index));
                self.emit(Instruction::End);
            }
            _ => {
                let Some(ty) = self.pick(ARRAY) else { return };
                let Some(field) = self.around.types.element(ty) else { return };
                self.value(reference(true, HeapType::Concrete(ty)), 1);
                self.value(ValType::I32, 0);
                self.emit(match field.element_type {
                    StorageType::Val(_) => Instruction::ArrayGet(ty),
                    _ => Instruction::ArrayGetS(ty),
                });
                self.keep(field.element_type.unpack());
            }
        }
    }

    /// Emits the whole of a worker with these results.
    pub(super) fn worker(&mut self, results: &[ValType]) {
        // Without fuel, it does nothing: workers may call each other.
        self.emit(Instruction::GlobalGet(self.around.fuel));
        self.emit(Instruction::If(BlockType::Empty));
        self.spend_a_quarter();
        let some = 1 + self.rng.below(self.around.statements);
        self.statements(some, 0);
        self.emit(Instruction::End);
        results.iter().for_each(|ty| self.value(*ty, 2));
        self.emit(Instruction::End);
    }
}
