//! Where everything of an instance sits, as distances from vmctx.
//!
//! An instance lives in a *slot*: one reservation of [`SLOT_SIZE`] bytes. Compiled code holds one pointer
//! into it, vmctx, and reaches everything else at a constant distance from there.
//!
//! ```text
//!  slot + 0          0.5 GiB           1.5 GiB           2.5 GiB                   6.5 GiB       7 GiB
//!  +-----------+-----+-----------------+-----------------+-------------------------+-------------+
//!  | host cell | state ...  | guard: nothing here is ever accessible | linear memory 0 | guard    |
//!  +-----------+-----+-----------------+-----------------+-------------------------+-------------+
//!  ^ HOST            ^ STATE_END       ^ vmctx = 0       ^ MEMORY
//! ```
//!
//! vmctx itself points into the middle of the guard. From there both the state and the start of the memory
//! are within a signed 32-bit displacement, so an access to either needs no base register of its own, and
//! there are still 2 GiB of inaccessible space between anything writable and the start of the memory.
//! It also makes a null funcref cheap to catch: distance 0 from vmctx is an address that always faults.
//!
//! - The **host cell** holds what differs between two instances of a module: the stack limit, the imports.
//!   Absolute addresses are allowed here and nowhere else. It is not part of the image.
//! - The **state** is what the specification calls a module instance: sizes, globals, segment flags, tables,
//!   and the funcref records. It is part of the image, and says nothing about which slot it is in.
//!
//! This file knows nothing of mmap, of Cranelift, or of what the bytes are worth at the start (`image`).

use crate::base::error::CompileError;
use crate::module::{ModuleInfo, TableType, ValType};

const GIB: u64 = 1 << 30;

/// Bytes that a slot reserves. 16,384 of them fit below the 47-bit end of user space.
pub const SLOT_SIZE: u64 = 7 * GIB;
/// Distance from the start of a slot to its vmctx.
pub const VMCTX: u64 = 3 * GIB / 2;
/// Where the host cell, and with it the slot, starts.
pub const HOST: i32 = -(VMCTX as i32);
/// The most that host cell and state may take together.
pub const STATE_MAX: u64 = GIB / 2;
/// Where linear memory 0 starts.
pub const MEMORY: i32 = GIB as i32;
/// Bytes of address space that a 32-bit linear memory can ever use.
pub const MEMORY_RESERVED: u64 = 4 * GIB;
/// Inaccessible bytes behind them: a constant offset that ends before this needs no bounds check.
pub const GUARD: u64 = GIB / 2;
/// Bytes in a host page. Larger ones would need another layout.
pub const HOST_PAGE: u64 = 4096;
/// Bytes in a cache line.
const CACHE_LINE: u64 = 64;

/// Elements that a table may have at the most, as in other engines.
pub const TABLE_MAX: u64 = 10_000_000;
/// Address space for the growing room of all growable tables together.
const TABLE_ROOM: u64 = STATE_MAX / 2;
/// Bytes of a table element: a funcref as a distance, or the handle of an externref.
pub const ELEMENT_SIZE: u64 = 8;

/// Fields at the start of the host cell, as distances from vmctx.
pub mod header {
    use super::HOST;

    /// Pointer to the table of builtin functions.
    pub const BUILTINS: i32 = HOST;
    /// The lowest stack pointer that a Wasm function may reach.
    pub const STACK_LIMIT: i32 = HOST + 8;
    /// Pointer to the runtime's own description of the instance.
    pub const INSTANCE: i32 = HOST + 16;
    /// Pointer to the instance's store, which begins with its [`allowance`](super::allowance).
    pub const ALLOWANCE: i32 = HOST + 24;
    /// Bytes kept for these fields.
    pub const SIZE: u64 = super::CACHE_LINE;
}

/// What a store gives its instances to run on, as distances from where it is. Code looks here only if it was compiled
/// to be metered ([`Metering`](crate::Metering)).
pub mod allowance {
    /// Units of fuel that are left, 64 bits and signed: below 0 is less than nothing.
    pub const FUEL: i32 = 0;
    /// The epoch from which on the store's code has to ask whether it may go on, 64 bits.
    pub const EPOCH_DEADLINE: i32 = 8;
    /// Pointer to the engine's epoch, 64 bits, which any thread may change at any time.
    pub const EPOCH: i32 = 16;
    /// Bytes of all that.
    pub const SIZE: u64 = 24;
}

