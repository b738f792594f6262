//! Computes the image: does the steps of instantiation that have the same result every time.
//!
//! Segments are applied in order as long as they are static. The first one that depends on an
//! import, or that would trap, ends that: it and all later ones are left for the runtime, so that
//! the specified order holds.
//!
//! Memory is part of the image, and so visible before the runtime applies what is left of the
//! element segments. That could be observed in one case only: an element segment publishes
//! functions through an *imported* table, and a later step traps. The instance is dead then, but
//! its functions are not. So if any dynamic element segment targets an imported table, no data
//! segment is applied here. A dynamic segment into an own table publishes nothing: if it traps,
//! nobody ever sees the instance.

use super::image::{Extent, InitialImage, MemoryImage, Remaining};
use super::layout::{DropFlag, ELEMENT_SIZE, GlobalPlace, HOST, Layout, MemoryPlace, TablePlace, func_record, object};
use crate::base::sparse::SparseBytes;
use crate::module::{
    ConstExpr, Contents, ElementItems, MemoryType, ModuleInfo, RefKind, SegmentMode, Surroundings, ValType, WASM_PAGE,
};
use std::collections::BTreeMap;

/// The most elements that a table's initial value fills in the image. A module of some bytes can
/// ask for megabytes of them; such a table is filled when an instance is made, which the store's
/// limiter can refuse.
const FILL_MAX: u64 = 1 << 17;

/// The most bytes of memory that data segments may take in the image, whatever their own size.
const SPARSE_MAX: usize = 16 << 20;
/// Beyond that, how many bytes of the image a byte of data may take. Each segment that is far from
/// the others takes a page, so a small module could ask for a large image. Its instances are filled
/// when they are made.
const SPARSE_FACTOR: usize = 8;

/// The most bytes of objects in the image. A module of some bytes can ask for gigabytes; those are
/// made when an instance is.
const OBJECTS_MAX: u64 = 64 << 20;
/// Bytes that a heap has at least for objects that code makes.
const HEAP_ROOM: u64 = 32 << 10;

/// Computes the image of a module's instances.
pub(crate) fn initialise(info: &ModuleInfo, layout: &Layout) -> InitialImage {
    let state = SparseBytes::new(layout.state_size as usize);
    let own = info.memories.get(info.num_imported_memories as usize);
    let memory_size = own.map_or(0, |memory| memory.initial_bytes().next_multiple_of(layout.page));
    let remaining = Remaining { start: info.start, ..Remaining::default() };
    let image = InitialImage { state, memory_size, remaining, ..InitialImage::default() };
    let pages = info.memories[info.num_imported_memories as usize..].iter().map(|_| Pages::new(layout.page)).collect();
    let objects = Vec::new();
    let mut builder = Builder { info, layout, image, globals: Vec::new(), objects, pages, data_bytes: 0 };
    builder.sizes();
    builder.records();
    builder.globals();
    builder.tables();
    builder.element_values();
    builder.elements();
    builder.data();
    let own = &info.memories[info.num_imported_memories as usize..];
    let mut images = own.iter().zip(builder.pages);
    builder.image.memory = images.next().map_or_else(Vec::new, |(_, pages)| pages.into_extents());
    let image =
        |(ty, pages): (&MemoryType, Pages)| MemoryImage { size: ty.initial_bytes(), extents: pages.into_extents() };
    builder.image.extra_memories = images.map(image).collect();
    builder.image.heap = info.needs_heap().then(|| heap(&builder.objects, layout.page));
    builder.image
}

/// Forgets the segments that no instance needs any more: what they hold is in the image, and
/// nothing can ask for them.
pub(crate) fn forget_segments(info: &mut ModuleInfo, layout: &Layout, remaining: &Remaining) {
    let left = |first: Option<u32>, segment: u32, mode: &SegmentMode| match mode {
        SegmentMode::Active { .. } => first.is_some_and(|first| segment >= first),
        SegmentMode::Passive | SegmentMode::Declared => false,
    };
    info.retain_segments(
        |it| layout.element_dropped(it.index).is_some() || left(remaining.first_element, it.index, &it.mode),
        |it| layout.data_dropped(it.index).is_some() || left(remaining.first_data, it.index, &it.mode),
    );
}

