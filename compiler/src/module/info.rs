//! Holds the plain description of a module, in terms of the specification alone.
//!
//! Everything later (layout, image, code, the runtime's type checks, `minirt inspect`) reads this
//! and nothing of the binary. No type of wasmparser or Cranelift appears here, and nothing about
//! where things sit in memory.

use super::composite::{CompositeType, TypeDef};
use super::const_expr::ConstExpr;
use super::externs::{ExternType, GlobalType, MemoryType, TableType, TagType};
use super::names::Names;
use super::types::{FuncType, RefType};
use crate::base::bytes::Bytes;
use std::ops::Range;

/// Something of a module by its place in one of the index spaces (imports come first in each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is an index into the space of its name")]
pub enum Entity {
    Func(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
    Tag(u32),
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
    /// The kind of thing, and its index.
    pub entity: Entity,
}

/// A function of the index space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncDecl {
    /// Its type, an index into [`ModuleInfo::types`].
    pub ty: u32,
    /// Whether a reference to it can exist: it is exported, an element, in a global or named by
    /// `ref.func`. Only such functions have a funcref record.
    pub escapes: bool,
    /// Where its body starts, as a byte offset into the module. 0 for an import.
    pub body: u32,
}

/// How a segment is treated at instantiation.
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

impl SegmentMode {
    /// Returns whether code can run although such a segment has not been dropped. If it is active,
    /// usually none can: instantiation applies and drops all of these first. It is different if a
    /// failed instance [`publishes`](ModuleInfo::publishes) functions.
    pub(crate) fn outlives_instantiation(&self, publishes: bool) -> bool {
        match self {
            Self::Active { .. } => publishes,
            Self::Passive => true,
            Self::Declared => false,
        }
    }
}

/// An element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSegment {
    /// Its index.
    pub index: u32,
    /// The type of its elements.
    pub ty: RefType,
    /// When it is used.
    pub mode: SegmentMode,
    /// Whether an instruction names it. If not, nothing can ask for it after instantiation.
    pub named: bool,
    /// Its elements.
    pub items: ElementItems,
}

/// The elements of a segment, in order. Toolchains write functions; these take four bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementItems {
    /// References to functions, by their indices.
    Functions(Vec<u32>),
    /// Whatever else.
    Expressions(Vec<ConstExpr>),
}

impl ElementSegment {
    /// Returns whether its elements include new objects, which are made when an instance is.
    pub fn makes_objects(&self) -> bool {
        match &self.items {
            ElementItems::Functions(_) => false,
            ElementItems::Expressions(exprs) => exprs.iter().any(ConstExpr::makes_objects),
        }
    }
}

impl ElementItems {
    /// Returns how many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Functions(funcs) => funcs.len(),
            Self::Expressions(exprs) => exprs.len(),
        }
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the values of the elements from `start` on, given what stands for a function and the
    /// value of an expression.
    pub fn values<V>(
        &self,
        start: usize,
        func: impl Fn(u32) -> V,
        expression: impl Fn(&ConstExpr) -> V,
    ) -> impl Iterator<Item = V> {
        (start..self.len()).map(move |at| match self {
            Self::Functions(funcs) => func(funcs[at]),
            Self::Expressions(exprs) => expression(&exprs[at]),
        })
    }
}

/// A data segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    /// Its index.
    pub index: u32,
    /// When it is used.
    pub mode: SegmentMode,
    /// Whether an instruction names it, as for element segments.
    pub named: bool,
    /// Where its bytes are in [`ModuleInfo::data_bytes`].
    pub bytes: Range<usize>,
}

/// A whole module, described.
///
/// In every index space the imports come first, as in the specification; `num_imported_*` says how
/// many.
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
    /// Its imports, in order.
    pub imports: Vec<Import>,
    /// Its exports, in order.
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
    /// The tag index space: for each tag its type, an index into [`ModuleInfo::types`].
    pub tags: Vec<u32>,
    /// Functions that are imported.
    pub num_imported_funcs: u32,
    /// Tables that are imported.
    pub num_imported_tables: u32,
    /// Memories that are imported.
    pub num_imported_memories: u32,
    /// Globals that are imported.
    pub num_imported_globals: u32,
    /// Tags that are imported.
    pub num_imported_tags: u32,
    /// Initial values of the defined globals, in order.
    pub global_inits: Vec<ConstExpr>,
    /// The first values of defined tables where they are not null: the table's index, and the
    /// value.
    pub table_inits: Vec<(u32, ConstExpr)>,
    /// Element segments, in order. A compiled module has only those that its instances can use.
    pub elements: Vec<ElementSegment>,
    /// Data segments, in order. A compiled module has only those that its instances can use.
    pub data: Vec<DataSegment>,
    /// The bytes that the data segments share.
    pub data_bytes: Bytes,
    /// The function to run when an instance is complete.
    pub start: Option<u32>,
    /// Names of functions from the name section.
    pub func_names: Names,
    /// The names of types, from the name section.
    pub type_names: Names,
}

