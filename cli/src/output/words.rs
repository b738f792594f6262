//! Explains the words that `minirt show` uses, for its help and its page.

use std::fmt::Write;

/// The words, each with what it means.
pub(crate) const WORDS: [(&str, &str); 11] = [
    ("image", "what every instance begins with: its state and memories before any of its code runs, kept once"),
    ("state", "what code can change besides memories: globals, tables, sizes; and imports"),
    ("run", "the life of one instance: instantiation, the calls, and the reset, which leaves all as in the image"),
    ("fresh", "after instantiation, before the first call"),
    ("shared", "not copied: it is the image's page, for all instances alike (copy-on-write)"),
    ("private", "copied when it was first written (copy-on-write): it takes memory for this instance alone"),
    ("hot set", "the pages that earlier runs wrote. They stay private and writable, and others are write-protected"),
    ("a reset by hot set", "copies the image's bytes back into the hot set, without a system call"),
    ("a reset by scan", "asks the kernel which pages were written (PAGEMAP_SCAN), and copies those back"),
    (
        "a reset by discard",
        "gives the pages back to the kernel (MADV_DONTNEED), which maps them anew when they are used",
    ),
    ("copying", "a discard without an image: what is not zero is written again for each instance"),
];

/// Returns the words as a command's help shows them.
pub(crate) fn help() -> String {
    let mut text = "Words:\n".to_owned();
    for (word, meaning) in WORDS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      {word:<19} {meaning}");
    }
    text
}
