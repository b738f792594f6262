//! Decides when two types are the same, and when one matches another (specification, sections 3.3.1
//! to 3.3.10).
//!
//! Types are equal if their recursive groups are, and they have the same place in them. Whoever
//! gives equal groups equal numbers ([`Group`]) has only numbers to compare afterwards. A module
//! does that for a moment, to find its equal types. The runtime does it for all modules of an
//! engine.

use super::composite::{ArrayType, CompositeType, FieldType, StorageType, StructType, TypeDef};
use super::externs::{ExternType, GlobalType, TableType, TagType};
use super::info::ModuleInfo;
use super::types::{FuncType, HeapType, RefType, ValType};
use std::cell::RefCell;
use std::collections::HashMap;
use std::iter::successors;
use std::ops::Range;

/// Something that names types by numbers, which can be exchanged for other numbers.
pub trait Renumber {
    /// Returns the same with `number(n)` for each number `n`.
    #[must_use]
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self;
}

impl Renumber for HeapType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match *self {
            Self::ConcreteFunc(n) => Self::ConcreteFunc(number(n)),
            Self::ConcreteStruct(n) => Self::ConcreteStruct(number(n)),
            Self::ConcreteArray(n) => Self::ConcreteArray(number(n)),
            other => other,
        }
    }
}

impl Renumber for RefType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self { heap: self.heap.renumber(number), ..*self }
    }
}

impl Renumber for ValType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match self {
            Self::Ref(ty) => Self::Ref(ty.renumber(number)),
            other => *other,
        }
    }
}

impl Renumber for FuncType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        let all = |types: &[ValType]| types.iter().map(|ty| ty.renumber(number)).collect::<Vec<_>>();
        Self::new(all(self.params()), all(self.results()))
    }
}

impl Renumber for FieldType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        let element = match self.element {
            StorageType::ValType(ty) => StorageType::ValType(ty.renumber(number)),
            packed @ (StorageType::I8 | StorageType::I16) => packed,
        };
        Self { element, ..*self }
    }
}

impl Renumber for StructType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self::new(self.fields().iter().map(|field| field.renumber(number)))
    }
}

impl Renumber for ArrayType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self::new(self.field_type().renumber(number))
    }
}

impl Renumber for CompositeType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match self {
            Self::Func(ty) => Self::Func(ty.renumber(number)),
            Self::Struct(ty) => Self::Struct(ty.renumber(number)),
            Self::Array(ty) => Self::Array(ty.renumber(number)),
        }
    }
}

impl Renumber for TypeDef {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self { composite: self.composite.renumber(number), supertype: self.supertype.map(number), ..*self }
    }
}

impl Renumber for TableType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self { element: self.element.renumber(number), ..*self }
    }
}

impl Renumber for GlobalType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self { content: self.content.renumber(number), ..*self }
    }
}

impl Renumber for TagType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self::new(self.ty().renumber(number))
    }
}

impl Renumber for ExternType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match self {
            Self::Func(ty) => Self::Func(ty.renumber(number)),
            Self::Table(ty) => Self::Table(ty.renumber(number)),
            Self::Memory(ty) => Self::Memory(*ty),
            Self::Global(ty) => Self::Global(ty.renumber(number)),
            Self::Tag(ty) => Self::Tag(ty.renumber(number)),
        }
    }
}

/// Marks a number as a place in the group itself. Numbers for types stay below.
const WITHIN: u32 = 1 << 31;

/// How many numbers for types there can be. An engine reserves 32 bytes of addresses for each, 4
/// GiB in all. The descriptions of half as many types would take more than 10 GiB.
pub const NUMBERS: u32 = 1 << 27;

/// A recursive group of types, in the form in which equal groups are equal: types of the same group
/// go by their place in it, and all others by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Box<[TypeDef]>);

impl From<TypeDef> for Group {
    /// Makes the group of a type that is alone in it.
    fn from(ty: TypeDef) -> Self {
        Self(Box::new([ty]))
    }
}

impl Group {
    /// Makes the group of a module's types in a range of type indices. `numbers` are those of all
    /// types before it.
    pub fn of_module(info: &ModuleInfo, range: Range<u32>, numbers: &[u32]) -> Self {
        let number = |index: u32| match index.checked_sub(range.start) {
            Some(place) => WITHIN | place,
            None => numbers[index as usize],
        };
        Self(info.types[range.start as usize..range.end as usize].iter().map(|ty| ty.renumber(&number)).collect())
    }

    /// Returns how many types it has.
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Returns whether it has no types.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the numbers of other groups' types that it names, once for each time.
    pub fn names(&self) -> Vec<u32> {
        self.0.iter().flat_map(numbers_in).filter(|number| *number < WITHIN).collect()
    }

    /// Returns its types with numbers for their own group as well, given that of the first. The
    /// others follow.
    pub fn numbered(&self, first: u32) -> impl Iterator<Item = TypeDef> {
        let number = move |n: u32| if n < WITHIN { n } else { first + (n - WITHIN) };
        self.0.iter().zip(first..).map(move |(ty, own)| {
            let mut numbered = ty.renumber(&number);
            let says_everything = *self.0 == [numbered.composite.clone().into()];
            numbered.composite.set_number((!says_everything).then_some(own));
            numbered
        })
    }
}

