//! References in the embedder's hands: to objects, exceptions and values of the host.
//!
//! A handle names an entry among the store's roots. Whatever is done with it looks the entry up
//! first, so a stale handle is an error.

use super::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use super::handle::StoreId;
use super::roots::{Root, Stale};
use super::store::StoreInner;
use anyhow::{Result, bail, ensure};
use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

impl StoreInner {
    /// Holds a reference for the embedder, in the innermost scope. `word` is the reference as Wasm
    /// holds it, and not null.
    pub(crate) fn root(&self, word: u64) -> Root {
        if word & 1 == 1 { Root::inline(self.id, word as u32) } else { self.roots.lock().push(self.id, word) }
    }

    /// Does the same without a lock.
    #[inline]
    pub(crate) fn root_mut(&mut self, word: u64) -> Root {
        if word & 1 == 1 { Root::inline(self.id, word as u32) } else { self.roots.get_mut().push(self.id, word) }
    }

    /// Returns the reference that the embedder holds.
    ///
    /// # Errors
    /// Returns an error if it belongs to another store, its scope has ended, or what it led to is
    /// gone.
    pub(crate) fn word(&self, root: Root) -> Result<u64> {
        ensure!(root.store == self.id, "a reference belongs to another store");
        match root.as_inline() {
            Some(word) => Ok(word),
            None => self.roots.lock().get(root).or_else(stale),
        }
    }

    /// Does the same without a lock.
    #[inline]
    pub(crate) fn word_mut(&mut self, root: Root) -> Result<u64> {
        ensure!(root.store == self.id, "a reference belongs to another store");
        self.roots.get_mut().get(root).or_else(stale)
    }
}

#[cold]
fn stale(why: Stale) -> Result<u64> {
    match why {
        Stale::Ended => bail!(
            "a reference was used after the call or scope for which the host had it (`to_owned_rooted` makes one that \
             lasts longer)"
        ),
        Stale::Gone => bail!("a reference leads to what is gone: its heap was reset"),
    }
}

/// Something that Wasm has references to: [`AnyRef`] and its kinds, [`ExternRef`],
/// or [`ExnRef`].
/// The embedder holds it as [`Rooted`] or [`OwnedRooted`].
pub trait GcRef: Copy + sealed::Sealed {}

/// A reference in the embedder's hands: [`Rooted`] or [`OwnedRooted`].
pub trait RootedGcRef<T: GcRef>: sealed::Held {}

pub(crate) mod sealed {
    //! Keeps others from implementing these traits: nobody outside can name what is here.
    use super::super::roots::Root;

    pub trait Sealed {
        fn of(root: Root) -> Self;
        fn root(&self) -> Root;
    }

    pub trait Held {
        fn held(&self) -> Root;
    }
}

macro_rules! gc_refs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            pub(crate) root: Root,
        }

        impl sealed::Sealed for $name {
            #[inline]
            fn of(root: Root) -> Self {
                Self { root }
            }
            #[inline]
            fn root(&self) -> Root {
                self.root
            }
        }

        impl GcRef for $name {})*
    };
}

