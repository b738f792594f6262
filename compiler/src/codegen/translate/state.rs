//! Holds the state of translating one function body, and emits the loads, stores and calls that
//! every family needs.
//!
//! The other files of this folder add the instructions, a family each, as methods of
//! [`Translator`].

use super::clause::{Clause, Handlers};
use super::repeated::Repeated;
use super::tries::TryShape;
use crate::base::trap::Trap;
use crate::codegen::abi::{builtin_signature, trap_code, value_type};
use crate::instance::builtin::{Builtin, GROWTH_FAILED};
use crate::instance::layout::{Layout, header};
use crate::module::{Known, ModuleInfo, RefKind, ValType};
use crate::settings::{Features, Inlining, Metering};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, Block, ExtFuncData, ExternalName, FuncRef, Inst, InstBuilder, MemFlagsData, SigRef,
    StackSlot, Type, UserExternalName, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, Variable};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use wasmparser::FunctionBody;

/// The context that all bodies of a module share.
pub(crate) struct ModuleContext<'a> {
    pub(crate) info: &'a ModuleInfo,
    pub(crate) layout: &'a Layout,
    pub(crate) isa: &'a dyn TargetIsa,
    pub(crate) inlining: Inlining,
    pub(crate) features: Features,
    pub(crate) metering: Metering,
}

impl ModuleContext<'_> {
    /// Returns what it takes to make sense of what wasmparser has read.
    pub(super) fn known(&self) -> Known<'_> {
        Known { types: &self.info.types, features: self.features }
    }
}

/// One function body on its way from Wasm to Cranelift IR.
pub(super) struct Translator<'m, 'b> {
    pub(super) module: &'m ModuleContext<'m>,
    pub(super) b: FunctionBuilder<'b>,
    /// The pointer into this instance's slot.
    pub(super) vmctx: Value,
    /// Wasm's operand stack. It does not change while code is unreachable.
    pub(super) stack: Vec<Value>,
    pub(super) locals: Vec<Variable>,
    pub(super) frames: Vec<Frame>,
    pub(super) reachable: bool,
    /// Blocks that were entered in unreachable code and are skipped as a whole.
    pub(super) skipped: u32,
    pub(super) callees: HashMap<u32, FuncRef>,
    pub(super) signatures: HashMap<u32, SigRef>,
    builtins: HashMap<usize, SigRef>,
    pub(super) regions: Regions,
    /// The ways to catch an exception, of all constructs so far.
    pub(super) clauses: Vec<Clause>,
    /// How many clauses were listed at constructs and calls.
    pub(super) listed: usize,
    /// Where the values of exceptions are when they are thrown.
    pub(super) carried: Option<StackSlot>,
    pub(super) body: &'m FunctionBody<'m>,
    /// The clauses of each legacy `try` of the body, once there was one.
    pub(super) tries: Option<Rc<[TryShape]>>,
    /// How many of them have begun.
    pub(super) tries_begun: usize,
    /// Set if the code is metered.
    pub(super) meter: Option<Meter>,
    /// Set if the instance's slot has a memory.
    pub(super) own_memory: Option<OwnMemory>,
    /// What the current block has already.
    pub(super) repeated: Repeated,
    /// Whether the next instruction takes the result of this one and asks only whether it is zero.
    pub(super) next_asks: bool,
    /// Where the fields of structure types are that the body has named.
    pub(super) struct_offsets: HashMap<u32, Rc<[u64]>>,
}

/// The memory in the instance's own slot.
pub(super) struct OwnMemory {
    /// The address of its first byte.
    pub(super) base: Value,
    /// How often the code accesses it.
    pub(super) accesses: usize,
}

/// The state of metering.
pub(super) struct Meter {
    /// Address of the store's allowance.
    pub(super) allowance: Value,
    /// The region of the allowance and the engine's epoch. They never overlap with other regions.
    pub(super) region: AliasRegion,
    /// The stretch that instructions are added to, if they are paid for.
    pub(super) stretch: Option<Stretch>,
    /// The builtin for deadlines, once something calls it.
    pub(super) new_epoch: Option<FuncRef>,
}

/// Instructions that are paid for together.
pub(super) struct Stretch {
    pub(super) block: Block,
    /// The constant that is its price.
    pub(super) price: Inst,
    pub(super) cost: i64,
}

