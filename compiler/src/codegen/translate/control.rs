//! Translates control instructions: blocks, branches, `select` and `unreachable` (specification,
//! section 4.4.8).
//!
//! Every construct has an exit block that takes its results. Where code cannot be reached,
//! instructions are validated and otherwise skipped; constructs that begin there are only counted.

use super::branch::block_args;
use super::state::{Frame, FrameKind, Translator};
use crate::base::trap::Trap;
use crate::codegen::abi::trap_code;
use crate::module::instruction::{Control, Structure};
use crate::module::{BlockType, ValType};
use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, Value};
use std::collections::HashMap;
use wasmparser::BrTable;

impl Translator<'_, '_> {
    /// Translates an instruction that opens or closes a construct, reachable or not.
    pub(super) fn structure(&mut self, op: Structure) {
        match op {
            Structure::Block { .. } | Structure::Loop { .. } | Structure::If { .. } | Structure::TryTable { .. }
                if !self.reachable =>
            {
                self.skipped += 1;
            }
            Structure::Try { blockty } => {
                let shape = self.next_try();
                if self.reachable { self.try_(blockty, shape) } else { self.skipped += 1 }
            }
            Structure::Else | Structure::Catch { .. } | Structure::CatchAll if self.skipped > 0 => {}
            Structure::End | Structure::Delegate { .. } if self.skipped > 0 => self.skipped -= 1,
            Structure::Block { blockty } => self.block(blockty),
            Structure::Loop { blockty } => self.loop_(blockty),
            Structure::If { blockty } => self.if_(blockty),
            Structure::TryTable { try_table } => self.try_table(try_table),
            Structure::Else => self.else_(),
            Structure::Catch { .. } | Structure::CatchAll => self.catch(),
            Structure::End | Structure::Delegate { .. } => self.end(),
        }
    }

    pub(super) fn control(&mut self, op: Control<'_>) {
        match op {
            Control::Nop => {}
            Control::Drop => drop(self.pop()),
            Control::Select => drop(self.select()),
            Control::TypedSelect { ty } => {
                let value = self.select();
                self.trace(ty, value);
            }
            Control::Unreachable => {
                self.b.ins().trap(trap_code(Trap::UnreachableCodeReached));
                self.reachable = false;
            }
            Control::Br { relative_depth } => self.br(relative_depth),
            Control::BrIf { relative_depth } => self.br_if(relative_depth),
            Control::BrTable { targets } => self.br_table(&targets),
            Control::Return => {
                let results = self.frames[0].results;
                let results = self.pop_many(results);
                self.b.ins().return_(&results);
                self.reachable = false;
            }
        }
    }

    fn select(&mut self) -> Value {
        let (condition, otherwise, then) = (self.pop(), self.pop(), self.pop());
        let value = self.b.ins().select(condition, then, otherwise);
        self.push(value);
        value
    }

    /// Pushes the frame of the function body itself. Branching out of it returns.
    pub(super) fn push_body(&mut self, results: &[ValType]) {
        self.push_frame(FrameKind::Block, 0, results);
    }

    fn block(&mut self, ty: BlockType) {
        let (params, results) = self.block_types(ty);
        self.push_frame(FrameKind::Block, params.len(), &results);
    }

    fn loop_(&mut self, ty: BlockType) {
        let (params, results) = self.block_types(ty);
        let header = self.block_taking(&params);
        let arguments = self.pop_many(params.len());
        self.jump(header, &arguments);
        // Sealed at the end, when all branches to it are known.
        self.b.switch_to_block(header);
        self.stack.extend_from_slice(self.b.block_params(header));
        self.push_frame(FrameKind::Loop { header }, params.len(), &results);
        self.meter_loop();
    }

    fn if_(&mut self, ty: BlockType) {
        let condition = self.pop();
        let (params, results) = self.block_types(ty);
        let (then, otherwise) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.continue_in(then);
        let kept = self.stack[self.stack.len() - params.len()..].to_vec();
        self.push_frame(FrameKind::If { otherwise, params: kept }, params.len(), &results);
    }

    fn else_(&mut self) {
        let mut frame = self.frames.pop().expect("validation matches `else` with `if`");
        self.leave(&mut frame);
        if let FrameKind::If { otherwise, params } = std::mem::replace(&mut frame.kind, FrameKind::Else) {
            self.continue_in(otherwise);
            self.stack.extend(params);
            self.reachable = true;
        }
        self.frames.push(frame);
    }