gc_refs! {
    /// What a reference in the hierarchy of `any` leads to: a structure, an array, an
    /// [`I31`](crate::I31), or a value of the host that was made internal. The embedder holds it as
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
    AnyRef,
    /// What can be compared in Wasm: a structure, an array or an [`I31`](crate::I31). The embedder
    /// holds it as `Rooted<EqRef>`.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, EqRef, I31, Rooted, Store};
    /// # let mut store = Store::new(&Engine::default(), ());
    /// let [one, other] = [5, 5].map(|n| EqRef::from_i31(&mut store, I31::wrapping_u32(n)));
    /// assert!(Rooted::ref_eq(&store, &one, &other)?, "as `ref.eq` says");
    /// # Ok::<(), minirt::Error>(())
    /// ```
    EqRef,
    /// A structure. The embedder holds it as `Rooted<StructRef>`.
    ///
    /// # Examples
    /// ```
    /// use minirt::{FieldType, Mutability, StorageType, StructRef, StructRefPre, StructType, Val};
    /// # use minirt::{Config, Engine, Store};
    /// # let mut store = Store::new(&Engine::new(Config::new().wasm_gc(true))?, ());
    /// let byte = FieldType::new(Mutability::Var, StorageType::I8);
    /// let colour = StructRefPre::new(&mut store, StructType::new([byte; 3]));
    /// let red = StructRef::new(&mut store, &colour, &[Val::I32(255), Val::I32(0), Val::I32(0)])?;
    /// red.set_field(&mut store, 1, Val::I32(0x180))?;
    /// assert_eq!(red.field(&mut store, 1)?.unwrap_i32(), 0x80, "it takes the lowest bits");
    /// # Ok::<(), minirt::Error>(())
    /// ```
    StructRef,
    /// An array. The embedder holds it as `Rooted<ArrayRef>`.
    ///
    /// # Examples
    /// ```
    /// use minirt::{ArrayRef, ArrayRefPre, ArrayType, FieldType, Mutability, Val, ValType};
    /// # use minirt::{Config, Engine, Store};
    /// # let mut store = Store::new(&Engine::new(Config::new().wasm_gc(true))?, ());
    /// let numbers = ArrayType::new(FieldType::new(Mutability::Const, ValType::I64));
    /// let numbers = ArrayRefPre::new(&mut store, numbers);
    /// let three = ArrayRef::new_fixed(&mut store, &numbers, &[1_i64.into(), 2_i64.into(), 3_i64.into()])?;
    /// assert_eq!((three.len(&store)?, three.get(&mut store, 2)?.unwrap_i64()), (3, 3));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    ArrayRef,
    /// A value of the host that Wasm can hold and pass on, but not look into. The embedder holds it
    /// as `Rooted<ExternRef>`.
    ///
    /// The value is dropped when nothing refers to it any more and the store collects
    /// ([`Store::gc`](crate::Store::gc)), or with the store.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, ExternRef, Store};
    /// # let mut store = Store::new(&Engine::default(), ());
    /// let value = ExternRef::new(&mut store, String::from("anything"))?;
    /// let found = value.data(&store)?.and_then(|value| value.downcast_ref::<String>());
    /// assert_eq!(found.map(String::as_str), Some("anything"));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    ExternRef,
    /// An exception: a tag, and the values that the tag's type says. The embedder holds it as
    /// `Rooted<ExnRef>`.
    ///
    /// An exception lives as long as anything in its store refers to it, a [`Rooted`] included.
    ExnRef,
}

/// A reference that the embedder holds for a while: until the host function returns that got it, or
/// the [`RootScope`] ends in which that was. Outside of both, it lasts as long as the store. What
/// it leads to is not collected meanwhile.
///
/// Using it later is an error. So is using it with another store, and after the instance was reset
/// that brought the heap in which the object was ([`Instance::reset`](crate::Instance::reset)).
///
/// It is a copyable name of an entry among the store's roots. [`OwnedRooted`] lasts longer.
///
/// # Examples
/// ```
/// # use minirt::{Engine, ExternRef, RootScope, Store};
/// # let mut store = Store::new(&Engine::default(), ());
/// let outside = ExternRef::new(&mut store, 1_u32)?;
/// let inside = {
///     let mut scope = RootScope::new(&mut store);
///     ExternRef::new(&mut scope, 2_u32)?
/// };
/// assert!(outside.data(&store).is_ok());
/// assert!(inside.data(&store).is_err());
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Rooted<T: GcRef> {
    inner: T,
}

impl<T: GcRef> Debug for Rooted<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rooted").field(&self.inner.root()).finish()
    }
}

/// Gives the methods of what the reference leads to.
impl<T: GcRef> Deref for Rooted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: GcRef> sealed::Held for Rooted<T> {
    fn held(&self) -> Root {
        self.inner.root()
    }
}

