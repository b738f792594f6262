//! What concerns the whole process: fork, signals, limits, filters and failures of system calls.
//!
//! Each case runs in a process of its own, which is this test binary again with the case's name in the environment.
//! There it may lose rights, fork or die.

#[path = "../common/mod.rs"]
mod common;

use common::{STRATEGIES, call, call_i32, config, each_config, forbid, is_zero};
use minirt::{Engine, Instance, Linker, Memory, Module, ResetStrategy, Store, Trap, Val};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

const CASE: &str = "MINIRT_CASE";
const PAGE: usize = 4096;
const WASM_PAGE: usize = 65_536;

/// Runs `case` in a process of its own, as the test with this name, and gives what became of it and what it printed.
fn in_child(test: &str, case: &str, body: impl FnOnce(&str)) -> Option<(ExitStatus, String)> {
    if let Ok(case) = std::env::var(CASE) {
        body(&case);
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    // One thread, so that what the case does to its process is all that happens there. No backtraces: they would be
    // symbolised with the rights that the case gave up.
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CASE, case).env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status, text))
}

/// The case must come to its end without a panic.
fn passes(test: &str, case: &str, body: impl FnOnce(&str)) {
    if let Some((status, text)) = in_child(test, case, body) {
        assert!(status.success(), "{case}: {status}\n{text}");
    }
}

/// The case must end with this signal.
fn dies(test: &str, case: &str, signal: i32, body: impl FnOnce(&str)) {
    if let Some((status, text)) = in_child(test, case, body) {
        assert_eq!(status.signal(), Some(signal), "{case}: {status}\n{text}");
    }
}

const TEXT: &str = r#"(module
  (memory (export "m") 4 30)
  (data (i32.const 100) "first") (data (i32.const 200000) "last")
  (global (export "g") (mut i32) (i32.const 7))
  (table $t (export "t") 3 3000 funcref)
  (table $big (export "big") 2000 2000 funcref)
  (elem (i32.const 1) $f)
  (func $f (result i32) (i32.const 42))
  (func (export "write") (param $at i32) (i64.store (local.get $at) (i64.const -1)))
  (func (export "load") (param $at i32) (result i32) (i32.load8_u (local.get $at)))
  (func (export "dirty") (param $at i32) (param $step i32) (param $count i32)
    (global.set 0 (i32.const -1))
    (table.set $t (i32.const 0) (ref.func $f))
    (loop
      (i32.store8 (local.get $at) (i32.const 0xcc))
      (local.set $at (i32.add (local.get $at) (local.get $step)))
      (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func (export "table") (param $at i32) (table.set $big (local.get $at) (ref.func $f)))
  (func (export "nulls in big") (result i32) (local $at i32) (local $nulls i32)
    (loop
      (local.set $nulls (i32.add (local.get $nulls) (ref.is_null (table.get $big (local.get $at)))))
      (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 2000))))
    (local.get $nulls))
  (func (export "tgrow") (result i32) (table.grow $t (ref.func $f) (i32.const 2000)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

/// A module with no data and another size, to take slots away from the first.
const OTHER: &str = r#"(module (memory (export "m") 20 30)
  (func (export "load") (param $at i32) (result i32) (i32.load8_u (local.get $at))))"#;

fn assert_fresh(store: &mut Store<()>, it: Instance) {
    let memory = it.get_memory(&*store, "m").unwrap();
    let mut fresh = vec![0; 4 * WASM_PAGE];
    fresh[100..105].copy_from_slice(b"first");
    fresh[200_000..200_004].copy_from_slice(b"last");
    assert!(memory.data(&*store) == fresh, "memory is not fresh");
    assert_eq!(it.get_global(&*store, "g").unwrap().get(&*store).unwrap_i32(), 7);
    let table = it.get_table(&*store, "t").unwrap();
    let nulls: Vec<_> = (0..table.size(&*store)).map(|at| table.get(&*store, at).unwrap().is_null()).collect();
    assert_eq!(nulls, [true, false, true]);
    assert_eq!(call_i32(store, it, "nulls in big", &[]).unwrap(), 2000);
    assert_traps_behind(store, it, memory);
}

fn assert_traps_behind(store: &mut Store<()>, it: Instance, memory: Memory) {
    for behind in [0, 5 * WASM_PAGE] {
        let error = call_i32(store, it, "load", &[(memory.data_size(&*store) + behind) as i32]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
    }
}

/// One life: fresh at first, then dirty in a way that depends on the round.
fn live(engine: &Engine, module: &Module, round: usize) -> minirt::Result<()> {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, module, &[])?;
    call_i32(&mut store, it, "load", &[0])?; // The first call on a thread needs something of the system.
    assert_fresh(&mut store, it);
    let dirty = |store: &mut Store<()>, args: [usize; 3]| {
        call(store, it, "dirty", &args.map(|arg| Val::I32(arg as i32))).map(drop)
    };
    match round % 5 {
        0 | 1 => dirty(&mut store, [PAGE, 2 * PAGE, 3]),
        2 => dirty(&mut store, [round * 977 % WASM_PAGE, PAGE, 30]),
        3 => {
            let before = call_i32(&mut store, it, "grow", &[3])?;
            if before == -1 {
                return Ok(()); // There was no memory for it.
            }
            let memory = it.get_memory(&store, "m").unwrap();
            assert!(is_zero(&memory.data(&store)[4 * WASM_PAGE..]), "grown memory is not zero");
            dirty(&mut store, [4 * WASM_PAGE, PAGE, 48])
        }
        _ => {
            call_i32(&mut store, it, "tgrow", &[])?;
            call(&mut store, it, "table", &[Val::I32((round * 37 % 1000) as i32)])?;
            it.get_memory(&store, "m").unwrap().write(&mut store, round * 4093 % (3 * WASM_PAGE), b"from the host")?;
            Ok(())
        }
    }
}

/// An instance of the other module must be zero all over.
fn live_elsewhere(engine: &Engine, other: &Module) -> minirt::Result<()> {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, other, &[])?;
    call_i32(&mut store, it, "load", &[0])?;
    let memory = it.get_memory(&store, "m").unwrap();
    assert!(is_zero(memory.data(&store)), "the other module's memory is not zero");
    assert_traps_behind(&mut store, it, memory);
    Ok(())
}

