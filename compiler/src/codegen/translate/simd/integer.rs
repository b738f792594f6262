//! Lanes that are integers.

use super::super::state::Translator;
use super::vector::lanes_of;
use crate::module::instruction::{
    ExtendedProduct, ExtendedSum, Extension, Narrowing, SaturatingArithmetic, VectorArithmetic, VectorComparison,
    VectorShift,
};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I16X8;
use cranelift_codegen::ir::{InstBuilder, Type, Value};

/// Which half of a vector's lanes an instruction widens, and how.
#[derive(Clone, Copy)]
pub(super) enum Half {
    LowSigned,
    HighSigned,
    LowUnsigned,
    HighUnsigned,
}

pub(super) const SIGNED: [Half; 2] = [Half::LowSigned, Half::HighSigned];
const UNSIGNED: [Half; 2] = [Half::LowUnsigned, Half::HighUnsigned];

impl Translator<'_, '_> {
    pub(in super::super) fn vector_arithmetic(&mut self, op: VectorArithmetic) {
        use VectorArithmetic as O;
        let lanes = lanes_of(op.name());
        match op {
            O::I8x16Add | O::I16x8Add | O::I32x4Add | O::I64x2Add => {
                self.vector_binary(lanes, |t, a, b| t.b.ins().iadd(a, b));
            }
            O::I8x16Sub | O::I16x8Sub | O::I32x4Sub | O::I64x2Sub => {
                self.vector_binary(lanes, |t, a, b| t.b.ins().isub(a, b));
            }
            O::I16x8Mul | O::I32x4Mul | O::I64x2Mul => self.vector_binary(lanes, |t, a, b| t.b.ins().imul(a, b)),
            O::I8x16MinS | O::I16x8MinS | O::I32x4MinS => self.vector_binary(lanes, |t, a, b| t.b.ins().smin(a, b)),
            O::I8x16MinU | O::I16x8MinU | O::I32x4MinU => self.vector_binary(lanes, |t, a, b| t.b.ins().umin(a, b)),
            O::I8x16MaxS | O::I16x8MaxS | O::I32x4MaxS => self.vector_binary(lanes, |t, a, b| t.b.ins().smax(a, b)),
            O::I8x16MaxU | O::I16x8MaxU | O::I32x4MaxU => self.vector_binary(lanes, |t, a, b| t.b.ins().umax(a, b)),
            O::I8x16AvgrU | O::I16x8AvgrU => self.vector_binary(lanes, |t, a, b| t.b.ins().avg_round(a, b)),
            O::I8x16Abs | O::I16x8Abs | O::I32x4Abs | O::I64x2Abs => self.vector_unary(lanes, |t, a| t.b.ins().iabs(a)),
            O::I8x16Neg | O::I16x8Neg | O::I32x4Neg | O::I64x2Neg => self.vector_unary(lanes, |t, a| t.b.ins().ineg(a)),
            O::I8x16Popcnt => self.vector_unary(lanes, |t, a| t.b.ins().popcnt(a)),
        }
    }

    /// Translates arithmetic that ends at the largest or smallest number instead of wrapping
    /// around.
    pub(in super::super) fn saturating_arithmetic(&mut self, op: SaturatingArithmetic) {
        use SaturatingArithmetic as O;
        let lanes = lanes_of(op.name());
        match op {
            O::I8x16AddSatS | O::I16x8AddSatS => self.vector_binary(lanes, |t, a, b| t.b.ins().sadd_sat(a, b)),
            O::I8x16AddSatU | O::I16x8AddSatU => self.vector_binary(lanes, |t, a, b| t.b.ins().uadd_sat(a, b)),
            O::I8x16SubSatS | O::I16x8SubSatS => self.vector_binary(lanes, |t, a, b| t.b.ins().ssub_sat(a, b)),
            O::I8x16SubSatU | O::I16x8SubSatU => self.vector_binary(lanes, |t, a, b| t.b.ins().usub_sat(a, b)),
            O::I16x8Q15MulrSatS => self.rounding_multiplication(),
        }
    }

