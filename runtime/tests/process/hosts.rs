//! Hosts that do unusual things with their process, or run where much is missing: guests run, or
//! there is an error that names the reason.

use crate::child::passes;
use crate::common::{call, call_i32, can_forbid, each_config, forbid};
use crate::life::{OTHER, TEXT, instance_of, live, rounds};
use minirt::wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use minirt::{Config, Engine, Func, Instance, Linker, Module, Store, Trap};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Lives of instances with every strategy, with images and copies.
fn lives(rounds_each: usize) {
    each_config(|_, _, mut config| {
        let engine = Engine::new(config.max_instances(2)).unwrap();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        rounds(&engine, &module, &other, rounds_each);
        let (mut store, it) = instance_of(&engine, &module);
        let error = call(&mut store, it, "load", &[minirt::Val::I32(-1)]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    });
}

/// Creates the file `f` in the only directory, and writes to it. Returns 0, or an error number.
const CREATES: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\05\00\00\00") (data (i32.const 16) "guest") (data (i32.const 32) "f")
  (func (export "create") (result i32) (local $error i32)
    (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 1)
      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 40)))
    (if (local.get $error) (then (return (local.get $error))))
    (call $write (i32.load (i32.const 40)) (i32.const 8) (i32.const 1) (i32.const 44))))"#;

/// A guest of WASI with one directory. Its store holds what it has opened.
fn creates(engine: &Engine, dir: &Path) -> (Store<WasiCtx>, i32) {
    let mut linker = Linker::new(engine);
    minirt::wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let ctx = WasiCtxBuilder::new().preopened_dir(dir, "/", FsPerms::ReadWrite).unwrap().build().unwrap();
    let mut store = Store::new(engine, ctx);
    let it = linker.instantiate(&mut store, &Module::new(engine, CREATES).unwrap()).unwrap();
    let create = it.get_typed_func::<(), i32>(&mut store, "create").unwrap();
    let error = create.call(&mut store, ()).unwrap();
    (store, error)
}

#[test]
fn a_host_without_standard_streams_gets_nobodys_files_in_their_place() {
    passes(a_host_without_standard_streams_gets_nobodys_files_in_their_place, "closed", |_| {
        let dir = tempfile::tempdir().unwrap();
        let artifact = dir.path().join("artifact");
        let engine = Engine::default();
        std::fs::write(&artifact, Module::new(&engine, TEXT).unwrap().serialize().unwrap()).unwrap();
        // SAFETY: nobody uses the three descriptors before they are back.
        let kept = unsafe {
            let kept = [0, 1, 2].map(|stream| libc::fcntl(stream, libc::F_DUPFD_CLOEXEC, 100));
            (0..3).for_each(|stream| _ = libc::close(stream));
            kept
        };
        lives(20);
        // SAFETY: the artifact was made here, and nobody changes it.
        let module = unsafe { Module::deserialize_file(&engine, &artifact) }.unwrap();
        live(&engine, &module, 0).unwrap();
        let (guest, error) = creates(&engine, dir.path());
        // SAFETY: it only asks; then the streams come back.
        let taken = unsafe {
            let taken: Vec<i32> = (0..3).filter(|stream| libc::fcntl(*stream, libc::F_GETFD) != -1).collect();
            kept.iter().zip(0..3).for_each(|(kept, stream)| _ = libc::dup2(*kept, stream));
            taken
        };
        assert_eq!((taken, error), (vec![], 0));
        drop(guest);
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"guest");
    });
}

#[test]
fn where_no_signal_handler_can_be_installed_there_are_no_instances() {
    if !can_forbid() {
        return;
    }
    passes(where_no_signal_handler_can_be_installed_there_are_no_instances, "handlers", |_| {
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        forbid(libc::SYS_rt_sigaction, None, libc::EPERM);
        for _ in 0..3 {
            let error = live(&engine, &module, 0).unwrap_err();
            assert!(format!("{error:#}").contains("signal handlers"), "{error:#}");
        }
        assert_eq!(engine.stats().live, 0);
    });
}

