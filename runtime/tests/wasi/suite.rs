//! What the official suite's programs do, where other tests here do not do it in passing: their
//! sequences of calls, since an error that one call must have may depend on what went before.

use crate::program::*;
use minirt::wasi::FsPerms;
use tempfile::TempDir;

const APPEND: i32 = 1;
const SYNC: i32 = 16;
const FD_FDSTAT_SET_FLAGS: i64 = 1 << 3;
const PATH_FILESTAT_SET_SIZE: i64 = 1 << 19;
const FD_FILESTAT_SET_SIZE: i64 = 1 << 22;

/// Returns a program with a directory of its own beneath the preopened one, like most programs of
/// the suite.
fn in_own_directory() -> (TempDir, Program, i32) {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!(p.path("path_create_directory", 3, "own.cleanup", &[]), 0);
    let own = p.open_as(3, "own.cleanup", 0, DIRECTORY, DIR, 0).unwrap();
    (dir, p, own)
}

fn make(p: &mut Program, fd: i32, path: &str) {
    let made = p.open_as(fd, path, 0, CREAT, READ_WRITE, 0).unwrap();
    assert_eq!(p.close(made), 0);
}

fn make_dir(p: &mut Program, fd: i32, path: &str) {
    assert_eq!(p.path("path_create_directory", fd, path, &[]), 0, "{path}");
}

fn remove(p: &mut Program, fd: i32, path: &str) -> i32 {
    p.path("path_unlink_file", fd, path, &[])
}

fn remove_dir(p: &mut Program, fd: i32, path: &str) -> i32 {
    p.path("path_remove_directory", fd, path, &[])
}

