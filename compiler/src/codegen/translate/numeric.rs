//! Translates instructions on numbers: constants, arithmetic, comparisons, conversions
//! (specification, section 4.4.1).

use super::repeated;
use super::state::Translator;
use crate::module::instruction::{
    Constant, FloatArithmetic, FloatComparison, FloatConversion, IntegerArithmetic, IntegerComparison,
    IntegerConversion, WideArithmetic,
};
use cranelift_codegen::ir::condcodes::{CondCode, FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64, I128};
use cranelift_codegen::ir::{InstBuilder, InstructionData, MemFlagsData, Type, Value};

impl Translator<'_, '_> {
    pub(super) fn constant(&mut self, op: Constant) {
        let value = match op {
            Constant::I32Const { value } => self.integer(I32, i64::from(value as u32)),
            Constant::I64Const { value } => self.integer(I64, value),
            Constant::F32Const { value } => self.b.ins().f32const(Ieee32::with_bits(value.bits())),
            Constant::F64Const { value } => self.b.ins().f64const(Ieee64::with_bits(value.bits())),
        };
        self.push(value);
    }

    /// Returns an integer constant, which must not be changed later: others may have the same.
    fn integer(&mut self, ty: Type, value: i64) -> Value {
        let block = self.b.current_block().expect("code is being added");
        let place = self.repeated.constant(block, repeated::Constant { ty, value });
        if let Some(known) = place.get() {
            return known;
        }
        let value = self.b.ins().iconst(ty, value);
        place.set(value);
        value
    }

    fn unary(&mut self, emit: impl FnOnce(&mut Self, Value) -> Value) {
        let value = self.pop();
        let result = emit(self, value);
        self.push(result);
    }

    fn binary(&mut self, emit: impl FnOnce(&mut Self, Value, Value) -> Value) {
        let (right, left) = (self.pop(), self.pop());
        let result = emit(self, left, right);
        self.push(result);
    }

    pub(super) fn integer_arithmetic(&mut self, op: IntegerArithmetic) {
        use IntegerArithmetic as O;
        match op {
            O::I32Add | O::I64Add => self.binary(|t, a, b| t.b.ins().iadd(a, b)),
            O::I32Sub | O::I64Sub => self.binary(|t, a, b| t.b.ins().isub(a, b)),
            O::I32Mul | O::I64Mul => self.binary(|t, a, b| t.b.ins().imul(a, b)),
            O::I32DivS | O::I64DivS => self.binary(|t, a, b| t.b.ins().sdiv(a, b)),
            O::I32DivU | O::I64DivU => self.binary(|t, a, b| t.b.ins().udiv(a, b)),
            O::I32RemS | O::I64RemS => self.binary(|t, a, b| t.b.ins().srem(a, b)),
            O::I32RemU | O::I64RemU => self.binary(|t, a, b| t.b.ins().urem(a, b)),
            O::I32And | O::I64And => self.binary(|t, a, b| t.b.ins().band(a, b)),
            O::I32Or | O::I64Or => self.binary(|t, a, b| t.b.ins().bor(a, b)),
            O::I32Xor | O::I64Xor => self.binary(|t, a, b| t.b.ins().bxor(a, b)),
            // Cranelift takes shift counts modulo the width, as Wasm does.
            O::I32Shl | O::I64Shl => self.binary(|t, a, b| t.b.ins().ishl(a, b)),
            O::I32ShrS | O::I64ShrS => self.binary(|t, a, b| t.b.ins().sshr(a, b)),
            O::I32ShrU | O::I64ShrU => self.binary(|t, a, b| t.b.ins().ushr(a, b)),
            O::I32Rotl | O::I64Rotl => self.binary(|t, a, b| t.b.ins().rotl(a, b)),
            O::I32Rotr | O::I64Rotr => self.binary(|t, a, b| t.b.ins().rotr(a, b)),
            O::I32Clz | O::I64Clz => self.unary(|t, a| t.b.ins().clz(a)),
            O::I32Ctz | O::I64Ctz => self.unary(|t, a| t.b.ins().ctz(a)),
            O::I32Popcnt | O::I64Popcnt => self.unary(|t, a| t.b.ins().popcnt(a)),
        }
    }

    /// Returns a comparison's result: as Wasm's i32, or as it is if the next instruction does not
    /// care.
    fn truth(&mut self, flag: Value) -> Value {
        if self.next_asks { flag } else { self.b.ins().uextend(I32, flag) }
    }

    /// Returns whether a number is zero.
    fn is_zero(&mut self, value: Value) -> Value {
        let ty = self.b.func.dfg.value_type(value);
        let flag = if ty == I8 {
            self.opposite(value)
        } else {
            let zero = self.integer(ty, 0);
            self.b.ins().icmp(IntCC::Equal, value, zero)
        };
        self.truth(flag)
    }

