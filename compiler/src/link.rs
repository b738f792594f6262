//! Functions to one contiguous text, with cranelift-jit as the linker.
//!
//! cranelift-jit asks a *memory provider* where code should go. Ours hands out one plain buffer, in order, and the
//! linker fills in the distances between the functions in it. All relocations are such distances, so the finished
//! bytes can be moved anywhere as a whole. Nothing here is ever executed.

use crate::abi::from_trap_code;
use crate::code::{Code, FuncRange, Place, TrapSite};
use crate::codegen::{Compiled, Piece};
use crate::error::CompileError;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_jit::{BranchProtection, JITBuilder, JITMemoryKind, JITMemoryProvider, JITModule};
use cranelift_module::{Module, ModuleError, ModuleRelocTarget, ModuleResult};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Links pieces of code, given in order, into a text with its tables.
///
/// # Errors
/// When the text gets too large; or when a piece refers to anything outside, which is a bug here.
pub(crate) fn link(isa: OwnedTargetIsa, pieces: &[Piece], compiled: Vec<Compiled>) -> Result<Code, CompileError> {
    check_relocations(&compiled)?;
    let text = Text::with_room_for(&compiled)?;
    // A library call would ask for its name here, and `check_relocations` lets none through.
    let mut builder = JITBuilder::with_isa(isa, Box::new(|_| String::new()));
    builder.memory_provider(Box::new(text.clone()));
    let mut module = JITModule::new(builder);
    let starts = define(&mut module, &text, &compiled)?;
    module.finalize_definitions().map_err(internal)?;
    drop(module);
    tables(text.into_bytes(), pieces, &compiled, &starts)
}

fn internal(error: ModuleError) -> CompileError {
    CompileError::internal(format!("linking failed: {error}"))
}

/// Hands all functions to the linker and returns where each starts in the text.
fn define(module: &mut JITModule, text: &Text, compiled: &[Compiled]) -> Result<Vec<u32>, CompileError> {
    // The linker never looks at signatures.
    let signature = Signature::new(CallConv::Tail);
    let mut ids = Vec::with_capacity(compiled.len());
    for _ in compiled {
        ids.push(module.declare_anonymous_function(&signature).map_err(internal)?);
    }
    let mut starts = Vec::with_capacity(ids.len());
    for (id, Compiled { bytes, alignment, relocations, .. }) in ids.into_iter().zip(compiled) {
        module.define_function_bytes(id, *alignment, bytes, relocations).map_err(internal)?;
        starts.push((text.used() - bytes.len()) as u32);
    }
    Ok(starts)
}

/// Only distances between functions keep the text independent of its position. A library call or an absolute
/// address would not, and the linker would look names up in the process.
fn check_relocations(compiled: &[Compiled]) -> Result<(), CompileError> {
    for relocation in compiled.iter().flat_map(|function| &function.relocations) {
        let distance = matches!(relocation.kind, Reloc::X86CallPCRel4 | Reloc::X86PCRel4);
        let inside = match relocation.name {
            ModuleRelocTarget::User { namespace: 0, index } => (index as usize) < compiled.len(),
            ModuleRelocTarget::FunctionOffset(id, _) => (id.as_u32() as usize) < compiled.len(),
            _ => false,
        };
        if !distance || !inside {
            let (kind, name) = (relocation.kind, &relocation.name);
            return Err(CompileError::internal(format!("the code refers to something outside: {kind:?} {name:?}")));
        }
    }
    Ok(())
}

