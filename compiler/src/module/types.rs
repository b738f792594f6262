//! Defines the types of values and functions (specification, section 2.3). Those of structures and
//! arrays are in `composite`.
//!
//! `canonical` decides when two types are equal or one extends another. `display` prints them.

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
    /// The type of what its other values point to.
    pub heap: HeapType,
}

/// A heap type: what a reference may point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// Any value of the host.
    Extern,
    /// Any exception.
    Exn,
    /// No function: only null.
    NoFunc,
    /// No value of the host: only null.
    NoExtern,
    /// No exception: only null.
    NoExn,
    /// Functions of a type, by its number. In a [`ModuleInfo`](super::ModuleInfo) that is the index
    /// among its types; everywhere else it is the engine's number, the same for equal types of all
    /// modules.
    ConcreteFunc(u32),
    /// Any structure, array or `i31`, and any value of the host that was made internal
    /// (`any.convert_extern`).
    Any,
    /// Whatever can be compared: any structure, array or `i31`.
    Eq,
    /// Integers of 31 bits.
    I31,
    /// Any structure.
    Struct,
    /// Any array.
    Array,
    /// Nothing that is [`HeapType::Any`]: only null.
    None,
    /// Structures of a type, by its number, as [`HeapType::ConcreteFunc`].
    ConcreteStruct(u32),
    /// Arrays of a type, by its number, as [`HeapType::ConcreteFunc`].
    ConcreteArray(u32),
}

/// The kinds of references. Each has a representation of its own, and no type has values of two
/// kinds.
///
/// Whatever depends on how references are represented matches this enum without a wildcard, so that
/// the compiler finds all of it when there is another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefKind {
    /// To functions. As a value, the address of a funcref record; in the state, its distance from
    /// the owner's vmctx.
    Func,
    /// To values of the host. A handle: a number that means something to the store.
    Extern,
    /// To structures, arrays and what else is [`HeapType::Any`]. A number: an `i31` has its value
    /// and the lowest bit set; otherwise it is an offset in the store's heap.
    Any,
    /// To exceptions. A handle as well.
    Exn,
}

impl RefKind {
    /// Returns whether the runtime has to find the references of this kind that code holds: what
    /// they lead to can move, or is freed once nothing refers to it.
    pub const fn is_traced(self) -> bool {
        match self {
            Self::Func => false,
            Self::Extern | Self::Any | Self::Exn => true,
        }
    }
}

impl HeapType {
    /// Returns the kind of references to this.
    pub const fn kind(self) -> RefKind {
        match self {
            Self::Func | Self::NoFunc | Self::ConcreteFunc(_) => RefKind::Func,
            Self::Extern | Self::NoExtern => RefKind::Extern,
            Self::Any | Self::Eq | Self::I31 | Self::Struct | Self::Array | Self::None => RefKind::Any,
            Self::ConcreteStruct(_) | Self::ConcreteArray(_) => RefKind::Any,
            Self::Exn | Self::NoExn => RefKind::Exn,
        }
    }

    /// Returns whether the runtime has to find the references to this that code holds. Null and
    /// small integers lead nowhere.
    pub const fn is_traced(self) -> bool {
        match self {
            Self::I31 | Self::None | Self::NoExtern | Self::NoExn => false,
            _ => self.kind().is_traced(),
        }
    }

    /// Returns whether it is `func`: any function.
    pub const fn is_func(&self) -> bool {
        matches!(self, Self::Func)
    }

    /// Returns whether it is `nofunc`: no function.
    pub const fn is_no_func(&self) -> bool {
        matches!(self, Self::NoFunc)
    }

    /// Returns whether it is `extern`: any value of the host.
    pub const fn is_extern(&self) -> bool {
        matches!(self, Self::Extern)
    }

    /// Returns whether it is `noextern`: no value of the host.
    pub const fn is_no_extern(&self) -> bool {
        matches!(self, Self::NoExtern)
    }

    /// Returns whether it is `exn`: any exception.
    pub const fn is_exn(&self) -> bool {
        matches!(self, Self::Exn)
    }

    /// Returns whether it is `noexn`: no exception.
    pub const fn is_no_exn(&self) -> bool {
        matches!(self, Self::NoExn)
    }

    /// Returns whether it is `any`: anything but functions and external values.
    pub const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// Returns whether it is `eq`: whatever can be compared.
    pub const fn is_eq(&self) -> bool {
        matches!(self, Self::Eq)
    }

    /// Returns whether it is `i31`.
    pub const fn is_i31(&self) -> bool {
        matches!(self, Self::I31)
    }

    /// Returns whether it is `struct`: any structure.
    pub const fn is_struct(&self) -> bool {
        matches!(self, Self::Struct)
    }

    /// Returns whether it is `array`: any array.
    pub const fn is_array(&self) -> bool {
        matches!(self, Self::Array)
    }

    /// Returns whether it is `none`: nothing that is `any`.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns whether it is one certain type that a module defines.
    pub const fn is_concrete(&self) -> bool {
        self.as_concrete().is_some()
    }

