//! Describes a module's image: what it holds, what it does not hold, and why. It is for people who
//! wonder what an instance costs.

use super::module::Module;
use super::objects::Objects;
use crate::cow::NoFiles;
use minirt_compiler::instance::image::{MemoryImage, Remaining};
use minirt_compiler::module::{ConstExpr, Contents, ModuleInfo, SegmentMode, Surroundings};
use rustix::io::Errno;
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
    /// Initial size of the first linear memory that the module defines.
    pub memory: usize,
    /// The ranges of that memory in which the image is not zero, in whole host pages.
    pub extents: Vec<Range<u64>>,
    /// Why the image is copied into each instance slot, byte by byte, instead of being mapped from
    /// a file. `None` if it is mapped. Instances behave the same, but share no memory, and a slot's
    /// first instance takes longer.
    pub copied: Option<String>,
    /// The memories that the module defines, in order. Each of its instances has them all.
    pub memories: Vec<MemoryImageInfo>,
    /// The heap, if the module has types of structures or arrays. The first of a store's instances
    /// brings it; the objects of later ones are copied behind those that are there.
    pub heap: Option<HeapImageInfo>,
    /// Size of the machine code.
    pub code: usize,
    /// The steps of instantiation that are left for each instance.
    pub remaining: Vec<RemainingStep>,
}

/// The image of one memory. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryImageInfo {
    /// Its index in the module's index space.
    pub index: u32,
    /// Its initial size.
    pub size: usize,
    /// The ranges in which the image is not zero, in whole host pages.
    pub extents: Vec<Range<u64>>,
}

/// The image of a heap. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapImageInfo {
    /// Its initial size.
    pub size: usize,
    /// The ranges in which the image is not zero, in whole host pages.
    pub extents: Vec<Range<u64>>,
    /// How many structures and arrays are in the image.
    pub objects: usize,
    /// Size of all these together.
    pub object_bytes: usize,
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
            copied: prototype.image.files.as_ref().err().map(|why| why_copied(*why)),
            memories: self.memory_images(),
            heap: self.heap_image(),
            code: prototype.code().len(),
            remaining: self.remaining(),
        }
    }

    fn memory_images(&self) -> Vec<MemoryImageInfo> {
        let (prototype, info) = (self.prototype(), self.info());
        let images = std::iter::once(prototype).chain(prototype.memories());
        let defined = info.num_imported_memories..info.memories.len() as u32;
        let described = defined.zip(images).map(|(index, prototype)| {
            let (_, _, size, extents) = prototype.image.sizes();
            MemoryImageInfo { index, size, extents }
        });
        described.collect()
    }

    fn heap_image(&self) -> Option<HeapImageInfo> {
        let prototype = self.prototype();
        let image = &prototype.heap()?.image;
        let (_, _, size, ranges) = image.sizes();
        let (_, extents, _) = image.parts();
        let (mut objects, mut object_bytes) = (0, 0);
        let types = prototype.type_indices();
        let visited = Objects::of(&MemoryImage { size: size as u64, extents }).and_then(|mut all| {
            all.visit(
                self.info(),
                |number| types.get(&number).copied(),
                |object, _, _| {
                    objects += 1;
                    object_bytes += object.len();
                    Some(())
                },
            )
        });
        debug_assert!(visited.is_some(), "what is not a heap is not loaded");
        Some(HeapImageInfo { size, extents: ranges, objects, object_bytes })
    }

    fn remaining(&self) -> Vec<RemainingStep> {
        let (info, remaining) = (self.info(), &self.prototype().remaining);
        let step = |what: String, why| RemainingStep { what, why };
        let global = |defined: &u32| step(format!("global {}", info.num_imported_globals + defined), IMPORTED_VALUE);
        let mut steps: Vec<RemainingStep> = remaining.globals.iter().map(global).collect();
        let values = Values::new(info, remaining);
        steps.extend(
            remaining
                .tables
                .iter()
                .map(|table| step(format!("first elements of table {table}"), values.why_table(*table))),
        );
        if remaining.first_element.is_some() || remaining.first_data.is_some() {
            let modes = info.elements.iter().map(|segment| (segment.index, &segment.mode));
            steps.extend(segments("element", modes, remaining.first_element, |i| values.why_element(i)));
            let modes = info.data.iter().map(|segment| (segment.index, &segment.mode));
            steps.extend(segments("data", modes, remaining.first_data, |i| values.why_data(i)));
        }
        steps.extend(remaining.start.map(|func| step(format!("function {func}"), "it is the start function")));
        steps
    }
}

