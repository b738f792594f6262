//! Computes where everything is in the instances of one module.

use super::fields::{ELEMENT_SIZE, func_record, header, import_func, import_global, import_space, import_tag};
use super::slot::{CACHE_LINE, HOST, MEMORY_RESERVED, PAGE_MAX, PAGE_MIN, STATE_MAX, TABLE_MAX, TABLE_ROOM};
use crate::base::error::CompileError;
use crate::module::{ElementSegment, ModuleInfo, ValType};
use std::ops::Range;

/// Where a global's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalPlace {
    /// In this instance's state.
    State(i32),
    /// Behind the [`import_global`] entry here.
    Import(i32),
}

/// Where a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePlace {
    /// In this instance's state.
    State {
        /// Its first element.
        base: i32,
        /// Its current size in elements, 64 bits.
        size: i32,
        /// Elements for which there is room. `minimum == capacity` means that its size is constant.
        capacity: u64,
    },
    /// Behind the [`import_space`] entry here.
    Import(i32),
}

/// Where a linear memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryPlace {
    /// In this instance's slot, at [`MEMORY`](super::MEMORY); its size in bytes, 64 bits, is in the
    /// state.
    Slot {
        /// Its current size in bytes, 64 bits.
        size: i32,
    },
    /// Behind the [`import_space`] entry here.
    Import(i32),
}

/// The places of one module's instances. All distances are from vmctx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Bytes in a host page of where the instances will be, or in several: tables that can grow
    /// start at a multiple, and the image consists of multiples.
    pub page: u64,
    /// Bytes of the host cell: whole cache lines. The state follows, in the same page if the host
    /// cell leaves room: an instance's first private page then holds both.
    pub host_size: u64,
    /// Bytes of the state that can be other than zero at the start.
    pub state_size: u64,
    /// Bytes of the state with all its tables grown to their capacity: it ends where a host page
    /// does.
    pub state_room: u64,
    /// The part of the state that code can change at any time, but for the tables. All the rest
    /// follows it.
    pub mutable: Range<i32>,
    /// The part of the state that no instruction changes, but that somebody may have to write after
    /// all for a single instance: immutable globals, and the kept elements of segments. Sizes that
    /// are constant, type numbers and funcref records are beside it, and nothing ever writes them.
    pub constants: Range<i32>,
    /// The part of the state behind all these: the tables, with room for them to grow.
    pub table_space: Range<i32>,
    imported_funcs: u32,
    import_funcs_at: i32,
    import_tags_at: i32,
    globals: Vec<GlobalPlace>,
    /// The defined globals in the order of their places.
    globals_by_place: Vec<u32>,
    tables: Vec<TablePlace>,
    memories: Vec<MemoryPlace>,
    type_ids_at: i32,
    records: Vec<Option<i32>>,
    data_flags: DropFlags,
    element_flags: DropFlags,
    /// For each segment whose elements an instance keeps, its index and where they are: sorted.
    element_values: Vec<(u32, i32)>,
}

/// The flags of some segments: a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DropFlags {
    at: i32,
    /// The segments that have one: sorted.
    segments: Vec<u32>,
}

/// The bit that is set once a segment has been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropFlag {
    /// Where its byte is.
    pub at: i32,
    /// The bit in that byte.
    pub mask: u8,
}

impl DropFlags {
    fn of(&self, segment: u32) -> Option<DropFlag> {
        let bit = self.segments.binary_search(&segment).ok()?;
        Some(DropFlag { at: self.at + (bit / 8) as i32, mask: 1 << (bit % 8) })
    }
}

impl Layout {
    /// Lays out the instances of a module.
    ///
    /// # Errors
    /// Returns an error if `page` is no size of host pages, a memory starts with more than
    /// [`MEMORY_RESERVED`] bytes, a table with more than [`TABLE_MAX`] elements, or if the host
    /// cell and the state take more than [`STATE_MAX`] bytes.
    pub fn new(module: &ModuleInfo, page: u64) -> Result<Self, CompileError> {
        if !page.is_power_of_two() || !(PAGE_MIN..=PAGE_MAX).contains(&page) {
            let message =
                format!("host pages have {page} bytes; a power of two from {PAGE_MIN} to {PAGE_MAX} is possible");
            return Err(CompileError::limit(message));
        }
        check_memories(module)?;
        check_tables(module)?;
        let mut builder = Builder {
            module,
            end: header::SIZE,
            publishes: module.publishes(),
            constant: constant_globals(module),
            layout: Self { page, ..Self::default() },
        };
        let extra_memories = builder.host_cell();
        builder.enter_own(extra_memories);
        builder.mutable_state();
        builder.constant_state();
        builder.types_and_records();
        builder.tables();
        builder.finish()
    }

