//! Reads the file on the command line, and tells artifacts from modules. The file is opened once
//! and read once, because it can be a pipe.

use super::system;
use crate::options::size;
use crate::output::printable;
use crate::output::report::Report;
use minirt::is_artifact;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;

/// The first bytes of every binary module (specification, section 5.5.16).
const MAGIC: &[u8] = b"\0asm";

/// How many bytes decide what a file is.
const START: usize = 4096;

/// The most bytes of a module or a streamed artifact. Pipes and devices can be endless. Offsets in
/// modules have 32 bits, and this is far above what any compiler could take.
const MOST: u64 = 2 << 30;

/// A file as it was found.
#[derive(Debug)]
pub(crate) enum Input {
    /// An artifact in a regular file, which can be mapped.
    ArtifactFile(File),
    /// An artifact that came through a pipe.
    Artifact(Vec<u8>),
    /// A module in the binary or text format.
    Module(Vec<u8>),
}

impl Input {
    /// Opens a file, and reads it unless it is an artifact that can be mapped. `-` is standard
    /// input.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, or is neither a module nor an artifact.
    pub(crate) fn open(file: &Path) -> Result<Self, Report> {
        read(file)
            .map_err(|error| unreadable(file, &error))?
            .map_err(|(because, help)| Report::new(format!("{} is not a module", shown(file)), because, help))
    }

    /// Returns the same once more.
    ///
    /// # Errors
    /// Returns an error if the process has too many open files.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::ArtifactFile(file) => Self::ArtifactFile(file.try_clone()?),
            Self::Artifact(bytes) => Self::Artifact(bytes.clone()),
            Self::Module(bytes) => Self::Module(bytes.clone()),
        })
    }

    /// Returns the bytes of a module to be compiled.
    ///
    /// # Errors
    /// Returns an error if it is an artifact.
    pub(crate) fn into_module(self, file: &Path) -> Result<Vec<u8>, Report> {
        match self {
            Self::Module(bytes) => Ok(bytes),
            Self::ArtifactFile(_) | Self::Artifact(_) => {
                let what = format!("{} cannot be compiled", shown(file));
                Err(Report::new(what, "it is an artifact, which is compiled already", "give it the module itself"))
            }
        }
    }

    /// Returns whether it is an artifact.
    pub(crate) fn is_artifact(&self) -> bool {
        !matches!(self, Self::Module(_))
    }
}

/// Returns a file as messages name it.
pub(crate) fn shown(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { format!("`{}`", printable::path(file)) }
}

/// Returns whether the command line means standard input.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == OsStr::new("-")
}

/// Why something is not a module, and what to do about it.
type Refused = (&'static str, &'static str);

fn read(file: &Path) -> io::Result<Result<Input, Refused>> {
    if is_stdin(file) {
        let mut stdin = io::stdin().lock();
        return contents(start(&mut stdin)?, stdin);
    }
    let mut open = File::open(file)?;
    let start = start(&mut open)?;
    if is_artifact(&start) && open.metadata()?.is_file() {
        return Ok(Ok(Input::ArtifactFile(open)));
    }
    contents(start, open)
}

/// Reads as much as decides what a file is.
fn start(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(START);
    from.take(START as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Reads the rest, if it is needed.
fn contents(start: Vec<u8>, rest: impl Read) -> io::Result<Result<Input, Refused>> {
    let artifact = is_artifact(&start);
    if !artifact && let Err(refused) = recognise(&start) {
        return Ok(Err(refused));
    }
    let mut bytes = Vec::new();
    Cursor::new(start).chain(rest).take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        let because = format!("it has more than {}", size::display(MOST));
        return Err(io::Error::new(ErrorKind::FileTooLarge, because));
    }
    Ok(Ok(if artifact { Input::Artifact(bytes) } else { Input::Module(bytes) }))
}

fn unreadable(file: &Path, error: &io::Error) -> Report {
    let help = match error.kind() {
        ErrorKind::NotFound => "check the spelling of the path",
        ErrorKind::IsADirectory => "name the .wasm or .wat file in it",
        ErrorKind::PermissionDenied => "you need the permission to read it",
        _ => system::help_with_file(error).unwrap_or("check the file"),
    };
    Report::new(format!("{} cannot be read", shown(file)), error.to_string(), help)
}

/// Refuses what certainly is not a module, as its first bytes show.
fn recognise(start: &[u8]) -> Result<(), Refused> {
    const NEITHER: &str = "give it a .wasm file (it starts with the bytes `\\0asm`) or a .wat file (with `(module`)";
    match start {
        [] => Err(("it is empty", "build or download it again")),
        // The version of a module is 1; components have a layer number in its upper half.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {
            Err(("it is a component", "minirt runs core modules: build for the target wasm32-wasip1"))
        }
        start if start.starts_with(MAGIC) || is_text(start) => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => Err(("it is a native program", "build it for WebAssembly")),
        _ => Err(("it is neither a binary nor a text module", NEITHER)),
    }
}

/// Returns whether it looks like the text format: it begins with a parenthesis or a comment.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    text.starts_with(b"(") || text.starts_with(b";;")
}

#[cfg(test)]
mod tests {
    use super::{Input, contents, is_text, recognise, start};
    use std::io::{self, Read};

    #[test]
    fn binary_and_text_modules_are_recognised() {
        assert!(recognise(b"\0asm\x01\0\0\0").is_ok());
        assert!(recognise(b"\0asm").is_ok(), "a truncated module is for the compiler to refuse");
        assert!(recognise(b" ;; a comment\n(module)").is_ok());
        assert!(is_text(b"\xef\xbb\xbf\n(module)"));
    }

    #[test]
    fn other_files_are_told_what_they_are() {
        let why = |bytes| recognise(bytes).expect_err("not a module").0;
        assert_eq!(why(b""), "it is empty");
        assert_eq!(why(b"\0asm\x0d\0\x01\0"), "it is a component");
        assert_eq!(why(b"\x7fELF\x02"), "it is a native program");
        assert_eq!(why(b"hello"), "it is neither a binary nor a text module");
        assert!(!is_text(b"\xff("));
    }

    #[test]
    fn what_is_not_a_module_is_not_read_to_its_end() {
        // An endless file.
        let mut endless = io::repeat(0);
        assert!(contents(start(&mut endless).unwrap(), endless).unwrap().is_err());
    }

    #[test]
    fn a_module_that_comes_in_pieces_is_put_together() {
        struct Bytes<'a>(&'a [u8]);
        impl Read for Bytes<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let len = into.len().min(1);
                self.0.read(&mut into[..len])
            }
        }
        let module = [b"(module ;;".as_slice(), &[b'x'; 10_000], b"\n)"].concat();
        let mut pieces = Bytes(&module);
        let first = start(&mut pieces).unwrap();
        let Ok(Input::Module(bytes)) = contents(first, pieces).unwrap() else { panic!("not a module") };
        assert_eq!(bytes, module);
    }
}
