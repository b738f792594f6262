//! Reads arguments from text, and prints results as text.

use minirt::{RefType, Val, ValType};
use wast::parser::{Parse, ParseBuffer};
use wast::token::{F32, F64};

/// Reads a word of the command line as a value of a type.
///
/// # Errors
/// Returns a description of the words that are values of this type.
pub(crate) fn parse(word: &str, ty: ValType) -> Result<Val, &'static str> {
    match ty {
        ValType::I32 => integer(word)
            .and_then(|v| narrow32(v).map(Val::I32))
            .ok_or("an i32 is a number from -2147483648 to 4294967295, decimal or with 0x"),
        ValType::I64 => integer(word)
            .and_then(|v| narrow64(v).map(Val::I64))
            .ok_or("an i64 is a number from -9223372036854775808 to 18446744073709551615, decimal or with 0x"),
        ValType::F32 => {
            let bits = word.parse().map(f32::to_bits).ok().or_else(|| written::<F32>(word).map(|value| value.bits));
            bits.map(Val::F32)
                .ok_or("an f32 is a number such as 1, -2.5, 6e23 or 0x1.8p1, or nan, nan:0x1, inf or -inf")
        }
        ValType::F64 => {
            let bits = word.parse().map(f64::to_bits).ok().or_else(|| written::<F64>(word).map(|value| value.bits));
            bits.map(Val::F64)
                .ok_or("an f64 is a number such as 1, -2.5, 6e23 or 0x1.8p1, or nan, nan:0x1, inf or -inf")
        }
        ValType::V128 => {
            let (digits, radix) = hexadecimal(word).map_or((word, 10), |digits| (digits, 16));
            let bits = unsigned(digits, radix).map(Val::V128);
            bits.ok_or("a v128 is a number of at most 128 bits, decimal or with 0x; lane 0 is in the lowest bits")
        }
        ValType::Ref(RefType { nullable: true, heap }) if word == "null" => Ok(Val::null_ref(heap)),
        ValType::Ref(_) => Err("no reference but null can be written on the command line"),
    }
}

/// Reads a word as the text format does.
fn written<T: for<'a> Parse<'a>>(word: &str) -> Option<T> {
    let buffer = ParseBuffer::new(word).ok()?;
    wast::parser::parse(&buffer).ok()
}

fn integer(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, radix) = hexadecimal(digits).map_or((digits, 10), |digits| (digits, 16));
    let magnitude = i128::from(u64::try_from(unsigned(digits, radix)?).ok()?);
    Some(if negative { -magnitude } else { magnitude })
}

fn hexadecimal(word: &str) -> Option<&str> {
    word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"))
}

fn unsigned(digits: &str, radix: u32) -> Option<u128> {
    // `from_str_radix` would accept a sign.
    u128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))
}

/// Returns 32 bits, from a signed or an unsigned number.
fn narrow32(v: i128) -> Option<i32> {
    i32::try_from(v).ok().or_else(|| u32::try_from(v).ok().map(u32::cast_signed))
}

fn narrow64(v: i128) -> Option<i64> {
    i64::try_from(v).ok().or_else(|| u64::try_from(v).ok().map(u64::cast_signed))
}

/// Returns a result as it is printed.
pub(crate) fn display(value: &Val) -> String {
    match value {
        Val::I32(v) => v.to_string(),
        Val::I64(v) => v.to_string(),
        Val::F32(bits) if f32::from_bits(*bits).is_nan() => nan(*bits >> 31 == 1, u64::from(bits & 0x7f_ffff), 1 << 22),
        Val::F64(bits) if f64::from_bits(*bits).is_nan() => nan(bits >> 63 == 1, bits & 0xf_ffff_ffff_ffff, 1 << 51),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(v) => format!("{v:#034x}"),
        Val::FuncRef(None) => "<null funcref>".to_owned(),
        Val::FuncRef(Some(_)) => "<funcref>".to_owned(),
        Val::ExternRef(None) => "<null externref>".to_owned(),
        Val::ExternRef(Some(_)) => "<externref>".to_owned(),
        Val::AnyRef(None) => "<null anyref>".to_owned(),
        Val::AnyRef(Some(_)) => "<anyref>".to_owned(),
        Val::ExnRef(None) => "<null exnref>".to_owned(),
        Val::ExnRef(Some(_)) => "<exnref>".to_owned(),
    }
}

