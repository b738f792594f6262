//! Converts wasmparser's types to minirt's, and refuses those that minirt does not have.
//!
//! Every structure of wasmparser is taken apart by name, and every enum matched variant by variant:
//! what a later version adds to them does not compile until somebody has decided what becomes of
//! it.

use super::composite::{ArrayType, CompositeType, FieldType, StorageType, StructType, TypeDef};
use super::externs::{GlobalType, MemoryType, Mutability, TableType};
use super::types::{FuncType, HeapType, RefKind, RefType, ValType};
use crate::base::error::{CompileError, Feature};
use crate::settings::Features;
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

/// The context that wasmparser's types need: the module's types and features.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The module's types so far. Those of the group that is being read are there, if not yet what
    /// they consist of.
    pub(crate) types: &'a [TypeDef],
    /// The features that modules may use.
    pub(crate) features: Features,
}

impl Known<'_> {
    /// Refuses a use of garbage collection, unless it is switched on.
    pub(super) fn gc(self, what: impl FnOnce() -> String) -> Result<(), Missing> {
        if self.features.has(Feature::Gc) { Ok(()) } else { Err(Missing::new(Feature::Gc, what())) }
    }
}

/// Something of minirt's that can be made from what wasmparser has read.
pub(crate) trait FromParser<T>: Sized {
    /// Makes it from what wasmparser has read.
    ///
    /// # Errors
    /// Returns what is missing if minirt does not have it.
    fn from_parser(read: T, known: Known<'_>) -> Result<Self, Missing>;
}

macro_rules! unchanged {
    ($($ty:ty,)*) => {
        $(impl FromParser<$ty> for $ty {
            #[inline]
            fn from_parser(read: Self, _: Known<'_>) -> Result<Self, Missing> {
                Ok(read)
            }
        })*
    };
}

unchanged! { u8, u32, i32, i64, Ieee32, Ieee64, V128, Ordering, [u8; 16], }

impl<'a> FromParser<BrTable<'a>> for BrTable<'a> {
    fn from_parser(read: Self, _: Known<'_>) -> Result<Self, Missing> {
        Ok(read)
    }
}

/// Refuses what is shared between threads, as no type of minirt is.
fn unshared(shared: bool, what: &str) -> Result<(), Missing> {
    if shared { Err(Missing::new(Feature::SharedEverythingThreads, format!("shared {what}"))) } else { Ok(()) }
}

impl FromParser<wasmparser::ValType> for ValType {
    fn from_parser(ty: wasmparser::ValType, known: Known<'_>) -> Result<Self, Missing> {
        Ok(match ty {
            wasmparser::ValType::I32 => Self::I32,
            wasmparser::ValType::I64 => Self::I64,
            wasmparser::ValType::F32 => Self::F32,
            wasmparser::ValType::F64 => Self::F64,
            wasmparser::ValType::V128 => Self::V128,
            wasmparser::ValType::Ref(ty) => Self::Ref(RefType::from_parser(ty, known)?),
        })
    }
}

impl FromParser<wasmparser::RefType> for RefType {
    fn from_parser(ty: wasmparser::RefType, known: Known<'_>) -> Result<Self, Missing> {
        Ok(Self { nullable: ty.is_nullable(), heap: HeapType::from_parser(ty.heap_type(), known)? })
    }
}

impl FromParser<wasmparser::HeapType> for HeapType {
    fn from_parser(ty: wasmparser::HeapType, known: Known<'_>) -> Result<Self, Missing> {
        match ty {
            wasmparser::HeapType::Abstract { shared, ty } => {
                unshared(shared, "references")?;
                Self::from_parser(ty, known)
            }
            wasmparser::HeapType::Concrete(index) => {
                let index = module_index(index);
                Ok(match known.types.get(index as usize).map(|ty| &ty.composite) {
                    // Instructions are looked at before they are validated. Which type it is not
                    // does not matter then.
                    Some(CompositeType::Func(_)) | None => Self::ConcreteFunc(index),
                    Some(CompositeType::Struct(_)) => Self::ConcreteStruct(index),
                    Some(CompositeType::Array(_)) => Self::ConcreteArray(index),
                })
            }
            wasmparser::HeapType::Exact(_) => {
                Err(Missing::new(Feature::CustomDescriptors, "references to an exact type"))
            }
        }
    }
}

