//! What a module says about the image of its instances: what is in it, and what is left to do and
//! why.

use minirt::{Engine, Instance, Module, PageKind, RegionKind, Store};
use rustix::param::page_size;
use std::ops::Range;

/// Returns the steps that are left for each instance, and why.
fn remaining(text: &str) -> Vec<(String, &'static str)> {
    let module = Module::new(&Engine::default(), text).unwrap();
    module.image_info().remaining.into_iter().map(|step| (step.what, step.why)).collect()
}

/// Returns the host's pages that hold this range of bytes.
fn pages(bytes: Range<u64>) -> Range<u64> {
    let size = page_size() as u64;
    bytes.start / size * size..bytes.end.next_multiple_of(size)
}

#[test]
fn what_an_image_cannot_hold_has_a_reason() {
    let imports = r#"(import "" "g" (global $g i32)) (import "" "f" (global $f funcref))"#;
    for (rest, what, why) in [
        ("(global i32 (global.get $g))", "global 2", "its value depends on an import"),
        ("(table 1 funcref (global.get $f))", "first elements of table 0", "its value depends on an import"),
        ("(memory 1) (data (global.get $g) \"x\")", "data segment 0", "its offset depends on an import"),
        (
            "(memory 1) (data (i32.const 65536) \"x\")",
            "data segment 0",
            "it is out of bounds, so that instantiation traps",
        ),
        ("(table 1 funcref) (elem (global.get $g) func)", "element segment 0", "its offset depends on an import"),
        (
            "(table 1 funcref) (elem (i32.const 0) funcref (global.get $f))",
            "element segment 0",
            "one of its elements depends on an import",
        ),
        ("(func $s) (start $s)", "function 0", "it is the start function"),
    ] {
        assert_eq!(remaining(&format!("(module {imports} {rest})")), [(what.to_owned(), why)], "{rest}");
    }
    assert_eq!(remaining("(module (memory 1) (data (i32.const 0) \"x\"))"), []);
}

#[test]
fn globals_that_are_computed_from_each_other_are_evaluated_once() {
    // Each is twice the one before: 2^60 additions for whoever starts from the end.
    let doubled: String =
        (1..60).map(|i| format!("(global i64 (i64.add (global.get {0}) (global.get {0})))", i - 1)).collect();
    let text = format!(
        "(module (global i64 (i64.const 1)) {doubled} (memory i64 1) (data (global.get 59) \"x\") (data (i64.const 0) \"y\"))"
    );
    let out_of_bounds = "it is out of bounds, so that instantiation traps";
    assert_eq!(remaining(&text)[0], ("data segment 0".to_owned(), out_of_bounds));
    // And a chain that no stack is deep enough for.
    let chain: String = (1..100_000).map(|i| format!("(global i32 (global.get {}))", i - 1)).collect();
    let text = format!("(module (global i32 (i32.const 65536)) {chain} (memory 1) (data (global.get 99999) \"x\"))");
    assert_eq!(remaining(&text)[0], ("data segment 0".to_owned(), out_of_bounds));
}

#[test]
fn all_memories_are_described() {
    let text = r#"(module (import "" "" (memory 1)) (memory 2) (memory 3)
        (data (memory 1) (i32.const 4096) "x") (data (memory 2) (i32.const 70000) "y"))"#;
    let info = Module::new(&Engine::default(), text).unwrap().image_info();
    let memories: Vec<_> =
        info.memories.into_iter().map(|memory| (memory.index, memory.size, memory.extents)).collect();
    assert_eq!(memories, [(1, 131_072, vec![pages(4096..4097)]), (2, 196_608, vec![pages(70_000..70_001)])]);
}

#[test]
fn the_objects_of_an_image_are_counted() {
    let text = r#"(module (type $s (struct (field i32))) (type $a (array i64))
        (global (ref $s) (struct.new $s (i32.const 1)))
        (table 3 (ref $s) (struct.new $s (i32.const 2)))
        (global (ref $a) (array.new $a (i64.const 7) (i32.const 1000))))"#;
    let module = Module::new(&Engine::default(), text).unwrap();
    let heap = module.image_info().heap.unwrap();
    assert_eq!((heap.objects, heap.object_bytes), (3, 16 + 16 + 8008));
    assert_eq!((heap.size, heap.extents), (65_536, vec![pages(0..8192)]));
    let none = Module::new(&Engine::default(), "(module (memory 1))").unwrap();
    assert_eq!(none.image_info().heap, None);
    // Types alone make a heap, but no objects.
    let types = Module::new(&Engine::default(), "(module (type (struct)) (memory 1))").unwrap();
    assert_eq!(types.image_info().heap.map(|heap| (heap.objects, heap.object_bytes)), Some((0, 0)));
    assert_eq!(types.image_info().memories.len(), 1);
}

#[test]
fn types_are_shown_by_their_names() {
    let text = r#"(module (type $point (struct (field f64))) (type (array i8)) (type $f (func (param i32)))
        (global (export "a") (ref null $point) (ref.null $point))
        (global (export "b") (mut (ref null 1)) (ref.null 1))
        (table (export "c") 2 (ref null $f))
        (tag (export "d") (param (ref $point))))"#;
    let module = Module::new(&Engine::default(), text).unwrap();
    let shown: Vec<String> = module.exports().map(|export| module.display_type(&export.ty())).collect();
    let tag = shown[3].split_once("(param").unwrap().1;
    assert_eq!(shown[0], "(global (ref null $point))");
    assert_eq!(shown[1], "(global (mut (ref null (array i8))))");
    assert_eq!(shown[2], "(table 2 (ref null (func (param i32))))");
    assert_eq!(tag, " (ref $point)))");
}

/// What 10,000 global variables hold is in the image: an instance makes none of it, and shares it.
#[test]
fn ten_thousand_objects_are_in_the_image_and_instantiation_makes_none() {
    let globals: String = (0..10_000).map(|i| format!("(global (ref $s) (struct.new $s (i64.const {i})))")).collect();
    let text = format!("(module (type $s (struct (field i64))) {globals})");
    let engine = Engine::default();
    let module = Module::new(&engine, text).unwrap();
    let info = module.image_info();
    assert_eq!(info.heap.map(|heap| (heap.objects, heap.object_bytes)), Some((10_000, 160_000)));
    assert_eq!(info.remaining, []);
    let mut store = Store::new(&engine, ());
    let it = Instance::new(&mut store, &module, &[]).unwrap();
    let Ok(map) = it.page_map(&store) else { return };
    let heap = map.regions.iter().find(|region| region.kind == RegionKind::Heap).unwrap();
    // The host says on the first page where the next object goes.
    let own = heap.count(PageKind::Changed) + heap.count(PageKind::Equal);
    assert!(own <= 1 && heap.accessible() * page_size() as u64 == 3 * 65_536, "{heap:?}");
}
