//! Reads and prints numbers of bytes as people write them: `512M`.

/// The units, each 1024 times the one before.
const UNITS: [(&str, &str, &str); 5] =
    [("", "B", ""), ("K", "KB", "KiB"), ("M", "MB", "MiB"), ("G", "GB", "GiB"), ("T", "TB", "TiB")];

/// Reads a whole number of bytes, with or without a unit: `1000000`, `512M`, `2GiB`. Units are
/// powers of 1024, and may be written in lower case. Returns `None` if it is something else, or
/// does not fit.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let power = UNITS.iter().position(|(short, decimal, binary)| {
        [short, decimal, binary].iter().any(|known| known.eq_ignore_ascii_case(unit))
    })?;
    number.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

/// Returns a number of bytes for people: `1.5 GiB`.
pub(crate) fn display(bytes: u64) -> String {
    let power = (bytes.max(1).ilog2() / 10).min(4) as usize;
    let number = bytes as f64 / (1_u64 << (10 * power)) as f64;
    match UNITS[power].2 {
        "" => format!("{bytes} bytes"),
        unit if number < 10.0 => format!("{number:.1} {unit}"),
        unit => format!("{number:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{display, parse};

    #[test]
    fn sizes_have_units_that_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("64K", 65_536),
            ("512m", 512 << 20),
            ("2GiB", 2 << 30),
            ("1TB", 1 << 40),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "-1", "+1", "1.5G", "1 G", "1X", "16777216T", "99999999999999999999", "ten"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_two_or_three_digits() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (512 << 20, "512 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(display(bytes), shown);
        }
    }
}
