//! The error about an import that is not defined.

use minirt_compiler::Printable;
use minirt_compiler::module::ExternType;
use std::fmt::{self, Display, Formatter};

/// Says that a module asks for something that its linker does not define. The errors of
/// [`Linker::instantiate`](crate::Linker::instantiate), of
/// [`Linker::instantiate_pre`](crate::Linker::instantiate_pre) and of functions that
/// [`Linker::define_unknown_imports_as_traps`](crate::Linker::define_unknown_imports_as_traps) has
/// defined downcast to it.
///
/// Names are a guest's choice. The message escapes and shortens them; the methods return them as
/// they are.
///
/// # Examples
/// ```
/// use minirt::{Engine, Linker, Module, Store, UnknownImportError};
///
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("env", "print", |_: i32| {})?;
/// let module = Module::new(&engine, r#"(module (import "env" "prnit" (func (param i32))))"#)?;
/// let error = linker.instantiate(&mut Store::new(&engine, ()), &module).unwrap_err();
/// let unknown = error.downcast_ref::<UnknownImportError>().unwrap();
/// assert_eq!((unknown.module(), unknown.name()), ("env", "prnit"));
/// assert!(error.to_string().ends_with("`env` has: `print`"));
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct UnknownImportError {
    module: String,
    name: String,
    ty: ExternType,
    /// The second half of the message: what is defined instead.
    remark: String,
}

impl UnknownImportError {
    pub(super) fn new(module: &str, name: &str, ty: ExternType, remark: String) -> Self {
        Self { module: module.to_owned(), name: name.to_owned(), ty, remark }
    }

    /// Returns the first part of the import's name, usually called the module.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Returns the second part of the import's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type that the module asks for.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

impl Display for UnknownImportError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (module, name) = (Printable::new(&self.module), Printable::new(&self.name));
        write!(f, "unknown import: `{module}::{name}` has not been defined; {}", self.remark)
    }
}

impl std::error::Error for UnknownImportError {}