fn why_copied(why: NoFiles) -> String {
    match why {
        NoFiles::Unwanted => "images are switched off (`Config::memory_init_cow`)".to_owned(),
        NoFiles::Refused(Errno::MFILE) => "the process has few descriptors left (RLIMIT_NOFILE)".to_owned(),
        NoFiles::Refused(Errno::FBIG) => "the process may not have files of this size (RLIMIT_FSIZE)".to_owned(),
        NoFiles::Refused(error) => format!("the system makes no memory file: {error}"),
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
    modes: impl Iterator<Item = (u32, &'a SegmentMode)>,
    first: Option<u32>,
    why_first: impl Fn(u32) -> &'static str,
) -> Vec<RemainingStep> {
    let Some(first) = first else { return Vec::new() };
    let active = modes.filter(|(i, mode)| *i >= first && matches!(mode, SegmentMode::Active { .. }));
    let step = |(i, _)| RemainingStep {
        what: format!("{kind} segment {i}"),
        why: if i == first { why_first(i) } else { LATER },
    };
    active.map(step).collect()
}

/// The values of a module's constant expressions, as far as they do not depend on imports.
struct Values<'a> {
    info: &'a ModuleInfo,
    remaining: &'a Remaining,
    /// Those of the globals that it defines, in order.
    globals: Vec<Option<u128>>,
}

impl Surroundings for &Values<'_> {
    fn func(&mut self, _: u32) -> Option<u128> {
        Some(0)
    }

    fn global(&mut self, index: u32) -> Option<u128> {
        let defined = index.checked_sub(self.info.num_imported_globals)?;
        *self.globals.get(defined as usize)?
    }

    fn object(&mut self, _: u32, _: Contents<'_>) -> Option<u128> {
        Some(0)
    }
}

impl<'a> Values<'a> {
    fn new(info: &'a ModuleInfo, remaining: &'a Remaining) -> Self {
        let mut values = Self { info, remaining, globals: Vec::with_capacity(info.global_inits.len()) };
        for init in &info.global_inits {
            // An initial value names earlier globals only, so each is evaluated once.
            let value = values.of(init);
            values.globals.push(value);
        }
        values
    }

    /// Returns the value of an expression; `None` if it depends on an import. Functions and objects
    /// count as 0.
    fn of(&self, expr: &ConstExpr) -> Option<u128> {
        expr.evaluate(&self.info.types, &mut &*self)
    }

    fn why_table(&self, table: u32) -> &'static str {
        let init = self.info.table_inits.iter().find(|(filled, _)| *filled == table);
        match init.and_then(|(_, init)| self.of(init)) {
            None => IMPORTED_VALUE,
            Some(_) => "they are so many that an image of them would be large",
        }
    }

    fn why_element(&self, index: u32) -> &'static str {
        let Some(segment) = self.info.element_segment(index) else { return LATER };
        let SegmentMode::Active { target, offset } = &segment.mode else { return LATER };
        if *target < self.info.num_imported_tables {
            return "its table is imported";
        }
        if self.remaining.tables.contains(target) {
            return "its table is filled before, for each instance";
        }
        if self.of(offset).is_none() {
            return IMPORTED_OFFSET;
        }
        if segment.items.values(0, |_| false, |item| self.of(item).is_none()).any(|depends| depends) {
            return "one of its elements depends on an import";
        }
        OUT_OF_BOUNDS
    }

    fn why_data(&self, index: u32) -> &'static str {
        let Some(segment) = self.info.data_segment(index) else { return LATER };
        let SegmentMode::Active { target, offset } = &segment.mode else { return LATER };
        if *target < self.info.num_imported_memories {
            return "its memory is imported";
        }
        let Some(start) = self.of(offset) else { return IMPORTED_OFFSET };
        let end = (start as u64).saturating_add(segment.bytes.len() as u64);
        if end > self.info.memories[*target as usize].initial_bytes() {
            return OUT_OF_BOUNDS;
        }
        match self.remaining.first_element {
            Some(_) => "an element segment changes an imported table before",
            None => "the module's data lies so far apart that an image of it would be large",
        }
    }
}
