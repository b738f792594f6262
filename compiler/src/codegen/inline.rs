//! Replaces calls by the code of the function that is called, where that is small and calls nothing
//! itself.
//!
//! Cranelift does the work; this decides where. The code of such a function is translated once more
//! for all its callers. It runs in the caller's frame, so it leaves no frame of its own. That can
//! be noticed by nobody but backtraces, because a function that calls nothing is innermost in them.
//! So each of its instructions remembers which function it is from, and which call it stands for.
//!
//! Code with fuel pays for such a function as it does elsewhere. With epochs, every function may
//! call the runtime, so none is replaced.

use super::translate::{ModuleContext, translate};
use crate::settings::Inlining;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, Inst, Opcode, SourceLoc, UserExternalName, Value};
use cranelift_codegen::traversals::Dfs;
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::FunctionBuilderContext;
use std::borrow::Cow;
use std::sync::OnceLock;
use wasmparser::FunctionBody;

/// Set in the source location of an instruction that was in another function. The rest is its place
/// among the [`Origin`]s. No module is so large that a place in it has this bit.
const FOREIGN: u32 = 1 << 31;

/// The most bytes of a body that is looked at.
const BODY_MAX: usize = 80;
/// The most instructions of Cranelift that a function may have to be put in the place of a call. A
/// call with its prologue, checks and moves takes about as many.
const SMALL: usize = 24;
/// The same where calls are replaced wherever that is possible.
const LARGE: usize = 2000;
/// The most instructions that are added to a function, besides as many as it has.
const ROOM: usize = 200;

/// Where an instruction is from: bytes of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The instruction itself.
    pub(super) wasm: u32,
    /// The call that it stands for.
    pub(super) call: u32,
}

/// The bodies of a module that can replace calls of them.
pub(super) struct Inlinees<'m> {
    bodies: &'m [FunctionBody<'m>],
    translated: Vec<OnceLock<Option<Box<Function>>>>,
}

impl<'m> Inlinees<'m> {
    /// Returns those of a module with these bodies, which have been validated.
    pub(super) fn new(module: &ModuleContext<'_>, bodies: &'m [FunctionBody<'m>]) -> Self {
        let none = module.inlining == Inlining::No || module.metering.epochs;
        let count = if none { 0 } else { bodies.len() };
        Self { bodies, translated: (0..count).map(|_| OnceLock::new()).collect() }
    }

    /// Returns the body of a defined function.
    pub(super) fn body(&self, defined: u32) -> Option<&'m FunctionBody<'m>> {
        self.bodies.get(defined as usize)
    }

    /// Returns the code of a defined function, if calls of it are to be replaced.
    fn get(&self, module: &ModuleContext<'m>, defined: u32) -> Option<&Function> {
        let slot = self.translated.get(defined as usize)?;
        slot.get_or_init(|| self.translate(module, defined)).as_deref()
    }

    fn translate(&self, module: &ModuleContext<'m>, defined: u32) -> Option<Box<Function>> {
        let body = &self.bodies[defined as usize];
        let range = body.range();
        let (bytes, most) = match module.inlining {
            Inlining::No | Inlining::Yes => (BODY_MAX, SMALL),
            Inlining::Always => (LARGE, LARGE),
        };
        if (range.end - range.start) as usize > bytes {
            return None;
        }
        let mut func = Function::new();
        let index = module.info.num_imported_funcs + defined;
        // If it is refused, it will be when it is compiled itself.
        translate(module, index, body, &mut func, &mut FunctionBuilderContext::new()).ok()?;
        let is_leaf = !instructions(&func).any(|inst| func.dfg.insts[inst].opcode().is_call());
        (is_leaf && func.dfg.num_insts() <= most).then(|| Box::new(func))
    }
}

/// Replaces calls in a body that was translated. Returns where the instructions are from that have
/// come from other functions.
///
/// # Errors
/// Returns Cranelift's error.
pub(super) fn replace_calls<'m>(
    context: &mut Context,
    module: &ModuleContext<'m>,
    inlinees: &Inlinees<'m>,
) -> Result<Vec<Origin>, CodegenError> {
    if inlinees.translated.is_empty() {
        return Ok(Vec::new());
    }
    let room = context.func.dfg.num_insts() + ROOM;
    let mut decision = Decision { module, inlinees, room, replaced: Vec::new() };
    context.inline(&mut decision)?;
    let replaced = decision.replaced;
    let mut origins = Vec::new();
    for Replaced { defined, first, call } in replaced {
        let callee = inlinees.get(module, defined).expect("it has replaced a call");
        mark(&mut context.func, callee, first, call, &mut origins);
    }
    Ok(origins)
}

/// A call that was replaced.
struct Replaced {
    defined: u32,
    /// The first instruction that is new in the caller.
    first: usize,
    /// Where the call is.
    call: SourceLoc,
}

struct Decision<'a, 'm> {
    module: &'a ModuleContext<'m>,
    inlinees: &'a Inlinees<'m>,
    /// How many instructions can still be added.
    room: usize,
    replaced: Vec<Replaced>,
}

impl Inline for Decision<'_, '_> {
    fn inline(
        &mut self,
        caller: &Function,
        call: Inst,
        opcode: Opcode,
        callee: FuncRef,
        _: &[Value],
    ) -> InlineCommand<'_> {
        let name = match caller.dfg.ext_funcs[callee].name {
            ExternalName::User(name) => &caller.params.user_named_funcs()[name],
            _ => return InlineCommand::KeepCall,
        };
        let UserExternalName { namespace: 0, index } = *name else { return InlineCommand::KeepCall };
        let Some(code) = self.inlinees.get(self.module, index) else { return InlineCommand::KeepCall };
        let size = code.dfg.num_insts();
        if size > self.room && self.module.inlining != Inlining::Always || opcode == Opcode::ReturnCall {
            return InlineCommand::KeepCall;
        }
        self.room = self.room.saturating_sub(size);
        let first = caller.dfg.num_insts();
        self.replaced.push(Replaced { defined: index, first, call: caller.srcloc(call) });
        InlineCommand::Inline { callee: Cow::Borrowed(code), visit_callee: false }
    }
}

/// Marks the instructions that have replaced a call. Cranelift has made one for each of the
/// callee's, in the order in which it visits its blocks.
fn mark(func: &mut Function, callee: &Function, first: usize, call: SourceLoc, origins: &mut Vec<Origin>) {
    for (new, old) in (first..).map(Inst::new).zip(instructions(callee)) {
        let (made, from) = (func.dfg.insts[new].opcode(), callee.dfg.insts[old].opcode());
        debug_assert!(made == from || from == Opcode::Return && made == Opcode::Jump, "{made} is not from {from}");
        let origin = Origin { wasm: callee.srcloc(old).bits(), call: call.bits() };
        if origins.last() != Some(&origin) {
            origins.push(origin);
        }
        func.set_srcloc(new, SourceLoc::new(FOREIGN | (origins.len() - 1) as u32));
    }
}

/// Returns the instructions of a function that can be reached, in the order in which Cranelift
/// visits them.
fn instructions(func: &Function) -> impl Iterator<Item = Inst> + '_ {
    let blocks: Vec<_> = Dfs::new().pre_order_iter(func).collect();
    blocks.into_iter().flat_map(|block| func.layout.block_insts(block))
}

/// Returns where the instruction with a source location is from, if that was another function.
pub(super) fn origin(origins: &[Origin], place: SourceLoc) -> Option<Origin> {
    if place.is_default() || place.bits() & FOREIGN == 0 {
        return None;
    }
    origins.get((place.bits() & !FOREIGN) as usize).copied()
}
