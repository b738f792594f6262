//! Finds the objects of a heap that are still reachable, and moves them together.
//!
//! Must not know: stores, instances and frames. Whoever collects calls [`Evacuation::word`] for
//! each root.

mod shapes;
mod evacuation;

pub(crate) use evacuation::{Evacuated, Evacuation, Others};
pub(crate) use shapes::Shapes;
