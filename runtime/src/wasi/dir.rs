//! Lists directories.
//!
//! A cookie says where a listing goes on: 0 at `.`, 1 at `..`, and from 2 on where the host's own
//! cookie, smaller by two, says. So a listing holds no state, and can go on after entries came or
//! went. `..` has the directory's own inode: what lies above is not the guest's to know.

use super::call::Call;
use super::errno::Result;
use super::failure::Failure;
use super::filetype::Filetype;
use super::params::{Dircookie, Fd, GuestSlice, Size};
use super::records::{Dirent, Record};
use super::rights::Rights;
use rustix::fs::{AtFlags, FileType, RawDir, RawDirEntry, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// The cookie of the host's first entry.
const HOST_COOKIES: u64 = 2;

/// How many bytes of entries the host is asked for at a time.
const HOST_BUFFER: usize = 4096;

/// How many entries are listed before the deadline is looked at.
const PIECE: usize = 1000;

pub(super) fn fd_readdir(call: &mut Call<'_>, fd: Fd, buffer: GuestSlice, cookie: Dircookie) -> Result<Size, Failure> {
    let (mut used, mut cookie) = (0, Some(cookie));
    while let Some(from) = cookie {
        if used > 0 {
            call.checkpoint()?;
        }
        let (mut guest, ctx) = call.parts();
        let directory = ctx.table.get(fd)?.directory(Rights::FD_READDIR)?;
        let mut list = List { buffer: guest.slice_mut(buffer)?, used };
        cookie = list.fill(directory.dir.as_fd(), from, PIECE)?;
        used = list.used;
    }
    Ok(Size(used as u32))
}

/// A guest's buffer, filled with entries from the front.
struct List<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl List<'_> {
    /// Adds at most `most` entries of the host, and returns where to go on: nowhere at the end, or
    /// if the buffer is full.
    fn fill(&mut self, dir: BorrowedFd<'_>, Dircookie(cookie): Dircookie, most: usize) -> Result<Option<Dircookie>> {
        let own = rustix::fs::fstat(dir)?.st_ino;
        for (number, name) in [".", ".."].into_iter().enumerate().skip(cookie.min(HOST_COOKIES) as usize) {
            if !self.push(Dircookie(number as u64 + 1), own, Filetype::DIRECTORY, name.as_bytes()) {
                return Ok(None);
            }
        }
        rustix::fs::seek(dir, SeekFrom::Start(cookie.saturating_sub(HOST_COOKIES)))?;
        let mut space = [MaybeUninit::uninit(); HOST_BUFFER];
        let mut entries = RawDir::new(dir, &mut space);
        let mut added = 0;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let next = Dircookie(entry.next_entry_cookie().wrapping_add(HOST_COOKIES));
            if !self.push_host(dir, next, &entry) {
                return Ok(None);
            }
            added += 1;
            if added == most {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    fn push_host(&mut self, dir: BorrowedFd<'_>, next: Dircookie, entry: &RawDirEntry<'_>) -> bool {
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
        self.push(next, entry.ino(), filetype, name.to_bytes())
    }

    /// Adds an entry, cut off where the buffer ends, and returns whether there is room for more.
    fn push(&mut self, next: Dircookie, inode: u64, filetype: Filetype, name: &[u8]) -> bool {
        let mut head = [0; Dirent::SIZE as usize];
        Dirent { next, inode, name_len: name.len() as u32, filetype }.encode(&mut head);
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
        list_in_pieces(dir, len, cookie, usize::MAX)
    }

    /// Lists a directory in pieces.
    fn list_in_pieces(dir: &std::fs::File, len: usize, cookie: u64, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let mut list = List { buffer: &mut buffer, used: 0 };
        let mut from = Some(Dircookie(cookie));
        while let Some(cookie) = from {
            from = list.fill(dir.as_fd(), cookie, most).unwrap();
        }
        let used = list.used;
        buffer.truncate(used);
        buffer
    }

    /// Returns the complete entries in a buffer: cookies and names.
    fn entries(mut bytes: &[u8]) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        while let Some((head, rest)) = bytes.split_at_checked(Dirent::SIZE as usize) {
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

    #[test]
    fn pieces_make_the_same_listing() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..30 {
            std::fs::write(dir.path().join(format!("file.{i}")), "").unwrap();
        }
        let open = std::fs::File::open(dir.path()).unwrap();
        let whole = list(&open, 5000, 0);
        assert_eq!(entries(&whole).len(), 32);
        for most in [1, 7, 30, 31, 32, 33] {
            assert_eq!(list_in_pieces(&open, 5000, 0, most), whole, "{most}");
        }
        assert_eq!(list_in_pieces(&open, 500, 0, 3), whole[..500]);
    }
}
