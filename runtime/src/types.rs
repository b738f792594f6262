//! Numbers the types that modules define: equal types have equal numbers in all modules of an
//! engine.
//!
//! References to types are counted. Modules and host functions hold them ([`RegisteredTypes`]), and
//! so do types that name other types. The types that were the last to lose their last reference
//! stay known for a while, because the same types are likely to come back; then they go, and their
//! exit trampolines with them.
//!
//! Running guests ask about subtypes. They never wait for more than one recursive group: a module's
//! types are numbered group by group, and each takes the lock for itself.

use crate::code::{LoadedCode, SupertypeTable};
use crate::sys::fork::Guard;
use anyhow::{Result, ensure};
use minirt_compiler::module::canonical::{Group, NUMBERS, NumberedTypes};
use minirt_compiler::module::{CompositeType, FuncType, ModuleInfo, TypeDef};
use rustc_hash::FxHashMap;
use std::collections::{HashMap, VecDeque};
use std::iter::successors;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many groups of types stay known although nothing refers to them.
const MAX_UNUSED: usize = 256;

/// How many references are given back while the lock is held once.
const CHUNK: usize = 1024;

/// The types of an engine.
#[derive(Default)]
pub(crate) struct TypeRegistry(RwLock<TypeTable>);

#[derive(Default)]
struct TypeTable {
    groups: HashMap<Arc<Group>, Arc<Registered>>,
    types: FxHashMap<u32, Entry>,
    /// The number that is tried next. After the last one, numbers start again: a number that is
    /// free was free for long.
    next: u32,
    /// Where compiled code finds supertypes, if any asks for them.
    supertypes: Option<SupertypeTable>,
    /// The numbers of types for whose supertypes there was no memory.
    missing: Vec<u32>,
    /// Groups that nothing referred to at some time, the longest ago first.
    unused: VecDeque<Arc<Registered>>,
}

/// One type.
struct Entry {
    def: TypeDef,
    group: Arc<Registered>,
    /// Calls host functions of the type that are reached through references alone. Compiled when it
    /// is first needed.
    exit_trampoline: OnceLock<Arc<LoadedCode>>,
}

/// A group that has numbers.
struct Registered {
    group: Arc<Group>,
    /// The number of its first type. The others follow.
    first: u32,
    /// References to its types. They are added while the table is locked, if only for reading.
    references: AtomicUsize,
    /// Whether it is in `TypeTable::unused`.
    is_queued: AtomicBool,
}

/// References to types, which keep their numbers.
pub(crate) struct RegisteredTypes {
    registry: Arc<TypeRegistry>,
    numbers: Vec<u32>,
}

/// The types of a registry, to be looked at. As long as this lives, no type gets a number.
pub(crate) struct Types<'a>(RwLockReadGuard<'a, TypeTable>);

impl TypeRegistry {
    /// Makes a registry whose types compiled code can cast to.
    ///
    /// # Errors
    /// Returns an error if there is no address space for the table that code looks in.
    pub(crate) fn with_supertypes() -> Result<Self> {
        let table = TypeTable { supertypes: Some(SupertypeTable::new()?), ..TypeTable::default() };
        Ok(Self(RwLock::new(table)))
    }

    /// Checks that compiled code finds all supertypes. If there was no memory for some, it tries
    /// again.
    ///
    /// # Errors
    /// Returns an error if there still is no memory for some of them.
    pub(crate) fn check_supertypes(&self) -> Result<()> {
        if self.read().0.missing.is_empty() {
            return Ok(());
        }
        let mut table = self.write();
        let missing = std::mem::take(&mut table.missing);
        missing.into_iter().for_each(|number| table.note_supertypes(number));
        ensure!(table.missing.is_empty(), "there was no memory for the table of types");
        Ok(())
    }

    /// Returns where compiled code finds supertypes, and 0 if it never asks. That never changes.
    pub(crate) fn supertypes(&self) -> usize {
        self.read().0.supertypes.as_ref().map_or(0, SupertypeTable::address)
    }

    pub(crate) fn read(&self) -> Types<'_> {
        Types(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, TypeTable> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks all that it changes.
    pub(crate) fn lock(&self) -> Box<dyn Guard + '_> {
        Box::new(self.write())
    }

