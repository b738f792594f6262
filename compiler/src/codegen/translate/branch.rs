//! The ways between blocks: where a branch goes, and what it takes along.

use super::state::{FrameKind, Translator};
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Type, Value};

impl Translator<'_, '_> {
    pub(super) fn block_with(&mut self, params: &[Type]) -> Block {
        let block = self.b.create_block();
        for ty in params {
            self.b.append_block_param(block, *ty);
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
        let index = self.frames.len() - 1 - depth as usize;
        let frame = &mut self.frames[index];
        if let FrameKind::Loop { header } = frame.kind {
            return (header, frame.params);
        }
        frame.exit_used = true;
        (frame.exit, frame.results)
    }
}

pub(super) fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|value| BlockArg::Value(*value)).collect()
}
