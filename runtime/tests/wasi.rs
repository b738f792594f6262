//! WASI preview 1 as a guest meets it.
//!
//! The guest forwards: it exports every function that it imports, so that a test is the program, with the guest's
//! memory as its own.
#![cfg(all(feature = "wasi", feature = "wat"))]

use minirt::wasi::{DirAccess, I32Exit, Input, Output, OutputBuffer, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Engine, Instance, Linker, Memory, Module, Store, Val};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use tempfile::TempDir;

const ACCES: i32 = 2;
const AGAIN: i32 = 6;
const BADF: i32 = 8;
const EXIST: i32 = 20;
const FAULT: i32 = 21;
const ILSEQ: i32 = 25;
const INVAL: i32 = 28;
const ISDIR: i32 = 31;
const LOOP: i32 = 32;
const MFILE: i32 = 33;
const NAMETOOLONG: i32 = 37;
const NOENT: i32 = 44;
const NOSPC: i32 = 51;
const NOTDIR: i32 = 54;
const NOTEMPTY: i32 = 55;
const NOTSOCK: i32 = 57;
const PERM: i32 = 63;
const PIPE: i32 = 64;
const SPIPE: i32 = 70;
const NOTCAPABLE: i32 = 76;

const FD_READ: i64 = 1 << 1;
const FD_SEEK: i64 = 1 << 2;
const FD_TELL: i64 = 1 << 5;
const FD_WRITE: i64 = 1 << 6;
/// All rights of the standard. Those that do not apply are not given.
const ALL: i64 = (1 << 30) - 1;
const READ_WRITE: i64 = ALL;
const READ: i64 = ALL & !(FD_WRITE | 1 << 8 | 1 << 22);
/// All rights that directories have, among others.
const DIR: i64 = READ & !FD_READ;

const CREAT: i32 = 1;
const DIRECTORY: i32 = 2;
const EXCL: i32 = 4;
const TRUNC: i32 = 8;
const FOLLOW: i32 = 1;
const NONBLOCK: i32 = 4;
const PEEK: i32 = 1;
const WAITALL: i32 = 2;

/// Every function and its parameters: `i` for i32, `I` for i64.
const FUNCTIONS: [(&str, &str); 45] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// Size of the guest's memory: two pages.
const MEMORY: usize = 0x2_0000;
/// Where tests keep what: results, arrays of buffers, two paths, bytes.
const OUT: i32 = 0x100;
const VECTORS: i32 = 0x200;
const PATH: i32 = 0x1000;
const PATH_2: i32 = 0x3000;
const BYTES: i32 = 0x8000;