    /// Registers the types of a module. The numbers are in the order of type indices.
    pub(crate) fn register_module(self: &Arc<Self>, info: &ModuleInfo) -> RegisteredTypes {
        let mut types = RegisteredTypes { registry: Arc::clone(self), numbers: Vec::with_capacity(info.types.len()) };
        for range in info.groups() {
            let group = Group::of_module(info, range, &types.numbers);
            let len = group.len();
            let first = self.register(group, len as usize);
            types.numbers.extend(first..first + len);
        }
        types
    }

    /// Registers one type, of functions or whatever else.
    ///
    /// # Panics
    /// Panics if the type is another registry's, or nothing has referred to it for long.
    pub(crate) fn register_one(self: &Arc<Self>, ty: impl Into<CompositeType>) -> RegisteredTypes {
        let ty = ty.into();
        let Some(number) = ty.number() else { return self.register_alone(ty.into()) };
        let known = |types: &Types<'_>| types.get(number).is_some_and(|def| def.composite == ty);
        self.hold_if(&[number], known).unwrap_or_else(|| panic!("the type `{ty}` is of another engine"))
    }

    /// Registers a function type.
    ///
    /// # Panics
    /// Panics as [`Self::register_one`].
    pub(crate) fn register_func(self: &Arc<Self>, ty: &FuncType) -> RegisteredTypes {
        self.register_one(ty.clone())
    }

    /// Registers a type that is alone in its group.
    ///
    /// # Panics
    /// Panics if it names a type that is not known.
    pub(crate) fn register_alone(self: &Arc<Self>, ty: TypeDef) -> RegisteredTypes {
        let number = self.register(ty.into(), 1);
        RegisteredTypes { registry: Arc::clone(self), numbers: vec![number] }
    }

    /// Adds references to types that are known already. `None` if one of them is not.
    pub(crate) fn hold(self: &Arc<Self>, numbers: &[u32]) -> Option<RegisteredTypes> {
        self.hold_if(numbers, |_| true)
    }

    fn hold_if(self: &Arc<Self>, numbers: &[u32], condition: impl Fn(&Types<'_>) -> bool) -> Option<RegisteredTypes> {
        let types = self.read();
        let entries: Option<Vec<&Entry>> = numbers.iter().map(|number| types.0.types.get(number)).collect();
        let entries = entries.filter(|_| condition(&types))?;
        entries.iter().for_each(|entry| entry.group.add(1));
        Some(RegisteredTypes { registry: Arc::clone(self), numbers: numbers.to_vec() })
    }

    /// Adds references to a group, which gets numbers if it is new. Returns the first one.
    fn register(&self, group: Group, references: usize) -> u32 {
        if let Some(known) = self.read().0.groups.get(&group) {
            known.add(references);
            return known.first;
        }
        let unknown = match self.write().insert(group, references) {
            Ok(first) => return first,
            Err(unknown) => unknown,
        };
        panic!("the type {unknown} is not one of this engine")
    }

    fn release(&self, numbers: &[u32]) {
        for chunk in numbers.chunks(CHUNK) {
            let mut unused = Vec::new();
            let types = self.read();
            for number in chunk {
                let group = &types.0.types[number].group;
                if group.remove() {
                    unused.push(Arc::clone(group));
                }
            }
            drop(types);
            if !unused.is_empty() {
                let gone = self.write().queue(unused);
                drop(gone); // Without the lock: code is unmapped.
            }
        }
    }

    /// Returns an exit trampoline for a type, which the caller must hold a reference to.
    ///
    /// # Errors
    /// Returns the error of `compile`, which is called if there is none yet.
    pub(crate) fn exit_trampoline(
        &self,
        number: u32,
        compile: impl FnOnce(&FuncType) -> Result<Arc<LoadedCode>>,
    ) -> Result<Arc<LoadedCode>> {
        let ty = {
            let types = self.read();
            let entry = &types.0.types[&number];
            if let Some(code) = entry.exit_trampoline.get() {
                return Ok(Arc::clone(code));
            }
            entry.def.composite.as_func().expect("functions have the type").clone()
        };
        let code = compile(&ty)?;
        // If another thread was faster, that thread's is used.
        Ok(Arc::clone(self.read().0.types[&number].exit_trampoline.get_or_init(|| code)))
    }
}

impl TypeTable {
    /// Adds references to a group, which gets numbers if it is new.
    ///
    /// # Errors
    /// Returns a number that the group names and that is nobody's.
    fn insert(&mut self, group: Group, references: usize) -> Result<u32, u32> {
        if let Some(known) = self.groups.get(&group) {
            known.add(references);
            return Ok(known.first);
        }
        let names = group.names();
        if let Some(unknown) = names.iter().find(|number| !self.types.contains_key(number)) {
            return Err(*unknown);
        }
        names.iter().for_each(|number| self.types[number].group.add(1));
        let first = self.free_numbers(group.len());
        let group = Arc::new(group);
        let registered = Arc::new(Registered {
            group: Arc::clone(&group),
            first,
            references: AtomicUsize::new(references),
            is_queued: AtomicBool::new(false),
        });
        for (number, def) in (first..).zip(group.numbered(first)) {
            let entry = Entry { def, group: Arc::clone(&registered), exit_trampoline: OnceLock::new() };
            self.types.insert(number, entry);
        }
        (first..first + group.len()).for_each(|number| self.note_supertypes(number));
        self.groups.insert(group, registered);
        Ok(first)
    }

