//! Makes text that comes from elsewhere safe to print: names in modules, paths, words of the
//! command line.
//!
//! A module can be hostile, and so can its names: they could move a terminal's cursor, imitate a
//! line of minirt, or fill the screen. Every name that is printed goes through here.

use minirt::Printable;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The most characters of a path that are shown.
const MOST: usize = 200;

/// Returns a name as one short line: control characters are escaped, and the middle of a long name
/// is left out.
pub(crate) fn name(name: &str) -> String {
    Printable::new(name).to_string()
}

/// Returns a path, or another word of the command line, as [`name`] returns a name. What is not
/// UTF-8 is escaped.
pub(crate) fn path(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    if let Some(text) = path.to_str() {
        return Printable::with_limit(text, MOST).to_string();
    }
    let ascii = path.as_bytes().escape_ascii().to_string();
    match ascii.len() {
        0..=MOST => ascii,
        len => format!("{}...{}", &ascii[..MOST / 2], &ascii[len - MOST / 2..]),
    }
}

/// Returns a word as it can stand in a command for a shell, of what [`path`] or [`name`] returns.
pub(crate) fn word(shown: &str) -> String {
    // It has no NUL, which is a control character.
    shlex::try_quote(shown).map_or_else(|_| shown.to_owned(), Cow::into_owned)
}

/// Returns text of several lines with control characters escaped. Nothing is left out.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{MOST, name, path, text, word};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_would_move_the_cursor_or_imitate_a_line_is_escaped() {
        assert_eq!(name("a\x1b[2J\tb\nerror: c"), "a\\u{1b}[2J\\tb\\nerror: c");
        assert_eq!(path("a\x1b[2J\tb\nerror: c"), "a\\u{1b}[2J\\tb\\nerror: c");
        assert_eq!(text("a\x1b[2J\nb"), "a\\u{1b}[2J\nb");
        assert_eq!(path("größer 猫"), "größer 猫");
    }

    #[test]
    fn a_name_is_one_word_of_a_command_whatever_it_is() {
        assert_eq!(word("_initialize"), "_initialize");
        assert_eq!(word(&name("x; rm -rf ~ $(a) `b`")), "'x; rm -rf ~ $(a) `b`'");
        for name in ["it's", "a\\b!\"c\" d", "", "gr\u{fc}n \u{732b}"] {
            assert_eq!(shlex::split(&word(name)), Some(vec![name.to_owned()]));
        }
    }

    #[test]
    fn paths_need_not_be_utf_8() {
        assert_eq!(path(OsStr::from_bytes(b"a\xff\x1b\nb")), "a\\xff\\x1b\\nb");
    }

    #[test]
    fn long_names_and_paths_keep_their_start_and_end() {
        for middle in [b"x".as_slice(), b"\xff", b"\x1b"] {
            let long = [b"start", &*middle.repeat(1 << 20), b"end"].concat();
            let shown = path(OsStr::from_bytes(&long));
            assert!(shown.starts_with("start") && shown.ends_with("end") && shown.contains("..."), "{shown}");
            assert!(shown.len() <= 10 * MOST);
        }
    }
}
