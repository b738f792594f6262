//! The types of values and functions (specification, section 2.3), and how they print.
//!
//! When two types are equal or one extends another is the business of `canonical`.

use std::fmt;

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
    /// Functions of a type, by its number. In a [`ModuleInfo`](super::ModuleInfo) that is the index among its types;
    /// everywhere else it is the engine's number, the same for equal types of all modules.
    ConcreteFunc(u32),
}

/// The kinds of references. Each has a representation of its own, and no type has values of two kinds.
///
/// Whatever depends on how references are represented matches this enum without a wildcard, so that the compiler finds
/// all of it when there is another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefKind {
    /// To functions. As a value, the address of a funcref record; in the state, its distance from the owner's vmctx.
    Func,
    /// To values of the host. A handle: a number that means something to the store.
    Extern,
}

impl HeapType {
    /// Returns the kind of references to this.
    pub const fn kind(self) -> RefKind {
        match self {
            Self::Func | Self::NoFunc | Self::ConcreteFunc(_) => RefKind::Func,
            Self::Extern | Self::NoExtern => RefKind::Extern,
        }
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
            Self::ConcreteFunc(number) => number.fmt(f),
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
