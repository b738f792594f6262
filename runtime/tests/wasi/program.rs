//! The guest of these tests: it forwards, so that a test is the program, with the guest's memory as
//! its own.

use minirt::wasi::{FsPerms, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Engine, Instance, Linker, Memory, Module, Store, Val};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

pub(crate) const ACCES: i32 = 2;
pub(crate) const AGAIN: i32 = 6;
pub(crate) const BADF: i32 = 8;
pub(crate) const EXIST: i32 = 20;
pub(crate) const FAULT: i32 = 21;
pub(crate) const ILSEQ: i32 = 25;
pub(crate) const INVAL: i32 = 28;
pub(crate) const ISDIR: i32 = 31;
pub(crate) const LOOP: i32 = 32;
pub(crate) const MFILE: i32 = 33;
pub(crate) const NAMETOOLONG: i32 = 37;
pub(crate) const NOENT: i32 = 44;
pub(crate) const NOSPC: i32 = 51;
pub(crate) const NOTDIR: i32 = 54;
pub(crate) const NOTEMPTY: i32 = 55;
pub(crate) const NOTSOCK: i32 = 57;
pub(crate) const PERM: i32 = 63;
pub(crate) const PIPE: i32 = 64;
pub(crate) const SPIPE: i32 = 70;
pub(crate) const NOTCAPABLE: i32 = 76;

pub(crate) const FD_READ: i64 = 1 << 1;
pub(crate) const FD_SEEK: i64 = 1 << 2;
pub(crate) const FD_TELL: i64 = 1 << 5;
pub(crate) const FD_WRITE: i64 = 1 << 6;
/// All rights of the standard. Those that do not apply are not given.
pub(crate) const ALL: i64 = (1 << 30) - 1;
pub(crate) const READ_WRITE: i64 = ALL;
pub(crate) const READ: i64 = ALL & !(FD_WRITE | 1 << 8 | 1 << 22);
/// All rights that directories have, among others.
pub(crate) const DIR: i64 = READ & !FD_READ;

pub(crate) const CREAT: i32 = 1;
pub(crate) const DIRECTORY: i32 = 2;
pub(crate) const EXCL: i32 = 4;
pub(crate) const TRUNC: i32 = 8;
pub(crate) const FOLLOW: i32 = 1;
pub(crate) const NONBLOCK: i32 = 4;
pub(crate) const PEEK: i32 = 1;
pub(crate) const WAITALL: i32 = 2;

