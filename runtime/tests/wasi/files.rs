//! Files: their contents, sizes, rights, flags and descriptors.

use crate::program::*;
use minirt::wasi::{FsPerms, WasiCtxBuilder};
use std::fs;
use tempfile::TempDir;

#[test]
fn preopens_begin_at_3_under_the_guest_s_names() {
    let dir = TempDir::new().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(dir.path(), "/data", FsPerms::ReadOnly).unwrap();
    wasi.preopened_dir(dir.path(), "b", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    for (fd, name) in [(3, "/data"), (4, "b")] {
        assert_eq!(p.call("fd_prestat_get", &[fd.into(), OUT.into()]), 0);
        assert_eq!((p.u32(OUT), p.u32(OUT + 4)), (0, name.len() as i32));
        let name_of = |p: &mut Program, len: i32| p.call("fd_prestat_dir_name", &[fd.into(), BYTES.into(), len.into()]);
        assert_eq!(name_of(&mut p, 0), NAMETOOLONG);
        assert_eq!(name_of(&mut p, 100), 0);
        assert_eq!(p.bytes(name.len() as i32), name.as_bytes());
    }
    assert_eq!(p.call("fd_prestat_get", &[5.into(), OUT.into()]), BADF);
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    assert_eq!(p.call("fd_prestat_get", &[3.into(), OUT.into()]), BADF);
    assert_eq!(p.call("fd_prestat_get", &[1.into(), OUT.into()]), BADF);
}

#[test]
fn a_file_is_made_written_and_read_back() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", CREAT | EXCL, READ_WRITE).unwrap();
    assert_eq!(p.open(3, "file", CREAT | EXCL, READ_WRITE), Err(EXIST));
    assert_eq!(p.write(fd, b"0123456789"), Ok(10));
    assert_eq!(p.seek(fd, -5, 2), Ok(5));
    assert_eq!(p.read(fd, 3), Ok(b"567".into()));
    assert_eq!((p.seek(fd, 0, 1), p.call("fd_tell", &[fd.into(), OUT.into()])), (Ok(8), 0));
    assert_eq!((p.seek(fd, -9, 1), p.seek(fd, -1, 0), p.seek(fd, 0, 3)), (Err(INVAL), Err(INVAL), Err(INVAL)));
    p.put(BYTES, b"ab");
    p.buffers(&[1, 1]);
    assert_eq!(p.io("fd_pwrite", fd, 2, Some(2)), Ok(2));
    p.buffers(&[2, 4]);
    assert_eq!(p.io("fd_pread", fd, 2, Some(1)), Ok(6));
    assert_eq!((p.bytes(6), p.seek(fd, 0, 1)), (b"1ab456".to_vec(), Ok(8)));
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"01ab456789");
    assert_eq!((p.close(fd), p.close(fd), p.read(fd, 1)), (0, BADF, Err(BADF)));
}

#[test]
fn sizes_are_set_only_with_the_right_to() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "0123456789").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", 0, READ).unwrap();
    assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), 0_i64.into()]), NOTCAPABLE);
    assert_eq!(p.call("fd_allocate", &[fd.into(), 0_i64.into(), 20_i64.into()]), NOTCAPABLE);
    let fd = p.open(3, "file", 0, READ_WRITE).unwrap();
    assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), 5_i64.into()]), 0);
    assert_eq!(p.stat("file", 0).unwrap().1, 5);
    assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), (-1_i64).into()]), INVAL);
    let fd = p.open(3, "file", TRUNC, 0).unwrap();
    assert_eq!(p.stat("file", 0).unwrap().1, 0);
    assert_eq!(p.write(fd, b"x"), Err(NOTCAPABLE));
}