    /// Returns the [`import_func`] entry of an imported function.
    pub fn import_func(&self, func: u32) -> i32 {
        debug_assert!(func < self.imported_funcs);
        self.import_funcs_at + (u64::from(func) * import_func::SIZE) as i32
    }

    /// Returns the [`func_record`] of a function, if a reference to it can exist.
    #[inline]
    pub fn func_record(&self, func: u32) -> Option<i32> {
        self.records[func as usize]
    }

    /// Returns where the engine's number for a type is, 32 bits. The type must be canonical.
    pub fn type_id(&self, ty: u32) -> i32 {
        self.type_ids_at + 4 * ty as i32
    }

    /// Returns the [`import_tag`] entry of an imported tag.
    pub fn import_tag(&self, tag: u32) -> i32 {
        self.import_tags_at + (u64::from(tag) * import_tag::SIZE) as i32
    }

    /// Returns where a global is.
    pub fn global(&self, global: u32) -> GlobalPlace {
        self.globals[global as usize]
    }

    /// Returns the global at a distance from vmctx, if a global of the state is there.
    pub fn global_at(&self, distance: i32) -> Option<u32> {
        let place = |global: &u32| match self.globals[*global as usize] {
            GlobalPlace::State(at) => at,
            GlobalPlace::Import(entry) => entry,
        };
        let found = self.globals_by_place.binary_search_by_key(&distance, place).ok()?;
        Some(self.globals_by_place[found])
    }

    /// Returns where a table is.
    pub fn table(&self, table: u32) -> TablePlace {
        self.tables[table as usize]
    }

    /// Returns where a memory is.
    pub fn memory(&self, memory: u32) -> MemoryPlace {
        self.memories[memory as usize]
    }

    /// Returns the flag of a data segment. `None` if the segment has been dropped before any code
    /// can ask, or none asks.
    pub fn data_dropped(&self, segment: u32) -> Option<DropFlag> {
        self.data_flags.of(segment)
    }

    /// Returns where the elements of a segment are in the state, each as in a table, if they are
    /// made once for an instance and not when they are used: new objects.
    pub fn element_values(&self, segment: u32) -> Option<i32> {
        let found = self.element_values.binary_search_by_key(&segment, |(index, _)| *index).ok()?;
        Some(self.element_values[found].1)
    }

    /// Returns the flag of an element segment. `None` if the segment has been dropped before any
    /// code can ask, or none asks.
    pub fn element_dropped(&self, segment: u32) -> Option<DropFlag> {
        self.element_flags.of(segment)
    }
}

/// A layout that is being made, from the start of the slot upwards.
struct Builder<'m> {
    module: &'m ModuleInfo,
    /// Where what has been placed ends, counted from the start of the slot.
    end: u64,
    /// Whether instantiation puts something into an imported table.
    publishes: bool,
    /// For each defined global, whether it is the same in every instance.
    constant: Vec<bool>,
    layout: Layout,
}

impl<'m> Builder<'m> {
    /// Makes room, and returns where it starts.
    fn take(&mut self, size: u64, align: u64) -> u64 {
        let at = self.end.next_multiple_of(align);
        self.end = at.saturating_add(size);
        at
    }

    /// Makes room, and returns where it starts as a distance from vmctx. Beyond [`STATE_MAX`] that
    /// is wrong, and `finish` fails.
    fn place(&mut self, size: u64, align: u64) -> i32 {
        HOST.wrapping_add(self.take(size, align) as i32)
    }

    fn here(&self) -> i32 {
        HOST.wrapping_add(self.end as i32)
    }

    /// Places `count` entries of `size` bytes, and returns where the first one is.
    fn entries(&mut self, count: usize, size: u64) -> (i32, impl Iterator<Item = i32> + use<>) {
        let first = self.place(size.saturating_mul(count as u64), 16);
        (first, (0..count as u64).map(move |i| first.wrapping_add((size * i) as i32)))
    }

