//! Makes text that comes from elsewhere safe to print: names in modules, paths, words of the command line.
//!
//! A module can be hostile, and so can its names: they could move a terminal's cursor, imitate a line of minirt, or
//! fill the screen. Every name that is printed goes through here.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// The most characters of a name that are shown. Mangled names of C++ and Rust are often longer than a hundred.
const MOST: usize = 200;

/// Returns a name as one short line: control characters are escaped, and the middle of a long name is left out.
pub(crate) fn name(name: &str) -> String {
    bytes(name.as_bytes())
}

/// Returns a path, or another word of the command line, as [`name`] returns a name.
pub(crate) fn path(path: impl AsRef<OsStr>) -> String {
    bytes(path.as_ref().as_bytes())
}

/// Returns text of several lines with control characters escaped. Nothing is left out.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' { shown.push(c) } else { push(&mut shown, c) }
    }
    shown
}

fn bytes(bytes: &[u8]) -> String {
    // No more than this can be needed, however long the name is.
    const END: usize = 4 * MOST;
    if bytes.len() <= 2 * END {
        return shortened(&escaped(bytes));
    }
    let (start, end) = (escaped(&bytes[..END]), escaped(&bytes[bytes.len() - END..]));
    shortened(&format!("{start}{end}"))
}

/// Returns bytes as text. What is not UTF-8 is escaped.
fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut shown, c));
        // Writing to a string does not fail.
        chunk.invalid().iter().for_each(|byte| _ = write!(shown, "\\x{byte:02x}"));
    }
    shown
}

/// Appends a character, or its escape where a terminal would not simply show it.
fn push(shown: &mut String, c: char) {
    let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || steers { shown.extend(c.escape_default()) } else { shown.push(c) }
}

fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= MOST {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST / 2).collect();
    let end: String = text.chars().skip(count - MOST / 2).collect();
    format!("{start}...{end}")
}

#[cfg(test)]
mod tests {
    use super::{MOST, name, path, text};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_would_move_the_cursor_or_imitate_a_line_is_escaped() {
        assert_eq!(name("a\x1b[2J\tb\nerror: c"), "a\\u{1b}[2J\\tb\\nerror: c");
        assert_eq!(name("ab\u{202e}cd\u{2028}"), "ab\\u{202e}cd\\u{2028}");
        assert_eq!(text("a\x1b[2J\nb"), "a\\u{1b}[2J\nb");
        assert_eq!(name("größer 猫"), "größer 猫");
    }

    #[test]
    fn paths_need_not_be_utf_8() {
        assert_eq!(path(OsStr::from_bytes(b"a\xff\xfeb")), "a\\xff\\xfeb");
    }

    #[test]
    fn long_names_keep_their_start_and_end() {
        for len in [MOST + 1, 5_000, 5_000_000] {
            let long = format!("start{}end", "x".repeat(len));
            let shown = name(&long);
            assert!(shown.starts_with("startx") && shown.ends_with("xend") && shown.contains("..."), "{shown}");
            assert_eq!(shown.chars().count(), MOST + 3);
        }
        let controls = "\x1b".repeat(5_000_000);
        assert_eq!(name(&controls).chars().count(), MOST + 3);
        assert_eq!(name(&"x".repeat(MOST)), "x".repeat(MOST));
    }
}
