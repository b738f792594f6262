//! Lanes that are floats, and their conversions.

use super::super::state::Translator;
use super::vector::lanes_of;
use crate::module::instruction::{VectorFloatArithmetic, VectorFloatComparison, VectorFloatConversion};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, F64X2, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    pub(in super::super) fn vector_float_arithmetic(&mut self, op: VectorFloatArithmetic) {
        use VectorFloatArithmetic as O;
        let lanes = lanes_of(op.name());
        match op {
            O::F32x4Add | O::F64x2Add => self.vector_binary(lanes, |t, a, b| t.b.ins().fadd(a, b)),
            O::F32x4Sub | O::F64x2Sub => self.vector_binary(lanes, |t, a, b| t.b.ins().fsub(a, b)),
            O::F32x4Mul | O::F64x2Mul => self.vector_binary(lanes, |t, a, b| t.b.ins().fmul(a, b)),
            O::F32x4Div | O::F64x2Div => self.vector_binary(lanes, |t, a, b| t.b.ins().fdiv(a, b)),
            O::F32x4Min | O::F64x2Min => self.vector_binary(lanes, |t, a, b| t.b.ins().fmin(a, b)),
            O::F32x4Max | O::F64x2Max => self.vector_binary(lanes, |t, a, b| t.b.ins().fmax(a, b)),
            // The pseudo-minimum is `b < a ? b : a`, the pseudo-maximum `a < b ? b : a`.
            O::F32x4PMin | O::F64x2PMin => self.vector_binary(lanes, |t, a, b| t.if_less([b, a], b, a)),
            O::F32x4PMax | O::F64x2PMax => self.vector_binary(lanes, |t, a, b| t.if_less([a, b], b, a)),
            O::F32x4Abs | O::F64x2Abs => self.vector_unary(lanes, |t, a| t.b.ins().fabs(a)),
            O::F32x4Neg | O::F64x2Neg => self.vector_unary(lanes, |t, a| t.b.ins().fneg(a)),
            O::F32x4Sqrt | O::F64x2Sqrt => self.vector_unary(lanes, |t, a| t.b.ins().sqrt(a)),
            O::F32x4Ceil | O::F64x2Ceil => self.vector_unary(lanes, |t, a| t.b.ins().ceil(a)),
            O::F32x4Floor | O::F64x2Floor => self.vector_unary(lanes, |t, a| t.b.ins().floor(a)),
            O::F32x4Trunc | O::F64x2Trunc => self.vector_unary(lanes, |t, a| t.b.ins().trunc(a)),
            O::F32x4Nearest | O::F64x2Nearest => self.vector_unary(lanes, |t, a| t.b.ins().nearest(a)),
        }
    }

    /// Returns the lanes of `then` where `first` is less than `second`, and those of `otherwise`
    /// elsewhere. Cranelift makes one instruction of this if the same two vectors are compared and
    /// chosen from.
    fn if_less(&mut self, [first, second]: [Value; 2], then: Value, otherwise: Value) -> Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, first, second);
        let lanes = self.b.func.dfg.value_type(then);
        let mask = self.view(less, lanes);
        self.b.ins().bitselect(mask, then, otherwise)
    }

    pub(in super::super) fn vector_float_comparison(&mut self, op: VectorFloatComparison) {
        use VectorFloatComparison as O;
        let condition = match op {
            O::F32x4Eq | O::F64x2Eq => FloatCC::Equal,
            O::F32x4Ne | O::F64x2Ne => FloatCC::NotEqual,
            O::F32x4Lt | O::F64x2Lt => FloatCC::LessThan,
            O::F32x4Gt | O::F64x2Gt => FloatCC::GreaterThan,
            O::F32x4Le | O::F64x2Le => FloatCC::LessThanOrEqual,
            O::F32x4Ge | O::F64x2Ge => FloatCC::GreaterThanOrEqual,
        };
        self.vector_binary(lanes_of(op.name()), |t, a, b| t.b.ins().fcmp(condition, a, b));
    }

    /// Translates conversions. What is too large for an integer saturates, and NaN becomes zero.
    pub(in super::super) fn vector_float_conversion(&mut self, op: VectorFloatConversion) {
        use VectorFloatConversion as O;
        match op {
            O::I32x4TruncSatF32x4S => self.truncate_signed(),
            O::I32x4TruncSatF32x4U => self.truncate_unsigned(),
            O::I32x4TruncSatF64x2SZero => self.truncate_doubles_signed(),
            O::I32x4TruncSatF64x2UZero => self.truncate_doubles_unsigned(),
            O::F32x4ConvertI32x4S => self.vector_unary(I32X4, |t, a| t.b.ins().fcvt_from_sint(F32X4, a)),
            O::F32x4ConvertI32x4U => self.vector_unary(I32X4, |t, a| t.b.ins().fcvt_from_uint(F32X4, a)),
            O::F64x2ConvertLowI32x4S => self.vector_unary(I32X4, |t, a| {
                let low = t.b.ins().swiden_low(a);
                t.b.ins().fcvt_from_sint(F64X2, low)
            }),
            O::F64x2ConvertLowI32x4U => self.vector_unary(I32X4, |t, a| {
                let low = t.b.ins().uwiden_low(a);
                t.b.ins().fcvt_from_uint(F64X2, low)
            }),
            O::F32x4DemoteF64x2Zero => self.vector_unary(F64X2, |t, a| t.b.ins().fvdemote(a)),
            O::F64x2PromoteLowF32x4 => self.vector_unary(F32X4, |t, a| t.b.ins().fvpromote_low(a)),
        }
    }

    pub(super) fn truncate_signed(&mut self) {
        self.vector_unary(F32X4, |t, a| t.b.ins().fcvt_to_sint_sat(I32X4, a));
    }

    pub(super) fn truncate_unsigned(&mut self) {
        self.vector_unary(F32X4, |t, a| t.b.ins().fcvt_to_uint_sat(I32X4, a));
    }

    /// Makes the low two lanes of two doubles. Cranelift finds the processor's instruction for both
    /// steps together, with zero in the other lanes.
    pub(super) fn truncate_doubles_signed(&mut self) {
        self.vector_unary(F64X2, |t, a| {
            let wide = t.b.ins().fcvt_to_sint_sat(I64X2, a);
            let zero = t.wide_zero();
            t.b.ins().snarrow(wide, zero)
        });
    }

    pub(super) fn truncate_doubles_unsigned(&mut self) {
        self.vector_unary(F64X2, |t, a| {
            let wide = t.b.ins().fcvt_to_uint_sat(I64X2, a);
            let zero = t.wide_zero();
            t.b.ins().uunarrow(wide, zero)
        });
    }

    fn wide_zero(&mut self) -> Value {
        let zero = self.b.func.dfg.constants.insert(vec![0; 16].into());
        self.b.ins().vconst(I64X2, zero)
    }
}
