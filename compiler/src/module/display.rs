//! Prints types as the text format does.
//!
//! By itself, a type prints the numbers of the types that it names. [`Shown`] prints those types.

use super::canonical::NumberedTypes;
use super::composite::{ArrayType, CompositeType, FieldType, StorageType, StructType};
use super::externs::{ExternType, GlobalType, MemoryType, TableType, TagType};
use super::types::{FuncType, HeapType, RefType, ValType};
use crate::base::printable::Printable;
use std::fmt::{self, Display, Formatter};

/// A type to be shown to people.
#[derive(Clone, Copy)]
pub struct Shown<'a, T> {
    ty: &'a T,
    /// The types behind its numbers. Without them, numbers are printed.
    types: Option<&'a dyn NumberedTypes>,
}

impl<'a, T> Shown<'a, T> {
    /// Shows a type with the types that it names in place of their numbers: those of objects by
    /// their names, if they have any. What these name in turn is shown by number.
    pub fn new(ty: &'a T, types: &'a dyn NumberedTypes) -> Self {
        Self { ty, types: Some(types) }
    }

    /// Shows a part of the type in the same way.
    fn part<U>(&self, ty: &'a U) -> Shown<'a, U> {
        Shown { ty, types: self.types }
    }
}

impl<T> fmt::Debug for Shown<'_, T>
where
    Self: Display,
{
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

macro_rules! by_number {
    ($($ty:ty)*) => {
        $(impl Display for $ty {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(&Shown { ty: self, types: None }, f)
            }
        })*
    };
}

by_number! { ValType HeapType RefType FuncType StorageType FieldType StructType ArrayType CompositeType MemoryType TableType GlobalType TagType ExternType }

impl Display for Shown<'_, ValType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(ty) => self.part(ty).fmt(f),
        }
    }
}

impl Display for Shown<'_, HeapType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            HeapType::Func => f.write_str("func"),
            HeapType::Extern => f.write_str("extern"),
            HeapType::Exn => f.write_str("exn"),
            HeapType::NoFunc => f.write_str("nofunc"),
            HeapType::NoExtern => f.write_str("noextern"),
            HeapType::NoExn => f.write_str("noexn"),
            HeapType::Any => f.write_str("any"),
            HeapType::Eq => f.write_str("eq"),
            HeapType::I31 => f.write_str("i31"),
            HeapType::Struct => f.write_str("struct"),
            HeapType::Array => f.write_str("array"),
            HeapType::None => f.write_str("none"),
            HeapType::ConcreteFunc(number) | HeapType::ConcreteStruct(number) | HeapType::ConcreteArray(number) => {
                let Some(types) = self.types else { return number.fmt(f) };
                // The type of a function says more than its name; that of an object may be long.
                let is_object = !matches!(self.ty, HeapType::ConcreteFunc(_));
                match (types.name(*number).filter(|_| is_object), types.get(*number)) {
                    (Some(name), _) => write!(f, "${}", Printable::new(name)),
                    (None, Some(named)) => named.composite.fmt(f),
                    (None, None) => number.fmt(f),
                }
            }
        }
    }
}

impl Display for Shown<'_, RefType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let RefType { nullable, heap } = self.ty;
        match (nullable, heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::NoFunc) => f.write_str("nullfuncref"),
            (true, HeapType::NoExtern) => f.write_str("nullexternref"),
            (true, HeapType::Any) => f.write_str("anyref"),
            (true, HeapType::Eq) => f.write_str("eqref"),
            (true, HeapType::I31) => f.write_str("i31ref"),
            (true, HeapType::Struct) => f.write_str("structref"),
            (true, HeapType::Array) => f.write_str("arrayref"),
            (true, HeapType::None) => f.write_str("nullref"),
            (true, HeapType::Exn) => f.write_str("exnref"),
            (true, HeapType::NoExn) => f.write_str("nullexnref"),
            (true, heap) => write!(f, "(ref null {})", self.part(heap)),
            (false, heap) => write!(f, "(ref {})", self.part(heap)),
        }
    }
}

impl Display for Shown<'_, FuncType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        opening(f, "func", self.ty.number())?;
        for (word, types) in [("param", self.ty.params()), ("result", self.ty.results())] {
            if !types.is_empty() {
                write!(f, " ({word}")?;
                types.iter().try_for_each(|ty| write!(f, " {}", self.part(ty)))?;
                f.write_str(")")?;
            }
        }
        f.write_str(")")
    }
}

/// Writes how a type begins that a module can define.
fn opening(f: &mut Formatter<'_>, word: &str, number: Option<u32>) -> fmt::Result {
    write!(f, "({word}")?;
    number.map_or(Ok(()), |number| write!(f, " (type {number})"))
}

impl Display for Shown<'_, StorageType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            StorageType::I8 => f.write_str("i8"),
            StorageType::I16 => f.write_str("i16"),
            StorageType::ValType(ty) => self.part(ty).fmt(f),
        }
    }
}

impl Display for Shown<'_, FieldType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let element = self.part(&self.ty.element);
        if self.ty.mutable { write!(f, "(mut {element})") } else { element.fmt(f) }
    }
}

impl Display for Shown<'_, StructType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        opening(f, "struct", self.ty.number())?;
        self.ty.fields().iter().try_for_each(|field| write!(f, " (field {})", self.part(field)))?;
        f.write_str(")")
    }
}

impl Display for Shown<'_, ArrayType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        opening(f, "array", self.ty.number())?;
        write!(f, " {})", self.part(&self.ty.field_type()))
    }
}

impl Display for Shown<'_, CompositeType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            CompositeType::Func(ty) => self.part(ty).fmt(f),
            CompositeType::Struct(ty) => self.part(ty).fmt(f),
            CompositeType::Array(ty) => self.part(ty).fmt(f),
        }
    }
}

fn limits(f: &mut Formatter<'_>, minimum: u64, maximum: Option<u64>) -> fmt::Result {
    write!(f, "{minimum}")?;
    maximum.map_or(Ok(()), |max| write!(f, " {max}"))
}

impl Display for Shown<'_, MemoryType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ty.memory64 { "(memory i64 " } else { "(memory " })?;
        limits(f, self.ty.minimum, self.ty.maximum)?;
        if !self.ty.ends_at_a_page() {
            write!(f, " (pagesize {})", self.ty.page_size())?;
        }
        f.write_str(")")
    }
}

impl Display for Shown<'_, TableType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ty.table64 { "(table i64 " } else { "(table " })?;
        limits(f, self.ty.minimum, self.ty.maximum)?;
        write!(f, " {})", self.part(&self.ty.element))
    }
}

impl Display for Shown<'_, GlobalType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let content = self.part(&self.ty.content);
        if self.ty.mutable { write!(f, "(global (mut {content}))") } else { write!(f, "(global {content})") }
    }
}

impl Display for Shown<'_, TagType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(tag")?;
        let ty = self.ty.ty();
        ty.number().map_or(Ok(()), |number| write!(f, " (type {number})"))?;
        if !ty.params().is_empty() {
            f.write_str(" (param")?;
            ty.params().iter().try_for_each(|ty| write!(f, " {}", self.part(ty)))?;
            f.write_str(")")?;
        }
        f.write_str(")")
    }
}

impl Display for Shown<'_, ExternType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            ExternType::Func(ty) => self.part(ty).fmt(f),
            ExternType::Table(ty) => self.part(ty).fmt(f),
            ExternType::Memory(ty) => self.part(ty).fmt(f),
            ExternType::Global(ty) => self.part(ty).fmt(f),
            ExternType::Tag(ty) => self.part(ty).fmt(f),
        }
    }
}