    /// Has a comparison say the opposite. It must be the last instruction's, so nothing else has
    /// its result. Cranelift would not find that of floats.
    fn opposite(&mut self, flag: Value) -> Value {
        let dfg = &mut self.b.func.dfg;
        let comparison = dfg.value_def(flag).unwrap_inst();
        match &mut dfg.insts[comparison] {
            InstructionData::IntCompare { cond, .. } => *cond = cond.complement(),
            InstructionData::FloatCompare { cond, .. } => *cond = cond.complement(),
            other => unreachable!("{other:?} is no comparison"),
        }
        flag
    }

    pub(super) fn integer_comparison(&mut self, op: IntegerComparison) {
        use IntegerComparison as O;
        let condition = match op {
            O::I32Eqz | O::I64Eqz => return self.unary(Self::is_zero),
            O::I32Eq | O::I64Eq => IntCC::Equal,
            O::I32Ne | O::I64Ne => IntCC::NotEqual,
            O::I32LtS | O::I64LtS => IntCC::SignedLessThan,
            O::I32LtU | O::I64LtU => IntCC::UnsignedLessThan,
            O::I32GtS | O::I64GtS => IntCC::SignedGreaterThan,
            O::I32GtU | O::I64GtU => IntCC::UnsignedGreaterThan,
            O::I32LeS | O::I64LeS => IntCC::SignedLessThanOrEqual,
            O::I32LeU | O::I64LeU => IntCC::UnsignedLessThanOrEqual,
            O::I32GeS | O::I64GeS => IntCC::SignedGreaterThanOrEqual,
            O::I32GeU | O::I64GeU => IntCC::UnsignedGreaterThanOrEqual,
        };
        self.binary(|t, a, b| {
            let flag = t.b.ins().icmp(condition, a, b);
            t.truth(flag)
        });
    }

    /// Translates arithmetic on numbers of 128 bits. Each is two operands or results: the low half,
    /// then the high one.
    pub(super) fn wide_arithmetic(&mut self, op: WideArithmetic) {
        use WideArithmetic as O;
        let result = match op {
            O::I64Add128 => {
                let (right, left) = (self.pop_wide(), self.pop_wide());
                self.b.ins().iadd(left, right)
            }
            O::I64Sub128 => {
                let (right, left) = (self.pop_wide(), self.pop_wide());
                self.b.ins().isub(left, right)
            }
            O::I64MulWideS => {
                let operands = [self.pop(), self.pop()];
                let [right, left] = operands.map(|value| self.b.ins().sextend(I128, value));
                self.b.ins().imul(left, right)
            }
            O::I64MulWideU => {
                let operands = [self.pop(), self.pop()];
                let [right, left] = operands.map(|value| self.b.ins().uextend(I128, value));
                self.b.ins().imul(left, right)
            }
        };
        let (low, high) = self.b.ins().isplit(result);
        self.push(low);
        self.push(high);
    }

    fn pop_wide(&mut self) -> Value {
        let (high, low) = (self.pop(), self.pop());
        self.b.ins().iconcat(low, high)
    }

    pub(super) fn float_arithmetic(&mut self, op: FloatArithmetic) {
        use FloatArithmetic as O;
        match op {
            O::F32Add | O::F64Add => self.binary(|t, a, b| t.b.ins().fadd(a, b)),
            O::F32Sub | O::F64Sub => self.binary(|t, a, b| t.b.ins().fsub(a, b)),
            O::F32Mul | O::F64Mul => self.binary(|t, a, b| t.b.ins().fmul(a, b)),
            O::F32Div | O::F64Div => self.binary(|t, a, b| t.b.ins().fdiv(a, b)),
            O::F32Min | O::F64Min => self.binary(|t, a, b| t.b.ins().fmin(a, b)),
            O::F32Max | O::F64Max => self.binary(|t, a, b| t.b.ins().fmax(a, b)),
            O::F32Copysign | O::F64Copysign => self.binary(|t, a, b| t.b.ins().fcopysign(a, b)),
            O::F32Abs | O::F64Abs => self.unary(|t, a| t.b.ins().fabs(a)),
            O::F32Neg | O::F64Neg => self.unary(|t, a| t.b.ins().fneg(a)),
            O::F32Sqrt | O::F64Sqrt => self.unary(|t, a| t.b.ins().sqrt(a)),
            O::F32Ceil | O::F64Ceil => self.unary(|t, a| t.b.ins().ceil(a)),
            O::F32Floor | O::F64Floor => self.unary(|t, a| t.b.ins().floor(a)),
            O::F32Trunc | O::F64Trunc => self.unary(|t, a| t.b.ins().trunc(a)),
            O::F32Nearest | O::F64Nearest => self.unary(|t, a| t.b.ins().nearest(a)),
        }
    }

