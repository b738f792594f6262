//! Emits code that leaves a value of some type: a new one, or one that was stored before.

use super::types::{Types, reference};
use crate::rng::Rng;
use wasm_encoder::{BlockType, HeapType, Ieee32, Ieee64, Instruction, RefType, StorageType, ValType};

/// Where a value can be stored, and read again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Local(u32),
    Global(u32),
    /// Table and element.
    Element(u32, u32),
}

/// A table for references, made for the workers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) index: u32,
    pub(super) heap: HeapType,
    /// Its elements, at least.
    pub(super) len: u32,
}

/// A passive data segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) index: u32,
    pub(super) len: u32,
}

/// A tag of the workers, and the types of functions that take what it carries, leave it, and leave
/// it with a reference to the exception.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) index: u32,
    pub(super) payload: Vec<ValType>,
    pub(super) caught: u32,
    pub(super) caught_with_reference: u32,
}

/// What workers can use of their module.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) types: Types,
    /// The types of all functions that workers may call: those of wasm-smith, and theirs.
    pub(super) functions: Vec<u32>,
    /// How many of them are imported.
    pub(super) imported: u32,
    /// Where wasm-smith's functions end.
    pub(super) made: u32,
    /// Mutable globals with references.
    pub(super) globals: Vec<(u32, HeapType)>,
    pub(super) tables: Vec<Table>,
    pub(super) tags: Vec<Tag>,
    pub(super) data: Vec<Data>,
    /// The global that says how many loops and calls are left.
    pub(super) fuel: u32,
    /// A global that is changed by every number that is read.
    pub(super) sum: u32,
    /// Whether functions of wasm-smith rarely trap.
    pub(super) calm: bool,
    /// How many statements workers have at the most, not counting those within others.
    pub(super) statements: u64,
}

/// Emits code.
pub(super) struct Code<'a> {
    pub(super) around: &'a Surroundings,
    pub(super) rng: Rng,
    pub(super) out: Vec<Instruction<'static>>,
    /// The types of all locals, parameters first.
    pub(super) locals: Vec<ValType>,
    /// Whether this is a constant expression.
    constant: bool,
}

impl<'a> Code<'a> {
    pub(super) fn new(around: &'a Surroundings, rng: Rng, params: &[ValType], constant: bool) -> Self {
        Self { around, rng, out: Vec::new(), locals: params.to_vec(), constant }
    }

    pub(super) fn emit(&mut self, instruction: Instruction<'static>) {
        self.out.push(instruction);
    }

    /// Returns a new local.
    pub(super) fn local(&mut self, ty: ValType) -> u32 {
        let ty = match ty {
            ValType::Ref(ty) => ValType::Ref(RefType { nullable: true, ..ty }),
            ty => ty,
        };
        self.locals.push(ty);
        self.locals.len() as u32 - 1
    }

    pub(super) fn number(&mut self) -> i32 {
        match self.rng.below(3) {
            0 => self.rng.pick(&[0, 1, -1, i32::MAX, i32::MIN, 0x7f, 0x80, 0xffff, 0x8000, 1 << 30]),
            1 => self.rng.below(1000) as i32,
            _ => self.rng.next() as i32,
        }
    }

    /// Leaves a number, reference or vector. `depth` says how many objects may be inside of each
    /// other.
    pub(super) fn value(&mut self, ty: ValType, depth: u32) {
        let number = self.number();
        let wide = i64::from(number).wrapping_mul(0x1_0000_0101);
        match ty {
            ValType::I32 | ValType::I64 if !self.constant && self.rng.one_in(3) => {
                self.emit(Instruction::GlobalGet(self.around.sum));
                if ty == ValType::I32 {
                    self.emit(Instruction::I32WrapI64);
                }
            }
            ValType::I32 => self.emit(Instruction::I32Const(number)),
            ValType::I64 => self.emit(Instruction::I64Const(wide)),
            ValType::F32 => self.emit(Instruction::F32Const(Ieee32::from(number as f32))),
            ValType::F64 => self.emit(Instruction::F64Const(Ieee64::from(wide as f64))),
            ValType::V128 => self.emit(Instruction::V128Const(i128::from(wide) << 64 | i128::from(number))),
            ValType::Ref(ty) => self.reference(ty, depth),
        }
    }

