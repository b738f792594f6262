//! Lists the pieces of code that a module's text consists of, and compiles one of them.
//!
//! The result is bytes with relocations; `link` puts them together.

use super::align;
use super::inline::{self, Inlinees, Origin};
use super::isa::decodes_by_windows;
use super::refine::{Scan, refine};
use super::trampoline;
use super::translate::{ModuleContext, translate};
use super::webs;
use crate::base::error::CompileError;
use crate::instance::call_sites::{Catches, Frame, HandledCall, Handler, Reference};
use crate::instance::code::NO_CALL;
use crate::module::validate::Limits;
use crate::module::{FuncType, ModuleInfo};
use crate::settings::Metering;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, TrapCode, UserFuncName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::print_errors::pretty_error;
use cranelift_codegen::settings::OptLevel;
use cranelift_codegen::{
    CodegenError, CompiledCode, Context, ExceptionContextLoc, Final, FinalizedMachCallSite,
    FinalizedMachExceptionHandler, MachBufferFinalized,
};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{FuncId, ModuleReloc};

/// Offsets in a function's code, and what holds from there on.
pub(crate) type Changes = Vec<(u32, u32)>;

/// The machine code of one function, before it is linked.
pub(crate) struct CompiledFunction {
    pub(crate) bytes: Vec<u8>,
    pub(crate) alignment: u64,
    /// How many bytes behind a multiple of its alignment it should start.
    pub(crate) shift: u32,
    /// The places that the linker has to fill in.
    pub(crate) relocations: Vec<ModuleReloc>,
    /// Offsets in `bytes` of instructions that can trap.
    pub(crate) traps: Vec<(u32, TrapCode)>,
    /// Offsets in `bytes` at which the code of a Wasm instruction starts, and the byte of the
    /// module where that is.
    pub(crate) address_map: Changes,
    /// Offsets in `bytes` at which code starts that has replaced a call, and the byte of the module
    /// where the call is; and where such code ends, with [`NO_CALL`].
    pub(crate) inlined: Changes,
    /// Calls with handlers, and the offsets in `bytes` where the function goes on. Handlers are
    /// offsets there, too.
    pub(crate) handled: Vec<HandledCall>,
    /// References in the frame during calls, by offsets in `bytes`.
    pub(crate) references: Vec<Reference>,
}

/// The function that a piece of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A defined function, counted without imports.
    Body(u32),
    /// The trampoline that bodies call when their epoch deadline has passed.
    NewEpoch,
    /// The entry trampoline of a canonical type.
    Entry(u32),
    /// The exit trampoline of a canonical type.
    Exit(u32),
}

/// Returns everything that a module's text consists of: bodies in order, then trampolines in order
/// of their types.
pub(crate) fn pieces(info: &ModuleInfo, metering: Metering) -> Vec<Piece> {
    // Bodies find it by its place after them.
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

/// Compiles an exit trampoline by itself.
///
/// # Errors
/// Returns an error if Cranelift fails, which is a bug here.
pub(crate) fn compile_exit(isa: &dyn TargetIsa, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
    let mut worker = Worker::default();
    trampoline::exit(isa, ty, &mut worker.context.func, &mut worker.builder);
    worker.optimise(isa)?;
    worker.emit(isa, 0, None)
}

/// Memory that a thread reuses from one function to the next.
pub(super) struct Worker {
    context: Context,
    builder: FunctionBuilderContext,
    control: ControlPlane,
    scan: Scan,
    registers: regalloc2::Ctx,
    /// Where instructions of the function are from that were in others.
    origins: Vec<Origin>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            control: ControlPlane::default(),
            scan: Scan::default(),
            registers: regalloc2::Ctx::default(),
            origins: Vec::new(),
        }
    }
}

