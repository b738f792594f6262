//! Describes a module as the specification does: from bytes to a validated, plain description.
//!
//! From `convert` on, files know wasmparser. Nothing here knows Cranelift, or where anything is in
//! memory.

mod types;
mod externs;
mod composite;
mod const_expr;
mod names;
mod info;
pub mod canonical;
mod display;
mod convert;
pub(crate) mod instruction;
mod preamble;
mod sections;
mod named_segments;
pub(crate) mod parse;
mod visitor;
pub(crate) mod validate;

pub(crate) use convert::{BlockType, Catch, FromParser, Known, MemArg, TryTable};

pub use composite::{ArrayType, CompositeType, DefinedType, FieldType, StorageType, StructType, TypeDef};
pub use const_expr::{ConstExpr, ConstOp, Contents, Surroundings};
pub use display::Shown;
pub use externs::{ExternType, GlobalType, MemoryType, Mutability, TableType, TagType, WASM_PAGE};
pub use info::{DataSegment, ElementItems, ElementSegment, Entity, Export, FuncDecl, Import, ModuleInfo, SegmentMode};
pub use names::Names;
pub use types::{Finality, FuncType, HeapType, RefKind, RefType, ValType};
