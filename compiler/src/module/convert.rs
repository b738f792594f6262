//! Converts wasmparser's types to minirt's, and refuses those that minirt does not have.
//!
//! Every structure of wasmparser is taken apart by name, and every enum matched variant by variant: what a later
//! version adds to them does not compile until somebody has decided what becomes of it.

use super::externs::{GlobalType, MemoryType, TableType};
use super::types::{FuncType, HeapType, RefType, TypeDef, ValType};
use crate::base::error::{CompileError, Feature};
use wasmparser::{
    AbstractHeapType, BrTable, CompositeInnerType, Ieee32, Ieee64, MemArgTarget, Ordering, PackedIndex, UnpackedIndex,
    V128,
};

/// A feature that a valid module uses, and minirt does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    feature: Feature,
    /// The instruction or type that needs it.
    what: String,
}

impl Missing {
    pub(crate) fn new(feature: Feature, what: impl Into<String>) -> Self {
        Self { feature, what: what.into() }
    }

    /// Returns the error for a use at this byte of the module.
    pub(crate) fn at(self, offset: usize) -> CompileError {
        CompileError::unsupported(self.feature, &self.what, offset)
    }
}

/// Something of minirt's that can be made from what wasmparser has read.
pub(crate) trait FromParser<T>: Sized {
    /// Makes it from what wasmparser has read.
    ///
    /// # Errors
    /// Returns what is missing if minirt does not have it.
    fn from_parser(read: T) -> Result<Self, Missing>;
}

macro_rules! unchanged {
    ($($ty:ty,)*) => {
        $(impl FromParser<$ty> for $ty {
            #[inline]
            fn from_parser(read: Self) -> Result<Self, Missing> {
                Ok(read)
            }
        })*
    };
}

unchanged! { u8, u32, i32, i64, Ieee32, Ieee64, V128, Ordering, [u8; 16], }

impl<'a> FromParser<BrTable<'a>> for BrTable<'a> {
    fn from_parser(read: Self) -> Result<Self, Missing> {
        Ok(read)
    }
}

/// Refuses what is shared between threads, as no type of minirt is.
fn unshared(shared: bool, what: &str) -> Result<(), Missing> {
    if shared { Err(Missing::new(Feature::SharedEverythingThreads, format!("shared {what}"))) } else { Ok(()) }
}

impl FromParser<wasmparser::ValType> for ValType {
    fn from_parser(ty: wasmparser::ValType) -> Result<Self, Missing> {
        Ok(match ty {
            wasmparser::ValType::I32 => Self::I32,
            wasmparser::ValType::I64 => Self::I64,
            wasmparser::ValType::F32 => Self::F32,
            wasmparser::ValType::F64 => Self::F64,
            wasmparser::ValType::V128 => Self::V128,
            wasmparser::ValType::Ref(ty) => Self::Ref(RefType::from_parser(ty)?),
        })
    }
}

impl FromParser<wasmparser::RefType> for RefType {
    fn from_parser(ty: wasmparser::RefType) -> Result<Self, Missing> {
        Ok(Self { nullable: ty.is_nullable(), heap: HeapType::from_parser(ty.heap_type())? })
    }
}

impl FromParser<wasmparser::HeapType> for HeapType {
    fn from_parser(ty: wasmparser::HeapType) -> Result<Self, Missing> {
        match ty {
            wasmparser::HeapType::Abstract { shared, ty } => {
                unshared(shared, "references")?;
                Self::from_parser(ty)
            }
            // Types of functions are the only ones that a module can define.
            wasmparser::HeapType::Concrete(index) => Ok(Self::ConcreteFunc(module_index(index))),
            wasmparser::HeapType::Exact(_) => {
                Err(Missing::new(Feature::CustomDescriptors, "references to an exact type"))
            }
        }
    }
}

impl FromParser<AbstractHeapType> for HeapType {
    fn from_parser(ty: AbstractHeapType) -> Result<Self, Missing> {
        use AbstractHeapType as A;
        let feature = match ty {
            A::Func => return Ok(Self::Func),
            A::Extern => return Ok(Self::Extern),
            A::NoFunc => return Ok(Self::NoFunc),
            A::NoExtern => return Ok(Self::NoExtern),
            A::Any | A::Eq | A::I31 | A::Struct | A::Array | A::None => Feature::Gc,
            A::Exn | A::NoExn => Feature::Exceptions,
            A::Cont | A::NoCont => Feature::StackSwitching,
        };
        Err(Missing::new(feature, format!("references to {}", format!("{ty:?}").to_lowercase())))
    }
}

