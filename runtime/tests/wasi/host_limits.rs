//! What the host's own limits, pipes and files mean for a guest.

use crate::child::passes;
use crate::common::{can_forbid, forbid};
use crate::deadlines::{LONG, after_too_long};
use crate::program::*;
use minirt::wasi::{FsPerms, WasiCtx, WasiCtxBuilder, add_to_linker};
use minirt::{Engine, Linker, Module, Store};
use rustix::fs::{CWD, FileType, Mode};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FBIG: i32 = 22;
const APPEND: i32 = 1;

/// Limits how large files may become in this process.
fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the limit outlives the call. The signal has its default action, which ends a process.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
    }
}

#[test]
fn a_file_that_would_exceed_the_limit_of_the_process_is_too_big_and_nobody_dies() {
    passes(a_file_that_would_exceed_the_limit_of_the_process_is_too_big_and_nobody_dies, "limit", |_| {
        let dir = TempDir::new().unwrap();
        let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
        let fd = p.open(3, "file", CREAT, READ_WRITE).unwrap();
        limit_file_size(8192);
        assert_eq!(p.seek(fd, 8190, 0), Ok(8190));
        assert_eq!(p.write(fd, b"four"), Ok(2)); // as much as there is room for
        assert_eq!(p.write(fd, b"four"), Err(FBIG));
        p.put(BYTES, b"four");
        p.buffers(&[4]);
        assert_eq!(p.io("fd_pwrite", fd, 1, Some(8192)), Err(FBIG));
        assert_eq!(p.call("fd_filestat_set_size", &[fd.into(), 10_000_i64.into()]), FBIG);
        assert_eq!(p.call("fd_allocate", &[fd.into(), 0_i64.into(), 10_000_i64.into()]), FBIG);
        assert_eq!(fs::metadata(dir.path().join("file")).unwrap().len(), 8192);
    });
}

#[test]
fn writing_where_nobody_reads_is_an_error_and_nobody_dies() {
    passes(writing_where_nobody_reads_is_an_error_and_nobody_dies, "pipe", |_| {
        // SAFETY: the default action, which Rust's runtime has replaced, ends a process.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (reader, writer) = std::io::pipe().unwrap();
        // SAFETY: both descriptors are open; nothing prints to standard error meanwhile.
        assert_eq!(unsafe { libc::dup2(writer.as_raw_fd(), 2) }, 2);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut wasi = WasiCtxBuilder::new();
        wasi.inherit_stdio().socket(theirs).unwrap();
        let mut p = Program::new(&mut wasi);
        assert_eq!((p.write(2, b"read"), p.write(3, b"read")), (Ok(4), Ok(4)));
        drop((reader, ours));
        assert_eq!((p.write(2, b"unread"), p.write(3, b"unread")), (Err(PIPE), Err(PIPE)));
        assert_eq!(p.write(3, b"unread"), Err(PIPE));
    });
}

#[test]
fn an_inherited_stream_that_is_a_file_has_no_position() {
    passes(an_inherited_stream_that_is_a_file_has_no_position, "file", |_| {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("log"), "what others wrote, ").unwrap();
        let log = fs::OpenOptions::new().append(true).open(dir.path().join("log")).unwrap();
        // SAFETY: both descriptors are open; nothing prints to standard error meanwhile.
        assert_eq!(unsafe { libc::dup2(log.as_raw_fd(), 2) }, 2);
        let mut p = Program::new(WasiCtxBuilder::new().inherit_stdio());
        assert_eq!(p.seek(2, 0, 0), Err(SPIPE));
        assert_eq!(p.call("fd_tell", &[2.into(), OUT.into()]), SPIPE);
        p.put(BYTES, b"over");
        p.buffers(&[4]);
        assert_eq!(p.io("fd_pwrite", 2, 1, Some(0)), Err(SPIPE));
        assert_eq!(p.write(2, b"and the guest"), Ok(13));
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "what others wrote, and the guest");
    });
}

/// Writes an array of buffers of these lengths, one after the other from `BYTES` on, to a place
/// where there is room.
fn many_buffers(p: &mut Program, lens: &[u32]) -> i32 {
    const ARRAY: i32 = 0x1_0000;
    let mut at = BYTES as u32;
    let mut array = Vec::new();
    for len in lens {
        array.extend([at.to_le_bytes(), len.to_le_bytes()].concat());
        at += len;
    }
    p.put(ARRAY, &array);
    ARRAY
}