    fn reference(&mut self, ty: RefType, depth: u32) {
        let heap = ty.heap_type;
        if depth > 0 && !self.constant && self.rng.one_in(3) && self.held(ty, depth) {
            return;
        }
        if ty.nullable && (depth == 0 || self.rng.one_in(8) || !self.around.types.can_make(reference(false, heap))) {
            if depth > 0 && !self.constant && self.rng.one_in(2) && self.read(heap) {
                return;
            }
            return self.null(heap);
        }
        if !self.constant && self.around.types.is_internal(heap) && !self.rng.one_in(3) {
            return self.existing(heap, depth);
        }
        self.make(heap, depth);
    }

    /// Leaves what an object holds, or an array, so that it is at hand while what comes behind it
    /// is made. Returns whether some type holds such a thing.
    fn held(&mut self, ty: RefType, depth: u32) -> bool {
        let types = &self.around.types;
        let parts = types.parts(|part| match part {
            ValType::Ref(part) => (ty.nullable || !part.nullable) && types.matches(part.heap_type, ty.heap_type),
            _ => false,
        });
        if parts.is_empty() {
            return false;
        }
        match self.rng.pick(&parts) {
            (struct_type_index, Some(field_index)) => {
                self.existing(HeapType::Concrete(struct_type_index), depth - 1);
                self.emit(Instruction::StructGet { struct_type_index, field_index });
            }
            (array, None) => {
                let local = self.local(reference(true, HeapType::Concrete(array)));
                self.existing(HeapType::Concrete(array), depth - 1);
                self.emit(Instruction::LocalTee(local));
                self.emit(Instruction::ArrayLen);
                self.emit(Instruction::If(BlockType::Result(ValType::Ref(ty))));
                self.emit(Instruction::LocalGet(local));
                self.value(ValType::I32, 0);
                self.emit(Instruction::LocalGet(local));
                self.emit(Instruction::ArrayLen);
                self.emit(Instruction::I32RemU);
                self.emit(Instruction::ArrayGet(array));
                self.emit(Instruction::Else);
                self.value(ValType::Ref(ty), 0);
                self.emit(Instruction::End);
            }
        }
        true
    }

    /// Leaves null, or a function, of which there always is one.
    fn null(&mut self, heap: HeapType) {
        if heap == HeapType::FUNC && self.around.imported < self.around.made && self.rng.one_in(2) {
            let function = self.rng.below(u64::from(self.around.made)) as u32;
            return self.emit(Instruction::RefFunc(function));
        }
        self.emit(Instruction::RefNull(heap));
    }

    /// Leaves an object that is not null and was stored before, or a new one.
    pub(super) fn existing(&mut self, heap: HeapType, depth: u32) {
        let Some((place, from)) = self.place_for(heap, true) else { return self.make(heap, depth) };
        self.emit(Instruction::Block(BlockType::Result(reference(false, heap))));
        self.get(place);
        // A cast only goes down.
        if self.around.types.matches(from, heap) && (from != heap || self.rng.one_in(2)) {
            self.emit(Instruction::BrOnNonNull(0));
        } else {
            let from_ref_type = RefType { nullable: true, heap_type: from };
            let to_ref_type = RefType { nullable: false, heap_type: heap };
            self.emit(Instruction::BrOnCast { relative_depth: 0, from_ref_type, to_ref_type });
            self.emit(Instruction::Drop);
        }
        self.make(heap, depth);
        self.emit(Instruction::End);
    }

    /// Leaves what is in some place whose type matches. Returns whether there is one.
    fn read(&mut self, heap: HeapType) -> bool {
        let place = self.place_for(heap, false);
        place.inspect(|(place, _)| self.get(*place)).is_some()
    }

    /// Picks a place with what matches a heap type, or, with `cast`, could.
    pub(super) fn place_for(&mut self, heap: HeapType, cast: bool) -> Option<(Place, HeapType)> {
        let types = &self.around.types;
        let fits = |from: HeapType| types.matches(from, heap) || cast && types.matches(heap, from);
        let mut places = Vec::new();
        for (index, ty) in (0..).zip(&self.locals) {
            if let ValType::Ref(ty) = ty
                && fits(ty.heap_type)
            {
                places.push((Place::Local(index), ty.heap_type));
            }
        }
        let globals = self.around.globals.iter().filter(|(_, heap)| fits(*heap));
        places.extend(globals.map(|(index, heap)| (Place::Global(*index), *heap)));
        for table in self.around.tables.iter().filter(|table| fits(table.heap)) {
            let element = self.rng.below(u64::from(table.len)) as u32;
            places.extend([(Place::Element(table.index, element), table.heap); 2]);
        }
        (!places.is_empty()).then(|| self.rng.pick(&places))
    }

