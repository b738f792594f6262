//! What a module says about the image of its instances: what is in it, and what is left to do and
//! why.

use minirt::{Engine, Module};

/// Returns the steps that are left for each instance, and why.
fn remaining(text: &str) -> Vec<(String, &'static str)> {
    let module = Module::new(&Engine::default(), text).unwrap();
    module.image_info().remaining.into_iter().map(|step| (step.what, step.why)).collect()
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
    assert_eq!(memories, [(1, 131_072, vec![4096..8192]), (2, 196_608, vec![69_632..73_728])]);
}