#[test]
fn more_buffers_than_the_host_takes_at_once_are_transferred_in_part_or_whole() {
    let dir = TempDir::new().unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", CREAT, READ_WRITE).unwrap();
    let bytes: Vec<u8> = (0..1300 * 3).map(|i| (i % 251) as u8).collect();
    p.put(BYTES, &bytes);
    let mut done = 0;
    while done < 1300 {
        let array = many_buffers(&mut p, &[3; 1300]) + 8 * done;
        let args = [fd.into(), array.into(), (1300 - done).into(), OUT.into()];
        assert_eq!(p.call("fd_write", &args), 0);
        let written = p.u32(OUT);
        assert!(written > 0 && written % 3 == 0, "{written}");
        done += written / 3;
    }
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), bytes);
    // Back again, at offsets, into buffers of other lengths.
    p.put(BYTES, &[0; 1300 * 3]);
    let array = many_buffers(&mut p, &[1; 3900]);
    let mut read = 0;
    while read < 3900 {
        let args = [fd.into(), (array + 8 * read).into(), (3900 - read).into(), i64::from(read).into(), OUT.into()];
        assert_eq!(p.call("fd_pread", &args), 0);
        assert!(p.u32(OUT) > 0);
        read += p.u32(OUT);
    }
    assert_eq!(p.bytes(3900), bytes);
}

#[test]
fn reading_takes_what_is_there_and_does_not_wait_for_more_buffers() {
    passes(reading_takes_what_is_there_and_does_not_wait_for_more_buffers, "pipe", |_| {
        // As many bytes as the host takes buffers at once.
        const AT_ONCE: usize = 1024;
        let (from, mut to_guest) = std::io::pipe().unwrap();
        // SAFETY: both descriptors are open; nothing else uses the stream meanwhile.
        assert_eq!(unsafe { libc::dup2(from.as_raw_fd(), 0) }, 0);
        to_guest.write_all(&[1; AT_ONCE]).unwrap();
        after_too_long(move || drop(to_guest));
        let mut p = Program::new(WasiCtxBuilder::new().inherit_stdio());
        let start = Instant::now();
        let array = many_buffers(&mut p, &[1; AT_ONCE + 300]);
        assert_eq!(p.call("fd_read", &[0.into(), array.into(), (AT_ONCE as i32 + 300).into(), OUT.into()]), 0);
        assert_eq!(p.u32(OUT), AT_ONCE as i32);
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    });
}

#[test]
fn a_message_goes_into_more_buffers_than_are_read_into_at_once() {
    let (host, guest) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut p = Program::new(WasiCtxBuilder::new().socket(guest).unwrap());
    let message: Vec<u8> = (0..400).map(|i| (i % 251) as u8).collect();
    host.send(&message).unwrap();
    let array = many_buffers(&mut p, &[1; 400]);
    assert_eq!(p.call("fd_read", &[3.into(), array.into(), 400.into(), OUT.into()]), 0);
    assert_eq!(p.u32(OUT), 400);
    assert_eq!(p.bytes(400), message);
}

#[test]
fn a_pipe_takes_all_of_a_write_that_there_is_no_room_for_at_once() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let bytes: Vec<u8> = (0..90_000).map(|i: usize| (i ^ i >> 8 ^ i >> 16) as u8).collect();
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let mut file = File::open(&fifo).unwrap();
            std::thread::sleep(Duration::from_millis(50)); // The pipe is full by then.
            let mut taken = Vec::new();
            file.read_to_end(&mut taken).map(|_| taken).unwrap()
        });
        let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
        let fd = p.open(3, "fifo", 0, FD_WRITE).unwrap();
        assert_eq!(p.write(fd, &bytes), Ok(bytes.len() as i32));
        p.close(fd);
        assert!(taken.join().unwrap() == bytes);
    });
}

