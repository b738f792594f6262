//! Exceptions in the embedder's hands: thrown, taken, and kept for a while.

use super::context::{AsContext, AsContextMut, StoreContextMut};
use super::exceptions::{Exception, TagNumber};
use super::handle::{ExnReference, Tag};
use super::rooted::{ExnRef, Rooted};
use super::store::{Store, StoreInner};
use crate::vmctx::Raw;
use anyhow::{Context, Result};
use minirt_compiler::Printable;
use minirt_compiler::module::ValType;
use std::fmt;

/// The error of a call that ended with an exception that nothing has caught:
/// `error.downcast_ref::<ThrownException>()`. Its text says what the exception carries.
///
/// The exception itself is the store's pending one: [`Store::take_pending_exception`]. A host
/// function that returns this error throws that exception further. In a call of another store, or
/// after the exception is gone, it is an error as any other.
///
/// # Examples
/// ```
/// # use minirt::{Engine, Instance, Module, Store};
/// use minirt::ThrownException;
/// # let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (tag $e (export "e") (param i32))
///     (func (export "run") (throw $e (i32.const 42))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&store, "run")?.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref::<ThrownException>().unwrap().to_string(), "uncaught exception: `e` (i32 42)");
/// let exception = store.take_pending_exception().unwrap();
/// assert_eq!(exception.tag(&store)?, instance.get_tag(&store, "e").unwrap());
/// assert_eq!(exception.field(&mut store, 0)?.unwrap_i32(), 42);
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ThrownException {
    tag: Tag,
    exception: ExnReference,
    text: Box<str>,
}

impl ThrownException {
    /// Returns the exception's tag.
    pub fn tag(&self) -> Tag {
        self.tag
    }
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uncaught exception: {}", self.text)
    }
}

impl std::error::Error for ThrownException {}

impl StoreInner {
    /// Returns the error for an exception of this store that leaves it.
    pub(crate) fn thrown(&self, reference: ExnReference) -> ThrownException {
        let exceptions = self.exceptions.as_ref();
        let exception = exceptions.and_then(|all| all.get(reference)).expect("what is thrown is there");
        let tag = Tag::of_number(self, exception.tag);
        let ty = tag.type_in(self);
        let mut text = self.tag_name(exception.tag);
        for (i, (ty, value)) in ty.ty().params().iter().zip(&exception.carried).enumerate() {
            text += if i == 0 { " (" } else { ", " };
            text += &shown(*ty, *value);
        }
        if !exception.carried.is_empty() {
            text.push(')');
        }
        ThrownException { tag, exception: reference, text: text.into() }
    }

    /// Returns the name under which a tag is exported by the instance that defines it, or else its
    /// place there.
    fn tag_name(&self, number: TagNumber) -> String {
        use minirt_compiler::module::Entity;
        let info = self.instance(number.instance()).prototype.info();
        let export = info.exports.iter().find(|export| export.entity == Entity::Tag(number.index()));
        match export {
            Some(export) => format!("`{}`", Printable::new(&export.name)),
            None => format!("tag {}", number.index()),
        }
    }

    /// Returns an exception that the embedder has a handle of.
    ///
    /// # Errors
    /// Returns an error if it belongs to another store, or its scope has ended.
    pub(crate) fn exception(&self, handle: &ExnRef) -> Result<&Exception> {
        let reference = self.exception_reference(handle)?;
        let exception = self.exceptions.as_ref().and_then(|all| all.get(reference));
        exception.context("an exception is gone that the host holds")
    }

    fn exception_reference(&self, handle: &ExnRef) -> Result<ExnReference> {
        ExnReference::from_word(self.word(handle.root)?).context("a handle of an exception leads to something else")
    }

    /// Returns a handle of an exception for the embedder, which keeps it alive.
    pub(crate) fn exception_handle(&self, reference: ExnReference) -> Rooted<ExnRef> {
        Rooted::of(self.root(reference.word()))
    }

    fn throw(&mut self, exception: &ExnRef) -> Result<ThrownException> {
        self.exception(exception)?;
        let reference = self.exception_reference(exception)?;
        self.exceptions.get_or_insert_default().pending = Some(reference);
        Ok(self.thrown(reference))
    }

    /// Makes the exception of an error the pending one. Returns whether it is one of this store,
    /// and still there.
    pub(crate) fn throw_again(&mut self, thrown: &ThrownException) -> bool {
        let own = thrown.tag.instance.store == self.id;
        let exceptions = self.exceptions.as_mut().filter(|all| own && all.get(thrown.exception).is_some());
        exceptions.map(|exceptions| exceptions.pending = Some(thrown.exception)).is_some()
    }

    fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        let pending = self.exceptions.as_mut()?.pending.take()?;
        Some(self.exception_handle(pending))
    }

    fn has_pending_exception(&self) -> bool {
        self.exceptions.as_ref().is_some_and(|exceptions| exceptions.pending.is_some())
    }
}

/// Shows a value that an exception carries.
fn shown(ty: ValType, value: Raw) -> String {
    let bits = value.0;
    match ty {
        ValType::I32 => format!("i32 {}", bits as i32),
        ValType::I64 => format!("i64 {}", bits as i64),
        ValType::F32 => format!("f32 {}", f32::from_bits(bits as u32)),
        ValType::F64 => format!("f64 {}", f64::from_bits(bits as u64)),
        ValType::V128 => format!("v128 {bits:#034x}"),
        ValType::Ref(ty) if bits as u64 == 0 => format!("null {}", ty.heap.top()),
        ValType::Ref(ty) => format!("{} reference", ty.heap.top()),
    }
}

macro_rules! throwing {
    ($($of:ty where $inner:ident = $access:expr, $inner_mut:ident = $access_mut:expr;)*) => {
        $(impl<T> $of {
            /// Makes an exception the store's pending one, and returns the error with which a host
            /// function throws it: `caller.throw(exception)?`.
            ///
            /// # Errors
            /// Always: [`ThrownException`]; or another error if the exception belongs to another
            /// store, or its handle is not valid any more.
            pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
                let $inner_mut = self;
                Err($access_mut.throw(&exception)?.into())
            }

            /// Takes the exception that was thrown last by [`throw`](Self::throw), or that left a
            /// call because nothing caught it.
            pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
                let $inner_mut = self;
                $access_mut.take_pending_exception()
            }

            /// Returns whether there is an exception to take.
            pub fn has_pending_exception(&self) -> bool {
                let $inner = self;
                $access.has_pending_exception()
            }
        })*
    };
}

throwing! {
    Store<T> where this = this.as_context().0.inner, this_mut = this_mut.as_context_mut().0.inner;
    StoreContextMut<'_, T> where this = this.0.inner, this_mut = this_mut.0.inner;
}
