//! Directories: listing, making, renaming, linking, times.

use crate::program::*;
use minirt::wasi::FsPerms;
use std::fs;
use tempfile::TempDir;

#[test]
fn a_directory_is_no_file() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, ".", DIRECTORY, DIR | FD_READ).unwrap();
    let (filetype, flags, own, _) = p.fdstat(fd);
    assert_eq!((filetype, flags, own & (FD_SEEK | FD_READ | FD_WRITE)), (3, 0, 0));
    assert_eq!((p.read(fd, 1), p.write(fd, b"x"), p.seek(fd, 0, 0)), (Err(ISDIR), Err(ISDIR), Err(ISDIR)));
    for name in ["fd_pread", "fd_pwrite"] {
        // Also where there is nothing to move.
        assert_eq!([1, 0].map(|buffers| p.io(name, fd, buffers, Some(0))), [Err(ISDIR); 2]);
    }
    assert_eq!(p.call("fd_tell", &[fd.into(), OUT.into()]), ISDIR);
    assert_eq!(p.call("fd_allocate", &[fd.into(), 0_i64.into(), 1_i64.into()]), ISDIR);
    assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), 0_i64.into()]), ISDIR);
    assert_eq!((p.open(3, ".", DIRECTORY, FD_READ | FD_WRITE), p.open(3, ".", 0, FD_WRITE)), (Err(ISDIR), Err(ISDIR)));
    assert_eq!(p.open(3, ".", CREAT, 0), Err(ISDIR));
    assert_eq!(p.open(3, "x", CREAT | DIRECTORY, 0), Err(INVAL));
    let file = p.open(3, "file", CREAT, READ_WRITE).unwrap();
    assert_eq!(p.open(file, "x", 0, 0), Err(NOTDIR));
    assert_eq!(p.list(file, 100, 0), Err(NOTDIR));
    assert_eq!((p.open(3, "file", DIRECTORY, 0), p.open(3, "file/", 0, 0)), (Err(NOTDIR), Err(NOTDIR)));
    // All that directories may, but not wait.
    assert!(p.open_as(3, ".", FOLLOW, 0, DIR, 4).is_ok());
}

#[test]
fn a_listing_has_inodes_as_stat_gives_them_and_can_go_on() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().unwrap();
    for i in 0..50 {
        fs::write(dir.path().join(format!("file {i}")), "").unwrap();
    }
    let mut p = Program::in_dir(&dir, FsPerms::ReadOnly);
    let (mut entries, mut cookie) = (Vec::new(), 0);
    loop {
        let (some, next) = p.list(3, 200, cookie).unwrap();
        if some.is_empty() {
            break;
        }
        entries.extend(some);
        cookie = next;
    }
    assert_eq!(entries.len(), 52);
    assert_eq!((entries[0].0.as_str(), entries[1].0.as_str()), (".", ".."));
    for (name, inode) in &entries[2..] {
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().ino(), *inode);
    }
    assert_eq!(entries[0].1, fs::metadata(dir.path()).unwrap().ino());
    assert_eq!(p.list(3, 200, -1).err(), Some(INVAL));
    // A buffer that is not filled says that this was all.
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadOnly);
    assert_eq!((p.list(3, 100, 0).unwrap().0.len(), p.u32(OUT)), (2, 51));
    assert_eq!((p.list(3, 30, 0).unwrap().0.len(), p.u32(OUT)), (1, 30));
}

#[test]
fn directories_are_made_and_removed_with_and_without_a_slash() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    for name in ["sub", "sub/"] {
        assert_eq!(p.path("path_create_directory", 3, name, &[]), 0);
        assert_eq!(p.path("path_create_directory", 3, "sub", &[]), EXIST);
        assert_eq!(p.path("path_unlink_file", 3, name, &[]), ISDIR);
        assert_eq!(p.path("path_remove_directory", 3, name, &[]), 0);
        assert_eq!(p.path("path_remove_directory", 3, name, &[]), NOENT);
    }
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(p.path("path_remove_directory", 3, "file", &[]), NOTDIR);
    assert_eq!(p.path("path_remove_directory", 3, "file/", &[]), NOTDIR);
    assert_eq!(p.path("path_unlink_file", 3, "file/", &[]), NOTDIR);
    assert_eq!(p.path("path_unlink_file", 3, "file", &[]), 0);
    fs::create_dir_all(dir.path().join("full/sub")).unwrap();
    assert_eq!(p.path("path_remove_directory", 3, "full", &[]), NOTEMPTY);
}

