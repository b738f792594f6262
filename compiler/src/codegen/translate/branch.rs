//! Begins and ends constructs, and finds where branches go and which values they take along.

use super::clause::Handlers;
use super::state::{Frame, FrameKind, Translator};
use crate::codegen::abi::value_type;
use crate::module::{BlockType, ValType};
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Type, Value};

impl Translator<'_, '_> {
    pub(super) fn block_with(&mut self, params: &[Type]) -> Block {
        let block = self.b.create_block();
        for ty in params {
            self.b.append_block_param(block, *ty);
        }
        block
    }

    /// Makes a block that takes values of these types.
    pub(super) fn block_taking(&mut self, params: &[ValType]) -> Block {
        let block = self.b.create_block();
        for ty in params {
            let value = self.b.append_block_param(block, value_type(*ty));
            self.trace(*ty, value);
        }
        block
    }

    pub(super) fn jump(&mut self, block: Block, arguments: &[Value]) {
        let arguments = block_args(arguments);
        self.b.ins().jump(block, &arguments);
    }

    pub(super) fn continue_in(&mut self, block: Block) {
        self.b.switch_to_block(block);
        self.b.seal_block(block);
    }

    /// Returns where a branch goes, and how many values it takes there.
    pub(super) fn label(&mut self, depth: u32) -> (Block, usize) {
        self.label_of(self.frames.len() - 1 - depth as usize)
    }

    /// Does the same for a construct by its place on the control stack.
    pub(super) fn label_of(&mut self, index: usize) -> (Block, usize) {
        let frame = &mut self.frames[index];
        if let FrameKind::Loop { header } = frame.kind {
            return (header, frame.params);
        }
        frame.exit_used = true;
        (frame.exit, frame.results)
    }

    /// Returns what may catch an exception that is thrown here.
    pub(super) fn handlers(&self) -> Handlers {
        self.frames.last().and_then(|frame| frame.handlers.clone())
    }

    /// Returns the types that a construct takes and returns.
    pub(super) fn block_types(&self, ty: BlockType) -> (Vec<ValType>, Vec<ValType>) {
        match ty {
            BlockType::Empty => (Vec::new(), Vec::new()),
            BlockType::Value(ty) => (Vec::new(), vec![ty]),
            BlockType::Func(index) => {
                let ty = self.module.info.type_at(index);
                (ty.params().to_vec(), ty.results().to_vec())
            }
        }
    }

    /// Begins a construct, whose parameters are on the operand stack.
    pub(super) fn push_frame(&mut self, kind: FrameKind, params: usize, results: &[ValType]) {
        let exit = self.block_taking(results);
        let base = self.stack.len() - params;
        let handlers = self.handlers();
        self.frames.push(Frame { kind, exit, exit_used: false, params, results: results.len(), base, handlers });
    }

    /// Ends what a frame has so far. If the end can be reached, the results go to the exit.
    pub(super) fn leave(&mut self, frame: &mut Frame) {
        if self.reachable {
            let results = self.pop_many(frame.results);
            self.jump(frame.exit, &results);
            frame.exit_used = true;
        }
        self.stack.truncate(frame.base);
    }
}

pub(super) fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|value| BlockArg::Value(*value)).collect()
}
