//! Guests of WASI preview 1: words, variables, streams, directories, exit codes, and contexts that
//! differ from store to store.

use super::super::api::{Engine, Linker, Module, Result, Store};
use super::super::wasi::p1::{self, WasiP1Ctx};
use super::super::wasi::{FsPerms, I32Exit, Output, WasiCtxBuilder, input};
use std::fs;

/// Prints its arguments, its variables and its input, complains, and exits with the number of its
/// arguments.
const COMMAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 1024) "too many words\n")
    (func $write (param $fd i32) (param $at i32) (param $length i32)
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $length))
      (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))
    (func (export "_start") (local $words i32)
      (if (call $args_sizes_get (i32.const 16) (i32.const 20)) (then unreachable))
      (if (call $args_get (i32.const 2048) (i32.const 4096)) (then unreachable))
      (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))
      (local.set $words (i32.load (i32.const 16)))
      (if (call $environ_sizes_get (i32.const 16) (i32.const 20)) (then unreachable))
      (if (call $environ_get (i32.const 2048) (i32.const 4096)) (then unreachable))
      (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))
      (loop $more
        (i32.store (i32.const 0) (i32.const 8192))
        (i32.store (i32.const 4) (i32.const 4))
        (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable))
        (if (i32.load (i32.const 12))
          (then (call $write (i32.const 1) (i32.const 8192) (i32.load (i32.const 12))) (br $more))))
      (call $write (i32.const 2) (i32.const 1024) (i32.const 15))
      (if (i32.gt_u (local.get $words) (i32.const 1)) (then (call $proc_exit (local.get $words))))))"#;

/// Opens, reads, writes and removes files, and says what each call returned.
const FILES: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
      (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
      (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 1024) "in.txt" "new.txt" "../in.txt" "dir")
    ;; Opens a file to read and seek (6) or to write (64), with flags such as to create it (1). The descriptor is at 16.
    (func (export "open") (param $dir i32) (param $at i32) (param $length i32) (param $flags i32) (param $rights i64)
      (result i32)
      (call $path_open (local.get $dir) (i32.const 0) (local.get $at) (local.get $length) (local.get $flags)
        (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 16)))
    (func (export "read") (param $length i32) (result i32)
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (local.get $length))
      (call $fd_read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 12)))
    (func (export "write") (param $at i32) (param $length i32) (result i32)
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $length))
      (call $fd_write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 12)))
    (func (export "seek") (param $by i64) (result i32)
      (call $fd_seek (i32.load (i32.const 16)) (local.get $by) (i32.const 0) (i32.const 24)))
    (func (export "close") (result i32) (call $fd_close (i32.load (i32.const 16))))
    (func (export "remove") (param $dir i32) (param $at i32) (param $length i32) (result i32)
      (call $path_unlink_file (local.get $dir) (local.get $at) (local.get $length)))
    (func (export "mkdir") (param $dir i32) (param $at i32) (param $length i32) (result i32)
      (call $mkdir (local.get $dir) (local.get $at) (local.get $length)))
    (func (export "name") (param $dir i32) (result i32)
      (if (result i32) (call $fd_prestat_get (local.get $dir) (i32.const 8192))
        (then (i32.const -1))
        (else (drop (call $fd_prestat_dir_name (local.get $dir) (i32.const 4096) (i32.load (i32.const 8196))))
          (i32.load (i32.const 8196))))))"#;

fn printable(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().escape_ascii().to_string()
}

/// Commands with words, variables and streams of their own, from a linker that all share.
pub(crate) fn commands() -> Result<Vec<String>> {
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(COMMAND)?)?;
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |context| context)?;
    let pre = linker.instantiate_pre(&module)?;
    let mut lines = Vec::new();
    for words in [&["tool"][..], &["tool", "--all", "gr\u{fc}n"], &[]] {
        let (out, err) = (Output::new(4096), Output::new(4096));
        let mut builder = WasiCtxBuilder::new();
        builder.args(words).env("HOME", "/").envs(&[("LANG", "C"), ("EMPTY", "")]);
        builder.stdin(input("some input")).stdout(out.stream()).stderr(err.stream());
        let mut store = Store::new(&engine, builder.build_p1());
        let instance = pre.instantiate(&mut store)?;
        let called = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ());
        lines.push(match called {
            Ok(()) => "returns".to_owned(),
            Err(error) => format!("exits with {:?}", error.downcast_ref::<I32Exit>().map(|exit| exit.0)),
        });
        drop(store);
        lines.extend([printable(out.contents()), printable(err.contents())]);
    }
    // Whoever gets nothing has nothing: no words, no variables, no input, and output goes nowhere.
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build_p1());
    let instance = pre.instantiate(&mut store)?;
    lines.push(format!("{}", instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ()).is_ok()));
    // Output that has no room.
    let full = Output::new(8);
    let context = WasiCtxBuilder::new().args(&["more", "than", "fits"]).stdout(full.stream()).build_p1();
    let mut store = Store::new(&engine, context);
    let instance = pre.instantiate(&mut store)?;
    let called = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ());
    lines.push(format!("{}", called.is_err()));
    Ok(lines)
}