fn rounds(engine: &Engine, module: &Module, other: &Module, rounds: usize) {
    for round in 0..rounds {
        live(engine, module, round).unwrap();
        if round % 7 == 6 {
            live_elsewhere(engine, other).unwrap();
        }
    }
}

fn strategy_named(name: &str) -> ResetStrategy {
    STRATEGIES.into_iter().find(|strategy| format!("{strategy:?}") == name).unwrap()
}

fn names() -> [String; 4] {
    STRATEGIES.map(|strategy| format!("{strategy:?}"))
}

// fork

/// Makes a child process, by the C library or by the bare system call, and gives its number, or 0 in the child.
fn fork(bare: bool) -> libc::pid_t {
    // SAFETY: the child does what the tests are about, and ends in `_exit`.
    let child =
        unsafe { if bare { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 } else { libc::fork() } };
    assert!(child >= 0);
    child
}

/// Ends a child without running anything that belongs to its parent.
fn exit_child(work: impl FnOnce()) -> ! {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: it ends the process at once; nothing of the parent's is flushed twice.
    unsafe { libc::_exit(i32::from(done.is_err())) }
}

/// Waits for a child and gives its status.
fn wait_for(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the child is ours, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

#[test]
fn after_a_fork_both_processes_reset_their_own_pages() {
    let test = "after_a_fork_both_processes_reset_their_own_pages";
    for case in names() {
        passes(test, &case, |case| {
            for (images, bare) in [(true, false), (false, false), (true, true), (false, true)] {
                let engine = Engine::new(config(strategy_named(case), images).max_instances(2)).unwrap();
                let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                rounds(&engine, &module, &other, 40);
                // An instance that is alive at the fork, and dirty where the parent's goes on to be clean.
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap();
                call(&mut store, it, "dirty", &[0, PAGE as i32, 20].map(Val::I32)).unwrap();
                let child = fork(bare);
                if child == 0 {
                    exit_child(|| {
                        call(&mut store, it, "dirty", &[WASM_PAGE as i32, PAGE as i32, 20].map(Val::I32)).unwrap();
                        drop(store);
                        rounds(&engine, &module, &other, 60);
                    });
                }
                drop(store);
                rounds(&engine, &module, &other, 60);
                assert_eq!(wait_for(child), 0, "{case}, images {images}, bare {bare}: the child failed");
                rounds(&engine, &module, &other, 20);
            }
        });
    }
}

#[test]
fn a_child_of_a_process_whose_threads_use_the_engine_uses_it_too() {
    let test = "a_child_of_a_process_whose_threads_use_the_engine_uses_it_too";
    passes(test, "threads", |_| {
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        let use_it = |engine: &Engine, module: &Module| {
            let mut store = Store::new(engine, ());
            let it = Instance::new(&mut store, module, &[]).unwrap();
            call(&mut store, it, "dirty", &[0, PAGE as i32, 3].map(Val::I32)).unwrap();
        };
        let compile = |engine: &Engine| drop(Module::new(engine, "(module (func (export \"f\")))").unwrap());
        let stop = std::sync::atomic::AtomicBool::new(false);
        let ended = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended() {
                    use_it(&engine, &module)
                }
            });
            scope.spawn(|| {
                while !ended() {
                    compile(&engine)
                }
            });
            scope.spawn(|| {
                while !ended() {
                    drop(Engine::default())
                }
            });
            for round in 0..200 {
                let child = fork(false);
                if child == 0 {
                    // SAFETY: a child that hangs is ended by this signal.
                    unsafe { libc::alarm(20) };
                    exit_child(|| {
                        use_it(&engine, &module);
                        compile(&engine);
                        drop(Engine::default());
                    });
                }
                let status = wait_for(child);
                if status != 0 {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("child {round} ended with status {status:#x}; {:#x} is a hang", libc::SIGALRM);
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

// Signals

#[test]
fn a_fault_in_a_host_function_is_no_trap_but_ends_the_process() {
    let test = "a_fault_in_a_host_function_is_no_trap_but_ends_the_process";
    let cases = [
        ("null", libc::SIGSEGV),
        ("guard", libc::SIGSEGV),
        ("read-only page", libc::SIGSEGV),
        ("abort", libc::SIGABRT),
    ];
    for (case, signal) in cases {
        dies(test, case, signal, |case| {
            no_core_dump();
            let engine = Engine::new(&config(ResetStrategy::HotSet, true)).unwrap();
            let mut linker = Linker::<usize>::new(&engine);
            let case = case.to_owned();
            let fault = move |caller: minirt::Caller<'_, usize>| match &case[..] {
                "abort" => std::process::abort(),
                "null" => read_at(8),
                // Right behind the memory, where a load of the guest's would be a trap.
                "guard" => read_at(*caller.data()),
                _ => write_to_constant(),
            };
            linker.func_wrap("host", "fault", fault).unwrap();
            let text = r#"(module (import "host" "fault" (func $fault)) (memory (export "m") 1)
              (func (export "run") (i32.store (i32.const 0) (i32.const 1)) (call $fault)))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, 0);
            let it = linker.instantiate(&mut store, &module).unwrap();
            let end = it.get_memory(&store, "m").unwrap().data(&store).as_ptr_range().end as usize;
            *store.data_mut() = end;
            let result = it.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ());
            panic!("the process survived: {result:?}");
        });
    }
}

