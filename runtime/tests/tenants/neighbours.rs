//! What lies after a slot belongs to somebody else: no access reaches it, wherever it ends.
//!
//! Compiled code leaves the comparison out where the guard after a memory makes up for it. So here
//! a canary stands right after the slot, in the place of the next slot's host cell, and every
//! instruction that accesses memory tries every constant offset around the guard's end, with every
//! index that could carry it there.

use crate::common::{Random, call, call_i32, each_config};
use minirt::{Config, Engine, Instance, Linker, Memory, Module, OptLevel, Ref, Store, Trap, Val};
use minirt_compiler::instance::layout::{GUARD, MEMORY, MEMORY_RESERVED, SLOT_SIZE, STATE_MAX, VMCTX, header};
use std::fmt::Write;
use std::io::Read;
use std::ops::Range;
use std::os::fd::AsRawFd;

const PAGE: usize = 4096;
/// Bytes from the start of a memory to the end of its slot.
const SLOT_END: u64 = MEMORY_RESERVED + GUARD;
/// Bytes of guard before a memory: an index that was taken for a negative number would find
/// nothing.
const BEFORE: usize = 2 << 30;
const _: () = assert!(VMCTX + MEMORY as u64 - STATE_MAX == BEFORE as u64);
/// Bytes of the canary, and what they are.
const LEN: usize = 16 * PAGE;
const BYTE: u8 = 0xb5;

/// Every instruction that loads, with the bytes that it loads and the type that it gives.
const LOADS: [(&str, u64, &str); 27] = [
    ("i32.load", 4, "i32"),
    ("i64.load", 8, "i64"),
    ("f32.load", 4, "f32"),
    ("f64.load", 8, "f64"),
    ("v128.load", 16, "v128"),
    ("i32.load8_s", 1, "i32"),
    ("i32.load8_u", 1, "i32"),
    ("i32.load16_s", 2, "i32"),
    ("i32.load16_u", 2, "i32"),
    ("i64.load8_s", 1, "i64"),
    ("i64.load8_u", 1, "i64"),
    ("i64.load16_s", 2, "i64"),
    ("i64.load16_u", 2, "i64"),
    ("i64.load32_s", 4, "i64"),
    ("i64.load32_u", 4, "i64"),
    ("v128.load8x8_s", 8, "v128"),
    ("v128.load8x8_u", 8, "v128"),
    ("v128.load16x4_s", 8, "v128"),
    ("v128.load16x4_u", 8, "v128"),
    ("v128.load32x2_s", 8, "v128"),
    ("v128.load32x2_u", 8, "v128"),
    ("v128.load8_splat", 1, "v128"),
    ("v128.load16_splat", 2, "v128"),
    ("v128.load32_splat", 4, "v128"),
    ("v128.load64_splat", 8, "v128"),
    ("v128.load32_zero", 4, "v128"),
    ("v128.load64_zero", 8, "v128"),
];

/// Every instruction that stores, with the bytes that it stores and the type that it takes.
const STORES: [(&str, u64, &str); 10] = [
    ("i32.store", 4, "i32"),
    ("i64.store", 8, "i64"),
    ("f32.store", 4, "f32"),
    ("f64.store", 8, "f64"),
    ("v128.store", 16, "v128"),
    ("i32.store8", 1, "i32"),
    ("i32.store16", 2, "i32"),
    ("i64.store8", 1, "i64"),
    ("i64.store16", 2, "i64"),
    ("i64.store32", 4, "i64"),
];

/// The bits of the lanes that are loaded and stored one at a time.
const LANES: [u64; 4] = [8, 16, 32, 64];

/// The widths of atomic accesses for each type: as instructions name them before and after the
/// operation, and in bytes.
const ATOMICS: [(&str, &[Width]); 2] = [
    ("i32", &[("", "", 4), ("8", "_u", 1), ("16", "_u", 2)]),
    ("i64", &[("", "", 8), ("8", "_u", 1), ("16", "_u", 2), ("32", "_u", 4)]),
];
type Width = (&'static str, &'static str, u64);

/// An access as the body of a function with an index, and how many bytes it touches.
struct Access {
    body: String,
    offset: u64,
    len: u64,
    /// Whether it is a trap to begin anywhere but at a multiple of the bytes that it touches.
    aligned: bool,
}