    /// Places the entries for imports. Returns those of the memories that the module defines
    /// besides the first: they belong to instances of their own, and are imported from there.
    fn host_cell(&mut self) -> Vec<MemoryPlace> {
        let module = self.module;
        let own = module.memories.len() - module.num_imported_memories as usize;
        self.layout.imported_funcs = module.num_imported_funcs;
        (self.layout.import_funcs_at, _) = self.entries(module.num_imported_funcs as usize, import_func::SIZE);
        let (_, tables) = self.entries(module.num_imported_tables as usize, import_space::SIZE);
        let (_, memories) = self.entries(module.num_imported_memories as usize, import_space::SIZE);
        let (_, extra_memories) = self.entries(own.saturating_sub(1), import_space::SIZE);
        let (_, globals) = self.entries(module.num_imported_globals as usize, import_global::SIZE);
        (self.layout.import_tags_at, _) = self.entries(module.num_imported_tags as usize, import_tag::SIZE);
        self.layout.tables = tables.map(TablePlace::Import).collect();
        self.layout.memories = memories.map(MemoryPlace::Import).collect();
        self.layout.globals = globals.map(GlobalPlace::Import).collect();
        self.layout.host_size = self.take(0, CACHE_LINE);
        extra_memories.map(MemoryPlace::Import).collect()
    }

    /// Enters the memories, tables and globals that the module defines. Where they are is said
    /// later.
    fn enter_own(&mut self, extra_memories: Vec<MemoryPlace>) {
        let (module, layout) = (self.module, &mut self.layout);
        if module.memories.len() > module.num_imported_memories as usize {
            layout.memories.push(MemoryPlace::Slot { size: 0 });
            layout.memories.extend(extra_memories);
        }
        layout.tables.resize(module.tables.len(), TablePlace::State { base: 0, size: 0, capacity: 0 });
        layout.globals.resize(module.globals.len(), GlobalPlace::State(0));
    }

    /// Places what code can change at any time: sizes, globals and the flags of segments.
    fn mutable_state(&mut self) {
        let module = self.module;
        let start = self.here();
        self.sizes(false);
        self.globals(false);
        let publishes = self.publishes;
        let data = module.data.iter().filter(|it| it.named && it.mode.outlives_instantiation(publishes));
        self.layout.data_flags = self.drop_flags(data.map(|segment| segment.index).collect());
        let elements = self.lasting_elements().map(|segment| segment.index);
        self.layout.element_flags = self.drop_flags(elements.collect());
        self.layout.mutable = start..self.here();
    }

    /// Places what no instruction can change. An access to it should not be far from the others, so
    /// it precedes the rest.
    fn constant_state(&mut self) {
        self.sizes(true);
        let start = self.place(0, 16);
        self.globals(true);
        for segment in self.lasting_elements().filter(|segment| segment.makes_objects()) {
            let at = self.place(segment.items.len() as u64 * ELEMENT_SIZE, ELEMENT_SIZE);
            self.layout.element_values.push((segment.index, at));
        }
        self.layout.constants = start..self.here();
    }

    /// Places the sizes of the own memory and tables that are constant, or those that are not.
    fn sizes(&mut self, constant: bool) {
        let module = self.module;
        let memory = module.num_imported_memories as usize;
        if module.memories.get(memory).is_some_and(|ty| is_fixed(ty.minimum, ty.maximum) == constant) {
            self.layout.memories[memory] = MemoryPlace::Slot { size: self.place(8, 8) };
        }
        for (table, ty) in module.tables.iter().enumerate().skip(module.num_imported_tables as usize) {
            if is_fixed(ty.minimum, ty.maximum) == constant {
                // `tables` knows the rest.
                self.layout.tables[table] = TablePlace::State { base: 0, size: self.place(8, 8), capacity: 0 };
            }
        }
    }

    /// Places the defined globals that are constant, or those that are not.
    fn globals(&mut self, constant: bool) {
        let imported = self.module.num_imported_globals;
        let defined = &self.module.globals[imported as usize..];
        for (index, global) in defined.iter().enumerate() {
            if self.constant[index] != constant {
                continue;
            }
            let size = global_size(global.content);
            let at = self.place(size, size);
            let index = imported + index as u32;
            self.layout.globals[index as usize] = GlobalPlace::State(at);
            self.layout.globals_by_place.push(index);
        }
    }

    fn drop_flags(&mut self, segments: Vec<u32>) -> DropFlags {
        DropFlags { at: self.place((segments.len() as u64).div_ceil(8), 1), segments }
    }

    /// Returns the element segments that code can ask for.
    fn lasting_elements(&self) -> impl Iterator<Item = &'m ElementSegment> + use<'m> {
        let publishes = self.publishes;
        self.module.elements.iter().filter(move |it| it.named && it.mode.outlives_instantiation(publishes))
    }