#[test]
fn reading_and_writing_take_the_rights_that_were_asked_for() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let reader = p.open(3, "file", 0, FD_READ).unwrap();
    let writer = p.open(3, "file", 0, FD_WRITE).unwrap();
    assert_eq!((p.fdstat(reader).2, p.fdstat(writer).2), (FD_READ, FD_WRITE));
    assert_eq!((p.read(reader, 9), p.write(reader, b"x")), (Ok(b"data".into()), Err(NOTCAPABLE)));
    assert_eq!((p.read(writer, 9), p.write(writer, b"DATA")), (Err(NOTCAPABLE), Ok(4)));
    assert_eq!((p.seek(reader, 0, 0), p.seek(reader, 0, 1)), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
}

#[test]
fn rights_can_be_given_up_but_not_gained() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", CREAT, FD_READ | FD_WRITE | FD_SEEK | FD_TELL).unwrap();
    let set = |p: &mut Program, fd: i32, own: i64, inherited: i64| {
        p.call("fd_fdstat_set_rights", &[fd.into(), own.into(), inherited.into()])
    };
    assert_eq!(set(&mut p, fd, FD_SEEK, 0), 0);
    assert_eq!(set(&mut p, fd, FD_SEEK | FD_WRITE, 0), NOTCAPABLE);
    assert_eq!(set(&mut p, fd, FD_SEEK, FD_READ), NOTCAPABLE);
    assert_eq!((p.fdstat(fd).2, p.write(fd, b"x")), (FD_SEEK, Err(NOTCAPABLE)));
    // What a directory no longer passes on, nothing opened through it has.
    let (_, _, own, inherited) = p.fdstat(3);
    assert_eq!(set(&mut p, 3, own, inherited & !FD_WRITE), 0);
    assert_eq!(p.open(3, "file", 0, FD_WRITE), Err(NOTCAPABLE));
    assert_eq!(set(&mut p, 3, own & !(1 << 19), inherited & !FD_WRITE), 0);
    assert_eq!(p.open(3, "file", TRUNC, 0), Err(NOTCAPABLE));
}

#[test]
fn a_read_only_directory_cannot_be_changed_in_any_way() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadOnly);
    let sub = p.open(3, "sub", DIRECTORY, DIR).unwrap();
    for fd in [3, sub] {
        for (oflags, rights) in [(CREAT, 0), (TRUNC, 0), (0, FD_WRITE), (CREAT | TRUNC, FD_WRITE)] {
            assert_eq!(p.open(fd, "file", oflags, rights), Err(NOTCAPABLE));
        }
        for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
            assert_eq!(p.path(name, fd, "sub", &[]), NOTCAPABLE);
        }
        assert_eq!(p.rename(fd, "file", fd, "new"), NOTCAPABLE);
        assert_eq!(p.link(fd, 0, "file", fd, "new"), NOTCAPABLE);
        assert_eq!(p.symlink("file", fd, "new"), NOTCAPABLE);
        assert_eq!(p.call("fd_filestat_set_times", &[fd.into(), 0_i64.into(), 0_i64.into(), 5.into()]), NOTCAPABLE);
    }
    assert_eq!(p.set_times("file", 0, [0, 0], 5), NOTCAPABLE);
    let fd = p.open(3, "file", 0, READ).unwrap();
    assert_eq!((p.read(fd, 9), p.write(fd, b"x")), (Ok(b"data".into()), Err(NOTCAPABLE)));
    assert_eq!(p.call("fd_filestat_set_times", &[fd.into(), 0_i64.into(), 0_i64.into(), 5.into()]), NOTCAPABLE);
    assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), 0_i64.into()]), NOTCAPABLE);
    assert_eq!(p.call("fd_allocate", &[fd.into(), 0_i64.into(), 9_i64.into()]), NOTCAPABLE);
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"data");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Otherwise a second, writable name of a read-only file could be had.
#[test]
fn a_file_cannot_be_linked_or_moved_out_of_a_read_only_directory() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(from.path().join("file"), "data").unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(from.path(), "/from", FsPerms::ReadOnly).unwrap();
    wasi.preopened_dir(to.path(), "/to", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    assert_eq!((p.link(3, 0, "file", 4, "file"), p.rename(3, "file", 4, "file")), (NOTCAPABLE, NOTCAPABLE));
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
}

