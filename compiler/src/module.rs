//! The plain description of a module: what `parse` found, in terms of the specification alone.
//!
//! Everything later (layout, image, code, the runtime's type checks, `minirt inspect`) reads this and
//! nothing of the binary. No type of wasmparser or Cranelift appears here, and nothing about where
//! things sit in memory.

mod externs;

pub use externs::{ExternType, GlobalType, MemoryType, Mutability, TableType};

use crate::bytes::{Bytes, Record, Table};
use std::fmt;
use std::ops::Range;

/// Bytes in a page of linear memory (specification, section 4.2.8).
pub const WASM_PAGE: u64 = 65_536;

/// A value type (specification, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum ValType {
    I32,
    I64,
    F32,
    F64,
    V128,
    Ref(RefType),
}

/// A reference type: what it may point to, and whether it may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null is among its values.
    pub nullable: bool,
    /// What its other values point to.
    pub heap: HeapType,
}

/// What a reference points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// Any value of the host.
    Extern,
    /// No function: only null.
    NoFunc,
    /// No value of the host: only null.
    NoExtern,
    /// Functions of a type, by its number. In a [`ModuleInfo`] that is the index among its types; everywhere else it is
    /// the engine's number, the same for equal types of all modules.
    Concrete(u32),
}

impl HeapType {
    /// Whether references of the type are to functions, and not to values of the host.
    pub const fn is_func(self) -> bool {
        matches!(self, Self::Func | Self::NoFunc | Self::Concrete(_))
    }
}

impl RefType {
    /// `(ref null func)`
    pub const FUNCREF: Self = Self { nullable: true, heap: HeapType::Func };
    /// `(ref null extern)`
    pub const EXTERNREF: Self = Self { nullable: true, heap: HeapType::Extern };

    /// References to `heap`.
    pub const fn new(nullable: bool, heap: HeapType) -> Self {
        Self { nullable, heap }
    }

    /// Whether null is among its values.
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// What its other values point to.
    pub const fn heap_type(&self) -> HeapType {
        self.heap
    }
}

impl ValType {
    /// `(ref null func)`
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `(ref null extern)`
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);
}

/// Whether other types may extend a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finality {
    /// None may.
    Final,
    /// Any may that takes at least as much, and returns at most as much.
    NonFinal,
}

/// The type of a function: what it takes and what it returns.
///
/// Types can differ in more than that: one can be open to subtypes, extend another, or be part of a recursive group
/// (specification, section 2.3.8). Such a type comes from an engine, and is equal to itself only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    params: Box<[ValType]>,
    results: Box<[ValType]>,
    /// The engine's number, for a type of which parameters and results do not say everything. Never in a [`ModuleInfo`].
    pub(crate) number: Option<u32>,
}

impl FuncType {
    /// The type of functions from `params` to `results`: by itself, final, and extending no other.
    pub fn new(params: impl IntoIterator<Item = ValType>, results: impl IntoIterator<Item = ValType>) -> Self {
        Self { params: params.into_iter().collect(), results: results.into_iter().collect(), number: None }
    }

    /// The types of the parameters, in order.
    pub fn params(&self) -> &[ValType] {
        &self.params
    }

    /// The types of the results, in order.
    pub fn results(&self) -> &[ValType] {
        &self.results
    }
}

/// A type as a module defines it: what its functions are, and which other type it extends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeDef {
    /// What functions of the type take and return.
    pub func: FuncType,
    /// The type that it extends, by its number.
    pub supertype: Option<u32>,
    /// Whether no other type can extend it, so that a function is of this type only if it has just this one.
    pub is_final: bool,
}

impl From<FuncType> for TypeDef {
    /// The type as modules write it that know nothing of subtypes.
    fn from(func: FuncType) -> Self {
        Self { func, supertype: None, is_final: true }
    }
}

/// Something of a module by its place in one of the index spaces (imports come first in each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is an index into the space of its name")]
pub enum Entity {
    Func(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The first part of its two-part name.
    pub module: String,
    /// The second part.
    pub name: String,
    /// Where it lands in this module's index spaces.
    pub entity: Entity,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name, unique among the exports.
    pub name: String,
    /// What it is.
    pub entity: Entity,
}

/// A function of the index space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncDecl {
    /// Its type, an index into [`ModuleInfo::types`].
    pub ty: u32,
    /// Whether a reference to it can exist: it is exported, an element, in a global or named by `ref.func`.
    /// Only such functions have a funcref record.
    pub escapes: bool,
}