fn forwarder() -> String {
    let mut imports = String::new();
    let mut exports = String::new();
    for (name, types) in FUNCTIONS {
        let params: String = types.chars().map(|t| if t == 'i' { " i32" } else { " i64" }).collect();
        let gets: String = (0..types.len()).map(|i| format!("(local.get {i})")).collect();
        let import = format!("(import \"wasi_snapshot_preview1\" \"{name}\"");
        imports += &format!("{import} (func ${name} (param{params}) (result i32)))\n");
        exports += &format!("(func (export \"{name}\") (param{params}) (result i32) (call ${name} {gets}))\n");
    }
    format!(
        "(module {imports}
           (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
           (memory (export \"memory\") 2)
           {exports}
           (func (export \"exit\") (param i32) (call $exit (local.get 0)) unreachable))"
    )
}

/// A guest, and we are its program.
struct Program {
    store: Store<WasiCtx>,
    instance: Instance,
    memory: Memory,
}

impl Program {
    fn new(wasi: &mut WasiCtxBuilder) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, forwarder()).unwrap();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |ctx| ctx).unwrap();
        let mut store = Store::new(&engine, wasi.build().unwrap());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        Self { store, instance, memory }
    }

    /// A program with a directory of the host as `/`, descriptor 3.
    fn in_dir(dir: &TempDir, access: DirAccess) -> Self {
        Self::new(WasiCtxBuilder::new().preopened_dir(dir.path(), "/", access).unwrap())
    }

    /// Calls a function and returns its errno.
    fn call(&mut self, name: &str, args: &[Val]) -> i32 {
        let func = self.instance.get_func(&self.store, name).unwrap();
        let mut results = [Val::I32(0)];
        func.call(&mut self.store, args, &mut results).unwrap();
        match results {
            [Val::I32(errno)] => errno,
            _ => panic!("not an errno"),
        }
    }

    fn put(&mut self, at: i32, bytes: &[u8]) {
        self.memory.write(&mut self.store, at as usize, bytes).unwrap();
    }

    fn take<const N: usize>(&self, at: i32) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read(&self.store, at as usize, &mut bytes).unwrap();
        bytes
    }

    fn bytes(&self, len: i32) -> Vec<u8> {
        self.take::<0x1000>(BYTES)[..len as usize].to_vec()
    }

    fn u32(&self, at: i32) -> i32 {
        i32::from_le_bytes(self.take(at))
    }

    fn u64(&self, at: i32) -> u64 {
        u64::from_le_bytes(self.take(at))
    }

    /// Calls a function of one path, after which come `more` arguments.
    fn path(&mut self, name: &str, fd: i32, path: &str, more: &[Val]) -> i32 {
        self.put(PATH, path.as_bytes());
        let args = [&[fd.into(), PATH.into(), (path.len() as i32).into()], more].concat();
        self.call(name, &args)
    }

    fn rename(&mut self, fd: i32, old: &str, new_fd: i32, new: &str) -> i32 {
        self.put(PATH, old.as_bytes());
        self.put(PATH_2, new.as_bytes());
        let lens = [old, new].map(|path| (path.len() as i32).into());
        let [old_len, new_len] = lens;
        self.call("path_rename", &[fd.into(), PATH.into(), old_len, new_fd.into(), PATH_2.into(), new_len])
    }

    fn link(&mut self, fd: i32, flags: i32, old: &str, new_fd: i32, new: &str) -> i32 {
        self.put(PATH, old.as_bytes());
        self.put(PATH_2, new.as_bytes());
        let lens = [old, new].map(|path| (path.len() as i32).into());
        let [old_len, new_len] = lens;
        let args = [fd.into(), flags.into(), PATH.into(), old_len, new_fd.into(), PATH_2.into(), new_len];
        self.call("path_link", &args)
    }

    fn symlink(&mut self, target: &str, fd: i32, path: &str) -> i32 {
        self.put(PATH, target.as_bytes());
        self.put(PATH_2, path.as_bytes());
        let (target_len, len) = (target.len() as i32, path.len() as i32);
        self.call("path_symlink", &[PATH.into(), target_len.into(), fd.into(), PATH_2.into(), len.into()])
    }

    fn open_as(
        &mut self,
        fd: i32,
        path: &str,
        follow: i32,
        oflags: i32,
        rights: i64,
        fdflags: i32,
    ) -> Result<i32, i32> {
        self.put(PATH, path.as_bytes());
        let args = [
            fd.into(),
            follow.into(),
            PATH.into(),
            (path.len() as i32).into(),
            oflags.into(),
            rights.into(),
            ALL.into(),
            fdflags.into(),
            OUT.into(),
        ];
        match self.call("path_open", &args) {
            0 => Ok(self.u32(OUT)),
            errno => Err(errno),
        }
    }

    fn open(&mut self, fd: i32, path: &str, oflags: i32, rights: i64) -> Result<i32, i32> {
        self.open_as(fd, path, FOLLOW, oflags, rights, 0)
    }

    fn close(&mut self, fd: i32) -> i32 {
        self.call("fd_close", &[fd.into()])
    }

    /// Lays out buffers, one behind the other, and the array that names them.
    fn buffers(&mut self, lens: &[usize]) {
        let mut place = BYTES;
        for (i, len) in lens.iter().enumerate() {
            self.put(VECTORS + i as i32 * 8, &place.to_le_bytes());
            self.put(VECTORS + i as i32 * 8 + 4, &(*len as i32).to_le_bytes());
            place += *len as i32;
        }
    }

    fn io(&mut self, name: &str, fd: i32, buffers: usize, offset: Option<i64>) -> Result<i32, i32> {
        let mut args: Vec<Val> = vec![fd.into(), VECTORS.into(), (buffers as i32).into()];
        args.extend(offset.map(Val::from));
        args.push(OUT.into());
        match self.call(name, &args) {
            0 => Ok(self.u32(OUT)),
            errno => Err(errno),
        }
    }

    fn write(&mut self, fd: i32, bytes: &[u8]) -> Result<i32, i32> {
        self.put(BYTES, bytes);
        self.buffers(&[bytes.len()]);
        self.io("fd_write", fd, 1, None)
    }

    fn read(&mut self, fd: i32, len: usize) -> Result<Vec<u8>, i32> {
        self.buffers(&[len]);
        self.io("fd_read", fd, 1, None).map(|len| self.bytes(len))
    }

    fn seek(&mut self, fd: i32, offset: i64, whence: i32) -> Result<u64, i32> {
        match self.call("fd_seek", &[fd.into(), offset.into(), whence.into(), OUT.into()]) {
            0 => Ok(self.u64(OUT)),
            errno => Err(errno),
        }
    }

    /// File type, flags, rights, inherited rights.
    fn fdstat(&mut self, fd: i32) -> (u8, u8, i64, i64) {
        assert_eq!(self.call("fd_fdstat_get", &[fd.into(), OUT.into()]), 0);
        let [filetype, _, flags] = self.take(OUT);
        (filetype, flags, self.u64(OUT + 8) as i64, self.u64(OUT + 16) as i64)
    }

    /// File type, size, time of modification.
    fn stat(&mut self, path: &str, follow: i32) -> Result<(u8, u64, u64), i32> {
        self.put(PATH, path.as_bytes());
        let len = path.len() as i32;
        match self.call("path_filestat_get", &[3.into(), follow.into(), PATH.into(), len.into(), OUT.into()]) {
            0 => Ok((self.take::<1>(OUT + 16)[0], self.u64(OUT + 32), self.u64(OUT + 48))),
            errno => Err(errno),
        }
    }

    fn set_times(&mut self, path: &str, follow: i32, times: [i64; 2], which: i32) -> i32 {
        self.put(PATH, path.as_bytes());
        let len = path.len() as i32;
        let [accessed, modified] = times;
        let args = [3.into(), follow.into(), PATH.into(), len.into(), accessed.into(), modified.into(), which.into()];
        self.call("path_filestat_set_times", &args)
    }

    /// Names and inodes, from a cookie on, and the last cookie.
    fn list(&mut self, fd: i32, len: i32, cookie: i64) -> Result<(Vec<(String, u64)>, i64), i32> {
        match self.call("fd_readdir", &[fd.into(), BYTES.into(), len.into(), cookie.into(), OUT.into()]) {
            0 => (),
            errno => return Err(errno),
        }
        let bytes = self.bytes(self.u32(OUT));
        let (mut rest, mut entries, mut next) = (&bytes[..], Vec::new(), cookie);
        while let Some((head, tail)) = rest.split_at_checked(24) {
            let field = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
            let Some((name, tail)) = tail.split_at_checked(field(16) as u32 as usize) else { break };
            next = field(0) as i64;
            entries.push((String::from_utf8(name.to_vec()).unwrap(), field(8)));
            rest = tail;
        }
        Ok((entries, next))
    }

    fn poll(&mut self, subscriptions: &[[u8; 48]]) -> Result<Vec<(u64, i32, u8)>, i32> {
        for (i, subscription) in subscriptions.iter().enumerate() {
            self.put(PATH + i as i32 * 48, subscription);
        }
        let count = subscriptions.len() as i32;
        match self.call("poll_oneoff", &[PATH.into(), BYTES.into(), count.into(), OUT.into()]) {
            0 => (),
            errno => return Err(errno),
        }
        let event = |i: i32| {
            let [low, high, kind] = self.take(BYTES + i * 32 + 8);
            (self.u64(BYTES + i * 32), i32::from(u16::from_le_bytes([low, high])), kind)
        };
        Ok((0..self.u32(OUT)).map(event).collect())
    }
}

fn clock_subscription(userdata: u8, clock: u8, timeout: u64, absolute: bool) -> [u8; 48] {
    let mut bytes = [0; 48];
    (bytes[0], bytes[16], bytes[40]) = (userdata, clock, u8::from(absolute));
    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
    bytes
}

fn fd_subscription(userdata: u8, kind: u8, fd: u8) -> [u8; 48] {
    let mut bytes = [0; 48];
    (bytes[0], bytes[8], bytes[16]) = (userdata, kind, fd);
    bytes
}

/// How many of this process's descriptors are of something in a directory.
fn open_in(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    links.filter(|target| target.starts_with(dir)).count()
}

// Arguments, environment, exit

#[test]
fn a_guest_gets_exactly_the_arguments_and_variables_given() {
    let mut p = Program::new(WasiCtxBuilder::new().args(["prog", ""]).env("A", "b=c"));
    assert_eq!(p.call("args_sizes_get", &[OUT.into(), (OUT + 4).into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4)), (2, 6));
    assert_eq!(p.call("args_get", &[OUT.into(), BYTES.into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4), p.bytes(6)), (BYTES, BYTES + 5, b"prog\0\0".to_vec()));
    assert_eq!(p.call("environ_sizes_get", &[OUT.into(), (OUT + 4).into()]), 0);
    assert_eq!((p.u32(OUT), p.u32(OUT + 4)), (1, 6));
    assert_eq!(p.call("environ_get", &[OUT.into(), BYTES.into()]), 0);
    assert_eq!(p.bytes(6), b"A=b=c\0");
}

#[test]
fn an_exit_code_comes_back_as_an_error_of_its_own() {
    for code in [0, 1, 33, 255, -1] {
        let mut p = Program::new(&mut WasiCtxBuilder::new());
        let exit = p.instance.get_func(&p.store, "exit").unwrap();
        let error = exit.call(&mut p.store, &[Val::I32(code)], &mut []).unwrap_err();
        assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(code)));
    }
    assert_eq!(I32Exit(33).to_string(), "exited with code 33");
}

