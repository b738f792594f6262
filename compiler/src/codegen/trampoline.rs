//! Makes the trampolines into Wasm and out of it: one of each for every function type that needs
//! it.
//!
//! **Entry** (host to Wasm), in the platform's calling convention:
//! `(callee vmctx, code, values, padding.., activation) -> i32`. It leaves its frame pointer, its
//! stack pointer and the address of its exception handler in the activation (`layout::activation`),
//! takes the arguments from the array `values` (`layout::VALUE_SIZE` bytes each), and calls. After
//! a normal return the results are in the array and it returns 0.
//!
//! The padding takes up all other registers for arguments. So the activation's address is on the
//! stack, where the platform's convention fixes its place, and whoever finds the trampoline's frame
//! has found the activation.
//!
//! The handler returns 1. It is reached only if someone sets the three registers to what the
//! activation says. That is sound for three reasons:
//!
//! - A `try_call` of the tail convention assumes nothing about any register after it.
//! - Frames here have one size from prologue to epilogue, so the stack pointer at the call is the
//!   one that is stored.
//! - What the trampoline needs afterwards is in its frame.
//!
//! **Exit** (Wasm to host), in Wasm's convention. In place of a vmctx it gets the address of a host
//! context (`layout::host_context`), which names the function `(context, values, frame) -> i64` to
//! call with the arguments in an array. If that returns 0, the results are in the array. If it
//! returns `HOST_FAILED`, the trampoline traps. Anything else is the address of a function
//! `(context)` that throws an exception, and never returns.
//!
//! **New epoch** (Wasm to the runtime), in a convention that keeps all registers, so that a loop
//! that never calls it costs nothing more.

use super::abi::{builtin_signature, new_epoch_signature, trap_code, value_type, wasm_signature};
use super::isa::argument_registers;
use crate::base::trap::Trap;
use crate::instance::builtin::{Builtin, HOST_FAILED};
use crate::instance::layout::{VALUE_SIZE, activation, header, host_context};
use crate::module::{FuncType, ValType};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, ExceptionTableData, ExceptionTableItem, Function, InstBuilder, MemFlagsData, Signature,
    StackSlotData, StackSlotKind, Type, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

fn signature(isa: &dyn TargetIsa, params: &[Type]) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend(params.iter().map(|ty| AbiParam::new(*ty)));
    signature.returns.push(AbiParam::new(I32));
    signature
}

fn begin(b: &mut FunctionBuilder<'_>) -> Vec<Value> {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    b.block_params(entry).to_vec()
}

fn load_all(b: &mut FunctionBuilder<'_>, types: &[ValType], values: Value) -> Vec<Value> {
    let load = |(i, ty): (usize, &ValType)| {
        let at = i as i32 * VALUE_SIZE as i32;
        b.ins().load(value_type(*ty), MemFlagsData::trusted(), values, at)
    };
    types.iter().enumerate().map(load).collect()
}

fn store_all(b: &mut FunctionBuilder<'_>, from: &[Value], values: Value) {
    for (i, value) in from.iter().enumerate() {
        b.ins().store(MemFlagsData::trusted(), *value, values, i as i32 * VALUE_SIZE as i32);
    }
}

/// Builds an entry: host to Wasm.
pub(crate) fn entry(isa: &dyn TargetIsa, ty: &FuncType, target: &mut Function, context: &mut FunctionBuilderContext) {
    // One more than there are registers.
    target.signature = signature(isa, &vec![I64; argument_registers(isa) + 1]);
    let mut b = FunctionBuilder::new(target, context);
    let [vmctx, code, values, .., activation] = begin(&mut b)[..] else { unreachable!("at least four parameters") };
    // The handler's address is asked for by the block that ends with the call, which may not be the
    // first one.
    let (calling, returned, trapped) = (b.create_block(), b.create_block(), b.create_block());
    b.ins().jump(calling, &[]);
    b.switch_to_block(calling);
    b.seal_block(calling);
    leave_frame(&mut b, activation, calling);
    let mut arguments = vec![vmctx];
    arguments.extend(load_all(&mut b, ty.params(), values));
    try_call(&mut b, ty, code, &arguments, returned, trapped);

    b.switch_to_block(returned);
    b.seal_block(returned);
    let results = b.block_params(returned).to_vec();
    store_all(&mut b, &results, values);
    let ok = b.ins().iconst(I32, 0);
    b.ins().return_(&[ok]);

    b.switch_to_block(trapped);
    b.seal_block(trapped);
    let failed = b.ins().iconst(I32, 1);
    b.ins().return_(&[failed]);
    b.finalize(isa.frontend_config());
}

