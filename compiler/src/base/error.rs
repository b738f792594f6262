//! What can go wrong between bytes and machine code.

use std::fmt;

/// Why a module could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    kind: ErrorKind,
    message: String,
    offset: Option<usize>,
}

/// What sort of trouble it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes are no valid WebAssembly module, or use a feature that is not there.
    Invalid,
    /// The module is valid and asks for more than minirt's limits allow.
    Limit,
    /// The code generator refused; a bug of minirt.
    Internal,
}

impl CompileError {
    /// The module breaks a rule of the specification; `offset` counts bytes from its start.
    pub fn invalid(message: impl Into<String>, offset: usize) -> Self {
        Self { kind: ErrorKind::Invalid, message: message.into(), offset: Some(offset) }
    }

    /// The module asks for more than is possible.
    pub fn limit(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Limit, message: message.into(), offset: None }
    }

    /// The code generator failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Internal, message: message.into(), offset: None }
    }

    /// What sort of trouble it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The byte of the module where it was noticed, where that is known.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// What is wrong, without the offset.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.offset.map_or(Ok(()), |at| write!(f, " (at byte offset {at:#x})"))
    }
}

impl std::error::Error for CompileError {}