#[test]
fn where_handlers_cannot_be_changed_any_more_those_that_are_there_serve() {
    if !can_forbid() {
        return;
    }
    passes(where_handlers_cannot_be_changed_any_more_those_that_are_there_serve, "later", |_| {
        lives(2);
        forbid(libc::SYS_rt_sigaction, None, libc::EPERM);
        lives(20);
    });
}

/// Signals that have come.
static CAME: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_storm_of_signals_interrupts_nothing() {
    passes(a_storm_of_signals_interrupts_nothing, "storm", |_| {
        extern "C" fn count(_: i32) {
            CAME.fetch_add(1, Relaxed);
        }
        let every = libc::timeval { tv_sec: 0, tv_usec: 100 };
        // SAFETY: the handler only counts. It has no flags: calls that it interrupts fail with
        // EINTR, and it runs on whatever stack there is.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            action.sa_sigaction = count as *const () as usize;
            assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
            let timer = libc::itimerval { it_interval: every, it_value: every };
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
        }
        lives(40);
        let engine = Engine::default();
        let recursion = Module::new(&engine, r#"(module (func $f (export "f") (call $f)))"#).unwrap();
        let (mut store, it) = instance_of(&engine, &recursion);
        let error = call(&mut store, it, "f", &[]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        assert!(CAME.load(Relaxed) > 20, "{CAME:?} signals");
    });
}

#[test]
fn programs_that_a_host_function_starts_inherit_none_of_our_files() {
    passes(programs_that_a_host_function_starts_inherit_none_of_our_files, "programs", |_| {
        let engine = Engine::default();
        let module = Module::new(
            &engine,
            r#"(module (import "" "start" (func $start)) (memory 3) (data (i32.const 0) "image")
                 (func (export "f") (result i32)
                   (i32.store (i32.const 70000) (i32.const 1)) (call $start)
                   (i32.store (i32.const 140000) (i32.const 2))
                   (i32.add (i32.load (i32.const 70000)) (i32.load (i32.const 140000)))))"#,
        )
        .unwrap();
        let mut store = Store::new(&engine, ());
        let start = Func::wrap(&mut store, || {
            let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains(" -> "), "what descriptors are is shown: {text}");
            assert!(["minirt", "pagemap", "maps"].iter().all(|name| !text.contains(name)), "{text}");
        });
        for _ in 0..10 {
            let it = Instance::new(&mut store, &module, &[start.into()]).unwrap();
            assert_eq!(call_i32(&mut store, it, "f", &[]).unwrap(), 3);
        }
        let ours = std::fs::read_dir("/proc/self/fd").unwrap().map(|file| std::fs::read_link(file.unwrap().path()));
        assert!(ours.flatten().any(|file| file.to_string_lossy().contains("minirt")), "there was something to inherit");
    });
}

/// Becomes a user without rights, if this process may.
fn give_up_rights() {
    const NOBODY: u32 = 65_534;
    // SAFETY: it concerns this process alone, which is a test's own.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!((libc::setgid(NOBODY), libc::setuid(NOBODY)), (0, 0));
        }
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
    }
}

#[test]
fn a_host_that_may_not_read_its_own_files_of_proc_runs_guests() {
    let test = a_host_that_may_not_read_its_own_files_of_proc_runs_guests;
    passes(test, "from the start", |_| {
        give_up_rights();
        lives(40);
    });
    passes(test, "later", |_| {
        lives(10);
        give_up_rights();
        lives(40);
    });
}

#[test]
fn a_host_without_files_or_a_directory_runs_guests() {
    passes(a_host_without_files_or_a_directory_runs_guests, "removed", |_| {
        let dir = tempfile::tempdir().unwrap();
        std::env::set_current_dir(dir.path()).unwrap();
        let path = dir.path().to_owned();
        dir.close().unwrap();
        // SAFETY: it concerns this process alone, which is a test's own.
        unsafe { libc::umask(0o777) };
        lives(10);
        let error = WasiCtxBuilder::new().preopened_dir(".", "/", FsPerms::ReadWrite).err();
        println!("the directory that is gone: {error:?}");
        std::fs::create_dir(&path).ok();
        // SAFETY: as above.
        if unsafe { libc::chroot(c"/proc/self/fdinfo".as_ptr()) } == 0 {
            assert!(std::fs::metadata("/proc/self").is_err());
            lives(40);
        }
    });
}

