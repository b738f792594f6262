//! What a compiler can be told: optimisation, features, metering.

use crate::base::error::{CompileError, CompileErrorKind, Feature};

/// How hard Cranelift works on the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptLevel {
    /// As fast as possible to compile.
    None,
    /// As fast as possible to run.
    #[default]
    Speed,
    /// Fast to run, but smaller where there is a choice.
    SpeedAndSize,
}

/// What a [`Compiler`](crate::Compiler) may be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How hard Cranelift works on the code.
    pub opt_level: OptLevel,
    /// Whether the functions of a large module are compiled on several threads.
    pub parallel: bool,
    /// What modules may use.
    pub features: Features,
    /// How code can be made to stop.
    pub metering: Metering,
}

/// What code does at run time so that its store can make it stop. Off, it costs nothing: the code is the same as if there
/// were no such thing. All code that shares a store has to be compiled alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metering {
    /// It pays for what it executes, and stops when its store's fuel is used up.
    pub fuel: bool,
    /// It looks at the engine's epoch in every loop and function, and asks its store when a deadline has passed.
    pub epochs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            opt_level: OptLevel::default(),
            parallel: true,
            features: Features::default(),
            metering: Metering::default(),
        }
    }
}

/// Features that can be switched off, to hold modules to an earlier version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// More than one memory in a module.
    pub multi_memory: bool,
    /// Memories and tables with 64-bit addresses.
    pub memory64: bool,
    /// References to functions of a type, references that are never null, and types that name or extend each other.
    pub function_references: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { multi_memory: true, memory64: true, function_references: true }
    }
}

impl Features {
    /// The same error, or a better one if the feature whose absence it reports was switched off.
    pub(crate) fn explain(self, error: CompileError) -> CompileError {
        let Self { multi_memory, memory64, function_references } = self;
        let CompileErrorKind::Unsupported(missing) = error.kind() else { return error };
        let (switch, on) = match missing {
            Feature::MultiMemory => (missing, multi_memory),
            Feature::Memory64 => (missing, memory64),
            // wasmparser knows some of it as garbage collection.
            Feature::FunctionReferences | Feature::Gc => (Feature::FunctionReferences, function_references),
            _ => return error,
        };
        if on { error } else { CompileError::disabled(switch, error.offset().unwrap_or_default()) }
    }
}
