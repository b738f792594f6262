//! One test for each rule by which something is static or not.

use super::*;
use crate::instance::layout::{MEMORY_RESERVED, PAGE_MIN};
use crate::module::MemoryType;
use crate::{Compiled, Compiler, Settings};
use std::ops::Range;

fn compiled(wat: &str) -> Compiled {
    let compiler = Compiler::new(&Settings::default()).unwrap();
    compiler.compile(&wat::parse_str(wat).unwrap()).unwrap_or_else(|error| panic!("{error}: {wat}"))
}

impl Compiled {
    fn word(&self, at: i32) -> i64 {
        let from = (i64::from(at) - i64::from(HOST)) as usize - self.layout.host_size as usize;
        i64::from_le_bytes(self.image.state.get(from))
    }

    fn global(&self, global: u32) -> i64 {
        let GlobalPlace::State(at) = self.layout.global(global) else { panic!("an imported global") };
        self.word(at)
    }

    fn element(&self, table: u32, element: i32) -> i64 {
        let TablePlace::State { base, .. } = self.layout.table(table) else { panic!("an imported table") };
        self.word(base + 8 * element)
    }

    fn record(&self, func: u32) -> i64 {
        self.layout.func_record(func).unwrap().into()
    }

    fn dropped(&self, flag: Option<DropFlag>) -> bool {
        flag.is_none_or(|DropFlag { at, mask }| {
            let byte = (i64::from(at) - i64::from(HOST)) as usize - self.layout.host_size as usize;
            self.image.state.get::<1>(byte)[0] & mask != 0
        })
    }

    fn dropped_elements(&self, segments: u32) -> Vec<u8> {
        (0..segments).map(|i| self.dropped(self.layout.element_dropped(i)).into()).collect()
    }

    fn dropped_data(&self, segments: u32) -> Vec<u8> {
        (0..segments).map(|i| self.dropped(self.layout.data_dropped(i)).into()).collect()
    }

    /// `len` bytes of memory 0.
    fn memory(&self, at: u64, len: u64) -> Vec<u8> {
        let byte = |at: u64| {
            let extent = self.image.memory.iter().find(|e| (e.offset..e.offset + e.bytes.len() as u64).contains(&at));
            extent.map_or(0, |e| e.bytes[(at - e.offset) as usize])
        };
        (at..at + len).map(byte).collect()
    }
}

#[test]
fn the_state_begins_with_the_sizes_and_is_as_long_as_the_layout_says() {
    let module = compiled("(module (memory 3) (table 5 funcref) (table 7 7 externref))");
    assert_eq!(module.image.state.len() as u64, module.layout.state_size);
    let MemoryPlace::Slot { size } = module.layout.memory(0) else { panic!("an imported memory") };
    assert_eq!(module.word(size), 3 * 65_536);
    let sizes = (0..2).map(|table| match module.layout.table(table) {
        TablePlace::State { size, .. } => module.word(size),
        TablePlace::Import(_) => panic!("an imported table"),
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn the_largest_memory_is_described() {
    let module = compiled("(module (memory 65536))");
    let MemoryPlace::Slot { size } = module.layout.memory(0) else { panic!("an imported memory") };
    assert_eq!(module.word(size) as u64, MEMORY_RESERVED);
    assert_eq!(module.image.memory, []);
}

#[test]
fn a_record_knows_the_way_to_its_vmctx_and_nothing_of_the_process() {
    let module = compiled("(module (func (export \"f\")))");
    let record = module.layout.func_record(0).unwrap();
    assert_eq!(module.word(record + func_record::CALLEE), -i64::from(record));
    for field in [func_record::CODE, func_record::TYPE_ID, func_record::ENTRY] {
        assert_eq!(module.word(record + field), 0);
    }
}

#[test]
fn constants_are_folded() {
    let module = compiled(
        "(module
            (global i32 (i32.mul (i32.const -3) (i32.add (i32.const 4) (i32.const 3))))
            (global i64 (i64.sub (i64.const 2) (i64.const 5)))
            (global f32 (f32.const -0)) (global f64 (f64.const 1)))",
    );
    assert_eq!(module.global(0) as i32, -21);
    assert_eq!(module.global(0) >> 32, 0, "an i32 is kept as 32 bits and zeros");
    assert_eq!(module.global(1), -3);
    assert_eq!(module.global(2), 0x8000_0000);
    assert_eq!(module.global(3) as u64, 1_f64.to_bits());
}

#[test]
fn a_funcref_is_a_distance_and_null_is_zero() {
    let module = compiled(
        "(module (import \"a\" \"b\" (func)) (func)
            (global funcref (ref.func 0)) (global funcref (ref.func 1))
            (global funcref (ref.null func)) (global externref (ref.null extern)))",
    );
    let globals: Vec<i64> = (0..4).map(|global| module.global(global)).collect();
    assert_eq!(globals, [module.record(0), module.record(1), 0, 0]);
    assert!(globals[0] != 0 && globals[1] != 0);
}

#[test]
fn a_global_that_depends_on_an_import_is_dynamic() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global i32))
            (global i32 (i32.const 1)) (global i32 (global.get 0)) (global i32 (i32.add (global.get 0) (i32.const 1))))",
    );
    assert_eq!(module.image.remaining.globals, [1, 2]);
    assert_eq!(module.global(1), 1);
}

