//! A single system call that fails, wherever it is.

use crate::child::{case, has_passed, passes, run};
use crate::common::config;
use crate::common::heaps::OBJECTS;
use crate::denied::CALLS;
use crate::life::{OTHER, TEXT, live, live_elsewhere, live_with_objects, names, rounds, strategy_named};
use minirt::{Engine, Module};
use std::process::{Command, ExitStatus};

/// System calls of a life. Those of the C library's allocator are not among them.
const NAMES: [&str; 14] = [
    "mmap",
    "mprotect",
    "madvise",
    "munmap",
    "memfd_create",
    "ftruncate",
    "pwrite64",
    "fcntl",
    "ioctl",
    "openat",
    "prlimit64",
    "sigaltstack",
    "rt_sigprocmask",
    "rt_sigaction",
];

/// Errors of the kernel, whether or not the call is known for them. A filter may return any.
const ERRORS: [&str; 6] = ["ENOMEM", "EMFILE", "EPERM", "EINTR", "ENOSYS", "EAGAIN"];

/// What is tried unless the environment says otherwise: errors that are usual.
const USUAL: [&str; 10] = [
    "mmap:ENOMEM",
    "mprotect:ENOMEM",
    "madvise:EAGAIN",
    "memfd_create:EMFILE",
    "ftruncate:ENOMEM",
    "pwrite64:EINTR",
    "ioctl:ENOMEM",
    "ioctl:EINTR",
    "sigaltstack:ENOMEM",
    "fcntl:EPERM",
];

/// With `strace` a single call can be made to fail. Where there is none, or it may not trace, this
/// shows nothing. `MINIRT_INJECT=all` takes every call with every error, instead of a few of each
/// usual kind; a number takes so many of each.
#[test]
fn any_single_system_call_may_fail_and_the_next_life_is_well() {
    let test = any_single_system_call_may_fail_and_the_next_life_is_well;
    if let Some(case) = case() {
        return passes(test, &case, lives_around_a_failure);
    }
    let wanted = std::env::var("MINIRT_INJECT").ok();
    let every = NAMES.iter().flat_map(|name| ERRORS.map(|error| format!("{name}:{error}")));
    let calls: Vec<String> = if wanted.is_some() { every.collect() } else { USUAL.map(str::to_owned).into() };
    let most = match wanted.as_deref() {
        None => 4,
        Some("all") => usize::MAX,
        Some(number) => number.parse().expect("`all` or a number"),
    };
    let mut failures = 0;
    for case in names().iter().flat_map(|name| [format!("{name}/images"), format!("{name}/copies")]) {
        let Some(trace) = trace(test, &case) else { return };
        for call in &calls {
            let (name, error) = call.split_once(':').unwrap();
            let (first, count) = calls_between_marks(&trace, name);
            for n in (0..count).step_by(count.div_ceil(most).max(1)) {
                let inject = format!("inject={name}:error={error}:when={}", first + n + 1);
                let (status, text) =
                    under_strace(test, &case, &["-e", &format!("trace={name}"), "-e", &inject]).unwrap();
                assert!(has_passed(status, &text), "{case}, {inject} ({n} of {count}): {status}\n{text}");
                assert!(text.contains("(INJECTED)"), "{case}, {inject}: it did not come so far\n{text}");
                failures += 1;
            }
            println!("{case}, {call}: {count} calls");
        }
    }
    println!("{failures} calls failed, one in each process");
}

/// Returns how a case ended under strace and what both printed, or an error if there is no strace.
fn under_strace<T: Fn()>(test: T, case: &str, options: &[&str]) -> std::io::Result<(ExitStatus, String)> {
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf"]).args(options).arg(std::env::current_exe().unwrap());
    // What the allocator asks of the system is not what this is about: it asks once, when the
    // process starts.
    let tunables = ["arena_max=1", "mmap_max=0", "top_pad=268435456"].map(|it| format!("glibc.malloc.{it}")).join(":");
    command.env("GLIBC_TUNABLES", tunables);
    run(command, test, case)
}

/// Returns all system calls of a case in which none fails.
fn trace<T: Fn()>(test: T, case: &str) -> Option<String> {
    match under_strace(test, case, &[]) {
        Ok((status, text)) if has_passed(status, &text) && text.contains("getppid()") => Some(text),
        Ok((status, text)) => {
            println!("strace does not work here: {status}, {:?}", text.lines().next());
            None
        }
        Err(error) => {
            println!("no strace here: {error}");
            None
        }
    }
}

/// Returns how often a thread calls `name` before it calls `getppid` for the first time, and from
/// there to the second time. That is how strace counts, for each thread by itself.
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
    // SAFETY: this changes nothing. It marks the place where calls begin to fail, and then where
    // they end.
    let mark = || unsafe { libc::getppid() };
    // The count that strace goes by is each thread's own. This thread's has to be ahead of the main
    // thread's.
    let others = [libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_openat, libc::SYS_prlimit64];
    let numbers: Vec<i64> = CALLS.iter().map(|(_, number, _)| *number).chain(others).collect();
    // SAFETY: -1 is no descriptor, address, signal or process, so all these calls do nothing.
    (0..100).for_each(|_| numbers.iter().for_each(|number| _ = unsafe { libc::syscall(*number, -1, 0, 0, 0, -1, 0) }));
    mark();
    let compile = |text: &str| Module::new(&engine, text).or_else(|_| Module::new(&engine, text)).unwrap();
    let [module, other, objects] = [TEXT, OTHER, OBJECTS].map(compile);
    let mut errors = 0;
    for round in 0..15 {
        errors += usize::from(live(&engine, &module, round).is_err());
        if round % 2 == 1 {
            errors += usize::from(live_with_objects(&engine, &objects, round).is_err());
        }
        if round % 5 == 4 {
            errors += usize::from(live_elsewhere(&engine, &other).is_err());
        }
    }
    mark();
    assert!(errors <= 1, "{errors} errors after one failure");
    rounds(&engine, &module, &other, 15);
    (0..8).for_each(|round| live_with_objects(&engine, &objects, round).unwrap());
    let stats = engine.stats();
    assert!(stats.live == 0 && stats.idle >= 1 && stats.kept_bytes < 1 << 30, "{stats:?}");
}
