//! Makes an artifact from a module that nobody trusts: compiled, or frozen after its initialiser.
//!
//! That happens once per node and outside of any container, so it has a process of its own. The
//! process has no rights and little time: another user, no network, no files but its input and its
//! output. It is the first to go if the node runs out of memory, and it goes with its shim. The
//! shim stays small, and lives on if the module is the death of the compiler.

use crate::annotations::{ALLOW, Snapshot};
use crate::settings;
use anyhow::{Context, Result, anyhow, bail, ensure};
use containerd_shimkit::zygote::{WireFd, Zygote};
use minirt::wasi::{self, I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{Engine, ExternType, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Trap};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{Signal, chdir, chroot, set_parent_process_death_signal};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The first argument of the process.
pub(crate) const COMMAND: &str = "prepare";

/// Seconds that compiling may take.
const COMPILE_SECONDS: u64 = 300;
/// Seconds that an initialiser may take.
const INIT_SECONDS: u64 = 30;
/// Bytes of memory that the process may write to, without its input, and bytes of the artifact.
const MEMORY: u64 = 4 << 30;
/// Bytes that a guest's memory may have while it is initialised.
const GUEST_MEMORY: usize = 1 << 30;
/// The user and group that nothing belongs to.
const NOBODY: u32 = 65534;

/// What a function of WASI would put into the snapshot.
struct Unfrozen {
    function: &'static str,
    what: &'static str,
}

/// The functions that an initialiser may not call, because every container would go on with what
/// they returned once.
const REFUSED: [Unfrozen; 7] = [
    Unfrozen { function: "random_get", what: "random bytes" },
    Unfrozen { function: "environ_get", what: "environment variables" },
    Unfrozen { function: "environ_sizes_get", what: "environment variables" },
    Unfrozen { function: "args_get", what: "arguments" },
    Unfrozen { function: "args_sizes_get", what: "arguments" },
    Unfrozen { function: "clock_time_get", what: "the time" },
    Unfrozen { function: PREOPENS, what: "preopened directories" },
];
/// A command looks for its directories again when it starts, so it may ask before.
const PREOPENS: &str = "fd_prestat_get";

/// Makes an artifact from `module` and writes it to `output`.
///
/// # Errors
/// Returns an error that says why there is no artifact.
pub(crate) fn run(module: File, snapshot: Option<&Snapshot>, output: File) -> Result<()> {
    type Files = (WireFd<File>, WireFd<File>);
    let zygote = Zygote::global().spawn();
    let (files, snapshot): (Files, _) = ((module.into(), output.into()), snapshot.cloned());
    let done = zygote.try_run(
        |((module, output), snapshot): (Files, Option<Snapshot>)| {
            parent(module.into_inner(), snapshot, output.into_inner()).map_err(|error| format!("{error:#}"))
        },
        (files, snapshot),
    );
    done.context("the process that compiles cannot be started")?.map_err(anyhow::Error::msg)
}

fn parent(module: File, snapshot: Option<Snapshot>, output: File) -> Result<()> {
    // Nobody waits for the artifact if the shim is gone.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).stdin(module).stdout(output).stderr(Stdio::piped()).env_clear().current_dir("/");
    if let Some(snapshot) = snapshot {
        command.arg(snapshot.init).args(snapshot.allow);
    }
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.signal() {
        Some(signal) => bail!("the process that compiles was ended by signal {signal}"),
        None => bail!("{}", said.trim()),
    }
}

/// Does the work of the process, whose further arguments are the initialiser and what it may call.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let snapshot = arguments.next().map(|init| Snapshot { init, allow: arguments.collect() });
    match make(snapshot.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(snapshot: Option<&Snapshot>) -> Result<()> {
    confine().context("the process that compiles cannot give up its rights")?;
    let _deadline = Deadline::new("compiling it", COMPILE_SECONDS);
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let engine = settings::engine()?;
    let artifact = match snapshot {
        None => engine.precompile_module(&bytes)?,
        Some(snapshot) => freeze(&engine, &Module::from_binary(&engine, &bytes)?, snapshot)?,
    };
    io::stdout().write_all(&artifact).context("the artifact cannot be written")
}

/// Ends this process when something takes too long, unless it is dropped before.
struct Deadline(#[allow(dead_code, reason = "its end is the message")] mpsc::Sender<()>);

impl Deadline {
    fn new(what: &'static str, seconds: u64) -> Self {
        let (sender, done) = mpsc::channel();
        thread::spawn(move || {
            if done.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what} takes more than {seconds} s");
                std::process::exit(1);
            }
        });
        Self(sender)
    }
}

/// Gives up everything that is not needed to read, compile and write.
fn confine() -> Result<()> {
    // A shim has its precedence from containerd, which a cluster does not want to be ended.
    fs::write("/proc/self/oom_score_adj", "1000")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
    setrlimit(Resource::RLIMIT_FSIZE, MEMORY, MEMORY)?;
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
    leave_files()?;
    rustix::thread::set_no_new_privs(true)?;
    setgroups(&[])?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    // Another user is another process, so this comes after.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Leaves all files of the node but `/proc`, from which minirt reads how its memory is mapped.
fn leave_files() -> Result<()> {
    const ROOT: &str = "/sys";
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("minirt", ROOT, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, c"mode=755")?;
    fs::create_dir("/sys/proc")?;
    mount_bind("/proc", "/sys/proc")?;
    chroot(ROOT)?;
    chdir("/")?;
    Ok(())
}

/// The data in the initialiser's store.
struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

/// Runs the initialiser, which has nothing but WASI, and freezes what it leaves.
fn freeze(engine: &Engine, module: &Module, snapshot: &Snapshot) -> Result<Vec<u8>> {
    let init = snapshot.init.as_str();
    ensure!(is_plain(module, init), "there is no function `{init}` without parameters and results to initialise it");
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    refuse(&mut linker, is_plain(module, "_start"), &snapshot.allow)?;
    let limits = StoreLimitsBuilder::new().memory_size(GUEST_MEMORY).build();
    let mut store = Store::new(engine, Host { wasi: WasiCtxBuilder::new().build()?, limits });
    store.limiter(|host| &mut host.limits);
    let deadline = Deadline::new("its initialiser", INIT_SECONDS);
    let instance = linker.instantiate(&mut store, module)?;
    for name in ["_initialize", init].into_iter().filter(|name| is_plain(module, name)) {
        let call = instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ());
        call.map_err(|error| describe(init, error))?;
        if init == "_initialize" {
            break;
        }
    }
    drop(deadline);
    let frozen = instance.snapshot(&mut store).with_context(|| format!("what `{init}` leaves cannot be frozen"))?;
    frozen.module().serialize()
}

fn describe(init: &str, error: minirt::Error) -> anyhow::Error {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return anyhow!("the initialiser `{init}` ends the program with exit code {}", exit.0);
    }
    let what = if error.is::<Trap>() { "trapped" } else { "was stopped" };
    anyhow!("the initialiser `{init}` {what}: {}", error.root_cause())
}

