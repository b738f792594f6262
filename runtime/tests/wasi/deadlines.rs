//! No call keeps a guest from its deadline, and a socket waits for as long as its host has said.

use crate::child::passes;
use crate::program::*;
use minirt::wasi::{FsPerms, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Config, Engine, Linker, Module, Store, Trap};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than any of these guests may wait.
pub(crate) const LONG: Duration = Duration::from_secs(5);

/// Does something when a guest has waited for too long, so that the test fails and does not hang.
pub(crate) fn after_too_long(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        std::thread::sleep(LONG + Duration::from_secs(1));
        f();
    });
}

/// Calls a function of a guest whose time is up a moment later, and says how long that took.
fn interrupted(wasi: &mut WasiCtxBuilder, call: &str) -> Duration {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 65536)
          (data (i32.const 64) "fifo")
          (func (export "run") {call} drop (loop (br 0))))"#
    );
    let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let mut store = Store::new(&engine, wasi.build().unwrap());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let start = Instant::now();
    let clock = engine.clone();
    let ticking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        clock.increment_epoch();
    });
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt), "{call}: {error:#}");
    let took = start.elapsed();
    ticking.join().unwrap();
    took
}

#[test]
fn no_call_keeps_a_guest_from_its_deadline() {
    let dir = TempDir::new().unwrap();
    let path = std::ffi::CString::new(dir.path().join("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let open = "(call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0)
        (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 128))";
    for call in [
        // Nearly 4 GiB of random bytes, some ten seconds of work.
        "(call $random (i32.const 65536) (i32.const 0xfffe0000))",
        // A clock that rings in 292 years.
        "(i64.store (i32.const 24) (i64.const 0x7fffffffffffffff)) (i32.store (i32.const 16) (i32.const 1))
         (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 128))",
        // A pipe that nobody opens for writing, and then one that nobody writes to.
        open,
        &format!(
            "{open} drop (i32.store (i32.const 200) (i32.const 300)) (i32.store (i32.const 204) (i32.const 10))
             (call $read (i32.load (i32.const 128)) (i32.const 200) (i32.const 1) (i32.const 208))"
        ),
    ] {
        let mut wasi = WasiCtxBuilder::new();
        wasi.preopened_dir(dir.path(), "/", FsPerms::ReadWrite).unwrap();
        let took = interrupted(&mut wasi, call);
        assert!(took < LONG, "{call}: {took:?}");
    }
}

#[test]
fn no_stream_that_others_share_keeps_a_guest_from_its_deadline() {
    passes(no_stream_that_others_share_keeps_a_guest_from_its_deadline, "streams", |_| {
        let (from, mut to_guest) = std::io::pipe().unwrap();
        let (mut from_guest, to) = std::io::pipe().unwrap();
        // SAFETY: the descriptors are open; nothing else uses the streams meanwhile.
        assert_eq!(unsafe { (libc::dup2(from.as_raw_fd(), 0), libc::dup2(to.as_raw_fd(), 2)) }, (0, 2));
        after_too_long(move || {
            to_guest.write_all(b"at last").unwrap();
            from_guest.read_to_end(&mut Vec::new()).unwrap();
        });
        // One buffer: more bytes than there is room for in a pipe.
        let buffer = "(i32.store (i32.const 200) (i32.const 1000)) (i32.store (i32.const 204) (i32.const 200000))";
        for call in ["(call $read (i32.const 0)", "(call $write (i32.const 2)"] {
            let call = format!("{buffer} {call} (i32.const 200) (i32.const 1) (i32.const 208))");
            let took = interrupted(WasiCtxBuilder::new().inherit_stdio(), &call);
            assert!(took < LONG, "{call}: {took:?}");
        }
    });
}

#[test]
fn a_socket_waits_for_as_long_as_its_host_has_said() {
    let (short, hour) = (Some(Duration::from_millis(50)), Some(Duration::from_secs(3600)));
    for (reading, writing) in [(short, hour), (hour, short)] {
        let (guest, mut host) = UnixStream::pair().unwrap();
        guest.set_read_timeout(reading).unwrap();
        guest.set_write_timeout(writing).unwrap();
        let mut p = Program::new(WasiCtxBuilder::new().socket(guest).unwrap());
        after_too_long(move || {
            let _ = host.write_all(b"at last"); // Both may be over.
            let _ = host.read_to_end(&mut Vec::new());
        });
        let start = Instant::now();
        if reading == short {
            assert_eq!(p.read(3, 9), Err(AGAIN));
        } else {
            // Until no more fits.
            let full = (0..10_000).find_map(|_| p.write(3, &[1; 8_000]).err());
            assert_eq!(full, Some(AGAIN));
        }
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    }
}
