//! Cranelift over all functions of a module, in parallel where there is enough to do.
//!
//! What comes out is bytes with relocations, one function at a time; `link` puts them together.

use super::parallel::run_all;
use super::trampoline;
use super::translate::{ModuleContext, translate};
use crate::base::error::CompileError;
use crate::module::parse::Body;
use crate::module::{FuncType, ModuleInfo};
use crate::settings::Metering;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, TrapCode};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::print_errors::pretty_error;
use cranelift_codegen::{CodegenError, Context, Final, MachBufferFinalized};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{FuncId, ModuleReloc};
use wasmparser::FuncValidatorAllocations;

/// Below this many bytes of bodies, one thread is faster than starting others.
const PARALLEL_FROM: usize = 16 * 1024;

/// A compiled function, not yet in its place.
pub(crate) struct Compiled {
    pub(crate) bytes: Vec<u8>,
    pub(crate) alignment: u64,
    /// What the linker has to fill in.
    pub(crate) relocations: Vec<ModuleReloc>,
    /// Offsets in `bytes` of instructions that may trap.
    pub(crate) traps: Vec<(u32, TrapCode)>,
    /// Offsets in `bytes` at which the code of a Wasm instruction starts, and the byte of the module where that is.
    pub(crate) places: Vec<(u32, u32)>,
}

/// Which function of the module a piece of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A defined function, counted without imports.
    Body(u32),
    /// What bodies call when their epoch deadline has passed.
    NewEpoch,
    /// The entry trampoline of a canonical type.
    Entry(u32),
    /// The exit trampoline of a canonical type.
    Exit(u32),
}

/// Everything a module's text consists of: bodies in order, then trampolines in order of their types.
pub(crate) fn pieces(info: &ModuleInfo, metering: Metering) -> Vec<Piece> {
    // Bodies know it by its place behind them.
    let new_epoch = metering.epochs.then_some(Piece::NewEpoch);
    let bodies = 0..info.funcs.len() as u32 - info.num_imported_funcs;
    let canonical = |ty: u32| info.canonical_types[ty as usize];
    let mut entries: Vec<u32> = info.funcs.iter().filter(|f| f.escapes).map(|f| canonical(f.ty)).collect();
    let imported = &info.funcs[..info.num_imported_funcs as usize];
    let mut exits: Vec<u32> = imported.iter().map(|f| canonical(f.ty)).collect();
    for types in [&mut entries, &mut exits] {
        types.sort_unstable();
        types.dedup();
    }
    let trampolines = entries.into_iter().map(Piece::Entry).chain(exits.into_iter().map(Piece::Exit));
    bodies.map(Piece::Body).chain(new_epoch).chain(trampolines).collect()
}

/// Compiles all pieces, in their order.
///
/// # Errors
/// Of all bodies that are not valid, the first one's; or Cranelift's, which is a bug here.
pub(crate) fn compile(
    module: &ModuleContext<'_>,
    pieces: &[Piece],
    bodies: Vec<Body<'_>>,
    parallel: bool,
) -> Result<Vec<Compiled>, CompileError> {
    let total: usize = bodies.iter().map(size).sum();
    let mut bodies: Vec<Option<Body<'_>>> = bodies.into_iter().map(Some).collect();
    let jobs = pieces.iter().enumerate().map(|(index, piece)| {
        let body = match piece {
            Piece::Body(defined) => bodies[*defined as usize].take(),
            _ => None,
        };
        Job { index, piece: *piece, body }
    });
    let mut jobs: Vec<Job<'_>> = jobs.collect();
    if !parallel || total < PARALLEL_FROM {
        let mut worker = Worker::default();
        return jobs.into_iter().map(|job| worker.run(module, job)).collect();
    }
    // The largest first, so that none of them is what everybody waits for at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.body.as_ref().map_or(0, size)));
    let mut done = run_all(jobs, Worker::default, |worker, job| (job.index, worker.run(module, job)));
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Compiles an exit trampoline by itself.
///
/// # Errors
/// When Cranelift fails, which is a bug here.
pub(crate) fn compile_exit(isa: &dyn TargetIsa, ty: &FuncType) -> Result<Compiled, CompileError> {
    let mut worker = Worker::default();
    trampoline::exit(isa, ty, &mut worker.context.func, &mut worker.builder);
    worker.emit(isa, 0, None)
}

fn size(body: &Body<'_>) -> usize {
    let range = body.body.range();
    (range.end - range.start) as usize
}

/// One function to compile.
struct Job<'a> {
    index: usize,
    piece: Piece,
    body: Option<Body<'a>>,
}

