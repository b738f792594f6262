//! What a module asks for and offers, in words that no runtime owns, and what the host gives it.

use crate::rng::Rng;
use minirt_runtimes::minirt::{ExternType, Module, ValType};
use minirt_runtimes::on_minirt::type_of;
use minirt_runtimes::value::{Kind, Type, Value};
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
    /// Whether something else in the store may refer to its objects: what it imports, exceptions.
    pub(crate) shares_objects: bool,
    /// Whether exports can lead to structures and arrays.
    pub(crate) holds_objects: bool,
    /// Whether the host has all that the module imports. It makes no structures, for one.
    pub(crate) can_be_given: bool,
}

impl Shape {
    /// Asks minirt, so that all runtimes are asked for the same.
    pub(crate) fn of(module: &Module) -> Self {
        let constant = |ty: &ExternType| match ty {
            ExternType::Func(_) => true,
            ExternType::Global(ty) => !ty.mutable,
            _ => false,
        };
        let has_tags = module.exports().any(|export| matches!(export.ty(), ExternType::Tag(_)));
        let mut shape = Self {
            owns_its_state: module.imports().all(|import| constant(&import.ty())),
            can_be_given: module.imports().all(|import| can_be_given(&import.ty())),
            shares_objects: module.imports().len() > 0 || has_tags,
            imports_functions: module.imports().any(|import| matches!(import.ty(), ExternType::Func(_))),
            ..Self::default()
        };
        for export in module.exports() {
            let name = export.name().to_owned();
            shape.exports.push(name.clone());
            match export.ty() {
                ExternType::Func(ty) => {
                    let params: Vec<_> = ty.params().iter().map(type_of).collect();
                    if params.iter().all(has_value) {
                        shape.functions.push(Function { name, params, results: ty.results().len() });
                    }
                }
                ExternType::Memory(_) => shape.memories.push(name),
                ExternType::Global(ty) => shape.holds_objects |= can_be_object(&type_of(&ty.content)),
                ExternType::Table(ty) => shape.holds_objects |= can_be_object(&type_of(&ValType::Ref(ty.element))),
                ExternType::Tag(_) => {}
            }
        }
        shape
    }
}

fn can_be_given(import: &ExternType) -> bool {
    match import {
        ExternType::Global(ty) => has_value(&type_of(&ty.content)),
        ExternType::Table(ty) => ty.element.nullable,
        _ => true,
    }
}

fn can_be_object(ty: &Type) -> bool {
    matches!(ty, Type::Ref { kind: Kind::Any, .. })
}

/// Returns whether the host has a value of a type.
fn has_value(ty: &Type) -> bool {
    Rng::new(0, 0).value(*ty).is_some()
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
        Rng::new(number(module, name), 2).value(ty).expect("an import that can be given")
    }
}

/// Returns a number for an import. Not its place: wasmi lists imports in another order than the
/// others.
fn number(module: &str, name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    [module, "\0", name].iter().flat_map(|part| part.bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn answer(import: u64, arguments: &[Value], results: &[Type]) -> Option<Vec<Value>> {
    let mix = |hash: u64, value: &Value| Rng::new(hash, value.word()).next();
    let mut rng = Rng::new(arguments.iter().fold(import, mix), 1);
    results.iter().map(|ty| rng.value(*ty)).collect()
}
