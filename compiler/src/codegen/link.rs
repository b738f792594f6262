//! Links functions to one contiguous text, with cranelift-jit.
//!
//! cranelift-jit places one function after the other in the buffer of `memory_provider` and fills
//! in what Cranelift left open. Here that is distances between functions and nothing else, so the
//! finished bytes can be moved anywhere as a whole.
//!
//! cranelift-jit panics where it cannot link, looks unknown names up in the process, and writes
//! wherever a relocation says. So everything is checked before it begins.

use super::abi::from_trap_code;
use super::isa::{BRANCH_REACH, DISTANCE_SIZE, Distance, fill_in_branch};
use super::memory_provider::{TextBuffer, next_start};
use super::piece::{CompiledFunction, Piece};
use crate::base::error::CompileError;
use crate::instance::call_sites::{CallSites, Frame, HandledCall, Handler, Reference};
use crate::instance::code::{AddressMapEntry, Code, CodeTables, FuncRange, InlinedCode, TrapSite};
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, ModuleError, ModuleReloc, ModuleRelocTarget};
use std::borrow::Cow;

/// The most that is added to a distance. Cranelift adds the few bytes from the distance to the end
/// of its instruction.
const ADDEND_MAX: u64 = 64;

/// The most bytes of a text: a distance is signed and has 32 bits.
const TEXT_MAX: usize = i32::MAX as usize - ADDEND_MAX as usize;

/// Links pieces of code, given in order, into a text with its tables.
///
/// # Errors
/// Returns an error if the text gets too large, or if a piece refers to anything outside the text,
/// which is a bug here.
pub(crate) fn link(
    isa: &OwnedTargetIsa,
    pieces: &[Piece],
    compiled: &[CompiledFunction],
) -> Result<Code, CompileError> {
    let room =
        room(compiled.iter().map(|function| (function.bytes.len() + function.shift as usize, function.alignment)))?;
    check(&**isa, compiled)?;
    check_profile()?;
    let (text, starts) = place(isa, room, compiled)?;
    tables(text, pieces, compiled, &starts)
}

/// Returns how many bytes are enough for functions of these sizes and alignments.
fn room(mut functions: impl Iterator<Item = (usize, u64)>) -> Result<usize, CompileError> {
    let room =
        functions.try_fold(0usize, |room, (size, alignment)| room.checked_add(size)?.checked_add(alignment as usize));
    room.filter(|room| *room <= TEXT_MAX).ok_or_else(|| {
        CompileError::limit(format!("the module's machine code takes more than the {TEXT_MAX} bytes that are possible"))
    })
}

/// Checks that every relocation is a distance from a place in its function to a place in the text.
/// Anything else would bind the text to where it lies, or to this process.
fn check(isa: &dyn TargetIsa, compiled: &[CompiledFunction]) -> Result<(), CompileError> {
    let outside = |reloc: &ModuleReloc| {
        let ModuleReloc { offset, kind, name, .. } = reloc;
        CompileError::internal(format!("the code refers to something outside: {kind:?} {name:?} at {offset:#x}"))
    };
    for function in compiled {
        let wrong = function.relocations.iter().find(|reloc| !is_distance(isa, reloc, function, compiled));
        wrong.map_or(Ok(()), |reloc| Err(outside(reloc)))?;
    }
    Ok(())
}

fn is_distance(
    isa: &dyn TargetIsa,
    reloc: &ModuleReloc,
    function: &CompiledFunction,
    compiled: &[CompiledFunction],
) -> bool {
    let fits = (reloc.offset as usize).checked_add(DISTANCE_SIZE).is_some_and(|end| end <= function.bytes.len());
    let known = Distance::of(isa, reloc.kind).is_some() && target(reloc, compiled).is_some();
    fits && known && reloc.addend.unsigned_abs() <= ADDEND_MAX
}

/// Returns what a relocation leads to: a function, and a distance into it.
fn target(reloc: &ModuleReloc, compiled: &[CompiledFunction]) -> Option<(usize, u32)> {
    let (function, offset) = match reloc.name {
        ModuleRelocTarget::User { namespace: 0, index } => (index as usize, 0),
        ModuleRelocTarget::FunctionOffset(id, offset) => (id.as_u32() as usize, offset),
        _ => return None,
    };
    compiled.get(function).filter(|found| offset as usize <= found.bytes.len()).map(|_| (function, offset))
}

/// Returns where each function will start: they follow each other. `None` if one lies out of reach.
fn starts(compiled: &[CompiledFunction]) -> Option<Vec<usize>> {
    let mut used = 0;
    let mut place = |function: &CompiledFunction| {
        let start = next_start(used, function.alignment, function.shift)?;
        used = start.checked_add(function.bytes.len())?;
        Some(start)
    };
    compiled.iter().map(&mut place).collect()
}