#[test]
fn a_guest_without_an_exported_memory_is_told_so() {
    let engine = Engine::default();
    let text = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
                    (func (export "f") (result i32) (call $yield)))"#;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build().unwrap());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let error = instance.get_func(&store, "f").unwrap().call(&mut store, &[], &mut [Val::I32(0)]).unwrap_err();
    assert!(format!("{error:?}").contains("must export its memory as `memory`"), "{error:?}");
}

#[test]
fn what_can_not_be_given_is_refused_with_a_reason() {
    let error = WasiCtxBuilder::new().preopened_dir("/no/such/place", "/", DirAccess::ReadOnly).unwrap_err();
    assert!(format!("{error:#}").starts_with("can not open the directory `/no/such/place` for the guest: "));
    let error = WasiCtxBuilder::new().arg("a\0b").build().unwrap_err();
    assert!(error.to_string().contains("arguments hold a NUL"), "{error}");
    let error = WasiCtxBuilder::new().max_descriptors(2).build().unwrap_err();
    assert!(error.to_string().contains("more than 2 descriptors"), "{error}");
}

#[test]
fn a_context_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<WasiCtx>();
    check::<WasiCtxBuilder>();
}

// Streams

#[test]
fn output_is_captured_and_input_read_to_its_end() {
    let (out, err) = (OutputBuffer::new(100), OutputBuffer::new(100));
    let mut p = Program::new(
        WasiCtxBuilder::new()
            .stdin(Input::Bytes(b"some input".to_vec()))
            .stdout(Output::Buffer(out.clone()))
            .stderr(Output::Buffer(err.clone())),
    );
    assert_eq!((p.write(1, b"out"), p.write(2, b"err")), (Ok(3), Ok(3)));
    p.put(BYTES, b"abcdef");
    p.buffers(&[1, 0, 2, 3]);
    assert_eq!(p.io("fd_write", 1, 4, None), Ok(6));
    assert_eq!((out.contents(), err.contents()), (b"outabcdef".to_vec(), b"err".to_vec()));
    assert_eq!((p.read(0, 4), p.read(0, 100), p.read(0, 100)), (Ok(b"some".into()), Ok(b" input".into()), Ok(vec![])));
    assert_eq!((p.write(0, b"x"), p.read(1, 1)), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
    assert_eq!(p.seek(1, 0, 1), Err(SPIPE));
}

#[test]
fn captured_output_is_bounded() {
    let out = OutputBuffer::new(4);
    let mut p = Program::new(WasiCtxBuilder::new().stdout(Output::Buffer(out.clone())));
    assert_eq!((p.write(1, b"abcdef"), p.write(1, b"g"), p.write(1, b"")), (Ok(4), Err(NOSPC), Ok(0)));
    assert_eq!(out.contents(), b"abcd");
}

#[test]
fn without_streams_input_ends_and_output_vanishes() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    assert_eq!((p.read(0, 10), p.write(1, b"gone"), p.write(2, b"gone")), (Ok(vec![]), Ok(4), Ok(4)));
    assert_eq!(p.call("sock_shutdown", &[1.into(), 1.into()]), NOTSOCK);
    assert_eq!(p.call("sock_shutdown", &[9.into(), 1.into()]), BADF);
}