/// Every function and its parameters: `i` for i32, `I` for i64.
pub(crate) const FUNCTIONS: [(&str, &str); 45] = [
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
pub(crate) const MEMORY: usize = 0x2_0000;
/// Where tests keep what: results, arrays of buffers, two paths, bytes.
pub(crate) const OUT: i32 = 0x100;
pub(crate) const VECTORS: i32 = 0x200;
pub(crate) const PATH: i32 = 0x1000;
pub(crate) const PATH_2: i32 = 0x3000;
pub(crate) const BYTES: i32 = 0x8000;

pub(crate) fn forwarder() -> String {
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

/// A guest whose program is the test.
pub(crate) struct Program {
    pub(crate) store: Store<WasiCtx>,
    pub(crate) instance: Instance,
    pub(crate) memory: Memory,
}

impl Program {
    pub(crate) fn new(wasi: &mut WasiCtxBuilder) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, forwarder()).unwrap();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |ctx| ctx).unwrap();
        let mut store = Store::new(&engine, wasi.build().unwrap());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        Self { store, instance, memory }
    }

    /// Returns a program with a directory of the host as `/`, descriptor 3.
    pub(crate) fn in_dir(dir: &TempDir, access: FsPerms) -> Self {
        Self::new(WasiCtxBuilder::new().preopened_dir(dir.path(), "/", access).unwrap())
    }

    /// Calls a function and returns its errno.
    pub(crate) fn call(&mut self, name: &str, args: &[Val]) -> i32 {
        let func = self.instance.get_func(&self.store, name).unwrap();
        let mut results = [Val::I32(0)];
        func.call(&mut self.store, args, &mut results).unwrap();
        match results {
            [Val::I32(errno)] => errno,
            _ => panic!("not an errno"),
        }
    }

    pub(crate) fn put(&mut self, at: i32, bytes: &[u8]) {
        self.memory.write(&mut self.store, at as usize, bytes).unwrap();
    }

    pub(crate) fn take<const N: usize>(&self, at: i32) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read(&self.store, at as usize, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn bytes(&self, len: i32) -> Vec<u8> {
        self.take::<0x1000>(BYTES)[..len as usize].to_vec()
    }

    pub(crate) fn u32(&self, at: i32) -> i32 {
        i32::from_le_bytes(self.take(at))
    }

    pub(crate) fn u64(&self, at: i32) -> u64 {
        u64::from_le_bytes(self.take(at))
    }

    /// Calls a function of one path, after which come `more` arguments.
    pub(crate) fn path(&mut self, name: &str, fd: i32, path: &str, more: &[Val]) -> i32 {
        self.put(PATH, path.as_bytes());
        let args = [&[fd.into(), PATH.into(), (path.len() as i32).into()], more].concat();
        self.call(name, &args)
    }

    pub(crate) fn rename(&mut self, fd: i32, old: &str, new_fd: i32, new: &str) -> i32 {
        self.put(PATH, old.as_bytes());
        self.put(PATH_2, new.as_bytes());
        let lens = [old, new].map(|path| (path.len() as i32).into());
        let [old_len, new_len] = lens;
        self.call("path_rename", &[fd.into(), PATH.into(), old_len, new_fd.into(), PATH_2.into(), new_len])
    }

    pub(crate) fn link(&mut self, fd: i32, flags: i32, old: &str, new_fd: i32, new: &str) -> i32 {
        self.put(PATH, old.as_bytes());
        self.put(PATH_2, new.as_bytes());
        let lens = [old, new].map(|path| (path.len() as i32).into());
        let [old_len, new_len] = lens;
        let args = [fd.into(), flags.into(), PATH.into(), old_len, new_fd.into(), PATH_2.into(), new_len];
        self.call("path_link", &args)
    }

    pub(crate) fn symlink(&mut self, target: &str, fd: i32, path: &str) -> i32 {
        self.put(PATH, target.as_bytes());
        self.put(PATH_2, path.as_bytes());
        let (target_len, len) = (target.len() as i32, path.len() as i32);
        self.call("path_symlink", &[PATH.into(), target_len.into(), fd.into(), PATH_2.into(), len.into()])
    }

    pub(crate) fn open_as(
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

    pub(crate) fn open(&mut self, fd: i32, path: &str, oflags: i32, rights: i64) -> Result<i32, i32> {
        self.open_as(fd, path, FOLLOW, oflags, rights, 0)
    }

    pub(crate) fn close(&mut self, fd: i32) -> i32 {
        self.call("fd_close", &[fd.into()])
    }

    /// Lays out buffers, one after the other, and the array that names them.
    pub(crate) fn buffers(&mut self, lens: &[usize]) {
        let mut place = BYTES;
        for (i, len) in lens.iter().enumerate() {
            self.put(VECTORS + i as i32 * 8, &place.to_le_bytes());
            self.put(VECTORS + i as i32 * 8 + 4, &(*len as i32).to_le_bytes());
            place += *len as i32;
        }
    }

    pub(crate) fn io(&mut self, name: &str, fd: i32, buffers: usize, offset: Option<i64>) -> Result<i32, i32> {
        let mut args: Vec<Val> = vec![fd.into(), VECTORS.into(), (buffers as i32).into()];
        args.extend(offset.map(Val::from));
        args.push(OUT.into());
        match self.call(name, &args) {
            0 => Ok(self.u32(OUT)),
            errno => Err(errno),
        }
    }

    pub(crate) fn write(&mut self, fd: i32, bytes: &[u8]) -> Result<i32, i32> {
        self.put(BYTES, bytes);
        self.buffers(&[bytes.len()]);
        self.io("fd_write", fd, 1, None)
    }

    pub(crate) fn read(&mut self, fd: i32, len: usize) -> Result<Vec<u8>, i32> {
        self.buffers(&[len]);
        self.io("fd_read", fd, 1, None).map(|len| self.bytes(len))
    }

    pub(crate) fn seek(&mut self, fd: i32, offset: i64, whence: i32) -> Result<u64, i32> {
        match self.call("fd_seek", &[fd.into(), offset.into(), whence.into(), OUT.into()]) {
            0 => Ok(self.u64(OUT)),
            errno => Err(errno),
        }
    }

    /// File type, flags, rights, inherited rights.
    pub(crate) fn fdstat(&mut self, fd: i32) -> (u8, u8, i64, i64) {
        assert_eq!(self.call("fd_fdstat_get", &[fd.into(), OUT.into()]), 0);
        let [filetype, _, flags] = self.take(OUT);
        (filetype, flags, self.u64(OUT + 8) as i64, self.u64(OUT + 16) as i64)
    }

    /// File type, size, time of modification.
    pub(crate) fn stat(&mut self, path: &str, follow: i32) -> Result<(u8, u64, u64), i32> {
        self.put(PATH, path.as_bytes());
        let len = path.len() as i32;
        match self.call("path_filestat_get", &[3.into(), follow.into(), PATH.into(), len.into(), OUT.into()]) {
            0 => Ok((self.take::<1>(OUT + 16)[0], self.u64(OUT + 32), self.u64(OUT + 48))),
            errno => Err(errno),
        }
    }

    pub(crate) fn set_times(&mut self, path: &str, follow: i32, times: [i64; 2], which: i32) -> i32 {
        self.put(PATH, path.as_bytes());
        let len = path.len() as i32;
        let [accessed, modified] = times;
        let args = [3.into(), follow.into(), PATH.into(), len.into(), accessed.into(), modified.into(), which.into()];
        self.call("path_filestat_set_times", &args)
    }

    /// Returns names and inodes, from a cookie on, and the last cookie.
    pub(crate) fn list(&mut self, fd: i32, len: i32, cookie: i64) -> Result<(Vec<(String, u64)>, i64), i32> {
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

    pub(crate) fn poll(&mut self, subscriptions: &[[u8; 48]]) -> Result<Vec<(u64, i32, u8)>, i32> {
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

pub(crate) fn clock_subscription(userdata: u8, clock: u8, timeout: u64, absolute: bool) -> [u8; 48] {
    let mut bytes = [0; 48];
    (bytes[0], bytes[16], bytes[40]) = (userdata, clock, u8::from(absolute));
    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
    bytes
}

pub(crate) fn fd_subscription(userdata: u8, kind: u8, fd: u8) -> [u8; 48] {
    let mut bytes = [0; 48];
    (bytes[0], bytes[8], bytes[16]) = (userdata, kind, fd);
    bytes
}

/// Returns how many of this process's descriptors are of something in a directory.
pub(crate) fn open_in(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    links.filter(|target| target.starts_with(dir)).count()
}
