//! Translates calls: direct, of imports, through tables and references, and their tail forms
//! (specification, section 4.4.8).

use super::state::Translator;
use crate::base::trap::Trap;
use crate::codegen::abi::{trap_code, wasm_signature};
use crate::instance::builtin::Builtin;
use crate::instance::layout::{func_record, import_func};
use crate::module::HeapType;
use crate::module::instruction::Call;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{FuncRef, InstBuilder, MemFlagsData, SigRef, Value};

/// The callee of a call.
enum Callee {
    /// A function of this module.
    Direct(FuncRef),
    /// The code at an address.
    Address(SigRef, Value),
}

impl Translator<'_, '_> {
    pub(super) fn call(&mut self, op: Call) {
        match op {
            Call::Call { function_index } => self.call_function(function_index, false),
            Call::ReturnCall { function_index } => self.call_function(function_index, true),
            Call::CallIndirect { type_index, table_index } => self.call_element(type_index, table_index, false),
            Call::ReturnCallIndirect { type_index, table_index } => {
                self.call_element(type_index, table_index, true);
            }
            Call::CallRef { type_index } => self.call_reference(type_index, false),
            Call::ReturnCallRef { type_index } => self.call_reference(type_index, true),
        }
    }

    fn call_function(&mut self, func: u32, tail: bool) {
        let params = self.module.info.func_type(func).params().len();
        let arguments = self.pop_many(params);
        let (callee, vmctx) = match func.checked_sub(self.module.info.num_imported_funcs) {
            Some(defined) => (Callee::Direct(self.function(func, defined)), self.vmctx),
            None => self.imported(func),
        };
        self.emit_call(&callee, self.module.info.funcs[func as usize].ty, vmctx, &arguments, tail);
    }

    fn function(&mut self, func: u32, defined: u32) -> FuncRef {
        if let Some(known) = self.callees.get(&func) {
            return *known;
        }
        let signature = self.signature(self.module.info.funcs[func as usize].ty);
        let function = self.import_piece(defined, signature);
        self.callees.insert(func, function);
        function
    }

    fn signature(&mut self, ty: u32) -> SigRef {
        let ty = self.module.info.canonical_types[ty as usize];
        if let Some(known) = self.signatures.get(&ty) {
            return *known;
        }
        let signature = self.b.import_signature(wasm_signature(self.module.info.type_at(ty)));
        self.signatures.insert(ty, signature);
        signature
    }

    fn imported(&mut self, func: u32) -> (Callee, Value) {
        let entry = self.module.layout.import_func(func);
        let signature = self.signature(self.module.info.funcs[func as usize].ty);
        let code = entry + import_func::RECORD + func_record::CODE;
        let code = self.load_constant(I64, self.vmctx, code, self.regions.host);
        let vmctx = self.load_constant(I64, self.vmctx, entry + import_func::CALLEE, self.regions.host);
        (Callee::Address(signature, code), vmctx)
    }

    fn call_element(&mut self, ty: u32, table: u32, tail: bool) {
        let index = self.pop();
        let params = self.module.info.type_at(ty).params().len();
        let arguments = self.pop_many(params);
        let element = self.element(table, index);
        let distance = self.load_element(&element, Trap::UndefinedElement);
        let record = self.b.ins().iadd(element.owner, distance);
        let known = match self.module.info.tables[table as usize].element.heap {
            HeapType::ConcreteFunc(element) => self.module.info.extends(element, ty),
            HeapType::Func | HeapType::NoFunc => false,
            other => unreachable!("validation has admitted a call of a reference to {other}"),
        };
        if !known {
            self.check_type(record, ty);
        }
        self.call_record(record, ty, &arguments, known.then_some(Trap::IndirectCallToNull), tail);
    }

    fn call_reference(&mut self, ty: u32, tail: bool) {
        let record = self.pop();
        let params = self.module.info.type_at(ty).params().len();
        let arguments = self.pop_many(params);
        self.call_record(record, ty, &arguments, Some(Trap::NullFunctionReference), tail);
    }

    /// Calls the function of a record. If the reference can be null, the first load is the check:
    /// then it reads from an address that always faults.
    fn call_record(&mut self, record: Value, ty: u32, arguments: &[Value], null: Option<Trap>, tail: bool) {
        let flags = MemFlagsData::trusted().with_readonly().with_alias_region(Some(self.regions.records));
        let checked = flags.with_trap_code(null.map(trap_code));
        let callee = self.b.ins().load(I64, checked, record, func_record::CALLEE);
        let code = self.b.ins().load(I64, flags, record, func_record::CODE);
        let vmctx = self.b.ins().iadd(record, callee);
        let signature = self.signature(ty);
        self.emit_call(&Callee::Address(signature, code), ty, vmctx, arguments, tail);
    }

    /// Traps unless the function has the type. A null entry is distance 0, so its "record" is the
    /// owner's vmctx, which is in the guard: the load of its type is the null check.
    fn check_type(&mut self, record: Value, ty: u32) {
        let flags = MemFlagsData::trusted()
            .with_readonly()
            .with_trap_code(Some(trap_code(Trap::IndirectCallToNull)))
            .with_alias_region(Some(self.regions.records));
        let found = self.b.ins().load(I32, flags, record, func_record::TYPE_ID);
        let canonical = self.module.info.canonical_types[ty as usize];
        let wanted = self.module.layout.type_id(canonical);
        let wanted = self.load_constant(I32, self.vmctx, wanted, self.regions.records);
        let other = self.b.ins().icmp(IntCC::NotEqual, found, wanted);
        if self.module.info.types[ty as usize].is_final {
            self.trap_if(other, Trap::BadSignature);
        } else {
            self.check_subtype(other, found, wanted);
        }
    }

    /// Asks the runtime about a function of `other` type, which may still extend the wanted one.
    fn check_subtype(&mut self, other: Value, found: Value, wanted: Value) {
        let (ask, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(ask);
        self.b.ins().brif(other, ask, &[], next, &[]);
        self.continue_in(ask);
        self.call_checked(Builtin::CheckSubtype, &[found, wanted], Trap::BadSignature);
        self.b.ins().jump(next, &[]);
        self.continue_in(next);
    }

    fn emit_call(&mut self, callee: &Callee, ty: u32, vmctx: Value, arguments: &[Value], tail: bool) {
        let arguments: Vec<Value> = std::iter::once(vmctx).chain(arguments.iter().copied()).collect();
        if tail {
            match callee {
                Callee::Direct(function) => self.b.ins().return_call(*function, &arguments),
                Callee::Address(signature, code) => self.b.ins().return_call_indirect(*signature, *code, &arguments),
            };
            self.reachable = false;
            return;
        }
        let results = match *callee {
            Callee::Direct(function) => self.call_with_handlers(
                self.b.func.dfg.ext_funcs[function].signature,
                |this, table| this.b.ins().try_call(function, &arguments, table),
                |this| this.b.ins().call(function, &arguments),
            ),
            Callee::Address(signature, code) => self.call_with_handlers(
                signature,
                |this, table| this.b.ins().try_call_indirect(code, &arguments, table),
                |this| this.b.ins().call_indirect(signature, code, &arguments),
            ),
        };
        let module = self.module;
        module.info.type_at(ty).results().iter().zip(&results).for_each(|(ty, value)| self.trace(*ty, *value));
        self.stack.extend(results);
        self.end_stretch();
    }
}