#[test]
fn inherited_streams_reach_the_host() {
    let mut p = Program::new(WasiCtxBuilder::new().inherit_stdio());
    assert_eq!(p.write(1, b""), Ok(0));
    assert_eq!(p.call("fd_filestat_get", &[1.into(), OUT.into()]), 0);
    assert_eq!(p.close(1), 0);
    assert_eq!(p.write(1, b"x"), Err(BADF));
    println!("the host's own standard output is still open");
}

// Files

#[test]
fn preopens_begin_at_3_under_the_guest_s_names() {
    let dir = TempDir::new().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(dir.path(), "/data", DirAccess::ReadOnly).unwrap();
    wasi.preopened_dir(dir.path(), "b", DirAccess::ReadWrite).unwrap();
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
fn a_read_only_directory_can_not_be_changed_in_any_way() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadOnly);
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
fn a_file_can_not_be_linked_or_moved_out_of_a_read_only_directory() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(from.path().join("file"), "data").unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(from.path(), "/from", DirAccess::ReadOnly).unwrap();
    wasi.preopened_dir(to.path(), "/to", DirAccess::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    assert_eq!((p.link(3, 0, "file", 4, "file"), p.rename(3, "file", 4, "file")), (NOTCAPABLE, NOTCAPABLE));
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
}