fn read_at(address: usize) {
    let pointer = std::hint::black_box(address) as *const u8;
    // SAFETY: it is not safe: the address is not mapped, and the process is to die here.
    let _ = std::hint::black_box(unsafe { pointer.read_volatile() });
}

fn write_to_constant() {
    static CONSTANT: [u8; 64] = [1; 64];
    let pointer = std::hint::black_box(CONSTANT.as_ptr()).cast_mut();
    // SAFETY: it is not safe: constants are mapped read-only, and the process is to die here.
    unsafe { pointer.write_volatile(1) }
}

fn no_core_dump() {
    // SAFETY: the structure is initialised and outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
}

/// Exit status with which the handler that was installed first says that it was called.
const FIRST_HANDLER: i32 = 77;

extern "C" fn first_handler(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes valid information; `_exit` may be called in a handler.
    unsafe {
        let right = signal == libc::SIGSEGV && (*info).si_addr() as usize == 16;
        libc::_exit(if right { FIRST_HANDLER } else { 1 });
    }
}

#[test]
fn a_handler_that_was_there_before_gets_the_faults_that_are_not_ours() {
    let test = "a_handler_that_was_there_before_gets_the_faults_that_are_not_ours";
    for case in ["in a host function", "outside of Wasm", "on another thread"] {
        let ended = in_child(test, case, |case| {
            install_first_handler();
            let engine = Engine::default();
            let module = Module::new(&engine, TEXT).unwrap();
            // Ours still are: a page that is watched, and a trap.
            (0..30).for_each(|round| live(&engine, &module, round).unwrap());
            let mut linker = Linker::<()>::new(&engine);
            linker.func_wrap("host", "fault", || read_at(16)).unwrap();
            let text = r#"(module (import "host" "fault" (func $fault)) (func (export "run") (call $fault)))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let it = linker.instantiate(&mut store, &module).unwrap();
            match case {
                "in a host function" => _ = call(&mut store, it, "run", &[]),
                "outside of Wasm" => read_at(16),
                _ => std::thread::spawn(|| read_at(16)).join().unwrap(),
            }
            panic!("the process survived");
        });
        if let Some((status, text)) = ended {
            assert_eq!(status.code(), Some(FIRST_HANDLER), "{case}: {status}\n{text}");
        }
    }
}