fn is_plain(module: &Module, name: &str) -> bool {
    let export = module.get_export(name);
    matches!(export, Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty())
}

/// Has the functions fail whose results must not be frozen.
fn refuse(linker: &mut Linker<Host>, is_command: bool, allow: &[String]) -> Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    linker.allow_shadowing(true);
    let refused = REFUSED.iter().filter(|refused| !allow.iter().any(|allowed| allowed == refused.function));
    for &Unfrozen { function, what } in refused.filter(|refused| !(is_command && refused.function == PREOPENS)) {
        let error = move || -> Result<i32> {
            bail!(
                "it asks for {what} ({function}), which would be the same in every container; ask after the snapshot, \
                 or allow it with the annotation {ALLOW}={function}"
            )
        };
        if function == "clock_time_get" {
            linker.func_wrap(WASI, function, move |_: i32, _: i64, _: i32| error())?;
        } else {
            linker.func_wrap(WASI, function, move |_: i32, _: i32| error())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{REFUSED, Snapshot, freeze};
    use crate::settings::engine;
    use minirt::Module;

    /// Freezes a module whose initialiser has this body, and says how that went.
    fn frozen(start: &str, body: &str, allow: &[&str]) -> Result<Vec<u8>, String> {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
                (memory (export "memory") 1) {start}
                (func (export "init") {body}))"#
        );
        let engine = engine().unwrap();
        let module = Module::from_binary(&engine, &wat::parse_str(text).unwrap()).unwrap();
        let allow = allow.iter().map(|name| (*name).to_owned()).collect();
        freeze(&engine, &module, &Snapshot { init: "init".into(), allow }).map_err(|error| format!("{error:#}"))
    }

    fn call(function: &str) -> String {
        match function {
            "clock_time_get" => "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 8)))".into(),
            _ => format!("(drop (call ${function} (i32.const 3) (i32.const 8)))"),
        }
    }

    #[test]
    fn what_must_not_be_frozen_is_refused_by_name_unless_it_is_allowed() {
        assert!(frozen("", "", &[]).is_ok());
        for refused in &REFUSED {
            let said = frozen("", &call(refused.function), &[]).unwrap_err();
            assert!(said.contains(refused.function) && said.contains(refused.what), "{said}");
            assert!(frozen("", &call(refused.function), &[refused.function]).is_ok(), "{}", refused.function);
        }
    }

    #[test]
    fn a_command_may_look_for_its_directories_for_it_looks_again() {
        assert!(frozen(r#"(func (export "_start"))"#, &call("fd_prestat_get"), &[]).is_ok());
        assert!(frozen(r#"(func (export "_initialize"))"#, &call("fd_prestat_get"), &[]).is_err());
    }

    #[test]
    fn an_initialiser_that_does_not_return_is_told_from_others() {
        let said = |body| frozen("", body, &[]).unwrap_err();
        assert!(said("(call $proc_exit (i32.const 3))").contains("exit code 3"));
        assert!(said("unreachable").contains("`init` trapped"));
        assert!(
            said("(drop (memory.grow (i32.const 60000))) (i32.store (i32.const 90000) (i32.const 1))")
                .contains("trapped")
        );
    }
}