#[test]
fn appending_is_a_flag_that_can_be_switched() {
    const APPEND: i32 = 1;
    const SYNC: i32 = 16;
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    wasi.max_descriptors(5).preopened_dir(dir.path(), "/", DirAccess::ReadWrite).unwrap();
    let mut p = Program::new(&mut wasi);
    assert_eq!((p.open(3, "a", CREAT, READ), p.open(3, "b", CREAT, READ)), (Ok(4), Err(MFILE)));
    assert!(!dir.path().join("b").exists());
    assert_eq!((p.close(4), p.open(3, "b", CREAT, READ)), (0, Ok(4)));
}

#[test]
fn opening_and_closing_leaks_nothing() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("sub/sub")).unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
    for _ in 0..100 {
        let fd = p.open(3, "sub/sub/file", CREAT, READ_WRITE).unwrap();
        assert_eq!(p.open(3, "sub/sub/file", DIRECTORY, 0), Err(NOTDIR));
        assert_eq!(p.open_as(3, "sub/sub", 0, DIRECTORY, FD_WRITE, 0), Err(ISDIR));
        assert_eq!(p.set_times("sub/sub/file", 0, [1, 2], 5), 0);
        assert_eq!((p.path("path_unlink_file", 3, "sub/sub/file", &[]), p.close(fd)), (0, 0));
    }
    assert_eq!(open_in(dir.path()), 1);
}

// Directories

#[test]
fn a_directory_is_no_file() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
    let fd = p.open(3, ".", DIRECTORY, DIR | FD_READ).unwrap();
    let (filetype, flags, own, _) = p.fdstat(fd);
    assert_eq!((filetype, flags, own & (FD_SEEK | FD_READ | FD_WRITE)), (3, 0, 0));
    assert_eq!((p.read(fd, 1), p.write(fd, b"x"), p.seek(fd, 0, 0)), (Err(ISDIR), Err(ISDIR), Err(ISDIR)));
    for name in ["fd_pread", "fd_pwrite"] {
        assert_eq!(p.io(name, fd, 1, Some(0)), Err(ISDIR));
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadOnly);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadOnly);
    assert_eq!((p.list(3, 100, 0).unwrap().0.len(), p.u32(OUT)), (2, 51));
    assert_eq!((p.list(3, 30, 0).unwrap().0.len(), p.u32(OUT)), (1, 30));
}

