//! Reads the values of `--dir`, `--env` and `--preload`. Paths and values can be any bytes that the
//! system allows.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A directory for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dir {
    /// Where it is.
    pub(crate) host: PathBuf,
    /// Its name for the guest.
    pub(crate) guest: String,
}

/// An environment variable for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVar {
    /// Its name.
    pub(crate) name: OsString,
    /// Its value; `None` means the host's.
    pub(crate) value: Option<OsString>,
}

/// A module that others may import from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preload {
    /// The name under which others import from it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) file: PathBuf,
}

/// Reads `HOST[::GUEST]`.
///
/// # Errors
/// Returns an error if one of the two is empty, or if the guest's name is not UTF-8.
pub(crate) fn parse_dir(text: &OsStr) -> Result<Dir, &'static str> {
    let (host, guest) = split(text, b"::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("both the host's directory and the guest's name for it must be given, as in `./data::/data`");
    }
    let guest = guest.to_str().ok_or("the guest's name for it must be UTF-8; give it one, as in `./data::/data`")?;
    Ok(Dir { host: host.into(), guest: guest.to_owned() })
}

/// Reads `NAME[=VALUE]`.
///
/// # Errors
/// Returns an error if the name is empty.
pub(crate) fn parse_env(text: &OsStr) -> Result<EnvVar, &'static str> {
    let (name, value) = match split(text, b"=") {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name is missing before the `=`");
    }
    Ok(EnvVar { name: name.to_owned(), value })
}

/// Reads `NAME=FILE`.
///
/// # Errors
/// Returns an error if one of the two is missing, or if the name is not UTF-8.
pub(crate) fn parse_preload(text: &OsStr) -> Result<Preload, &'static str> {
    let parts = split(text, b"=").filter(|(name, file)| !name.is_empty() && !file.is_empty());
    let (name, file) = parts.ok_or("a name and a file are needed with `=` between them, as in `env=env.wasm`")?;
    let name = name.to_str().ok_or("the name must be UTF-8, because modules import by such names")?;
    Ok(Preload { name: name.to_owned(), file: file.into() })
}

/// Splits text where the separator stands for the first time.
fn split<'a>(text: &'a OsStr, separator: &[u8]) -> Option<(&'a OsStr, &'a OsStr)> {
    let bytes = text.as_bytes();
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + separator.len()..])))
}

#[cfg(test)]
mod tests {
    use super::{Dir, EnvVar, Preload, parse_dir, parse_env, parse_preload};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_directory_has_its_own_name_unless_another_is_given() {
        let parse = |text: &str| parse_dir(OsStr::new(text));
        assert_eq!(parse("data"), Ok(Dir { host: "data".into(), guest: "data".into() }));
        assert_eq!(parse("data::/d"), Ok(Dir { host: "data".into(), guest: "/d".into() }));
        assert!(parse("::/d").is_err());
        assert!(parse("data::").is_err());
        let odd = OsStr::from_bytes(b"\xff::/d");
        assert_eq!(parse_dir(odd), Ok(Dir { host: OsStr::from_bytes(b"\xff").into(), guest: "/d".into() }));
        assert!(parse_dir(OsStr::from_bytes(b"\xff")).is_err());
    }

    #[test]
    fn a_variable_may_have_an_empty_value_but_no_empty_name() {
        let parse = |text: &str| parse_env(OsStr::new(text));
        assert_eq!(parse("A=b=c"), Ok(EnvVar { name: "A".into(), value: Some("b=c".into()) }));
        assert_eq!(parse("A="), Ok(EnvVar { name: "A".into(), value: Some("".into()) }));
        assert_eq!(parse("A"), Ok(EnvVar { name: "A".into(), value: None }));
        assert!(parse("=b").is_err());
    }

    #[test]
    fn a_preload_needs_a_name_and_a_file() {
        let parse = |text: &str| parse_preload(OsStr::new(text));
        assert_eq!(parse("m=a=b"), Ok(Preload { name: "m".into(), file: "a=b".into() }));
        assert!(parse("m").is_err());
        assert!(parse("m=").is_err());
        assert!(parse("=f").is_err());
        assert!(parse_preload(OsStr::from_bytes(b"\xff=f")).is_err());
        assert!(parse_preload(OsStr::from_bytes(b"m=\xff")).is_ok());
    }
}