/// One entry of Wasm's control stack.
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    /// Where the code after its `end` starts; takes the results.
    pub(super) exit: Block,
    /// Whether anything goes there.
    pub(super) exit_used: bool,
    pub(super) params: usize,
    pub(super) results: usize,
    /// Height of the operand stack below its parameters.
    pub(super) base: usize,
    /// The handlers of exceptions that are thrown inside.
    pub(super) handlers: Handlers,
}

pub(super) enum FrameKind {
    Block,
    /// Branches go to the header, which takes the parameters.
    Loop {
        header: Block,
    },
    /// An `if` before its `else`, with the parameters that the `else` starts from.
    If {
        otherwise: Block,
        params: Vec<Value>,
    },
    Else,
    /// A `try_table`, with its clauses.
    TryTable {
        clauses: Range<usize>,
    },
    /// A legacy `try` before its first `catch`, with its clauses.
    Try {
        clauses: Range<usize>,
    },
    /// A legacy `catch` or `catch_all`, with the clauses that follow.
    Catch {
        clauses: Range<usize>,
        /// The exception that it has caught, if a `rethrow` needs it.
        exception: Option<Value>,
    },
}

/// Kinds of memory that never overlap. Every access to a location uses the same one.
pub(super) struct Regions {
    /// The host cell, which code never writes.
    pub(super) host: AliasRegion,
    /// Funcref records and type numbers, which code never writes.
    pub(super) records: AliasRegion,
    /// Sizes of memories and tables, and the flags of dropped segments.
    pub(super) sizes: AliasRegion,
    pub(super) globals: AliasRegion,
    pub(super) tables: AliasRegion,
    pub(super) memory: AliasRegion,
    /// Fields and elements of objects.
    pub(super) objects: AliasRegion,
    /// The parts of objects that never change: their types, and the lengths of arrays.
    pub(super) object_headers: AliasRegion,
    /// Where the next object will be.
    pub(super) heap_control: AliasRegion,
}

impl Regions {
    fn new(b: &mut FunctionBuilder<'_>) -> Self {
        let mut region = |user_id, description| {
            let data = AliasRegionData { user_id, description: Cow::Borrowed(description) };
            b.func.dfg.alias_regions.insert(data)
        };
        Self {
            host: region(0, "host cell"),
            records: region(1, "records"),
            sizes: region(2, "sizes"),
            globals: region(3, "globals"),
            tables: region(4, "tables"),
            memory: region(5, "memory"),
            objects: region(7, "objects"),
            object_headers: region(8, "object headers"),
            heap_control: region(9, "heap control"),
        }
    }
}

impl<'m, 'b> Translator<'m, 'b> {
    pub(super) fn new(
        module: &'m ModuleContext<'m>,
        body: &'m FunctionBody<'m>,
        mut b: FunctionBuilder<'b>,
        vmctx: Value,
    ) -> Self {
        let regions = Regions::new(&mut b);
        Self {
            module,
            b,
            vmctx,
            stack: Vec::new(),
            locals: Vec::new(),
            frames: Vec::new(),
            reachable: true,
            skipped: 0,
            callees: HashMap::new(),
            signatures: HashMap::new(),
            builtins: HashMap::new(),
            regions,
            clauses: Vec::new(),
            listed: 0,
            carried: None,
            body,
            tries: None,
            tries_begun: 0,
            meter: None,
            own_memory: None,
            repeated: Repeated::default(),
            next_asks: false,
            struct_offsets: HashMap::new(),
        }
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Value {
        self.stack.pop().expect("validation counts operands")
    }

    /// Pops the topmost `n` operands. They are in the order in which they were pushed.
    pub(super) fn pop_many(&mut self, n: usize) -> Vec<Value> {
        self.stack.split_off(self.stack.len() - n)
    }

    pub(super) fn declare_local(&mut self, ty: ValType, value: Value) {
        let variable = self.b.declare_var(value_type(ty));
        if ty.is_traced() {
            self.b.declare_var_needs_stack_map(variable);
        }
        self.b.def_var(variable, value);
        self.locals.push(variable);
    }

    /// Notes that a value of this type is a reference that the runtime has to find, if it is one:
    /// it is in the stack map of each call during which the function holds it. All values of such
    /// types have to be noted where they are made.
    pub(super) fn trace(&mut self, ty: ValType, value: Value) {
        if ty.is_traced() {
            self.b.declare_value_needs_stack_map(value);
        }
    }

    /// Loads something of the instance that never changes while code runs. The load can be moved
    /// and merged with others.
    pub(super) fn load_constant(&mut self, ty: Type, base: Value, offset: i32, region: AliasRegion) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move().with_alias_region(Some(region));
        self.b.ins().load(ty, flags, base, offset)
    }

