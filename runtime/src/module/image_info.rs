//! What a module's image holds, what it does not hold, and why: for people who wonder what an instance costs.

use super::module::Module;
use minirt_compiler::module::{ConstExpr, ConstOp, ModuleInfo, SegmentMode};
use std::ops::Range;

/// The image that instances of a module start from ([`Module::image_info`]). Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Size of the host cell, which is written for each instance: above all, its imports.
    pub host_cell: usize,
    /// Size of the state in the image: globals, sizes, functions, tables.
    pub state: usize,
    /// Size of the part of the state that every reset copies back.
    pub head: usize,
    /// Initial size of linear memory.
    pub memory: usize,
    /// The ranges of linear memory in which the image is not zero, in whole host pages.
    pub extents: Vec<Range<u64>>,
    /// Size of the machine code.
    pub code: usize,
    /// The steps of instantiation that are left for each instance.
    pub remaining: Vec<RemainingStep>,
}

/// A step of instantiation that could not be part of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemainingStep {
    /// The step.
    pub what: String,
    /// The reason why each instance repeats it.
    pub why: &'static str,
}

impl Module {
    /// Describes the image that instances start from, and the steps that are left for each of them.
    pub fn image_info(&self) -> ImageInfo {
        let prototype = self.prototype();
        let (state, head, memory, extents) = prototype.image.sizes();
        ImageInfo {
            host_cell: prototype.layout().host_size as usize,
            state,
            head,
            memory,
            extents,
            code: prototype.code().len(),
            remaining: self.remaining(),
        }
    }

    fn remaining(&self) -> Vec<RemainingStep> {
        let (info, remaining) = (self.info(), &self.prototype().remaining);
        let step = |what: String, why| RemainingStep { what, why };
        let global = |defined: &u32| step(format!("global {}", info.num_imported_globals + defined), IMPORTED_VALUE);
        let mut steps: Vec<RemainingStep> = remaining.globals.iter().map(global).collect();
        steps.extend(
            remaining.tables.iter().map(|table| step(format!("first elements of table {table}"), IMPORTED_VALUE)),
        );
        let modes = info.elements.iter().map(|segment| &segment.mode);
        let first = |i: usize| why_element(info, i);
        steps.extend(segments("element", modes, remaining.first_element, first));
        let modes = info.data.iter().map(|segment| &segment.mode);
        let first = |i: usize| why_data(info, i);
        steps.extend(segments("data", modes, remaining.first_data, first));
        steps.extend(remaining.start.map(|func| step(format!("function {func}"), "it is the start function")));
        steps
    }
}

// Reasons, as people read them.
const IMPORTED_VALUE: &str = "its value depends on an import";
const IMPORTED_OFFSET: &str = "its offset depends on an import";
const OUT_OF_BOUNDS: &str = "it is out of bounds, so that instantiation traps";
const LATER: &str = "it comes after one that has to be done for each instance";

/// Returns the active segments from `first` on, the first one that the image does not hold.
fn segments<'a>(
    kind: &str,
    modes: impl Iterator<Item = &'a SegmentMode>,
    first: Option<u32>,
    why_first: impl Fn(usize) -> &'static str,
) -> Vec<RemainingStep> {
    let Some(first) = first.map(|first| first as usize) else { return Vec::new() };
    let active = modes.enumerate().skip(first).filter(|(_, mode)| matches!(mode, SegmentMode::Active { .. }));
    let step = |(i, _)| RemainingStep {
        what: format!("{kind} segment {i}"),
        why: if i == first { why_first(i) } else { LATER },
    };
    active.map(step).collect()
}

fn why_element(info: &ModuleInfo, index: usize) -> &'static str {
    let segment = &info.elements[index];
    let SegmentMode::Active { target, offset } = &segment.mode else { return LATER };
    if *target < info.num_imported_tables {
        return "its table is imported";
    }
    if info.table_inits.iter().any(|(table, init)| table == target && depends_on_import(info, init)) {
        return "its table is filled before, and with what depends on an import";
    }
    if depends_on_import(info, offset) {
        return IMPORTED_OFFSET;
    }
    if segment.items.values(0, |_| false, |item| depends_on_import(info, item)).any(|depends| depends) {
        return "one of its elements depends on an import";
    }
    OUT_OF_BOUNDS
}

fn why_data(info: &ModuleInfo, index: usize) -> &'static str {
    let segment = &info.data[index];
    let SegmentMode::Active { target, offset } = &segment.mode else { return LATER };
    if *target < info.num_imported_memories {
        return "its memory is imported";
    }
    if depends_on_import(info, offset) {
        return IMPORTED_OFFSET;
    }
    let end = value(info, offset).saturating_add(segment.bytes.len() as u64);
    if end > info.memories[*target as usize].initial_bytes() {
        return OUT_OF_BOUNDS;
    }
    "an element segment changes an imported table before"
}

/// Returns whether a constant expression reads an imported global, by itself or through other globals.
fn depends_on_import(info: &ModuleInfo, expr: &ConstExpr) -> bool {
    expr.0.iter().any(|op| match op {
        ConstOp::GlobalGet(index) => match index.checked_sub(info.num_imported_globals) {
            None => true,
            Some(defined) => depends_on_import(info, &info.global_inits[defined as usize]),
        },
        _ => false,
    })
}

/// Returns the value of an expression that does not depend on imports.
fn value(info: &ModuleInfo, expr: &ConstExpr) -> u64 {
    let global = |index: u32| {
        let init = info.global_inits.get(index.checked_sub(info.num_imported_globals)? as usize)?;
        Some(u128::from(value(info, init)))
    };
    expr.evaluate(|_| Some(0), global).unwrap_or(0) as u64
}