fn install_first_handler() {
    // SAFETY: the action is initialised, and its handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = first_handler;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
    }
}

// Filters of system calls

/// `PAGEMAP_SCAN`, as a request of `ioctl`.
const PAGEMAP_SCAN: u32 = 0xc060_6610;

#[test]
fn without_the_scan_everything_is_clean_all_the_same() {
    let test = "without_the_scan_everything_is_clean_all_the_same";
    let errors = [("never there", libc::ENOTTY), ("forbidden", libc::EPERM), ("out of memory", libc::ENOMEM)];
    for (case, error) in errors {
        for from_the_start in [true, false] {
            let case = format!("{case}, {}", if from_the_start { "from the start" } else { "all of a sudden" });
            passes(test, &case, |_| {
                if from_the_start {
                    forbid(libc::SYS_ioctl, Some((1, PAGEMAP_SCAN)), error);
                }
                let mut engines = Vec::new();
                each_config(|_, strategy, mut config| {
                    let engine = Engine::new(config.max_instances(2)).unwrap();
                    let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
                    rounds(&engine, &module, &other, 40);
                    engines.push((strategy, engine, module, other));
                });
                if !from_the_start {
                    forbid(libc::SYS_ioctl, Some((1, PAGEMAP_SCAN)), error);
                }
                for (strategy, engine, module, other) in &engines {
                    let before = engine.stats();
                    rounds(engine, module, other, 40);
                    let after = engine.stats();
                    assert_eq!(after.resets_scan, before.resets_scan, "{strategy:?}: the filter works");
                    // How the pages are is not known then, and that is said with zeros.
                    let mut store = Store::new(engine, ());
                    let it = Instance::new(&mut store, module, &[]).unwrap();
                    assert_eq!(it.page_stats(&store).private, 0);
                }
            });
        }
    }
}

#[test]
fn without_proc_everything_is_clean_all_the_same() {
    passes("without_proc_everything_is_clean_all_the_same", "no /proc", |_| {
        forbid(libc::SYS_openat, None, libc::ENOENT);
        forbid(libc::SYS_open, None, libc::ENOENT);
        each_config(|_, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 60);
        });
    });
}

/// Moments at which a system call begins to fail.
const MOMENTS: [&str; 6] = ["compile", "first", "warm", "grow", "write", "drop"];

/// System calls of a runtime like this, with the errors that they have in practice.
const CALLS: [(&str, i64, i32); 11] = [
    ("mmap", libc::SYS_mmap, libc::ENOMEM),
    ("mprotect", libc::SYS_mprotect, libc::ENOMEM),
    ("madvise", libc::SYS_madvise, libc::EAGAIN),
    ("munmap", libc::SYS_munmap, libc::ENOMEM),
    ("memfd_create", libc::SYS_memfd_create, libc::EMFILE),
    ("memfd_create is missing", libc::SYS_memfd_create, libc::ENOSYS),
    ("ftruncate", libc::SYS_ftruncate, libc::ENOSPC),
    ("pwrite", libc::SYS_pwrite64, libc::ENOSPC),
    ("fcntl", libc::SYS_fcntl, libc::EPERM),
    ("sigaltstack", libc::SYS_sigaltstack, libc::ENOMEM),
    ("ioctl", libc::SYS_ioctl, libc::ENOMEM),
];

#[test]
fn a_system_call_that_fails_from_some_moment_on_is_an_error_or_goes_unnoticed() {
    let test = "a_system_call_that_fails_from_some_moment_on_is_an_error_or_goes_unnoticed";
    if std::env::var(CASE).is_ok() {
        return passes(test, "", fail_from_some_moment_on);
    }
    let cases = CALLS.iter().flat_map(|(call, ..)| MOMENTS.map(|moment| format!("{call}/{moment}")));
    let cases: Vec<String> = cases.flat_map(|case| [format!("{case}/images"), format!("{case}/copies")]).collect();
    std::thread::scope(|scope| {
        for cases in cases.chunks(cases.len().div_ceil(2)) {
            scope.spawn(move || cases.iter().for_each(|case| passes(test, case, |_| unreachable!())));
        }
    });
}