    /// Multiplies fixed-point numbers with 15 bits after the point.
    pub(super) fn rounding_multiplication(&mut self) {
        self.vector_binary(I16X8, |t, a, b| t.b.ins().sqmul_round_sat(a, b));
    }

    pub(in super::super) fn vector_shift(&mut self, op: VectorShift) {
        use VectorShift as O;
        let shift: fn(&mut Self, Value, Value) -> Value = match op {
            O::I8x16Shl | O::I16x8Shl | O::I32x4Shl | O::I64x2Shl => |t, a, count| t.b.ins().ishl(a, count),
            O::I8x16ShrS | O::I16x8ShrS | O::I32x4ShrS | O::I64x2ShrS => |t, a, count| t.b.ins().sshr(a, count),
            O::I8x16ShrU | O::I16x8ShrU | O::I32x4ShrU | O::I64x2ShrU => |t, a, count| t.b.ins().ushr(a, count),
        };
        // An i32, which Cranelift takes modulo the width of a lane, as Wasm does.
        let count = self.pop();
        self.vector_unary(lanes_of(op.name()), |t, a| shift(t, a, count));
    }

    /// Translates comparisons. A lane of the result is all ones if they hold, and otherwise zero.
    pub(in super::super) fn vector_comparison(&mut self, op: VectorComparison) {
        use VectorComparison as O;
        let condition = match op {
            O::I8x16Eq | O::I16x8Eq | O::I32x4Eq | O::I64x2Eq => IntCC::Equal,
            O::I8x16Ne | O::I16x8Ne | O::I32x4Ne | O::I64x2Ne => IntCC::NotEqual,
            O::I8x16LtS | O::I16x8LtS | O::I32x4LtS | O::I64x2LtS => IntCC::SignedLessThan,
            O::I8x16GtS | O::I16x8GtS | O::I32x4GtS | O::I64x2GtS => IntCC::SignedGreaterThan,
            O::I8x16LeS | O::I16x8LeS | O::I32x4LeS | O::I64x2LeS => IntCC::SignedLessThanOrEqual,
            O::I8x16GeS | O::I16x8GeS | O::I32x4GeS | O::I64x2GeS => IntCC::SignedGreaterThanOrEqual,
            O::I8x16LtU | O::I16x8LtU | O::I32x4LtU => IntCC::UnsignedLessThan,
            O::I8x16GtU | O::I16x8GtU | O::I32x4GtU => IntCC::UnsignedGreaterThan,
            O::I8x16LeU | O::I16x8LeU | O::I32x4LeU => IntCC::UnsignedLessThanOrEqual,
            O::I8x16GeU | O::I16x8GeU | O::I32x4GeU => IntCC::UnsignedGreaterThanOrEqual,
        };
        self.vector_binary(lanes_of(op.name()), |t, a, b| t.b.ins().icmp(condition, a, b));
    }

    /// Translates lanes of two vectors at half their width, saturating. The operands are signed in
    /// either case.
    pub(in super::super) fn narrowing(&mut self, op: Narrowing) {
        use Narrowing as O;
        let wide = || lanes_of(op.name()).merge_lanes().expect("there are lanes twice as wide");
        match op {
            O::I8x16NarrowI16x8S | O::I16x8NarrowI32x4S => {
                self.vector_binary(wide(), |t, a, b| t.b.ins().snarrow(a, b));
            }
            O::I8x16NarrowI16x8U | O::I16x8NarrowI32x4U => {
                self.vector_binary(wide(), |t, a, b| t.b.ins().unarrow(a, b));
            }
        }
    }

