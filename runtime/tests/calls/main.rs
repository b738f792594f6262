//! Calls in hosts that do more than call: with fibers, small stacks, blocked signals and signal
//! handlers of their own.
//!
//! | file | what it is about |
//! |---|---|
//! | `fibers` | guests that take turns on the stacks of one thread, or move to another |
//! | `stacks` | where the stack ends, and how much of it Wasm uses |
//! | `masks` | threads that block signals |
//! | `handlers` | signal handlers that were there before minirt's, or come after it |
//! | `outside` | signals that another process sends |
//! | `inlining` | calls that the compiler replaces by the code of the function |
//! | `endings` | calls from destructors, and panics in them |

#[path = "../common/mod.rs"]
mod common;

#[path = "../process/child.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod child;
mod endings;
mod fibers;
mod handlers;
mod inlining;
mod many;
mod masks;
mod outside;
mod stacks;
