//! Relaxed instructions, where the specification leaves a choice (specification, appendix on
//! profiles).
//!
//! minirt always makes the same one, so that a guest computes the same on every machine (except for
//! the bits of NaNs, which no arithmetic on floats promises):
//!
//! | instruction | is |
//! |---|---|
//! | `i8x16.relaxed_swizzle` | `i8x16.swizzle`: an index beyond 15 gives 0 |
//! | `i32x4.relaxed_trunc_*` | `i32x4.trunc_sat_*`: what is too large saturates, NaN gives 0 |
//! | `*.relaxed_madd` | a product and then a sum, each rounded: `a * b + c` |
//! | `*.relaxed_nmadd` | the same with the product negated: `-(a * b) + c` |
//! | `*.relaxed_laneselect` | `v128.bitselect`: every bit of the mask counts |
//! | `*.relaxed_min`, `*.relaxed_max` | `min` and `max`: NaN wins, and -0 is less than 0 |
//! | `i16x8.relaxed_q15mulr_s` | `i16x8.q15mulr_sat_s`: the one overflow saturates |
//! | `i16x8.relaxed_dot_i8x16_i7x16_s` | all 8 bits of both operands signed, sums of two products wrap |
//! | `i32x4.relaxed_dot_i8x16_i7x16_add_s` | the same, then the sums of each two, signed, and the third operand |

use super::super::state::Translator;
use super::integer::SIGNED;
use super::vector::lanes_of;
use crate::module::instruction::Relaxed;
use cranelift_codegen::ir::types::{I8X16, I32X4};
use cranelift_codegen::ir::{InstBuilder, Type};

impl Translator<'_, '_> {
    pub(in super::super) fn relaxed(&mut self, op: Relaxed) {
        use Relaxed as O;
        let lanes = lanes_of(op.name());
        match op {
            O::I8x16RelaxedSwizzle => self.swizzle(),
            O::I32x4RelaxedTruncF32x4S => self.truncate_signed(),
            O::I32x4RelaxedTruncF32x4U => self.truncate_unsigned(),
            O::I32x4RelaxedTruncF64x2SZero => self.truncate_doubles_signed(),
            O::I32x4RelaxedTruncF64x2UZero => self.truncate_doubles_unsigned(),
            O::F32x4RelaxedMadd | O::F64x2RelaxedMadd => self.multiply_and_add(lanes, false),
            O::F32x4RelaxedNmadd | O::F64x2RelaxedNmadd => self.multiply_and_add(lanes, true),
            O::I8x16RelaxedLaneselect
            | O::I16x8RelaxedLaneselect
            | O::I32x4RelaxedLaneselect
            | O::I64x2RelaxedLaneselect => self.bitselect(),
            O::F32x4RelaxedMin | O::F64x2RelaxedMin => self.vector_binary(lanes, |t, a, b| t.b.ins().fmin(a, b)),
            O::F32x4RelaxedMax | O::F64x2RelaxedMax => self.vector_binary(lanes, |t, a, b| t.b.ins().fmax(a, b)),
            O::I16x8RelaxedQ15mulrS => self.rounding_multiplication(),
            O::I16x8RelaxedDotI8x16I7x16S => self.vector_binary(I8X16, |t, a, b| t.dot_product(a, b)),
            O::I32x4RelaxedDotI8x16I7x16AddS => self.dot_and_add(),
        }
    }

    fn multiply_and_add(&mut self, lanes: Type, negated: bool) {
        let addend = self.pop_vector(lanes);
        self.vector_binary(lanes, |t, a, b| {
            let product = t.b.ins().fmul(a, b);
            if negated { t.b.ins().fsub(addend, product) } else { t.b.ins().fadd(product, addend) }
        });
    }

    fn dot_and_add(&mut self) {
        let addend = self.pop_vector(I32X4);
        self.vector_binary(I8X16, |t, a, b| {
            let products = t.dot_product(a, b);
            let sums = t.sums_of_pairs(SIGNED, products);
            t.b.ins().iadd(sums, addend)
        });
    }
}
