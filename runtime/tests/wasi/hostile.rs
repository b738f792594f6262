//! What a guest must not reach, whatever it passes.

use crate::program::*;
use minirt::Val;
use minirt::wasi::{FsPerms, WasiCtxBuilder};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Returns a directory for the guest with a secret beside it, and links to the outside in it.
fn beside_a_secret() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    fs::create_dir_all(dir.path().join("guest/sub")).unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, dir.path().join("guest").join(name)).unwrap();
    link(Path::new("../secret"), "relative");
    link(&dir.path().join("secret"), "absolute");
    link(Path::new(".."), "up");
    link(Path::new("up/outside"), "chain");
    link(Path::new("/proc/self/root"), "root");
    dir
}

#[test]
fn no_path_leads_out_of_a_directory() {
    let dir = beside_a_secret();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(dir.path().join("guest"), "/", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    let absolute = dir.path().join("secret").display().to_string();
    let outside =
        ["../secret", "sub/../../secret", "up/secret", "./up/./secret", "chain/../secret", "sub/../up/secret"];
    let paths = outside.into_iter().chain([absolute.as_str(), "/", "..", "../", "/..", "up/", "up/.", "sub/../.."]);
    for path in paths {
        for follow in [0, FOLLOW] {
            assert_eq!(p.open_as(3, path, follow, 0, READ, 0), Err(PERM), "open {path}");
            assert_eq!(p.open_as(3, path, follow, DIRECTORY, 0, 0), Err(PERM), "open {path}");
            // A slash at the end of what is to be created is an error of its own.
            let created = p.open_as(3, path, follow, CREAT | TRUNC, READ_WRITE, 0);
            assert!(matches!(created, Err(PERM | ISDIR | INVAL)), "create {path}: {created:?}");
            assert_eq!(p.stat(path, follow), Err(PERM), "stat {path}");
            assert_eq!(p.set_times(path, follow, [0, 0], 5), PERM, "set times of {path}");
        }
        for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
            assert_ne!(p.path(name, 3, path, &[]), 0, "{name} {path}");
        }
        assert_ne!(p.path("path_readlink", 3, path, &[BYTES.into(), 99.into(), OUT.into()]), 0, "readlink {path}");
        assert_ne!((p.rename(3, path, 3, "new"), p.rename(3, "sub", 3, path)), (0, 0), "rename {path}");
        assert_ne!((p.link(3, 0, path, 3, "new"), p.link(3, 0, "relative", 3, path)), (0, 0), "link {path}");
        assert_ne!(p.symlink("x", 3, path), 0, "symlink {path}");
    }
    for link in ["relative", "absolute", "up", "chain", "root"] {
        assert_eq!(p.open(3, link, 0, READ), Err(PERM), "{link}");
        assert_eq!(p.open(3, link, CREAT | TRUNC, READ_WRITE), Err(PERM), "{link}");
        assert_eq!((p.stat(link, FOLLOW), p.set_times(link, FOLLOW, [0, 0], 5)), (Err(PERM), PERM), "{link}");
    }
    assert_eq!(p.symlink("/etc/passwd", 3, "new"), PERM);
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"secret");
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!((names(dir.path()), names(&dir.path().join("guest")), names(&dir.path().join("outside"))), (3, 6, 0));
}

