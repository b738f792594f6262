//! Runs a guest as the first process of its container.

use crate::artifact;
use crate::settings;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use minirt::wasi::{self, FsPerms, I32Exit, WasiCtx, WasiCtxBuilder};
use minirt::{
    Error, ExternType, Linker, Module, Result, Store, StoreLimits, StoreLimitsBuilder, ThrownException, Trap,
    WasmBacktrace, bail,
};
use oci_spec::runtime::{Mount, Spec};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// The exit code if minirt cannot run the guest.
const ERROR: i32 = 1;
/// The exit code after a trap, as of a process that aborts.
const TRAP: i32 = 134;
/// Bytes of stack for the guest, the functions of WASI and minirt.
const STACK: usize = 8 << 20;
/// The function that a reactor exports to be run once, before any other.
const INITIALIZE: &str = "_initialize";
/// Where a mount is no directory for the guest: devices, and what the kernel says.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The work of a container's process after it is started.
#[derive(Clone)]
pub(crate) enum Workload {
    /// It becomes another program.
    Host,
    /// It runs a guest.
    Guest(Arc<Guest>),
}

/// A guest that is ready to run. It is loaded and linked before there is a container around it: by
/// then, a file of the host can no longer be opened.
pub(crate) struct Guest {
    module: Module,
    linker: Linker<Host>,
    function: String,
}

/// The data in the guest's store.
struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

impl Guest {
    /// Loads an artifact.
    ///
    /// # Errors
    /// Returns an error if the artifact is damaged, asks for imports that are not there, or has no
    /// such function.
    pub(crate) fn load(file: File, function: &str) -> Result<Self> {
        let engine = settings::engine()?;
        let module = artifact::load(&engine, file)?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
        linker.instantiate_pre(&module)?;
        let is_reactor = function == "_start" && is_plain(&module, INITIALIZE);
        if !(is_plain(&module, function) || is_reactor) {
            bail!("it exports no function `{}` without parameters and results", function.escape_default());
        }
        Ok(Self { module, linker, function: function.to_owned() })
    }

    /// Runs the guest in the container that this process has become, and returns its exit code.
    fn run(&self, spec: &Spec) -> i32 {
        if let Err(error) = give_up_capabilities() {
            eprintln!("minirt: the guest is not started with rights that its user should not have: {error}");
            return ERROR;
        }
        // A namespace's first process has no signals with a default action.
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            let always = Arc::new(AtomicBool::new(true));
            if let Err(error) = register_conditional_shutdown(signal, 128 + signal, always) {
                eprintln!("minirt: signal {signal} does not end the guest: {error}");
            }
        }
        // The stack of the first thread is as large as the node says.
        let call = || match self.call(spec) {
            Ok(()) => 0,
            Err(error) => code(&error),
        };
        thread::scope(|scope| match thread::Builder::new().stack_size(STACK).spawn_scoped(scope, call) {
            Ok(guest) => guest.join().unwrap_or(ERROR),
            Err(error) => {
                eprintln!("minirt: the guest cannot be started: {error}");
                ERROR
            }
        })
    }

    fn call(&self, spec: &Spec) -> Result<()> {
        let host = Host { wasi: context(spec)?, limits: limits(spec) };
        let mut store = Store::new(self.module.engine(), host);
        store.limiter(|host| &mut host.limits);
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        // A snapshot has been initialised.
        let initialize = (!self.module.is_snapshot() && self.function != INITIALIZE).then_some(INITIALIZE);
        for name in initialize.into_iter().chain([self.function.as_str()]) {
            if is_plain(&self.module, name) {
                instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ())?;
            }
        }
        Ok(())
    }
}

impl Executor for Workload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        match self {
            Self::Host => DefaultExecutor {}.exec(spec).inspect_err(|error| {
                eprintln!("minirt: the program cannot be started: {error}");
            }),
            Self::Guest(guest) => std::process::exit(guest.run(spec)),
        }
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        match self {
            // Images of one absolute path need no `PATH`, which it would insist on.
            Self::Host if has_path(spec) => DefaultExecutor {}.validate(spec),
            Self::Host => Ok(()),
            Self::Guest(_) => Ok(()),
        }
    }

    fn setup_envs(&self, environment: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        match self {
            Self::Host => DefaultExecutor {}.setup_envs(environment),
            // The guest gets it from the specification. This process needs none.
            Self::Guest(_) => Ok(()),
        }
    }
}

fn has_path(spec: &Spec) -> bool {
    let mut environment = spec.process().iter().flat_map(|process| process.env().iter().flatten());
    environment.any(|variable| variable.starts_with("PATH="))
}

fn is_plain(module: &Module, name: &str) -> bool {
    let export = module.get_export(name);
    matches!(export, Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty())
}

/// Gives up what the kernel takes from a user other than root who starts a program: all
/// capabilities but the ambient ones (capabilities(7)). This process starts no program, so nobody
/// else does it, and a guest of such a user could read and change the files of all others.
fn give_up_capabilities() -> rustix::io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let held = capabilities(None)?;
    let mut kept = CapabilitySet::empty();
    let each = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    for capability in each.filter(|capability| held.permitted.contains(*capability)) {
        kept.set(capability, capability_is_in_ambient_set(capability)?);
    }
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: held.inheritable })
}

/// Says how the guest ended, if not by itself, and returns the exit code.
fn code(error: &Error) -> i32 {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        // A process has eight bits for it, as any other program.
        return exit.0 & 0xff;
    }
    let traps = error.is::<Trap>() || error.is::<ThrownException>();
    let what = if traps { "the guest trapped" } else { "the guest was stopped" };
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => eprintln!("minirt: {what}: {}\n{backtrace}", error.root_cause()),
        None => eprintln!("minirt: {what}: {error:#}"),
    }
    if traps { TRAP } else { ERROR }
}