#[test]
fn a_transfer_of_several_pieces_goes_on_where_the_last_one_ended() {
    // Larger than what is moved at once, with a hole in the middle of a piece.
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 200)
      (data (i32.const 0) "\00\00\10\00\0f\27\35\00\00\00\50\00\01\00\00\00")
      (data (i32.const 100) "file")
      (func (export "open") (result i32)
        (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 1)
          (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 200)))
      (func (export "write") (result i32)
        (call $pwrite (i32.load (i32.const 200)) (i32.const 0) (i32.const 2) (i64.const 7) (i32.const 208)))
      (func (export "read") (result i32)
        (call $pread (i32.load (i32.const 200)) (i32.const 0) (i32.const 2) (i64.const 7) (i32.const 208))))"#;
    let dir = TempDir::new().unwrap();
    let engine = Engine::default();
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.preopened_dir(dir.path(), "/", FsPerms::ReadWrite).unwrap();
    let mut store = Store::new(&engine, wasi.build().unwrap());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let call = |store: &mut Store<WasiCtx>, name: &str| {
        instance.get_typed_func::<(), i32>(&mut *store, name).unwrap().call(&mut *store, ()).unwrap()
    };
    // Two buffers: 3,483,407 bytes from 1 MiB on, and one byte at 5 MiB.
    let (start, len) = (0x10_0000, 0x35_270f);
    let memory = instance.get_memory(&store, "memory").unwrap();
    let pattern: Vec<u8> = (0..len).map(|i: usize| (i ^ i >> 8 ^ i >> 16) as u8).collect();
    memory.write(&mut store, start, &pattern).unwrap();
    memory.write(&mut store, 0x50_0000, b"!").unwrap();
    assert_eq!((call(&mut store, "open"), call(&mut store, "write")), (0, 0));
    let file = fs::read(dir.path().join("file")).unwrap();
    assert_eq!(file.len(), 7 + len + 1);
    assert!(file[..7] == [0; 7] && file[7..7 + len] == pattern && file[7 + len] == b'!');
    memory.data_mut(&mut store)[start..start + len].fill(0);
    assert_eq!(call(&mut store, "read"), 0);
    assert!(memory.data(&store)[start..start + len] == pattern);
}

#[test]
fn a_guest_waits_for_more_events_than_its_host_may_have_open_files() {
    passes(a_guest_waits_for_more_events_than_its_host_may_have_open_files, "events", |_| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut p = Program::new(WasiCtxBuilder::new().socket(ours).unwrap());
        crate::common::limit(libc::RLIMIT_NOFILE, 64);
        // Readable and writable in turns, and a clock at the end.
        let (count, at, events) = (1001, 0x1_0000, 0x2_0000);
        p.memory.grow(&mut p.store, 1).unwrap();
        for i in 0..count - 1 {
            p.put(at + i * 48, &fd_subscription(i as u8, 1 + (i % 2) as u8, 3));
        }
        p.put(at + (count - 1) * 48, &clock_subscription(9, 1, 3_600_000_000_000, false));
        let mut poll = || {
            assert_eq!(p.call("poll_oneoff", &[at.into(), events.into(), count.into(), OUT.into()]), 0);
            let kinds: Vec<u8> = (0..p.u32(OUT)).map(|i| p.take::<11>(events + i * 32)[10]).collect();
            [1, 2].map(|kind| kinds.iter().filter(|it| **it == kind).count())
        };
        assert_eq!(poll(), [0, 500], "it can be written to");
        (&theirs).write_all(b"for the guest").unwrap();
        assert_eq!(poll(), [500, 500], "it can be read from, too");
    });
}

/// Signals that have interrupted a guest's thread.
static INTERRUPTIONS: AtomicU32 = AtomicU32::new(0);

extern "C" fn interruption(_: i32) {
    INTERRUPTIONS.fetch_add(1, Relaxed);
}