/// Returns the numbers that something names, once for each time.
pub fn numbers_in(it: &impl Renumber) -> Vec<u32> {
    let numbers = RefCell::new(Vec::new());
    let _ = it.renumber(&|number| {
        numbers.borrow_mut().push(number);
        number
    });
    numbers.into_inner()
}

impl FuncType {
    /// Returns the number of the type, if its parameters and results do not say everything about
    /// it.
    pub fn number(&self) -> Option<u32> {
        self.number
    }
}

/// Types by number, of which equal ones have equal numbers: what they say about each other.
pub trait NumberedTypes {
    /// Returns the type with a number, if there is one.
    fn get(&self, number: u32) -> Option<&TypeDef>;

    /// Returns the name by which people know the type with a number, if it has one.
    fn name(&self, _number: u32) -> Option<&str> {
        None
    }

    /// Returns whether the type `sub` is `of`, or extends it by any number of steps.
    fn is_subtype(&self, sub: u32, of: u32) -> bool {
        successors(Some(sub), |number| self.get(*number)?.supertype).any(|number| number == of)
    }

    /// Returns whether references to `sub` can be used where references to `of` are expected.
    fn heap_matches(&self, sub: HeapType, of: HeapType) -> bool {
        match (sub, of) {
            (HeapType::ConcreteFunc(sub), HeapType::ConcreteFunc(of))
            | (HeapType::ConcreteStruct(sub), HeapType::ConcreteStruct(of))
            | (HeapType::ConcreteArray(sub), HeapType::ConcreteArray(of)) => self.is_subtype(sub, of),
            // Of all others, the types themselves say it.
            _ => sub.matches(&of),
        }
    }

    /// Does the same for reference types.
    fn ref_matches(&self, sub: RefType, of: RefType) -> bool {
        (of.nullable || !sub.nullable) && self.heap_matches(sub.heap, of.heap)
    }

    /// Does the same for value types.
    fn val_matches(&self, sub: ValType, of: ValType) -> bool {
        match (sub, of) {
            (ValType::Ref(sub), ValType::Ref(of)) => self.ref_matches(sub, of),
            _ => sub == of,
        }
    }

    /// Does the same for what fields and elements hold.
    fn storage_matches(&self, sub: StorageType, of: StorageType) -> bool {
        match (sub, of) {
            (StorageType::ValType(sub), StorageType::ValType(of)) => self.val_matches(sub, of),
            _ => sub == of,
        }
    }

    /// Returns whether a field of the type `sub` can be used where one of the type `of` is
    /// expected. What can change has to hold the same.
    fn field_matches(&self, sub: FieldType, of: FieldType) -> bool {
        sub.matches_by(&of, |sub, of| self.storage_matches(sub, of))
    }

    /// Returns whether a type that consists of `sub` can extend one that consists of `of`
    /// (specification, section 3.3.11).
    fn composite_matches(&self, sub: &CompositeType, of: &CompositeType) -> bool {
        match (sub, of) {
            (CompositeType::Func(sub), CompositeType::Func(of)) => self.signature_matches(sub, of),
            (CompositeType::Struct(sub), CompositeType::Struct(of)) => {
                let mut both = sub.fields().iter().zip(of.fields());
                sub.fields().len() >= of.fields().len() && both.all(|(sub, of)| self.field_matches(*sub, *of))
            }
            (CompositeType::Array(sub), CompositeType::Array(of)) => {
                self.field_matches(sub.field_type(), of.field_type())
            }
            (CompositeType::Func(_) | CompositeType::Struct(_) | CompositeType::Array(_), _) => false,
        }
    }

    /// Returns whether functions that take and return what `sub` says can be used where those of
    /// `of` are expected, as far as parameters and results go.
    fn signature_matches(&self, sub: &FuncType, of: &FuncType) -> bool {
        let all = |sub: &[ValType], of: &[ValType]| {
            sub.len() == of.len() && sub.iter().zip(of).all(|(sub, of)| self.val_matches(*sub, *of))
        };
        all(of.params(), sub.params()) && all(sub.results(), of.results())
    }
}

impl ModuleInfo {
    /// Returns whether the type with the index `sub` is the one with the index `of`, or extends it
    /// by any number of steps.
    pub(crate) fn extends(&self, sub: u32, of: u32) -> bool {
        let canonical = |index: u32| self.canonical_types[index as usize];
        successors(Some(sub), |index| self.types[*index as usize].supertype).any(|it| canonical(it) == canonical(of))
    }

    /// Returns how many types a type extends, by any number of steps.
    pub(crate) fn supertypes(&self, ty: u32) -> u32 {
        successors(Some(ty), |index| self.types[*index as usize].supertype).count() as u32 - 1
    }