    /// Returns the number of the type, if it is one that a module defines.
    pub const fn as_concrete(&self) -> Option<u32> {
        match self {
            Self::ConcreteFunc(number) | Self::ConcreteStruct(number) | Self::ConcreteArray(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns whether it is not concrete.
    pub const fn is_abstract(&self) -> bool {
        !self.is_concrete()
    }

    /// Returns the number of the type, if it is one certain type of functions.
    pub const fn as_concrete_func(&self) -> Option<u32> {
        if let Self::ConcreteFunc(number) = self { Some(*number) } else { None }
    }

    /// Returns the number of the type, if it is one certain type of structures.
    pub const fn as_concrete_struct(&self) -> Option<u32> {
        if let Self::ConcreteStruct(number) = self { Some(*number) } else { None }
    }

    /// Returns the number of the type, if it is one certain type of arrays.
    pub const fn as_concrete_array(&self) -> Option<u32> {
        if let Self::ConcreteArray(number) = self { Some(*number) } else { None }
    }

    /// Returns the most general type of its kind.
    pub const fn top(&self) -> Self {
        match self.kind() {
            RefKind::Func => Self::Func,
            RefKind::Extern => Self::Extern,
            RefKind::Any => Self::Any,
            RefKind::Exn => Self::Exn,
        }
    }

    /// Returns the type of its kind that every other matches: that of null references.
    pub const fn bottom(&self) -> Self {
        match self.kind() {
            RefKind::Func => Self::NoFunc,
            RefKind::Extern => Self::NoExtern,
            RefKind::Any => Self::None,
            RefKind::Exn => Self::NoExn,
        }
    }

    /// Returns whether references to this can be used where references to `other` are expected, as
    /// far as that follows from the two alone. Of two different concrete types, only the engine
    /// knows whether one extends the other: ask the runtime's `Engine::matches`.
    pub fn matches(&self, other: &Self) -> bool {
        self == other
            || *other == self.top()
            || *self == other.bottom()
            || match other {
                Self::Eq => self.kind() == RefKind::Any && !self.is_any(),
                Self::Struct => self.as_concrete_struct().is_some(),
                Self::Array => self.as_concrete_array().is_some(),
                _ => false,
            }
    }
}

impl RefType {
    /// `(ref null func)`
    pub const FUNCREF: Self = Self { nullable: true, heap: HeapType::Func };
    /// `(ref null nofunc)`
    pub const NULLFUNCREF: Self = Self { nullable: true, heap: HeapType::NoFunc };
    /// `(ref null extern)`
    pub const EXTERNREF: Self = Self { nullable: true, heap: HeapType::Extern };
    /// `(ref null noextern)`
    pub const NULLEXTERNREF: Self = Self { nullable: true, heap: HeapType::NoExtern };
    /// `(ref null any)`
    pub const ANYREF: Self = Self { nullable: true, heap: HeapType::Any };
    /// `(ref null eq)`
    pub const EQREF: Self = Self { nullable: true, heap: HeapType::Eq };
    /// `(ref null i31)`
    pub const I31REF: Self = Self { nullable: true, heap: HeapType::I31 };
    /// `(ref null struct)`
    pub const STRUCTREF: Self = Self { nullable: true, heap: HeapType::Struct };
    /// `(ref null array)`
    pub const ARRAYREF: Self = Self { nullable: true, heap: HeapType::Array };
    /// `(ref null none)`
    pub const NULLREF: Self = Self { nullable: true, heap: HeapType::None };
    /// `(ref null exn)`
    pub const EXNREF: Self = Self { nullable: true, heap: HeapType::Exn };
    /// `(ref null noexn)`
    pub const NULLEXNREF: Self = Self { nullable: true, heap: HeapType::NoExn };

    /// Returns the type of references to `heap`.
    pub const fn new(nullable: bool, heap: HeapType) -> Self {
        Self { nullable, heap }
    }

    /// Returns whether null is among its values.
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Returns what its other values point to.
    pub const fn heap_type(&self) -> HeapType {
        self.heap
    }

    /// Returns whether it can be used where `other` is expected, as far as [`HeapType::matches`]
    /// can tell.
    pub fn matches(&self, other: &Self) -> bool {
        (other.nullable || !self.nullable) && self.heap.matches(&other.heap)
    }
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> Self {
        Self::Ref(ty)
    }
}

impl ValType {
    /// `(ref null func)`
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `(ref null nofunc)`
    pub const NULLFUNCREF: Self = Self::Ref(RefType::NULLFUNCREF);
    /// `(ref null extern)`
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);
    /// `(ref null noextern)`
    pub const NULLEXTERNREF: Self = Self::Ref(RefType::NULLEXTERNREF);
    /// `(ref null any)`
    pub const ANYREF: Self = Self::Ref(RefType::ANYREF);
    /// `(ref null eq)`
    pub const EQREF: Self = Self::Ref(RefType::EQREF);
    /// `(ref null i31)`
    pub const I31REF: Self = Self::Ref(RefType::I31REF);
    /// `(ref null struct)`
    pub const STRUCTREF: Self = Self::Ref(RefType::STRUCTREF);
    /// `(ref null array)`
    pub const ARRAYREF: Self = Self::Ref(RefType::ARRAYREF);
    /// `(ref null none)`
    pub const NULLREF: Self = Self::Ref(RefType::NULLREF);
    /// `(ref null exn)`
    pub const EXNREF: Self = Self::Ref(RefType::EXNREF);
    /// `(ref null noexn)`
    pub const NULLEXNREF: Self = Self::Ref(RefType::NULLEXNREF);

    /// Returns whether it is a number: `i32`, `i64`, `f32` or `f64`.
    pub const fn is_num(&self) -> bool {
        matches!(self, Self::I32 | Self::I64 | Self::F32 | Self::F64)
    }

    /// Returns whether it is `i32`.
    pub const fn is_i32(&self) -> bool {
        matches!(self, Self::I32)
    }

    /// Returns whether it is `i64`.
    pub const fn is_i64(&self) -> bool {
        matches!(self, Self::I64)
    }

    /// Returns whether it is `f32`.
    pub const fn is_f32(&self) -> bool {
        matches!(self, Self::F32)
    }

    /// Returns whether it is `f64`.
    pub const fn is_f64(&self) -> bool {
        matches!(self, Self::F64)
    }

    /// Returns whether it is `v128`.
    pub const fn is_v128(&self) -> bool {
        matches!(self, Self::V128)
    }

    /// Returns whether it is a reference type.
    pub const fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// Returns whether its values are references that the runtime has to find where code holds
    /// them.
    pub const fn is_traced(&self) -> bool {
        match self {
            Self::Ref(ty) => ty.heap.is_traced(),
            Self::I32 | Self::I64 | Self::F32 | Self::F64 | Self::V128 => false,
        }
    }

    /// Returns whether it is `funcref`, which is `(ref null func)`.
    pub const fn is_funcref(&self) -> bool {
        matches!(self, Self::Ref(RefType { nullable: true, heap: HeapType::Func }))
    }

    /// Returns whether it is `externref`, which is `(ref null extern)`.
    pub const fn is_externref(&self) -> bool {
        matches!(self, Self::Ref(RefType { nullable: true, heap: HeapType::Extern }))
    }

    /// Returns whether it is `anyref`, which is `(ref null any)`.
    pub const fn is_anyref(&self) -> bool {
        matches!(self, Self::Ref(RefType { nullable: true, heap: HeapType::Any }))
    }

    /// Returns whether it is `i31ref`, which is `(ref null i31)`.
    pub const fn is_i31ref(&self) -> bool {
        matches!(self, Self::Ref(RefType { nullable: true, heap: HeapType::I31 }))
    }

    /// Returns whether it is `exnref`, which is `(ref null exn)`.
    pub const fn is_exnref(&self) -> bool {
        matches!(self, Self::Ref(RefType { nullable: true, heap: HeapType::Exn }))
    }

    /// Returns the reference type, if it is one.
    pub const fn as_ref(&self) -> Option<&RefType> {
        if let Self::Ref(ty) = self { Some(ty) } else { None }
    }

    /// Returns the reference type.
    ///
    /// # Panics
    /// Panics if it is not a reference type.
    pub fn unwrap_ref(&self) -> &RefType {
        self.as_ref().unwrap_or_else(|| panic!("expected a reference type, found {self}"))
    }

    /// Returns whether values of the type can be used where `other` is expected, as far as
    /// [`HeapType::matches`] can tell.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ref(ty), Self::Ref(other)) => ty.matches(other),
            _ => self == other,
        }
    }
}

