//! Translates legacy exceptions: `try`, `catch`, `catch_all`, `delegate` and `rethrow`, as programs
//! used them before WebAssembly 3.0 (the exception handling proposal, legacy).
//!
//! They become the same clauses as those of `try_table`. The catches of a `try` stand after its
//! body, but each call in the body needs them. So at the first `try` of a function, the function's
//! body is searched for all of them.

use super::clause::{Clause, Target};
use super::state::{FrameKind, Translator};
use super::tries::{ClauseShape, TryShape, shapes};
use crate::instance::call_sites::Catches;
use crate::module::{BlockType, ValType};
use std::rc::Rc;

impl Translator<'_, '_> {
    /// Returns what the `try` catches that begins here, reachable or not.
    pub(super) fn next_try(&mut self) -> TryShape {
        let shapes = match &self.tries {
            Some(shapes) => Rc::clone(shapes),
            None => {
                let shapes = shapes(self.body);
                self.tries.insert(shapes).clone()
            }
        };
        self.tries_begun += 1;
        shapes[self.tries_begun - 1].clone()
    }

    pub(super) fn try_(&mut self, ty: BlockType, shape: TryShape) {
        let (params, results) = self.block_types(ty);
        let (kind, handlers) = match shape.delegate {
            // An exception that it throws is caught where the label is, if anything catches it
            // there.
            Some(depth) => {
                let index = self.frames.len() - 1 - depth as usize;
                (FrameKind::Block, self.frames[index].handlers.clone())
            }
            None => {
                let first = self.clauses.len();
                for ClauseShape { tag, rethrown } in shape.clauses {
                    let mut types = tag.map_or_else(Vec::new, |tag| self.module.info.tag_type(tag).params().to_vec());
                    types.extend(rethrown.then_some(ValType::EXNREF));
                    let block = self.block_taking(&types);
                    self.add_clause(Catches { tag, reference: rethrown }, Target::Block { block, used: false });
                }
                let own = first..self.clauses.len();
                (FrameKind::Try { clauses: own.clone() }, self.handlers_with(own, &self.handlers()))
            }
        };
        self.push_frame(kind, params.len(), &results);
        self.frames.last_mut().expect("it was just pushed").handlers = handlers;
    }

    /// Begins the next `catch` or `catch_all` of a `try`.
    pub(super) fn catch(&mut self) {
        let mut frame = self.frames.pop().expect("validation matches `catch` with `try`");
        self.leave(&mut frame);
        let clauses = match &frame.kind {
            FrameKind::Try { clauses } | FrameKind::Catch { clauses, .. } => clauses.clone(),
            _ => unreachable!("validation matches `catch` with `try`"),
        };
        let clause = clauses.start;
        // Exceptions that are thrown from here on are caught outside.
        frame.handlers = self.handlers();
        self.land(clause);
        let Clause { catches, target, .. } = self.clauses[clause];
        let Target::Block { block, used } = target else { unreachable!("a `catch` has a block of its own") };
        let mut exception = None;
        if used {
            self.continue_in(block);
            self.stack.extend_from_slice(self.b.block_params(block));
            exception = if catches.reference { self.stack.pop() } else { None };
        }
        self.reachable = used;
        frame.kind = FrameKind::Catch { clauses: clauses.start + 1..clauses.end, exception };
        self.frames.push(frame);
    }
}