#[test]
fn a_global_may_follow_from_an_earlier_one() {
    let module = compiled("(module (global i32 (i32.const 1)) (global i32 (i32.add (global.get 0) (global.get 0))))");
    assert_eq!(module.global(1), 2);
    assert_eq!(module.image.remaining.globals, []);
}

#[test]
fn a_table_starts_with_the_value_it_is_given() {
    let module = compiled(
        "(module (type $t (func)) (func $a (type $t)) (func $b (type $t)) (table 3 5 (ref $t) (ref.func $a))
            (table 2 funcref (ref.null func)) (elem (i32.const 1) (ref $t) (ref.func $b)))",
    );
    let elements: Vec<i64> = (0..3).map(|i| module.element(0, i)).collect();
    assert_eq!(elements, [module.record(0), module.record(1), module.record(0)]);
    assert_eq!([module.element(1, 0), module.element(1, 1)], [0, 0]);
    assert_eq!((module.image.remaining.tables, module.image.remaining.first_element), (vec![], None));
}

#[test]
fn a_table_whose_first_elements_depend_on_an_import_is_dynamic_and_so_are_its_segments() {
    let module = compiled(
        "(module (import \"a\" \"g\" (global funcref)) (func $f) (table 2 funcref) (table 3 funcref (global.get 0))
            (elem (table 0) (i32.const 0) func $f) (elem (table 1) (i32.const 0) func $f)
            (elem (table 0) (i32.const 1) func $f))",
    );
    assert_eq!((module.image.remaining.tables.clone(), module.image.remaining.first_element), (vec![1], Some(1)));
    assert_eq!([module.element(0, 0), module.element(0, 1)], [module.record(0), 0]);
    assert_eq!(module.dropped_elements(3), [1, 1, 1], "no code can ask");
}

#[test]
fn static_element_segments_are_applied_in_order() {
    let module = compiled(
        "(module (func $a) (func $b) (table 4 funcref)
            (elem (i32.const 1) func $a $a) (elem (i32.const 2) func $b)
            (elem (i32.const 1) funcref (ref.null func)) (elem (i32.const 4) func))",
    );
    let elements: Vec<i64> = (0..4).map(|element| module.element(0, element)).collect();
    assert_eq!(elements, [0, 0, module.record(1), 0]);
    assert_eq!(module.dropped_elements(4), [1, 1, 1, 1]);
    assert_eq!(module.image.remaining.first_element, None);
}