    /// Places what never changes.
    fn types_and_records(&mut self) {
        let module = self.module;
        self.layout.type_ids_at = self.place(4 * module.types.len() as u64, 8);
        let (imports, defined) = module.funcs.split_at(module.num_imported_funcs as usize);
        let entries = self.layout.import_funcs_at;
        let import = |i: usize| Some(entries.wrapping_add((i as u64 * import_func::SIZE) as i32));
        self.layout.records = (0..imports.len()).map(import).collect();
        for func in defined {
            let record = func.escapes.then(|| self.place(func_record::SIZE, 16));
            self.layout.records.push(record);
        }
    }

    /// Places the elements of tables: first the tables whose size is constant.
    fn tables(&mut self) {
        let first = self.module.num_imported_tables as usize;
        let defined = &self.module.tables[first..];
        let growable = defined.iter().filter(|table| !is_fixed(table.minimum, table.maximum)).count().max(1) as u64;
        let room = TABLE_ROOM / growable / ELEMENT_SIZE;
        let (mut from, mut initial_end) = (None, self.end);
        let with = |fixed: bool| {
            defined.iter().enumerate().filter(move |(_, table)| is_fixed(table.minimum, table.maximum) == fixed)
        };
        for (i, table) in with(true).chain(with(false)) {
            let declared = table.maximum.unwrap_or(TABLE_MAX).min(TABLE_MAX);
            let most = declared.min(room).max(table.minimum);
            let is_fixed = is_fixed(table.minimum, table.maximum);
            let start = self.take(most * ELEMENT_SIZE, if is_fixed { 16 } else { self.layout.page });
            let at = HOST.wrapping_add(start as i32);
            if let TablePlace::State { base, capacity, .. } = &mut self.layout.tables[first + i] {
                (*base, *capacity) = (at, most);
            }
            from.get_or_insert(at);
            initial_end = initial_end.max(start + table.minimum * ELEMENT_SIZE);
        }
        self.layout.state_size = initial_end - self.layout.host_size;
        self.layout.table_space = from.unwrap_or(self.here())..self.here();
    }

    fn finish(mut self) -> Result<Layout, CompileError> {
        let end = self.take(0, self.layout.page);
        if end > STATE_MAX {
            return Err(CompileError::limit(format!(
                "the instance's state (imports, globals, functions and tables) takes {end} bytes; at most {STATE_MAX} \
                 are possible"
            )));
        }
        self.layout.state_room = end - self.layout.host_size;
        Ok(self.layout)
    }
}

/// Returns for each defined global whether it is the same in every instance.
fn constant_globals(module: &ModuleInfo) -> Vec<bool> {
    let imported = module.num_imported_globals;
    let mut known: Vec<bool> = Vec::with_capacity(module.global_inits.len());
    for init in &module.global_inits {
        let follows =
            |global: u32| global.checked_sub(imported).is_some_and(|at| known.get(at as usize) == Some(&true));
        known.push(init.globals().all(follows));
    }
    let own = module.globals.iter().skip(imported as usize);
    known.iter().zip(own).map(|(known, global)| *known && !global.mutable).collect()
}

fn check_memories(module: &ModuleInfo) -> Result<(), CompileError> {
    let own = module.memories.iter().enumerate().skip(module.num_imported_memories as usize);
    match own.into_iter().find(|(_, memory)| memory.initial_bytes() > MEMORY_RESERVED) {
        None => Ok(()),
        Some((index, memory)) => Err(CompileError::limit(format!(
            "memory {index} starts with {} pages; at most {} are possible",
            memory.minimum,
            MEMORY_RESERVED / memory.page_size()
        ))),
    }
}

fn check_tables(module: &ModuleInfo) -> Result<(), CompileError> {
    let own = module.tables.iter().enumerate().skip(module.num_imported_tables as usize);
    match own.into_iter().find(|(_, table)| table.minimum > TABLE_MAX) {
        None => Ok(()),
        Some((index, table)) => Err(CompileError::limit(format!(
            "table {index} starts with {} elements; at most {TABLE_MAX} are possible",
            table.minimum
        ))),
    }
}

/// Returns the size of a global in bytes, which is also its alignment.
fn global_size(ty: ValType) -> u64 {
    match ty {
        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::Ref(_) => 8,
        ValType::V128 => 16,
    }
}

/// Returns whether a memory or table with these limits can never change its size.
fn is_fixed(minimum: u64, maximum: Option<u64>) -> bool {
    maximum == Some(minimum)
}