/// What an entry trampoline leaves at the start of an activation, as distances from where that is: where to resume
/// after a trap. Each is 64 bits.
pub mod activation {
    /// Frame pointer of the trampoline.
    pub const FRAME: i32 = 0;
    /// Stack pointer of the trampoline.
    pub const STACK: i32 = 8;
    /// Address of the code that resumes there.
    pub const HANDLER: i32 = 16;
    /// Where the trampoline's caller leaves the activation's address, as a distance from the trampoline's frame pointer.
    /// It is the first argument that has no register, and lies above the saved frame pointer and the return address.
    pub const FROM_FRAME: i32 = 16;
}

/// Bytes of a value in the array in which host and Wasm hand each other arguments and results.
pub const VALUE_SIZE: u64 = 16;

/// A function as something to point at: where references lead, and what an indirect call reads.
///
/// Records of defined functions are part of the state; those of imported ones open their [`import_func`] entry.
pub mod func_record {
    /// Address of the machine code (tail calling convention).
    pub const CODE: i32 = 0;
    /// Distance from this record to the vmctx that the code expects.
    pub const CALLEE: i32 = 8;
    /// The engine's number for the function's type, 32 bits.
    pub const TYPE_ID: i32 = 16;
    /// Address of the trampoline that enters the code from the host; 0 for a host function.
    pub const ENTRY: i32 = 24;
    /// Bytes of a record.
    pub const SIZE: u64 = 32;
}

/// What a host function gets in place of a vmctx.
pub mod host_context {
    /// Address of the function that an exit trampoline calls.
    pub const CALL: i32 = 0;
    /// Address of the closure.
    pub const DATA: i32 = 8;
    /// vmctx of the importing instance; 0 for a function that is reached through a reference.
    pub const IMPORTER: i32 = 16;
    /// Bytes of all that.
    pub const SIZE: u64 = 24;
}

/// The host cell's entry for an imported function.
///
/// A host function's `CALLEE` points at the entry's own `HOST` field.
pub mod import_func {
    use super::{func_record, host_context};

    /// A [`func_record`].
    pub const RECORD: i32 = 0;
    /// Absolute address of the vmctx that the code expects, for direct calls.
    pub const CALLEE: i32 = RECORD + func_record::SIZE as i32;
    /// Host functions only: a [`host_context`].
    pub const HOST: i32 = CALLEE + 8;
    /// Bytes of an entry.
    pub const SIZE: u64 = HOST as u64 + host_context::SIZE;
}

/// The host cell's entry for an imported table or memory.
pub mod import_space {
    /// Absolute address of its first element or byte; it never moves.
    pub const BASE: i32 = 0;
    /// Absolute address of its current size: 64 bits, in elements or bytes.
    pub const SIZE_AT: i32 = 8;
    /// vmctx of the instance that defines it.
    pub const OWNER: i32 = 16;
    /// Its index there, 32 bits.
    pub const INDEX: i32 = 24;
    /// Bytes of an entry.
    pub const SIZE: u64 = 32;
}

/// The host cell's entry for an imported global.
pub mod import_global {
    /// Absolute address of its value.
    pub const ADDRESS: i32 = 0;
    /// vmctx of the instance that defines it: a funcref in it is a distance from there.
    pub const OWNER: i32 = 8;
    /// Bytes of an entry.
    pub const SIZE: u64 = 16;
}

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
    /// In this instance's slot, at [`MEMORY`]; its size in bytes, 64 bits, is in the state.
    Slot {
        /// Its current size in bytes, 64 bits.
        size: i32,
    },
    /// Behind the [`import_space`] entry here.
    Import(i32),
}

/// The places of one module's instances. All distances are from vmctx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the host cell: whole cache lines. The state follows, in the same page if the host cell leaves room:
    /// an instance's first private page then holds both.
    pub host_size: u64,
    /// Bytes of the state that can be other than zero at the start.
    pub state_size: u64,
    /// Bytes of the state with all its tables grown to their capacity: it ends where a host page does.
    pub state_room: u64,
    /// The part of the state before type numbers and funcref records, which never change.
    pub mutable: std::ops::Range<i32>,
    /// The part of the state behind them: the tables, with room for them to grow.
    pub table_space: std::ops::Range<i32>,
    imported_funcs: u32,
    import_funcs_at: i32,
    globals: Vec<GlobalPlace>,
    tables: Vec<TablePlace>,
    memories: Vec<MemoryPlace>,
    type_ids_at: i32,
    records: Vec<Option<i32>>,
    data_flags_at: i32,
    element_flags_at: i32,
}