/// What a thread reuses from one function to the next.
struct Worker {
    context: Context,
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
    control: ControlPlane,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            validator: FuncValidatorAllocations::default(),
            control: ControlPlane::default(),
        }
    }
}

impl Worker {
    fn run(&mut self, module: &ModuleContext<'_>, job: Job<'_>) -> Result<Compiled, CompileError> {
        self.context.clear();
        let mut start = None;
        match job.piece {
            Piece::Body(defined) => {
                let Body { validator, body } = job.body.ok_or_else(|| CompileError::internal("a body is missing"))?;
                let mut validator = validator.into_validator(std::mem::take(&mut self.validator));
                let func = module.info.num_imported_funcs + defined;
                start = Some(body.range().start as u32);
                translate(module, func, &body, &mut validator, &mut self.context.func, &mut self.builder)
                    .inspect_err(|_| self.builder = FunctionBuilderContext::new())?;
                self.validator = validator.into_allocations();
            }
            Piece::NewEpoch => trampoline::new_epoch(module.isa, &mut self.context.func, &mut self.builder),
            Piece::Entry(ty) => {
                let ty = module.info.type_at(ty);
                trampoline::entry(module.isa, ty, &mut self.context.func, &mut self.builder);
            }
            Piece::Exit(ty) => {
                let ty = module.info.type_at(ty);
                trampoline::exit(module.isa, ty, &mut self.context.func, &mut self.builder);
            }
        }
        self.emit(module.isa, job.index, start)
    }

    /// `index` is the piece's own; `start` is where the body starts in the module, if there is one.
    fn emit(&mut self, isa: &dyn TargetIsa, index: usize, start: Option<u32>) -> Result<Compiled, CompileError> {
        self.context.compile(isa, &mut self.control).map_err(|error| failed(error.func, error.inner))?;
        let code = self.context.take_compiled_code().ok_or_else(|| CompileError::internal("no code"))?;
        let buffer = &code.buffer;
        let func = &self.context.func;
        let id = FuncId::from_u32(index as u32);
        let relocations = buffer.relocs().iter().map(|reloc| ModuleReloc::from_mach_reloc(reloc, func, id)).collect();
        Ok(Compiled {
            bytes: buffer.data().to_vec(),
            alignment: u64::from(buffer.alignment.max(isa.function_alignment().preferred)),
            relocations,
            traps: buffer.traps().iter().map(|trap| (trap.offset, trap.code)).collect(),
            places: start.map_or_else(Vec::new, |start| places(buffer, start)),
        })
    }
}

/// Where the code of each instruction starts. What belongs to none is put down to the start of the body: the stack
/// may end there, in the prologue's check, and what traps then is behind all other code.
fn places(buffer: &MachBufferFinalized<Final>, start: u32) -> Vec<(u32, u32)> {
    let mut places: Vec<(u32, u32)> = Vec::new();
    let mut push = |offset: u32, wasm: u32| {
        if places.last().is_none_or(|(_, previous)| *previous != wasm) {
            places.push((offset, wasm));
        }
    };
    let mut end = 0;
    for range in buffer.get_srclocs_sorted().iter().filter(|range| !range.loc.is_default()) {
        if range.start > end {
            push(end, start);
        }
        push(range.start, range.loc.bits());
        end = range.end;
    }
    if (end as usize) < buffer.data().len() {
        push(end, start);
    }
    places
}

fn failed(func: &Function, error: CodegenError) -> CompileError {
    match error {
        CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded => {
            CompileError::limit("a function is too large to be compiled")
        }
        other => CompileError::internal(format!("Cranelift failed: {}", pretty_error(func, other))),
    }
}