    /// Translates half of the lanes at twice their width.
    pub(in super::super) fn extension(&mut self, op: Extension) {
        use Extension as O;
        let half = match op {
            O::I16x8ExtendLowI8x16S | O::I32x4ExtendLowI16x8S | O::I64x2ExtendLowI32x4S => Half::LowSigned,
            O::I16x8ExtendHighI8x16S | O::I32x4ExtendHighI16x8S | O::I64x2ExtendHighI32x4S => Half::HighSigned,
            O::I16x8ExtendLowI8x16U | O::I32x4ExtendLowI16x8U | O::I64x2ExtendLowI32x4U => Half::LowUnsigned,
            O::I16x8ExtendHighI8x16U | O::I32x4ExtendHighI16x8U | O::I64x2ExtendHighI32x4U => Half::HighUnsigned,
        };
        self.vector_unary(narrow_lanes(op.name()), |t, a| t.widened(half, a));
    }

    /// Translates products of lanes that are first extended, so that nothing is lost.
    pub(in super::super) fn extended_product(&mut self, op: ExtendedProduct) {
        use ExtendedProduct as O;
        let half = match op {
            O::I16x8ExtMulLowI8x16S | O::I32x4ExtMulLowI16x8S | O::I64x2ExtMulLowI32x4S => Half::LowSigned,
            O::I16x8ExtMulHighI8x16S | O::I32x4ExtMulHighI16x8S | O::I64x2ExtMulHighI32x4S => Half::HighSigned,
            O::I16x8ExtMulLowI8x16U | O::I32x4ExtMulLowI16x8U | O::I64x2ExtMulLowI32x4U => Half::LowUnsigned,
            O::I16x8ExtMulHighI8x16U | O::I32x4ExtMulHighI16x8U | O::I64x2ExtMulHighI32x4U => Half::HighUnsigned,
        };
        self.vector_binary(narrow_lanes(op.name()), |t, a, b| t.product(half, a, b));
    }

    /// Translates sums of each two neighbouring lanes, or of their products, in lanes twice as
    /// wide.
    pub(in super::super) fn extended_sum(&mut self, op: ExtendedSum) {
        use ExtendedSum as O;
        match op {
            O::I16x8ExtAddPairwiseI8x16S | O::I32x4ExtAddPairwiseI16x8S => {
                self.vector_unary(narrow_lanes(op.name()), |t, a| t.sums_of_pairs(SIGNED, a));
            }
            O::I16x8ExtAddPairwiseI8x16U | O::I32x4ExtAddPairwiseI16x8U => {
                self.vector_unary(narrow_lanes(op.name()), |t, a| t.sums_of_pairs(UNSIGNED, a));
            }
            O::I32x4DotI16x8S => self.vector_binary(narrow_lanes(op.name()), |t, a, b| t.dot_product(a, b)),
        }
    }

    fn widened(&mut self, half: Half, a: Value) -> Value {
        match half {
            Half::LowSigned => self.b.ins().swiden_low(a),
            Half::HighSigned => self.b.ins().swiden_high(a),
            Half::LowUnsigned => self.b.ins().uwiden_low(a),
            Half::HighUnsigned => self.b.ins().uwiden_high(a),
        }
    }

    fn product(&mut self, half: Half, a: Value, b: Value) -> Value {
        let (a, b) = (self.widened(half, a), self.widened(half, b));
        self.b.ins().imul(a, b)
    }

    pub(super) fn sums_of_pairs(&mut self, [low, high]: [Half; 2], a: Value) -> Value {
        let (low, high) = (self.widened(low, a), self.widened(high, a));
        self.b.ins().iadd_pairwise(low, high)
    }

    /// Returns the sums of each two neighbouring products of lanes, signed. A sum can wrap around.
    pub(super) fn dot_product(&mut self, a: Value, b: Value) -> Value {
        let (low, high) = (self.product(Half::LowSigned, a, b), self.product(Half::HighSigned, a, b));
        self.b.ins().iadd_pairwise(low, high)
    }
}

/// Returns the lanes that an instruction extends: half as wide as those of its result.
fn narrow_lanes(name: &str) -> Type {
    lanes_of(name).split_lanes().expect("there are lanes half as wide")
}
