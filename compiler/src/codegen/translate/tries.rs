//! Finds what each legacy `try` of a function catches, before the function's body is translated.
//!
//! Legacy exceptions only: a `try_table` says it at its start.

use std::rc::Rc;
use wasmparser::{FunctionBody, Operator};

/// The catches of a `try`.
#[derive(Clone, Debug, Default)]
pub(super) struct TryShape {
    pub(super) clauses: Vec<ClauseShape>,
    /// The label of its `delegate`, if that is how it ends.
    pub(super) delegate: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ClauseShape {
    /// The tag that an exception has to have, and `None` for any.
    pub(super) tag: Option<u32>,
    /// Whether a `rethrow` names it: then it keeps a reference to the exception.
    pub(super) rethrown: bool,
}

/// Returns what each `try` of a valid body catches, in the order in which they begin.
pub(super) fn shapes(body: &FunctionBody<'_>) -> Rc<[TryShape]> {
    let mut shapes: Vec<TryShape> = Vec::new();
    // The constructs that are open; for a `try`, its place.
    let mut open: Vec<Option<usize>> = Vec::new();
    let reader = body.get_operators_reader().expect("the body is valid");
    for op in reader {
        let op = op.expect("the body is valid");
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                open.push(None);
            }
            Operator::Try { .. } => {
                open.push(Some(shapes.len()));
                shapes.push(TryShape::default());
            }
            Operator::End => drop(open.pop()),
            Operator::Delegate { relative_depth } => {
                if let Some(Some(shape)) = open.pop() {
                    shapes[shape].delegate = Some(relative_depth);
                }
            }
            Operator::Catch { .. } | Operator::CatchAll => {
                let tag = if let Operator::Catch { tag_index } = op { Some(tag_index) } else { None };
                if let Some(Some(shape)) = open.last() {
                    shapes[*shape].clauses.push(ClauseShape { tag, rethrown: false });
                }
            }
            Operator::Rethrow { relative_depth } => {
                let named = open.iter().rev().nth(relative_depth as usize);
                if let Some(clause) = named.and_then(|at| shapes[(*at)?].clauses.last_mut()) {
                    clause.rethrown = true;
                }
            }
            _ => {}
        }
    }
    shapes.into()
}