#[test]
fn declared_element_segments_are_dropped_and_passive_ones_are_not() {
    let module = compiled("(module (func $f (elem.drop 0) (elem.drop 1)) (elem declare func $f) (elem func $f))");
    assert_eq!(module.dropped_elements(2), [1, 0]);
    assert_eq!(module.image.remaining.first_element, None);
}

#[test]
fn from_the_first_dynamic_element_segment_on_all_active_ones_are_dynamic() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global i32)) (func $f (elem.drop 1)) (table 4 funcref)
            (elem (i32.const 0) func $f) (elem func $f) (elem (global.get 0) func $f)
            (elem (i32.const 1) func $f) (elem declare func $f))",
    );
    assert_eq!(module.image.remaining.first_element, Some(2));
    assert_eq!(module.dropped_elements(5), [1, 0, 1, 1, 1]);
    assert_eq!(module.element(0, 0), module.record(0));
    assert_eq!(module.element(0, 1), 0);
}

#[test]
fn an_element_segment_out_of_bounds_is_dynamic() {
    let module = compiled("(module (func $f) (table 2 9 funcref) (elem (i32.const 1) func $f $f))");
    assert_eq!(module.image.remaining.first_element, Some(0));
    assert_eq!(module.element(0, 1), 0, "nothing of it is applied");
    let module = compiled("(module (table 2 funcref) (elem (i32.const 3) func))");
    assert_eq!(module.image.remaining.first_element, Some(0), "not even if it is empty");
}

#[test]
fn an_element_that_depends_on_an_import_makes_its_segment_dynamic() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global funcref)) (func $f) (table 2 funcref)
            (elem (i32.const 0) funcref (ref.func $f) (global.get 0)))",
    );
    assert_eq!(module.image.remaining.first_element, Some(0));
    assert_eq!(module.element(0, 0), 0, "nothing of it is applied");
}

#[test]
fn an_element_offset_is_unsigned() {
    let module = compiled("(module (table 2 funcref) (elem (i32.const -1) func))");
    assert_eq!(module.image.remaining.first_element, Some(0));
}