#[test]
fn directories_are_made_and_removed_with_and_without_a_slash() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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

// What must not be

/// A directory for the guest with a secret beside it, and links to the outside in it.
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
    wasi.preopened_dir(dir.path().join("guest"), "/", DirAccess::ReadWrite).unwrap();
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

#[test]
fn bad_paths_have_errors_of_their_own() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
    fs::write(dir.path().join("file"), "data").unwrap();
    let fd = p.open(3, "file", 0, READ_WRITE).unwrap();
    for end in [MEMORY as i32 - 3, -4, -1] {
        for (name, at) in [("fd_fdstat_get", fd), ("fd_filestat_get", fd), ("fd_tell", fd), ("fd_prestat_get", 3)] {
            assert_eq!(p.call(name, &[at.into(), end.into()]), FAULT, "{name}");
        }
        for name in ["fd_read", "fd_write"] {
            assert_eq!(p.call(name, &[fd.into(), end.into(), 1.into(), OUT.into()]), FAULT, "{name}");
            assert_eq!(p.call(name, &[fd.into(), end.into(), (-1).into(), OUT.into()]), INVAL, "{name}");
        }
        assert_eq!(p.call("clock_time_get", &[1.into(), 0_i64.into(), end.into()]), FAULT);
        assert_eq!(p.call("random_get", &[end.into(), 4.into()]), FAULT);
        assert_eq!(p.call("random_get", &[0.into(), end.into()]), if end > 0 { 0 } else { FAULT });
        assert_eq!(p.call("fd_readdir", &[3.into(), end.into(), 9.into(), 0_i64.into(), OUT.into()]), FAULT);
        assert_eq!(p.call("poll_oneoff", &[end.into(), 0.into(), 1.into(), OUT.into()]), FAULT);
        assert_eq!(p.call("poll_oneoff", &[0.into(), end.into(), 1.into(), OUT.into()]), FAULT);
    }
    // A descriptor that could not be told is not opened.
    p.put(PATH, b"file");
    let args = [3.into(), 0.into(), PATH.into(), 4.into(), 0.into(), 0_i64.into(), 0_i64.into(), 0.into()];
    assert_eq!(p.call("path_open", &[&args[..], &[(-1).into()]].concat()), FAULT);
    assert_eq!(open_in(dir.path()), 2);
}

#[test]
fn buffers_outside_the_memory_are_a_fault_and_overlapping_ones_are_not() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "0123456789").unwrap();
    let mut p = Program::in_dir(&dir, DirAccess::ReadWrite);
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
    let mut p = Program::in_dir(&dir, DirAccess::ReadOnly);
    p.put(PATH, b"file");
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    const INTERESTING: [i32; 12] = [0, 1, 2, 3, 4, 5, 8, OUT, PATH, MEMORY as i32 - 1, i32::MAX, -1];
    for _ in 0..20_000 {
        // Waiting may take for ever.
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

// Clocks, randomness, waiting

#[test]
fn clocks_run_and_unknown_ones_do_not() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    for id in 0..4 {
        assert_eq!(p.call("clock_res_get", &[id.into(), OUT.into()]), 0);
        assert!((1..=1_000_000_000).contains(&p.u64(OUT)));
        assert_eq!(p.call("clock_time_get", &[id.into(), 0_i64.into(), OUT.into()]), 0);
        assert!(p.u64(OUT) > 0);
    }
    assert_eq!(p.call("clock_time_get", &[0.into(), 0_i64.into(), OUT.into()]), 0);
    assert!(p.u64(OUT) > 1_700_000_000_000_000_000);
    assert_eq!(p.call("clock_time_get", &[4.into(), 0_i64.into(), OUT.into()]), INVAL);
}

#[test]
fn random_bytes_fill_the_buffer_and_nothing_else() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    assert_eq!(p.call("random_get", &[(BYTES + 8).into(), 64.into()]), 0);
    let bytes = p.bytes(80);
    assert!(bytes[8..72].iter().any(|byte| *byte != 0));
    assert_eq!((&bytes[..8], &bytes[72..]), (&[0; 8][..], &[0; 8][..]));
    assert_eq!(p.call("random_get", &[0.into(), (-1).into()]), FAULT);
}