fn fail_from_some_moment_on(case: &str) {
    let [call_name, moment, images] = case.split('/').collect::<Vec<_>>()[..] else { panic!("no such case: {case}") };
    let (_, number, error) = *CALLS.iter().find(|(name, ..)| *name == call_name).unwrap();
    // Room for what the test itself allocates, so that the allocator does not need the call that fails.
    let mut room = vec![1_u8; 64 << 20];
    room.iter_mut().step_by(PAGE).for_each(|byte| *byte = 2);
    let setups: Vec<_> = STRATEGIES
        .map(|strategy| Engine::new(config(strategy, images == "images").max_instances(3)).unwrap())
        .map(|engine| {
            let modules = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            (engine, modules)
        })
        .into();
    if !["compile", "first"].contains(&moment) {
        for (engine, [module, other]) in &setups {
            rounds(engine, module, other, 40);
        }
    }
    let mut live_ones: Vec<_> = match moment {
        "grow" | "write" | "drop" => setups.iter().map(|(engine, [module, _])| instance_of(engine, module)).collect(),
        _ => Vec::new(),
    };
    if moment == "drop" {
        for (store, it) in &mut live_ones {
            call(store, *it, "grow", &[Val::I32(1)]).unwrap();
            call(store, *it, "dirty", &[Val::I32(0), Val::I32(3 * PAGE as i32), Val::I32(25)]).unwrap();
        }
    }
    drop(room);
    forbid(number, None, error);
    let mut outcomes = String::new();
    let mut note = |outcome: minirt::Result<()>| outcomes += if outcome.is_ok() { "+" } else { "-" };
    for (engine, _) in &setups {
        if moment == "compile" {
            let module = Module::new(engine, OTHER);
            note(module.and_then(|module| live_elsewhere(engine, &module)));
        }
    }
    for (store, it) in &mut live_ones {
        match moment {
            "grow" => note(call(store, *it, "grow", &[Val::I32(2)]).map(drop)),
            "write" => {
                // Pages that are not in the hot set: in memory, in a table, and by the host.
                note(call(store, *it, "write", &[Val::I32(3 * WASM_PAGE as i32 - 4)]).map(drop));
                note(call(store, *it, "table", &[Val::I32(2)]).map(drop));
                note(it.get_memory(&*store, "m").unwrap().write(&mut *store, 50_000, b"host").map_err(Into::into));
                note(call(store, *it, "table", &[Val::I32(1900)]).map(drop));
                note(call(store, *it, "tgrow", &[]).map(drop));
            }
            _ => {}
        }
    }
    drop(live_ones);
    for round in 0..40 {
        for (engine, [module, other]) in &setups {
            note(live(engine, module, round));
            if round % 3 == 2 {
                note(live_elsewhere(engine, other));
            }
            let stats = engine.stats();
            assert!(stats.live == 0 && stats.idle <= 3 && stats.kept_bytes < 1 << 30, "{stats:?}");
        }
    }
    println!("{case}: {outcomes}");
}

/// With `strace` a single call can be made to fail. Where there is none, or it may not trace, this shows nothing.
/// `MINIRT_INJECT=all` takes every call instead of a few of each kind.
#[test]
fn any_single_system_call_may_fail_and_the_next_life_is_well() {
    let test = "any_single_system_call_may_fail_and_the_next_life_is_well";
    if std::env::var(CASE).is_ok() {
        return passes(test, "", lives_around_a_failure);
    }
    let calls = [
        "mmap:ENOMEM",
        "mprotect:ENOMEM",
        "madvise:EAGAIN",
        "memfd_create:EMFILE",
        "ftruncate:ENOSPC",
        "pwrite64:EINTR",
        "ioctl:ENOMEM",
        "ioctl:EINTR",
        "sigaltstack:ENOMEM",
        "fcntl:EPERM",
    ];
    let most = if std::env::var("MINIRT_INJECT").is_ok_and(|value| value == "all") { usize::MAX } else { 4 };
    let mut failures = 0;
    for case in names().iter().flat_map(|name| [format!("{name}/images"), format!("{name}/copies")]) {
        let Some(trace) = trace(test, &case) else { return };
        for call in calls {
            let (name, error) = call.split_once(':').unwrap();
            let (first, count) = calls_between_marks(&trace, name);
            for n in (0..count).step_by(count.div_ceil(most).max(1)) {
                let inject = format!("inject={name}:error={error}:when={}", first + n + 1);
                let (status, text) =
                    under_strace(test, &case, &["-e", &format!("trace={name}"), "-e", &inject]).unwrap();
                assert!(status.success(), "{case}, {inject} ({n} of {count}): {status}\n{text}");
                assert!(text.contains("(INJECTED)"), "{case}, {inject}: it did not come so far\n{text}");
                failures += 1;
            }
        }
    }
    println!("{failures} calls failed, one in each process");
}

