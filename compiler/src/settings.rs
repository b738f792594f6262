//! Defines the settings of a compiler: optimisation, features, metering.

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

/// Which calls the compiler replaces by the code of the function that is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inlining {
    /// None.
    No,
    /// Those of small functions that call nothing themselves, as far as the code does not get much
    /// larger.
    #[default]
    Yes,
    /// All that is possible. Code gets larger, and not faster; this is for tests.
    Always,
}

/// The settings of a [`Compiler`](crate::Compiler).
#[derive(Clone, Debug)]
pub struct Settings {
    /// How hard Cranelift works on the code.
    pub opt_level: OptLevel,
    /// Whether the functions of a large module are compiled on several threads.
    pub parallel: bool,
    /// Which calls are replaced by the code of the function that is called.
    pub inlining: Inlining,
    /// The features that modules may use.
    pub features: Features,
    /// How code can be made to stop.
    pub metering: Metering,
    /// The most instructions that a function may have. A call or construct counts as one more for
    /// each parameter and result, a branch for each value that it takes along, and what is inside
    /// `n` loops as `n * n / 1024` more. By themselves, `n` values that flow into each other count
    /// as `n * n / 2048`.
    pub max_function_instructions: u64,
    /// The most bytes of state that a module's instances may have: imports, globals, functions that
    /// are referred to, and tables. There is never room for more than 512 MiB.
    pub max_instance_size: u64,
    /// Bytes in a host page of where the instances will be: a power of two from 4 KiB to 64 KiB.
    /// What is made for larger pages can be used where they are smaller.
    pub page_size: u64,
    /// The machine that code is made for, if not this one.
    pub target: Option<Machine>,
}

/// A kind of machine that minirt runs on. Code that is made for a kind uses what every machine of
/// it has, and nothing else.
///
/// A processor of x86-64 has to have what the level x86-64-v2 asks for, up to SSE 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Machine {
    /// Linux on x86-64.
    X86_64Linux,
    /// Linux on 64-bit Arm.
    Aarch64Linux,
}

impl Machine {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::X86_64Linux, Self::Aarch64Linux];

    /// Returns its name, a target triple.
    pub fn triple(self) -> &'static str {
        match self {
            Self::X86_64Linux => "x86_64-unknown-linux-gnu",
            Self::Aarch64Linux => "aarch64-unknown-linux-gnu",
        }
    }
}

/// The default of [`Settings::max_function_instructions`]. The time that a function takes to
/// compile grows faster than its length: one of this many loads takes about ten seconds.
const MAX_FUNCTION_INSTRUCTIONS: u64 = 2_000_000;

/// The ways in which a store can make code stop. Each costs nothing when it is off: the code is the
/// same as if there were no such thing. All code that shares a store has to be compiled alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metering {
    /// It pays for what it executes, and stops when its store's fuel is used up.
    pub fuel: bool,
    /// It looks at the engine's epoch in every loop and function, and asks its store when a
    /// deadline has passed.
    pub epochs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            opt_level: OptLevel::default(),
            parallel: true,
            inlining: Inlining::default(),
            features: Features::default(),
            metering: Metering::default(),
            max_function_instructions: MAX_FUNCTION_INSTRUCTIONS,
            max_instance_size: u64::MAX,
            page_size: 4 << 10,
            target: None,
        }
    }
}

/// The features that modules may use: by default, all that minirt has. Each can be switched off, to
/// hold modules to an earlier version of the specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// One bit for each feature that is switched off.
    off: u64,
}

impl Features {
    /// The features that can be switched off.
    pub const SWITCHES: [Feature; 15] = [
        Feature::BulkMemory,
        Feature::CustomPageSizes,
        Feature::Exceptions,
        Feature::ExtendedConst,
        Feature::FunctionReferences,
        Feature::Gc,
        Feature::LegacyExceptions,
        Feature::Memory64,
        Feature::MultiMemory,
        Feature::MultiValue,
        Feature::ReferenceTypes,
        Feature::RelaxedSimd,
        Feature::Simd,
        Feature::TailCall,
        Feature::WideArithmetic,
    ];

    /// Switches a feature on or off.
    pub fn set(&mut self, feature: Feature, on: bool) {
        let bit = 1 << feature as u32;
        self.off = if on { self.off & !bit } else { self.off | bit };
    }

    /// Returns whether a feature is switched on, and so is the one that it builds on.
    pub fn has(self, feature: Feature) -> bool {
        let base = match feature {
            Feature::FunctionReferences => Some(Feature::ReferenceTypes),
            Feature::Gc => Some(Feature::FunctionReferences),
            Feature::LegacyExceptions => Some(Feature::Exceptions),
            Feature::RelaxedSimd => Some(Feature::Simd),
            _ => None,
        };
        self.off & 1 << feature as u32 == 0 && base.is_none_or(|base| self.has(base))
    }

    /// Returns the same error, or a better one if the feature whose absence it reports is switched
    /// off.
    pub(crate) fn explain(self, error: CompileError) -> CompileError {
        let CompileErrorKind::Unsupported(missing) = error.kind() else { return error };
        let switch = match missing {
            // wasmparser knows some of them as garbage collection.
            Feature::Gc if !self.has(Feature::FunctionReferences) => Feature::FunctionReferences,
            feature => feature,
        };
        if self.has(switch) { error } else { CompileError::disabled(switch, error.offset().unwrap_or_default()) }
    }
}
