//! Any words as the arguments of `minirt run --invoke`: a value or what would be one, never a
//! panic. What is printed of a number reads as the same number.

#![no_main]

#[allow(dead_code, reason = "the command line uses the rest")]
#[path = "../../../../cli/src/output/display.rs"]
mod display;

use libfuzzer_sys::fuzz_target;
use minirt::{HeapType, RefType, Val, ValType};

fuzz_target!(|word: &str| {
    let types = [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
    for ty in types {
        let Ok(value) = display::parse(word, ty) else { continue };
        assert_eq!(bits(&display::parse(&display::display(&value), ty).expect("what is printed can be read")), bits(&value));
    }
    for nullable in [false, true] {
        let _ = display::parse(word, ValType::Ref(RefType { nullable, heap: HeapType::Extern }));
    }
});

fn bits(value: &Val) -> u128 {
    match *value {
        Val::I32(bits) => bits as u128,
        Val::I64(bits) => bits as u128,
        Val::F32(bits) => bits.into(),
        Val::F64(bits) => bits.into(),
        Val::V128(bits) => bits,
        _ => panic!("a reference"),
    }
}
