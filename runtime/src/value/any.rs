//! Represents references to what is `any` (structures, arrays and small integers) on the host's side.

use crate::store::{AsContext, AsContextMut, ExternRef, StoreId, StoreInner};
use anyhow::{Result, ensure};
use minirt_compiler::instance::layout::object::TAG_MASK;
use minirt_compiler::module::HeapType;
use minirt_compiler::module::canonical::NumberedTypes;
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;

/// An integer of 31 bits, which a reference holds instead of pointing to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct I31(u32);

impl I31 {
    /// Returns the integer, if it fits 31 bits.
    pub const fn new_u32(value: u32) -> Option<Self> {
        if value >> 31 == 0 { Some(Self(value)) } else { None }
    }

    /// Returns the integer, if it fits 31 bits with its sign.
    pub const fn new_i32(value: i32) -> Option<Self> {
        let fitting = Self::wrapping_i32(value);
        if fitting.get_i32() == value { Some(fitting) } else { None }
    }

    /// Returns the integer without its highest bit.
    pub const fn wrapping_u32(value: u32) -> Self {
        Self(value & u32::MAX >> 1)
    }

    /// Returns the integer without its highest bit.
    pub const fn wrapping_i32(value: i32) -> Self {
        Self::wrapping_u32(value as u32)
    }

    /// Returns it as an unsigned integer.
    pub const fn get_u32(self) -> u32 {
        self.0
    }

    /// Returns it as a signed integer.
    pub const fn get_i32(self) -> i32 {
        ((self.0 << 1) as i32) >> 1
    }
}

/// What a reference in the hierarchy of `any` points to: a structure, an array, or an [`I31`]. The embedder holds it as
/// `Rooted<AnyRef>`.
///
/// # Examples
/// ```
/// # use minirt::{AnyRef, Engine, HeapType, I31, Ref, RefType, Store, Table, TableType};
/// # let mut store = Store::new(&Engine::default(), ());
/// let five = AnyRef::from_i31(&mut store, I31::wrapping_u32(5));
/// let ty = TableType::new(RefType::I31REF, 2, None);
/// let table = Table::new(&mut store, ty, Ref::from(five))?;
/// let Some(Ref::Any(Some(found))) = table.get(&store, 1) else { panic!("it is not null") };
/// assert_eq!(found.as_i31(&store)?, I31::new_u32(5));
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnyRef(());

impl AnyRef {
    /// Makes a reference of a small integer.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
        Rooted::inline(store.as_context_mut().0.inner.id, value)
    }

    /// Makes a reference in the hierarchy of `any` of an external one, as `any.convert_extern` does.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or leads to what is gone.
    pub fn convert_extern(store: impl AsContext, value: ExternRef) -> Result<Rooted<Self>> {
        let inner = &store.as_context().0.inner;
        let ExternRef { store, word, generation } = value;
        let any = Rooted { store, word, generation, ty: PhantomData };
        any.check(inner)?;
        Ok(any)
    }
}

/// Something of the store's that the embedder holds.
///
/// Nothing is collected yet: what it leads to lives as long as the store, or until the instance is reset that brought the
/// heap. Using the reference after that is an error.
pub struct Rooted<T> {
    pub(crate) store: StoreId,
    /// The reference as Wasm sees it (`minirt_compiler::instance::layout::object`).
    word: u32,
    /// How often the store's heap had been reset.
    generation: u32,
    ty: PhantomData<fn() -> T>,
}

impl<T> Clone for Rooted<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rooted<T> {}

impl<T> Debug for Rooted<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooted").field("store", &self.store).field("word", &self.word).finish()
    }
}

/// Returns how often the heap of a store has been reset, if a reference leads into it.
pub(super) fn generation(word: u32, store: &StoreInner) -> u32 {
    if word & TAG_MASK == 0 { store.heap.as_ref().map_or(0, |heap| heap.generation) } else { 0 }
}

/// Checks that what a reference leads to is still there.
///
/// # Errors
/// Returns an error if the heap has been reset since.
pub(super) fn check_generation(word: u32, made: u32, store: &StoreInner) -> Result<()> {
    ensure!(made == generation(word, store), "a reference leads to what is gone: its heap was reset");
    Ok(())
}

impl Rooted<AnyRef> {
    fn inline(store: StoreId, I31(value): I31) -> Self {
        Self { store, word: value << 1 | 1, generation: 0, ty: PhantomData }
    }

    /// Returns whether it is a small integer.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or leads to what is gone. So do the methods below.
    pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
        self.as_i31(store).map(|value| value.is_some())
    }

    /// Returns the small integer, if it is one.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
        self.check(&store.as_context().0.inner)?;
        Ok((self.word & 1 == 1).then_some(I31(self.word >> 1)))
    }

    /// Returns the small integer.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    ///
    /// # Panics
    /// Panics if it is something else.
    pub fn unwrap_i31(&self, store: impl AsContext) -> Result<I31> {
        self.as_i31(store).map(|value| value.expect("the reference is a small integer"))
    }

    /// Returns whether it is a structure.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Struct, store)
    }

    /// Returns whether it is an array.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Array, store)
    }

    /// Returns whether it can be compared: whether it is anything but a value of the host.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Eq, store)
    }

    fn is(&self, heap: HeapType, store: impl AsContext) -> Result<bool> {
        let inner = &store.as_context().0.inner;
        self.check(inner)?;
        Ok(self.matches(heap, inner))
    }

    /// Returns the most special type that it has.
    ///
    /// # Errors
    /// See [`Rooted::is_i31`].
    pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
        let inner = &store.as_context().0.inner;
        self.check(inner)?;
        Ok(self.own_type(inner))
    }

    fn own_type(&self, store: &StoreInner) -> HeapType {
        match (self.word & TAG_MASK, store.heap.as_ref().and_then(|heap| heap.header(self.word))) {
            (tag, _) if tag & 1 == 1 => HeapType::I31,
            (0, Some(header)) if header.is_array => HeapType::ConcreteArray(header.ty),
            (0, Some(header)) => HeapType::ConcreteStruct(header.ty),
            _ => HeapType::Any,
        }
    }

    fn check(&self, store: &StoreInner) -> Result<()> {
        ensure!(self.store == store.id, "a reference belongs to another store");
        check_generation(self.word, self.generation, store)
    }

    /// Returns whether it can be used where a reference to `heap` is expected.
    pub(crate) fn matches(&self, heap: HeapType, store: &StoreInner) -> bool {
        self.store == store.id && store.engine.types().heap_matches(self.own_type(store), heap)
    }
}

pub(crate) fn any_to_raw(value: Option<Rooted<AnyRef>>, store: &StoreInner) -> Result<u64> {
    let Some(value) = value else { return Ok(0) };
    value.check(store)?;
    Ok(value.word.into())
}

pub(crate) fn any_from_raw(word: u64, store: &StoreInner) -> Option<Rooted<AnyRef>> {
    let word = word as u32;
    (word != 0).then_some(Rooted { store: store.id, word, generation: generation(word, store), ty: PhantomData })
}