    /// Writes the supertypes of a type to where compiled code finds them.
    fn note_supertypes(&mut self, number: u32) {
        let Some(table) = &mut self.supertypes else { return };
        let types = &self.types;
        let up = successors(Some(number), |number| types.get(number).and_then(|entry| entry.def.supertype));
        let all: Vec<u32> = up.collect();
        if table.set(number, all.into_iter().rev()).is_err() {
            self.missing.push(number);
        }
    }

    /// Returns the first of so many numbers in a row that are free.
    fn free_numbers(&mut self, len: u32) -> u32 {
        assert!(self.types.len() < NUMBERS as usize / 2, "numbers for types have run out");
        loop {
            if NUMBERS - self.next < len {
                self.next = 0;
            }
            let first = self.next;
            match (first..first + len).rev().find(|number| self.types.contains_key(number)) {
                Some(taken) => self.next = taken + 1,
                None => {
                    self.next = first + len;
                    return first;
                }
            }
        }
    }

    /// Notes groups that nothing refers to, and forgets those that have been noted the longest.
    /// Returns what is left of their types.
    fn queue(&mut self, unused: Vec<Arc<Registered>>) -> Vec<Entry> {
        self.unused.extend(unused);
        let mut gone = Vec::new();
        while self.unused.len() > MAX_UNUSED {
            let Some(oldest) = self.unused.pop_front() else { break };
            // In one order with `Registered::remove`: either this sees that the last reference is
            // gone, or that sees that the group has to be queued again.
            oldest.is_queued.store(false, SeqCst);
            if oldest.references.load(SeqCst) > 0 {
                continue; // It has come back meanwhile.
            }
            self.groups.remove(&oldest.group);
            let numbers = oldest.first..oldest.first + oldest.group.len();
            gone.extend(numbers.filter_map(|number| self.types.remove(&number)));
            for number in oldest.group.names() {
                let named = &self.types[&number].group;
                if named.remove() {
                    self.unused.push_back(Arc::clone(named));
                }
            }
        }
        gone
    }
}

impl Registered {
    /// Adds references. The table must be locked.
    fn add(&self, references: usize) {
        self.references.fetch_add(references, Relaxed);
    }

    /// Gives a reference back. Returns whether the group has to be queued because that was the last
    /// one.
    fn remove(&self) -> bool {
        self.references.fetch_sub(1, SeqCst) == 1 && !self.is_queued.swap(true, SeqCst)
    }
}

impl NumberedTypes for Types<'_> {
    fn get(&self, number: u32) -> Option<&TypeDef> {
        self.0.types.get(&number).map(|entry| &entry.def)
    }
}

impl RegisteredTypes {
    /// Returns whether they are the types of a registry.
    pub(crate) fn is_of(&self, registry: &Arc<TypeRegistry>) -> bool {
        Arc::ptr_eq(&self.registry, registry)
    }

