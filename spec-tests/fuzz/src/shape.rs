//! What a module asks for and offers, in words that no runtime owns, and what the host gives it.

use crate::rng::Rng;
use minirt_runtimes::minirt::{ExternType, Module};
use minirt_runtimes::on_minirt::type_of;
use minirt_runtimes::value::{Type, Value};
use minirt_runtimes::{Answer, Host};

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
    /// Whether nothing that an instance may change belongs to others. Otherwise a reset cannot
    /// bring everything back.
    pub(crate) owns_its_state: bool,
    pub(crate) imports_functions: bool,
}

impl Shape {
    /// Asks minirt, so that all runtimes are asked for the same.
    pub(crate) fn of(module: &Module) -> Self {
        let constant = |ty: &ExternType| match ty {
            ExternType::Func(_) => true,
            ExternType::Global(ty) => !ty.mutable,
            _ => false,
        };
        let mut shape = Self {
            owns_its_state: module.imports().all(|import| constant(&import.ty())),
            imports_functions: module.imports().any(|import| matches!(import.ty(), ExternType::Func(_))),
            ..Self::default()
        };
        for export in module.exports() {
            let name = export.name().to_owned();
            shape.exports.push(name.clone());
            match export.ty() {
                ExternType::Func(ty) => {
                    let params = ty.params().iter().map(type_of).collect();
                    shape.functions.push(Function { name, params, results: ty.results().len() });
                }
                ExternType::Memory(_) => shape.memories.push(name),
                _ => {}
            }
        }
        shape
    }
}

/// A host whose functions return what follows from the import's names and the arguments, and
/// nothing else.
pub(crate) struct AnswersByArguments;

impl Host for AnswersByArguments {
    fn function(&self, module: &str, name: &str) -> Answer {
        let import = number(module, name);
        Box::new(move |arguments, results| answer(import, arguments, results))
    }

    fn global(&self, module: &str, name: &str, ty: Type) -> Value {
        Rng::new(number(module, name), 2).value(ty)
    }
}

/// Returns a number for an import. Not its place: wasmi lists imports in another order than the
/// others.
fn number(module: &str, name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    [module, "\0", name].iter().flat_map(|part| part.bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn answer(import: u64, arguments: &[Value], results: &[Type]) -> Vec<Value> {
    let mix = |hash: u64, value: &Value| {
        let bits = match *value {
            Value::I32(bits) | Value::F32(bits) => u64::from(bits),
            Value::I64(bits) | Value::F64(bits) => bits,
            Value::V128(bits) => (bits ^ (bits >> 64)) as u64,
            Value::Func { null } | Value::Exn { null } => u64::from(null),
            Value::Extern(number) => number.map_or(1 << 40, u64::from),
        };
        Rng::new(hash, bits).next()
    };
    let mut rng = Rng::new(arguments.iter().fold(import, mix), 1);
    results.iter().map(|ty| rng.value(*ty)).collect()
}
