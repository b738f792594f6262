//! Prints types as the text format does.
//!
//! By itself, a type prints the numbers of the types that it names. [`Shown`] prints those types.

use super::canonical::NumberedTypes;
use super::externs::{ExternType, GlobalType, MemoryType, TableType};
use super::types::{FuncType, HeapType, RefType, ValType};
use std::fmt::{self, Display, Formatter};

/// A type to be shown to people.
#[derive(Clone, Copy)]
pub struct Shown<'a, T> {
    ty: &'a T,
    /// The types behind its numbers. Without them, numbers are printed.
    types: Option<&'a dyn NumberedTypes>,
}

impl<'a, T> Shown<'a, T> {
    /// Shows a type with the types that it names in place of their numbers. What these name in turn is shown by
    /// number.
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

by_number! { ValType HeapType RefType FuncType MemoryType TableType GlobalType ExternType }

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
            HeapType::NoFunc => f.write_str("nofunc"),
            HeapType::NoExtern => f.write_str("noextern"),
            HeapType::ConcreteFunc(number) => match self.types.and_then(|types| types.get(*number)) {
                Some(named) => named.func.fmt(f),
                None => number.fmt(f),
            },
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
            (true, heap) => write!(f, "(ref null {})", self.part(heap)),
            (false, heap) => write!(f, "(ref {})", self.part(heap)),
        }
    }
}

impl Display for Shown<'_, FuncType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        self.ty.number().map_or(Ok(()), |number| write!(f, " (type {number})"))?;
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

impl Display for Shown<'_, ExternType> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.ty {
            ExternType::Func(ty) => self.part(ty).fmt(f),
            ExternType::Table(ty) => self.part(ty).fmt(f),
            ExternType::Memory(ty) => self.part(ty).fmt(f),
            ExternType::Global(ty) => self.part(ty).fmt(f),
        }
    }
}