impl FromParser<AbstractHeapType> for HeapType {
    fn from_parser(ty: AbstractHeapType, known: Known<'_>) -> Result<Self, Missing> {
        use AbstractHeapType as A;
        let what = || format!("references to {}", format!("{ty:?}").to_lowercase());
        let heap = match ty {
            A::Func => Self::Func,
            A::Extern => Self::Extern,
            A::NoFunc => Self::NoFunc,
            A::NoExtern => Self::NoExtern,
            A::Any => Self::Any,
            A::Eq => Self::Eq,
            A::I31 => Self::I31,
            A::Struct => Self::Struct,
            A::Array => Self::Array,
            A::None => Self::None,
            A::Exn => Self::Exn,
            A::NoExn => Self::NoExn,
            A::Cont | A::NoCont => return Err(Missing::new(Feature::StackSwitching, what())),
        };
        if heap.kind() == RefKind::Any {
            known.gc(what)?;
        }
        Ok(heap)
    }
}

impl FromParser<wasmparser::SubType> for TypeDef {
    fn from_parser(ty: wasmparser::SubType, known: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::SubType { is_final, supertype_idxs, composite_type } = ty;
        let wasmparser::CompositeType { inner, shared, descriptor_idx, describes_idx } = composite_type;
        unshared(shared, "types")?;
        if descriptor_idx.or(describes_idx).is_some() {
            return Err(Missing::new(Feature::CustomDescriptors, "a type with a descriptor"));
        }
        let composite: CompositeType = match inner {
            CompositeInnerType::Func(ty) => FuncType::from_parser(ty, known)?.into(),
            CompositeInnerType::Struct(ty) => StructType::from_parser(ty, known)?.into(),
            CompositeInnerType::Array(ty) => ArrayType::from_parser(ty, known)?.into(),
            CompositeInnerType::Cont(_) => return Err(Missing::new(Feature::StackSwitching, "continuation types")),
        };
        let supertype = supertype_idxs.first().map(|index: &PackedIndex| module_index(index.unpack()));
        Ok(Self { composite, supertype, is_final })
    }
}

/// Returns something of the same sort as a type that has not been read yet: others of its group may
/// name it.
pub(crate) fn outline(ty: &wasmparser::SubType) -> TypeDef {
    match ty.composite_type.inner {
        // Continuations are refused before anything can name them.
        CompositeInnerType::Func(_) | CompositeInnerType::Cont(_) => FuncType::new([], []).into(),
        CompositeInnerType::Struct(_) => StructType::new([]).into(),
        CompositeInnerType::Array(_) => ArrayType::new(FieldType::new(Mutability::Const, StorageType::I8)).into(),
    }
}

impl FromParser<wasmparser::StructType> for StructType {
    fn from_parser(ty: wasmparser::StructType, known: Known<'_>) -> Result<Self, Missing> {
        known.gc(|| "struct types".to_owned())?;
        let wasmparser::StructType { fields } = ty;
        let fields = fields.iter().map(|field| FieldType::from_parser(*field, known));
        Ok(Self::new(fields.collect::<Result<Vec<_>, _>>()?))
    }
}

impl FromParser<wasmparser::ArrayType> for ArrayType {
    fn from_parser(ty: wasmparser::ArrayType, known: Known<'_>) -> Result<Self, Missing> {
        known.gc(|| "array types".to_owned())?;
        let wasmparser::ArrayType(field) = ty;
        Ok(Self::new(FieldType::from_parser(field, known)?))
    }
}