impl ModuleInfo {
    /// Returns whether instantiation puts something into an imported table. If it fails half-way,
    /// that stays there.
    pub(crate) fn publishes(&self) -> bool {
        self.elements.iter().any(|segment| match segment.mode {
            SegmentMode::Active { target, .. } => target < self.num_imported_tables,
            SegmentMode::Passive | SegmentMode::Declared => false,
        })
    }

    /// Returns the function type with this type index.
    ///
    /// # Panics
    /// Panics if it is a type of something else.
    pub fn type_at(&self, ty: u32) -> &FuncType {
        match &self.types[ty as usize].composite {
            CompositeType::Func(ty) => ty,
            other => panic!("expected a function type, found {other}"),
        }
    }

    /// Returns the type of the function with this index.
    #[inline]
    pub fn func_type(&self, func: u32) -> &FuncType {
        self.type_at(self.funcs[func as usize].ty)
    }

    /// Returns the function type of the tag with this index: its parameters are what exceptions
    /// carry.
    pub fn tag_type(&self, tag: u32) -> &FuncType {
        self.type_at(self.tags[tag as usize])
    }

    /// Returns whether it defines a type of structures or arrays, so that its instances need a
    /// heap.
    pub fn needs_heap(&self) -> bool {
        self.types.iter().any(|ty| ty.composite.as_func().is_none())
    }

    /// Returns the recursive groups, as ranges of type indices.
    pub fn groups(&self) -> impl Iterator<Item = Range<u32>> {
        let mut end = 0;
        self.rec_groups.iter().map(move |len| {
            end += len;
            end - len..end
        })
    }

    /// Returns the defined function whose body includes a byte of the module.
    pub fn func_of_body(&self, offset: u32) -> Option<u32> {
        let defined = &self.funcs[self.num_imported_funcs as usize..];
        let before = defined.partition_point(|func| func.body <= offset).checked_sub(1)?;
        Some(self.num_imported_funcs + before as u32)
    }

    /// Returns the name that the name section gives a function.
    pub fn func_name(&self, func: u32) -> Option<&str> {
        self.func_names.get(func)
    }

    /// Returns the type of anything that can be imported or exported.
    pub fn type_of(&self, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(i) => ExternType::Func(self.func_type(i).clone()),
            Entity::Table(i) => ExternType::Table(self.tables[i as usize]),
            Entity::Memory(i) => ExternType::Memory(self.memories[i as usize]),
            Entity::Global(i) => ExternType::Global(self.globals[i as usize]),
            Entity::Tag(i) => ExternType::Tag(TagType::new(self.tag_type(i).clone())),
        }
    }

    /// Returns the export with this name.
    #[inline]
    pub fn export(&self, name: &str) -> Option<Entity> {
        let export = |at: &u32| &self.exports[*at as usize];
        let found = self.exports_by_name.binary_search_by(|at| export(at).name.as_str().cmp(name)).ok()?;
        Some(export(&self.exports_by_name[found]).entity)
    }

    /// Returns the element segment with this index, unless it was forgotten.
    pub fn element_segment(&self, index: u32) -> Option<&ElementSegment> {
        let found = self.elements.binary_search_by_key(&index, |segment| segment.index).ok()?;
        self.elements.get(found)
    }

    /// Returns the data segment with this index, unless it was forgotten.
    pub fn data_segment(&self, index: u32) -> Option<&DataSegment> {
        let found = self.data.binary_search_by_key(&index, |segment| segment.index).ok()?;
        self.data.get(found)
    }

    /// Forgets all segments but those for which the functions return true, and the bytes of data
    /// that are left unused.
    pub fn retain_segments(&mut self, element: impl Fn(&ElementSegment) -> bool, data: impl Fn(&DataSegment) -> bool) {
        self.elements.retain(element);
        let before = self.data.len();
        self.data.retain(data);
        if self.data.len() == before {
            return;
        }
        let mut bytes = Vec::new();
        for segment in &mut self.data {
            let start = bytes.len();
            bytes.extend_from_slice(&self.data_bytes[segment.bytes.clone()]);
            segment.bytes = start..bytes.len();
        }
        self.data.shrink_to_fit();
        self.elements.shrink_to_fit();
        self.data_bytes = bytes.into();
    }

    /// Returns the bytes of a data segment.
    pub fn segment_bytes(&self, segment: &DataSegment) -> &[u8] {
        &self.data_bytes[segment.bytes.clone()]
    }
}