/// Returns what the specification gives the guest.
fn context(spec: &Spec) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio();
    if let Some(process) = spec.process() {
        wasi.args(process.args().iter().flatten());
        for variable in process.env().iter().flatten() {
            let (name, value) = variable.split_once('=').unwrap_or((variable.as_str(), ""));
            wasi.env(name, value);
        }
    }
    for (place, access) in directories(spec)? {
        wasi.preopened_dir(&place, place.to_string_lossy(), access)?;
    }
    wasi.build()
}

/// Returns the directories that the guest gets: those in `/`, and bind mounts.
///
/// `/` itself is not among them, because `/proc` is in it. There a guest would find the memory of
/// this very process, which keeps it in its sandbox.
fn directories(spec: &Spec) -> Result<BTreeMap<PathBuf, FsPerms>> {
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    let access = if read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
    let mut directories = BTreeMap::new();
    for entry in fs::read_dir("/")? {
        let place = entry?.path();
        if !is_kernels(&place) && fs::symlink_metadata(&place)?.is_dir() {
            directories.insert(place, access);
        }
    }
    for (place, access) in spec.mounts().iter().flatten().filter_map(bind_mount) {
        if place.is_dir() {
            directories.insert(place, access);
        }
    }
    Ok(directories)
}

fn is_kernels(place: &Path) -> bool {
    KERNEL.iter().any(|kernel| place.starts_with(kernel))
}

/// Returns where a mount is, and what the guest may do there, if somebody has put it there for the
/// guest. All containers have mounts of the kernel, and empty ones.
fn bind_mount(mount: &Mount) -> Option<(PathBuf, FsPerms)> {
    let place = absolute(mount.destination());
    if !is_bind(mount) || is_kernels(&place) || place == Path::new("/") {
        return None;
    }
    Some((place, if has_option(mount, &["ro", "rro"]) { FsPerms::ReadOnly } else { FsPerms::ReadWrite }))
}

/// Returns whether a mount is of a file or directory of the node.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind") || has_option(mount, &["bind", "rbind"])
}

fn has_option(mount: &Mount, names: &[&str]) -> bool {
    mount.options().iter().flatten().any(|option| names.contains(&option.as_str()))
}

/// Returns a path without detours, as libcontainer takes the destination of a mount.
fn absolute(path: &Path) -> PathBuf {
    let mut place = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::ParentDir => _ = place.pop(),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    place
}

/// Returns the limits of the guest. More memory than the cgroup allows is refused politely when the
/// guest asks for it; what is used beyond it ends the process.
fn limits(spec: &Spec) -> StoreLimits {
    let limits = StoreLimitsBuilder::new();
    match memory_limit(spec) {
        Some(bytes) => limits.memory_size(bytes).build(),
        None => limits.build(),
    }
}

/// Returns how many bytes of memory the container may use, if that is limited.
pub(crate) fn memory_limit(spec: &Spec) -> Option<usize> {
    let bytes = spec.linux().as_ref()?.resources().as_ref()?.memory().as_ref()?.limit()?;
    usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::{Guest, bind_mount, code};
    use crate::settings::engine;
    use minirt::Error;
    use minirt::wasi::{FsPerms, I32Exit};
    use oci_spec::runtime::Mount;
    use std::io::{Seek, Write};
    use std::path::Path;

    fn load(text: &str, function: &str) -> Result<Guest, String> {
        let artifact = engine().unwrap().precompile_module(&wat::parse_str(text).unwrap()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&artifact).unwrap();
        file.rewind().unwrap();
        Guest::load(file, function).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_cannot_run_is_refused_before_there_is_a_container() {
        assert!(load(r#"(module (func (export "_start")))"#, "_start").is_ok());
        assert!(load(r#"(module (func (export "_initialize")))"#, "_start").is_ok());
        assert!(load("(module)", "_start").err().unwrap().contains("`_start`"));
        assert!(load(r#"(module (func (export "_start") (param i32)))"#, "_start").is_err());
        let said =
            load(r#"(module (import "env" "missing" (func)) (func (export "_start")))"#, "_start").err().unwrap();
        assert!(said.contains("missing"), "{said}");
    }

    #[test]
    fn an_exit_code_has_eight_bits() {
        assert_eq!([3, 256, -1].map(|exit| code(&Error::from(I32Exit(exit)))), [3, 0, 255]);
    }

    #[test]
    fn mounts_are_directories_unless_they_are_the_kernels() {
        let mount = |json: &str| serde_json::from_str::<Mount>(json).unwrap();
        let data = mount(r#"{"destination": "/data", "type": "bind", "source": "/x", "options": ["rbind", "ro"]}"#);
        assert_eq!(bind_mount(&data).unwrap().1, FsPerms::ReadOnly);
        let data = mount(r#"{"destination": "/data", "source": "/x", "options": ["bind", "rw"]}"#);
        assert_eq!(bind_mount(&data).unwrap().1, FsPerms::ReadWrite);
        assert!(bind_mount(&mount(r#"{"destination": "/run", "type": "tmpfs"}"#)).is_none());
        // `/` has `/proc` in it.
        for kernels in ["/proc", "/dev/shm", "/sys/fs/cgroup", "/data/../proc", "//./proc/", "proc", "/", "/data/.."] {
            let bound = format!(r#"{{"destination": "{kernels}", "type": "bind", "source": "/x"}}"#);
            assert!(bind_mount(&mount(&bound)).is_none(), "{kernels}");
        }
        let data = mount(r#"{"destination": "a/../data/", "type": "bind", "source": "/x"}"#);
        assert_eq!(bind_mount(&data).unwrap().0, Path::new("/data"));
    }
}
