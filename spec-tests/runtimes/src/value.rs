//! Defines what runtimes are compared by: values, outcomes of calls, and what an instance holds.
//! Knows no runtime.

use std::fmt;

/// The type of a value. References are those of WebAssembly 2.0, and those to exceptions.
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
    /// A reference to a function.
    Func,
    /// A reference to a value of the host.
    Extern,
    /// A reference to an exception.
    Exn,
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
    /// A reference to a value of the host, which is a number.
    Extern(Option<u32>),
    /// A reference to an exception.
    Exn {
        /// Whether it is null. What it carries is compared when it is thrown.
        null: bool,
    },
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
    /// Returns whether the stack overflowed. Each runtime has a limit of its own, so nothing after
    /// that can be compared.
    pub fn is_overflow(&self) -> bool {
        *self == Self::Trapped(TrapKind::StackOverflow)
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