impl Worker {
    /// Compiles a piece, of which `index` is the place among the module's.
    pub(super) fn run<'m>(
        &mut self,
        module: &ModuleContext<'m>,
        limits: Limits<'_>,
        inlinees: &Inlinees<'m>,
        index: usize,
        piece: Piece,
    ) -> Result<CompiledFunction, CompileError> {
        let start = self.translate(module, inlinees, index, piece)?;
        self.optimise(module.isa)?;
        if let Piece::Body(defined) = piece {
            let func = module.info.num_imported_funcs + defined;
            limits.check_flow(func, webs::weight(&self.context.func))?;
        }
        self.emit(module.isa, index, start)
    }

    /// Returns the Cranelift IR of a piece as text, before Cranelift optimises it.
    pub(super) fn clif<'m>(
        &mut self,
        module: &ModuleContext<'m>,
        inlinees: &Inlinees<'m>,
        index: usize,
        piece: Piece,
    ) -> Result<String, CompileError> {
        self.translate(module, inlinees, index, piece)?;
        Ok(self.context.func.display().to_string())
    }

    /// Returns the machine code of a piece as text.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn disassembly<'m>(
        &mut self,
        module: &ModuleContext<'m>,
        inlinees: &Inlinees<'m>,
        index: usize,
        piece: Piece,
    ) -> Result<String, CompileError> {
        self.translate(module, inlinees, index, piece)?;
        self.context.set_disasm(true);
        self.optimise(module.isa)?;
        let code = self.compile(module.isa)?;
        code.vcode.ok_or_else(|| CompileError::internal("no code"))
    }

    /// Returns where the body starts in the module, if the piece is one.
    fn translate<'m>(
        &mut self,
        module: &ModuleContext<'m>,
        inlinees: &Inlinees<'m>,
        index: usize,
        piece: Piece,
    ) -> Result<Option<u32>, CompileError> {
        self.origins.clear();
        self.context.clear();
        let (target, builder) = (&mut self.context.func, &mut self.builder);
        target.name = UserFuncName::user(0, index as u32);
        match piece {
            Piece::Body(defined) => {
                let body = inlinees.body(defined).ok_or_else(|| CompileError::internal("a body is missing"))?;
                translate(module, module.info.num_imported_funcs + defined, body, target, builder)?;
                let replaced = inline::replace_calls(&mut self.context, module, inlinees);
                self.origins = replaced.map_err(|error| failed(&self.context.func, error))?;
                return Ok(Some(body.range().start as u32));
            }
            Piece::NewEpoch => trampoline::new_epoch(module.isa, target, builder),
            Piece::Entry(ty) => trampoline::entry(module.isa, module.info.type_at(ty), target, builder),
            Piece::Exit(ty) => trampoline::exit(module.isa, module.info.type_at(ty), target, builder),
        }
        Ok(None)
    }

    /// Improves what has been translated.
    fn optimise(&mut self, isa: &dyn TargetIsa) -> Result<(), CompileError> {
        let mut optimise = || {
            self.context.verify_if(isa)?;
            self.context.optimize(isa, &mut self.control)?;
            if isa.flags().opt_level() != OptLevel::None {
                refine(&mut self.context, isa, &mut self.scan);
                self.context.verify_if(isa)?;
            }
            Ok(())
        };
        optimise().map_err(|error| failed(&self.context.func, error))
    }

    /// Makes machine code of that.
    fn compile(&mut self, isa: &dyn TargetIsa) -> Result<CompiledCode, CompileError> {
        let Context { func, domtree, want_disasm, .. } = &self.context;
        let code = isa.compile_function(func, domtree, &mut self.registers, *want_disasm, &mut self.control);
        let code = code.map_err(|error| failed(&self.context.func, error))?;
        Ok(code.apply_params(&self.context.func.params))
    }

    /// Compiles what has been translated and improved. `index` is the piece's own; `start` is where
    /// the body starts in the module, if there is one.
    fn emit(
        &mut self,
        isa: &dyn TargetIsa,
        index: usize,
        start: Option<u32>,
    ) -> Result<CompiledFunction, CompileError> {
        let code = self.compile(isa)?;
        let buffer = &code.buffer;
        let func = &self.context.func;
        let id = FuncId::from_u32(index as u32);
        let relocations = buffer.relocs().iter().map(|reloc| ModuleReloc::from_mach_reloc(reloc, func, id)).collect();
        let (address_map, inlined) =
            start.map_or_else(Default::default, |start| address_map(buffer, start, &self.origins));
        Ok(CompiledFunction {
            bytes: buffer.data().to_vec(),
            shift: shift(isa, &code),
            alignment: u64::from(buffer.alignment.max(isa.function_alignment().preferred)),
            relocations,
            traps: buffer.traps().iter().map(|trap| (trap.offset, trap.code)).collect(),
            address_map,
            inlined,
            handled: if start.is_some() { handled(buffer)? } else { Vec::new() },
            references: references(buffer),
        })
    }
}