#[test]
fn waiting_for_a_clock_takes_its_time() {
    let mut p = Program::new(&mut WasiCtxBuilder::new());
    let start = std::time::Instant::now();
    let events = p.poll(&[clock_subscription(7, 1, 20_000_000, false), clock_subscription(8, 1, u64::MAX, false)]);
    assert_eq!(events, Ok(vec![(7, 0, 0)]));
    assert!(start.elapsed().as_millis() >= 20);
    // Times that have passed.
    for clock in [0, 1] {
        assert_eq!(p.poll(&[clock_subscription(1, clock, 5, true)]), Ok(vec![(1, 0, 0)]));
    }
    assert_eq!(p.poll(&[clock_subscription(1, 9, 5, true)]), Ok(vec![(1, INVAL, 0)]));
    assert_eq!(p.poll(&[]), Err(INVAL));
    assert_eq!(p.call("poll_oneoff", &[0.into(), 0.into(), 4097.into(), OUT.into()]), INVAL);
}

#[test]
fn what_is_ready_ends_a_wait_at_once() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "data").unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdin(Input::Bytes(b"input".to_vec())).preopened_dir(dir.path(), "/", DirAccess::ReadOnly).unwrap();
    let mut p = Program::new(&mut wasi);
    let fd = p.open(3, "file", 0, READ).unwrap() as u8;
    let never = clock_subscription(1, 1, u64::MAX, false);
    assert_eq!(p.poll(&[never, fd_subscription(2, 1, 0)]), Ok(vec![(2, 0, 1)]));
    assert_eq!(p.u64(BYTES + 16), 5);
    assert_eq!(p.poll(&[fd_subscription(2, 1, fd), never]), Ok(vec![(2, 0, 1)]));
    assert_eq!(p.u64(BYTES + 16), 4);
    assert_eq!(p.poll(&[fd_subscription(2, 2, 1)]), Ok(vec![(2, 0, 2)]));
    let wrong = [fd_subscription(1, 1, 99), fd_subscription(2, 2, fd), never, fd_subscription(3, 2, 0)];
    assert_eq!(p.poll(&wrong), Ok(vec![(1, BADF, 1), (2, NOTCAPABLE, 2), (3, NOTCAPABLE, 2)]));
}

// Sockets

/// `sock_recv` with its buffers laid out: bytes, and whether the message was cut off.
fn receive(p: &mut Program, fd: i32, lens: &[usize], flags: i32) -> Result<(Vec<u8>, bool), i32> {
    p.buffers(lens);
    let (buffers, truncated) = (lens.len() as i32, OUT + 8);
    let args = [fd.into(), VECTORS.into(), buffers.into(), flags.into(), OUT.into(), truncated.into()];
    match p.call("sock_recv", &args) {
        0 => Ok((p.bytes(p.u32(OUT)), p.take::<1>(truncated) == [1])),
        errno => Err(errno),
    }
}

fn send(p: &mut Program, fd: i32, bytes: &[u8]) -> Result<i32, i32> {
    p.put(BYTES, bytes);
    p.buffers(&[bytes.len()]);
    match p.call("sock_send", &[fd.into(), VECTORS.into(), 1.into(), 0.into(), OUT.into()]) {
        0 => Ok(p.u32(OUT)),
        errno => Err(errno),
    }
}

fn accept(p: &mut Program, fd: i32, flags: i32) -> Result<i32, i32> {
    match p.call("sock_accept", &[fd.into(), flags.into(), OUT.into()]) {
        0 => Ok(p.u32(OUT)),
        errno => Err(errno),
    }
}

