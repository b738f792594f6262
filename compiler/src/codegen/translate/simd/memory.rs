//! Vectors from and to linear memory, in parts: widened, in every lane, in the lowest or in one.
//!
//! Addresses, bounds and traps are those of the scalar accesses, for as many bytes as the
//! instruction touches.

use super::super::state::Translator;
use crate::module::MemArg;
use crate::module::instruction::{LaneAccess, VectorLoad};
use cranelift_codegen::ir::types::{I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FuncInstBuilder;

impl Translator<'_, '_> {
    pub(in super::super) fn vector_load(&mut self, op: VectorLoad) {
        use VectorLoad as O;
        match op {
            O::V128Load8x8S { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.sload8x8(flags, at, by)),
            O::V128Load8x8U { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.uload8x8(flags, at, by)),
            O::V128Load16x4S { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.sload16x4(flags, at, by)),
            O::V128Load16x4U { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.uload16x4(flags, at, by)),
            O::V128Load32x2S { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.sload32x2(flags, at, by)),
            O::V128Load32x2U { memarg } => self.load_widened(memarg, |ins, flags, at, by| ins.uload32x2(flags, at, by)),
            O::V128Load8Splat { memarg } => self.load_into_all(memarg, I8X16),
            O::V128Load16Splat { memarg } => self.load_into_all(memarg, I16X8),
            O::V128Load32Splat { memarg } => self.load_into_all(memarg, I32X4),
            O::V128Load64Splat { memarg } => self.load_into_all(memarg, I64X2),
            O::V128Load32Zero { memarg } => self.load_and_zero(memarg, I32X4),
            O::V128Load64Zero { memarg } => self.load_and_zero(memarg, I64X2),
        }
    }

    /// Loads eight bytes, each part of which becomes a lane twice as wide.
    fn load_widened(
        &mut self,
        memarg: MemArg,
        load: impl FnOnce(FuncInstBuilder<'_, '_>, MemFlagsData, Value, i32) -> Value,
    ) {
        let (at, flags) = self.access(memarg, 8);
        let vector = load(self.b.ins(), flags, at.base, at.displacement);
        self.push_vector(vector);
    }

    fn load_into_all(&mut self, memarg: MemArg, lanes: Type) {
        let value = self.load_from(memarg, lanes.lane_type());
        let vector = self.b.ins().splat(lanes, value);
        self.push_vector(vector);
    }

    /// Loads the lowest lane, with zero in the others.
    fn load_and_zero(&mut self, memarg: MemArg, lanes: Type) {
        let value = self.load_from(memarg, lanes.lane_type());
        let vector = self.b.ins().scalar_to_vector(lanes, value);
        self.push_vector(vector);
    }

    pub(in super::super) fn lane_access(&mut self, op: LaneAccess) {
        use LaneAccess as O;
        match op {
            O::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8, lane),
            O::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16, lane),
            O::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32, lane),
            O::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64, lane),
            O::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8, lane),
            O::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16, lane),
            O::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32, lane),
            O::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64, lane),
        }
    }

    fn load_lane(&mut self, memarg: MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(lanes_like(ty));
        let value = self.load_from(memarg, ty);
        let vector = self.b.ins().insertlane(vector, value, lane);
        self.push_vector(vector);
    }

    fn store_lane(&mut self, memarg: MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(lanes_like(ty));
        let value = self.b.ins().extractlane(vector, lane);
        self.store_to(memarg, value);
    }
}

/// Returns the type of a vector of such lanes.
fn lanes_like(lane: Type) -> Type {
    lane.by(I8X16.bytes() / lane.bytes()).expect("lanes have 8 to 64 bits")
}