    pub(super) fn get(&mut self, place: Place) {
        match place {
            Place::Local(index) => self.emit(Instruction::LocalGet(index)),
            Place::Global(index) => self.emit(Instruction::GlobalGet(index)),
            Place::Element(table, element) => {
                self.emit(Instruction::I32Const(element as i32));
                self.emit(Instruction::TableGet(table));
            }
        }
    }

    /// Leaves something new that is not null.
    fn make(&mut self, heap: HeapType, depth: u32) {
        let depth = depth.saturating_sub(1);
        match heap {
            HeapType::EXTERN => {
                self.value(reference(false, HeapType::ANY), depth);
                return self.emit(Instruction::ExternConvertAny);
            }
            HeapType::I31 => return self.small_integer(),
            _ => {}
        }
        let mut objects = self.around.types.objects(heap);
        if self.around.types.matches(HeapType::I31, heap) && (objects.is_empty() || self.rng.one_in(6)) {
            return self.small_integer();
        }
        if depth == 0 {
            objects = self.around.types.cheapest(objects);
        }
        let index = self.rng.pick(&objects);
        if self.around.types.fields(index).is_some() {
            self.new_struct(index, depth)
        } else {
            self.new_array(index, depth)
        }
    }

    fn small_integer(&mut self) {
        self.value(ValType::I32, 0);
        self.emit(Instruction::RefI31);
    }

    fn new_struct(&mut self, index: u32, depth: u32) {
        let fields: Vec<StorageType> =
            self.around.types.fields(index).into_iter().flatten().map(|field| field.element_type).collect();
        let is_defaultable = fields.iter().all(|ty| ty.unpack().is_defaultable());
        if is_defaultable && self.rng.one_in(4) {
            return self.emit(Instruction::StructNewDefault(index));
        }
        // Of many fields, not each has an object.
        let depth = if fields.len() > 6 { depth.min(1) } else { depth };
        fields.iter().for_each(|ty| self.value(ty.unpack(), depth));
        self.emit(Instruction::StructNew(index));
    }

    fn new_array(&mut self, index: u32, depth: u32) {
        let Some(field) = self.around.types.element(index) else { return };
        let element = field.element_type.unpack();
        let some = if depth == 0 { 0 } else { self.rng.below(4) as u32 };
        let data = self.around.data.get(self.rng.below(4) as usize).copied();
        match self.rng.below(6) {
            0 | 1 if element.is_defaultable() => {
                self.length();
                self.emit(Instruction::ArrayNewDefault(index));
            }
            2 if self.around.types.can_make(element) => {
                self.value(element, depth);
                self.length();
                self.emit(Instruction::ArrayNew(index));
            }
            3 if !self.constant && data.is_some() && !element.is_reference() => {
                let data = data.expect("it was just looked at");
                let size = size_of(field.element_type);
                let len = self.rng.below(u64::from(data.len / size) + 1) as u32;
                let from = self.rng.below(u64::from(data.len - len * size) + 1) as i32;
                self.emit(Instruction::I32Const(from));
                self.emit(Instruction::I32Const(len as i32));
                self.emit(Instruction::ArrayNewData { array_type_index: index, array_data_index: data.index });
            }
            _ => {
                let some = if self.around.types.can_make(element) { some } else { 0 };
                (0..some).for_each(|_| self.value(element, depth));
                self.emit(Instruction::ArrayNewFixed { array_type_index: index, array_size: some });
            }
        }
    }

    /// Leaves a small length.
    fn length(&mut self) {
        let len = if self.rng.one_in(8) { self.rng.below(300) } else { self.rng.below(12) };
        self.emit(Instruction::I32Const(len as i32));
    }
}

pub(super) fn size_of(ty: StorageType) -> u32 {
    match ty {
        StorageType::I8 => 1,
        StorageType::I16 => 2,
        StorageType::Val(ValType::I64 | ValType::F64) => 8,
        StorageType::Val(ValType::V128) => 16,
        StorageType::Val(_) => 4,
    }
}