#[test]
fn static_data_segments_are_applied_in_order_and_dropped() {
    let module = compiled(
        "(module (memory 1) (data (i32.const 4) \"abcd\") (data \"passive\") (data (i32.const 6) \"XY\")
            (data (i32.const 7) \"\\00\") (data (i32.const 65536) \"\") (func (data.drop 1)))",
    );
    assert_eq!(module.memory(3, 6), b"\0abX\0\0");
    assert_eq!(module.dropped_data(5), [1, 0, 1, 1, 1]);
    assert_eq!(module.image.remaining.first_data, None);
}

#[test]
fn only_passive_segments_that_are_named_have_flags_a_bit_each_and_are_described_at_run_time() {
    let active = "(data (i32.const 1) \"x\") (elem (i32.const 1) func $f) ".repeat(1000);
    let passive = "(data \"passive\") (elem func $f)".repeat(9);
    let others = "(data \"nobody asks for it\") (elem func $f)".repeat(99);
    let names: String = (1000..1009).map(|i| format!("(data.drop {i}) (elem.drop {i})")).collect();
    let module = compiled(&format!(
        "(module (memory 1) (table 9 funcref) (func $f {names}) {active} {passive} {active} {others})"
    ));
    // The sizes of memory and table, and nine bits of each kind.
    assert_eq!(module.layout.mutable.len(), 8 + 8 + 2 + 2);
    let flags: Vec<Option<DropFlag>> = (0..2108).map(|i| module.layout.data_dropped(i)).collect();
    assert!(flags[..1000].iter().chain(&flags[1009..]).all(Option::is_none));
    let distinct: std::collections::BTreeSet<(i32, u8)> = (1000..1009)
        .flat_map(|i| [module.layout.data_dropped(i), module.layout.element_dropped(i)])
        .map(|flag| flag.map(|DropFlag { at, mask }| (at, mask)).unwrap())
        .collect();
    assert_eq!(distinct.len(), 18, "no two share a bit");
    assert!(distinct.iter().all(|(at, mask)| module.layout.mutable.contains(at) && mask.is_power_of_two()));
    assert_eq!((module.module.data.len(), module.module.elements.len()), (9, 9));
    assert_eq!(module.module.data_bytes.len(), 9 * b"passive".len());
    assert_eq!(module.module.data_segment(1003).map(|it| module.module.segment_bytes(it)), Some(&b"passive"[..]));
    assert_eq!((module.module.data_segment(999), module.module.element_segment(1009)), (None, None));
}

#[test]
fn a_reset_copies_only_what_an_instruction_can_change() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global $imported i32)) (memory 3 3) (table 5 5 funcref) (table 5 6 funcref)
            (global (mut i32) (i32.const 1)) (global i64 (i64.const 2)) (global (mut v128) (v128.const i64x2 3 3))
            (global v128 (v128.const i64x2 4 4)) (global (mut i64) (i64.const 5)) (global i32 (global.get $imported))
            (global i32 (i32.add (global.get $imported) (i32.const 1))) (global i64 (global.get 2)) (global funcref
            (ref.func 0)) (func) (export \"g\" (global 2)))",
    );
    let Layout { mutable, constants, .. } = &module.layout;
    let state = |range: &Range<i32>, place| matches!(place, GlobalPlace::State(at) if range.contains(&at));
    let globals = |range| (0..10).filter(|global| state(range, module.layout.global(*global))).collect::<Vec<u32>>();
    assert_eq!(globals(mutable), [1, 3, 5, 6, 7], "those that can be set, and those that an import decides");
    assert_eq!(globals(constants), [2, 4, 8, 9]);
    // Eight bytes each but for the vector, and the size of one table.
    assert!((5 * 8 + 16..=5 * 8 + 16 + 8).contains(&mutable.len()), "{mutable:?}");
    assert!(mutable.end <= constants.start && constants.end <= module.layout.table_space.start);
    let MemoryPlace::Slot { size } = module.layout.memory(0) else { panic!("an imported memory") };
    let sizes = [0, 1].map(|table| match module.layout.table(table) {
        TablePlace::State { size, .. } => size,
        TablePlace::Import(_) => panic!("an imported table"),
    });
    assert_eq!([size, sizes[0], sizes[1]].map(|at| mutable.contains(&at)), [false, false, true]);
    assert_eq!([size, sizes[0], sizes[1]].map(|at| module.word(at)), [3 * 65_536, 5, 5]);
    assert_eq!([1, 2, 3, 4, 5, 8].map(|global| module.global(global)), [1, 2, 3, 4, 5, 2]);
    for global in 1..10 {
        let GlobalPlace::State(at) = module.layout.global(global) else { panic!("an imported global") };
        assert_eq!(module.layout.global_at(at), Some(global));
        assert_eq!(module.layout.global_at(at + 1), None);
    }
}

#[test]
fn active_segments_have_flags_where_a_failed_instance_leaves_functions_behind() {
    let module = compiled(
        "(module (import \"a\" \"b\" (table 1 funcref)) (memory 1)
            (func $f (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop 0))
            (elem (i32.const 0) func $f) (data (i32.const 65536) \"abc\") (elem (i32.const 1) func $f)
            (data (i32.const 65536) \"def\"))",
    );
    assert_eq!((module.dropped_elements(1), module.dropped_data(1)), (vec![0], vec![0]));
    assert_eq!((module.layout.element_dropped(1), module.layout.data_dropped(1)), (None, None), "nothing names these");
    assert_eq!((module.module.data.len(), module.module.elements.len()), (2, 2), "they are still to be applied");
}

#[test]
fn a_failed_instance_keeps_the_objects_of_active_segments_too_if_it_leaves_functions_behind() {
    let module = |table: &str| {
        with_objects(&format!(
            "(module (type $box (struct (field i32))) (import \"a\" \"b\" (table $imported 1 funcref))
                (table $own 1 funcref) (table $t 1 anyref) (func $f (unreachable) (table.init $t 1))
                (elem (table {table}) (i32.const 0) func $f)
                (elem (table $t) (i32.const 1) anyref (struct.new $box (i32.const 1)))
                (elem (table $t) (i32.const 1) anyref (struct.new $box (i32.const 2))))"
        ))
    };
    let kept = |module: &Compiled| [1, 2].map(|segment| module.layout.element_values(segment).is_some());
    assert_eq!(kept(&module("$imported")), [true, false], "nothing names the other");
    assert_eq!(kept(&module("$own")), [false, false]);
}

#[test]
fn what_remains_to_be_applied_is_still_described() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global i32)) (memory 1)
            (data (i32.const 0) \"a\") (data (global.get 0) \"b\") (data (i32.const 2) \"c\"))",
    );
    let left: Vec<u32> = module.module.data.iter().map(|segment| segment.index).collect();
    assert_eq!((left, &*module.module.data_bytes), (vec![1, 2], &b"bc"[..]));
}

