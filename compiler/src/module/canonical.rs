//! When two types are the same, and when one may stand where another is asked for (specification, sections 3.3.1 to 3.3.10).
//!
//! Types are equal if their recursive groups are, and they have the same place in them. A [`TypeTable`] gives equal types
//! equal numbers, so that afterwards a comparison of numbers is all there is to it. A module has such a table for a
//! moment, to find equal types; an engine has one for all its modules.

use super::externs::{ExternType, GlobalType, TableType};
use super::info::ModuleInfo;
use super::types::{FuncType, HeapType, RefType, TypeDef, ValType};
use std::collections::HashMap;
use std::iter::successors;

/// Something that names types by numbers, which can be exchanged for other numbers.
pub trait Renumber {
    /// The same with `number(n)` for each number `n`.
    #[must_use]
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self;
}

impl Renumber for HeapType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match *self {
            Self::ConcreteFunc(n) => Self::ConcreteFunc(number(n)),
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

impl Renumber for TypeDef {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        Self { func: self.func.renumber(number), supertype: self.supertype.map(number), ..*self }
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

impl Renumber for ExternType {
    fn renumber(&self, number: &dyn Fn(u32) -> u32) -> Self {
        match self {
            Self::Func(ty) => Self::Func(ty.renumber(number)),
            Self::Table(ty) => Self::Table(ty.renumber(number)),
            Self::Memory(ty) => Self::Memory(*ty),
            Self::Global(ty) => Self::Global(ty.renumber(number)),
        }
    }
}

/// Marks a number as a place in the group that is being looked up. Numbers of the table stay below.
const WITHIN: u32 = 1 << 31;

/// Types by number: equal types have equal numbers. In what it says of a type, other types go by their numbers too.
#[derive(Clone, Debug, Default)]
pub struct TypeTable {
    /// The number of a group's first type, by what the group consists of; the others follow. Types of the same group
    /// go by their place in it, so that the same group is found again wherever a module has it.
    groups: HashMap<Box<[TypeDef]>, u32>,
    types: Vec<TypeDef>,
}

impl TypeTable {
    /// The numbers of a module's types, by type index.
    pub fn number_module(&mut self, info: &ModuleInfo) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(info.types.len());
        for group in info.groups() {
            let number = |index: u32| match index.checked_sub(group.start) {
                Some(place) => WITHIN | place,
                None => numbers[index as usize],
            };
            let types = &info.types[group.start as usize..group.end as usize];
            let first = self.number_group(types.iter().map(|ty| ty.renumber(&number)).collect());
            numbers.extend(first..first + types.len() as u32);
        }
        numbers
    }

    /// The number of a function type.
    ///
    /// # Panics
    /// When the type got its number from another table.
    pub fn number(&mut self, ty: &FuncType) -> u32 {
        let Some(number) = ty.number else { return self.number_alone(ty.clone().into()) };
        assert!(self.get(number).is_some_and(|def| def.func == *ty), "the function type `{ty}` is of another engine");
        number
    }

    /// The number of a type that is a group by itself.
    pub fn number_alone(&mut self, ty: TypeDef) -> u32 {
        self.number_group(Box::new([ty]))
    }

    fn number_group(&mut self, group: Box<[TypeDef]>) -> u32 {
        if let Some(first) = self.groups.get(&group) {
            return *first;
        }
        let first = self.types.len() as u32;
        assert!(self.types.len() + group.len() < WITHIN as usize, "numbers for types have run out");
        let number = |n: u32| if n < WITHIN { n } else { first + (n - WITHIN) };
        for (ty, own) in group.iter().zip(first..) {
            let mut numbered = ty.renumber(&number);
            let says_everything = *group == [numbered.func.clone().into()];
            numbered.func.number = (!says_everything).then_some(own);
            self.types.push(numbered);
        }
        self.groups.insert(group, first);
        first
    }

    /// The type with a number.
    pub fn get(&self, number: u32) -> Option<&TypeDef> {
        self.types.get(number as usize)
    }

    /// Whether the type `sub` is `of`, or extends it by any number of steps.
    pub fn is_subtype(&self, sub: u32, of: u32) -> bool {
        successors(Some(sub), |number| self.get(*number)?.supertype).any(|number| number == of)
    }

    /// Whether whatever `sub` is of may stand where `of` is asked for.
    pub fn heap_matches(&self, sub: HeapType, of: HeapType) -> bool {
        match (sub, of) {
            (HeapType::ConcreteFunc(sub), HeapType::ConcreteFunc(of)) => self.is_subtype(sub, of),
            // The bottom types: each is below everything of its kind.
            (HeapType::NoFunc | HeapType::NoExtern, of) => sub.kind() == of.kind(),
            (HeapType::ConcreteFunc(_), HeapType::Func) => true,
            (HeapType::Func | HeapType::Extern | HeapType::ConcreteFunc(_), _) => sub == of,
        }
    }

    /// The same for reference types.
    pub fn ref_matches(&self, sub: RefType, of: RefType) -> bool {
        (of.nullable || !sub.nullable) && self.heap_matches(sub.heap, of.heap)
    }

    /// The same for value types.
    pub fn val_matches(&self, sub: ValType, of: ValType) -> bool {
        match (sub, of) {
            (ValType::Ref(sub), ValType::Ref(of)) => self.ref_matches(sub, of),
            _ => sub == of,
        }
    }

