//! Defines what runtimes are compared by: values, outcomes of calls, and what an instance holds.
//! Knows no runtime.

use std::fmt;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// A number of 32 bits.
    I32,
    /// A number of 64 bits.
    I64,
    /// A float of 32 bits.
    F32,
    /// A float of 64 bits.
    F64,
    /// A vector.
    V128,
    /// A reference.
    Ref {
        /// What it leads to.
        kind: Kind,
        /// Whether it may be null.
        nullable: bool,
        /// Whether the host has something for it besides null: a number, as a value of the host or
        /// an `i31`.
        open: bool,
    },
}

/// What references lead to, by the hierarchies of their types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Functions.
    Func,
    /// Values of the host.
    Extern,
    /// Exceptions.
    Exn,
    /// Structures, arrays and `i31`.
    Any,
}

/// A value. Floats are bits: generated code makes every NaN canonical, so that bits are comparable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number of 32 bits.
    I32(u32),
    /// A number of 64 bits.
    I64(u64),
    /// The bits of a float.
    F32(u32),
    /// The bits of a float.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A reference to a function.
    Func {
        /// Whether it is null. Functions of different runtimes have nothing else in common.
        null: bool,
    },
    /// A reference to an exception.
    Exn {
        /// Whether it is null. What it carries is compared when it is thrown.
        null: bool,
    },
    /// A reference to a value of the host, or to what [`Value::Any`] leads to and was made
    /// external.
    Extern(Option<Object>),
    /// A reference to a structure, an array or an `i31`, or to a value of the host that was made
    /// internal.
    Any(Option<Object>),
}

/// What a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Object {
    /// A value of the host, which is a number.
    Host(u32),
    /// An integer of 31 bits.
    I31(u32),
    /// A structure.
    Struct(Contents),
    /// An array.
    Array(Contents),
}

/// What an object contains. Only as much as the budget allows, for objects may lead to themselves.
#[derive(Clone, Copy, PartialEq)]
pub struct Contents {
    /// The fields of a structure, or elements of an array.
    pub len: u32,
    /// The structures and arrays that were seen: this one, and those inside.
    pub objects: u32,
    /// A number made of the contents.
    pub digest: u64,
    /// What a snapshot might not freeze.
    pub holds: Holds,
}

/// What objects contain, or might.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Holds {
    /// A value of the host, or an exception.
    pub foreign: bool,
    /// A function.
    pub function: bool,
    /// More than was looked at.
    pub more: bool,
}

/// The values inside objects that one reference is compared by, at the most.
pub const BUDGET: u32 = 100;

impl Contents {
    /// Describes an object of `len` fields or elements, of which these were looked at.
    pub fn of(len: u32, elements: &[Value]) -> Self {
        let more = (elements.len() as u64) < u64::from(len);
        let holds = Holds { more, ..Holds::default() };
        let mut contents = Self { len, objects: 1, digest: u64::from(len), holds };
        for value in elements {
            let mixed = contents.digest.rotate_left(9) ^ value.word();
            contents.digest = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            contents.holds = contents.holds.and(value.holds());
            contents.objects += value.objects();
        }
        contents
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values, digest {:#x}", self.len, self.digest)
    }
}

impl Holds {
    fn and(self, other: Self) -> Self {
        Self {
            foreign: self.foreign || other.foreign,
            function: self.function || other.function,
            more: self.more || other.more,
        }
    }
}

impl Value {
    /// Returns a number made of the value and its type.
    pub fn word(&self) -> u64 {
        let (ty, bits) = match *self {
            Self::I32(bits) => (1, u64::from(bits)),
            Self::I64(bits) => (2, bits),
            Self::F32(bits) => (3, u64::from(bits)),
            Self::F64(bits) => (4, bits),
            Self::V128(bits) => (5, (bits ^ (bits >> 64)) as u64),
            Self::Func { null } => (6, u64::from(null)),
            Self::Exn { null } => (7, u64::from(null)),
            Self::Extern(object) => (8, object.map_or(1 << 40, Object::word)),
            Self::Any(object) => (9, object.map_or(1 << 40, Object::word)),
        };
        bits ^ (ty << 56)
    }