/// What a case prints, `strace` included. `None` without it.
fn under_strace(test: &str, case: &str, options: &[&str]) -> Option<(ExitStatus, String)> {
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf"]).args(options).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CASE, case).env("RUST_BACKTRACE", "0");
    // What the allocator asks of the system is not what this is about: it asks once, when the process starts.
    let tunables = ["arena_max=1", "mmap_max=0", "top_pad=268435456"].map(|it| format!("glibc.malloc.{it}")).join(":");
    let output = command.env("GLIBC_TUNABLES", tunables).output().ok()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status, text))
}

/// All system calls of a case in which none fails.
fn trace(test: &str, case: &str) -> Option<String> {
    match under_strace(test, case, &[]) {
        Some((status, text)) if status.success() && text.contains("getppid()") => Some(text),
        found => {
            println!(
                "no strace here: {:?}",
                found.map(|(status, text)| (status, text.lines().next().map(str::to_owned)))
            );
            None
        }
    }
}

/// How often a thread calls `name` before it calls `getppid` for the first time, and from there to the second time. That
/// is how strace counts, for each thread by itself.
fn calls_between_marks(trace: &str, name: &str) -> (usize, usize) {
    let marks: Vec<usize> = trace.match_indices("getppid()").map(|(at, _)| at).collect();
    let [first, second] = marks[..] else { panic!("two marks, not {}", marks.len()) };
    let line = trace[..first].rfind('\n').unwrap() + 1;
    let thread = &trace[line..first]; // `[pid 1234] `, or nothing for the main thread.
    let call = format!("{thread}{name}(");
    let count = |part: &str| part.lines().filter(|line| line.starts_with(&call)).count();
    (count(&trace[..first]), count(&trace[first..second]))
}

fn lives_around_a_failure(case: &str) {
    let (strategy, images) = case.split_once('/').unwrap();
    let mut config = config(strategy_named(strategy), images == "images");
    let engine = Engine::new(config.max_instances(2).parallel_compilation(false)).unwrap();
    // SAFETY: this changes nothing. It marks the place where calls begin to fail, and then where they end.
    let mark = || unsafe { libc::getppid() };
    // The count that strace goes by is each thread's own. This thread's has to be ahead of the main thread's.
    let numbers = CALLS.map(|(_, number, _)| number);
    // SAFETY: -1 is no descriptor and no address, so all these calls fail and do nothing.
    (0..100).for_each(|_| numbers.iter().for_each(|number| _ = unsafe { libc::syscall(*number, -1, 0, 0, 0, -1, 0) }));
    mark();
    let compile = |text: &str| Module::new(&engine, text).or_else(|_| Module::new(&engine, text)).unwrap();
    let [module, other] = [TEXT, OTHER].map(compile);
    let mut errors = 0;
    for round in 0..15 {
        errors += usize::from(live(&engine, &module, round).is_err());
        if round % 5 == 4 {
            errors += usize::from(live_elsewhere(&engine, &other).is_err());
        }
    }
    mark();
    assert!(errors <= 1, "{errors} errors after one failure");
    rounds(&engine, &module, &other, 15);
    let stats = engine.stats();
    assert!(stats.live == 0 && stats.idle >= 1 && stats.kept_bytes < 1 << 30, "{stats:?}");
}

fn instance_of(engine: &Engine, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let it = Instance::new(&mut store, module, &[]).unwrap();
    (store, it)
}

// Limits

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    // SAFETY: the structures are initialised and outlive the calls.
    unsafe {
        let mut now = std::mem::zeroed::<libc::rlimit>();
        assert_eq!(libc::getrlimit(resource, &mut now), 0);
        assert_eq!(libc::setrlimit(resource, &libc::rlimit { rlim_cur: value.min(now.rlim_max), ..now }), 0);
    }
}

/// As many instances as fit; then some go, and all is well again.
fn fill_up(engine: &Engine, module: &Module) -> usize {
    let mut live = Vec::new();
    let error = loop {
        let mut store = Store::new(engine, ());
        match Instance::new(&mut store, module, &[]) {
            Ok(it) => live.push((store, it)),
            Err(error) => break error,
        }
        assert!(live.len() < 2_000, "the limit does not work");
    };
    println!("{} instances, then: {error:#}", live.len());
    let made = live.len();
    live.truncate(made / 2);
    live.iter_mut().for_each(|(store, it)| assert_fresh(store, *it));
    made
}

