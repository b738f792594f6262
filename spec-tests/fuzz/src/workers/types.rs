//! The types of a module: which match which, and which of them have values.

use crate::rng::Rng;
use wasm_encoder::{
    AbstractHeapType, CompositeInnerType, CompositeType, FieldType, FuncType, HeapType, RefType, StorageType, SubType,
    ValType,
};

const fn abstract_type(ty: AbstractHeapType) -> HeapType {
    HeapType::Abstract { shared: false, ty }
}

pub(super) const EQ: HeapType = abstract_type(AbstractHeapType::Eq);
pub(super) const STRUCT: HeapType = abstract_type(AbstractHeapType::Struct);
pub(super) const ARRAY: HeapType = abstract_type(AbstractHeapType::Array);
pub(super) const EXN: HeapType = abstract_type(AbstractHeapType::Exn);

/// The types of a module, by index.
#[derive(Debug, Default)]
pub(super) struct Types {
    all: Vec<SubType>,
    /// How many objects there are in the smallest value of each, and `None` if none is ever made:
    /// each would need another.
    least: Vec<Option<u32>>,
}

pub(super) const fn reference(nullable: bool, heap_type: HeapType) -> ValType {
    ValType::Ref(RefType { nullable, heap_type })
}

pub(super) const fn field(element_type: StorageType) -> FieldType {
    FieldType { element_type, mutable: true }
}

/// Returns a type that extends another, or none, and that others can extend.
pub(super) fn sub_type(extends: Option<u32>, inner: CompositeInnerType) -> SubType {
    let composite_type = CompositeType { inner, shared: false, descriptor: None, describes: None };
    SubType { is_final: false, supertype_idxs: extends.into_iter().collect(), composite_type }
}

impl Types {
    pub(super) fn new(all: Vec<SubType>) -> Self {
        let mut types = Self { least: vec![None; all.len()], all };
        // Each round knows more, until nothing is new.
        loop {
            let mut changed = false;
            for index in 0..types.all.len() {
                if types.least[index].is_none() {
                    types.least[index] = types.least_of(index as u32);
                    changed |= types.least[index].is_some();
                }
            }
            if !changed {
                return types;
            }
        }
    }

    /// Adds a type of functions, and returns its index.
    pub(super) fn push(&mut self, ty: SubType) -> u32 {
        self.all.push(ty);
        self.least.push(None);
        self.all.len() as u32 - 1
    }

    fn inner(&self, index: u32) -> &CompositeInnerType {
        &self.all[index as usize].composite_type.inner
    }

    pub(super) fn fields(&self, index: u32) -> Option<&[FieldType]> {
        match self.inner(index) {
            CompositeInnerType::Struct(ty) => Some(&ty.fields),
            _ => None,
        }
    }

    pub(super) fn element(&self, index: u32) -> Option<FieldType> {
        match self.inner(index) {
            CompositeInnerType::Array(ty) => Some(ty.0),
            _ => None,
        }
    }

    pub(super) fn func(&self, index: u32) -> Option<&FuncType> {
        match self.inner(index) {
            CompositeInnerType::Func(ty) => Some(ty),
            _ => None,
        }
    }

    fn least_of(&self, index: u32) -> Option<u32> {
        match self.inner(index) {
            CompositeInnerType::Struct(ty) => ty
                .fields
                .iter()
                .try_fold(1_u32, |sum, field| Some(sum.saturating_add(self.least_value(field.element_type.unpack())?))),
            CompositeInnerType::Array(_) => Some(1),
            _ => None,
        }
    }

    fn least_value(&self, ty: ValType) -> Option<u32> {
        match ty {
            ValType::Ref(RefType { nullable: false, heap_type }) => self.least_heap(heap_type),
            _ => Some(0),
        }
    }

    fn least_heap(&self, heap: HeapType) -> Option<u32> {
        use AbstractHeapType::{Any, Eq, Extern, I31};
        match heap {
            HeapType::Concrete(index) => self.least[index as usize],
            HeapType::Abstract { ty: I31 | Eq | Any | Extern, .. } => Some(0),
            HeapType::Abstract { ty: AbstractHeapType::Array, .. } => self.some(|this, ty| this.element(ty).is_some()),
            HeapType::Abstract { ty: AbstractHeapType::Struct, .. } => self.some(|this, ty| this.fields(ty).is_some()),
            _ => None,
        }
    }

    /// Returns the least that a type needs of which `is_wanted` is true.
    fn some(&self, is_wanted: impl Fn(&Self, u32) -> bool) -> Option<u32> {
        (0..self.all.len() as u32).filter(|ty| is_wanted(self, *ty)).filter_map(|ty| self.least[ty as usize]).min()
    }

    /// Returns whether a worker can make a value of a type that it may be short of: only few
    /// objects are needed.
    pub(super) fn can_make(&self, ty: ValType) -> bool {
        self.least_value(ty).is_some_and(|least| least <= 20)
    }

