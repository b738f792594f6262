//! Represents clauses: the ways to catch an exception in a function.

use crate::instance::call_sites::Catches;
use cranelift_codegen::ir::Block;
use std::rc::Rc;

/// The most clauses that a function may list, counted at each construct that catches and at each
/// call inside one. It bounds what a small body can ask of the compiler.
pub(super) const MAX_LISTED: usize = 1 << 20;

/// The clauses that may catch an exception at some place, in order, as their places among the
/// function's clauses.
pub(super) type Handlers = Option<Rc<[usize]>>;

/// One way to catch an exception.
#[derive(Clone, Copy)]
pub(super) struct Clause {
    pub(super) catches: Catches,
    /// Where the runtime resumes.
    pub(super) landing: Block,
    /// Whether any call lists it.
    pub(super) landed: bool,
    pub(super) target: Target,
}

/// Where a clause leads.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// To the label of a construct, by its place on the control stack.
    Label(usize),
    /// To a block, which takes the same.
    Block {
        /// The block.
        block: Block,
        /// Whether anything goes there.
        used: bool,
    },
}
