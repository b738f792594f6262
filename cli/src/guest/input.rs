//! From a file, or standard input, to a module; and what to say about a file that is none.

use super::cache::Cache;
use crate::output::progress;
use crate::output::report::Report;
use minirt::{CompileError, CompileErrorKind, Engine, Error, Module, is_artifact};
use std::io::{ErrorKind, Read};

/// What every binary module starts with (specification, section 5.5.16).
const MAGIC: &[u8] = b"\0asm";

/// Where modules come from, besides files.
#[derive(Debug)]
pub(crate) struct Source {
    /// Whether artifacts are run: the user trusts them.
    pub(crate) trusted: bool,
    /// Where compiled modules are kept, if they are.
    pub(crate) cache: Option<Cache>,
}

impl Source {
    /// Nothing but files.
    pub(crate) fn files(trusted: bool) -> Self {
        Self { trusted, cache: None }
    }

    /// The module in a file; `-` is standard input.
    pub(crate) fn load(&self, engine: &Engine, file: &str) -> Result<Module, Report> {
        if file != "-" && starts_like_artifact(file) {
            return artifact(engine, file, None, self.trusted);
        }
        let bytes = bytes(file)?;
        if is_artifact(&bytes) {
            return artifact(engine, file, Some(&bytes), self.trusted);
        }
        match &self.cache {
            Some(cache) => cache.module(engine, &bytes, || compile(engine, file, &bytes)),
            None => compile(engine, file, &bytes),
        }
    }
}

/// Whether a file is there and starts like an artifact. Only the start is read: the rest will be mapped. A pipe is not
/// touched, since what is read from it is gone.
pub(crate) fn starts_like_artifact(file: &str) -> bool {
    let mut start = [0; 16];
    let regular = std::fs::metadata(file).is_ok_and(|file| file.is_file());
    regular && std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok() && is_artifact(&start)
}

/// The artifact in a file, or in what was read from it.
fn artifact(engine: &Engine, file: &str, bytes: Option<&[u8]>, trusted: bool) -> Result<Module, Report> {
    if !trusted {
        let what = format!("{} is an artifact, which is not run without being trusted", shown(file));
        let because = "it is machine code, and whoever made it can do anything that you can";
        return Err(Report::new(what, because, "if you or minirt made it, say --allow-precompiled"));
    }
    // SAFETY: the user says that the file can be trusted.
    #[allow(unsafe_code, reason = "an artifact is code, and only the user can know where it comes from")]
    let module = unsafe {
        match bytes {
            Some(bytes) => Module::deserialize(engine, bytes),
            None => Module::deserialize_file(engine, file),
        }
    };
    module.map_err(|error| {
        let what = format!("{} cannot be loaded", shown(file));
        Report::new(what, error.root_cause().to_string(), "minirt compile makes an artifact for this machine")
    })
}

/// What is in a file; `-` is standard input.
pub(crate) fn bytes(file: &str) -> Result<Vec<u8>, Report> {
    read(file).map_err(|error| unreadable(file, &error))
}

/// The module that these bytes from a file are.
pub(crate) fn compile(engine: &Engine, file: &str, bytes: &[u8]) -> Result<Module, Report> {
    recognise(bytes).map_err(|(because, help)| Report::new(format!("{} is no module", shown(file)), because, help))?;
    let what = format!("compiling {} ...", shown(file));
    progress::during(&what, || Module::new(engine, bytes)).map_err(|error| refused(file, &error))
}

/// A file as messages name it.
pub(crate) fn shown(file: &str) -> String {
    if file == "-" { "standard input".to_owned() } else { format!("`{file}`") }
}

fn read(file: &str) -> std::io::Result<Vec<u8>> {
    if file != "-" {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(file: &str, error: &std::io::Error) -> Report {
    let help = match error.kind() {
        ErrorKind::NotFound => "check the spelling of the path",
        ErrorKind::IsADirectory => "name the .wasm or .wat file in it",
        ErrorKind::PermissionDenied => "you need the permission to read it",
        _ => "check the file",
    };
    Report::new(format!("{} cannot be read", shown(file)), error.to_string(), help)
}

/// Refuses what is certainly no module, with why and what to do.
fn recognise(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    const NEITHER: &str = "give it a .wasm file (it starts with the bytes `\\0asm`) or a .wat file (with `(module`)";
    match bytes {
        [] => Err(("it is empty", "build or download it again")),
        // The version of a module is 1; components have a layer number in its upper half.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {
            Err(("it is a component", "minirt runs core modules: build for the target wasm32-wasip1"))
        }
        bytes if bytes.starts_with(MAGIC) || is_text(bytes) => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => Err(("it is a native program", "build it for WebAssembly")),
        _ => Err(("it is neither a binary nor a text module", NEITHER)),
    }
}

/// Whether it looks like the text format: it begins with a parenthesis or a comment.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        text.starts_with('(') || text.starts_with(";;")
    })
}

fn refused(file: &str, error: &Error) -> Report {
    let what = format!("{} cannot be compiled", shown(file));
    let Some(reason) = error.downcast_ref::<CompileError>() else {
        // The parser of the text format has seen no file name.
        let because = format!("{error:#}").replace("<anon>", file);
        return Report::new(what, because, "correct the text and run it again");
    };
    let help = match reason.kind() {
        CompileErrorKind::Malformed { cut_off: true } => {
            "it seems to be cut off: build or download it again".to_owned()
        }
        CompileErrorKind::Malformed { cut_off: false } => {
            "it is damaged, or uses a feature that minirt lacks: build it without that feature".to_owned()
        }
        CompileErrorKind::Unsupported(feature) => format!("build it without {}", feature.name()),
        CompileErrorKind::Disabled(feature) => format!("allow it with -W {}", feature.name()),
        CompileErrorKind::Limit => "make the module smaller, or split it".to_owned(),
        _ => "this is a bug of minirt: please report it, with the module".to_owned(),
    };
    Report::new(what, reason.to_string(), help)
}

#[cfg(test)]
mod tests {
    use super::{is_text, recognise};

    #[test]
    fn binary_and_text_modules_are_recognised() {
        assert!(recognise(b"\0asm\x01\0\0\0").is_ok());
        assert!(recognise(b"\0asm").is_ok(), "a truncated module is for the compiler to refuse");
        assert!(recognise(b" ;; a comment\n(module)").is_ok());
    }

    #[test]
    fn other_files_are_told_what_they_are() {
        let why = |bytes| recognise(bytes).expect_err("not a module").0;
        assert_eq!(why(b""), "it is empty");
        assert_eq!(why(b"\0asm\x0d\0\x01\0"), "it is a component");
        assert_eq!(why(b"\x7fELF\x02"), "it is a native program");
        assert_eq!(why(b"hello"), "it is neither a binary nor a text module");
        assert!(!is_text(b"(\xff"));
    }
}
