//! Says what is different from processor to processor in code and in linking it: where arguments
//! are, and how code refers to other code.

use crate::settings::Machine;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::TargetIsa;

/// The triple's name of 64-bit Arm, as Cranelift has it. Any other is x86-64 here.
const AARCH64: &str = "aarch64";

/// Returns the name of what every processor of a kind has, where that is more than the first ones
/// had. Without the instructions of x86-64-v2, Cranelift calls a library to round numbers.
pub(crate) fn baseline(machine: Machine) -> Option<&'static str> {
    match machine {
        Machine::X86_64Linux => Some("x86-64-v2"),
        Machine::Aarch64Linux => None,
    }
}

/// Returns how many integer arguments the platform's calling convention passes in registers. The
/// next is on the stack.
pub(crate) fn argument_registers(isa: &dyn TargetIsa) -> usize {
    match isa.name() {
        AARCH64 => 8, // AAPCS64
        _ => 6,       // x86-64, System V.
    }
}

/// Returns whether operands of calculations can be in memory, at addresses of 64 bits. Arm extends
/// an index of 32 bits within the access, and calculates with registers alone.
pub(crate) fn takes_memory_operands(isa: &dyn TargetIsa) -> bool {
    isa.name() != AARCH64
}

/// Returns whether a floating-point constant is made in an integer register first. Arm has
/// instructions for some, and loads the others.
pub(crate) fn makes_floats_from_integers(isa: &dyn TargetIsa) -> bool {
    isa.name() != AARCH64
}

/// Returns whether a store that crosses into a page where it faults has written nothing. Arm leaves
/// open whether its first bytes are written.
pub(crate) fn stores_whole_or_nothing(isa: &dyn TargetIsa) -> bool {
    isa.name() != AARCH64
}

/// Returns whether it matters for a short loop in how many windows of 32 bytes it lies. x86-64
/// keeps decoded instructions by such windows.
pub(crate) fn decodes_by_windows(isa: &dyn TargetIsa) -> bool {
    isa.name() != AARCH64
}

/// A way in which an instruction holds a distance to other code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distance {
    /// Four bytes, which cranelift-jit fills in.
    Displacement,
    /// The low 26 bits of an Arm branch, in units of instructions, which [`fill_in_branch`] fills
    /// in. cranelift-jit would leave room behind each function for absolute addresses.
    Branch,
}

/// Bytes that hold a distance, whichever way.
pub(crate) const DISTANCE_SIZE: usize = 4;

impl Distance {
    /// Returns how a relocation of code for this processor holds a distance; `None` if it is
    /// anything else.
    pub(crate) fn of(isa: &dyn TargetIsa, kind: Reloc) -> Option<Self> {
        match (isa.name(), kind) {
            (AARCH64, Reloc::Arm64Call) => Some(Self::Branch),
            (AARCH64, _) => None,
            (_, Reloc::X86CallPCRel4 | Reloc::X86PCRel4) => Some(Self::Displacement),
            _ => None,
        }
    }
}

/// How far an Arm branch reaches, in bytes, forwards and backwards.
pub(crate) const BRANCH_REACH: i64 = 1 << 27;

/// Fills a distance in where an Arm branch stands without one. `None` if it does not reach so far,
/// or if that is no instruction's place.
pub(crate) fn fill_in_branch(instruction: [u8; DISTANCE_SIZE], distance: i64) -> Option<[u8; DISTANCE_SIZE]> {
    let reached = (-BRANCH_REACH..BRANCH_REACH).contains(&distance) && distance % 4 == 0;
    let field = (distance >> 2) as u32 & ((1 << 26) - 1);
    reached.then(|| (u32::from_le_bytes(instruction) | field).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_reaches_128_mib_both_ways() {
        let bl = 0x9400_0000_u32.to_le_bytes();
        let filled = |distance| fill_in_branch(bl, distance).map(u32::from_le_bytes);
        assert_eq!(filled(0), Some(0x9400_0000));
        assert_eq!((filled(4), filled(-4)), (Some(0x9400_0001), Some(0x97ff_ffff)));
        assert_eq!(filled(BRANCH_REACH - 4), Some(0x95ff_ffff));
        assert_eq!(filled(-BRANCH_REACH), Some(0x9600_0000));
        for distance in [BRANCH_REACH, -BRANCH_REACH - 4, 2, i64::MAX, i64::MIN] {
            assert_eq!(filled(distance), None);
        }
    }
}