/// Returns every instruction with a constant offset.
fn accesses_at(offset: u64) -> Vec<Access> {
    let loads =
        LOADS.map(|(name, len, ty)| (format!("(global.set ${ty} ({name} $m offset={offset} (local.get 0)))"), len));
    let stores =
        STORES.map(|(name, len, ty)| (format!("({name} $m offset={offset} (local.get 0) (global.get ${ty}))"), len));
    let load_lanes = LANES.map(|bits| {
        let load = format!("(v128.load{bits}_lane $m offset={offset} 1 (local.get 0) (global.get $v128))");
        (format!("(global.set $v128 {load})"), bits / 8)
    });
    let store_lanes = LANES.map(|bits| {
        (format!("(v128.store{bits}_lane $m offset={offset} 1 (local.get 0) (global.get $v128))"), bits / 8)
    });
    let all = loads.into_iter().chain(stores).chain(load_lanes).chain(store_lanes);
    let all = all.map(|(body, len)| Access { body, offset, len, aligned: false });
    all.chain(atomic_accesses_at(offset)).collect()
}

/// Returns the atomic instructions. Those that read, modify and write differ in nothing but what
/// they make of the value.
fn atomic_accesses_at(offset: u64) -> Vec<Access> {
    let place = format!("$m offset={offset} (local.get 0)");
    let notify = format!("(global.set $i32 (memory.atomic.notify {place} (i32.const 1)))");
    let mut all = vec![Access { body: notify, offset, len: 4, aligned: true }];
    for (ty, widths) in ATOMICS {
        for &(bits, unsigned, len) in widths {
            let value = format!("(global.get ${ty})");
            let bodies = [
                format!("(global.set ${ty} ({ty}.atomic.load{bits}{unsigned} {place}))"),
                format!("({ty}.atomic.store{bits} {place} {value})"),
                format!("(global.set ${ty} ({ty}.atomic.rmw{bits}.add{unsigned} {place} {value}))"),
                format!("(global.set ${ty} ({ty}.atomic.rmw{bits}.cmpxchg{unsigned} {place} {value} {value}))"),
            ];
            all.extend(bodies.map(|body| Access { body, offset, len, aligned: true }));
        }
    }
    all
}