#[test]
fn a_guest_accepts_receives_sends_and_ends_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dir = TempDir::new().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.socket(listener).unwrap().preopened_dir(dir.path(), "/", DirAccess::ReadOnly).unwrap();
    let mut p = Program::new(&mut wasi);
    // Directories come first, so that a guest finds them.
    assert_eq!((p.fdstat(3).0, p.fdstat(4).0), (3, 6));
    assert_eq!(p.call("fd_prestat_get", &[4.into(), OUT.into()]), BADF);

    let mut client = TcpStream::connect(address).unwrap();
    let fd = accept(&mut p, 4, 0).unwrap();
    assert_eq!((fd, p.fdstat(fd).0), (5, 6));
    client.write_all(b"hello guest").unwrap();
    assert_eq!(receive(&mut p, fd, &[5], PEEK), Ok((b"hello".to_vec(), false)));
    assert_eq!(receive(&mut p, fd, &[2, 4, 5], WAITALL), Ok((b"hello guest".to_vec(), false)));
    assert_eq!(send(&mut p, fd, b"hello host"), Ok(10));
    assert_eq!(p.write(fd, b"!"), Ok(1), "a socket is written to like a file, too");
    let mut text = [0; 11];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello host!");
    // Waiting for what is there does not wait.
    client.write_all(b"more").unwrap();
    assert_eq!(p.poll(&[fd_subscription(7, 1, fd as u8)]), Ok(vec![(7, 0, 1)]));
    assert_eq!(p.read(fd, 9), Ok(b"more".to_vec()));

    assert_eq!(p.call("sock_shutdown", &[fd.into(), 2.into()]), 0);
    assert_eq!(client.read(&mut text).unwrap(), 0);
    assert!(matches!(send(&mut p, fd, b"x"), Err(PIPE)), "and no signal");
    drop(client);
    assert_eq!(receive(&mut p, fd, &[5], 0), Ok((Vec::new(), false)));
    assert_eq!((p.close(fd), accept(&mut p, fd, 0)), (0, Err(BADF)));
}

#[test]
fn a_message_that_does_not_fit_is_cut_off_and_said_to_be() {
    let (host, guest) = UnixDatagram::pair().unwrap();
    let mut p = Program::new(WasiCtxBuilder::new().socket(guest).unwrap());
    assert_eq!(p.fdstat(3).0, 5);
    host.send(b"0123456789").unwrap();
    host.send(b"ab").unwrap();
    assert_eq!(receive(&mut p, 3, &[2, 2], 0), Ok((b"0123".to_vec(), true)));
    assert_eq!(receive(&mut p, 3, &[2, 2], 0), Ok((b"ab".to_vec(), false)));
}

#[test]
fn sockets_have_rights_and_everything_else_is_no_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_host, connected) = UnixStream::pair().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    let mut p = Program::new(wasi.socket(listener).unwrap().socket(connected).unwrap().max_descriptors(6));
    // Only what listens accepts, and that neither sends nor ends.
    assert_eq!((accept(&mut p, 4, 0), send(&mut p, 3, b"x")), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
    assert_eq!(p.call("sock_shutdown", &[3.into(), 1.into()]), NOTCAPABLE);
    assert_eq!((p.seek(4, 0, 0), p.seek(3, 0, 1)), (Err(SPIPE), Err(SPIPE)));
    // Flags that there are not.
    assert_eq!((accept(&mut p, 3, 1), accept(&mut p, 3, 32)), (Err(INVAL), Err(INVAL)));
    assert_eq!((receive(&mut p, 4, &[1], 4), p.call("sock_shutdown", &[4.into(), 0.into()])), (Err(INVAL), INVAL));
    assert_eq!(p.call("sock_send", &[4.into(), VECTORS.into(), 0.into(), 1.into(), OUT.into()]), INVAL);
    // An accepted socket may not wait, if that is asked for.
    let _client = TcpStream::connect(address).unwrap();
    let fd = accept(&mut p, 3, NONBLOCK).unwrap();
    assert_eq!((receive(&mut p, fd, &[1], 0), p.fdstat(fd).1), (Err(AGAIN), NONBLOCK as u8));
    // Nobody is accepted for whom there is no room, or who could not be told of.
    let _other = TcpStream::connect(address).unwrap();
    assert_eq!(accept(&mut p, 3, 0), Err(MFILE));
    assert_eq!((p.close(fd), p.call("sock_accept", &[3.into(), 0.into(), (-1).into()])), (0, FAULT));
    assert!(accept(&mut p, 3, 0).is_ok());
    for fd in [0, 1, 2] {
        assert_eq!((accept(&mut p, fd, 0), send(&mut p, fd, b"x")), (Err(NOTSOCK), Err(NOTSOCK)));
        assert_eq!(p.call("sock_shutdown", &[fd.into(), 3.into()]), NOTSOCK);
    }
    assert!(WasiCtxBuilder::new().socket(fs::File::open("/dev/null").unwrap()).is_err());
}
