//! `minirt cache`: shows and clears the cache of compiled modules.

use crate::guest::cache::{self, Cache, Usage};
use crate::guest::outcome::Outcome;
use crate::options::args::{CacheAction, CacheArgs};
use crate::options::size;
use crate::output::printable;
use crate::output::report::{Report, print, print_bytes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Shows or clears the cache.
///
/// # Errors
/// Returns an error if there is no cache, or its directory cannot be read.
pub(crate) fn cache(args: &CacheArgs) -> Result<(), Outcome> {
    let (cache, place) = Cache::inspect()?;
    let read = |result: io::Result<Usage>| result.map_err(|error| unreadable(&place, &error));
    match args.action {
        // As it is, for programs.
        Some(CacheAction::Dir) => print_bytes(&[place.as_os_str().as_bytes(), b"\n"].concat())?,
        Some(CacheAction::Size) => print(&format!("{}\n", read(cache.usage())?.bytes))?,
        Some(CacheAction::Clear) => {
            let Usage { modules, bytes, .. } = read(cache.clear())?;
            print(&format!("removed {}, {}\n", count(modules), size::display(bytes)))?;
        }
        None => print(&summary(&place, read(cache.usage())?))?,
    }
    Ok(())
}

fn summary(place: &Path, usage: Usage) -> String {
    let Usage { modules, bytes, limit } = usage;
    let state = if cache::is_off() { "off (MINIRT_CACHE)" } else { "on" };
    let rows = [
        ("directory", printable::path(place)),
        ("state", state.to_owned()),
        ("size", format!("{}, {}", size::display(bytes), count(modules))),
        ("limit", size::display(limit)),
    ];
    rows.map(|(name, value)| format!("{name:<9}  {value}\n")).concat()
}

fn count(modules: usize) -> String {
    match modules {
        1 => "1 module".to_owned(),
        many => format!("{many} modules"),
    }
}

fn unreadable(place: &Path, error: &io::Error) -> Report {
    let what = format!("the cache `{}` cannot be read", printable::path(place));
    Report::new(what, error.to_string(), "check the directory")
}