struct Builder<'a> {
    info: &'a ModuleInfo,
    layout: &'a Layout,
    image: InitialImage,
    /// Values of the defined globals so far; `None` where an import decides.
    globals: Vec<Option<u128>>,
    /// The objects of the heap so far, from the first one on.
    objects: Vec<u8>,
    /// The pages with data, of each memory that the module defines.
    pages: Vec<Pages>,
    /// Bytes of the data segments that were copied there.
    data_bytes: usize,
}

impl Builder<'_> {
    fn put(&mut self, at: i32, bytes: &[u8]) {
        let start = i64::from(HOST) + self.layout.host_size as i64;
        let from = (i64::from(at) - start) as usize;
        self.image.state.put(from, bytes);
    }

    fn put_word(&mut self, at: i32, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    /// Notes that a segment has been dropped, if it has a flag.
    fn drop_segment(&mut self, flag: Option<DropFlag>) {
        if let Some(DropFlag { at, mask }) = flag {
            let byte = (i64::from(at) - i64::from(HOST)) as usize - self.layout.host_size as usize;
            let [before] = self.image.state.get(byte);
            self.image.state.put(byte, &[before | mask]);
        }
    }

    fn sizes(&mut self) {
        for (i, memory) in self.info.memories.iter().enumerate() {
            if let MemoryPlace::Slot { size } = self.layout.memory(i as u32) {
                self.put_word(size, memory.initial_bytes());
            }
        }
        for (i, table) in self.info.tables.iter().enumerate() {
            if let TablePlace::State { size, .. } = self.layout.table(i as u32) {
                self.put_word(size, table.minimum);
            }
        }
    }

    /// Fills in what of records does not depend on the process: the distance to their vmctx.
    fn records(&mut self) {
        for func in self.info.num_imported_funcs..self.info.funcs.len() as u32 {
            if let Some(record) = self.layout.func_record(func) {
                self.put_word(record + func_record::CALLEE, i64::from(record).wrapping_neg() as u64);
            }
        }
    }

    fn globals(&mut self) {
        let info = self.info;
        for (defined, init) in info.global_inits.iter().enumerate() {
            let value = self.evaluate(init);
            self.globals.push(value);
            let global = self.info.num_imported_globals + defined as u32;
            let (Some(value), GlobalPlace::State(at)) = (value, self.layout.global(global)) else {
                self.image.remaining.globals.push(defined as u32);
                continue;
            };
            match self.info.globals[global as usize].content {
                ValType::V128 => self.put(at, &value.to_le_bytes()),
                ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 => self.put_word(at, value as u64),
                ValType::Ref(ty) => match ty.heap.kind() {
                    RefKind::Func | RefKind::Extern | RefKind::Any | RefKind::Exn => self.put_word(at, value as u64),
                },
            }
        }
    }

    /// Returns a constant expression's value as the state keeps it (a funcref as a distance).
    /// `None` if it depends on an import, or its objects would make the image too large.
    fn evaluate(&mut self, expr: &ConstExpr) -> Option<u128> {
        let before = self.objects.len();
        let value = expr.evaluate(&self.info.types, self);
        if value.is_none() {
            self.objects.truncate(before);
        }
        value
    }

    /// Makes the objects of element segments that code can ask for.
    fn element_values(&mut self) {
        for (segment, at) in
            (0..self.info.elements.len() as u32).filter_map(|i| Some((i, self.layout.element_values(i)?)))
        {
            let info = self.info;
            let ElementItems::Expressions(exprs) = &info.elements[segment as usize].items else { continue };
            let before = self.objects.len();
            match exprs.iter().map(|expr| self.evaluate(expr)).collect::<Option<Vec<_>>>() {
                Some(values) => {
                    (0..).zip(values).for_each(|(i, value)| self.put_word(element(at, i), value as u64));
                }
                None => {
                    self.objects.truncate(before);
                    self.image.remaining.element_values.push(segment);
                }
            }
        }
    }

    fn tables(&mut self) {
        let info = self.info;
        for (table, init) in &info.table_inits {
            let elements = info.tables[*table as usize].minimum;
            match (self.evaluate(init), self.layout.table(*table)) {
                (Some(0), TablePlace::State { .. }) => {}
                (Some(value), TablePlace::State { base, .. }) if elements <= FILL_MAX => {
                    self.put(base, &(value as u64).to_le_bytes().repeat(elements as usize));
                }
                _ => self.image.remaining.tables.push(*table),
            }
        }
    }

    fn elements(&mut self) {
        let info = self.info;
        for i in 0..info.elements.len() {
            match &info.elements[i].mode {
                SegmentMode::Passive | SegmentMode::Declared => {}
                SegmentMode::Active { target, offset } => {
                    if self.image.remaining.first_element.is_some() {
                        continue;
                    }
                    let Some((at, entries)) = self.static_elements(i, *target, offset) else {
                        self.image.remaining.first_element = Some(i as u32);
                        continue;
                    };
                    self.put(at, &entries);
                    self.drop_segment(self.layout.element_dropped(i as u32));
                }
            }
        }
    }

    /// Returns where a segment's elements go and their bytes, if both are the same in every
    /// instance.
    fn static_elements(&mut self, segment: usize, table: u32, offset: &ConstExpr) -> Option<(i32, Vec<u8>)> {
        let TablePlace::State { base, .. } = self.layout.table(table) else { return None };
        if self.image.remaining.tables.contains(&table) {
            return None;
        }
        let info = self.info;
        let items = &info.elements[segment].items;
        let at = self.evaluate(offset)? as u64;
        let end = at.checked_add(items.len() as u64)?;
        if end > info.tables[table as usize].minimum {
            return None;
        }
        let before = self.objects.len();
        let values: Option<Vec<u64>> = match items {
            ElementItems::Functions(funcs) => {
                funcs.iter().map(|func| Some(i64::from(self.layout.func_record(*func)?) as u64)).collect()
            }
            ElementItems::Expressions(exprs) => {
                exprs.iter().map(|expr| self.evaluate(expr).map(|value| value as u64)).collect()
            }
        };
        if values.is_none() {
            self.objects.truncate(before);
        }
        Some((element(base, at), values?.into_iter().flat_map(u64::to_le_bytes).collect()))
    }

    fn publishes(&self) -> bool {
        let first = self.image.remaining.first_element.map_or(usize::MAX, |first| first as usize);
        let dynamic = self.info.elements.iter().skip(first);
        dynamic.into_iter().any(|segment| match segment.mode {
            SegmentMode::Active { target, .. } => target < self.info.num_imported_tables,
            SegmentMode::Passive | SegmentMode::Declared => false,
        })
    }

    fn data(&mut self) {
        let mut applying = !self.publishes();
        let info = self.info;
        for i in 0..info.data.len() {
            let SegmentMode::Active { target, offset } = &info.data[i].mode else { continue };
            applying = applying && self.static_data(i, *target, offset);
            if applying {
                self.drop_segment(self.layout.data_dropped(i as u32));
            } else if self.image.remaining.first_data.is_none() {
                self.image.remaining.first_data = Some(i as u32);
            }
        }
    }

    /// Copies a segment into the pages, if where it goes is the same in every instance.
    fn static_data(&mut self, segment: usize, memory: u32, offset: &ConstExpr) -> bool {
        let Some(own) = memory.checked_sub(self.info.num_imported_memories) else { return false };
        let Some(at) = self.evaluate(offset) else { return false };
        let at = at as u64;
        let bytes = self.info.segment_bytes(&self.info.data[segment]);
        let size = self.info.memories[memory as usize].initial_bytes();
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > size) {
            return false;
        }
        self.data_bytes += bytes.len();
        let pages = &mut self.pages[own as usize];
        let image = (pages.bytes.len() + bytes.len() / pages.size + 2) * pages.size;
        if image > SPARSE_MAX && image > SPARSE_FACTOR * self.data_bytes {
            return false;
        }
        pages.write(at, bytes);
        true
    }
}