/// One instruction of a constant expression (specification, section 3.3.10, with extended constants).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the instruction of its name; floats are kept as their bits")]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    F32Const(u32),
    F64Const(u64),
    V128Const(u128),
    RefNull(HeapType),
    RefFunc(u32),
    GlobalGet(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

impl ConstOp {
    /// The result of one of the instructions that take two numbers.
    ///
    /// # Panics
    /// For the others.
    fn arithmetic(self, left: u128, right: u128) -> u128 {
        let (left, right) = (left as u64, right as u64);
        let wide = match self {
            Self::I32Add | Self::I64Add => left.wrapping_add(right),
            Self::I32Sub | Self::I64Sub => left.wrapping_sub(right),
            Self::I32Mul | Self::I64Mul => left.wrapping_mul(right),
            other => unreachable!("{other:?} takes no operands"),
        };
        let narrow = matches!(self, Self::I32Add | Self::I32Sub | Self::I32Mul);
        if narrow { u128::from(wide as u32) } else { u128::from(wide) }
    }
}

/// A constant expression: valid, and without its final `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstExpr(pub Vec<ConstOp>);

impl ConstExpr {
    /// Its value (specification, section 4.4.11), given what stands for a function and what a global holds.
    /// `None` if one of the two is `None`.
    pub fn evaluate(&self, func: impl Fn(u32) -> Option<u128>, global: impl Fn(u32) -> Option<u128>) -> Option<u128> {
        let mut stack = Vec::with_capacity(1);
        for op in &self.0 {
            let value = match *op {
                ConstOp::I32Const(v) => u128::from(v as u32),
                ConstOp::I64Const(v) => u128::from(v as u64),
                ConstOp::F32Const(bits) => u128::from(bits),
                ConstOp::F64Const(bits) => u128::from(bits),
                ConstOp::V128Const(v) => v,
                ConstOp::RefNull(_) => 0,
                ConstOp::RefFunc(index) => func(index)?,
                ConstOp::GlobalGet(index) => global(index)?,
                _ => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    op.arithmetic(left, right)
                }
            };
            stack.push(value);
        }
        stack.pop()
    }
}

/// What becomes of a segment at instantiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentMode {
    /// Copied to `offset` of the table or memory with this index, then dropped.
    Active {
        /// Index of the table or memory.
        target: u32,
        /// Where in it.
        offset: ConstExpr,
    },
    /// Kept for `table.init` or `memory.init`.
    Passive,
    /// Only declares functions for `ref.func`: dropped at once.
    Declared,
}

/// An element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSegment {
    /// The type of its elements.
    pub ty: RefType,
    /// When it is used.
    pub mode: SegmentMode,
    /// Its elements, one expression each.
    pub items: Vec<ConstExpr>,
}

/// A data segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    /// When it is used.
    pub mode: SegmentMode,
    /// Where its bytes are in [`ModuleInfo::data_bytes`].
    pub bytes: Range<usize>,
}

/// Names by number, looked up where they lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Sorted by number.
    pub(crate) entries: Table<NameEntry>,
    /// All names, one after the other.
    pub(crate) text: Bytes,
}

/// What is named, and where its name ends in the text. It starts where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameEntry {
    index: u32,
    end: u32,
}

impl Record for NameEntry {
    fn pack(self) -> [u32; 2] {
        [self.index, self.end]
    }
    fn unpack([index, end]: [u32; 2]) -> Self {
        Self { index, end }
    }
}

impl Names {
    /// The names of a sorted list. There are less than 4 GiB of them, since a module is not larger.
    pub fn new<'a>(sorted: impl IntoIterator<Item = (u32, &'a str)>) -> Self {
        let mut text = Vec::new();
        let entry = |(index, name): (u32, &str)| {
            text.extend_from_slice(name.as_bytes());
            NameEntry { index, end: text.len() as u32 }
        };
        let entries = sorted.into_iter().map(entry).collect();
        Self { entries, text: text.into() }
    }

    /// The name of `index`.
    pub fn get(&self, index: u32) -> Option<&str> {
        let at = self.entries.partition_point(|entry| entry.index < index);
        let entry = self.entries.get(at).filter(|entry| entry.index == index)?;
        let start = at.checked_sub(1).map_or(Some(0), |before| Some(self.entries.get(before)?.end))?;
        std::str::from_utf8(self.text.get(start as usize..entry.end as usize)?).ok()
    }
}