/// Returns a function's bytes with its branches filled in, and what is left for cranelift-jit. A
/// processor has either branches or displacements, so that is all or nothing.
fn fill_in_branches<'c>(
    isa: &dyn TargetIsa,
    compiled: &'c [CompiledFunction],
    starts: &[usize],
    index: usize,
) -> Result<(Cow<'c, [u8]>, &'c [ModuleReloc]), CompileError> {
    let function = &compiled[index];
    if !function.relocations.iter().any(|reloc| Distance::of(isa, reloc.kind) == Some(Distance::Branch)) {
        return Ok((Cow::Borrowed(&function.bytes), &function.relocations));
    }
    let mut bytes = function.bytes.clone();
    for reloc in &function.relocations {
        let (callee, offset) =
            target(reloc, compiled).ok_or_else(|| CompileError::internal("a branch leads nowhere"))?;
        let at = reloc.offset as usize;
        let distance = (starts[callee] + offset as usize) as i64 + reloc.addend - (starts[index] + at) as i64;
        let place = bytes[at..].first_chunk_mut::<DISTANCE_SIZE>();
        let place = place.ok_or_else(|| CompileError::internal("a branch is cut off"))?;
        *place = fill_in_branch(*place, distance).ok_or_else(|| too_far(distance))?;
    }
    Ok((Cow::Owned(bytes), &[]))
}

fn too_far(distance: i64) -> CompileError {
    CompileError::limit(format!(
        "the module's machine code is too large: a call has to reach {} bytes, and none of this processor's can reach \
         {BRANCH_REACH}",
        distance.unsigned_abs()
    ))
}