impl FromParser<wasmparser::FieldType> for FieldType {
    fn from_parser(ty: wasmparser::FieldType, known: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::FieldType { element_type, mutable } = ty;
        let element = match element_type {
            wasmparser::StorageType::I8 => StorageType::I8,
            wasmparser::StorageType::I16 => StorageType::I16,
            wasmparser::StorageType::Val(ty) => StorageType::ValType(ValType::from_parser(ty, known)?),
        };
        Ok(Self { element, mutable })
    }
}

impl FromParser<wasmparser::FuncType> for FuncType {
    fn from_parser(ty: wasmparser::FuncType, known: Known<'_>) -> Result<Self, Missing> {
        let all = |types: &[wasmparser::ValType]| {
            types.iter().map(|ty| ValType::from_parser(*ty, known)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self::new(all(ty.params())?, all(ty.results())?))
    }
}

impl FromParser<wasmparser::TableType> for TableType {
    fn from_parser(ty: wasmparser::TableType, known: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::TableType { element_type, table64, initial, maximum, shared } = ty;
        unshared(shared, "tables")?;
        Ok(Self { element: RefType::from_parser(element_type, known)?, minimum: initial, maximum, table64 })
    }
}

impl FromParser<wasmparser::MemoryType> for MemoryType {
    fn from_parser(ty: wasmparser::MemoryType, _: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::MemoryType { memory64, shared, initial, maximum, page_size_log2 } = ty;
        if shared {
            return Err(Missing::new(Feature::Threads, "shared memories"));
        }
        let page_size_log2 = page_size_log2.map_or(Self::default().page_size_log2, |log2| log2 as u8);
        Ok(Self { minimum: initial, maximum, memory64, page_size_log2 })
    }
}

impl FromParser<wasmparser::GlobalType> for GlobalType {
    fn from_parser(ty: wasmparser::GlobalType, known: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::GlobalType { content_type, mutable, shared } = ty;
        unshared(shared, "globals")?;
        Ok(Self { content: ValType::from_parser(content_type, known)?, mutable })
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
    fn from_parser(ty: wasmparser::BlockType, known: Known<'_>) -> Result<Self, Missing> {
        Ok(match ty {
            wasmparser::BlockType::Empty => Self::Empty,
            wasmparser::BlockType::Type(ty) => Self::Value(ValType::from_parser(ty, known)?),
            wasmparser::BlockType::FuncType(index) => Self::Func(index),
        })
    }
}

/// The clauses of a `try_table`, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TryTable {
    pub(crate) ty: BlockType,
    pub(crate) catches: Vec<Catch>,
}

/// One clause of a `try_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Catch {
    /// The tag that an exception has to have, and `None` for any.
    pub(crate) tag: Option<u32>,
    /// Where the exception goes, counted from outside of the `try_table`.
    pub(crate) label: u32,
    /// Whether it takes a reference to the exception along, behind what the exception carries.
    pub(crate) reference: bool,
}

impl FromParser<wasmparser::TryTable> for TryTable {
    fn from_parser(read: wasmparser::TryTable, known: Known<'_>) -> Result<Self, Missing> {
        let wasmparser::TryTable { ty, catches } = read;
        Ok(Self { ty: BlockType::from_parser(ty, known)?, catches: catches.into_iter().map(Catch::from).collect() })
    }
}

impl From<wasmparser::Catch> for Catch {
    fn from(read: wasmparser::Catch) -> Self {
        use wasmparser::Catch as C;
        match read {
            C::One { tag, label } => Self { tag: Some(tag), label, reference: false },
            C::OneRef { tag, label } => Self { tag: Some(tag), label, reference: true },
            C::All { label } => Self { tag: None, label, reference: false },
            C::AllRef { label } => Self { tag: None, label, reference: true },
        }
    }
}

/// Which memory an instruction accesses, and how far behind its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemArg {
    pub(crate) memory: u32,
    pub(crate) offset: u64,
}

impl FromParser<wasmparser::MemArg> for MemArg {
    fn from_parser(arg: wasmparser::MemArg, _: Known<'_>) -> Result<Self, Missing> {
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