/// Sends this thread signals that interrupt its system calls, for as long as `work` takes.
fn while_interrupted(work: impl FnOnce()) {
    // SAFETY: the handler only counts, and the thread is there until the scope ends.
    let guest = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = interruption as *const () as usize; // Without SA_RESTART.
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
        libc::pthread_self()
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                // SAFETY: as above.
                unsafe { libc::pthread_kill(guest, libc::SIGUSR2) };
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn interruptions_and_short_counts_lose_no_byte() {
    let dir = TempDir::new().unwrap();
    let [to, from] = ["to", "from"].map(|name| dir.path().join(name));
    for fifo in [&to, &from] {
        rustix::fs::mknodat(CWD, fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    }
    let bytes: Vec<u8> = (0..200_000).map(|i: usize| (i ^ i >> 8 ^ i >> 16) as u8).collect();
    // The other side takes and gives pieces of other sizes, and not at once.
    let sizes = || [1, 777, 4096, 30, 9000].into_iter().cycle();
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let (mut file, mut taken) = (File::open(&to).unwrap(), Vec::<u8>::new());
            for size in sizes() {
                let mut piece = vec![0; size];
                match file.read(&mut piece).unwrap() {
                    0 => break,
                    len => taken.extend(&piece[..len]),
                }
            }
            taken
        });
        scope.spawn(|| {
            let (mut file, mut rest) = (File::options().write(true).open(&from).unwrap(), &bytes[..]);
            for size in sizes() {
                let (piece, more) = rest.split_at(size.min(rest.len()));
                file.write_all(piece).unwrap();
                rest = more;
                std::thread::sleep(Duration::from_micros(30));
                if rest.is_empty() {
                    break;
                }
            }
        });
        while_interrupted(|| {
            let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
            let fd = p.open(3, "to", 0, FD_WRITE).unwrap();
            let mut written = 0;
            while written < bytes.len() {
                let piece = &bytes[written..(written + 4000).min(bytes.len())];
                p.put(BYTES, piece);
                p.buffers(&[piece.len() / 3, 0, 1, piece.len() - piece.len() / 3 - 1]);
                written += p.io("fd_write", fd, 4, None).unwrap() as usize;
            }
            p.close(fd);
            let fd = p.open(3, "from", 0, FD_READ).unwrap();
            let mut read = Vec::new();
            loop {
                p.buffers(&[5, 0, 1000, 2000]);
                match p.io("fd_read", fd, 4, None).unwrap() {
                    0 => break,
                    len => read.extend(p.bytes(len)),
                }
            }
            assert!(read == bytes, "{} bytes read", read.len());
        });
        let taken = taken.join().unwrap();
        assert!(taken == bytes, "{} bytes written", taken.len());
    });
    assert!(INTERRUPTIONS.load(Relaxed) > 5, "{INTERRUPTIONS:?}");
}

#[test]
fn writing_at_an_offset_does_so_also_if_the_descriptor_appends() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "0123456789").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    let fd = p.open(3, "file", 0, READ_WRITE).unwrap();
    assert_eq!(p.call("fd_fdstat_set_flags", &[fd.into(), APPEND.into()]), 0);
    p.put(BYTES, b"AB");
    p.buffers(&[2]);
    assert_eq!(p.io("fd_pwrite", fd, 1, Some(3)), Ok(2));
    assert_eq!(p.write(fd, b"end"), Ok(3));
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "012AB56789end");
}

#[test]
fn a_file_that_appends_stops_for_one_write_where_the_kernel_cannot_be_asked_to_ignore_that() {
    if !can_forbid() {
        return;
    }
    passes(a_file_that_appends_stops_for_one_write_where_the_kernel_cannot_be_asked_to_ignore_that, "file", |_| {
        forbid(libc::SYS_pwritev2, None, libc::ENOSYS);
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("file"), "0123456789").unwrap();
        let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
        let fd = p.open_as(3, "file", 0, 0, READ_WRITE, APPEND).unwrap();
        p.put(BYTES, b"AB");
        p.buffers(&[2]);
        assert_eq!(p.io("fd_pwrite", fd, 1, Some(3)), Ok(2));
        assert_eq!(p.write(fd, b"end"), Ok(3));
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "012AB56789end");
    });
}

#[test]
fn the_number_of_a_closed_standard_stream_is_not_the_next_files() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let mut p = Program::in_dir(&dir, FsPerms::ReadWrite);
    assert_eq!(p.close(1), 0);
    let first = p.open(3, "file", 0, READ_WRITE).unwrap();
    let second = p.open(3, "file", 0, READ_WRITE).unwrap();
    assert_eq!((first, second), (4, 5));
    assert_eq!((p.close(first), p.open(3, "file", 0, READ_WRITE)), (0, Ok(4)));
}