#[test]
fn little_address_space_is_an_error_and_the_engine_goes_on() {
    passes("little_address_space_is_an_error_and_the_engine_goes_on", "address space", |_| {
        for images in [true, false] {
            let engine = Engine::new(&config(ResetStrategy::Adaptive, images)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 20);
            limit(libc::RLIMIT_AS, 60 << 30);
            let made = fill_up(&engine, &module);
            assert!((2..9).contains(&made), "{made} instances of 7 GiB in 60 GiB");
            rounds(&engine, &module, &other, 40);
            assert_eq!(fill_up(&engine, &module), made, "nothing was lost");
            limit(libc::RLIMIT_AS, u64::MAX);
            rounds(&engine, &module, &other, 40);
        }
        // All slots that fit are idle and carry one module: they are as good for another.
        for images in [true, false] {
            let engine = Engine::new(&config(ResetStrategy::Adaptive, images)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            limit(libc::RLIMIT_AS, 60 << 30);
            fill_up(&engine, &module);
            live_elsewhere(&engine, &other).unwrap();
            rounds(&engine, &module, &other, 20);
            limit(libc::RLIMIT_AS, u64::MAX);
        }
        // Not even one.
        limit(libc::RLIMIT_AS, 5 << 30);
        let engine = Engine::default();
        let module = Module::new(&engine, TEXT).unwrap();
        let error = live(&engine, &module, 0).unwrap_err();
        assert!(format!("{error:#}").contains("address space"), "{error:#}");
        limit(libc::RLIMIT_AS, u64::MAX);
        live(&engine, &module, 0).unwrap();
    });
}

#[test]
fn little_data_space_still_lets_instances_run() {
    // What is private and writable counts, used or not: the mapping of the state must not ask for gigabytes.
    passes("little_data_space_still_lets_instances_run", "data space", |_| {
        limit(libc::RLIMIT_DATA, 1 << 30);
        each_config(|case, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let module = Module::new(&engine, "(module (memory (export \"m\") 1) (data (i32.const 0) \"a\"))").unwrap();
            for _ in 0..20 {
                let mut store = Store::new(&engine, ());
                let it = Instance::new(&mut store, &module, &[]).unwrap_or_else(|error| panic!("{case}: {error:?}"));
                let memory = it.get_memory(&store, "m").unwrap();
                assert_eq!(memory.data(&store)[..2], *b"a\0", "{case}");
                memory.data_mut(&mut store).fill(1);
            }
        });
    });
}

/// Lets the process have so many more bytes of private writable memory than it has now.
fn limit_data_to_now_and(bytes: usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let now = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let kilobytes: u64 = now.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    limit(libc::RLIMIT_DATA, kilobytes * 1024 + bytes as u64);
}