    fn end(&mut self) {
        let mut frame = self.frames.pop().expect("validation matches `end` with what it ends");
        if !frame.exit_used && self.go_on_behind(&frame) {
            return;
        }
        self.leave(&mut frame);
        match frame.kind {
            FrameKind::Loop { header } => self.b.seal_block(header),
            FrameKind::If { otherwise, params } => {
                // Without an `else` the parameters are the results.
                self.continue_in(otherwise);
                self.jump(frame.exit, &params);
                frame.exit_used = true;
            }
            FrameKind::TryTable { clauses } => self.end_try_table(clauses),
            FrameKind::Block | FrameKind::Else | FrameKind::Catch { .. } => {}
            FrameKind::Try { .. } => {} // Without clauses it catches nothing.
        }
        self.reachable = frame.exit_used;
        if self.frames.is_empty() {
            return self.end_body(frame.exit);
        }
        if frame.exit_used {
            self.continue_in(frame.exit);
            self.stack.extend_from_slice(self.b.block_params(frame.exit));
        }
    }

    /// Ends a construct that nothing branches out of, if it can do without a block of its own for
    /// what follows. Returns whether it could.
    fn go_on_behind(&mut self, frame: &Frame) -> bool {
        match &frame.kind {
            FrameKind::Block | FrameKind::Else if self.reachable => {}
            // Without an `else`, what follows is what the condition skips to.
            FrameKind::If { otherwise, params } if params.is_empty() => {
                if self.reachable {
                    self.jump(*otherwise, &[]);
                }
                self.continue_in(*otherwise);
                self.stack.truncate(frame.base);
                self.reachable = true;
            }
            // A loop has one all the same. Without, register allocation moved more: musl's
            // `printf_core` was 14 % larger.
            _ => return false,
        }
        // Otherwise the results are where they belong.
        if self.frames.is_empty() {
            self.b.ins().return_(&self.stack);
        }
        true
    }

    fn end_body(&mut self, exit: Block) {
        if self.reachable {
            self.continue_in(exit);
            let results = self.b.block_params(exit).to_vec();
            self.b.ins().return_(&results);
        }
    }

    fn br(&mut self, depth: u32) {
        let (target, arity) = self.label(depth);
        let arguments = self.pop_many(arity);
        self.jump(target, &arguments);
        self.reachable = false;
    }

    fn br_if(&mut self, depth: u32) {
        let condition = self.pop();
        let (target, arity) = self.label(depth);
        let arguments = block_args(&self.stack[self.stack.len() - arity..]);
        let next = self.b.create_block();
        self.b.ins().brif(condition, target, &arguments, next, &[]);
        self.continue_in(next);
    }

    fn br_table(&mut self, targets: &BrTable<'_>) {
        let index = self.pop();
        let (_, arity) = self.label(targets.default());
        let arguments = self.pop_many(arity);
        let mut edges = Edges::default();
        let default = self.edge(&mut edges, targets.default(), arity);
        let depths = targets.targets().map(|depth| depth.expect("validation has read the targets"));
        let table: Vec<BlockCall> = depths.map(|depth| self.edge(&mut edges, depth, arity)).collect();
        let table = self.b.create_jump_table(JumpTableData::new(default, &table));
        self.b.ins().br_table(index, table);
        for (depth, block) in edges.blocks {
            self.continue_in(block);
            let (target, _) = self.label(depth);
            self.jump(target, &arguments);
        }
        self.reachable = false;
    }

    /// Returns an entry of a `br_table`: to the target itself if it takes no values, or to the
    /// block on the way to it.
    fn edge(&mut self, edges: &mut Edges, depth: u32, arity: usize) -> BlockCall {
        let block = if arity == 0 {
            self.label(depth).0
        } else {
            *edges.known.entry(depth).or_insert_with(|| {
                let block = self.b.create_block();
                edges.blocks.push((depth, block));
                block
            })
        };
        self.b.func.dfg.block_call(block, &[])
    }
}

/// The blocks between a `br_table` and targets that take values. However often a target is in the
/// table, one place passes the values to it.
#[derive(Default)]
struct Edges {
    known: HashMap<u32, Block>,
    /// The same blocks, in the order in which they were made.
    blocks: Vec<(u32, Block)>,
}