impl Surroundings for Builder<'_> {
    fn func(&mut self, index: u32) -> Option<u128> {
        Some(u128::from(i64::from(self.layout.func_record(index)?) as u64))
    }

    fn global(&mut self, index: u32) -> Option<u128> {
        let defined = index.checked_sub(self.info.num_imported_globals)?;
        *self.globals.get(defined as usize)?
    }

    fn object(&mut self, ty: u32, contents: Contents<'_>) -> Option<u128> {
        let ty = self.info.canonical_types[ty as usize];
        let composite = &self.info.types[ty as usize].composite;
        let reference = object::FIRST + self.objects.len() as u64;
        let room = OBJECTS_MAX.checked_sub(self.objects.len() as u64)?;
        object::append(&mut self.objects, room, ty, composite, contents)?;
        Some(reference.into())
    }
}

/// Returns where a table's element is.
fn element(base: i32, index: u64) -> i32 {
    base.wrapping_add((index * ELEMENT_SIZE) as i32)
}

/// Returns a heap without objects, where host pages have `page` bytes.
pub fn empty_heap(page: u64) -> MemoryImage {
    heap(&[], page)
}

/// Returns a heap with these objects.
fn heap(objects: &[u8], page: u64) -> MemoryImage {
    let next = object::FIRST + objects.len() as u64;
    let size = (next - object::BIAS + HEAP_ROOM).next_multiple_of(WASM_PAGE);
    let mut pages = Pages::new(page);
    pages.write(object::NEXT - object::BIAS, &next.to_le_bytes());
    pages.write(object::LIMIT - object::BIAS, &(object::BIAS + size).to_le_bytes());
    pages.write(object::FIRST - object::BIAS, objects);
    MemoryImage { size, extents: pages.into_extents() }
}