/// Returns how many bytes behind a multiple of its alignment a function should start.
fn shift(isa: &dyn TargetIsa, code: &CompiledCode) -> u32 {
    if code.bb_edges.is_empty() || !decodes_by_windows(isa) {
        return 0;
    }
    align::shift(&code.bb_starts, code.buffer.data().len() as u32, &code.bb_edges, code.buffer.alignment)
}

/// Returns where the code of each instruction starts, and where code starts and ends that has
/// replaced a call. Code that belongs to no instruction counts as the start of the body: the
/// prologue's check of the stack, and the instruction after all other code that traps if it fails.
fn address_map(buffer: &MachBufferFinalized<Final>, start: u32, origins: &[Origin]) -> (Changes, Changes) {
    let (mut entries, mut inlined) = (Changes::new(), Changes::new());
    let mut push = |offset: u32, wasm: u32, call: u32| {
        changes(&mut entries, None, offset, wasm);
        changes(&mut inlined, Some(NO_CALL), offset, call);
    };
    let mut end = 0;
    for range in buffer.get_srclocs_sorted().iter().filter(|range| !range.loc.is_default()) {
        if range.start > end {
            push(end, start, NO_CALL);
        }
        match inline::origin(origins, range.loc) {
            Some(Origin { wasm, call }) => push(range.start, wasm, call),
            None => push(range.start, range.loc.bits(), NO_CALL),
        }
        end = range.end;
    }
    if (end as usize) < buffer.data().len() {
        push(end, start, NO_CALL);
    }
    // The next function begins with code of its own.
    changes(&mut inlined, Some(NO_CALL), buffer.data().len() as u32, NO_CALL);
    (entries, inlined)
}

/// Adds an entry if it says something else than the last one, or than what holds before all.
fn changes(entries: &mut Changes, before: Option<u32>, offset: u32, value: u32) {
    if entries.last().map(|(_, last)| *last).or(before) != Some(value) {
        entries.push((offset, value));
    }
}

/// Returns the calls with handlers. The call of an entry trampoline does not count: its handler
/// serves traps, which reach it by another way.
fn handled(buffer: &MachBufferFinalized<Final>) -> Result<Vec<HandledCall>, CompileError> {
    let sites = buffer.call_sites().filter(|site| !site.exception_handlers.is_empty());
    sites.map(|site| Ok(HandledCall { offset: site.ret_addr, frame: frame(&site)? })).collect()
}

fn frame(site: &FinalizedMachCallSite<'_>) -> Result<Frame<Vec<Handler>>, CompileError> {
    use FinalizedMachExceptionHandler as H;
    let unknown = || CompileError::internal("Cranelift does not say where a frame is");
    let mut frame = Frame { size: site.frame_offset.ok_or_else(unknown)?, vmctx: 0, handlers: Vec::new() };
    for handler in site.exception_handlers {
        match *handler {
            H::Tag(tag, offset) => {
                frame.handlers.push(Handler { catches: Catches::unpack(tag.as_u32()), offset });
            }
            H::Context(ExceptionContextLoc::SPOffset(at)) => frame.vmctx = at,
            // No register keeps its value when an exception is caught.
            H::Context(ExceptionContextLoc::GPR(_)) | H::Default(_) => return Err(unknown()),
        }
    }
    Ok(frame)
}

/// Returns the references in the frame during each call.
fn references(buffer: &MachBufferFinalized<Final>) -> Vec<Reference> {
    let maps = buffer.user_stack_maps().iter();
    maps.flat_map(|(offset, size, map)| {
        map.entries().map(move |(_, above)| Reference { offset: *offset, below: size - above })
    })
    .collect()
}

fn failed(func: &Function, error: CodegenError) -> CompileError {
    match error {
        CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded => {
            CompileError::limit("a function is too large to be compiled")
        }
        other => CompileError::internal(format!("Cranelift failed: {}", pretty_error(func, other))),
    }
}