#[test]
fn rights_that_were_given_up_do_not_come_back_and_the_others_stay() {
    let (_dir, mut p, own) = in_own_directory();
    let fd = p.open_as(own, "file", 0, CREAT, FD_READ | FD_WRITE | FD_SEEK | FD_TELL, 0).unwrap();
    assert_eq!(p.write(fd, &[0, 1, 2, 3]), Ok(4));
    assert_eq!((p.seek(fd, 0, 0), p.read(fd, 4)), (Ok(0), Ok(vec![0, 1, 2, 3])));
    let (_, _, rights, inheriting) = p.fdstat(fd);
    let less = rights & !(FD_READ | FD_WRITE);
    assert_eq!(p.call("fd_fdstat_set_rights", &[fd.into(), less.into(), inheriting.into()]), 0);
    assert_eq!((p.fdstat(fd).2 & (FD_READ | FD_WRITE), p.fdstat(fd).2 & FD_SEEK), (0, FD_SEEK));
    assert_eq!((p.read(fd, 4), p.write(fd, b"x")), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
    let more = less | FD_READ | FD_WRITE | FD_SEEK | FD_TELL;
    let regrant = [fd.into(), more.into(), (inheriting | more).into()];
    assert_eq!(p.call("fd_fdstat_set_rights", &regrant), NOTCAPABLE);
}

#[test]
fn appending_ends_when_the_flag_is_taken_away() {
    let (_dir, mut p, own) = in_own_directory();
    let rights = FD_READ | FD_WRITE | FD_SEEK | FD_TELL | FD_FDSTAT_SET_FLAGS;
    let fd = p.open_as(own, "file", 0, CREAT, rights, APPEND).unwrap();
    assert_eq!(p.write(fd, &[0; 100]), Ok(100));
    assert_eq!((p.seek(fd, 0, 0), p.read(fd, 100)), (Ok(0), Ok(vec![0; 100])));
    assert_eq!((p.seek(fd, 0, 0), p.write(fd, &[1; 100])), (Ok(0), Ok(100)));
    assert_eq!((p.seek(fd, 100, 0), p.read(fd, 100)), (Ok(100), Ok(vec![1; 100])));
    assert_eq!(p.call("fd_fdstat_set_flags", &[fd.into(), 0.into()]), 0);
    assert_eq!((p.seek(fd, 0, 0), p.write(fd, &[2; 100])), (Ok(0), Ok(100)));
    assert_eq!((p.seek(fd, 0, 0), p.read(fd, 100), p.seek(fd, 0, 2)), (Ok(0), Ok(vec![2; 100]), Ok(200)));
    // Written as it is appended, and told so.
    let fd = p.open_as(own, "synchronous", 0, CREAT, FD_READ | FD_WRITE, APPEND | SYNC).unwrap();
    assert_eq!(i32::from(p.fdstat(fd).1), APPEND | SYNC);
}

#[test]
fn the_directory_itself_is_opened_with_any_rights_but_those_to_read_and_write() {
    let (_dir, mut p, _) = in_own_directory();
    let (_, _, base, inheriting) = p.fdstat(3);
    for (oflags, rights, fdflags) in
        [(0, base, 0), (0, 0, 0), (DIRECTORY, 0, 0), (DIRECTORY, FD_READ, 0), (0, 0, NONBLOCK)]
    {
        let fd = p.open_as(3, ".", 0, oflags, rights, fdflags);
        assert!(fd.is_ok(), "{oflags} {rights:#x} {fdflags}: {fd:?}");
    }
    assert_eq!(p.open_as(3, ".", 0, DIRECTORY, FD_READ | FD_WRITE, 0), Err(ISDIR));
    // What libraries of C and Rust expect of a preopened directory.
    let of_directories = [9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 26, 18, 20, 21, 23].map(|bit| 1_i64 << bit);
    let of_files = [0, 1, 2, 3, 4, 5, 6, 7, 8, 21, 22, 23, 27].map(|bit| 1_i64 << bit);
    for right in of_directories {
        assert!(base & right == right && inheriting & right == right, "{right:#x}");
    }
    assert!(of_files.iter().all(|right| inheriting & right == *right), "{inheriting:#x}");
}

#[test]
fn truncating_by_path_needs_a_right_of_the_directory_only() {
    let (_dir, mut p, own) = in_own_directory();
    make(&mut p, own, "file");
    let (_, flags, base, inheriting) = p.fdstat(own);
    assert_eq!((flags, base & FD_FILESTAT_SET_SIZE), (0, 0));
    assert!(p.open_as(own, "file", 0, TRUNC, 0, 0).is_ok());
    let fewer = [own.into(), base.into(), (inheriting & !FD_FILESTAT_SET_SIZE).into()];
    assert_eq!(p.call("fd_fdstat_set_rights", &fewer), 0);
    assert!(p.open_as(own, "file", 0, TRUNC, 0, 0).is_ok());
    let base = base & !PATH_FILESTAT_SET_SIZE;
    let fewer = [own.into(), base.into(), (inheriting & !FD_FILESTAT_SET_SIZE).into()];
    assert_eq!((p.call("fd_fdstat_set_rights", &fewer), p.fdstat(own).2 & PATH_FILESTAT_SET_SIZE), (0, 0));
    assert!(matches!(p.open_as(own, "file", 0, TRUNC, 0, 0), Err(PERM | NOTCAPABLE)));
}

#[test]
fn a_file_that_is_gone_can_be_made_again() {
    let (_dir, mut p, own) = in_own_directory();
    make(&mut p, own, "file");
    let open = p.open_as(own, "file", 0, 0, 0, 0).unwrap();
    assert_eq!((remove(&mut p, own, "file"), p.close(open)), (0, 0));
    make(&mut p, own, "file");
    make_dir(&mut p, own, "dir");
    let open = p.open_as(own, "dir", 0, DIRECTORY, 0, 0).unwrap();
    assert_eq!((remove_dir(&mut p, own, "dir"), p.close(open)), (0, 0));
    make_dir(&mut p, own, "dir");
    // Beneath a file there is nothing.
    let file = p.open_as(own, "file", 0, 0, 0, 0).unwrap();
    assert!(matches!(p.open_as(file, "foo", 0, CREAT, 0, 0), Err(NOTDIR | NOTCAPABLE)));
    assert_eq!(p.open_as(own, "file", 0, CREAT | EXCL, 0, 0), Err(EXIST));
}

#[test]
fn paths_with_dots_and_slashes_mean_what_they_say() {
    let (_dir, mut p, own) = in_own_directory();
    make_dir(&mut p, own, "dir");
    make_dir(&mut p, own, "dir/nested");
    make(&mut p, own, "dir/nested/file");
    assert!(p.open_as(own, "dir/.//nested/../../dir/nested/../nested///./file", 0, 0, 0, 0).is_ok());
    assert!(matches!(p.open_as(own, "/dir/nested/file", 0, 0, 0, 0), Err(PERM | NOTCAPABLE)));
    assert!(matches!(p.open_as(own, "dir/nested/file\0", 0, 0, 0, 0), Err(INVAL | ILSEQ | NOENT)));
    for slashes in ["/", "///"] {
        let file = p.open_as(own, &format!("dir/nested/file{slashes}"), 0, 0, 0, 0);
        assert!(matches!(file, Err(NOTDIR | NOENT)), "{file:?}");
        assert!(p.open_as(own, &format!("dir/nested{slashes}"), 0, 0, 0, 0).is_ok());
    }
    let out = p.open_as(own, "dir/nested/../../../own.cleanup/dir/nested/file", 0, 0, 0, 0);
    assert!(matches!(out, Err(PERM | NOTCAPABLE)), "{out:?}");
}

#[test]
fn a_link_that_is_not_followed_is_a_loop_and_a_followed_one_what_it_leads_to() {
    let (_dir, mut p, own) = in_own_directory();
    make_dir(&mut p, own, "target");
    assert_eq!(p.symlink("target", own, "link"), 0);
    assert!(matches!(p.open_as(own, "link", 0, DIRECTORY, 0, 0), Err(LOOP | NOTDIR)));
    assert!(matches!(p.open_as(own, "link", 0, 0, 0, 0), Err(LOOP)));
    assert!(p.open_as(own, "link", FOLLOW, DIRECTORY, 0, 0).is_ok());
    assert_eq!((remove(&mut p, own, "link"), remove_dir(&mut p, own, "target")), (0, 0));
    make(&mut p, own, "target");
    assert_eq!(p.symlink("target", own, "link"), 0);
    assert!(matches!(p.open_as(own, "link", 0, DIRECTORY, 0, 0), Err(LOOP | NOTDIR)));
    assert_eq!(p.open_as(own, "link", 0, 0, 0, 0), Err(LOOP));
    assert_eq!(p.open_as(own, "link", FOLLOW, DIRECTORY, 0, 0), Err(NOTDIR));
    // One that leads nowhere.
    assert_eq!((remove(&mut p, own, "target"), p.open_as(own, "link", 0, 0, 0, 0)), (0, Err(LOOP)));
    assert!(matches!(p.open_as(own, "link", 0, DIRECTORY, 0, 0), Err(LOOP | NOTDIR)));
}

#[test]
fn a_link_is_made_where_nothing_is_and_not_with_a_slash_behind() {
    let (_dir, mut p, own) = in_own_directory();
    assert_eq!(p.symlink("source", own, "target/"), NOENT);
    assert_eq!((p.symlink("source", own, "target"), remove(&mut p, own, "target")), (0, 0));
    make_dir(&mut p, own, "target");
    assert_eq!((p.symlink("source", own, "target/"), p.symlink("source", own, "target")), (EXIST, EXIST));
    assert_eq!(remove_dir(&mut p, own, "target"), 0);
    make(&mut p, own, "target");
    assert!(matches!(p.symlink("source", own, "target/"), NOTDIR | EXIST));
    assert_eq!(p.symlink("source", own, "target"), EXIST);
}

#[test]
fn a_hard_link_is_the_file_itself() {
    let (_dir, mut p, own) = in_own_directory();
    let rights = FD_READ | 1 << 11 | 1 << 12 | 1 << 21 | 1 << 13 | 1 << 26;
    let file = p.open_as(own, "file", 0, CREAT, rights, 0).unwrap();
    assert_eq!(p.link(own, 0, "file", own, "link"), 0);
    let link = p.open_as(own, "link", 0, 0, rights, 0).unwrap();
    let stat = |p: &mut Program, fd: i32| {
        assert_eq!(p.call("fd_filestat_get", &[fd.into(), OUT.into()]), 0);
        p.take::<64>(OUT)
    };
    assert_eq!((stat(&mut p, file), p.fdstat(file)), (stat(&mut p, link), p.fdstat(link)));
    assert_eq!(p.link(own, 0, "file", own, "link"), EXIST);
    assert_eq!(p.link(own, 0, "file", own, "file"), EXIST);
    make_dir(&mut p, own, "dir");
    let dir = p.open_as(own, "dir", 0, DIRECTORY, rights, 0).unwrap();
    assert_eq!((p.link(own, 0, "file", dir, "link"), p.link(own, 0, "file", own, "dir")), (0, EXIST));
    assert!(matches!(p.link(own, 0, "dir", own, "other"), PERM | ACCES));
    assert_eq!(p.link(own, 0, "file", own, "other/"), NOENT);
    // Links to links, whatever these lead to, but not through them.
    for target in ["nowhere", "soft"] {
        assert_eq!((p.symlink(target, own, "soft"), p.link(own, 0, "soft", own, "hard")), (0, 0));
        assert_eq!(p.link(own, 0, "file", own, "soft"), EXIST);
        assert!(matches!(p.link(own, FOLLOW, "soft", own, "through"), INVAL | NOENT | LOOP));
        assert_eq!((remove(&mut p, own, "soft"), remove(&mut p, own, "hard")), (0, 0));
    }
}

#[test]
fn renaming_takes_the_place_of_what_is_alike_and_empty() {
    let (_dir, mut p, own) = in_own_directory();
    make_dir(&mut p, own, "source");
    for (from, to) in [("source", "target"), ("target", "source/"), ("source/", "target"), ("target/", "source/")] {
        assert_eq!(p.rename(own, from, own, to), 0, "{from} to {to}");
    }
    make_dir(&mut p, own, "target");
    assert_eq!(p.rename(own, "source", own, "target"), 0);
    assert_eq!(p.open_as(own, "source", 0, DIRECTORY, 0, 0), Err(NOENT));
    make_dir(&mut p, own, "source");
    make(&mut p, own, "target/file");
    assert_eq!(p.rename(own, "source", own, "target"), NOTEMPTY);
    assert_eq!(p.rename(own, "source", own, "target/file"), NOTDIR);
    assert_eq!(p.rename(own, "target/file", own, "source"), ISDIR);
    make(&mut p, own, "other");
    assert_eq!((p.rename(own, "target/file", own, "other"), remove(&mut p, own, "other")), (0, 0));
    assert_eq!((remove_dir(&mut p, own, "target"), remove_dir(&mut p, own, "source/")), (0, 0));
}

#[test]
fn removing_looks_at_what_is_there_and_at_slashes() {
    let (_dir, mut p, own) = in_own_directory();
    make_dir(&mut p, own, "dir");
    assert_eq!((remove(&mut p, own, "dir"), remove(&mut p, own, "dir/")), (ISDIR, ISDIR));
    assert_eq!(remove_dir(&mut p, own, "dir/"), 0);
    make(&mut p, own, "file");
    assert_eq!((remove_dir(&mut p, own, "file"), remove_dir(&mut p, own, "file/")), (NOTDIR, NOTDIR));
    assert_eq!((remove(&mut p, own, "file/"), remove(&mut p, own, "file")), (NOTDIR, 0));
}

#[test]
fn space_is_allocated_beyond_the_end_only() {
    let (_dir, mut p, own) = in_own_directory();
    let fd = p.open_as(own, "file", 0, CREAT, FD_READ | FD_WRITE | 1 << 7 | 1 << 8 | FD_FILESTAT_SET_SIZE, 0).unwrap();
    for (at, len, end) in [(0_i64, 100_i64, 100), (10, 10, 100), (90, 20, 110)] {
        match p.call("fd_allocate", &[fd.into(), at.into(), len.into()]) {
            0 => {
                assert_eq!(p.call("fd_filestat_get", &[fd.into(), OUT.into()]), NOTCAPABLE);
                assert_eq!(p.open_as(own, "file", 0, 0, READ, 0).and_then(|fd| p.seek(fd, 0, 2)), Ok(end));
            }
            errno => assert_eq!(errno, 58, "a file system that cannot do it says NOTSUP"),
        }
    }
    assert_eq!(p.call("fd_advise", &[fd.into(), 10_i64.into(), 50_i64.into(), 0.into()]), 0);
}