#[test]
fn appending_is_a_flag_that_can_be_switched() {
    const APPEND: i32 = 1;
    const SYNC: i32 = 16;
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open_as(3, "file", FOLLOW, CREAT | TRUNC, READ_WRITE, APPEND | SYNC).unwrap();
    assert_eq!(p.fdstat(fd).1, 17);
    assert_eq!((p.write(fd, b"ab"), p.seek(fd, 0, 0), p.write(fd, b"cd")), (Ok(2), Ok(0), Ok(2)));
    assert_eq!(p.call("fd_fdstat_set_flags", &[fd.into(), SYNC.into()]), 0);
    assert_eq!((p.seek(fd, 0, 0), p.write(fd, b"AB")), (Ok(0), Ok(2)));
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"ABcd");
    assert_eq!(p.call("fd_fdstat_set_flags", &[fd.into(), 0.into()]), 58);
    assert_eq!(p.call("fd_fdstat_set_flags", &[fd.into(), 32.into()]), INVAL);
}

#[test]
fn a_file_that_may_only_be_read_can_be_opened_with_creat() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "data").unwrap();
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    for follow in [0, FOLLOW] {
        let fd = p.open_as(3, "file", follow, CREAT, READ, 0).unwrap();
        assert_eq!(p.read(fd, 9), Ok(b"data".into()));
        let fd = p.open_as(3, &format!("new{follow}"), follow, CREAT, READ, 0).unwrap();
        assert_eq!(p.read(fd, 9), Ok(vec![]));
    }
}

#[test]
fn renumbering_closes_what_it_overwrites() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    fs::write(dir.path().join("b"), "b").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let (a, b) = (p.open(3, "a", 0, READ).unwrap(), p.open(3, "b", 0, READ).unwrap());
    assert_eq!(open_in(dir.path()), 3);
    let renumber = |p: &mut Program, from: i32, to: i32| p.call("fd_renumber", &[from.into(), to.into()]);
    assert_eq!((renumber(&mut p, a, b), open_in(dir.path())), (0, 2));
    assert_eq!((p.read(b, 9), p.read(a, 9)), (Ok(b"a".into()), Err(BADF)));
    assert_eq!((renumber(&mut p, b, a), renumber(&mut p, a, b), renumber(&mut p, b, -1)), (BADF, BADF, BADF));
    assert_eq!(renumber(&mut p, b, b), 0);
    // Over a preopen, and from a standard stream.
    assert_eq!((renumber(&mut p, b, 3), open_in(dir.path())), (0, 1));
    assert_eq!((p.call("fd_prestat_get", &[3.into(), OUT.into()]), renumber(&mut p, 1, 3)), (BADF, 0));
    assert_eq!((p.write(3, b"x"), p.write(1, b"x"), open_in(dir.path())), (Ok(1), Err(BADF), 0));
}

#[test]
fn a_full_table_refuses_before_anything_is_made() {
    let dir = TempDir::new().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.max_descriptors(5).preopened_dir(dir.path(), "/", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    assert_eq!((p.open(3, "a", CREAT, READ), p.open(3, "b", CREAT, READ)), (Ok(4), Err(MFILE)));
    assert!(!dir.path().join("b").exists());
    assert_eq!((p.close(4), p.open(3, "b", CREAT, READ)), (0, Ok(4)));
}

#[test]
fn opening_and_closing_leaks_nothing() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("sub/sub")).unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    for _ in 0..100 {
        let fd = p.open(3, "sub/sub/file", CREAT, READ_WRITE).unwrap();
        assert_eq!(p.open(3, "sub/sub/file", DIRECTORY, 0), Err(NOTDIR));
        assert_eq!(p.open_as(3, "sub/sub", 0, DIRECTORY, FD_WRITE, 0), Err(ISDIR));
        assert_eq!(p.set_times("sub/sub/file", 0, [1, 2], 5), 0);
        assert_eq!((p.path("path_unlink_file", 3, "sub/sub/file", &[]), p.close(fd)), (0, 0));
    }
    assert_eq!(open_in(dir.path()), 1);
}
