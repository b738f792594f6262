//! Values as scripts write, expect and read them.
//!
//! Floats are compared as bits. Of NaNs, the script says which ones it accepts.

use anyhow::{Result, bail};
use minirt::{AnyRef, ExternRef, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// Returns the value that a script passes to a function.
pub(crate) fn argument(arg: &WastArg<'_>, store: &mut Store<()>) -> Result<Val> {
    let WastArg::Core(arg) = arg else { bail!("an argument that no core module takes: {arg:?}") };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(u128::from_le_bytes(v.to_le_bytes())),
        WastArgCore::RefNull(ty) => null(ty)?,
        WastArgCore::RefExtern(n) => Val::ExternRef(Some(ExternRef::new(store, *n)?)),
        WastArgCore::RefHost(n) => {
            let value = ExternRef::new(&mut *store, *n)?;
            Val::AnyRef(Some(AnyRef::convert_extern(&*store, value)?))
        }
    })
}

fn null(ty: &HeapType<'_>) -> Result<Val> {
    use AbstractHeapType as H;
    match ty {
        HeapType::Abstract { shared: false, ty: H::Func | H::NoFunc } => Ok(Val::FuncRef(None)),
        HeapType::Abstract { shared: false, ty: H::Extern | H::NoExtern } => Ok(Val::ExternRef(None)),
        HeapType::Abstract { shared: false, ty: H::Any | H::Eq | H::I31 | H::Struct | H::Array | H::None } => {
            Ok(Val::AnyRef(None))
        }
        HeapType::Abstract { shared: false, ty: H::Exn | H::NoExn } => Ok(Val::ExnRef(None)),
        other => bail!("a reference type that is not understood: {other:?}"),
    }
}

