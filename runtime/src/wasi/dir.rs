//! Listing a directory.
//!
//! A cookie says where a listing goes on: 0 at `.`, 1 at `..`, and from 2 on where the host's own cookie, smaller by
//! two, says. So a listing holds no state, and can go on after entries came or went. `..` has the directory's own
//! inode: what lies above is not the guest's to know.

use super::ctx::WasiCtx;
use super::errno::Result;
use super::guest::Guest;
use super::rights::Rights;
use super::types::{Dirent, Filetype};
use rustix::fs::{AtFlags, FileType, RawDir, RawDirEntry, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// The cookie of the host's first entry.
const HOST_COOKIES: u64 = 2;

/// How many bytes of entries the host is asked for at a time.
const HOST_BUFFER: usize = 4096;

pub(super) fn fd_readdir(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    buffer: u32,
    buffer_len: u32,
    cookie: u64,
    used: u32,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let directory = descriptor.directory(Rights::FD_READDIR)?;
    let mut list = List { buffer: guest.slice_mut(buffer, buffer_len)?, used: 0 };
    list.fill(std::os::fd::AsFd::as_fd(&directory.dir), cookie)?;
    let filled = list.used as u32;
    guest.write_u32(used, filled)
}

/// A guest's buffer, filled with entries from the front.
struct List<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl List<'_> {
    fn fill(&mut self, dir: BorrowedFd<'_>, cookie: u64) -> Result<()> {
        let own = rustix::fs::fstat(dir)?.st_ino;
        for (number, name) in [".", ".."].into_iter().enumerate().skip(cookie.min(HOST_COOKIES) as usize) {
            if !self.push(number as u64 + 1, own, Filetype::DIRECTORY, name.as_bytes()) {
                return Ok(());
            }
        }
        rustix::fs::seek(dir, SeekFrom::Start(cookie.saturating_sub(HOST_COOKIES)))?;
        let mut space = [MaybeUninit::uninit(); HOST_BUFFER];
        let mut entries = RawDir::new(dir, &mut space);
        while let Some(entry) = entries.next() {
            if !self.push_host(dir, &entry?) {
                break;
            }
        }
        Ok(())
    }

    fn push_host(&mut self, dir: BorrowedFd<'_>, entry: &RawDirEntry<'_>) -> bool {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            return true;
        }
        let filetype = match entry.file_type() {
            // Not every file system says; and the entry may be gone by now.
            FileType::Unknown => match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Filetype::of_mode(stat.st_mode),
                Err(_) => Filetype::UNKNOWN,
            },
            known => known.into(),
        };
        self.push(entry.next_entry_cookie().wrapping_add(HOST_COOKIES), entry.ino(), filetype, name.to_bytes())
    }

    /// Adds an entry, cut off where the buffer ends. Whether there is room for more.
    fn push(&mut self, next: u64, inode: u64, filetype: Filetype, name: &[u8]) -> bool {
        let head = Dirent { next, inode, name_len: name.len() as u32, filetype }.encode();
        for part in [&head[..], name] {
            let room = &mut self.buffer[self.used..];
            let len = part.len().min(room.len());
            room[..len].copy_from_slice(&part[..len]);
            self.used += len;
        }
        self.used < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dir: &std::fs::File, len: usize, cookie: u64) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let mut list = List { buffer: &mut buffer, used: 0 };
        list.fill(std::os::fd::AsFd::as_fd(dir), cookie).unwrap();
        let used = list.used;
        buffer.truncate(used);
        buffer
    }

    /// The complete entries in a buffer: cookies and names.
    fn entries(mut bytes: &[u8]) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        while let Some((head, rest)) = bytes.split_at_checked(Dirent::SIZE) {
            let len = u32::from_le_bytes(head[16..20].try_into().unwrap()) as usize;
            let Some((name, rest)) = rest.split_at_checked(len) else { break };
            let next = u64::from_le_bytes(head[..8].try_into().unwrap());
            found.push((next, String::from_utf8(name.to_vec()).unwrap()));
            bytes = rest;
        }
        found
    }

    #[test]
    fn a_listing_begins_with_itself_and_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(dir.path()).unwrap();
        assert_eq!(entries(&list(&open, 100, 0)), [(1, ".".to_owned()), (2, "..".to_owned())]);
        assert_eq!(entries(&list(&open, 100, 1)), [(2, "..".to_owned())]);
        assert_eq!(list(&open, 100, 2), b"");
    }

    #[test]
    fn a_buffer_is_full_unless_the_listing_ended() {
        let dir = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(dir.path()).unwrap();
        for len in 0..=51 {
            assert_eq!(list(&open, len, 0).len(), len);
        }
        assert_eq!(list(&open, 52, 0).len(), 51);
    }

    #[test]
    fn small_buffers_see_every_entry_once() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..300 {
            std::fs::write(dir.path().join(format!("file.{i}")), "").unwrap();
        }
        let open = std::fs::File::open(dir.path()).unwrap();
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let bytes = list(&open, 100, cookie);
            let some = entries(&bytes);
            cookie = some.last().map_or(cookie, |(next, _)| *next);
            names.extend(some.into_iter().map(|(_, name)| name));
            if bytes.len() < 100 {
                break;
            }
        }
        assert_eq!(names.len(), 302);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 302);
    }
}