impl<T: GcRef> RootedGcRef<T> for Rooted<T> {}

impl<T: GcRef> Rooted<T> {
    #[inline]
    pub(crate) fn of(root: Root) -> Self {
        Self { inner: T::of(root) }
    }

    #[inline]
    pub(crate) fn root(&self) -> Root {
        self.inner.root()
    }

    /// Returns a reference to the same that does not end with its scope.
    ///
    /// # Errors
    /// Returns an error if this one may not be used any more, or belongs to another store.
    pub fn to_owned_rooted(&self, mut store: impl AsContextMut) -> Result<OwnedRooted<T>> {
        let store = &mut store.as_context_mut().0.inner;
        let word = store.word_mut(self.root())?;
        Ok(OwnedRooted::new(store, word))
    }

    /// Returns whether both are copies of one handle. Two handles of the same object may be
    /// different; [`Rooted::ref_eq`] compares objects.
    pub fn rooted_eq(a: Self, b: Self) -> bool {
        a.inner.root() == b.inner.root()
    }

    /// Returns whether both lead to the same, as `ref.eq` does.
    ///
    /// # Errors
    /// Returns an error if one of them may not be used any more, or belongs to another store.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool> {
        let store = &store.as_context().0.inner;
        Ok(store.word(a.held())? == store.word(b.held())?)
    }

    /// Hashes the handle: copies of one handle have the same hash.
    pub fn rooted_hash<H: Hasher>(&self, state: &mut H) {
        self.inner.root().hash(state);
    }

    /// Hashes what it leads to: all references to the same have the same hash, until the store
    /// collects the next time, which may move objects.
    ///
    /// # Errors
    /// Returns an error if it may not be used any more, or belongs to another store.
    pub fn ref_hash<H: Hasher>(&self, store: impl AsContext, state: &mut H) -> Result<()> {
        store.as_context().0.inner.word(self.inner.root())?.hash(state);
        Ok(())
    }
}

macro_rules! more_general {
    ($($of:ident $to:ident => $general:ident;)*) => {
        $(impl Rooted<$of> {
            #[doc = concat!("Returns the same reference as one to [`", stringify!($general), "`].")]
            pub fn $to(self) -> Rooted<$general> {
                Rooted::of(self.root())
            }
        }

        impl From<Rooted<$of>> for Rooted<$general> {
            fn from(it: Rooted<$of>) -> Self {
                it.$to()
            }
        }

        impl OwnedRooted<$of> {
            #[doc = concat!("Returns the same reference as one to [`", stringify!($general), "`].")]
            pub fn $to(self) -> OwnedRooted<$general> {
                OwnedRooted { inner: sealed::Sealed::of(self.inner.root), owner: self.owner }
            }
        }

        impl From<OwnedRooted<$of>> for OwnedRooted<$general> {
            fn from(it: OwnedRooted<$of>) -> Self {
                it.$to()
            }
        })*
    };
}

more_general! {
    EqRef to_anyref => AnyRef;
    StructRef to_anyref => AnyRef;
    StructRef to_eqref => EqRef;
    ArrayRef to_anyref => AnyRef;
    ArrayRef to_eqref => EqRef;
}

/// A reference that the embedder holds until it drops the last clone of this. What it leads to is
/// not collected meanwhile.
///
/// Using it with another store is an error, and so is using it after the instance was reset that
/// brought the heap in which the object was. It may outlive its store, but is of no use then.
///
/// # Examples
/// ```
/// # use minirt::{Engine, ExternRef, OwnedRooted, RootScope, Store};
/// let mut store: Store<Option<OwnedRooted<ExternRef>>> = Store::new(&Engine::default(), None);
/// let kept = {
///     let mut scope = RootScope::new(&mut store);
///     ExternRef::new(&mut scope, 5_u32)?.to_owned_rooted(&mut scope)?
/// };
/// *store.data_mut() = Some(kept.clone());
/// assert_eq!(kept.data(&store)?.and_then(|value| value.downcast_ref()), Some(&5_u32));
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone)]
pub struct OwnedRooted<T: GcRef> {
    inner: T,
    /// Tells the store whether there is still one who needs the entry.
    owner: Arc<()>,
}