#[test]
fn a_host_that_locks_its_memory_runs_guests_or_learns_why_not() {
    let test = a_host_that_locks_its_memory_runs_guests_or_learns_why_not;
    // SAFETY: it concerns this process alone, which is a test's own.
    let lock = |flags| unsafe { libc::mlockall(flags) } == 0;
    passes(test, "all", |_| {
        if lock(libc::MCL_FUTURE) {
            // Without the right to lock as much as one likes, there may be no room for an engine.
            match Engine::new(&Config::new()) {
                Ok(_) => lives(10),
                Err(error) => assert!(format!("{error:#}").contains("ulimit -l"), "{error:#}"),
            }
        }
    });
    passes(test, "later", |_| {
        lives(10);
        if lock(libc::MCL_CURRENT | libc::MCL_FUTURE) {
            lives(10);
        }
    });
    passes(test, "little", |_| {
        crate::common::limit(libc::RLIMIT_MEMLOCK, 512 << 20);
        give_up_rights();
        assert!(lock(libc::MCL_FUTURE));
        let error = Engine::new(&Config::new()).unwrap_err();
        assert!(format!("{error:#}").contains("ulimit -l"), "{error:#}");
    });
    passes(test, "not enough for a slot", |_| {
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        crate::common::limit(libc::RLIMIT_MEMLOCK, 512 << 20);
        give_up_rights();
        assert!(lock(libc::MCL_FUTURE));
        let error = live(&engine, &module, 0).unwrap_err();
        assert!(format!("{error:#}").contains("ulimit -l"), "{error:#}");
    });
}

#[test]
fn threads_with_little_stack_trap_and_do_not_fault() {
    passes(threads_with_little_stack_trap_and_do_not_fault, "small", |_| {
        let engine = Engine::default();
        let module = Module::new(
            &engine,
            r#"(module (func $r (export "r") (param i32) (result i32) (i32.add (call $r (local.get 0)) (i32.const 1)))
                 (func (export "f") (result i32) (i32.const 7)))"#,
        )
        .unwrap();
        for kib in [64, 96, 128, 160, 200, 300] {
            let (mut store, it) = instance_of(&engine, &module);
            let ended = std::thread::Builder::new().stack_size(kib << 10).spawn(move || {
                let recursion = call_i32(&mut store, it, "r", &[1]).unwrap_err();
                assert_eq!(recursion.downcast_ref(), Some(&Trap::StackOverflow));
                call_i32(&mut store, it, "f", &[]).map_err(|error| error.downcast_ref().copied())
            });
            let ended = ended.unwrap().join().unwrap();
            // 128 KiB are the host's.
            assert!(ended == Ok(7) || (kib < 200 && ended == Err(Some(Trap::StackOverflow))), "{kib} KiB: {ended:?}");
        }
    });
}

#[test]
fn a_host_that_refuses_to_make_memory_executable_runs_guests_or_learns_why_not() {
    passes(a_host_that_refuses_to_make_memory_executable_runs_guests_or_learns_why_not, "refuses", |_| {
        const PR_SET_MDWE: i32 = 65;
        // SAFETY: it concerns this process alone, which is a test's own.
        if unsafe { libc::prctl(PR_SET_MDWE, 1, 0, 0, 0) } == 0 {
            lives(4);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(maps.lines().all(|line| !line.contains(" rwx")), "{maps}");
        }
    });
    if !can_forbid() {
        return;
    }
    let test = a_host_that_refuses_to_make_memory_executable_runs_guests_or_learns_why_not;
    passes(test, "neither memory nor a file", |_| {
        let engine = Engine::default();
        forbid(libc::SYS_memfd_create, None, libc::EPERM);
        forbid(libc::SYS_mprotect, Some((2, 5)), libc::EACCES);
        let error = Module::new(&engine, TEXT).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("executable memory") && text.contains("Permission denied"), "{text}");
    });
}
