//! Views of vectors, and the instructions on their bits.

use super::super::state::Translator;
use crate::module::instruction::VectorBits;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value};

/// Returns the lanes of an instruction's result: those that its name begins with.
pub(super) fn lanes_of(name: &str) -> Type {
    match name.as_bytes() {
        [b'I', b'8', b'x', ..] => I8X16,
        [b'I', b'1', b'6', b'x', ..] => I16X8,
        [b'I', b'3', b'2', b'x', ..] => I32X4,
        [b'I', b'6', b'4', b'x', ..] => I64X2,
        [b'F', b'3', b'2', b'x', ..] => F32X4,
        [b'F', b'6', b'4', b'x', ..] => F64X2,
        _ => unreachable!("the name {name} has no lanes"),
    }
}

impl Translator<'_, '_> {
    /// Returns the vector with these bytes, lane 0 first.
    pub(in super::super) fn vector_constant(&mut self, bytes: [u8; 16]) -> Value {
        let constant = self.b.func.dfg.constants.insert(bytes.to_vec().into());
        self.b.ins().vconst(I8X16, constant)
    }

    /// Returns the same 128 bits as lanes of another type. Lane 0 is always the one with the lowest
    /// address.
    pub(super) fn view(&mut self, vector: Value, lanes: Type) -> Value {
        let dfg = &self.b.func.dfg;
        if dfg.value_type(vector) == lanes {
            return vector;
        }
        let maker = dfg.value_def(vector).inst().map(|inst| dfg.insts[inst]);
        if let Some(InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }) = maker
            && dfg.value_type(arg) == lanes
        {
            return arg;
        }
        self.b.ins().bitcast(lanes, MemFlagsData::new().with_endianness(Endianness::Little), vector)
    }

    pub(super) fn pop_vector(&mut self, lanes: Type) -> Value {
        let vector = self.pop();
        self.view(vector, lanes)
    }

    pub(super) fn push_vector(&mut self, vector: Value) {
        let bytes = self.view(vector, I8X16);
        self.push(bytes);
    }

    /// Translates an instruction that makes a vector of one with these lanes.
    pub(super) fn vector_unary(&mut self, lanes: Type, emit: impl FnOnce(&mut Self, Value) -> Value) {
        let vector = self.pop_vector(lanes);
        let result = emit(self, vector);
        self.push_vector(result);
    }

    /// Translates an instruction that makes a vector of two with these lanes.
    pub(super) fn vector_binary(&mut self, lanes: Type, emit: impl FnOnce(&mut Self, Value, Value) -> Value) {
        let (right, left) = (self.pop_vector(lanes), self.pop_vector(lanes));
        let result = emit(self, left, right);
        self.push_vector(result);
    }

    /// Translates an instruction on the bits, whatever lanes they are.
    pub(in super::super) fn vector_bits(&mut self, op: VectorBits) {
        use VectorBits as O;
        match op {
            O::V128Const { value } => {
                let constant = self.vector_constant(*value.bytes());
                self.push(constant);
            }
            O::V128Not => self.vector_unary(I8X16, |t, a| t.b.ins().bnot(a)),
            O::V128And => self.vector_binary(I8X16, |t, a, b| t.b.ins().band(a, b)),
            O::V128Or => self.vector_binary(I8X16, |t, a, b| t.b.ins().bor(a, b)),
            O::V128Xor => self.vector_binary(I8X16, |t, a, b| t.b.ins().bxor(a, b)),
            O::V128AndNot => self.vector_binary(I8X16, |t, a, b| {
                let others = t.b.ins().bnot(b);
                t.b.ins().band(a, others)
            }),
            O::V128Bitselect => self.bitselect(),
            O::V128AnyTrue => {
                let vector = self.pop();
                let flag = self.b.ins().vany_true(vector);
                let flag = self.b.ins().uextend(I32, flag);
                self.push(flag);
            }
        }
    }

    pub(super) fn bitselect(&mut self) {
        let (mask, otherwise, then) = (self.pop(), self.pop(), self.pop());
        let selected = self.b.ins().bitselect(mask, then, otherwise);
        self.push(selected);
    }
}