/// Says whether a call succeeded. The error numbers of what is not allowed differ, as README says.
fn told(errno: i32) -> &'static str {
    if errno == 0 { "done" } else { "refused" }
}

/// Files beneath directories that a guest may write to, or only read.
pub(crate) fn directories() -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for name in ["both", "read"] {
        fs::create_dir(folder.path().join(name))?;
        fs::write(folder.path().join(name).join("in.txt"), "what is there")?;
    }
    fs::write(folder.path().join("in.txt"), "what is outside")?;
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(FILES)?)?;
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |context| context)?;
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(folder.path().join("both"), "/both", FsPerms::ReadWrite)?;
    builder.preopened_dir(folder.path().join("read"), "read", FsPerms::ReadOnly)?;
    let mut lines =
        vec![format!("{}", builder.preopened_dir(folder.path().join("no"), "no", FsPerms::ReadOnly).is_err())];
    let mut store = Store::new(&engine, builder.build_p1());
    let instance = linker.instantiate(&mut store, &module)?;
    let memory = instance.get_memory(&mut store, "memory").expect("a memory");

    let name = instance.get_typed_func::<i32, i32>(&mut store, "name")?;
    for dir in 3..6 {
        let length = name.call(&mut store, dir)?.max(0) as usize;
        lines.push(format!("{dir} {}", printable(&memory.data(&store)[4096..][..length])));
    }
    let open = instance.get_typed_func::<(i32, i32, i32, i32, i64), i32>(&mut store, "open")?;
    let read = instance.get_typed_func::<i32, i32>(&mut store, "read")?;
    let write = instance.get_typed_func::<(i32, i32), i32>(&mut store, "write")?;
    let seek = instance.get_typed_func::<i64, i32>(&mut store, "seek")?;
    let close = instance.get_typed_func::<(), i32>(&mut store, "close")?;
    let remove = instance.get_typed_func::<(i32, i32, i32), i32>(&mut store, "remove")?;
    let mkdir = instance.get_typed_func::<(i32, i32, i32), i32>(&mut store, "mkdir")?;
    let (existing, new, outside, sub) = ((1024, 6), (1030, 7), (1037, 9), (1046, 3));
    for dir in [3, 4, 5] {
        lines.push(format!("{dir}: read {}", open.call(&mut store, (dir, existing.0, existing.1, 0, 6))?));
        if dir < 5 {
            lines.push(format!("{} {}", seek.call(&mut store, 5)?, read.call(&mut store, 5)?));
            lines.push(printable(&memory.data(&store)[4096..4101]));
            lines.push(format!("{} {}", close.call(&mut store, ())?, close.call(&mut store, ())?));
        }
        lines.push(format!("outside {}", told(open.call(&mut store, (dir, outside.0, outside.1, 0, 6))?)));
        let created = open.call(&mut store, (dir, new.0, new.1, 1, 64))?;
        lines.push(format!("create {}", told(created)));
        if created == 0 {
            lines.push(format!("{} {}", write.call(&mut store, (1024, 22))?, close.call(&mut store, ())?));
        }
        lines.push(format!("truncate {}", told(open.call(&mut store, (dir, existing.0, existing.1, 8, 64))?)));
        lines.push(format!("mkdir {}", told(mkdir.call(&mut store, (dir, sub.0, sub.1))?)));
        lines.push(format!("remove {}", told(remove.call(&mut store, (dir, existing.0, existing.1))?)));
    }
    for path in ["both/in.txt", "both/new.txt", "both/dir", "read/in.txt", "read/new.txt", "read/dir", "in.txt"] {
        let path = folder.path().join(path);
        lines.push(format!("{} {:?}", path.exists(), fs::read_to_string(path).ok()));
    }
    Ok(lines)
}
