//! Limits the size of the cache, and chooses the entries to remove when it holds more.

use super::folder::{Entry, Folder};
use crate::options::size;
use std::env;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

/// The environment variable with which the user sets the limit.
pub(crate) const VARIABLE: &str = "MINIRT_CACHE_SIZE";

/// The most bytes by default, however much room there is.
const MOST: u64 = 4 << 30;
/// By default the cache takes at most one part in this many of the disk.
const SHARE: u64 = 10;

/// How long it is remembered that an entry was removed, and how many of them at most: the last
/// ones.
const REMEMBER: Duration = Duration::from_hours(24 * 30);
const MOST_REMEMBERED: usize = 1000;

/// The size of the cache, as the user wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// This many bytes.
    Bytes(u64),
    /// As it fits the disk.
    Adaptive,
}

impl Limit {
    /// Returns what the user's environment says.
    ///
    /// # Errors
    /// Returns what it says if that is not a size.
    pub(super) fn from_env() -> Result<Self, OsString> {
        match env::var_os(VARIABLE) {
            None => Ok(Self::Adaptive),
            Some(text) => match text.to_str().and_then(size::parse) {
                Some(bytes) => Ok(Self::Bytes(bytes)),
                None => Err(text),
            },
        }
    }

    /// Returns the limit in bytes, for a cache that has `used` bytes: by default a tenth of what
    /// the disk has for the cache, which is what is free and what the cache has already.
    ///
    /// # Errors
    /// Returns an error if the system does not tell how much is free.
    pub(super) fn bytes(self, folder: &Folder, used: u64) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Adaptive => Ok(share(folder.available()?, used)),
        }
    }
}

fn share(available: u64, used: u64) -> u64 {
    (available.saturating_add(used) / SHARE).min(MOST)
}

/// Returns the entries that have to go so that no more than `limit` bytes are left: those that were
/// not used for the longest time.
pub(super) fn to_evict(mut entries: Vec<Entry>, limit: u64) -> Vec<Entry> {
    entries.sort();
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let too_many = |entry: &Entry| {
        let over = bytes > limit;
        bytes -= entry.bytes;
        over
    };
    let mut too_many = too_many;
    entries.into_iter().take_while(|entry| too_many(entry)).collect()
}

/// Returns the memories of removed entries that have to go: those that are too old or too many.
pub(super) fn to_forget(mut evicted: Vec<Entry>) -> Vec<Entry> {
    evicted.sort();
    let too_many = evicted.len().saturating_sub(MOST_REMEMBERED);
    let too_old = |entry: &Entry| entry.used.elapsed().is_ok_and(|age| age > REMEMBER);
    evicted.into_iter().enumerate().filter(|(i, it)| *i < too_many || too_old(it)).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST, MOST_REMEMBERED, REMEMBER, share, to_evict, to_forget};
    use crate::guest::cache::folder::Entry;
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_limit_is_a_tenth_of_what_the_disk_has_for_it() {
        assert_eq!(share(900, 100), 100);
        // Bytes that the cache takes are no longer free, and the sum stays the same.
        assert_eq!(share(1000, 0), 100);
        assert_eq!((share(0, 0), share(u64::MAX, u64::MAX)), (0, MOST));
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let entry = |age: u64, name: &str| Entry {
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(100 - age),
            bytes: 100,
            name: name.into(),
        };
        let gone = |limit| {
            let gone = to_evict(vec![entry(1, "new"), entry(3, "old"), entry(2, "middle")], limit);
            gone.into_iter().map(|entry| entry.name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(gone(300), [""; 0]);
        assert_eq!(gone(250), ["old"]);
        assert_eq!(gone(200), ["old"]);
        assert_eq!(gone(199), ["old", "middle"]);
        assert_eq!(gone(0), ["old", "middle", "new"]);
    }

    #[test]
    fn what_was_removed_is_remembered_for_a_while_but_not_without_end() {
        let now = SystemTime::now();
        let entry = |age: Duration| Entry { used: now - age, bytes: 0, name: format!("{age:?}").into() };
        let minutes = |n: usize| Duration::from_mins(n as u64);
        let forgotten = |ages: &mut dyn Iterator<Item = Duration>| to_forget(ages.map(entry).collect()).len();
        assert_eq!(forgotten(&mut [REMEMBER + minutes(1), minutes(5)].into_iter()), 1);
        assert_eq!(forgotten(&mut (0..MOST_REMEMBERED + 7).map(minutes)), 7);
        let oldest = to_forget((0..=MOST_REMEMBERED).map(minutes).map(entry).collect());
        assert_eq!(oldest[0].used, now - minutes(MOST_REMEMBERED));
    }
}