/// Returns a NaN as it is printed: with its sign, and with its payload unless that is the usual
/// one.
fn nan(negative: bool, bits: u64, usual: u64) -> String {
    let sign = if negative { "-" } else { "" };
    if bits == usual { format!("{sign}NaN") } else { format!("{sign}nan:{bits:#x}") }
}

#[cfg(test)]
mod tests {
    use super::{display, parse};
    use minirt::ValType;

    fn through(word: &str, ty: ValType) -> Option<String> {
        parse(word, ty).ok().map(|value| display(&value))
    }

    #[test]
    fn integers_are_decimal_or_hexadecimal_signed_or_unsigned() {
        for (word, printed) in [
            ("0", "0"),
            ("-5", "-5"),
            ("+5", "5"),
            ("0x10", "16"),
            ("-0x10", "-16"),
            ("0xffffffff", "-1"),
            ("4294967295", "-1"),
            ("-2147483648", "-2147483648"),
        ] {
            assert_eq!(through(word, ValType::I32).as_deref(), Some(printed), "{word}");
        }
        assert_eq!(through("18446744073709551615", ValType::I64).as_deref(), Some("-1"));
        assert_eq!(through("-0x8000000000000000", ValType::I64).as_deref(), Some("-9223372036854775808"));
    }

    #[test]
    fn what_is_not_an_integer_is_refused() {
        for word in ["", "-", "x", "1.5", "0x", "--1", "+-1", "-+1", "4294967296", "-2147483649", "1_000"] {
            assert_eq!(through(word, ValType::I32), None, "{word}");
        }
        assert_eq!(through("18446744073709551616", ValType::I64), None);
    }

    #[test]
    fn floats_may_be_infinite_or_not_a_number() {
        for (word, printed) in
            [("1", "1"), ("-2.5", "-2.5"), ("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf"), ("1e3", "1000")]
        {
            assert_eq!(through(word, ValType::F32).as_deref(), Some(printed), "{word}");
            assert_eq!(through(word, ValType::F64).as_deref(), Some(printed), "{word}");
        }
        assert_eq!(through("one", ValType::F32), None);
    }

    #[test]
    fn floats_may_be_written_as_in_the_text_format_and_keep_every_bit() {
        for (word, printed) in [
            ("0x10", "16"),
            ("-0x1.8p1", "-3"),
            ("0x1p-149", "0.000000000000000000000000000000000000000000001"),
            ("nan:0x1", "nan:0x1"),
            ("-nan:0x200000", "-nan:0x200000"),
            ("-nan", "-NaN"),
        ] {
            assert_eq!(through(word, ValType::F32).as_deref(), Some(printed), "{word}");
        }
        for word in ["0x", "nan:0x0", "nan:0x800000", "1 2", "(1)", ""] {
            assert_eq!(through(word, ValType::F32), None, "{word}");
        }
        assert_eq!(through("nan:0x8000000000001", ValType::F64).as_deref(), Some("nan:0x8000000000001"));
    }

    #[test]
    fn the_only_reference_that_can_be_written_is_null() {
        assert_eq!(through("null", ValType::FUNCREF).as_deref(), Some("<null funcref>"));
        assert_eq!(through("null", ValType::EXTERNREF).as_deref(), Some("<null externref>"));
        assert_eq!(through("0", ValType::FUNCREF), None);
    }

    #[test]
    fn vectors_are_numbers_of_128_bits_and_print_as_hexadecimal() {
        for (word, printed) in [
            ("258", "0x00000000000000000000000000000102"),
            ("0XAbc", "0x00000000000000000000000000000abc"),
            ("340282366920938463463374607431768211455", "0xffffffffffffffffffffffffffffffff"),
        ] {
            assert_eq!(through(word, ValType::V128).as_deref(), Some(printed), "{word}");
        }
        for word in ["", "0x", "-1", "+1", "0x+1", "1.5", "340282366920938463463374607431768211456"] {
            assert_eq!(through(word, ValType::V128), None, "{word}");
        }
    }
}