    /// Whether a function that takes and returns what `sub` says may stand where `of` is asked for, as far as that goes.
    pub fn signature_matches(&self, sub: &FuncType, of: &FuncType) -> bool {
        let all = |sub: &[ValType], of: &[ValType]| {
            sub.len() == of.len() && sub.iter().zip(of).all(|(sub, of)| self.val_matches(*sub, *of))
        };
        all(of.params(), sub.params()) && all(sub.results(), of.results())
    }
}

impl ModuleInfo {
    /// Whether the type with the index `sub` is the one with the index `of`, or extends it by any number of steps.
    pub(crate) fn extends(&self, sub: u32, of: u32) -> bool {
        let canonical = |index: u32| self.canonical_types[index as usize];
        successors(Some(sub), |index| self.types[*index as usize].supertype).any(|it| canonical(it) == canonical(of))
    }

    /// Fills in `canonical_types`.
    pub(crate) fn find_equal_types(&mut self) {
        let mut first: HashMap<u32, u32> = HashMap::new();
        let numbers = TypeTable::default().number_module(self).into_iter().zip(0..);
        self.canonical_types = numbers.map(|(number, index)| *first.entry(number).or_insert(index)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function from a reference of the type with this number to nothing.
    fn takes(number: u32) -> FuncType {
        FuncType::new([ValType::Ref(RefType { nullable: true, heap: HeapType::ConcreteFunc(number) })], [])
    }

    fn module(rec_groups: &[u32], types: impl IntoIterator<Item = TypeDef>) -> ModuleInfo {
        let mut info = ModuleInfo { types: types.into_iter().collect(), ..ModuleInfo::default() };
        info.rec_groups = rec_groups.to_vec();
        info
    }

    #[test]
    fn equal_groups_have_equal_numbers_wherever_they_are() {
        let plain = TypeDef::from(FuncType::new([], []));
        let (pair, moved) = ([takes(1), takes(0)], [takes(2), takes(1)]);
        let mut table = TypeTable::default();
        let first = table.number_module(&module(&[2], pair.map(TypeDef::from)));
        let types = std::iter::once(plain).chain(moved.map(TypeDef::from));
        let second = table.number_module(&module(&[1, 2], types));
        assert_eq!(first, second[1..]);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn types_that_are_alike_are_not_the_same_in_groups_of_another_size() {
        let types = || vec![TypeDef::from(FuncType::new([], [])); 2];
        let mut table = TypeTable::default();
        let alone = table.number_module(&module(&[1, 1], types()));
        let together = table.number_module(&module(&[2], types()));
        assert_eq!(alone[0], alone[1]);
        assert!(together[0] != together[1] && !together.contains(&alone[0]));
        assert_eq!(table.number(&FuncType::new([], [])), alone[0]);
    }

    #[test]
    fn a_type_that_names_itself_is_named_by_number_afterwards() {
        let mut table = TypeTable::default();
        table.number(&FuncType::new([ValType::I32], []));
        let own = table.number_module(&module(&[1], [takes(0).into()]))[0];
        let named = &table.get(own).expect("the type").func;
        assert_eq!(named.params(), takes(own).params());
        assert_eq!(named.to_string(), format!("(func (type {own}) (param (ref null {own})))"));
    }

    #[test]
    fn a_type_of_which_parameters_and_results_do_not_say_everything_is_equal_to_itself_only() {
        let plain = FuncType::new([ValType::I32], []);
        let open = TypeDef { func: plain.clone(), supertype: None, is_final: false };
        let extends = TypeDef { func: plain.clone(), supertype: Some(1), is_final: true };
        let together = vec![TypeDef::from(plain.clone()); 2];
        let mut table = TypeTable::default();
        let module = module(&[1, 1, 1, 2], [vec![plain.clone().into(), open, extends], together].concat());
        let numbers = table.number_module(&module);
        let types: Vec<_> = numbers.iter().map(|number| table.get(*number).expect("a type").func.clone()).collect();
        assert_eq!(types[0], plain);
        for (a, ty) in types.iter().enumerate() {
            assert_eq!(table.number(ty), numbers[a], "it is found again");
            assert!(types.iter().enumerate().all(|(b, other)| (a == b) == (ty == other)), "{ty}");
        }
    }

    #[test]
    fn a_subtype_stands_in_for_all_that_it_extends() {
        let open = |supertype| TypeDef { func: FuncType::new([], []), supertype, is_final: false };
        let mut table = TypeTable::default();
        let [a, b, c] = table.number_module(&module(&[1, 1, 1], [open(None), open(Some(0)), open(Some(1))]))[..] else {
            panic!("three types")
        };
        assert!(table.is_subtype(c, a) && table.is_subtype(b, b));
        assert!(!table.is_subtype(a, c));
        let to = |nullable, heap| RefType { nullable, heap };
        let matches = |sub, of| table.ref_matches(sub, of);
        assert!(matches(to(false, HeapType::ConcreteFunc(c)), to(true, HeapType::ConcreteFunc(a))));
        assert!(!matches(to(true, HeapType::ConcreteFunc(c)), to(false, HeapType::ConcreteFunc(a))));
        assert!(matches(to(true, HeapType::NoFunc), to(true, HeapType::ConcreteFunc(a))));
        assert!(matches(to(true, HeapType::ConcreteFunc(a)), RefType::FUNCREF));
        assert!(!matches(to(true, HeapType::NoExtern), RefType::FUNCREF));
        assert!(!matches(RefType::FUNCREF, to(true, HeapType::ConcreteFunc(a))));
    }
}