#[test]
fn a_slot_that_could_be_opened_only_in_part_is_not_reset_by_its_hot_set() {
    passes("a_slot_that_could_be_opened_only_in_part_is_not_reset_by_its_hot_set", "opening", |_| {
        for (strategy, images) in
            [ResetStrategy::Adaptive, ResetStrategy::HotSet].map(|it| [(it, true), (it, false)]).as_flattened()
        {
            let engine = Engine::new(config(*strategy, *images).max_instances(1)).unwrap();
            let module = Module::new(&engine, TEXT).unwrap();
            for _ in 0..3 {
                let (mut store, it) = instance_of(&engine, &module);
                call(&mut store, it, "dirty", &[0, 1, 1].map(Val::I32)).unwrap();
            }
            let (mut store, it) = instance_of(&engine, &module);
            // Some pages elsewhere and all of the tables may become writable, but not all of the memory.
            limit_data_to_now_and(32 * PAGE);
            let error = call(&mut store, it, "dirty", &[0, PAGE as i32, 40].map(Val::I32)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
            call(&mut store, it, "table", &[Val::I32(1500)]).unwrap();
            drop(store);
            limit(libc::RLIMIT_DATA, u64::MAX);
            let (mut store, it) = instance_of(&engine, &module);
            assert_fresh(&mut store, it);
            // The same, but the instance goes back by itself: that is refused.
            for _ in 0..3 {
                call(&mut store, it, "dirty", &[0, 1, 1].map(Val::I32)).unwrap();
                it.reset(&mut store).unwrap();
            }
            limit_data_to_now_and(32 * PAGE);
            call(&mut store, it, "dirty", &[0, PAGE as i32, 40].map(Val::I32)).unwrap_err();
            limit(libc::RLIMIT_DATA, u64::MAX);
            for _ in 0..2 {
                let error = it.reset(&mut store).unwrap_err();
                assert!(format!("{error:#}").contains("could not reset the instance"), "{error:#}");
            }
            drop(store);
            let (mut store, it) = instance_of(&engine, &module);
            assert_fresh(&mut store, it);
        }
    });
}

#[test]
fn memory_that_could_grow_only_in_part_has_not_grown() {
    passes("memory_that_could_grow_only_in_part_has_not_grown", "growing", |_| {
        each_config(|case, _, mut config| {
            let engine = Engine::new(config.max_instances(1)).unwrap();
            let module = Module::new(&engine, TEXT).unwrap();
            let (mut store, it) = instance_of(&engine, &module);
            let end = it.get_memory(&store, "m").unwrap().data(&store).as_ptr_range().end;
            // What lies behind the memory becomes two mappings. (Where the kernel counts what it promises, that happens by
            // itself, at the size that an earlier instance grew to.)
            // SAFETY: the advice is about core dumps and changes nothing else.
            let advised =
                unsafe { libc::madvise(end.add(6 * WASM_PAGE).cast_mut().cast(), WASM_PAGE, libc::MADV_DONTDUMP) };
            assert_eq!(advised, 0, "{}", std::io::Error::last_os_error());
            limit_data_to_now_and(8 * WASM_PAGE);
            let grown = call_i32(&mut store, it, "grow", &[26]).unwrap();
            limit(libc::RLIMIT_DATA, u64::MAX);
            assert_eq!(grown, -1, "{case}: the limit works");
            assert_fresh(&mut store, it);
        });
    });
}

#[test]
fn where_files_have_to_be_small_slots_are_filled_by_copying() {
    passes("where_files_have_to_be_small_slots_are_filled_by_copying", "file size", |_| {
        limit(libc::RLIMIT_FSIZE, 8192);
        each_config(|_, _, mut config| {
            let engine = Engine::new(config.max_instances(2)).unwrap();
            let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
            rounds(&engine, &module, &other, 20);
        });
    });
}

#[test]
fn too_few_descriptors_are_an_error_and_the_engine_goes_on() {
    passes("too_few_descriptors_are_an_error_and_the_engine_goes_on", "descriptors", |_| {
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        limit(libc::RLIMIT_NOFILE, common::descriptors() as u64 + 20);
        let mut modules = Vec::new();
        let error = loop {
            match Module::new(&engine, TEXT) {
                Ok(module) => modules.push(module),
                Err(error) => break error,
            }
            assert!(modules.len() < 100, "the limit does not work");
        };
        println!("{} modules, then: {error:#}", modules.len());
        // Those that are there work, though there is no descriptor left to scan with.
        rounds(&engine, &module, &other, 60);
        rounds(&engine, &modules[0], &other, 20);
        drop(modules);
        let module = Module::new(&engine, TEXT).unwrap();
        rounds(&engine, &module, &other, 40);
    });
}

#[test]
fn too_many_mappings_are_an_error_and_the_engine_goes_on() {
    passes("too_many_mappings_are_an_error_and_the_engine_goes_on", "mappings", |_| {
        let limit: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let engine = Engine::default();
        let [module, other] = [TEXT, OTHER].map(|text| Module::new(&engine, text).unwrap());
        rounds(&engine, &module, &other, 20);
        let hog = Hog::take(limit.saturating_sub(common::mappings() + 40));
        for round in 0..200 {
            // With so few mappings left, a life may fail; but what does not fail is right.
            let mut tenants: Vec<_> = (0..20)
                .map_while(|_| {
                    let mut store = Store::new(&engine, ());
                    let it = Instance::new(&mut store, &module, &[]).ok()?;
                    assert_fresh(&mut store, it);
                    Some((store, it))
                })
                .collect();
            for (store, it) in &mut tenants {
                let _ = call(store, *it, "dirty", &[round * 300 % 60_000, 4 * PAGE as i32, 8].map(Val::I32));
            }
            drop(tenants);
            let _ = live_elsewhere(&engine, &other);
            let stats = engine.stats();
            assert!(stats.live == 0 && stats.kept_bytes < 1 << 30, "{stats:?}");
        }
        drop(hog);
        rounds(&engine, &module, &other, 40);
    });
}

/// So many mappings that are of no use: every other page of a range is another.
struct Hog {
    at: *mut libc::c_void,
    len: usize,
}

impl Hog {
    fn take(mappings: usize) -> Self {
        let len = mappings * PAGE;
        // SAFETY: the kernel picks the place, and nobody refers to what is mapped there.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let at = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            for page in (0..mappings).step_by(2) {
                let protected = libc::mprotect(at.byte_add(page * PAGE), PAGE, libc::PROT_READ);
                assert_eq!(protected, 0, "{}", std::io::Error::last_os_error());
            }
            Self { at, len }
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: the range is this one's own, and nobody refers to it.
        unsafe { libc::munmap(self.at, self.len) };
    }
}