impl<T: GcRef> Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedRooted").field(&self.inner.root()).finish()
    }
}

/// Gives the methods of what the reference leads to.
impl<T: GcRef> Deref for OwnedRooted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: GcRef> sealed::Held for OwnedRooted<T> {
    fn held(&self) -> Root {
        self.inner.root()
    }
}

impl<T: GcRef> RootedGcRef<T> for OwnedRooted<T> {}

impl<T: GcRef> OwnedRooted<T> {
    #[inline]
    pub(crate) fn root(&self) -> Root {
        self.inner.root()
    }

    /// Holds a reference for the embedder until it drops this. `word` is the reference as Wasm
    /// holds it, and not null.
    pub(crate) fn new(store: &mut StoreInner, word: u64) -> Self {
        let (root, owner) = if word & 1 == 1 {
            (Root::inline(store.id, word as u32), Arc::default())
        } else {
            store.roots.get_mut().own(store.id, word)
        };
        Self { inner: T::of(root), owner }
    }

    /// Returns a reference to the same that ends with the innermost scope. If this one belongs to
    /// another store, or leads to what is gone, then so does the other, and to use it is an error.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> Rooted<T> {
        let store = &mut store.as_context_mut().0.inner;
        let root = self.inner.root();
        Rooted::of(store.word_mut(root).map_or(root, |word| store.root_mut(word)))
    }

    /// Returns whether both lead to the same, as `ref.eq` does.
    ///
    /// # Errors
    /// Returns an error if one of them may not be used any more, or belongs to another store.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool> {
        Rooted::ref_eq(store, a, b)
    }

    /// Hashes the handle: clones of one handle have the same hash.
    pub fn rooted_hash<H: Hasher>(&self, state: &mut H) {
        self.inner.root().hash(state);
    }

    /// Hashes what it leads to, as [`Rooted::ref_hash`] does.
    ///
    /// # Errors
    /// Returns an error if it leads to what is gone, or belongs to another store.
    pub fn ref_hash<H: Hasher>(&self, store: impl AsContext, state: &mut H) -> Result<()> {
        Rooted::<T>::of(self.inner.root()).ref_hash(store, state)
    }
}

/// Access to a store, at whose end all [`Rooted`] references end that were made meanwhile.
///
/// Outside of host functions, whose references end when they return, other references last as long
/// as the store. Whoever handles references in a loop there needs this.
///
/// # Examples
/// ```
/// # use minirt::{Engine, ExternRef, Store};
/// use minirt::RootScope;
/// # let mut store = Store::new(&Engine::default(), ());
/// for n in 0..1000_u32 {
///     let mut scope = RootScope::new(&mut store);
///     let value = ExternRef::new(&mut scope, n)?;
///     // ... pass it to a guest.
/// }
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Debug)]
pub struct RootScope<C: AsContextMut> {
    store: C,
    /// The store, and how many roots it had at the beginning.
    began: (StoreId, usize),
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins a scope.
    pub fn new(mut store: C) -> Self {
        let inner = &mut store.as_context_mut().0.inner;
        let began = (inner.id, inner.roots.get_mut().scope());
        Self { store, began }
    }

    /// Makes room for so many references more.
    pub fn reserve(&mut self, additional: usize) {
        self.store.as_context_mut().0.inner.roots.get_mut().reserve(additional);
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        let inner = &mut self.store.as_context_mut().0.inner;
        let (store, scope) = self.began;
        // A type of the embedder's may give access to one store now and to another later.
        if inner.id == store {
            inner.roots.get_mut().end_scope(scope);
        }
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        self.store.as_context()
    }
}

impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        self.store.as_context_mut()
    }
}
