//! Defines the types that a module can define: of functions, structures and arrays (specification,
//! sections 2.3.6 to 2.3.8).

use super::externs::Mutability;
use super::types::{FuncType, ValType};

/// The type of what a field or element holds: a value, or an integer that takes less room than any
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// An integer of 8 bits. It is read and written as an `i32`.
    I8,
    /// An integer of 16 bits. It is read and written as an `i32`.
    I16,
    /// A value.
    ValType(ValType),
}

impl StorageType {
    /// Returns whether it is `i8`.
    pub const fn is_i8(&self) -> bool {
        matches!(self, Self::I8)
    }

    /// Returns whether it is `i16`.
    pub const fn is_i16(&self) -> bool {
        matches!(self, Self::I16)
    }

    /// Returns whether it is the type of a value.
    pub const fn is_val_type(&self) -> bool {
        matches!(self, Self::ValType(_))
    }

    /// Returns the type of the value, if it is one.
    pub const fn as_val_type(&self) -> Option<&ValType> {
        if let Self::ValType(ty) = self { Some(ty) } else { None }
    }

    /// Returns the type of the value.
    ///
    /// # Panics
    /// Panics if it is a packed integer.
    pub fn unwrap_val_type(&self) -> &ValType {
        self.as_val_type().unwrap_or_else(|| panic!("expected a value type, found {self}"))
    }

    /// Returns the type of the value that is read and written: `i32` for a packed integer.
    pub const fn unpack(&self) -> ValType {
        match self {
            Self::I8 | Self::I16 => ValType::I32,
            Self::ValType(ty) => *ty,
        }
    }

    /// Returns whether it can be used where `other` is expected, as far as
    /// [`HeapType::matches`](super::HeapType::matches) can tell.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ValType(ty), Self::ValType(other)) => ty.matches(other),
            _ => self == other,
        }
    }
}

impl From<ValType> for StorageType {
    fn from(ty: ValType) -> Self {
        Self::ValType(ty)
    }
}

/// The type of a structure's field, or of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// The type of its contents.
    pub element: StorageType,
    /// Whether it can change.
    pub mutable: bool,
}

impl FieldType {
    /// Returns the type of a field that holds `element`.
    pub fn new(mutability: Mutability, element: impl Into<StorageType>) -> Self {
        Self { element: element.into(), mutable: mutability.is_var() }
    }

    /// Returns whether it can change.
    pub fn mutability(&self) -> Mutability {
        if self.mutable { Mutability::Var } else { Mutability::Const }
    }

    /// Returns what it holds.
    pub fn element_type(&self) -> StorageType {
        self.element
    }

    /// Returns whether it can be used where `other` is expected, given whether what it holds can
    /// be.
    pub(crate) fn matches_by(&self, other: &Self, matches: impl Fn(StorageType, StorageType) -> bool) -> bool {
        // A field that can be written has to match both ways.
        self.mutable == other.mutable
            && matches(self.element, other.element)
            && (!self.mutable || matches(other.element, self.element))
    }
}

/// The type of a structure: its fields.
///
/// As with [`FuncType`], a type of which the fields do not say everything comes from an engine, and
/// is equal to itself only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructType {
    fields: Box<[FieldType]>,
    /// As [`FuncType`]'s.
    pub(crate) number: Option<u32>,
}

impl StructType {
    /// Returns the type of structures with these fields. It is final, and extends no other.
    pub fn new(fields: impl IntoIterator<Item = FieldType>) -> Self {
        Self { fields: fields.into_iter().collect(), number: None }
    }

    /// Returns the type of the field with an index, if there is one.
    pub fn field(&self, index: usize) -> Option<FieldType> {
        self.fields.get(index).copied()
    }

    /// Returns the types of the fields, in order.
    pub fn fields(&self) -> &[FieldType] {
        &self.fields
    }

    /// Returns the number of the type, if its fields do not say everything about it.
    pub fn number(&self) -> Option<u32> {
        self.number
    }
}

/// The type of an array: what its elements are.
///
/// As with [`FuncType`], a type of which the elements do not say everything comes from an engine,
/// and is equal to itself only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArrayType {
    field: FieldType,
    /// As [`FuncType`]'s.
    pub(crate) number: Option<u32>,
}

impl ArrayType {
    /// Returns the type of arrays with such elements. It is final, and extends no other.
    pub fn new(field: FieldType) -> Self {
        Self { field, number: None }
    }

    /// Returns what the elements are, and whether they can change.
    pub fn field_type(&self) -> FieldType {
        self.field
    }

    /// Returns whether elements can change.
    pub fn mutability(&self) -> Mutability {
        self.field.mutability()
    }

    /// Returns what an element holds.
    pub fn element_type(&self) -> StorageType {
        self.field.element
    }

    /// Returns the number of the type, if its elements do not say everything about it.
    pub fn number(&self) -> Option<u32> {
        self.number
    }
}

/// A type that a module can define.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// Of functions.
    Func(FuncType),
    /// Of structures.
    Struct(StructType),
    /// Of arrays.
    Array(ArrayType),
}

impl CompositeType {
    /// Returns the number of the type, if what it consists of does not say everything about it.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Func(ty) => ty.number,
            Self::Struct(ty) => ty.number,
            Self::Array(ty) => ty.number,
        }
    }

    pub(crate) fn set_number(&mut self, number: Option<u32>) {
        match self {
            Self::Func(ty) => ty.number = number,
            Self::Struct(ty) => ty.number = number,
            Self::Array(ty) => ty.number = number,
        }
    }
}

/// One of the types that a module can define: [`FuncType`], [`StructType`] or [`ArrayType`].
pub trait DefinedType: Clone + Into<CompositeType> + sealed::Sealed {
    /// Returns the type, if it is of this sort.
    fn from_composite(ty: &CompositeType) -> Option<&Self>;
}

mod sealed {
    //! Keeps others from implementing `DefinedType`: nobody outside can name this.
    pub trait Sealed {}
}

macro_rules! composite {
    ($($variant:ident($ty:ty) $as:ident $what:literal;)*) => {
        impl CompositeType {
            $(#[doc = concat!("Returns the type, if it is of ", $what, ".")]
            pub const fn $as(&self) -> Option<&$ty> {
                if let Self::$variant(ty) = self { Some(ty) } else { None }
            })*
        }
        $(impl sealed::Sealed for $ty {}
        impl DefinedType for $ty {
            fn from_composite(ty: &CompositeType) -> Option<&Self> {
                ty.$as()
            }
        }
        impl From<$ty> for CompositeType {
            fn from(ty: $ty) -> Self {
                Self::$variant(ty)
            }
        }
        impl From<$ty> for TypeDef {
            /// Makes the type as modules write it that know nothing of subtypes.
            fn from(ty: $ty) -> Self {
                CompositeType::from(ty).into()
            }
        })*
    };
}

composite! {
    Func(FuncType) as_func "functions";
    Struct(StructType) as_struct "structures";
    Array(ArrayType) as_array "arrays";
}

/// A type as a module defines it: what it consists of, and which other type it extends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeDef {
    /// The structure of its values.
    pub composite: CompositeType,
    /// The type that it extends, by its number.
    pub supertype: Option<u32>,
    /// Whether no other type can extend it, so that a value is of this type only if it has just
    /// this one.
    pub is_final: bool,
}

impl From<CompositeType> for TypeDef {
    /// Makes the type as modules write it that know nothing of subtypes.
    fn from(composite: CompositeType) -> Self {
        Self { composite, supertype: None, is_final: true }
    }
}
