//! Defines the reasons why a Wasm function stops. Machine code and the runtime share them.
//!
//! A trap code travels as one byte: from the instruction that can trap (Cranelift's `TrapCode`),
//! through the trap table of the finished text, to the signal handler. Nothing here knows how a
//! trap is raised or caught.

use std::fmt;

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal,)*) => {
        /// The reasons for which the specification lets a computation trap, and those that
        /// an embedder adds (the stack's end, an error in a host function, fuel and epochs).
        ///
        /// The texts are those the official test suite expects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Trap {
            $($(#[$doc])* $name = $code,)*
        }

        impl Trap {
            /// Returns the trap that `code` stands for in a trap table. `None` for a byte that
            /// stands for none.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

traps! {
    /// The Wasm stack reached its limit (`Config::max_wasm_stack`).
    StackOverflow = 1: "call stack exhausted",
    /// A load, store or bulk operation left its linear memory.
    MemoryOutOfBounds = 2: "out of bounds memory access",
    /// A table access or bulk table operation left its table.
    TableOutOfBounds = 3: "out of bounds table access",
    /// An indirect call's index lies outside its table.
    UndefinedElement = 4: "undefined element",
    /// An indirect call met a null entry.
    IndirectCallToNull = 5: "uninitialized element",
    /// An indirect call met a function of another type.
    BadSignature = 6: "indirect call type mismatch",
    /// An integer division, or a conversion, overflowed.
    IntegerOverflow = 7: "integer overflow",
    /// An integer was divided by zero.
    IntegerDivisionByZero = 8: "integer divide by zero",
    /// A NaN was converted to an integer.
    BadConversionToInteger = 9: "invalid conversion to integer",
    /// An `unreachable` instruction was reached.
    UnreachableCodeReached = 10: "unreachable",
    /// A null reference was used where a value is needed.
    NullReference = 11: "null reference",
    /// A host function failed; the embedder's own error goes with it.
    HostError = 12: "host function failed",
    /// A null reference was called.
    NullFunctionReference = 13: "null function reference",
    /// The store's fuel is used up (`Store::set_fuel`).
    OutOfFuel = 14: "all fuel consumed by WebAssembly",
    /// The store's epoch deadline has passed (`Store::set_epoch_deadline`).
    Interrupt = 15: "interrupt",
    /// An atomic access was not aligned to its size.
    HeapMisaligned = 16: "unaligned atomic",
    /// `memory.atomic.wait32` or `wait64` was executed on a memory that is not shared: nobody could
    /// end the wait.
    AtomicWaitNonSharedMemory = 17: "expected shared memory",
    /// A null reference was thrown.
    NullExceptionReference = 18: "null exception reference",
    /// The exceptions that a store holds take more memory than it may use for them.
    ExceptionsExhausted = 19: "too many exceptions",
    /// An access or bulk operation left its array.
    ArrayOutOfBounds = 20: "out of bounds array access",
    /// A reference was cast to a type that it does not have.
    CastFailure = 21: "cast failure",
    /// A null reference was used where a small integer is needed.
    NullI31Ref = 22: "null i31 reference",
    /// The heap of structures and arrays has no room for another one.
    GcHeapOutOfMemory = 23: "GC heap out of memory",
}

impl Trap {
    /// Returns the byte that stands for this trap in a trap table. It is never 0.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Trap {}

#[cfg(test)]
mod tests {
    use super::Trap;

    #[test]
    fn every_code_names_its_own_trap_and_no_other() {
        let known: Vec<Trap> = (0..=u8::MAX).filter_map(Trap::from_code).collect();
        assert_eq!(known.len(), 23);
        for trap in known {
            assert_eq!(Trap::from_code(trap.code()), Some(trap));
        }
        assert_eq!(Trap::from_code(0), None);
    }
}