/// A memory and its index type. `definition` says where it comes from.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    definition: &'static str,
    wide: bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "own", definition: r#"(memory $m (export "m") 1)"#, wide: false },
    Kind { name: "as large as can be", definition: r#"(memory $m (export "m") 65536)"#, wide: false },
    Kind { name: "second", definition: r#"(memory (export "first") 1) (memory $m (export "m") 1)"#, wide: false },
    Kind { name: "imported", definition: r#"(import "e" "m" (memory $m 1)) (export "m" (memory $m))"#, wide: false },
    Kind { name: "of 64-bit indexes", definition: r#"(memory $m (export "m") i64 1)"#, wide: true },
];

/// Returns a module with a function for each access, named by its number.
fn text(kind: Kind, accesses: &[Access]) -> String {
    let index = if kind.wide { "i64" } else { "i32" };
    let mut text = format!(
        "(module {}
           (global $i32 (mut i32) (i32.const -1)) (global $i64 (mut i64) (i64.const -1))
           (global $f32 (mut f32) (f32.const -1)) (global $f64 (mut f64) (f64.const -1))
           (global $v128 (mut v128) (v128.const i64x2 -1 -1)) (func (export \"nothing\"))\n",
        kind.definition
    );
    for (number, access) in accesses.iter().enumerate() {
        writeln!(text, r#"(func (export "{number}") (param {index}) {})"#, access.body).unwrap();
    }
    text + ")"
}

/// What instances of a kind are made of.
struct Parts {
    engine: Engine,
    module: Module,
    exporter: Module,
}

impl Parts {
    fn new(engine: &Engine, text: &str) -> Self {
        let [module, exporter] =
            [text, r#"(module (memory (export "m") 1))"#].map(|text| Module::new(engine, text).unwrap());
        Self { engine: engine.clone(), module, exporter }
    }

    /// Returns an instance in a store of its own. What it imports is the memory of another
    /// instance.
    fn start(&self) -> (Store<()>, Instance, Memory) {
        let mut store = Store::new(&self.engine, ());
        let mut linker = Linker::new(&self.engine);
        if self.module.imports().next().is_some() {
            let exporter = Instance::new(&mut store, &self.exporter, &[]).unwrap();
            linker.instance(&store, "e", exporter).unwrap();
        }
        let it = linker.instantiate(&mut store, &self.module).unwrap();
        // The first call on a thread writes to the host cell.
        call(&mut store, it, "nothing", &[]).unwrap();
        let memory = it.get_memory(&store, "m").unwrap();
        (store, it, memory)
    }
}

/// Bytes that nobody may touch, right after a memory's slot.
///
/// Where slots come to be is up to the kernel: below what was mapped before, as a rule. So there is
/// first a mapping as large as a slot, and then instances until one has its memory right below it;
/// or right below the slot of its own instance, whose host cell is the canary then.
struct Canary {
    /// Kept until the end, so that none of these places is offered again.
    _rooms: Vec<Room>,
    at: *mut u8,
    content: Vec<u8>,
}

/// Address space for a slot.
struct Room(*mut libc::c_void);

impl Canary {
    fn behind(parts: &Parts) -> (Self, (Store<()>, Instance, Memory)) {
        let (mut rooms, mut elsewhere) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let room = Room::new();
            let started = parts.start();
            let (store, it, memory) = &started;
            let end = memory.data(store).as_ptr() as usize + SLOT_END as usize;
            let first = it.get_memory(store, "first").map(|first| first.data(store).as_ptr() as usize);
            let is_host_cell = first.is_some_and(|first| first - MEMORY as usize - VMCTX as usize == end);
            let canary = room.canary(end);
            rooms.push(room);
            if let Some(at) = canary {
                return (Self { _rooms: rooms, at, content: vec![BYTE; LEN] }, started);
            }
            if is_host_cell {
                let at = end as *mut u8;
                // SAFETY: a host cell starts there.
                let content = (0..header::SIZE as usize).map(|i| unsafe { at.add(i).read_volatile() }).collect();
                return (Self { _rooms: rooms, at, content }, started);
            }
            elsewhere.push(started);
        }
        panic!("none of {} slots lies below what was mapped right before it", elsewhere.len());
    }

    fn is_intact(&self) -> bool {
        // SAFETY: the range is mapped, and written to by nobody in this program who does not break
        // its rules.
        self.content.iter().enumerate().all(|(i, byte)| unsafe { self.at.add(i).read_volatile() } == *byte)
    }
}

impl Room {
    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel picks the place, and nobody refers to what is mapped there.
        let room = unsafe { libc::mmap(std::ptr::null_mut(), SLOT_SIZE as usize, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(room, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self(room)
    }

    /// Fills the bytes at an address, if they are in this room.
    fn canary(&self, address: usize) -> Option<*mut u8> {
        let offset = address.checked_sub(self.0 as usize).filter(|offset| offset + LEN <= SLOT_SIZE as usize)?;
        // SAFETY: the range lies in the room, which is nobody else's.
        unsafe {
            let at = self.0.byte_add(offset).cast::<u8>();
            assert_eq!(libc::mprotect(at.cast(), LEN, libc::PROT_READ | libc::PROT_WRITE), 0);
            at.write_bytes(BYTE, LEN);
            Some(at)
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody refers to it.
        unsafe { libc::munmap(self.0, SLOT_SIZE as usize) };
    }
}

/// Indexes with which an access ends around the end of the memory or of the slot, and the extremes.
fn indexes(access: &Access, kind: Kind, size: u64) -> Vec<u64> {
    let most = if kind.wide { u64::MAX } else { u64::from(u32::MAX) };
    let starts = [size, MEMORY_RESERVED, SLOT_END].map(|edge| {
        let ends_there = edge - access.len;
        (ends_there - 1..=ends_there + 1).chain(edge - 1..=edge + 8)
    });
    let around = starts.into_iter().flatten().map(|start| start.wrapping_sub(access.offset));
    let extremes = [0, 1, 1 << 31, (1 << 31) - 1, most - 15, most - 7, most - 1, most];
    // 64-bit indexes that are small in their lower half, and far below the memory as signed
    // numbers.
    let wide = [1 << 32, 1 << 33, (1 << 32) | 16, 1 << 63, u64::MAX << 31, u64::MAX << 30];
    let mut all: Vec<u64> = around.chain(extremes).chain(wide).filter(|index| *index <= most).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Calls every function with every index that matters: the access happens if it is inside the
/// memory, and is a trap otherwise. Returns how many there were of each.
fn try_all(engine: &Engine, kind: Kind, accesses: &[Access]) -> [usize; 2] {
    let (canary, (mut store, it, memory)) = Canary::behind(&Parts::new(engine, &text(kind, accesses)));
    let size = memory.data_size(&store) as u64;
    let mut counts = [0; 2];
    for (number, access) in accesses.iter().enumerate() {
        let func = it.get_func(&store, &number.to_string()).unwrap();
        for index in indexes(access, kind, size) {
            let end = u128::from(index) + u128::from(access.offset) + u128::from(access.len);
            let misaligned = access.aligned && end % u128::from(access.len) != 0;
            let inside = end <= u128::from(size) && !misaligned;
            let argument = if kind.wide { Val::I64(index as i64) } else { Val::I32(index as i32) };
            let result = func.call(&mut store, &[argument], &mut []);
            let about = || format!("{} memory: {} at {index:#x}: {result:?}", kind.name, access.body);
            match &result {
                Ok(()) => assert!(inside, "{}", about()),
                Err(error) => {
                    let trap = error.downcast_ref();
                    let expected =
                        trap == Some(&Trap::MemoryOutOfBounds) || trap == Some(&Trap::HeapMisaligned) && misaligned;
                    assert!(expected && !inside, "{}", about());
                }
            }
            counts[usize::from(inside)] += 1;
        }
        assert!(canary.is_intact(), "{} memory: {} wrote behind its slot", kind.name, access.body);
    }
    counts
}

/// Constant offsets around the guard's end and everywhere that arithmetic could go wrong.
fn offsets(wide: bool) -> Vec<u64> {
    let around_guard =
        [GUARD - 17, GUARD - 16].into_iter().chain(GUARD - 9..=GUARD + 9).chain([GUARD + 16, GUARD + 17]);
    let signs = [1 << 30, 1 << 31, 3 << 30].into_iter().flat_map(|at: u64| [at - 1, at]);
    let most = u64::from(u32::MAX);
    let narrow = around_guard.chain(signs).chain([0, most - 16, most - 1, most]);
    let beyond = [1 << 32, (1 << 32) + GUARD, SLOT_END, 1 << 63, u64::MAX - 16, u64::MAX];
    narrow.chain(beyond.into_iter().filter(|_| wide)).collect()
}

#[test]
fn no_constant_offset_reaches_behind_the_guard() {
    let levels = KINDS.map(|kind| (kind, OptLevel::Speed)).into_iter().chain([(KINDS[0], OptLevel::None)]);
    for (kind, level) in levels {
        let engine = Engine::new(Config::new().cranelift_opt_level(level)).unwrap();
        let accesses: Vec<Access> = offsets(kind.wide).into_iter().flat_map(accesses_at).collect();
        let [traps, successes] = try_all(&engine, kind, &accesses);
        println!("{}: {} functions, {traps} traps, {successes} accesses", kind.name, accesses.len());
        assert!(traps > 30_000 && successes > 100, "{}: {traps} traps, {successes} accesses", kind.name);
    }
}

#[test]
fn short_bulk_operations_reach_behind_no_memory_and_write_all_or_nothing() {
    for kind in KINDS {
        let index = if kind.wide { "i64" } else { "i32" };
        let length = |len: u64| format!("({index}.const {len})");
        let mut accesses = Vec::new();
        for len in 0..=70 {
            let place = |at: u64| format!("({index}.const {at})");
            let fill = format!("(memory.fill $m (local.get 0) (i32.const 0x5a) {})", length(len));
            let write = format!("(memory.copy $m $m (local.get 0) {} {})", place(0), length(len));
            let read = format!("(memory.copy $m $m {} (local.get 0) {})", place(0), length(len));
            accesses.extend([fill, write, read].map(|body| Access { body, offset: 0, len, aligned: false }));
        }
        let engine = Engine::default();
        let [traps, successes] = try_all(&engine, kind, &accesses);
        println!("{}: {traps} traps, {successes} operations", kind.name);
        assert!(traps > 900 && successes > 500, "{}: {traps} traps, {successes} operations", kind.name);
        assert_nothing_was_written(&engine, kind, &accesses);
    }
}

/// Checks that an operation that ends after the memory writes nothing, not even what lies inside.
fn assert_nothing_was_written(engine: &Engine, kind: Kind, accesses: &[Access]) {
    let (mut store, it, memory) = Parts::new(engine, &text(kind, accesses)).start();
    let size = memory.data_size(&store);
    memory.data_mut(&mut store)[..100].fill(0x77);
    memory.data_mut(&mut store)[size - 100..].fill(0x33);
    for (number, access) in accesses.iter().enumerate().filter(|(_, access)| access.len > 0) {
        for behind in 1..=access.len {
            let index = size as u64 - access.len + behind;
            let argument = if kind.wide { Val::I64(index as i64) } else { Val::I32(index as i32) };
            if !kind.wide && index > u64::from(u32::MAX) {
                continue; // There is no such index, for the memory ends where indexes do.
            }
            call(&mut store, it, &number.to_string(), &[argument]).unwrap_err();
        }
        let data = memory.data(&store);
        let intact =
            data[..100].iter().all(|byte| *byte == 0x77) && data[size - 100..].iter().all(|byte| *byte == 0x33);
        assert!(intact, "{}: {} wrote something", kind.name, access.body);
    }
}

/// Returns where the mappings of this process are that lie in a range, cut to fit it.
fn mappings(range: &Range<usize>) -> Vec<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let parse = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).unwrap());
        Some(start.max(range.start)..end.min(range.end))
    };
    maps.lines().filter_map(parse).filter(|mapping| !mapping.is_empty()).collect()
}

/// Returns whether there is anything to read at an address. The kernel is asked, for it answers
/// with an error and no signal.
fn is_readable(address: usize) -> bool {
    let (mut out, into) = std::io::pipe().unwrap();
    // SAFETY: the kernel checks the address itself.
    let written = unsafe { libc::write(into.as_raw_fd(), address as *const libc::c_void, 1) };
    if written == 1 {
        out.read_exact(&mut [0]).unwrap();
    }
    written == 1
}

/// Checks that a slot has no hole, and that nothing in the guards before and after the memory is
/// accessible.
///
/// Mappings do not tell: one of a file is inaccessible beyond the file's end. So the pages around
/// every border of mappings are tried, and some between.
fn assert_guards(memory: Memory, store: &Store<()>, random: &mut Random, when: &str) {
    let bytes = memory.data(store);
    let base = bytes.as_ptr() as usize;
    let slot = base - MEMORY as usize - VMCTX as usize..base + SLOT_END as usize;
    let found = mappings(&slot);
    let ends = found.iter().map(|mapping| mapping.end);
    let starts = found.iter().map(|mapping| mapping.start);
    assert!(starts.eq([slot.start].into_iter().chain(ends).take(found.len())), "{when}: a hole: {found:x?}");
    assert_eq!(found.last().map(|mapping| mapping.end), Some(slot.end), "{when}: {found:x?}");

    let behind = base + bytes.len().next_multiple_of(PAGE)..slot.end;
    for guard in [base - BEFORE..base, behind] {
        let borders = found.iter().flat_map(|mapping| [mapping.start, mapping.end]).chain([guard.start, guard.end]);
        let around = borders.flat_map(|border| [border - PAGE, border]);
        let some = (0..20).map(|_| guard.start + random.below((guard.len() / PAGE).max(1)) * PAGE);
        for at in around.chain(some).filter(|at| guard.contains(at)) {
            assert!(!is_readable(at), "{when}: {at:#x} in the guard {guard:x?} can be read");
        }
    }
    assert!(bytes.is_empty() || is_readable(base) && is_readable(base + bytes.len() - 1), "{when}");
}

#[test]
fn guards_stay_inaccessible_whatever_a_slot_goes_through() {
    // A state of nearly half a GiB, and one of a page; a memory that grows, and one that cannot.
    let large = r#"(module (memory (export "m") 2 300) (data (i32.const 70000) "x")
      (table 10000000 10000000 funcref) (table $t 100 funcref) (table 10000000 funcref)
      (func (export "grow") (param i32) (result i32) (drop (table.grow $t (ref.null func) (i32.const 5000)))
        (memory.grow (local.get 0)))
      (func (export "trap") (memory.fill (i32.const 0) (i32.const 1) (memory.size)) unreachable))"#;
    let small = r#"(module (memory (export "m") 1 1) (func (export "grow") (param i32) (result i32) (i32.const -1))
      (func (export "trap") (i32.store (i32.const 65532) (i32.const 1)) unreachable))"#;
    each_config(|case, _, mut config| {
        let mut random = Random(7);
        let engine = Engine::new(config.max_instances(1)).unwrap();
        let modules = [large, small].map(|text| Module::new(&engine, text).unwrap());
        for round in 0..12 {
            let module = &modules[round / 2 % 2];
            let mut store = Store::new(&engine, ());
            let it = Instance::new(&mut store, module, &[]).unwrap();
            let memory = it.get_memory(&store, "m").unwrap();
            assert_guards(memory, &store, &mut random, &format!("{case}: at the start of round {round}"));
            call_i32(&mut store, it, "grow", &[round as i32 * 7]).unwrap();
            assert_guards(memory, &store, &mut random, &format!("{case}: grown in round {round}"));
            call(&mut store, it, "trap", &[]).unwrap_err();
            memory.data_mut(&mut store).fill(round as u8);
            assert_guards(memory, &store, &mut random, &format!("{case}: written to in round {round}"));
            it.reset(&mut store).unwrap();
            assert_guards(memory, &store, &mut random, &format!("{case}: reset in round {round}"));
        }
    });
}

/// Returns a table that cannot grow, one that can, between others, and one at the end of the state,
/// with functions that access each.
fn tables() -> String {
    let access = |table: &str| {
        format!(
            r#"(func (export "{table} get") (param i32) (drop (table.get ${table} (local.get 0))))
              (func (export "{table} set") (param i32) (table.set ${table} (local.get 0) (ref.func $g)))
              (func (export "{table} call") (param i32) (drop (call_indirect ${table} (result i32) (local.get 0))))
              (func (export "{table} fill") (param i32)
                (table.fill ${table} (local.get 0) (ref.func $g) (i32.const 1)))
              (func (export "{table} copy to") (param i32)
                (table.copy ${table} $after (local.get 0) (i32.const 0) (i32.const 1)))
              (func (export "{table} copy from") (param i32)
                (table.copy ${table} ${table} (i32.const 0) (local.get 0) (i32.const 1)))
              (func (export "{table} init") (param i32)
                (table.init ${table} $segment (local.get 0) (i32.const 0) (i32.const 1)))
              (func (export "{table} grow") (param i32) (result i32)
                (table.grow ${table} (ref.func $g) (local.get 0)))"#
        )
    };
    format!(
        r#"(module
          (table $before 3 3 externref)
          (table $fixed 10 10 funcref) (table $after (export "after") 3 3 funcref)
          (table $grows 3 500 funcref) (table $behind (export "behind") 3 500 funcref) (table $last 3 600 funcref)
          (elem (table $after) (i32.const 0) func $f $f $f)
          (elem (table $behind) (i32.const 0) func $f $f $f)
          (elem $segment func $g $g $g)
          (func $f (export "f") (result i32) (i32.const 1))
          (func $g (result i32) (i32.const 2))
          {} {} {})"#,
        access("fixed"),
        access("grows"),
        access("last")
    )
}

#[test]
fn no_index_reaches_behind_a_table_that_is_as_large_as_can_be() {
    let engine = Engine::default();
    let module = Module::new(&engine, tables()).unwrap();
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    for (table, sizes) in [("fixed", &[10][..]), ("grows", &[3, 499, 500]), ("last", &[3, 511, 512, 513, 600])] {
        let mut now = sizes[0];
        for &size in sizes {
            assert_eq!(call_i32(&mut store, it, &format!("{table} grow"), &[size - now]).unwrap(), now);
            now = size;
            for op in ["get", "set", "call", "fill", "copy to", "copy from", "init"] {
                // Indexes that wrap around when they are made bytes of 32 bits, too.
                let wrapping = [1 << 29, 1 << 28, (1 << 29) + size, i32::MIN, i32::MAX, -1, -size];
                for index in (size..size + 8).chain(wrapping) {
                    let name = format!("{table} {op}");
                    let error = call(&mut store, it, &name, &[Val::I32(index)]).unwrap_err();
                    let expected = if op == "call" { Trap::UndefinedElement } else { Trap::TableOutOfBounds };
                    assert_eq!(error.downcast_ref(), Some(&expected), "{name} {index} of {size}");
                }
            }
            // The last element is there.
            call(&mut store, it, &format!("{table} set"), &[Val::I32(size - 1)]).unwrap();
            call(&mut store, it, &format!("{table} call"), &[Val::I32(size - 1)]).unwrap();
            assert_eq!(called(&mut store, it, "after"), [1; 3]);
            assert_eq!(called(&mut store, it, "behind"), [1; 3]);
        }
        assert_eq!(call_i32(&mut store, it, &format!("{table} grow"), &[1]).unwrap(), -1);
    }
}

/// Returns what the functions in a table return.
fn called(store: &mut Store<()>, it: Instance, table: &str) -> Vec<i32> {
    let table = it.get_table(&*store, table).unwrap();
    let elements: Vec<Ref> = (0..table.size(&*store)).map(|at| table.get(&*store, at).unwrap()).collect();
    let call = |element: Ref| {
        let func = element.unwrap_func().unwrap();
        func.typed::<(), i32>(&*store).unwrap().call(&mut *store, ()).unwrap()
    };
    elements.into_iter().map(call).collect()
}
