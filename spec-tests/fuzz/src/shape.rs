//! What a module asks for and offers, in words that no runtime owns, and what the host gives it.

use crate::rng::Rng;
use crate::value::{Type, Value};

#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) params: Vec<Type>,
    pub(crate) results: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) functions: Vec<Function>,
    pub(crate) memories: Vec<String>,
    /// All exports in the module's order.
    pub(crate) exports: Vec<String>,
    /// Whether nothing that an instance may change belongs to others. Else a reset can not bring everything back.
    pub(crate) owns_its_state: bool,
    pub(crate) imports_functions: bool,
}

/// A number for an import. Not its place: wasmi lists imports in another order than the others.
pub(crate) fn number(module: &str, name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    [module, "\0", name].iter().flat_map(|part| part.bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

/// What the host's function for an import answers: it depends on nothing but the arguments.
pub(crate) fn answer(import: u64, arguments: &[Value], results: &[Type]) -> Vec<Value> {
    let mix = |hash: u64, value: &Value| {
        let bits = match *value {
            Value::I32(bits) | Value::F32(bits) => u64::from(bits),
            Value::I64(bits) | Value::F64(bits) => bits,
            Value::V128(bits) => (bits ^ (bits >> 64)) as u64,
            Value::Func { null } => u64::from(null),
            Value::Extern(number) => number.map_or(1 << 40, u64::from),
        };
        Rng::new(hash, bits).next()
    };
    let mut rng = Rng::new(arguments.iter().fold(import, mix), 1);
    results.iter().map(|ty| Value::random(*ty, &mut rng)).collect()
}

/// What an imported global starts with.
pub(crate) fn initial(import: u64, ty: Type) -> Value {
    Value::random(ty, &mut Rng::new(import, 2))
}