#[test]
fn from_the_first_dynamic_data_segment_on_all_active_ones_are_dynamic() {
    let module = compiled(
        "(module (import \"a\" \"b\" (global i32)) (memory 1)
            (data (i32.const 0) \"a\") (data (global.get 0) \"b\") (data (i32.const 2) \"c\"))",
    );
    assert_eq!(module.image.remaining.first_data, Some(1));
    assert_eq!(module.dropped_data(3), [1, 1, 1]);
    assert_eq!(module.memory(0, 4), b"a\0\0\0");
}

#[test]
fn data_outside_the_initial_memory_is_dynamic() {
    let cases = ["(data (i32.const 65535) \"ab\")", "(data (i32.const 65537) \"\")", "(data (i32.const -1) \"a\")"];
    for segment in cases {
        let module = compiled(&format!("(module (memory 1 2) {segment} (data (i32.const 0) \"a\"))"));
        assert_eq!(module.image.remaining.first_data, Some(0), "{segment}");
        assert_eq!(module.image.memory, []);
    }
}

#[test]
fn data_of_an_imported_memory_is_dynamic() {
    let module = compiled("(module (import \"a\" \"b\" (memory 1)) (data (i32.const 0) \"a\"))");
    assert_eq!(module.image.remaining.first_data, Some(0));
    assert_eq!(module.image.memory, []);
}

#[test]
fn data_waits_for_elements_that_publish_functions() {
    let module = compiled(
        "(module (import \"a\" \"b\" (table 1 funcref)) (func $f (data.drop 0)) (memory 1)
            (elem (i32.const 0) func $f) (data (i32.const 0) \"a\"))",
    );
    assert_eq!(module.image.remaining.first_element, Some(0));
    assert_eq!(module.image.remaining.first_data, Some(0));
    assert_eq!((module.dropped_data(1), module.image.memory.len()), (vec![0], 0));
}

#[test]
fn data_does_not_wait_for_elements_of_an_own_table() {
    let module = compiled(
        "(module (import \"a\" \"b\" (table 1 funcref)) (import \"a\" \"c\" (global i32)) (func $f)
            (table $own 1 funcref) (memory 1)
            (elem (table $own) (global.get 0) func $f) (data (i32.const 0) \"a\"))",
    );
    assert_eq!(module.image.remaining.first_element, Some(0));
    assert_eq!(module.image.remaining.first_data, None);
    assert_eq!(module.memory(0, 1), b"a");
}

#[test]
fn memory_is_kept_as_pages_that_are_not_zero() {
    let module = compiled(
        "(module (memory 65536)
            (data (i32.const 0x1fff) \"ab\") (data (i32.const 0x3000) \"\\00\\00\")
            (data (i32.const 0x5000) \"c\") (data (i32.const -1) \"d\"))",
    );
    let extents: Vec<(u64, usize)> = module.image.memory.iter().map(|e| (e.offset, e.bytes.len())).collect();
    assert_eq!(extents, [(0x1000, 0x2000), (0x5000, 0x1000), (0xffff_f000, 0x1000)]);
    assert_eq!(module.memory(0x1ffe, 4), b"\0ab\0");
    assert_eq!(module.memory(0xffff_ffff, 1), b"d");
}

#[test]
fn a_page_that_becomes_zero_again_is_not_kept() {
    let module = compiled("(module (memory 1) (data (i32.const 9) \"ab\") (data (i32.const 9) \"\\00\\00\"))");
    assert_eq!(module.image.memory, []);
    assert_eq!(module.dropped_data(2), [1, 1]);
}

#[test]
fn a_described_memory_may_not_be_larger_than_its_address_space() {
    let compiler = Compiler::new(&Settings::default()).unwrap();
    for (minimum, possible) in [(65_536, true), (65_537, false), (u64::MAX, false)] {
        let memories = vec![MemoryType { minimum, ..MemoryType::default() }];
        let info = ModuleInfo { memories, ..ModuleInfo::default() };
        assert_eq!(compiler.without_code(info).is_ok(), possible, "{minimum}");
    }
}

#[test]
fn a_small_module_cannot_ask_for_a_large_table_in_the_image() {
    let table = |elements: u64| compiled(&format!("(module (table {elements} funcref (ref.func 0)) (func))"));
    assert_eq!(table(FILL_MAX).image.remaining.tables, vec![]);
    let large = table(FILL_MAX + 1);
    assert_eq!(large.image.remaining.tables, vec![0]);
    assert_eq!(large.element(0, 0), 0);
    // Null is what fresh memory is anyway.
    assert_eq!(compiled("(module (table 10000000 funcref (ref.null func)))").image.remaining.tables, vec![]);
}

#[test]
fn a_small_module_cannot_ask_for_a_large_memory_image() {
    let segments = |count: u32, apart: u32| {
        let data: String = (0..count).map(|i| format!("(data (i32.const {}) \"x\")", i * apart)).collect();
        compiled(&format!("(module (memory 65536) {data})"))
    };
    // A page each: more than 16 MiB for some thousand bytes.
    let sparse = segments(6000, 8192);
    let first = sparse.image.remaining.first_data.expect("some are left for the instance");
    assert!((first as usize) < SPARSE_MAX / PAGE_MIN as usize, "{first}");
    assert!(sparse.image.memory.iter().map(|extent| extent.bytes.len()).sum::<usize>() <= SPARSE_MAX);
    // As many that lie close together.
    assert_eq!(segments(6000, 64).image.remaining.first_data, None);
}

/// The image of a module with objects.
fn with_objects(wat: &str) -> Compiled {
    let mut features = crate::Features::default();
    features.set(crate::Feature::Gc, true);
    let compiler = Compiler::new(&Settings { features, ..Settings::default() }).unwrap();
    compiler.compile(&wat::parse_str(wat).unwrap()).unwrap_or_else(|error| panic!("{error}: {wat}"))
}

impl Compiled {
    /// The bytes of the heap, from its first accessible one to the end of the last page with
    /// objects.
    fn heap(&self) -> &[u8] {
        let [extent] = &self.image.heap.as_ref().unwrap().extents[..] else { panic!("one extent") };
        assert_eq!(extent.offset, 0);
        &extent.bytes
    }
}

#[test]
fn objects_of_constant_expressions_are_in_the_heap_and_references_are_their_offsets() {
    let module = with_objects(
        "(module (type $pair (struct (field (mut i8)) (field funcref))) (type $bytes (array i8))
            (func $f) (elem declare func $f)
            (global (ref $pair) (struct.new $pair (i32.const 0x1ff) (ref.func $f)))
            (global (ref $bytes) (array.new $bytes (i32.const 7) (i32.const 3)))
            (global anyref (global.get 1)) (global i31ref (ref.i31 (i32.const -1)))
            (table 2 (ref $pair) (struct.new_default $pair))
            (elem (table 0) (i32.const 1) (ref $pair) (item global.get 0))
            (elem anyref (array.new_fixed $bytes 1 (i32.const 9))) (elem anyref (struct.new_default $pair))
            (func (elem.drop 2)))",
    );
    assert_eq!(module.image.remaining, Remaining::default());
    let [pair, bytes] = [object::FIRST as i64, object::FIRST as i64 + 24];
    assert_eq!([0, 1, 2, 3].map(|i| module.global(i)), [pair, bytes, bytes, 0xffff_ffff]);
    assert_eq!([module.element(0, 0), module.element(0, 1)], [bytes + 16, pair]);
    let kept = module.layout.element_values(2).expect("a passive segment with a new object");
    assert_eq!(module.word(kept), bytes + 16 + 24);
    assert!(module.layout.constants.contains(&kept));
    assert_eq!(module.layout.element_values(1), None, "an active segment keeps nothing");
    assert_eq!(module.layout.element_values(3), None, "nothing can ask for them");
    let heap = module.heap();
    let word = |at: usize| u64::from_le_bytes(heap[at..at + 8].try_into().unwrap());
    assert_eq!(word(0), bytes as u64 + 16 + 24 + 16, "the next object");
    assert_eq!(word(8), object::BIAS + module.image.heap.as_ref().unwrap().size);
    assert_eq!(word(16), 0, "the type of the first one, by its index");
    assert_eq!(heap[24], 0xff, "a packed integer without its upper bits");
    assert_eq!(word(32) as i64, module.record(0), "a function as a distance");
    assert_eq!(word(40), 3 << 32 | 1 << 31 | 1, "an array with its length");
    assert_eq!(heap[48..51], [7, 7, 7]);
}

#[test]
fn objects_that_depend_on_imports_or_are_too_large_are_made_for_each_instance() {
    let module = with_objects(
        r#"(module (import "a" "b" (global $base i32)) (type $bytes (array i8)) (type $box (struct (field (ref $bytes))))
            (global (ref $box) (struct.new $box (array.new $bytes (i32.const 1) (global.get $base))))
            (global (ref $bytes) (array.new_default $bytes (i32.const 0x7fffffff)))
            (global (ref $box) (struct.new $box (array.new_fixed $bytes 0)))
            (elem (ref $bytes) (array.new_fixed $bytes 0) (array.new_default $bytes (global.get $base)))
            (func (elem.drop 0)))"#,
    );
    let remaining = &module.image.remaining;
    assert_eq!((&remaining.globals[..], &remaining.element_values[..]), (&[0, 1][..], &[0][..]));
    let next = u64::from_le_bytes(module.heap()[..8].try_into().unwrap());
    assert_eq!(next - object::FIRST, 8 + 16, "only what is whole is there");
    let is_constant = |global| match module.layout.global(global) {
        GlobalPlace::State(at) => module.layout.constants.contains(&at),
        GlobalPlace::Import(_) => false,
    };
    assert_eq!([1, 2, 3].map(is_constant), [false, true, true], "which are too large is known later");
    assert!(with_objects("(module (type (struct)))").image.heap.is_some());
    assert!(compiled("(module (type (func)))").image.heap.is_none());
}

#[test]
fn a_large_table_with_few_elements_costs_what_they_take() {
    let module = compiled(
        "(module (table 10000000 funcref) (func $f)
           (elem (i32.const 3) func $f) (elem (i32.const 5000000) func $f) (elem (i32.const 9999999) func $f))",
    );
    assert!(module.image.remaining.is_initialised());
    assert_eq!(module.image.state.len() as u64, module.layout.state_size);
    assert!(module.image.state.len() > 80_000_000);
    let kept: usize = module.image.state.runs().iter().map(|(_, run)| run.len()).sum();
    assert!(kept < 6 * 4096, "{kept} bytes");
    assert_eq!([2, 3, 5_000_000, 9_999_999].map(|i| module.element(0, i) != 0), [false, true, true, true]);
}