    /// Keeps the types known as long as the registry.
    pub(crate) fn keep_forever(mut self) {
        self.numbers.clear();
    }
}

/// The numbers.
impl Deref for RegisteredTypes {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.numbers
    }
}

impl Drop for RegisteredTypes {
    fn drop(&mut self) {
        self.registry.release(&self.numbers);
    }
}

impl std::fmt::Debug for RegisteredTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RegisteredTypes").field(&self.numbers).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minirt_compiler::module::{HeapType, RefType, ValType};

    fn registry() -> Arc<TypeRegistry> {
        Arc::default()
    }

    fn func(ty: &TypeDef) -> FuncType {
        ty.composite.as_func().expect("a function type").clone()
    }

    /// Returns a type that no other number gives.
    fn distinct(n: u32) -> FuncType {
        let bit = |i: u32| if n >> i & 1 == 0 { ValType::I32 } else { ValType::I64 };
        FuncType::new((0..20).map(bit), [])
    }

    /// Returns the type of functions from a reference of the type with this number to nothing.
    fn takes(number: u32) -> FuncType {
        FuncType::new([ValType::Ref(RefType { nullable: true, heap: HeapType::ConcreteFunc(number) })], [])
    }

    fn known(registry: &TypeRegistry) -> usize {
        let table = registry.read().0;
        assert_eq!(table.types.len(), table.groups.values().map(|it| it.group.len() as usize).sum::<usize>());
        table.types.len()
    }

    #[test]
    fn equal_types_of_several_modules_have_equal_numbers() {
        let registry = registry();
        let pair = |at: u32| [takes(at + 1), takes(at)].map(TypeDef::from);
        let one = ModuleInfo { types: pair(0).to_vec(), rec_groups: vec![2], ..ModuleInfo::default() };
        let plain = TypeDef::from(FuncType::new([], []));
        let types = [vec![plain.clone(), plain], pair(2).to_vec()].concat();
        let other = ModuleInfo { types, rec_groups: vec![1, 1, 2], ..ModuleInfo::default() };
        let (one, other) = (registry.register_module(&one), registry.register_module(&other));
        assert_eq!(one[..], other[2..]);
        assert_eq!(other[0], other[1]);
        assert_eq!(registry.register_func(&FuncType::new([], []))[0], other[0]);
        let ty = func(registry.read().get(one[0]).unwrap());
        assert_eq!(ty.params(), takes(one[1]).params());
        assert_eq!(registry.register_func(&ty)[..], one[..1]);
    }

    #[test]
    fn a_type_of_which_parameters_and_results_do_not_say_everything_is_equal_to_itself_only() {
        let registry = registry();
        let plain = FuncType::new([ValType::I32], []);
        let open = TypeDef { composite: plain.clone().into(), supertype: None, is_final: false };
        let extends = TypeDef { composite: plain.clone().into(), supertype: Some(1), is_final: true };
        let together = vec![TypeDef::from(plain.clone()); 2];
        let types = [vec![plain.clone().into(), open, extends], together].concat();
        let numbers =
            registry.register_module(&ModuleInfo { types, rec_groups: vec![1, 1, 1, 2], ..ModuleInfo::default() });
        let types: Vec<_> = numbers.iter().map(|number| func(registry.read().get(*number).unwrap())).collect();
        assert_eq!(types[0], plain);
        for (a, ty) in types.iter().enumerate() {
            assert_eq!(registry.register_func(ty)[0], numbers[a], "it is found again");
            assert!(types.iter().enumerate().all(|(b, other)| (a == b) == (ty == other)), "{ty}");
        }
    }

    #[test]
    fn types_that_nothing_refers_to_are_forgotten_but_for_the_last() {
        let registry = registry();
        let held = registry.register_func(&distinct(0));
        for n in 1..100 * MAX_UNUSED as u32 {
            let number = registry.register_func(&distinct(n))[0];
            assert_eq!(registry.register_func(&distinct(n))[0], number, "it is still known");
        }
        assert_eq!(known(&registry), MAX_UNUSED + 1);
        assert_eq!(registry.register_func(&distinct(0))[0], held[0]);
        registry.register_func(&distinct(0)).keep_forever();
        drop(held);
        (1..1000).for_each(|n| drop(registry.register_func(&distinct(n))));
        assert!(registry.read().get(0).is_some_and(|def| func(def) == distinct(0)), "it is kept for ever");
    }

    #[test]
    fn a_type_keeps_those_that_it_names() {
        let registry = registry();
        let mut number = registry.register_func(&distinct(0))[0];
        for _ in 0..10 {
            number = registry.register_func(&takes(number))[0];
        }
        let last = registry.hold(&[number]).unwrap();
        (1..1000).for_each(|n| drop(registry.register_func(&distinct(n))));
        for _ in 0..10 {
            let types = registry.read();
            let ValType::Ref(RefType { heap: HeapType::ConcreteFunc(named), .. }) =
                func(types.get(number).unwrap()).params()[0]
            else {
                panic!("it takes a reference")
            };
            number = named;
        }
        assert_eq!(func(registry.read().get(number).unwrap()), distinct(0));
        drop(last);
        // Each goes when it has been unused the longest, and only then is the next one unused.
        (1000..1000 + 12 * MAX_UNUSED as u32).for_each(|n| drop(registry.register_func(&distinct(n))));
        assert_eq!(known(&registry), MAX_UNUSED);
    }

    #[test]
    fn a_number_is_free_for_long_before_it_is_another_types() {
        let registry = registry();
        let held = registry.register_func(&distinct(0));
        registry.write().next = NUMBERS - 3;
        let group = ModuleInfo {
            types: vec![TypeDef::from(FuncType::new([], [])); 5],
            rec_groups: vec![5],
            ..ModuleInfo::default()
        };
        let after_the_last = registry.register_module(&group);
        assert_eq!(after_the_last[..], [1, 2, 3, 4, 5], "0 is taken, and a group's numbers follow each other");
        assert_eq!((held[0], registry.register_func(&distinct(1))[0]), (0, 6));
    }

    #[test]
    #[should_panic(expected = "the type 7 is not one of this engine")]
    fn a_type_that_names_what_is_not_there_is_refused() {
        registry().register_func(&takes(7));
    }

    #[test]
    fn threads_that_register_and_forget_the_same_types_agree() {
        let registry = registry();
        std::thread::scope(|scope| {
            for seed in 0..4_u32 {
                let registry = &registry;
                scope.spawn(move || {
                    for i in 0..20_000_u32 {
                        let ty = distinct(i.wrapping_mul(2_654_435_761).rotate_left(seed) % 700);
                        let types = registry.register_func(&ty);
                        assert_eq!(func(registry.read().get(types[0]).unwrap()), ty);
                    }
                });
            }
        });
        assert!(known(&registry) <= MAX_UNUSED);
        let table = registry.read().0;
        assert!(table.groups.values().all(|it| it.references.load(Relaxed) == 0));
    }

    #[test]
    fn supertypes_for_which_there_was_no_memory_are_written_when_there_is_some() {
        let registry = Arc::new(TypeRegistry::with_supertypes().unwrap());
        let refuse = |refuse| registry.write().supertypes.as_mut().unwrap().refuse = refuse;
        refuse(true);
        let types = registry.register_func(&distinct(1));
        assert!(registry.check_supertypes().is_err());
        refuse(false);
        registry.check_supertypes().unwrap();
        assert_eq!(registry.read().0.supertypes.as_ref().unwrap().entry(types[0])[0], types[0]);
    }

    #[test]
    fn a_look_up_does_not_wait_for_all_types_of_a_module() {
        const TYPES: u32 = 200_000;
        let types = (0..TYPES).map(|n| distinct(n).into()).collect();
        let info = ModuleInfo { types, rec_groups: vec![1; TYPES as usize], ..ModuleInfo::default() };
        let registry = registry();
        let between = std::thread::scope(|scope| {
            let registering = scope.spawn(|| registry.register_module(&info));
            let mut between = 0;
            while !registering.is_finished() {
                let known = registry.read().0.types.len() as u32;
                between += u32::from(known > 0 && known < TYPES);
            }
            assert_eq!(registering.join().unwrap().len() as u32, TYPES);
            between
        });
        assert!(between > 10, "{between} look-ups saw some of the types");
    }
}