#[test]
fn renaming_is_as_on_linux() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    for name in ["full", "empty"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("full/file"), "").unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(p.rename(3, "empty", 3, "full"), NOTEMPTY);
    assert_eq!(p.rename(3, "empty", 3, "full/file"), NOTDIR);
    assert_eq!(p.rename(3, "file", 3, "empty"), ISDIR);
    assert_eq!((p.rename(3, "file", 3, "new/"), p.rename(3, "file/", 3, "new")), (NOTDIR, NOTDIR));
    assert_eq!(p.rename(3, "none", 3, "new"), NOENT);
    assert_eq!(p.rename(3, "full/", 3, "empty/"), 0);
    assert_eq!(p.rename(3, "file", 3, "empty/file"), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn links_are_made_to_files_but_not_to_directories() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!(p.link(3, 0, "file", 3, "sub/link"), 0);
    assert_eq!(fs::read(dir.path().join("sub/link")).unwrap(), b"data");
    assert_eq!((p.link(3, 0, "file", 3, "file"), p.link(3, 0, "file", 3, "sub")), (EXIST, EXIST));
    assert!(matches!(p.link(3, 0, "sub", 3, "new"), PERM | ACCES));
    assert_eq!((p.link(3, 0, "file", 3, "new/"), p.link(3, FOLLOW, "file", 3, "new")), (NOENT, INVAL));
}

#[test]
fn symbolic_links_are_followed_only_when_asked() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!((p.symlink("file", 3, "link"), p.symlink("loop", 3, "loop"), p.symlink(".", 3, "dir")), (0, 0, 0));
    assert_eq!((p.symlink("none", 3, "dangling"), p.symlink("file", 3, "link")), (0, EXIST));
    assert_eq!((p.stat("link", 0).unwrap().0, p.stat("link", FOLLOW).unwrap().0), (7, 4));
    assert!(p.open_as(3, "link", FOLLOW, 0, READ, 0).is_ok());
    for path in ["link", "loop", "dangling", "dir", "dir/link"] {
        assert_eq!(p.open_as(3, path, 0, 0, READ, 0), Err(LOOP), "{path}");
        assert_eq!(p.open_as(3, path, 0, DIRECTORY, 0, 0), Err(NOTDIR), "{path}");
    }
    assert_eq!((p.open(3, "loop", 0, READ), p.stat("loop", FOLLOW)), (Err(LOOP), Err(LOOP)));
    assert!(p.open_as(3, "dir/file", 0, 0, READ, 0).is_ok());
    assert!(p.open_as(3, "dir/", 0, DIRECTORY, 0, 0).is_ok());
    let readlink = |p: &mut Program, path, len: i32| {
        let errno = p.path("path_readlink", 3, path, &[BYTES.into(), len.into(), OUT.into()]);
        if errno == 0 { Ok(p.bytes(p.u32(OUT))) } else { Err(errno) }
    };
    assert_eq!((readlink(&mut p, "link", 9), readlink(&mut p, "link", 2)), (Ok(b"file".into()), Ok(b"fi".into())));
    assert_eq!(readlink(&mut p, "file", 9), Err(INVAL));
    assert_eq!((p.symlink("file", 3, "new/"), p.symlink("", 3, "new")), (NOENT, NOENT));
}

#[test]
fn times_are_set_on_the_link_or_what_it_points_to() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!(p.symlink("file", 3, "link"), 0);
    assert_eq!(p.set_times("link", 0, [1, 1_000_000_002], 5), 0);
    let before = p.stat("file", 0).unwrap().2;
    assert_eq!(p.stat("link", 0).unwrap().2, 1_000_000_002);
    assert!(before > 1_000_000_002);
    assert_eq!(p.set_times("link", FOLLOW, [1, 3], 4), 0);
    assert_eq!((p.stat("file", 0).unwrap().2, p.stat("link", 0).unwrap().2), (3, 1_000_000_002));
    assert_eq!((p.set_times("file", 0, [0, 0], 3), p.set_times("file", 0, [0, 0], 12)), (INVAL, INVAL));
    assert_eq!(p.stat("file", 0).unwrap().2, 3);
    let fd = p.open(3, "file", 0, READ).unwrap();
    assert_eq!(p.call("fd_filestat_set_times", &[fd.into(), 0_i64.into(), 7_i64.into(), 4.into()]), 0);
    assert_eq!(p.stat("file", 0).unwrap().2, 7);
    assert_eq!(p.call("fd_filestat_set_times", &[fd.into(), 0_i64.into(), 7_i64.into(), 3.into()]), INVAL);
}