/// The pages of a memory that were written.
struct Pages {
    /// Bytes in each.
    size: usize,
    /// By their numbers.
    bytes: BTreeMap<u64, Box<[u8]>>,
}

impl Pages {
    fn new(size: u64) -> Self {
        Self { size: size as usize, bytes: BTreeMap::new() }
    }

    fn write(&mut self, mut at: u64, mut bytes: &[u8]) {
        let size = self.size as u64;
        while !bytes.is_empty() {
            let (page, within) = (at / size, (at % size) as usize);
            let len = bytes.len().min(self.size - within);
            let (now, rest) = bytes.split_at(len);
            if self.bytes.contains_key(&page) || now.iter().any(|b| *b != 0) {
                let page = self.bytes.entry(page).or_insert_with(|| vec![0; self.size].into());
                page[within..within + len].copy_from_slice(now);
            }
            at += len as u64;
            bytes = rest;
        }
    }

    /// Returns the pages that are not all zeros, with neighbours joined.
    fn into_extents(self) -> Vec<Extent> {
        let mut extents: Vec<(u64, Vec<u8>)> = Vec::new();
        for (page, bytes) in self.bytes.into_iter().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0)) {
            let offset = page * self.size as u64;
            match extents.last_mut() {
                Some((start, last)) if *start + last.len() as u64 == offset => last.extend_from_slice(&bytes),
                _ => extents.push((offset, bytes.into_vec())),
            }
        }
        extents.into_iter().map(|(offset, bytes)| Extent { offset, bytes: bytes.into() }).collect()
    }
}

#[cfg(test)]
mod tests;