    pub(super) fn float_comparison(&mut self, op: FloatComparison) {
        use FloatComparison as O;
        let condition = match op {
            O::F32Eq | O::F64Eq => FloatCC::Equal,
            O::F32Ne | O::F64Ne => FloatCC::NotEqual,
            O::F32Lt | O::F64Lt => FloatCC::LessThan,
            O::F32Gt | O::F64Gt => FloatCC::GreaterThan,
            O::F32Le | O::F64Le => FloatCC::LessThanOrEqual,
            O::F32Ge | O::F64Ge => FloatCC::GreaterThanOrEqual,
        };
        self.binary(|t, a, b| {
            let flag = t.b.ins().fcmp(condition, a, b);
            t.truth(flag)
        });
    }

    pub(super) fn integer_conversion(&mut self, op: IntegerConversion) {
        use IntegerConversion as O;
        let narrow = |part: Type, whole: Type| {
            move |t: &mut Self, a: Value| {
                let low = t.b.ins().ireduce(part, a);
                t.b.ins().sextend(whole, low)
            }
        };
        match op {
            O::I32WrapI64 => self.unary(|t, a| t.b.ins().ireduce(I32, a)),
            O::I64ExtendI32S => self.unary(|t, a| t.b.ins().sextend(I64, a)),
            O::I64ExtendI32U => self.unary(|t, a| t.b.ins().uextend(I64, a)),
            O::I32Extend8S => self.unary(narrow(I8, I32)),
            O::I32Extend16S => self.unary(narrow(I16, I32)),
            O::I64Extend8S => self.unary(narrow(I8, I64)),
            O::I64Extend16S => self.unary(narrow(I16, I64)),
            O::I64Extend32S => self.unary(narrow(I32, I64)),
        }
    }

    pub(super) fn float_conversion(&mut self, op: FloatConversion) {
        use FloatConversion as O;
        match op {
            O::I32TruncF32S | O::I32TruncF64S => self.unary(|t, a| t.b.ins().fcvt_to_sint(I32, a)),
            O::I32TruncF32U | O::I32TruncF64U => self.unary(|t, a| t.b.ins().fcvt_to_uint(I32, a)),
            O::I64TruncF32S | O::I64TruncF64S => self.unary(|t, a| t.b.ins().fcvt_to_sint(I64, a)),
            O::I64TruncF32U | O::I64TruncF64U => self.unary(|t, a| t.b.ins().fcvt_to_uint(I64, a)),
            O::I32TruncSatF32S | O::I32TruncSatF64S => self.unary(|t, a| t.b.ins().fcvt_to_sint_sat(I32, a)),
            O::I32TruncSatF32U | O::I32TruncSatF64U => self.unary(|t, a| t.b.ins().fcvt_to_uint_sat(I32, a)),
            O::I64TruncSatF32S | O::I64TruncSatF64S => self.unary(|t, a| t.b.ins().fcvt_to_sint_sat(I64, a)),
            O::I64TruncSatF32U | O::I64TruncSatF64U => self.unary(|t, a| t.b.ins().fcvt_to_uint_sat(I64, a)),
            O::F32ConvertI32S | O::F32ConvertI64S => self.unary(|t, a| t.b.ins().fcvt_from_sint(F32, a)),
            O::F32ConvertI32U | O::F32ConvertI64U => self.unary(|t, a| t.b.ins().fcvt_from_uint(F32, a)),
            O::F64ConvertI32S | O::F64ConvertI64S => self.unary(|t, a| t.b.ins().fcvt_from_sint(F64, a)),
            O::F64ConvertI32U | O::F64ConvertI64U => self.unary(|t, a| t.b.ins().fcvt_from_uint(F64, a)),
            O::F32DemoteF64 => self.unary(|t, a| t.b.ins().fdemote(F32, a)),
            O::F64PromoteF32 => self.unary(|t, a| t.b.ins().fpromote(F64, a)),
            O::I32ReinterpretF32 => self.unary(|t, a| t.b.ins().bitcast(I32, MemFlagsData::new(), a)),
            O::I64ReinterpretF64 => self.unary(|t, a| t.b.ins().bitcast(I64, MemFlagsData::new(), a)),
            O::F32ReinterpretI32 => self.unary(|t, a| t.b.ins().bitcast(F32, MemFlagsData::new(), a)),
            O::F64ReinterpretI64 => self.unary(|t, a| t.b.ins().bitcast(F64, MemFlagsData::new(), a)),
        }
    }
}
