//! What all runtimes are compared by: values, outcomes of calls, and what an instance holds. Knows no runtime.

use crate::rng::Rng;
use std::fmt;

/// The type of a value. References are those of WebAssembly 2.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Type {
    I32,
    I64,
    F32,
    F64,
    V128,
    Func,
    Extern,
}

/// A value. Floats are bits: generated code makes every NaN canonical, so that bits are comparable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    /// Whether it is null: functions of different runtimes have nothing else in common.
    Func {
        null: bool,
    },
    /// The host's values are numbers.
    Extern(Option<u32>),
}

impl Value {
    /// One of a type; often an interesting one. References to functions are null.
    pub(crate) fn random(ty: Type, rng: &mut Rng) -> Self {
        match ty {
            Type::I32 => Self::I32(number(rng) as u32),
            Type::I64 => Self::I64(number(rng)),
            Type::F32 if rng.one_in(2) => Self::F32((number(rng) as i32 as f32).to_bits()),
            Type::F32 => Self::F32(quiet_32(rng.next() as u32)),
            Type::F64 if rng.one_in(2) => Self::F64((number(rng) as i64 as f64).to_bits()),
            Type::F64 => Self::F64(quiet_64(rng.next())),
            Type::V128 => Self::V128(u128::from(number(rng)) << 64 | u128::from(number(rng))),
            Type::Func => Self::Func { null: true },
            Type::Extern => Self::Extern((!rng.one_in(3)).then(|| rng.below(100) as u32)),
        }
    }
}

fn number(rng: &mut Rng) -> u64 {
    const EDGES: [u64; 10] =
        [0, 1, u64::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX >> 1, 0xfffc, 0x1_0000];
    match rng.below(3) {
        0 => rng.pick(&EDGES),
        1 => rng.below(1 << 17),
        _ => rng.next(),
    }
}

/// Signalling NaNs may become quiet whenever a host touches them, so there are none among the arguments.
fn quiet_32(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits }
}

fn quiet_64(bits: u64) -> u64 {
    if f64::from_bits(bits).is_nan() { f64::NAN.to_bits() } else { bits }
}

/// Traps by the names that all runtimes can be mapped to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TrapKind {
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
pub(crate) enum Outcome {
    Returned(Vec<Value>),
    Trapped(TrapKind),
    /// Neither: this is never expected.
    Failed(String),
}

impl Outcome {
    /// Where the stack ends is each runtime's own affair, so nothing after that can be compared.
    pub(crate) fn is_overflow(&self) -> bool {
        *self == Self::Trapped(TrapKind::StackOverflow)
    }
}

/// What one export holds.
#[derive(Clone, PartialEq)]
pub(crate) enum Content {
    Global(Value),
    Memory(Vec<u8>),
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

/// What an instance holds, as far as it is exported, which is all of it: by export, in the module's order.
pub(crate) type State = Vec<(String, Content)>;

/// The first difference between two states in words.
pub(crate) fn difference(expected: &State, found: &State) -> Option<String> {
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