    /// Returns whether something of a concrete type can be made.
    pub(super) fn can_make_object(&self, index: u32) -> bool {
        self.can_make(reference(false, HeapType::Concrete(index)))
    }

    /// Leaves those of some types that need the fewest objects.
    pub(super) fn cheapest(&self, mut objects: Vec<u32>) -> Vec<u32> {
        let least = objects.iter().map(|index| self.least[*index as usize]).min().flatten();
        objects.retain(|index| self.least[*index as usize] == least);
        objects
    }

    /// Returns whether each value of one heap type is one of the other.
    pub(super) fn matches(&self, one: HeapType, other: HeapType) -> bool {
        use AbstractHeapType::{Any, Array, Eq, Exn, Extern, Func, I31, NoExn, NoExtern, NoFunc, None, Struct};
        let abstract_matches = |one: AbstractHeapType, other: AbstractHeapType| {
            one == other
                || matches!(
                    (one, other),
                    (None, Any | Eq | I31 | Struct | Array)
                        | (I31 | Struct | Array, Eq | Any)
                        | (Eq, Any)
                        | (NoFunc, Func)
                        | (NoExtern, Extern)
                        | (NoExn, Exn)
                )
        };
        match (one, other) {
            (HeapType::Concrete(one), HeapType::Concrete(other)) => self.extends(one, other),
            (HeapType::Concrete(one), HeapType::Abstract { ty, .. }) => abstract_matches(self.kind(one), ty),
            (HeapType::Abstract { ty: one, .. }, HeapType::Abstract { ty: other, .. }) => abstract_matches(one, other),
            _ => false,
        }
    }

    /// Returns the abstract type just above a concrete one.
    fn kind(&self, index: u32) -> AbstractHeapType {
        match self.inner(index) {
            CompositeInnerType::Struct(_) => AbstractHeapType::Struct,
            CompositeInnerType::Array(_) => AbstractHeapType::Array,
            _ => AbstractHeapType::Func,
        }
    }

    pub(super) fn extends(&self, mut one: u32, other: u32) -> bool {
        loop {
            if one == other {
                return true;
            }
            let Some(above) = self.all[one as usize].supertype_idxs.first() else { return false };
            one = *above;
        }
    }

    /// Returns whether a heap type is one of those that casts tell apart: `any` and all below.
    pub(super) fn is_internal(&self, heap: HeapType) -> bool {
        self.matches(heap, HeapType::ANY)
    }

    /// Returns the types of objects that match a heap type and can be made.
    pub(super) fn objects(&self, heap: HeapType) -> Vec<u32> {
        let matching = |index: &u32| self.matches(HeapType::Concrete(*index), heap) && self.can_make_object(*index);
        (0..self.all.len() as u32).filter(matching).collect()
    }

    /// Returns the fields and elements that are wanted, of objects that can be made: a type, and
    /// the field of a structure.
    pub(super) fn parts(&self, is_wanted: impl Fn(ValType) -> bool) -> Vec<(u32, Option<u32>)> {
        let mut parts = Vec::new();
        for index in self.objects(HeapType::ANY) {
            if let Some(element) = self.element(index)
                && is_wanted(element.element_type.unpack())
            {
                parts.push((index, None));
            }
            for (number, field) in (0..).zip(self.fields(index).into_iter().flatten()) {
                if is_wanted(field.element_type.unpack()) {
                    parts.push((index, Some(number)));
                }
            }
        }
        parts
    }

    /// Picks a heap type that an object can be stored as.
    pub(super) fn pick(&self, rng: &mut Rng) -> HeapType {
        let objects = self.objects(HeapType::ANY);
        match rng.below(8) {
            0 => HeapType::ANY,
            1 => EQ,
            2 => rng.pick(&[STRUCT, ARRAY, HeapType::I31]),
            3 => rng.pick(&[HeapType::EXTERN, EXN, HeapType::FUNC, HeapType::ANY]),
            _ => HeapType::Concrete(rng.pick(&objects)),
        }
    }

    /// Returns a type of structures with more fields than one that can be extended, if the module
    /// has one.
    pub(super) fn extended(all: &[SubType], rng: &mut Rng, more: &[FieldType]) -> Option<SubType> {
        let open: Vec<usize> = (0..all.len())
            .filter(|index| {
                !all[*index].is_final && matches!(all[*index].composite_type.inner, CompositeInnerType::Struct(_))
            })
            .collect();
        let index = (!open.is_empty()).then(|| rng.pick(&open))?;
        let CompositeInnerType::Struct(ty) = &all[index].composite_type.inner else { return None };
        let fields = ty.fields.iter().chain(more).copied().collect();
        Some(sub_type(Some(index as u32), CompositeInnerType::Struct(wasm_encoder::StructType { fields })))
    }
}