/// Stores where the signal handler resumes: at the first handler of the call that ends the block.
fn leave_frame(b: &mut FunctionBuilder<'_>, activation: Value, calling: Block) {
    let frame = b.ins().get_frame_pointer(I64);
    let stack = b.ins().get_stack_pointer(I64);
    let handler = b.ins().get_exception_handler_address(I64, calling, 0);
    for (value, at) in [(frame, activation::FRAME), (stack, activation::STACK), (handler, activation::HANDLER)] {
        b.ins().store(MemFlagsData::trusted(), value, activation, at);
    }
}

fn try_call(
    b: &mut FunctionBuilder<'_>,
    ty: &FuncType,
    code: Value,
    arguments: &[Value],
    returned: Block,
    trapped: Block,
) {
    let callee = b.import_signature(wasm_signature(ty));
    let mut results = Vec::new();
    for (i, ty) in ty.results().iter().enumerate() {
        b.append_block_param(returned, value_type(*ty));
        results.push(BlockArg::TryCallRet(i as u32));
    }
    let returned = b.func.dfg.block_call(returned, &results);
    let trapped = b.func.dfg.block_call(trapped, &[]);
    let table = ExceptionTableData::new(callee, returned, [ExceptionTableItem::Default(trapped)]);
    let table = b.func.dfg.exception_tables.push(table);
    b.ins().try_call_indirect(code, arguments, table);
}

/// Builds an exit: Wasm to host.
pub(crate) fn exit(isa: &dyn TargetIsa, ty: &FuncType, target: &mut Function, context: &mut FunctionBuilderContext) {
    target.signature = wasm_signature(ty);
    let mut b = FunctionBuilder::new(target, context);
    let params = begin(&mut b);
    let host_context = params[0];
    let slots = ty.params().len().max(ty.results().len()).max(1) as u32;
    let array =
        StackSlotData::new(StackSlotKind::ExplicitSlot, slots * VALUE_SIZE as u32, VALUE_SIZE.trailing_zeros() as u8);
    let array = b.create_sized_stack_slot(array);
    let values = b.ins().stack_addr(I64, array, 0);
    store_all(&mut b, &params[1..], values);
    let frame = b.ins().get_frame_pointer(I64);
    let host_call = b.ins().load(I64, MemFlagsData::trusted(), host_context, host_context::CALL);
    let callee = b.import_signature(host_call_signature(isa));
    let call = b.ins().call_indirect(callee, host_call, &[host_context, values, frame]);
    let outcome = b.inst_results(call)[0];
    let (failed, returned) = (b.create_block(), b.create_block());
    b.set_cold_block(failed);
    b.ins().brif(outcome, failed, &[], returned, &[]);
    b.switch_to_block(failed);
    b.seal_block(failed);
    raise(&mut b, isa, outcome, host_context);
    b.switch_to_block(returned);
    b.seal_block(returned);
    let results = load_all(&mut b, ty.results(), values);
    b.ins().return_(&results);
    b.finalize(isa.frontend_config());
}