/// Checks that cranelift-jit can write what it writes for a profiler: it panics when it cannot.
fn check_profile() -> Result<(), CompileError> {
    if std::env::var_os("PERF_BUILDID_DIR").is_none() {
        return Ok(());
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    match std::fs::OpenOptions::new().create(true).append(true).open(&path) {
        Ok(_) => Ok(()),
        Err(error) => Err(CompileError::internal(format!(
            "the variable PERF_BUILDID_DIR is set, and {path} cannot be written ({error}); unset the variable, or make \
             room for the file"
        ))),
    }
}

/// Places all functions in a buffer of `room` bytes. Returns the text and where each function
/// starts in it.
fn place(
    isa: &OwnedTargetIsa,
    room: usize,
    compiled: &[CompiledFunction],
) -> Result<(Vec<u8>, Vec<u32>), CompileError> {
    let internal = |error: ModuleError| CompileError::internal(format!("linking failed: {error}"));
    let (buffer, text) = TextBuffer::new(room, compiled.iter().map(|function| function.shift).collect());
    // A library call would be asked for its name here, but none passes the check.
    let mut builder = JITBuilder::with_isa(isa.clone(), Box::new(|_| String::new()));
    builder.memory_provider(Box::new(buffer));
    let mut module = JITModule::new(builder);
    // Functions have no names, so there is nothing that could be looked up. Signatures are not
    // looked at.
    let signature = Signature::new(CallConv::Tail);
    for _ in compiled {
        module.declare_anonymous_function(&signature).map_err(internal)?;
    }
    let ids = || (0..compiled.len() as u32).map(FuncId::from_u32);
    let expected = starts(compiled).ok_or_else(|| CompileError::internal("a function lies out of reach"))?;
    for (index, (id, function)) in ids().zip(compiled).enumerate() {
        let (bytes, relocations) = fill_in_branches(&**isa, compiled, &expected, index)?;
        module.define_function_bytes(id, function.alignment, &bytes, relocations).map_err(internal)?;
    }
    module.finalize_definitions().map_err(internal)?;
    let text = text.recv().map_err(|_| CompileError::internal("the linker lost the text"))?;
    let start = |id| module.get_finalized_function(id).addr() - text.as_ptr().addr();
    if !ids().map(start).eq(expected.iter().copied()) {
        return Err(CompileError::internal("the linker has placed functions elsewhere"));
    }
    Ok((text, expected.into_iter().map(|start| start as u32).collect()))
}

fn tables(
    text: Vec<u8>,
    pieces: &[Piece],
    compiled: &[CompiledFunction],
    starts: &[u32],
) -> Result<Code, CompileError> {
    let mut tables = CodeTables::default();
    let (mut funcs, mut traps, mut address_map) = (Vec::new(), Vec::new(), Vec::new());
    let (mut handled, mut references, mut inlined) = (Vec::new(), Vec::new(), Vec::new());
    for ((piece, function), start) in pieces.iter().zip(compiled).zip(starts.iter().copied()) {
        match *piece {
            Piece::Body(_) => funcs.push(FuncRange { start, end: start + function.bytes.len() as u32 }),
            Piece::NewEpoch => {}
            Piece::Entry(ty) => tables.entries.push((ty, start)),
            Piece::Exit(ty) => tables.exits.push((ty, start)),
        }
        for (offset, trap) in &function.traps {
            let trap = from_trap_code(*trap).ok_or_else(|| CompileError::internal(format!("unknown trap {trap}")))?;
            traps.push(TrapSite { offset: start + offset, code: trap.code() });
        }
        handled.extend(function.handled.iter().map(|call| moved(call, start)));
        references.extend(function.references.iter().map(|it| Reference { offset: start + it.offset, ..*it }));
        address_map.extend(
            function.address_map.iter().map(|(offset, wasm)| AddressMapEntry { offset: start + offset, wasm: *wasm }),
        );
        inlined
            .extend(function.inlined.iter().map(|(offset, call)| InlinedCode { offset: start + offset, call: *call }));
    }
    handled.sort_unstable_by_key(|call: &HandledCall| call.offset);
    references.sort_by_key(|reference: &Reference| reference.offset);
    traps.sort_unstable_by_key(|site: &TrapSite| site.offset);
    tables.funcs = funcs.into_iter().collect();
    tables.traps = traps.into_iter().collect();
    tables.address_map = address_map.into_iter().collect();
    tables.inlined = inlined.into_iter().collect();
    tables.call_sites = CallSites::new(&handled, references);
    Ok(Code { text: text.into(), tables })
}

/// Returns a call of a function that starts at an offset into the text.
fn moved(call: &HandledCall, start: u32) -> HandledCall {
    let handlers = call.frame.handlers.iter().map(|it| Handler { offset: start + it.offset, ..*it });
    HandledCall { offset: start + call.offset, frame: Frame { handlers: handlers.collect(), ..call.frame } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::CompileErrorKind;
    use crate::{Compiler, Settings};
    use cranelift_codegen::binemit::Reloc;
    use cranelift_codegen::ir::{KnownSymbol, LibCall};

    /// The instruction that calls on this processor, without its distance.
    struct CallInstruction {
        bytes: &'static [u8],
        /// Where the distance is, and from where it counts.
        distance_at: usize,
        counts_from: usize,
        kind: Reloc,
        /// Of another processor.
        foreign: Reloc,
    }

    #[cfg(target_arch = "x86_64")]
    const CALL: CallInstruction = CallInstruction {
        bytes: &[0xe8, 0, 0, 0, 0],
        distance_at: 1,
        counts_from: 5,
        kind: Reloc::X86CallPCRel4,
        foreign: Reloc::Arm64Call,
    };

    #[cfg(target_arch = "aarch64")]
    const CALL: CallInstruction = CallInstruction {
        bytes: &[0, 0, 0, 0x94],
        distance_at: 0,
        counts_from: 0,
        kind: Reloc::Arm64Call,
        foreign: Reloc::X86CallPCRel4,
    };

    /// Returns the distance that a call holds.
    fn held(call: &[u8]) -> i32 {
        let field = i32::from_le_bytes(call[CALL.distance_at..][..4].try_into().unwrap());
        if CALL.kind == Reloc::Arm64Call { field << 6 >> 4 } else { field }
    }

    /// Returns a function that is one call.
    fn refers_to(kind: Reloc, name: ModuleRelocTarget) -> CompiledFunction {
        let addend = CALL.distance_at as i64 - CALL.counts_from as i64;
        let relocations = vec![ModuleReloc { offset: CALL.distance_at as u32, kind, name, addend }];
        CompiledFunction {
            bytes: CALL.bytes.to_vec(),
            alignment: 32,
            shift: 0,
            relocations,
            traps: Vec::new(),
            address_map: Vec::new(),
            inlined: Vec::new(),
            handled: Vec::new(),
            references: Vec::new(),
        }
    }

    fn function(index: u32) -> ModuleRelocTarget {
        ModuleRelocTarget::user(0, index)
    }

    fn calls(index: u32) -> CompiledFunction {
        refers_to(CALL.kind, function(index))
    }

    fn linked(compiled: &[CompiledFunction]) -> Result<Code, CompileError> {
        let pieces: Vec<Piece> = (0..compiled.len() as u32).map(Piece::Body).collect();
        link(&Compiler::new(&Settings::default()).unwrap().isa, &pieces, compiled)
    }

    fn refused(function: CompiledFunction) -> String {
        let error = linked(&[function]).unwrap_err();
        assert_eq!(error.kind(), CompileErrorKind::Internal);
        assert!(error.message().contains("outside"), "{error}");
        error.to_string()
    }

    #[test]
    fn calls_are_distances_within_the_text() {
        let code = linked(&[2, 1, 0].map(calls)).unwrap();
        for (caller, callee) in code.tables.funcs.iter().zip(code.tables.funcs.iter().rev()) {
            assert_eq!(caller.start % 32, 0);
            let distance = held(&code.text[caller.start as usize..caller.end as usize]);
            assert_eq!((caller.start + CALL.counts_from as u32).wrapping_add_signed(distance), callee.start);
        }
        assert_eq!(code.text.len(), 64 + CALL.bytes.len(), "two gaps and nothing behind the last function");
    }

    #[test]
    fn a_distance_can_lead_into_the_middle_of_a_function() {
        let inside = ModuleRelocTarget::FunctionOffset(FuncId::from_u32(1), 4);
        let code = linked(&[refers_to(CALL.kind, inside), calls(0)]).unwrap();
        assert_eq!(held(&code.text), 32 + 4 - CALL.counts_from as i32);
    }

    #[test]
    fn a_text_does_not_depend_on_where_it_was_linked() {
        let compiled = [1, 2, 0].map(calls);
        // Both are kept, so the second is linked at other addresses.
        let (first, second) = (linked(&compiled).unwrap(), linked(&compiled).unwrap());
        assert_eq!(first, second);
    }

    #[test]
    fn an_absolute_address_is_refused_by_name() {
        assert!(refused(refers_to(Reloc::Abs8, function(0))).contains("Abs8"));
        assert!(refused(refers_to(Reloc::Abs4, function(0))).contains("Abs4"));
    }

    #[test]
    fn relocations_that_make_the_linker_panic_are_refused_by_name() {
        assert!(refused(refers_to(Reloc::X86GOTPCRel4, function(0))).contains("X86GOTPCRel4"));
        assert!(refused(refers_to(Reloc::X86CallPLTRel4, function(0))).contains("X86CallPLTRel4"));
        assert!(refused(refers_to(CALL.foreign, function(0))).contains(&format!("{:?}", CALL.foreign)));
    }

    #[test]
    fn library_calls_symbols_and_data_are_refused_by_name() {
        for name in [
            ModuleRelocTarget::LibCall(LibCall::Memcpy),
            ModuleRelocTarget::KnownSymbol(KnownSymbol::CoffTlsIndex),
            ModuleRelocTarget::user(1, 0),
        ] {
            let text = format!("{name:?}");
            assert!(refused(refers_to(CALL.kind, name)).contains(&text));
        }
    }

    #[test]
    fn a_function_that_is_not_there_is_refused() {
        refused(calls(1));
        let id = FuncId::from_u32;
        refused(refers_to(CALL.kind, ModuleRelocTarget::FunctionOffset(id(1), 0)));
        refused(refers_to(CALL.kind, ModuleRelocTarget::FunctionOffset(id(0), 6)));
    }

    #[test]
    fn a_place_outside_its_function_is_refused() {
        for offset in [2, 5, u32::MAX] {
            let mut function = calls(0);
            function.relocations[0].offset = offset;
            refused(function);
        }
    }

    #[test]
    fn an_addend_that_leads_out_of_the_text_is_refused() {
        for addend in [i64::MIN, -1000, 1000, i64::MAX] {
            let mut function = calls(0);
            function.relocations[0].addend = addend;
            refused(function);
        }
    }

    #[cfg(any(feature = "cross", target_arch = "aarch64"))]
    #[test]
    fn a_call_that_does_not_reach_its_callee_is_refused() {
        let target = Some(crate::settings::Machine::Aarch64Linux);
        let isa = Compiler::new(&Settings { target, ..Settings::default() }).unwrap().isa;
        let call = |index, alignment| CompiledFunction {
            bytes: 0x9400_0000_u32.to_le_bytes().to_vec(),
            alignment,
            relocations: vec![ModuleReloc { offset: 0, kind: Reloc::Arm64Call, name: function(index), addend: 0 }],
            ..calls(0)
        };
        let pieces: Vec<Piece> = (0..2).map(Piece::Body).collect();
        let linked = |second: u64| link(&isa, &pieces, &[call(1, 4), call(1, second)]);
        // Nothing is written in between, so this takes little memory.
        assert_eq!(linked(1 << 26).unwrap().text.len(), (1 << 26) + 4);
        let error = linked(1 << 27).unwrap_err();
        assert_eq!(error.kind(), CompileErrorKind::Limit);
        assert!(error.message().contains("has to reach 134217728 bytes"), "{error}");
    }

    #[test]
    fn a_text_that_distances_cannot_span_is_refused() {
        assert_eq!(room([(TEXT_MAX - 64, 64)].into_iter()).unwrap(), TEXT_MAX);
        for functions in [vec![(TEXT_MAX, 1)], vec![(1 << 30, 64); 2], vec![(usize::MAX, 1); 2]] {
            let error = room(functions.into_iter()).unwrap_err();
            assert_eq!(error.kind(), CompileErrorKind::Limit);
        }
    }
}
