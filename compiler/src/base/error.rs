//! Defines the errors of compilation, and their kinds.
//!
//! Whoever wants to know what an error means asks for its [kind](CompileError::kind): its text is
//! for people.

use std::fmt;

/// Why a module could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    kind: CompileErrorKind,
    message: String,
    offset: Option<usize>,
}

/// The kind of an error, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileErrorKind {
    /// The bytes are not a valid module in the binary format.
    Malformed {
        /// Whether they end too early: the rest may be missing.
        cut_off: bool,
    },
    /// The module uses a feature that minirt does not have.
    Unsupported(Feature),
    /// The module uses a feature that minirt has, and that was switched off.
    Disabled(Feature),
    /// The module is valid, and asks for more than minirt's limits allow.
    Limit,
    /// The code generator failed, which is a bug of minirt.
    Internal,
}

macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal, $text:literal;)*) => {
        /// A feature of WebAssembly that a module may not use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Feature {
            $($(#[$doc])* $feature,)*
        }

        impl Feature {
            /// Returns the short name: the proposal's, with dashes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$feature => $name,)*
                }
            }
        }

        /// A noun in the plural or without a number, for use after "has no".
        impl fmt::Display for Feature {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$feature => $text,)*
                })
            }
        }
    };
}

features! {
    /// Atomic accesses whose order is weaker than sequential.
    AcquireReleaseAtomics = "acquire-release-atomics", "atomics with acquire and release order";
    /// Instructions that work on many bytes or elements, passive segments, and memories as their
    /// targets.
    BulkMemory = "bulk-memory", "bulk memory instructions (bulk-memory)";
    /// Imports that share the name of their module.
    CompactImports = "compact-imports", "compact import sections (compact-imports)";
    /// Components, which consist of modules.
    ComponentModel = "component-model", "components (component-model)";
    /// Memories whose pages have one byte.
    CustomPageSizes = "custom-page-sizes", "custom page sizes (custom-page-sizes)";
    /// Types with descriptors, and exact types.
    CustomDescriptors = "custom-descriptors", "type descriptors (custom-descriptors)";
    /// Exceptions of WebAssembly 3.0.
    Exceptions = "exceptions", "exceptions";
    /// Constant expressions that add, subtract and multiply.
    ExtendedConst = "extended-const", "extended constant expressions (extended-const)";
    /// References to functions of a type, references that are never null, and types that name or
    /// extend each other.
    FunctionReferences = "function-references", "typed function references (function-references)";
    /// Structures, arrays and the references that lead to them.
    Gc = "gc", "structures and arrays (gc)";
    /// Exceptions as they were before WebAssembly 3.0.
    LegacyExceptions = "legacy-exceptions", "legacy exceptions";
    /// Memories and tables with 64-bit addresses.
    Memory64 = "memory64", "64-bit memories and tables (memory64)";
    /// Giving pages of a memory back.
    MemoryControl = "memory-control", "memory control";
    /// More than one memory in a module.
    MultiMemory = "multi-memory", "multiple memories (multi-memory)";
    /// Functions with several results, and blocks with parameters.
    MultiValue = "multi-value", "multiple values (multi-value)";
    /// Loads and stores that work on arrays.
    MultibyteArrayAccess = "multibyte-array-access", "multibyte array accesses";
    /// References as values, and more than one table in a module.
    ReferenceTypes = "reference-types", "reference types (reference-types)";
    /// Vector instructions whose results may differ from one processor to another.
    RelaxedSimd = "relaxed-simd", "relaxed vector instructions (relaxed-simd)";
    /// Threads that share more than memories.
    SharedEverythingThreads = "shared-everything-threads", "shared-everything threads";
    /// Vectors of 128 bits.
    Simd = "simd", "vector instructions (simd)";
    /// Stacks that can be left and resumed.
    StackSwitching = "stack-switching", "stack switching";
    /// Calls that take the place of their caller.
    TailCall = "tail-call", "tail calls (tail-call)";
    /// Shared memories and atomic accesses.
    Threads = "threads", "threads";
    /// Arithmetic on 128 bits.
    WideArithmetic = "wide-arithmetic", "wide arithmetic instructions (wide-arithmetic)";
}

impl CompileError {
    /// Makes the error of a module that breaks a rule of the specification; `offset` counts bytes
    /// from its start.
    pub fn malformed(message: impl Into<String>, offset: usize) -> Self {
        let kind = CompileErrorKind::Malformed { cut_off: false };
        Self { kind, message: message.into(), offset: Some(offset) }
    }

    /// Makes the error of a module whose bytes end too early.
    pub(crate) fn cut_off(message: impl Into<String>, offset: usize) -> Self {
        let kind = CompileErrorKind::Malformed { cut_off: true };
        Self { kind, message: message.into(), offset: Some(offset) }
    }

    /// Makes the error of a module that uses what minirt does not have; `what` names the use, and
    /// can be empty.
    pub(crate) fn unsupported(feature: Feature, what: &str, offset: usize) -> Self {
        let separator = if what.is_empty() { "" } else { ": " };
        let message = format!("minirt has no {feature}{separator}{what}");
        Self { kind: CompileErrorKind::Unsupported(feature), message, offset: Some(offset) }
    }

    /// Makes the error of a module that uses what was switched off.
    pub(crate) fn disabled(feature: Feature, offset: usize) -> Self {
        let message = format!("{feature} are switched off");
        Self { kind: CompileErrorKind::Disabled(feature), message, offset: Some(offset) }
    }

    /// Makes the error of a module that asks for more than is possible.
    pub fn limit(message: impl Into<String>) -> Self {
        Self { kind: CompileErrorKind::Limit, message: message.into(), offset: None }
    }

    /// Makes the error of a code generator that failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: CompileErrorKind::Internal, message: message.into(), offset: None }
    }

    /// Returns what went wrong.
    pub fn kind(&self) -> CompileErrorKind {
        self.kind
    }

    /// Returns the byte of the module where it was noticed, if that is known.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// Returns what is wrong, without the offset.
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