fn host_call_signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(I64); 3]);
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// Emits the end of a failed call: it traps, or throws the exception that the host has thrown.
fn raise(b: &mut FunctionBuilder<'_>, isa: &dyn TargetIsa, outcome: Value, host_context: Value) {
    let failed = b.ins().icmp_imm_s(IntCC::Equal, outcome, HOST_FAILED);
    b.ins().trapnz(failed, trap_code(Trap::HostError));
    let throw = b.import_signature(signature(isa, &[I64]));
    b.ins().call_indirect(throw, outcome, &[host_context]);
    b.ins().trap(trap_code(Trap::HostError));
}

/// Builds the trampoline that code calls when its epoch deadline has passed. It traps if the code
/// may not go on.
pub(crate) fn new_epoch(isa: &dyn TargetIsa, target: &mut Function, context: &mut FunctionBuilderContext) {
    target.signature = new_epoch_signature();
    let mut b = FunctionBuilder::new(target, context);
    let [vmctx] = begin(&mut b)[..] else { unreachable!("one parameter") };
    let frame = b.ins().get_frame_pointer(I64);
    let table = b.ins().load(I64, MemFlagsData::trusted(), vmctx, header::BUILTINS);
    let function = b.ins().load(I64, MemFlagsData::trusted(), table, Builtin::NewEpoch.offset());
    let callee = b.import_signature(builtin_signature(Builtin::NewEpoch, isa.default_call_conv()));
    let call = b.ins().call_indirect(callee, function, &[vmctx, frame]);
    let stop = b.inst_results(call)[0];
    b.ins().trapnz(stop, trap_code(Trap::Interrupt));
    b.ins().return_(&[]);
    b.finalize(isa.frontend_config());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiler, Settings};
    use cranelift_codegen::Context;

    /// Returns a type with more parameters and results than there are registers, so that both use
    /// the stack.
    fn wide() -> FuncType {
        FuncType::new([ValType::I64; 12], [ValType::I32; 20])
    }

    fn instructions(make: impl Fn(&dyn TargetIsa, &mut Function, &mut FunctionBuilderContext)) -> String {
        let isa = Compiler::new(&Settings::default()).unwrap().isa;
        let mut context = Context::new();
        make(&*isa, &mut context.func, &mut FunctionBuilderContext::new());
        context.want_disasm = true;
        let code = context.compile(&*isa, &mut Default::default()).map_err(|error| error.inner).unwrap();
        code.vcode.clone().unwrap()
    }

    #[test]
    fn an_exit_passes_values_that_do_not_fit_registers() {
        let code = instructions(|isa, target, context| exit(isa, &wide(), target, context));
        assert!(code.contains(&format!("trap={}", trap_code(Trap::HostError))), "{code}");
    }

    #[cfg(target_arch = "x86_64")]
    mod x86_64 {
        use super::*;

        #[test]
        fn an_entry_has_the_stack_pointer_it_leaves_for_the_handler_until_it_returns() {
            let code = instructions(|isa, target, context| entry(isa, &wide(), target, context));
            let (prologue, rest) = code.split_once("block0:").unwrap();
            assert_eq!(prologue.matches("subq").count(), 1, "{code}");
            let body = rest.split("movq %rbp, %rsp").next().unwrap();
            let changes = body.lines().filter(|line| line.ends_with(", %rsp")).count();
            assert_eq!(changes, 1, "only the epilogue may change it: {code}");
        }

        #[test]
        fn an_entry_finds_its_activation_on_the_stack_and_leaves_it_there() {
            let code = instructions(|isa, target, context| entry(isa, &wide(), target, context));
            // Cranelift shows places above the frame as distances from where the arguments begin.
            let place = format!("0x{:x}(%rbp)", activation::FROM_FRAME);
            let uses: Vec<&str> = code.lines().filter(|line| line.contains(&place)).collect();
            assert_eq!(uses.len(), 1, "{code}");
            assert!(uses[0].contains("movq ") && uses[0].contains(&format!("{place}, %")), "it is read: {}", uses[0]);
        }

        #[test]
        fn an_entry_saves_every_register_that_its_caller_relies_on() {
            let code = instructions(|isa, target, context| entry(isa, &FuncType::new([], []), target, context));
            let prologue = code.split("block0:").next().unwrap();
            for register in ["%rbp", "%rbx", "%r12", "%r13", "%r14", "%r15"] {
                assert!(prologue.contains(register), "{register} is lost: {code}");
            }
        }

        #[test]
        fn asking_whether_to_go_on_saves_every_register() {
            let code = instructions(new_epoch);
            let prologue = code.split("block0:").next().unwrap();
            let saved = prologue.lines().filter(|line| line.contains("(%rsp)")).count();
            // Those that a C function may change; what is left is the stack pointer, and those that
            // it keeps itself.
            assert!(saved >= 9 + 16, "{code}");
            assert!(code.contains(&format!("trap={}", trap_code(Trap::Interrupt))), "{code}");
        }
    }

    #[cfg(target_arch = "aarch64")]
    mod aarch64 {
        use super::*;

        #[test]
        fn an_entry_has_the_stack_pointer_it_leaves_for_the_handler_until_it_returns() {
            let code = instructions(|isa, target, context| entry(isa, &wide(), target, context));
            let (_, rest) = code.split_once("block0:").unwrap();
            let body: Vec<&str> = rest.split("  ret").next().unwrap().trim_end().lines().collect();
            let changes =
                |line: &&str| line.contains(" sp, sp, ") || line.contains("[sp, #-") || line.contains("[sp], #");
            let first = body.iter().position(|line| changes(line)).expect("an epilogue");
            assert!(body[first..].iter().all(|line| changes(line)), "only the epilogue may change it: {code}");
        }

        #[test]
        fn an_entry_finds_its_activation_on_the_stack_and_leaves_it_there() {
            let code = instructions(|isa, target, context| entry(isa, &wide(), target, context));
            let prologue = code.split("block0:").next().unwrap();
            let (_, behind_frame) = prologue.split_once("mov fp, sp").unwrap();
            let saved = 16 * behind_frame.matches("[sp, #-16]!").count();
            let (_, locals) = behind_frame.split_once("sub sp, sp, #").unwrap();
            let locals: usize = locals.trim_end().parse().unwrap();
            let place = format!("[sp, #{}]", locals + saved + activation::FROM_FRAME as usize);
            let uses: Vec<&str> = code.lines().filter(|line| line.contains(&place)).collect();
            assert_eq!(uses.len(), 1, "{code}");
            assert!(uses[0].contains("ldr x"), "it is read: {}", uses[0]);
        }

        #[test]
        fn an_entry_saves_every_register_that_its_caller_relies_on() {
            let code = instructions(|isa, target, context| entry(isa, &FuncType::new([], []), target, context));
            let prologue = code.split("block0:").next().unwrap();
            let whole = (19..29).map(|number| format!("x{number}"));
            let halves = (8..16).map(|number| format!("d{number}"));
            for register in whole.chain(halves).chain(["fp".to_owned(), "lr".to_owned()]) {
                let saved =
                    prologue.lines().any(|line| line.contains("stp ") && line.contains(&format!("{register},")));
                assert!(saved, "{register} is lost: {code}");
            }
        }

        #[test]
        fn asking_whether_to_go_on_saves_every_register() {
            let code = instructions(new_epoch);
            let prologue = code.split("block0:").next().unwrap();
            // Whole vectors: a C function keeps at most their halves. It keeps x19 to x28, and
            // nobody uses x18.
            let registers =
                (0..18).map(|number| format!("x{number},")).chain((0..32).map(|number| format!("q{number},")));
            for register in registers.chain(["lr,".to_owned()]) {
                assert!(prologue.contains(&format!(" {register}")), "{register} is lost: {code}");
            }
            assert!(code.contains(&format!("trap={}", trap_code(Trap::Interrupt))), "{code}");
        }
    }
}