/// Returns whether a call's results are what the script expects.
///
/// # Errors
/// When the expectation is not understood.
pub(crate) fn all_match(store: &Store<()>, values: &[Val], expected: &[WastRet<'_>]) -> Result<bool> {
    if values.len() != expected.len() {
        return Ok(false);
    }
    for (value, expected) in values.iter().zip(expected) {
        let WastRet::Core(expected) = expected else { bail!("a result that no core module has: {expected:?}") };
        if !matches(store, value, expected)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches(store: &Store<()>, value: &Val, expected: &WastRetCore<'_>) -> Result<bool> {
    use WastRetCore as W;
    Ok(match (expected, value) {
        (W::I32(want), Val::I32(got)) => want == got,
        (W::I64(want), Val::I64(got)) => want == got,
        (W::F32(want), Val::F32(got)) => f32_matches(want, *got),
        (W::F64(want), Val::F64(got)) => f64_matches(want, *got),
        (W::V128(want), Val::V128(got)) => v128_matches(want, got.to_le_bytes()),
        (W::RefNull(None), got) => got.ref_().is_some_and(|reference| reference.is_null()),
        (W::RefNull(Some(ty)), got) => {
            let both = (null(ty)?, got);
            matches!(
                both,
                (Val::FuncRef(_), Val::FuncRef(None))
                    | (Val::ExternRef(_), Val::ExternRef(None))
                    | (Val::AnyRef(_), Val::AnyRef(None))
                    | (Val::ExnRef(_), Val::ExnRef(None))
            )
        }
        (W::RefFunc(None), got) => matches!(got, Val::FuncRef(Some(_))),
        (W::RefExtern(None), got) => matches!(got, Val::ExternRef(Some(_))),
        (W::RefExtern(Some(want)), got) => host_number(store, got) == Some(*want),
        (W::RefHost(want), Val::AnyRef(Some(got))) => {
            let value = Val::ExternRef(Some(ExternRef::convert_any(store, *got)?));
            host_number(store, &value) == Some(*want)
        }
        (W::RefAny, got) => matches!(got, Val::AnyRef(Some(_))),
        (W::RefEq, Val::AnyRef(Some(got))) => got.is_eqref(store)?,
        (W::RefI31 | W::RefI31Shared, Val::AnyRef(Some(got))) => got.is_i31(store)?,
        (W::RefStruct, Val::AnyRef(Some(got))) => got.is_struct(store)?,
        (W::RefArray, Val::AnyRef(Some(got))) => got.is_array(store)?,
        (W::RefHost(_) | W::RefEq | W::RefI31 | W::RefI31Shared | W::RefStruct | W::RefArray, _) => false,
        (W::Either(cases), got) => any_matches(store, got, cases)?,
        (W::I32(_) | W::I64(_) | W::F32(_) | W::F64(_) | W::V128(_), _) => false,
        (other, _) => bail!("a result pattern that is not understood: {other:?}"),
    })
}

fn any_matches(store: &Store<()>, value: &Val, cases: &[WastRetCore<'_>]) -> Result<bool> {
    for case in cases {
        if matches(store, value, case)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the number that the script made an external reference from.
fn host_number(store: &Store<()>, value: &Val) -> Option<u32> {
    let Val::ExternRef(Some(reference)) = value else { return None };
    reference.data(store).ok()??.downcast_ref::<u32>().copied()
}

/// Compares bits. A canonical NaN has the quiet bit alone; an arithmetic NaN has at least that one.
fn f32_matches(want: &NanPattern<F32>, got: u32) -> bool {
    const QUIET: u32 = 0x7fc0_0000;
    match want {
        NanPattern::CanonicalNan => got & 0x7fff_ffff == QUIET,
        NanPattern::ArithmeticNan => got & QUIET == QUIET,
        NanPattern::Value(value) => value.bits == got,
    }
}

fn f64_matches(want: &NanPattern<F64>, got: u64) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match want {
        NanPattern::CanonicalNan => got & 0x7fff_ffff_ffff_ffff == QUIET,
        NanPattern::ArithmeticNan => got & QUIET == QUIET,
        NanPattern::Value(value) => value.bits == got,
    }
}

fn v128_matches(want: &V128Pattern, got: [u8; 16]) -> bool {
    use V128Pattern as V;
    match want {
        V::I8x16(lanes) => lanes.map(|lane| lane as u8) == got,
        V::I16x8(lanes) => lanes.iter().zip(got.chunks(2)).all(|(want, got)| want.to_le_bytes() == got),
        V::I32x4(lanes) => lanes.iter().zip(got.chunks(4)).all(|(want, got)| want.to_le_bytes() == got),
        V::I64x2(lanes) => lanes.iter().zip(got.chunks(8)).all(|(want, got)| want.to_le_bytes() == got),
        V::F32x4(lanes) => {
            lanes.iter().zip(got.as_chunks().0).all(|(want, got)| f32_matches(want, u32::from_le_bytes(*got)))
        }
        V::F64x2(lanes) => {
            lanes.iter().zip(got.as_chunks().0).all(|(want, got)| f64_matches(want, u64::from_le_bytes(*got)))
        }
    }
}

/// Shows results as a report has them.
pub(crate) fn describe_all(store: &Store<()>, values: &[Val]) -> String {
    joined(values.iter().map(|value| describe(store, value)))
}

fn describe(store: &Store<()>, value: &Val) -> String {
    match value {
        Val::I32(v) => format!("(i32.const {v})"),
        Val::I64(v) => format!("(i64.const {v})"),
        Val::F32(bits) => f32_text(*bits),
        Val::F64(bits) => f64_text(*bits),
        Val::V128(v) => format!("(v128.const {v:#034x})"),
        Val::FuncRef(None) => "(ref.null func)".to_owned(),
        Val::FuncRef(Some(_)) => "(ref.func)".to_owned(),
        Val::ExternRef(None) => "(ref.null extern)".to_owned(),
        Val::AnyRef(None) => "(ref.null any)".to_owned(),
        Val::AnyRef(Some(value)) => match value.as_i31(store) {
            Ok(Some(number)) => format!("(ref.i31 {})", number.get_u32()),
            _ => "(ref.any)".to_owned(),
        },
        Val::ExnRef(None) => "(ref.null exn)".to_owned(),
        Val::ExnRef(Some(_)) => "(ref.exn)".to_owned(),
        Val::ExternRef(Some(_)) => match host_number(store, value) {
            Some(number) => format!("(ref.extern {number})"),
            None => "(ref.extern)".to_owned(),
        },
    }
}

/// Shows expected results as a report has them.
pub(crate) fn describe_expected(expected: &[WastRet<'_>]) -> String {
    joined(expected.iter().map(|expected| match expected {
        WastRet::Core(expected) => describe_pattern(expected),
        other => format!("{other:?}"),
    }))
}

fn describe_pattern(expected: &WastRetCore<'_>) -> String {
    use WastRetCore as W;
    match expected {
        W::I32(v) => format!("(i32.const {v})"),
        W::I64(v) => format!("(i64.const {v})"),
        W::F32(NanPattern::Value(v)) => f32_text(v.bits),
        W::F64(NanPattern::Value(v)) => f64_text(v.bits),
        W::F32(pattern) => format!("(f32.const {})", nan_text(pattern)),
        W::F64(pattern) => format!("(f64.const {})", nan_text(pattern)),
        W::RefNull(None) => "(ref.null)".to_owned(),
        W::RefExtern(Some(n)) => format!("(ref.extern {n})"),
        W::RefFunc(None) => "(ref.func)".to_owned(),
        W::Either(cases) => format!("(either {})", joined(cases.iter().map(describe_pattern))),
        other => format!("{other:?}"),
    }
}

fn nan_text<T>(pattern: &NanPattern<T>) -> &'static str {
    match pattern {
        NanPattern::CanonicalNan => "nan:canonical",
        NanPattern::ArithmeticNan => "nan:arithmetic",
        NanPattern::Value(_) => "a value",
    }
}

fn f32_text(bits: u32) -> String {
    format!("(f32.const {:?} (; bits {bits:#010x} ;))", f32::from_bits(bits))
}

fn f64_text(bits: u64) -> String {
    format!("(f64.const {:?} (; bits {bits:#018x} ;))", f64::from_bits(bits))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "no results".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::{f32_matches, f64_matches};
    use wast::core::NanPattern;

    #[test]
    fn a_canonical_nan_has_any_sign_and_only_the_quiet_bit() {
        assert!(f32_matches(&NanPattern::CanonicalNan, 0xffc0_0000));
        assert!(!f32_matches(&NanPattern::CanonicalNan, 0x7fc0_0001));
        assert!(f64_matches(&NanPattern::CanonicalNan, 0x7ff8_0000_0000_0000));
        assert!(!f64_matches(&NanPattern::CanonicalNan, 0x7ff0_0000_0000_0000));
    }

    #[test]
    fn an_arithmetic_nan_has_the_quiet_bit_and_any_other() {
        assert!(f32_matches(&NanPattern::ArithmeticNan, 0x7fc0_0001));
        assert!(!f32_matches(&NanPattern::ArithmeticNan, 0x7f80_0001));
        assert!(f64_matches(&NanPattern::ArithmeticNan, 0xfff8_0000_0000_0001));
        assert!(!f64_matches(&NanPattern::ArithmeticNan, 0x3ff8_0000_0000_0000));
    }
}