    /// Fills in `canonical_types`.
    pub(crate) fn find_equal_types(&mut self) {
        let mut groups: HashMap<Group, u32> = HashMap::new();
        let mut numbers: Vec<u32> = Vec::with_capacity(self.types.len());
        for range in self.groups() {
            // A group that is new is known by its own indices.
            let group = Group::of_module(self, range.clone(), &numbers);
            let (first, len) = (*groups.entry(group).or_insert(range.start), range.end - range.start);
            numbers.extend(first..first + len);
        }
        self.canonical_types = numbers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function from a reference of the type with this number to nothing.
    fn takes(number: u32) -> FuncType {
        FuncType::new([ValType::Ref(RefType { nullable: true, heap: HeapType::ConcreteFunc(number) })], [])
    }

    fn func(ty: &TypeDef) -> FuncType {
        ty.composite.as_func().expect("a function type").clone()
    }

    /// The canonical indices of types in groups of these lengths.
    fn canonical(rec_groups: &[u32], types: impl IntoIterator<Item = TypeDef>) -> Vec<u32> {
        let mut info = ModuleInfo { types: types.into_iter().collect(), ..ModuleInfo::default() };
        info.rec_groups = rec_groups.to_vec();
        info.find_equal_types();
        info.canonical_types
    }

    #[test]
    fn equal_groups_have_equal_numbers_wherever_they_are() {
        let plain = TypeDef::from(FuncType::new([], []));
        let pair = |at: u32| [takes(at + 1), takes(at)].map(TypeDef::from);
        let types = [pair(0).to_vec(), vec![plain], pair(3).to_vec()].concat();
        assert_eq!(canonical(&[2, 1, 2], types), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn types_that_are_alike_are_not_the_same_in_groups_of_another_size() {
        let types = vec![TypeDef::from(FuncType::new([], [])); 4];
        assert_eq!(canonical(&[1, 2, 1], types), [0, 1, 2, 0]);
    }

    #[test]
    fn types_that_name_equal_types_are_equal() {
        let plain = FuncType::new([], []);
        let types = [plain.clone(), plain, takes(0), takes(1), takes(2), takes(3)];
        assert_eq!(canonical(&[1; 6], types.map(TypeDef::from)), [0, 0, 2, 2, 4, 4]);
    }

    #[test]
    fn a_group_gets_numbers_for_itself_and_keeps_those_of_others() {
        let types = [FuncType::new([], []), takes(2), takes(0)].map(TypeDef::from);
        let info = ModuleInfo { types: types.to_vec(), rec_groups: vec![1, 2], ..ModuleInfo::default() };
        let group = Group::of_module(&info, 1..3, &[70]);
        assert_eq!((group.len(), group.names()), (2, vec![70]));
        let numbered: Vec<_> = group.numbered(90).map(|ty| func(&ty)).collect();
        let params = numbered.iter().map(FuncType::params).collect::<Vec<_>>();
        assert_eq!(params, [takes(91).params(), takes(70).params()]);
        assert_eq!(numbered.iter().map(FuncType::number).collect::<Vec<_>>(), [Some(90), Some(91)]);
        let alone = Group::from(TypeDef::from(FuncType::new([], [])));
        assert_eq!(alone.numbered(5).next().expect("one").composite.number(), None, "it says everything");
    }

    #[test]
    fn a_type_that_names_itself_prints_its_number() {
        let info = ModuleInfo { types: vec![takes(0).into()], rec_groups: vec![1], ..ModuleInfo::default() };
        let named = Group::of_module(&info, 0..1, &[]).numbered(7).next().expect("one").composite;
        assert_eq!(named.to_string(), "(func (type 7) (param (ref null 7)))");
    }

    #[test]
    fn a_subtype_stands_in_for_all_that_it_extends() {
        struct List(Vec<TypeDef>);
        impl NumberedTypes for List {
            fn get(&self, number: u32) -> Option<&TypeDef> {
                self.0.get(number as usize)
            }
        }
        let open = |supertype| TypeDef { composite: FuncType::new([], []).into(), supertype, is_final: false };
        let types = List(vec![open(None), open(Some(0)), open(Some(1))]);
        let (a, b, c) = (0, 1, 2);
        assert!(types.is_subtype(c, a) && types.is_subtype(b, b));
        assert!(!types.is_subtype(a, c));
        let to = |nullable, heap| RefType { nullable, heap };
        let matches = |sub, of| types.ref_matches(sub, of);
        assert!(matches(to(false, HeapType::ConcreteFunc(c)), to(true, HeapType::ConcreteFunc(a))));
        assert!(!matches(to(true, HeapType::ConcreteFunc(c)), to(false, HeapType::ConcreteFunc(a))));
        assert!(matches(to(true, HeapType::NoFunc), to(true, HeapType::ConcreteFunc(a))));
        assert!(matches(to(true, HeapType::ConcreteFunc(a)), RefType::FUNCREF));
        assert!(!matches(to(true, HeapType::NoExtern), RefType::FUNCREF));
        assert!(!matches(RefType::FUNCREF, to(true, HeapType::ConcreteFunc(a))));
    }
}
