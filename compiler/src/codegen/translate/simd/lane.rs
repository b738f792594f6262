//! Single lanes and their order: into vectors, out of them, and within them.

use super::super::state::Translator;
use super::vector::lanes_of;
use crate::module::instruction::{LaneExtract, LaneMove, LaneReduction, LaneReplace};
use cranelift_codegen::ir::types::{I8X16, I32};
use cranelift_codegen::ir::{InstBuilder, Type, Value};

impl Translator<'_, '_> {
    /// Translates lanes that go elsewhere, or everywhere.
    pub(in super::super) fn lane_move(&mut self, op: LaneMove) {
        use LaneMove as O;
        match op {
            O::I8x16Shuffle { lanes } => {
                let mask = self.b.func.dfg.immediates.push(lanes.to_vec().into());
                self.vector_binary(I8X16, |t, a, b| t.b.ins().shuffle(a, b, mask));
            }
            O::I8x16Swizzle => self.swizzle(),
            O::I8x16Splat | O::I16x8Splat | O::I32x4Splat | O::I64x2Splat | O::F32x4Splat | O::F64x2Splat => {
                let lanes = lanes_of(op.name());
                let value = self.pop();
                let value = self.as_lane(value, lanes.lane_type());
                let vector = self.b.ins().splat(lanes, value);
                self.push_vector(vector);
            }
        }
    }

    pub(super) fn swizzle(&mut self) {
        self.vector_binary(I8X16, |t, a, indices| t.b.ins().swizzle(a, indices));
    }

    /// Returns a scalar of Wasm as what a lane holds: of an i32, the low bits.
    pub(super) fn as_lane(&mut self, value: Value, lane: Type) -> Value {
        if self.b.func.dfg.value_type(value) == lane { value } else { self.b.ins().ireduce(lane, value) }
    }

    pub(in super::super) fn lane_extract(&mut self, op: LaneExtract) {
        use LaneExtract as O;
        let (O::I8x16ExtractLaneS { lane }
        | O::I8x16ExtractLaneU { lane }
        | O::I16x8ExtractLaneS { lane }
        | O::I16x8ExtractLaneU { lane }
        | O::I32x4ExtractLane { lane }
        | O::I64x2ExtractLane { lane }
        | O::F32x4ExtractLane { lane }
        | O::F64x2ExtractLane { lane }) = op;
        let vector = self.pop_vector(lanes_of(op.name()));
        let value = self.b.ins().extractlane(vector, lane);
        let value = match op {
            O::I8x16ExtractLaneS { .. } | O::I16x8ExtractLaneS { .. } => self.b.ins().sextend(I32, value),
            O::I8x16ExtractLaneU { .. } | O::I16x8ExtractLaneU { .. } => self.b.ins().uextend(I32, value),
            O::I32x4ExtractLane { .. } | O::I64x2ExtractLane { .. } => value,
            O::F32x4ExtractLane { .. } | O::F64x2ExtractLane { .. } => value,
        };
        self.push(value);
    }

    pub(in super::super) fn lane_replace(&mut self, op: LaneReplace) {
        use LaneReplace as O;
        let (O::I8x16ReplaceLane { lane }
        | O::I16x8ReplaceLane { lane }
        | O::I32x4ReplaceLane { lane }
        | O::I64x2ReplaceLane { lane }
        | O::F32x4ReplaceLane { lane }
        | O::F64x2ReplaceLane { lane }) = op;
        let lanes = lanes_of(op.name());
        let value = self.pop();
        let value = self.as_lane(value, lanes.lane_type());
        self.vector_unary(lanes, |t, vector| t.b.ins().insertlane(vector, value, lane));
    }

    /// Translates what makes one i32 of all lanes.
    pub(in super::super) fn lane_reduction(&mut self, op: LaneReduction) {
        use LaneReduction as O;
        let result = match op {
            O::I8x16AllTrue | O::I16x8AllTrue | O::I32x4AllTrue | O::I64x2AllTrue => {
                let vector = self.pop_vector(lanes_of(op.name()));
                let flag = self.b.ins().vall_true(vector);
                self.b.ins().uextend(I32, flag)
            }
            O::I8x16Bitmask | O::I16x8Bitmask | O::I32x4Bitmask | O::I64x2Bitmask => {
                let vector = self.pop_vector(lanes_of(op.name()));
                self.b.ins().vhigh_bits(I32, vector)
            }
        };
        self.push(result);
    }
}
