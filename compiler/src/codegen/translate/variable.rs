//! Variables: locals and globals (specification, section 4.4.5).

use super::state::Translator;
use crate::codegen::abi::{reference_type, value_type};
use crate::instance::layout::{GlobalPlace, import_global};
use crate::module::instruction::Variable;
use crate::module::{ConstOp, GlobalType, RefKind, ValType};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};

/// A global's value at `base + displacement`, and the vmctx from which a funcref in it is counted.
struct Cell {
    base: Value,
    displacement: i32,
    owner: Value,
}

impl Translator<'_, '_> {
    /// Returns what a local or field of a type starts with: zero or null.
    pub(super) fn zero(&mut self, ty: ValType) -> Value {
        let ins = self.b.ins();
        match ty {
            ValType::F32 => ins.f32const(Ieee32::with_bits(0)),
            ValType::F64 => ins.f64const(Ieee64::with_bits(0)),
            ValType::I32 | ValType::I64 | ValType::Ref(_) => ins.iconst(value_type(ty), 0),
            ValType::V128 => self.vector_constant([0; 16]),
        }
    }

    pub(super) fn variable(&mut self, op: Variable) {
        match op {
            Variable::LocalGet { local_index } => {
                let value = self.b.use_var(self.locals[local_index as usize]);
                self.push(value);
            }
            Variable::LocalSet { local_index } => {
                let value = self.pop();
                self.b.def_var(self.locals[local_index as usize], value);
            }
            Variable::LocalTee { local_index } => {
                let value = *self.stack.last().expect("validation counts operands");
                self.b.def_var(self.locals[local_index as usize], value);
            }
            Variable::GlobalGet { global_index } => self.global_get(global_index),
            Variable::GlobalSet { global_index } => self.global_set(global_index),
        }
    }

    fn global_get(&mut self, global: u32) {
        let value = match self.constant_global(global) {
            Some(value) => value,
            None => self.read_global(global),
        };
        self.push(value);
    }

    fn read_global(&mut self, global: u32) -> Value {
        let GlobalType { content, mutable } = self.module.info.globals[global as usize];
        let cell = self.cell(global);
        let (ty, region) = (value_type(content), self.regions.globals);
        // A collector may move what a reference leads to, and then even a global that nothing sets
        // changes.
        let moves = matches!(content, ValType::Ref(ty) if ty.heap.kind() != RefKind::Func);
        let value = if mutable || moves {
            self.load(ty, cell.base, cell.displacement, region)
        } else {
            self.load_constant(ty, cell.base, cell.displacement, region)
        };
        match content {
            ValType::Ref(ty) => {
                let reference = self.decode_reference(ty.heap.kind(), value, cell.owner);
                self.trace(content, reference);
                reference
            }
            ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128 => value,
        }
    }

    fn global_set(&mut self, global: u32) {
        let value = self.pop();
        let content = self.module.info.globals[global as usize].content;
        let cell = self.cell(global);
        let value = match content {
            ValType::Ref(ty) => self.encode_reference(ty.heap.kind(), value, cell.owner),
            ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128 => value,
        };
        self.store(value, cell.base, cell.displacement, self.regions.globals);
    }

    /// Returns the value of an immutable global, if it is the same in every instance.
    fn constant_global(&mut self, global: u32) -> Option<Value> {
        let info = self.module.info;
        let defined = global.checked_sub(info.num_imported_globals)?;
        if info.globals[global as usize].mutable {
            return None;
        }
        let [op] = info.global_inits[defined as usize].0[..] else { return None };
        Some(match op {
            ConstOp::I32Const(value) => self.b.ins().iconst(I32, i64::from(value as u32)),
            ConstOp::I64Const(value) => self.b.ins().iconst(I64, value),
            ConstOp::F32Const(bits) => self.b.ins().f32const(Ieee32::with_bits(bits)),
            ConstOp::F64Const(bits) => self.b.ins().f64const(Ieee64::with_bits(bits)),
            ConstOp::V128Const(bits) => self.vector_constant(bits.to_le_bytes()),
            ConstOp::RefNull(heap) => self.b.ins().iconst(reference_type(heap.kind()), 0),
            ConstOp::RefFunc(func) => self.function_reference(func),
            ConstOp::GlobalGet(_) => return None,
            // One instruction alone takes no operands.
            ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => return None,
            ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => return None,
            ConstOp::ArrayNew(_) | ConstOp::ArrayNewDefault(_) | ConstOp::RefI31 => return None,
            ConstOp::AnyConvertExtern | ConstOp::ExternConvertAny => return None,
            // A new object.
            ConstOp::StructNew(_) | ConstOp::StructNewDefault(_) | ConstOp::ArrayNewFixed { .. } => return None,
        })
    }

    fn cell(&mut self, global: u32) -> Cell {
        match self.module.layout.global(global) {
            GlobalPlace::State(at) => Cell { base: self.vmctx, displacement: at, owner: self.vmctx },
            GlobalPlace::Import(entry) => {
                let base = self.load_constant(I64, self.vmctx, entry + import_global::ADDRESS, self.regions.host);
                let owner = self.load_constant(I64, self.vmctx, entry + import_global::OWNER, self.regions.host);
                Cell { base, displacement: 0, owner }
            }
        }
    }
}