fn tables(text: Vec<u8>, pieces: &[Piece], compiled: &[Compiled], starts: &[u32]) -> Result<Code, CompileError> {
    let mut code = Code { text: text.into(), ..Code::default() };
    let (mut funcs, mut traps, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for ((piece, function), start) in pieces.iter().zip(compiled).zip(starts.iter().copied()) {
        match *piece {
            Piece::Body(_) => funcs.push(FuncRange { start, end: start + function.bytes.len() as u32 }),
            Piece::NewEpoch => {}
            Piece::Entry(ty) => code.entries.push((ty, start)),
            Piece::Exit(ty) => code.exits.push((ty, start)),
        }
        for (offset, trap) in &function.traps {
            let trap = from_trap_code(*trap).ok_or_else(|| CompileError::internal(format!("unknown trap {trap}")))?;
            traps.push(TrapSite { offset: start + offset, code: trap.code() });
        }
        places.extend(function.places.iter().map(|(offset, wasm)| Place { offset: start + offset, wasm: *wasm }));
    }
    traps.sort_unstable_by_key(|site: &TrapSite| site.offset);
    code.funcs = funcs.into_iter().collect();
    code.traps = traps.into_iter().collect();
    code.places = places.into_iter().collect();
    Ok(code)
}

/// The buffer that the linker works in. It has its final size from the start and so never moves.
#[derive(Clone)]
struct Text(Arc<Mutex<Buffer>>);

struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Text {
    fn with_room_for(compiled: &[Compiled]) -> Result<Self, CompileError> {
        // Offsets are aligned as the linker asks for, whatever the address of the buffer is.
        let room = compiled.iter().map(|f| f.bytes.len() + f.alignment.max(LINKER_ALIGNMENT) as usize).sum();
        if room > TEXT_MAX {
            let message = format!("the module's machine code takes {room} bytes; at most {TEXT_MAX} are possible");
            return Err(CompileError::limit(message));
        }
        Ok(Self(Arc::new(Mutex::new(Buffer { bytes: vec![0; room], used: 0 }))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes handed out so far, with the gaps between them.
    fn used(&self) -> usize {
        self.lock().used
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut buffer = self.lock();
        let used = buffer.used;
        let mut bytes = std::mem::take(&mut buffer.bytes);
        bytes.truncate(used);
        bytes
    }
}

/// The most that cranelift-jit asks for by itself.
const LINKER_ALIGNMENT: u64 = 64;

/// Calls are signed 32-bit distances; the linker panics when one is longer.
const TEXT_MAX: usize = i32::MAX as usize;

// The trait declares one of its methods unsafe, and this is the only unsafe code of the crate: it does nothing.
#[allow(unsafe_code, reason = "cranelift-jit's trait has an unsafe method")]
impl JITMemoryProvider for Text {
    fn allocate(&mut self, size: usize, align: u64, _: JITMemoryKind) -> io::Result<*mut u8> {
        let mut buffer = self.lock();
        // Offsets are aligned, not addresses: the text will be placed at the start of a page.
        let start = buffer.used.next_multiple_of(align as usize);
        let end = start + size;
        if end > buffer.bytes.len() {
            return Err(io::Error::other("the text's buffer is too small"));
        }
        buffer.used = end;
        // The linker keeps these pointers until the text is complete. No reference to the bytes is ever made in the
        // meantime, because that would end their validity.
        Ok(buffer.bytes.as_mut_ptr().wrapping_add(start))
    }

    unsafe fn free_memory(&mut self) {}

    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiler, Settings};
    use cranelift_module::ModuleReloc;

    fn refers_to(kind: Reloc, name: ModuleRelocTarget) -> Compiled {
        let relocations = vec![ModuleReloc { offset: 1, kind, name, addend: -4 }];
        Compiled { bytes: vec![0; 5], alignment: 32, relocations, traps: Vec::new(), places: Vec::new() }
    }

    fn linked(compiled: Vec<Compiled>) -> Result<Code, CompileError> {
        let pieces: Vec<Piece> = (0..compiled.len() as u32).map(Piece::Body).collect();
        link(Compiler::new(&Settings::default()).unwrap().isa, &pieces, compiled)
    }

    fn function(index: u32) -> ModuleRelocTarget {
        ModuleRelocTarget::User { namespace: 0, index }
    }

    #[test]
    fn calls_are_distances_within_the_text() {
        let code = linked((0..3).map(|i| refers_to(Reloc::X86CallPCRel4, function(2 - i))).collect()).unwrap();
        for (caller, callee) in code.funcs.iter().zip(code.funcs.iter().rev()) {
            assert_eq!(caller.start % 32, 0);
            let distance = &code.text[caller.start as usize + 1..caller.end as usize];
            let distance = i32::from_le_bytes(distance.try_into().unwrap());
            assert_eq!(caller.end.wrapping_add_signed(distance), callee.start);
        }
    }

    #[test]
    fn an_absolute_address_is_refused_by_name() {
        let error = linked(vec![refers_to(Reloc::Abs8, function(0))]).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Internal);
        assert!(error.message().contains("Abs8"), "{error}");
    }

    #[test]
    fn a_library_call_is_refused_by_name() {
        let memcpy = ModuleRelocTarget::LibCall(cranelift_codegen::ir::LibCall::Memcpy);
        let error = linked(vec![refers_to(Reloc::X86CallPCRel4, memcpy)]).unwrap_err();
        assert!(error.message().contains("Memcpy"), "{error}");
    }

    #[test]
    fn a_function_that_is_not_there_is_refused() {
        assert!(linked(vec![refers_to(Reloc::X86CallPCRel4, function(1))]).is_err());
    }
}