/// A whole module, described.
///
/// In every index space the imports come first, as in the specification; `num_imported_*` says how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its name, if its name section gives one.
    pub name: Option<String>,
    /// Its types, by type index.
    pub types: Vec<TypeDef>,
    /// How many types each recursive group has, in order. Types of a group can name each other.
    pub rec_groups: Vec<u32>,
    /// For each type, the first index with an equal type: equal types share trampolines and an id.
    pub canonical_types: Vec<u32>,
    /// What it asks for, in order.
    pub imports: Vec<Import>,
    /// What it offers, in order.
    pub exports: Vec<Export>,
    /// The places in `exports`, in the order of their names.
    pub exports_by_name: Vec<u32>,
    /// The function index space.
    pub funcs: Vec<FuncDecl>,
    /// The table index space.
    pub tables: Vec<TableType>,
    /// The memory index space.
    pub memories: Vec<MemoryType>,
    /// The global index space.
    pub globals: Vec<GlobalType>,
    /// Functions that are imported.
    pub num_imported_funcs: u32,
    /// Tables that are imported.
    pub num_imported_tables: u32,
    /// Memories that are imported.
    pub num_imported_memories: u32,
    /// Globals that are imported.
    pub num_imported_globals: u32,
    /// Initial values of the defined globals, in order.
    pub global_inits: Vec<ConstExpr>,
    /// What the elements of defined tables start with, where it is not simply null: the table's index, and the value.
    pub table_inits: Vec<(u32, ConstExpr)>,
    /// Element segments.
    pub elements: Vec<ElementSegment>,
    /// Data segments.
    pub data: Vec<DataSegment>,
    /// The bytes that the data segments share.
    pub data_bytes: Bytes,
    /// The function to run when an instance is complete.
    pub start: Option<u32>,
    /// Names of functions from the name section.
    pub func_names: Names,
}

impl ModuleInfo {
    /// The function type with this type index.
    pub fn type_at(&self, ty: u32) -> &FuncType {
        &self.types[ty as usize].func
    }

    /// The type of the function with this index.
    pub fn func_type(&self, func: u32) -> &FuncType {
        self.type_at(self.funcs[func as usize].ty)
    }

    /// The recursive groups, as ranges of type indices.
    pub fn groups(&self) -> impl Iterator<Item = Range<u32>> {
        let mut end = 0;
        self.rec_groups.iter().map(move |len| {
            end += len;
            end - len..end
        })
    }

    /// The name that the name section gives a function.
    pub fn func_name(&self, func: u32) -> Option<&str> {
        self.func_names.get(func)
    }

    /// The type of anything importable or exportable.
    pub fn type_of(&self, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(i) => ExternType::Func(self.func_type(i).clone()),
            Entity::Table(i) => ExternType::Table(self.tables[i as usize]),
            Entity::Memory(i) => ExternType::Memory(self.memories[i as usize]),
            Entity::Global(i) => ExternType::Global(self.globals[i as usize]),
        }
    }

    /// The export with this name.
    pub fn export(&self, name: &str) -> Option<Entity> {
        let export = |at: &u32| &self.exports[*at as usize];
        let found = self.exports_by_name.binary_search_by(|at| export(at).name.as_str().cmp(name)).ok()?;
        Some(export(&self.exports_by_name[found]).entity)
    }

    /// The bytes of a data segment.
    pub fn segment_bytes(&self, segment: &DataSegment) -> &[u8] {
        &self.data_bytes[segment.bytes.clone()]
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::V128 => f.write_str("v128"),
            Self::Ref(ty) => ty.fmt(f),
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func => f.write_str("func"),
            Self::Extern => f.write_str("extern"),
            Self::NoFunc => f.write_str("nofunc"),
            Self::NoExtern => f.write_str("noextern"),
            Self::Concrete(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nullable, self.heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::NoFunc) => f.write_str("nullfuncref"),
            (true, HeapType::NoExtern) => f.write_str("nullexternref"),
            (true, heap) => write!(f, "(ref null {heap})"),
            (false, heap) => write!(f, "(ref {heap})"),
        }
    }
}

/// Types print as in the text format: `(param i32 i64) (result f32)`.
impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        self.number.map_or(Ok(()), |number| write!(f, " (type {number})"))?;
        for (word, types) in [("param", &self.params), ("result", &self.results)] {
            if !types.is_empty() {
                write!(f, " ({word}")?;
                types.iter().try_for_each(|ty| write!(f, " {ty}"))?;
                f.write_str(")")?;
            }
        }
        f.write_str(")")
    }
}
