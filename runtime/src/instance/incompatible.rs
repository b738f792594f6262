//! The error about an import of another type than the module asks for.

use minirt_compiler::Printable;
use minirt_compiler::module::ExternType;
use std::fmt::{self, Display, Formatter};

/// Says that something was given for an import, and is of a type that does not fit. Errors of
/// instantiation and of [`Linker::instantiate_pre`](crate::Linker::instantiate_pre) downcast to it.
///
/// Names are a guest's choice. The message escapes and shortens them; the methods return them as
/// they are.
#[derive(Clone, Debug)]
pub struct IncompatibleImportError {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) expected: ExternType,
    pub(super) found: ExternType,
    /// Both types as text, with the types that they name in place of their numbers.
    pub(super) shown: [String; 2],
}

impl IncompatibleImportError {
    /// Returns the first part of the import's name, usually called the module.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Returns the second part of the import's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type that the module asks for.
    pub fn expected(&self) -> &ExternType {
        &self.expected
    }

    /// Returns the type of what was given. Memories and tables have their size as the minimum.
    pub fn found(&self) -> &ExternType {
        &self.found
    }
}

impl Display for IncompatibleImportError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (module, name) = (Printable::new(&self.module), Printable::new(&self.name));
        let [expected, found] = &self.shown;
        write!(
            f,
            "incompatible import type for `{module}::{name}`: the module asks for `{expected}`, but `{found}` was given"
        )
    }
}

impl std::error::Error for IncompatibleImportError {}
