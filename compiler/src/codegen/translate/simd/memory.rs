//! Vectors from and to linear memory, other than whole: widened, in every lane, in the lowest or in one.
//!
//! Addresses, bounds and traps are those of the scalar accesses, for as many bytes as the instruction touches.

use super::super::state::Translator;
use cranelift_codegen::ir::types::{I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::{MemArg, Operator};

impl Translator<'_, '_> {
    /// Translates a load or store of parts of a vector; `false` if `op` is none.
    pub(super) fn vector_memory(&mut self, op: &Operator<'_>) -> bool {
        self.load_widened(op) || self.load_into_all(op) || self.load_and_zero(op) || self.lane_access(op)
    }

    /// Eight bytes, each part of which becomes a lane twice as wide.
    fn load_widened(&mut self, op: &Operator<'_>) -> bool {
        use Operator as O;
        let (O::V128Load8x8S { memarg }
        | O::V128Load8x8U { memarg }
        | O::V128Load16x4S { memarg }
        | O::V128Load16x4U { memarg }
        | O::V128Load32x2S { memarg }
        | O::V128Load32x2U { memarg }) = op
        else {
            return false;
        };
        let (at, flags) = self.access(memarg, 8);
        let ins = self.b.ins();
        let vector = match op {
            O::V128Load8x8S { .. } => ins.sload8x8(flags, at.base, at.displacement),
            O::V128Load8x8U { .. } => ins.uload8x8(flags, at.base, at.displacement),
            O::V128Load16x4S { .. } => ins.sload16x4(flags, at.base, at.displacement),
            O::V128Load16x4U { .. } => ins.uload16x4(flags, at.base, at.displacement),
            O::V128Load32x2S { .. } => ins.sload32x2(flags, at.base, at.displacement),
            _ => ins.uload32x2(flags, at.base, at.displacement),
        };
        self.push_vector(vector);
        true
    }

    fn load_into_all(&mut self, op: &Operator<'_>) -> bool {
        let (memarg, lanes) = match op {
            Operator::V128Load8Splat { memarg } => (memarg, I8X16),
            Operator::V128Load16Splat { memarg } => (memarg, I16X8),
            Operator::V128Load32Splat { memarg } => (memarg, I32X4),
            Operator::V128Load64Splat { memarg } => (memarg, I64X2),
            _ => return false,
        };
        let value = self.load_from(memarg, lanes.lane_type());
        let vector = self.b.ins().splat(lanes, value);
        self.push_vector(vector);
        true
    }

    /// The lowest lane from memory, zero in the others.
    fn load_and_zero(&mut self, op: &Operator<'_>) -> bool {
        let (memarg, lanes) = match op {
            Operator::V128Load32Zero { memarg } => (memarg, I32X4),
            Operator::V128Load64Zero { memarg } => (memarg, I64X2),
            _ => return false,
        };
        let value = self.load_from(memarg, lanes.lane_type());
        let vector = self.b.ins().scalar_to_vector(lanes, value);
        self.push_vector(vector);
        true
    }

    fn lane_access(&mut self, op: &Operator<'_>) -> bool {
        use Operator as O;
        match op {
            O::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8, *lane),
            O::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16, *lane),
            O::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32, *lane),
            O::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64, *lane),
            O::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8, *lane),
            O::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16, *lane),
            O::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32, *lane),
            O::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64, *lane),
            _ => return false,
        }
        true
    }

    fn load_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(lanes_like(ty));
        let value = self.load_from(memarg, ty);
        let vector = self.b.ins().insertlane(vector, value, lane);
        self.push_vector(vector);
    }

    fn store_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(lanes_like(ty));
        let value = self.b.ins().extractlane(vector, lane);
        self.store_to(memarg, value);
    }
}

/// A vector of such lanes.
fn lanes_like(lane: Type) -> Type {
    lane.by(I8X16.bytes() / lane.bytes()).expect("lanes have 8 to 64 bits")
}