/// The files there are what the guest would reach this process through.
#[test]
fn a_guest_that_sees_all_files_cannot_open_the_memory_of_this_process() {
    let canary = Box::new(*b"a canary in the host's memory");
    let address = i64::from_ne_bytes((canary.as_ptr() as usize).to_ne_bytes());
    let open_everywhere = |p: &mut Program, path: &str, rights: i64| {
        let id = std::process::id().to_string();
        for path in [path.to_owned(), path.replace("self", &id), path.replace("self", "thread-self")] {
            for follow in [0, FOLLOW] {
                let found = p.open_as(3, &path, follow, 0, rights, 0);
                if let Ok(fd) = found {
                    p.buffers(&[canary.len()]);
                    let read = p.io("fd_pread", fd, 1, Some(address));
                    panic!("{path} was opened; reading at the canary: {read:?}");
                }
                assert_eq!(found, Err(ACCES), "{path}");
            }
        }
    };
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir("/", "/", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    for file in ["mem", "pagemap", "maps", "environ", "clear_refs"] {
        let rights = if file == "clear_refs" { READ_WRITE & !FD_READ } else { READ };
        open_everywhere(&mut p, &format!("proc/self/{file}"), rights);
    }
    open_everywhere(&mut p, "proc/self/mem", READ_WRITE);
    assert_eq!(p.open(3, "proc/sys/kernel/core_pattern", 0, READ), Err(ACCES));
    // Some files there have a size. One of them is all memory of the machine, if there is one.
    assert_eq!(p.open(3, "proc/cmdline", 0, READ), Err(ACCES));
    let kernels = p.open(3, "proc/kcore", 0, READ);
    assert!(matches!(kernels, Err(ACCES | PERM | NOENT)), "{kernels:?}");
    // What the links of the kernel lead to is no part of the directory.
    assert!(p.open(3, "proc/self/fd/0", 0, READ).is_err());
    assert!(p.open(3, "proc/self/root/etc", DIRECTORY, 0).is_err());
    assert!(p.open(3, "proc", DIRECTORY, 0).is_ok());
}

/// The same, one directory down.
#[test]
fn a_guest_in_the_directory_of_a_process_cannot_open_its_memory() {
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir("/proc/self", "/", FsPerms::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    assert_eq!((p.open(3, "mem", 0, READ), p.open(3, "mem", 0, READ_WRITE)), (Err(ACCES), Err(ACCES)));
    let task = p.open(3, "task", DIRECTORY, DIR).unwrap();
    let thread = rustix::thread::gettid().as_raw_nonzero().get().to_string();
    assert_eq!(p.open(task, &format!("{thread}/mem"), 0, READ), Err(ACCES));
}

#[test]
fn bad_paths_have_errors_of_their_own() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!((p.open(3, "", 0, 0), p.open(3, "a\0b", CREAT, 0)), (Err(NOENT), Err(INVAL)));
    assert_eq!(p.open(3, &"x".repeat(256), 0, 0), Err(NAMETOOLONG));
    assert_eq!(p.open(3, &"x/".repeat(2048), 0, 0), Err(NAMETOOLONG));
    p.put(PATH, &[0xff]);
    assert_eq!(p.call("path_create_directory", &[3.into(), PATH.into(), 1.into()]), ILSEQ);
    assert_eq!(p.call("path_create_directory", &[3.into(), PATH.into(), (-1).into()]), FAULT);
}

#[test]
fn every_pointer_is_checked() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    fs::write(dir.path().join("file"), "data").unwrap();
    let fd = p.open(3, "file", 0, READ_WRITE).unwrap();
    for end in [MEMORY as i32 - 3, -4, -1] {
        for (name, at) in [("fd_fdstat_get", fd), ("fd_filestat_get", fd), ("fd_tell", fd), ("fd_prestat_get", 3)] {
            assert_eq!(p.call(name, &[at.into(), end.into()]), FAULT, "{name}");
        }
        for name in ["fd_read", "fd_write"] {
            assert_eq!(p.call(name, &[fd.into(), end.into(), 1.into(), OUT.into()]), FAULT, "{name}");
            assert_eq!(p.call(name, &[fd.into(), end.into(), (-1).into(), OUT.into()]), FAULT, "{name}");
        }
        assert_eq!(p.call("clock_time_get", &[1.into(), 0_i64.into(), end.into()]), FAULT);
        assert_eq!(p.call("random_get", &[end.into(), 4.into()]), FAULT);
        assert_eq!(p.call("random_get", &[0.into(), end.into()]), if end > 0 { 0 } else { FAULT });
        assert_eq!(p.call("fd_readdir", &[3.into(), end.into(), 9.into(), 0_i64.into(), OUT.into()]), FAULT);
        assert_eq!(p.call("poll_oneoff", &[end.into(), 0.into(), 1.into(), OUT.into()]), FAULT);
        assert_eq!(p.call("poll_oneoff", &[0.into(), end.into(), 1.into(), OUT.into()]), FAULT);
    }
    // Nothing is opened if the descriptor's number cannot be written.
    p.put(PATH, b"file");
    let args = [3.into(), 0.into(), PATH.into(), 4.into(), 0.into(), 0_i64.into(), 0_i64.into(), 0.into()];
    assert_eq!(p.call("path_open", &[&args[..], &[(-1).into()]].concat()), FAULT);
    assert_eq!(open_in(dir.path()), 2);
}

#[test]
fn buffers_outside_the_memory_are_a_fault_and_overlapping_ones_are_not() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "0123456789").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", 0, READ_WRITE).unwrap();
    p.buffers(&[4, MEMORY]);
    assert_eq!((p.io("fd_read", fd, 2, None), p.io("fd_write", fd, 2, None)), (Err(FAULT), Err(FAULT)));
    // Each buffer is inside, and together they are more than a count can say.
    let whole = [0_i32.to_le_bytes(), (MEMORY as i32).to_le_bytes()].concat();
    p.put(PATH, &whole.repeat(1024));
    assert_eq!(p.call("fd_write", &[1.into(), PATH.into(), 1024.into(), OUT.into()]), 0);
    assert_eq!(p.u32(OUT), 1024 * MEMORY as i32);
    // Two buffers that are the same.
    p.buffers(&[4, 4]);
    p.put(VECTORS + 8, &BYTES.to_le_bytes());
    assert_eq!((p.io("fd_read", fd, 2, None), p.bytes(4)), (Ok(8), b"4567".to_vec()));
}

#[test]
fn whatever_a_guest_passes_the_host_does_not_panic() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadOnly);
    p.put(PATH, b"file");
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    const INTERESTING: [i32; 12] = [0, 1, 2, 3, 4, 5, 8, OUT, PATH, MEMORY as i32 - 1, i32::MAX, -1];
    for _ in 0..20_000 {
        // Waiting may take forever.
        let (name, types) = FUNCTIONS[random() as usize % FUNCTIONS.len()];
        if name == "poll_oneoff" {
            continue;
        }
        let mut value = || INTERESTING[random() as usize % INTERESTING.len()];
        let args: Vec<Val> =
            types.chars().map(|t| if t == 'i' { value().into() } else { (i64::from(value()) << 31).into() }).collect();
        let errno = p.call(name, &args);
        assert!((0..=76).contains(&errno), "{name} {args:?} is {errno}");
    }
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"data");
}
