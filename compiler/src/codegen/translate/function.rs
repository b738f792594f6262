//! A function body from its first local to its end, instruction by instruction.

use super::clause::MAX_LISTED;
use super::state::{ModuleContext, Translator};
use crate::base::error::CompileError;
use crate::base::printable::Printable;
use crate::codegen::abi::wasm_signature;
use crate::instance::layout::{allowance, header};
use crate::module::instruction::Instruction;
use crate::module::{FromParser, ValType};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Function, GlobalValueData, MemFlagsData, SourceLoc};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use wasmparser::{FunctionBody, OperatorsReader};

/// Translates a valid body into `target`, which must be empty.
///
/// # Errors
/// Returns an error if there are too many handlers. Everything else has been validated.
pub(crate) fn translate<'m>(
    module: &'m ModuleContext<'m>,
    func: u32,
    body: &'m FunctionBody<'m>,
    target: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Result<(), CompileError> {
    let ty = module.info.func_type(func);
    target.signature = wasm_signature(ty);
    set_stack_limit(target);
    let mut b = FunctionBuilder::new(target, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let mut translator = Translator::new(module, body, b, params[0]);
    translator.begin_memory();
    for (ty, value) in ty.params().iter().zip(&params[1..]) {
        translator.declare_local(*ty, *value);
    }
    declare_locals(&mut translator, body)?;
    translator.push_body(ty.results());
    translate_operators(&mut translator, func, body)?;
    translator.settle_memory();
    translator.b.finalize(module.isa.frontend_config());
    Ok(())
}

/// Makes the prologue compare the stack pointer with the limit of the store. Stores change it
/// often, and may have many instances.
fn set_stack_limit(target: &mut Function) {
    let vmctx = target.create_global_value(GlobalValueData::VMContext);
    let flags = target.dfg.mem_flags.insert(MemFlagsData::trusted()).expect("the first flags of a function");
    let load = |base, offset: i32| GlobalValueData::Load { base, offset: offset.into(), global_type: I64, flags };
    let store = target.create_global_value(load(vmctx, header::ALLOWANCE));
    let limit = load(store, allowance::STACK_LIMIT);
    target.stack_limit = Some(target.create_global_value(limit));
}

fn declare_locals(translator: &mut Translator<'_, '_>, body: &FunctionBody<'_>) -> Result<(), CompileError> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read()?;
        let ty = ValType::from_parser(ty, translator.module.known()).map_err(|missing| missing.at(offset as usize))?;
        let zero = translator.zero(ty);
        for _ in 0..count {
            translator.declare_local(ty, zero);
        }
    }
    Ok(())
}

fn translate_operators(
    translator: &mut Translator<'_, '_>,
    func: u32,
    body: &FunctionBody<'_>,
) -> Result<(), CompileError> {
    let mut operators = body.get_operators_reader()?;
    translator.meter_entry(SourceLoc::new(operators.original_position() as u32));
    while !operators.eof() {
        let (op, offset) = operators.read_with_offset()?;
        let instruction =
            Instruction::new(op, translator.module.known()).map_err(|missing| missing.at(offset as usize))?;
        translator.b.set_srcloc(SourceLoc::new(offset as u32));
        translator.next_asks = asks(&operators);
        translator.pay_for(&instruction);
        translator.instruction(instruction);
        if translator.listed > MAX_LISTED {
            return Err(too_many_handlers(translator.module, func));
        }
    }
    Ok(operators.finish()?)
}

/// The first bytes of the instructions that ask only whether an operand is zero, the topmost one:
/// `if`, `br_if`, both forms of `select`, and `i32.eqz` (specification, section 5.4).
const ASKS: [u8; 5] = [0x04, 0x0d, 0x1b, 0x1c, 0x45];

fn asks(rest: &OperatorsReader<'_>) -> bool {
    rest.get_binary_reader().read_u8().is_ok_and(|first| ASKS.contains(&first))
}

#[cold]
fn too_many_handlers(module: &ModuleContext<'_>, func: u32) -> CompileError {
    let name = module.info.func_name(func).map_or_else(String::new, |name| format!(" `{}`", Printable::new(name)));
    CompileError::limit(format!(
        "function {func}{name} has more than {MAX_LISTED} handlers, where each counts once for each call and each \
         construct that it is around; its compilation would take long"
    ))
}

impl Translator<'_, '_> {
    /// Translates a valid instruction.
    #[inline]
    fn instruction(&mut self, instruction: Instruction<'_>) {
        use Instruction as I;
        match instruction {
            I::Structure(op) => self.structure(op),
            _ if !self.reachable => {}
            I::Control(op) => self.control(op),
            I::Exception(op) => self.exception(op),
            I::Call(op) => self.call(op),
            I::Variable(op) => self.variable(op),
            I::Reference(op) => self.reference(op),
            I::Struct(op) => self.struct_instruction(op),
            I::Array(op) => self.array(op),
            I::BulkArray(op) => self.bulk_array(op),
            I::SmallInteger(op) => self.small_integer(op),
            I::Cast(op) => self.cast(op),
            I::Table(op) => self.table(op),
            I::BulkTable(op) => self.bulk_table(op),
            I::MemorySize(op) => self.memory_size(op),
            I::BulkMemory(op) => self.bulk_memory(op),
            I::Load(op) => self.load_instruction(op),
            I::Store(op) => self.store_instruction(op),
            I::Atomic(op) => self.atomic(op),
            I::Constant(op) => self.constant(op),
            I::IntegerArithmetic(op) => self.integer_arithmetic(op),
            I::IntegerComparison(op) => self.integer_comparison(op),
            I::WideArithmetic(op) => self.wide_arithmetic(op),
            I::FloatArithmetic(op) => self.float_arithmetic(op),
            I::FloatComparison(op) => self.float_comparison(op),
            I::IntegerConversion(op) => self.integer_conversion(op),
            I::FloatConversion(op) => self.float_conversion(op),
            I::VectorBits(op) => self.vector_bits(op),
            I::VectorLoad(op) => self.vector_load(op),
            I::LaneAccess(op) => self.lane_access(op),
            I::LaneMove(op) => self.lane_move(op),
            I::LaneExtract(op) => self.lane_extract(op),
            I::LaneReplace(op) => self.lane_replace(op),
            I::LaneReduction(op) => self.lane_reduction(op),
            I::VectorArithmetic(op) => self.vector_arithmetic(op),
            I::SaturatingArithmetic(op) => self.saturating_arithmetic(op),
            I::VectorShift(op) => self.vector_shift(op),
            I::VectorComparison(op) => self.vector_comparison(op),
            I::Narrowing(op) => self.narrowing(op),
            I::Extension(op) => self.extension(op),
            I::ExtendedProduct(op) => self.extended_product(op),
            I::ExtendedSum(op) => self.extended_sum(op),
            I::VectorFloatArithmetic(op) => self.vector_float_arithmetic(op),
            I::VectorFloatComparison(op) => self.vector_float_comparison(op),
            I::VectorFloatConversion(op) => self.vector_float_conversion(op),
            I::Relaxed(op) => self.relaxed(op),
        }
    }
}