    /// Returns how many structures and arrays were seen that it leads to.
    pub fn objects(&self) -> u32 {
        match self {
            Self::Extern(Some(Object::Struct(contents) | Object::Array(contents)))
            | Self::Any(Some(Object::Struct(contents) | Object::Array(contents))) => contents.objects,
            _ => 0,
        }
    }

    /// Returns what it leads to that a snapshot might not freeze.
    pub fn holds(&self) -> Holds {
        match *self {
            Self::Func { null } => Holds { function: !null, ..Holds::default() },
            Self::Exn { null } => Holds { foreign: !null, ..Holds::default() },
            Self::Extern(Some(object)) | Self::Any(Some(object)) => match object {
                Object::Host(_) => Holds { foreign: true, ..Holds::default() },
                Object::I31(_) => Holds::default(),
                Object::Struct(contents) | Object::Array(contents) => contents.holds,
            },
            _ => Holds::default(),
        }
    }
}

impl Object {
    fn word(self) -> u64 {
        match self {
            Self::Host(number) => u64::from(number),
            Self::I31(number) => u64::from(number) | 1 << 41,
            Self::Struct(contents) => contents.digest | 1 << 42,
            Self::Array(contents) => contents.digest | 1 << 43,
        }
    }
}

/// Traps by the names that all runtimes can be mapped to.
#[allow(missing_docs, reason = "the names are those of the specification")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrapKind {
    StackOverflow,
    MemoryOutOfBounds,
    /// Also of an indirect call's index.
    TableOutOfBounds,
    IndirectCallToNull,
    BadSignature,
    IntegerOverflow,
    IntegerDivisionByZero,
    BadConversionToInteger,
    Unreachable,
    NullReference,
    ArrayOutOfBounds,
    CastFailure,
    /// No room for another object.
    HeapExhausted,
}

/// How a call or an instantiation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With these values.
    Returned(Vec<Value>),
    /// By a trap.
    Trapped(TrapKind),
    /// By an exception that carries these values.
    Threw(Vec<Value>),
    /// By another error, which is never expected.
    Failed(String),
}

impl Outcome {
    /// Returns whether the stack or the heap had an end. Each runtime has limits of its own, so
    /// nothing after that can be compared.
    pub fn is_exhaustion(&self) -> bool {
        matches!(self, Self::Trapped(TrapKind::StackOverflow | TrapKind::HeapExhausted))
    }
}

/// The contents of one export.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// A global's value.
    Global(Value),
    /// A memory's bytes.
    Memory(Vec<u8>),
    /// A table's elements.
    Table(Vec<Value>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global(value) => write!(f, "{value:?}"),
            Self::Memory(bytes) => write!(f, "a memory of {} bytes", bytes.len()),
            Self::Table(elements) => write!(f, "a table {elements:?}"),
        }
    }
}

/// The contents of an instance, as far as it is exported, which is all of it: by export, in the
/// module's order.
pub type State = Vec<(String, Content)>;

/// Returns the first difference between two states in words.
pub fn difference(expected: &State, found: &State) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} exports hold something, instead of {}", found.len(), expected.len()));
    }
    let (expected, found) = expected.iter().zip(found).find(|(expected, found)| expected != found)?;
    let place = match (&expected.1, &found.1) {
        (Content::Memory(a), Content::Memory(b)) => {
            let at = a.iter().zip(b).position(|(a, b)| a != b);
            at.map(|at| format!(" (the first different byte is at {at:#x}: {:#x}, expected {:#x})", b[at], a[at]))
        }
        _ => None,
    };
    Some(format!("`{}` is {:?}, expected {:?}{}", found.0, found.1, expected.1, place.unwrap_or_default()))
}
