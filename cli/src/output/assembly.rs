//! Prints machine code beside the instructions of WebAssembly that it is for.
//!
//! Only the code decides what is shown, in its order: an instruction that took no code of its own
//! has no line. Constants and jump tables are part of a function's code, and are shown as words.

use super::printable;
use super::report::Report;
use minirt::{Module, ModuleFunction};
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

/// The most characters of an instruction of WebAssembly that are shown.
const WIDEST: usize = 32;

/// The machine code of a module, ready to be printed.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    module: &'a Module,
    functions: Vec<ModuleFunction>,
    /// Where the code of each instruction starts, and the byte of the module where that is.
    map: Vec<(usize, u32)>,
    /// Instructions as text, by that byte.
    instructions: HashMap<u32, String>,
}

impl<'a> Assembly<'a> {
    /// Prepares the code of a module. Without the module's binary, as for an artifact, only the
    /// places of its instructions are known.
    ///
    /// # Errors
    /// Returns an error if this build cannot read the machine code.
    pub(crate) fn of(module: &'a Module, binary: Option<&[u8]>) -> Result<Self, Report> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Report::new(
                "machine code cannot be shown",
                "this build of minirt only knows the instructions of x86-64",
                "minirt compile --emit=clif shows what Cranelift makes it from, on any processor",
            ));
        }
        let map = module.address_map().into_iter().flatten();
        let map = map.filter_map(|(offset, wasm)| Some((offset, wasm?))).collect();
        let instructions = binary.map_or_else(HashMap::new, instructions);
        Ok(Self { module, functions: module.functions().collect(), map, instructions })
    }

    /// Returns all functions that have code.
    pub(crate) fn functions(&self) -> &[ModuleFunction] {
        &self.functions
    }

    /// Prints the code of a function.
    pub(crate) fn print(&self, out: &mut String, function: &ModuleFunction) -> std::fmt::Result {
        let ModuleFunction { offset, len, .. } = *function;
        writeln!(out, "{}: {len} bytes at {offset:#x} of the machine code\n", title(function))?;
        writeln!(out, "{:>8}  {:<WIDEST$}  {:>8}  machine code", "wasm", "instruction", "offset")?;
        let code = &self.module.text()[offset..offset + len];
        let mut shown = None;
        for line in disassemble(code, offset) {
            let next = self.map.partition_point(|(at, _)| *at <= line.offset);
            let place = next.checked_sub(1).filter(|place| shown != Some(*place));
            shown = place.or(shown);
            let (place, instruction) = place.map_or_else(Default::default, |place| self.instruction(place, offset));
            let callee =
                line.calls.and_then(|at| self.functions.binary_search_by_key(&at, |callee| callee.offset).ok());
            let callee = callee.map_or_else(String::new, |callee| format!("  ; {}", title(&self.functions[callee])));
            let text = &line.text;
            writeln!(out, "{place:>8}  {instruction:<WIDEST$}  {:>#8x}  {text}{callee}", line.offset)?;
        }
        Ok(())
    }

    /// Returns an entry of the address map as people read it, in a function that starts at `start`:
    /// the byte of the module, and the instruction there. Code that belongs to none has both at the
    /// function's start alone.
    fn instruction(&self, entry: usize, start: usize) -> (String, String) {
        let (offset, wasm) = self.map[entry];
        let first = self.map.partition_point(|(at, _)| *at < start);
        let belongs_to_none = self.map.get(first).is_some_and(|(_, body)| *body == wasm);
        if belongs_to_none && offset != start {
            return Default::default();
        }
        let text = self.instructions.get(&wasm).map_or("", String::as_str);
        // The text format closes what the binary format ends.
        (format!("{wasm:#x}"), if text == ")" { "end".to_owned() } else { shortened(text) })
    }
}

/// Returns a function as people know it.
pub(crate) fn title(function: &ModuleFunction) -> String {
    match &function.name {
        Some(name) => format!("function {} `{}`", function.index, printable::name(name)),
        None => format!("function {}", function.index),
    }
}

fn shortened(text: &str) -> String {
    let text = printable::text(text);
    match text.char_indices().nth(WIDEST) {
        None => text,
        Some(_) => text.chars().take(WIDEST - 3).chain("...".chars()).collect(),
    }
}

/// Returns the lines of a module's text format, by the byte of the module that each is for.
fn instructions(binary: &[u8]) -> HashMap<u32, String> {
    let mut text = String::new();
    let lines = wasmprinter::Config::new().offsets_and_lines(binary, &mut text);
    // What cannot be printed is not shown. The module has been compiled, so it is valid.
    let lines = lines.into_iter().flatten();
    lines.filter_map(|(offset, line)| Some((u32::try_from(offset?).ok()?, line.trim().to_owned()))).collect()
}

/// An instruction of the processor.
struct Line {
    /// Where it is in the module's code.
    offset: usize,
    text: String,
    /// Where the function is that it calls, if it calls one.
    calls: Option<usize>,
}

/// Returns the instructions in `code`, which is at `offset` of the module's code, and its data as
/// words.
fn disassemble(code: &[u8], offset: usize) -> Vec<Line> {
    use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, IntelFormatter, Mnemonic, OpKind};
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_space_after_operand_separator(true);
    options.set_show_branch_size(false);
    options.set_rip_relative_addresses(true);
    let mut decoder = Decoder::with_ip(64, code, offset as u64, DecoderOptions::NONE);
    let mut lines = Vec::new();
    // Constants are behind all code that reads them.
    let mut constants = code.len();
    while decoder.position() < constants {
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let is_call = instruction.mnemonic() == Mnemonic::Call && instruction.op0_kind() == OpKind::NearBranch64;
        let calls = is_call.then(|| instruction.near_branch_target() as usize);
        lines.push(Line { offset: instruction.ip() as usize, text, calls });
        if instruction.is_ip_rel_memory_operand() && instruction.mnemonic() != Mnemonic::Lea {
            let target = (instruction.ip_rel_memory_address() as usize).saturating_sub(offset);
            constants = constants.min(target.max(decoder.position()));
        }
        if instruction.flow_control() == FlowControl::IndirectBranch {
            let table = decoder.position();
            let end = jump_table_end(code, table);
            lines.extend(words(code, offset, table..end));
            // It is inside the code.
            let _ = decoder.set_position(end);
            decoder.set_ip((offset + end) as u64);
        }
    }
    lines.extend(words(code, offset, constants..code.len()));
    lines
}

/// Returns where the jump table ends that starts at a place in the code. Each of its words is the
/// distance from there to a target. The nearest target is right behind it.
fn jump_table_end(code: &[u8], table: usize) -> usize {
    let mut end = code.len();
    let mut at = table;
    while at + 4 <= end {
        let distance = i32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
        end = table.checked_add_signed(distance as isize).filter(|target| *target > at).map_or(end, |it| it.min(end));
        at += 4;
    }
    at.min(code.len())
}

/// Returns bytes that are not code, in words of up to four bytes.
fn words(code: &[u8], offset: usize, range: Range<usize>) -> impl Iterator<Item = Line> {
    let start = offset + range.start;
    code[range].chunks(4).enumerate().map(move |(index, word)| {
        let value = word.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        let size = if word.len() == 4 { ".long" } else { ".byte" };
        Line { offset: start + 4 * index, text: format!("{size} {value:#x}"), calls: None }
    })
}