impl FromParser<wasmparser::SubType> for TypeDef {
    fn from_parser(ty: wasmparser::SubType) -> Result<Self, Missing> {
        let wasmparser::SubType { is_final, supertype_idxs, composite_type } = ty;
        let wasmparser::CompositeType { inner, shared, descriptor_idx, describes_idx } = composite_type;
        unshared(shared, "types")?;
        if descriptor_idx.or(describes_idx).is_some() {
            return Err(Missing::new(Feature::CustomDescriptors, "a type with a descriptor"));
        }
        let func = match inner {
            CompositeInnerType::Func(func) => FuncType::from_parser(func)?,
            CompositeInnerType::Struct(_) => return Err(Missing::new(Feature::Gc, "struct types")),
            CompositeInnerType::Array(_) => return Err(Missing::new(Feature::Gc, "array types")),
            CompositeInnerType::Cont(_) => return Err(Missing::new(Feature::StackSwitching, "continuation types")),
        };
        let supertype = supertype_idxs.first().map(|index: &PackedIndex| module_index(index.unpack()));
        Ok(Self { func, supertype, is_final })
    }
}

impl FromParser<wasmparser::FuncType> for FuncType {
    fn from_parser(ty: wasmparser::FuncType) -> Result<Self, Missing> {
        let all = |types: &[wasmparser::ValType]| {
            types.iter().map(|ty| ValType::from_parser(*ty)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self::new(all(ty.params())?, all(ty.results())?))
    }
}

impl FromParser<wasmparser::TableType> for TableType {
    fn from_parser(ty: wasmparser::TableType) -> Result<Self, Missing> {
        let wasmparser::TableType { element_type, table64, initial, maximum, shared } = ty;
        unshared(shared, "tables")?;
        Ok(Self { element: RefType::from_parser(element_type)?, minimum: initial, maximum, table64 })
    }
}

impl FromParser<wasmparser::MemoryType> for MemoryType {
    fn from_parser(ty: wasmparser::MemoryType) -> Result<Self, Missing> {
        let wasmparser::MemoryType { memory64, shared, initial, maximum, page_size_log2 } = ty;
        if shared {
            return Err(Missing::new(Feature::Threads, "shared memories"));
        }
        let page_size_log2 = page_size_log2.map_or(Self::default().page_size_log2, |log2| log2 as u8);
        Ok(Self { minimum: initial, maximum, memory64, page_size_log2 })
    }
}

impl FromParser<wasmparser::GlobalType> for GlobalType {
    fn from_parser(ty: wasmparser::GlobalType) -> Result<Self, Missing> {
        let wasmparser::GlobalType { content_type, mutable, shared } = ty;
        unshared(shared, "globals")?;
        Ok(Self { content: ValType::from_parser(content_type)?, mutable })
    }
}

/// The parameters and results of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockType {
    /// Nothing.
    Empty,
    /// It returns one value.
    Value(ValType),
    /// Those of the function type with this index.
    Func(u32),
}

impl FromParser<wasmparser::BlockType> for BlockType {
    fn from_parser(ty: wasmparser::BlockType) -> Result<Self, Missing> {
        Ok(match ty {
            wasmparser::BlockType::Empty => Self::Empty,
            wasmparser::BlockType::Type(ty) => Self::Value(ValType::from_parser(ty)?),
            wasmparser::BlockType::FuncType(index) => Self::Func(index),
        })
    }
}

/// Which memory an instruction accesses, and how far behind its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemArg {
    pub(crate) memory: u32,
    pub(crate) offset: u64,
}

impl FromParser<wasmparser::MemArg> for MemArg {
    fn from_parser(arg: wasmparser::MemArg) -> Result<Self, Missing> {
        // An alignment is a hint, and its maximum only there to validate it.
        let wasmparser::MemArg { align: _, max_align: _, offset, target, ordering } = arg;
        let memory = match target {
            MemArgTarget::Memory(memory) => memory,
            MemArgTarget::Array(_) => return Err(Missing::new(Feature::MultibyteArrayAccess, "")),
        };
        match ordering {
            None => Ok(Self { memory, offset }),
            Some(_) => Err(Missing::new(Feature::AcquireReleaseAtomics, "")),
        }
    }
}

/// Returns the index of a type in its module.
fn module_index(index: UnpackedIndex) -> u32 {
    index.as_module_index().expect("what the reader gives out counts as the module does")
}
