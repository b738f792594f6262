//! Makes the arrays of generated modules small, and accesses to them likely to be inside.
//!
//! Sizes and indices are any numbers, in what wasm-smith makes. Nearly all arrays would be too
//! large, and nearly all accesses outside.

use anyhow::{Result, anyhow};
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Instruction, Module};
use wasmparser::{FunctionBody, Operator, Parser};

/// Sizes have these bits.
const SIZE: i32 = 0x3f;
/// Indices, and the lengths of what is copied, have these.
const INDEX: i32 = 0x7;

/// Returns the module with an `and` before instructions that make arrays, and before half of those
/// that read them or work on several elements.
pub(crate) fn with_small_sizes(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::new();
    let mut small = Small { accesses: 0 };
    small.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|error| anyhow!("{error}"))?;
    Ok(module.finish())
}

struct Small {
    accesses: u32,
}

impl Reencode for Small {
    type Error = std::convert::Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            if let Some(mask) = self.mask(&operator) {
                function.instruction(&Instruction::I32Const(mask)).instruction(&Instruction::I32And);
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

impl Small {
    /// Returns the bits that the last operand keeps, if it is a size, an index or a length.
    fn mask(&mut self, operator: &Operator<'_>) -> Option<i32> {
        match operator {
            Operator::ArrayNew { .. }
            | Operator::ArrayNewDefault { .. }
            | Operator::ArrayNewData { .. }
            | Operator::ArrayNewElem { .. } => Some(SIZE),
            Operator::ArrayGet { .. }
            | Operator::ArrayGetS { .. }
            | Operator::ArrayGetU { .. }
            | Operator::ArrayCopy { .. }
            | Operator::ArrayFill { .. }
            | Operator::ArrayInitData { .. }
            | Operator::ArrayInitElem { .. } => {
                self.accesses += 1;
                self.accesses.is_multiple_of(2).then_some(INDEX)
            }
            _ => None,
        }
    }
}
