//! Texts that a guest has chosen, as people may see them: names of imports, exports and functions.
//!
//! All code that prints such a text uses this. A name may have any length, and hold what moves a
//! terminal's cursor or looks like a line of the host's.

use std::fmt::{self, Display, Formatter, Write};

/// The most characters of a name that are shown.
const NAME: usize = 200;

/// Prints a text so that it stays in its line and does nothing to a terminal: control characters
/// and others that cannot be seen are escaped as in Rust, a long text is shortened in its middle.
/// Printing takes a bounded time.
///
/// # Examples
/// ```
/// # use minirt_compiler::Printable;
/// assert_eq!(Printable::new("fd_write").to_string(), "fd_write");
/// assert_eq!(Printable::new("a\n\x1b[2Jb").to_string(), r"a\n\u{1b}[2Jb");
/// assert_eq!(Printable::with_limit(&"x".repeat(1000), 8).to_string(), "xxxx...xxxx");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a> {
    text: &'a str,
    limit: usize,
}

impl<'a> Printable<'a> {
    /// Prints a name, of which at most 200 characters are shown.
    pub const fn new(text: &'a str) -> Self {
        Self::with_limit(text, NAME)
    }

    /// Prints at most `limit` characters of a text.
    pub const fn with_limit(text: &'a str, limit: usize) -> Self {
        Self { text, limit }
    }
}

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { text, limit } = *self;
        if text.char_indices().nth(limit).is_none() {
            return escaped(f, text);
        }
        // The end tells names apart that begin alike, as those of one library do.
        let last = limit / 2;
        let start = text.char_indices().nth(limit - last).map_or(0, |(at, _)| at);
        let end = text.char_indices().rev().nth(last.saturating_sub(1)).filter(|_| last > 0);
        escaped(f, &text[..start])?;
        f.write_str("...")?;
        escaped(f, &text[end.map_or(text.len(), |(at, _)| at)..])
    }
}

fn escaped(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '\'' | '"' => f.write_char(c),
        _ if c.is_alphanumeric() => f.write_char(c),
        _ => Display::fmt(&c.escape_debug(), f),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn usual_names_stay_as_they_are() {
        for name in ["", "fd_write", "<&'a T as std::fmt::Debug>::fmt", "operator\"\"", "naïve", "名前"] {
            assert_eq!(Printable::new(name).to_string(), name);
        }
    }

    #[test]
    fn nothing_leaves_its_line_or_reorders_it() {
        for c in ['\n', '\r', '\x1b', '\x07', '\0', '\u{9b}', '\u{85}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{200b}']
        {
            let shown = Printable::new(&format!("a{c}b")).to_string();
            assert!(shown.is_ascii() && shown.chars().all(|c| !c.is_control()), "{shown:?}");
        }
        assert_ne!(Printable::new("\\n").to_string(), Printable::new("\n").to_string());
    }

    #[test]
    fn long_names_are_shortened_at_whole_characters_in_a_bounded_time() {
        let exactly = "é".repeat(NAME);
        assert_eq!(Printable::new(&exactly).to_string(), exactly);
        let started = Instant::now();
        for character in ["x", "é", "名", "\u{1b}"] {
            let huge = format!("begin{}end", character.repeat(5_000_000));
            for _ in 0..1000 {
                let shown = Printable::new(&huge).to_string();
                assert!(shown.starts_with("begin") && shown.contains("...") && shown.ends_with("end"));
                assert!(shown.len() <= NAME * "\\u{10ffff}".len() + 3);
            }
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it looked at all of them");
        assert_eq!(Printable::with_limit("abc", 0).to_string(), "...");
        assert_eq!(Printable::with_limit("abc", 1).to_string(), "a...");
    }
}