/// Hands out addresses upwards.
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, size: u64, align: u64) -> u64 {
        let at = self.0.next_multiple_of(align);
        self.0 = at.saturating_add(size);
        at
    }

    /// The same as a distance from vmctx. Beyond `STATE_MAX` the value is wrong, and `Layout::new` fails.
    fn place(&mut self, size: u64, align: u64) -> i32 {
        HOST.wrapping_add(self.take(size, align) as i32)
    }

    fn here(&self) -> i32 {
        HOST.wrapping_add(self.0 as i32)
    }
}

impl Layout {
    /// Lays out the instances of a module.
    ///
    /// # Errors
    /// When a memory starts with more than [`MEMORY_RESERVED`] bytes, when a table asks for more than [`TABLE_MAX`]
    /// elements, or all of it for more than [`STATE_MAX`] bytes.
    pub fn new(module: &ModuleInfo) -> Result<Self, CompileError> {
        Self::check_memories(module)?;
        let mut cursor = Cursor(header::SIZE);
        let mut imports = |count: u32, size: u64| {
            let first = cursor.place(size * u64::from(count), 16);
            (0..count).map(move |i| first.wrapping_add((size * u64::from(i)) as i32))
        };
        let import_funcs_at = imports(module.num_imported_funcs, import_func::SIZE).next().unwrap_or(HOST);
        let mut tables: Vec<_> =
            imports(module.num_imported_tables, import_space::SIZE).map(TablePlace::Import).collect();
        // The first memory is the slot's; the others are imported from instances that have nothing else.
        let mut memories: Vec<_> =
            imports(module.num_imported_memories, import_space::SIZE).map(MemoryPlace::Import).collect();
        let own = module.memories.len() - memories.len();
        let others = imports(own.saturating_sub(1) as u32, import_space::SIZE).map(MemoryPlace::Import);
        let others: Vec<_> = others.collect();
        let mut globals: Vec<_> =
            imports(module.num_imported_globals, import_global::SIZE).map(GlobalPlace::Import).collect();
        let host_size = cursor.take(0, CACHE_LINE);

        let mutable_from = cursor.here();
        if own > 0 {
            memories.push(MemoryPlace::Slot { size: cursor.place(8, 8) });
            memories.extend(others);
        }
        let table_sizes: Vec<i32> = (tables.len()..module.tables.len()).map(|_| cursor.place(8, 8)).collect();
        for global in &module.globals[globals.len()..] {
            let size = if global.content == ValType::V128 { 16 } else { 8 };
            globals.push(GlobalPlace::State(cursor.place(size, size)));
        }
        let data_flags_at = cursor.place(module.data.len() as u64, 1);
        let element_flags_at = cursor.place(module.elements.len() as u64, 1);
        let mutable = mutable_from..cursor.here();

        let type_ids_at = cursor.place(4 * module.types.len() as u64, 8);
        let records = Self::records(module, import_funcs_at, &mut cursor);
        let state_size = Self::tables(module, &mut tables, &table_sizes, &mut cursor)? - host_size;
        let tables_end = cursor.here();
        let base = |table: &TablePlace| match table {
            TablePlace::State { base, .. } => Some(*base),
            TablePlace::Import(_) => None,
        };
        let tables_from = tables.iter().filter_map(base).min().unwrap_or(tables_end);
        let end = cursor.take(0, HOST_PAGE);
        if end > STATE_MAX {
            return Err(CompileError::limit(format!(
                "the instance's state (imports, globals, functions and tables) takes {end} bytes; at most {STATE_MAX} are possible"
            )));
        }
        Ok(Self {
            host_size,
            state_size,
            state_room: end - host_size,
            mutable,
            table_space: tables_from..tables_end,
            imported_funcs: module.num_imported_funcs,
            import_funcs_at,
            globals,
            tables,
            memories,
            type_ids_at,
            records,
            data_flags_at,
            element_flags_at,
        })
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

    fn records(module: &ModuleInfo, import_funcs_at: i32, cursor: &mut Cursor) -> Vec<Option<i32>> {
        let place = |(index, func): (usize, &crate::module::FuncDecl)| {
            if index < module.num_imported_funcs as usize {
                Some(import_funcs_at.wrapping_add((index as u64 * import_func::SIZE) as i32))
            } else {
                func.escapes.then(|| cursor.place(func_record::SIZE, 16))
            }
        };
        module.funcs.iter().enumerate().map(place).collect()
    }

    /// Places the tables, those of constant size first, and returns where the last initial element ends.
    fn tables(
        module: &ModuleInfo,
        places: &mut Vec<TablePlace>,
        sizes: &[i32],
        cursor: &mut Cursor,
    ) -> Result<u64, CompileError> {
        let first = places.len();
        let defined = &module.tables[first..];
        let growable = defined.iter().filter(|t| !fixed(t)).count().max(1) as u64;
        let room = TABLE_ROOM / growable / ELEMENT_SIZE;
        places.resize(first + defined.len(), TablePlace::Import(0));
        let mut end = cursor.0;
        let fixed_first = |want: bool| defined.iter().enumerate().filter(move |(_, t)| fixed(t) == want);
        for (i, table) in fixed_first(true).chain(fixed_first(false)) {
            if table.minimum > TABLE_MAX {
                return Err(CompileError::limit(format!(
                    "table {} starts with {} elements; at most {TABLE_MAX} are possible",
                    first + i,
                    table.minimum
                )));
            }
            let declared = table.maximum.unwrap_or(TABLE_MAX).min(TABLE_MAX);
            let capacity = declared.min(room).max(table.minimum);
            let align = if fixed(table) { 16 } else { HOST_PAGE };
            let start = cursor.take(capacity * ELEMENT_SIZE, align);
            end = end.max(start + table.minimum * ELEMENT_SIZE);
            places[first + i] = TablePlace::State { base: HOST.wrapping_add(start as i32), size: sizes[i], capacity };
        }
        Ok(end)
    }

    /// The [`import_func`] entry of an imported function.
    pub fn import_func(&self, func: u32) -> i32 {
        debug_assert!(func < self.imported_funcs);
        self.import_funcs_at + (u64::from(func) * import_func::SIZE) as i32
    }

    /// The [`func_record`] of a function, if a reference to it can exist.
    pub fn func_record(&self, func: u32) -> Option<i32> {
        self.records[func as usize]
    }

    /// Where the engine's number for a type is, 32 bits. Ask for canonical types only.
    pub fn type_id(&self, ty: u32) -> i32 {
        self.type_ids_at + 4 * ty as i32
    }

    /// Where a global is.
    pub fn global(&self, global: u32) -> GlobalPlace {
        self.globals[global as usize]
    }

    /// Returns the global at a distance from vmctx, if a global of the state is there.
    pub fn global_at(&self, distance: i32) -> Option<u32> {
        // Imported ones come first; the others are placed in order.
        let below = |place: &GlobalPlace| match place {
            GlobalPlace::Import(_) => true,
            GlobalPlace::State(at) => *at < distance,
        };
        let index = self.globals.partition_point(below);
        (self.globals.get(index) == Some(&GlobalPlace::State(distance))).then_some(index as u32)
    }

    /// Where a table is.
    pub fn table(&self, table: u32) -> TablePlace {
        self.tables[table as usize]
    }

    /// Where a memory is.
    pub fn memory(&self, memory: u32) -> MemoryPlace {
        self.memories[memory as usize]
    }

    /// The byte that is 1 once a data segment has been dropped.
    pub fn data_dropped(&self, segment: u32) -> i32 {
        self.data_flags_at + segment as i32
    }

    /// The byte that is 1 once an element segment has been dropped.
    pub fn element_dropped(&self, segment: u32) -> i32 {
        self.element_flags_at + segment as i32
    }
}

/// Whether a table can never change its size.
fn fixed(table: &TableType) -> bool {
    table.maximum == Some(table.minimum)
}

// The promises of the picture above.
const _: () = {
    assert!(VMCTX as i64 + HOST as i64 == 0);
    assert!(VMCTX + MEMORY as u64 - STATE_MAX >= 2 * GIB);
    assert!(VMCTX + MEMORY as u64 + MEMORY_RESERVED + GUARD == SLOT_SIZE);
    assert!(SLOT_SIZE * 16_384 < 1 << 47);
    // A null funcref is vmctx itself: reading a type id there must fault.
    assert!(VMCTX > STATE_MAX);
};
