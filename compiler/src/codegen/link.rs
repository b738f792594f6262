//! Functions to one contiguous text.
//!
//! Functions refer to each other by distances, which are filled in here, and to nothing else. So the finished bytes can be
//! moved anywhere as a whole.

use super::abi::from_trap_code;
use super::compile::{Compiled, Distance, Piece};
use crate::base::error::CompileError;
use crate::instance::code::{Code, FuncRange, Place, TrapSite};

/// The most bytes of a text: a distance is signed and has 32 bits.
const TEXT_MAX: usize = i32::MAX as usize;

/// Links pieces of code, given in order, into a text with its tables.
///
/// # Errors
/// When the text gets too large; or when a piece refers to one that is not there, which is a bug here.
pub(crate) fn link(pieces: &[Piece], compiled: &[Compiled]) -> Result<Code, CompileError> {
    let (mut text, starts) = place(compiled)?;
    for (function, start) in compiled.iter().zip(&starts) {
        for distance in &function.distances {
            fill_in(&mut text, *start, distance, &starts)?;
        }
    }
    tables(text, pieces, compiled, &starts)
}

/// One piece behind the other, each aligned, and where each starts.
fn place(compiled: &[Compiled]) -> Result<(Vec<u8>, Vec<u32>), CompileError> {
    let room = compiled.iter().map(|function| function.bytes.len() + function.alignment as usize).sum();
    if room > TEXT_MAX {
        let message = format!("the module's machine code takes {room} bytes; at most {TEXT_MAX} are possible");
        return Err(CompileError::limit(message));
    }
    let (mut text, mut starts) = (Vec::with_capacity(room), Vec::with_capacity(compiled.len()));
    for Compiled { bytes, alignment, .. } in compiled {
        // Offsets are aligned: the text will be placed at the start of a page.
        text.resize(text.len().next_multiple_of(*alignment as usize), 0);
        starts.push(text.len() as u32);
        text.extend_from_slice(bytes);
    }
    Ok((text, starts))
}

/// Writes a distance of the piece at `start` (in the words of the System V ABI, section 4.4.1: S + A - P).
fn fill_in(text: &mut [u8], start: u32, distance: &Distance, starts: &[u32]) -> Result<(), CompileError> {
    let Distance { at, to: (piece, offset), addend } = *distance;
    let here = start as usize + at as usize;
    let to = starts.get(piece as usize).map(|to| i64::from(*to) + i64::from(offset) + addend - here as i64);
    let bytes = to.and_then(|to| i32::try_from(to).ok()).zip(text.get_mut(here..here + 4));
    let Some((to, place)) = bytes else {
        return Err(CompileError::internal(format!("the code refers to something outside: {distance:?}")));
    };
    place.copy_from_slice(&to.to_le_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refers_to(piece: u32) -> Compiled {
        let distances = vec![Distance { at: 1, to: (piece, 0), addend: -4 }];
        Compiled { bytes: vec![0; 5], alignment: 32, distances, traps: Vec::new(), places: Vec::new() }
    }

    fn linked(compiled: &[Compiled]) -> Result<Code, CompileError> {
        let pieces: Vec<Piece> = (0..compiled.len() as u32).map(Piece::Body).collect();
        link(&pieces, compiled)
    }

    #[test]
    fn calls_are_distances_within_the_text() {
        let code = linked(&[2, 1, 0].map(refers_to)).unwrap();
        for (caller, callee) in code.funcs.iter().zip(code.funcs.iter().rev()) {
            assert_eq!(caller.start % 32, 0);
            let distance = &code.text[caller.start as usize + 1..caller.end as usize];
            let distance = i32::from_le_bytes(distance.try_into().unwrap());
            assert_eq!(caller.end.wrapping_add_signed(distance), callee.start);
        }
    }

    #[test]
    fn a_function_that_is_not_there_is_refused() {
        let error = linked(&[refers_to(1)]).unwrap_err();
        assert_eq!(error.kind(), crate::base::error::CompileErrorKind::Internal);
        assert!(error.message().contains("outside"), "{error}");
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        let mut function = refers_to(0);
        function.distances[0].at = 2;
        assert!(linked(&[function]).is_err());
    }
}