    pub(super) fn load(&mut self, ty: Type, base: Value, offset: i32, region: AliasRegion) -> Value {
        self.b.ins().load(ty, MemFlagsData::trusted().with_alias_region(Some(region)), base, offset)
    }

    pub(super) fn store(&mut self, value: Value, base: Value, offset: i32, region: AliasRegion) {
        self.b.ins().store(MemFlagsData::trusted().with_alias_region(Some(region)), value, base, offset);
    }

    /// Imports a function of the module's text, by its place there.
    pub(super) fn import_piece(&mut self, piece: u32, signature: SigRef) -> FuncRef {
        let name = self.b.func.declare_imported_user_function(UserExternalName::new(0, piece));
        let name = ExternalName::user(name);
        self.b.import_function(ExtFuncData { name, signature, colocated: true, patchable: false })
    }

    pub(super) fn trap_if(&mut self, condition: Value, trap: Trap) {
        self.b.ins().trapnz(condition, trap_code(trap));
    }

    pub(super) fn index_constant(&mut self, index: u32) -> Value {
        self.b.ins().iconst(I32, i64::from(index))
    }

    /// Returns an i32 operand as an unsigned 64-bit number. An operand of 64 bits stays as it is.
    pub(super) fn widen(&mut self, value: Value) -> Value {
        match self.b.func.dfg.value_type(value) {
            I64 => value,
            _ => self.b.ins().uextend(I64, value),
        }
    }

    /// Returns a reference as the state keeps it: a funcref is the distance from its owner's vmctx.
    /// Null stays 0.
    pub(super) fn encode_reference(&mut self, kind: RefKind, reference: Value, owner: Value) -> Value {
        match kind {
            RefKind::Func => {
                let distance = self.b.ins().isub(reference, owner);
                self.b.ins().select(reference, distance, reference)
            }
            RefKind::Extern | RefKind::Any | RefKind::Exn => reference,
        }
    }

    /// Returns a reference as a value. It is the inverse of [`Self::encode_reference`].
    pub(super) fn decode_reference(&mut self, kind: RefKind, stored: Value, owner: Value) -> Value {
        match kind {
            RefKind::Func => {
                let address = self.b.ins().iadd(stored, owner);
                self.b.ins().select(stored, address, stored)
            }
            RefKind::Extern | RefKind::Any | RefKind::Exn => stored,
        }
    }

    /// Returns the address of a function of the runtime.
    pub(super) fn builtin(&mut self, builtin: Builtin) -> Value {
        let table = self.load_constant(I64, self.vmctx, header::BUILTINS, self.regions.host);
        self.load_constant(I64, table, builtin.offset(), self.regions.host)
    }

    /// Calls a function of the runtime.
    pub(super) fn call_builtin(&mut self, builtin: Builtin, arguments: &[Value]) -> Value {
        let signature = match self.builtins.get(&(builtin as usize)) {
            Some(signature) => *signature,
            None => {
                let convention = self.module.isa.default_call_conv();
                let signature = self.b.import_signature(builtin_signature(builtin, convention));
                self.builtins.insert(builtin as usize, signature);
                signature
            }
        };
        let function = self.builtin(builtin);
        let arguments: Vec<Value> = std::iter::once(self.vmctx).chain(arguments.iter().copied()).collect();
        let call = self.b.ins().call_indirect(signature, function, &arguments);
        self.b.inst_results(call)[0]
    }

    /// Calls a function of the runtime that makes something grow. It can ask the embedder, and so
    /// can fail.
    pub(super) fn call_growth(&mut self, builtin: Builtin, arguments: &[Value]) -> Value {
        let before = self.call_builtin(builtin, arguments);
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, before, GROWTH_FAILED);
        self.trap_if(failed, Trap::HostError);
        before
    }

    /// Calls a function of the runtime that returns 1 if it failed. Traps then.
    pub(super) fn call_checked(&mut self, builtin: Builtin, arguments: &[Value], trap: Trap) {
        let failed = self.call_builtin(builtin, arguments);
        self.trap_if(failed, trap);
    }
}