/// Whether other types may extend a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finality {
    /// None may.
    Final,
    /// Any may that takes at least as much, and returns at most as much.
    NonFinal,
}

/// The type of a function: its parameters and results.
///
/// Types can differ in more than that: one can be open to subtypes, extend another, or be part of a
/// recursive group (specification, section 2.3.8). Such a type comes from an engine, and is equal
/// to itself only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    params: Box<[ValType]>,
    results: Box<[ValType]>,
    /// The engine's number, for a type of which parameters and results do not say everything. Never
    /// in a [`ModuleInfo`](super::ModuleInfo).
    pub(crate) number: Option<u32>,
}

impl FuncType {
    /// Returns the type of functions from `params` to `results`. It is final, and extends no other.
    ///
    /// wasmtime's `FuncType::new` also takes an engine, in front. Types of minirt do not belong to
    /// one, unless parameters and results do not say everything about them: those come from
    /// `Engine::sub_type`.
    pub fn new(params: impl IntoIterator<Item = ValType>, results: impl IntoIterator<Item = ValType>) -> Self {
        Self { params: params.into_iter().collect(), results: results.into_iter().collect(), number: None }
    }

    /// Returns the type of the parameter with an index, if there is one.
    pub fn param(&self, index: usize) -> Option<ValType> {
        self.params.get(index).copied()
    }

    /// Returns the type of the result with an index, if there is one.
    pub fn result(&self, index: usize) -> Option<ValType> {
        self.results.get(index).copied()
    }

    /// Returns the types of the parameters, in order.
    pub fn params(&self) -> &[ValType] {
        &self.params
    }

    /// Returns the types of the results, in order.
    pub fn results(&self) -> &[ValType] {
        &self.results
    }
}
