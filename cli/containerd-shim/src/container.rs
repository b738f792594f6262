//! Makes containers with libcontainer, and does with them what containerd asks for.
//!
//! Making a container forks, which a process with threads must not do. So everything here is done
//! in a process that was forked before the shim had any, and lives only as long as it takes.

use crate::artifact::is_damage;
use crate::check::{self, explain};
use crate::guest::{Guest, Workload};
use crate::idle::{remove_sockets, sockets};
use anyhow::{Context, Result, anyhow, bail, ensure};
use containerd_shim::Flags;
use containerd_shimkit::sandbox::InstanceConfig;
use containerd_shimkit::set_logger_kv;
use containerd_shimkit::zygote::{WireFd, Zygote};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::signal::Signal;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the specification of a container, in its bundle.
pub(crate) const SPEC: &str = "config.json";
/// The name of a container's state, in its folder.
const STATE: &str = "state.json";

/// The kind of program that a container runs.
#[derive(Serialize, Deserialize)]
pub(crate) enum Plan {
    /// A program of the host.
    Host,
    /// A guest.
    Guest { artifact: WireFd<File>, function: String },
}

/// The outcome of building a container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Built {
    /// There is a container, with this process.
    Container { pid: i32 },
    /// The artifact is damaged.
    Damaged(String),
    /// The guest or the container is impossible.
    Refused(String),
}

/// A container, by its place and name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    root: PathBuf,
    id: String,
}

impl Place {
    /// Returns the place for a container.
    ///
    /// # Errors
    /// Returns an error if the bundle's options cannot be read, or the name is no name of a file.
    pub(crate) fn new(id: &str, config: &InstanceConfig) -> Result<Self> {
        ensure!(Path::new(id).file_name() == Some(id.as_ref()), "{id:?} is no name for a container");
        let root = config.determine_rootdir(crate::settings::NAME).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { root, id: id.to_owned() })
    }

    /// Makes the container.
    ///
    /// # Errors
    /// Returns an error if the process that does it fails.
    pub(crate) fn build(&self, config: &InstanceConfig, plan: Plan) -> Result<Built> {
        let zygote = Zygote::global().spawn();
        let build = |(place, config, plan): (Self, InstanceConfig, Plan)| {
            place.build_here(&config, plan).unwrap_or_else(|error| Built::Refused(format!("{error:#}")))
        };
        zygote.try_run(build, (self.clone(), config.clone(), plan)).context("no container can be made")
    }

    /// Starts the container's program.
    ///
    /// # Errors
    /// Returns an error if it has been started.
    pub(crate) fn start(&self) -> Result<()> {
        self.ask(Request::Start)
    }

    /// Sends a signal to all processes of the container.
    ///
    /// # Errors
    /// Returns an error if there is no such signal, or no container.
    pub(crate) fn kill(&self, signal: u32) -> Result<()> {
        self.ask(Request::Kill(signal.try_into()?))
    }

    /// Ends what is left of the container, and removes its cgroup and its state.
    ///
    /// # Errors
    /// Returns an error if something remains.
    pub(crate) fn delete(&self) -> Result<()> {
        self.ask(Request::Delete)
    }

    fn ask(&self, request: Request) -> Result<()> {
        let zygote = Zygote::global().spawn();
        let answer = |(place, request): (Self, Request)| place.answer(&request).map_err(|error| format!("{error:#}"));
        let done = zygote.try_run(answer, (self.clone(), request));
        done.context("the container cannot be reached")?.map_err(anyhow::Error::msg)
    }

    /// Removes what is left of a container with the same name, if it has no process any more: of
    /// one whose shim and containerd were both killed before they could do it.
    fn remove_if_ended(&self) -> Result<()> {
        if self.remove_unfinished()? {
            return Ok(());
        }
        let mut container = Container::load(self.folder())?;
        if container.can_delete() {
            container.delete(true)?;
        }
        Ok(())
    }

    /// Returns whether there is no container. Removes the folder of one that never came to be:
    /// without its state, it has no process.
    fn remove_unfinished(&self) -> Result<bool> {
        if self.folder().join(STATE).try_exists()? {
            return Ok(false);
        }
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(true),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.id)
    }

    fn answer(&self, request: &Request) -> Result<()> {
        if matches!(request, Request::Delete) && self.remove_unfinished()? {
            return Ok(());
        }
        let mut container = Container::load(self.folder())?;
        match *request {
            Request::Start => container.start()?,
            Request::Kill(signal) => {
                let signal = Signal::try_from(signal).with_context(|| format!("there is no signal {signal}"))?;
                container.kill(signal, true)?;
            }
            Request::Delete => container.delete(true)?,
        }
        Ok(())
    }

    fn build_here(&self, config: &InstanceConfig, plan: Plan) -> Result<Built> {
        set_logger_kv([("instance", self.id.as_str())]);
        let workload = match plan {
            Plan::Host => Workload::Host,
            Plan::Guest { artifact, function } => match Guest::load(artifact.into_inner(), &function) {
                Ok(guest) => Workload::Guest(Arc::new(guest)),
                Err(error) if is_damage(&error) => return Ok(Built::Damaged(format!("{error:#}"))),
                Err(error) => return Ok(Built::Refused(format!("{error:#}"))),
            },
        };
        let spec = Spec::load(config.bundle.join(SPEC))?;
        check::mounts(&spec, &config.bundle)?;
        self.remove_if_ended().context("what is left of another container with this name cannot be removed")?;
        let mut tries = 1..TRIES;
        loop {
            match self.build_container(config, &spec, &workload) {
                Err(error) if is_overtaken(&error) && tries.next().is_some() => log::warn!("once more: {error:#}"),
                Err(error) => return Ok(Built::Refused(explain(&spec, &error))),
                Ok(pid) => return Ok(Built::Container { pid }),
            }
        }
    }

    fn build_container(&self, config: &InstanceConfig, spec: &Spec, workload: &Workload) -> Result<i32> {
        let mut builder = ContainerBuilder::new(self.id.clone(), SyscallType::Linux)
            .with_executor(workload.clone())
            .with_root_path(self.root.clone())?;
        if let Some(stdin) = open_stdin(&config.stdin)? {
            builder = builder.with_stdin(stdin);
        }
        if let Some(stdout) = open_output(&config.stdout)? {
            builder = builder.with_stdout(stdout);
        }
        if let Some(stderr) = open_output(&config.stderr)? {
            builder = builder.with_stderr(stderr);
        }
        let systemd = config.config.systemd_cgroup || is_named_for_systemd(spec);
        let init = builder.as_init(&config.bundle).as_sibling(true).with_systemd(systemd);
        let pid = init.build()?.pid().context("the container has no process")?;
        Ok(pid.as_raw())
    }
}

/// How often a container is tried to be made, if libcontainer's processes overtake each other.
const TRIES: u32 = 5;

/// Returns whether the container's process was ready before the one that made it could tell that
/// there is one. libcontainer 0.6 does not expect that, but does it about once in a thousand
/// starts. It has killed that process by then and removed the container. Its error can only be told
/// from others by its words.
fn is_overtaken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("received unexpected message: InitReady, expected: IntermediateReady")
}

/// Ends and removes a container whose shim is gone, and the shim's socket. The bundle is the
/// working directory unless it is named.
pub(crate) fn remove_what_a_shim_left(flags: &Flags) {
    let (id, bundle) = (flags.id.as_str(), Path::new(&flags.bundle));
    let sockets = sockets(bundle, &flags.address, &flags.namespace, id);
    let namespace = flags.namespace.clone();
    let config = InstanceConfig { bundle: bundle.into(), namespace, ..InstanceConfig::default() };
    // Where a shim has ended as it should, there is no such container.
    if let Ok(place) = Place::new(id, &config)
        && let Err(error) = place.answer(&Request::Delete)
    {
        eprintln!("the container {} is not removed: {error:#}", place.id);
    }
    remove_sockets(&sockets);
}

/// What to do with a container.
#[derive(Serialize, Deserialize)]
enum Request {
    Start,
    Kill(i32),
    Delete,
}

/// Returns whether a container's cgroup is named as systemd names them, `SLICE:PREFIX:NAME`. Where
/// kubelet leaves cgroups to systemd, containerd names them so, whatever its configuration says of
/// the runtime.
fn is_named_for_systemd(spec: &Spec) -> bool {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.to_str());
    let parts: Vec<&str> = path.unwrap_or_default().split(':').collect();
    matches!(parts[..], [slice, _, _] if slice.ends_with(".slice"))
}

/// Opens what the guest's output goes to: a pipe of containerd's, or a file (`ctr run --log-uri`).
///
/// # Errors
/// Returns an error if it cannot be opened, or is something else.
pub(crate) fn open_output(path: &Path) -> Result<Option<File>> {
    let mut options = File::options();
    let (path, options) = match path.to_str().and_then(|uri| uri.split_once("://")) {
        _ if path.as_os_str().is_empty() => return Ok(None),
        // A pipe is opened for reading as well, so that it stays open when containerd is restarted.
        None => (path, options.read(true).write(true)),
        Some(("file", file)) => (Path::new(file.split('?').next().unwrap_or(file)), options.create(true).append(true)),
        Some((scheme, _)) => bail!("its output cannot go to {scheme}://..., only to pipes and to file://..."),
    };
    options.open(path).map(Some).with_context(|| format!("its output cannot go to {}", path.display()))
}

/// Opens the pipe that the guest's input comes from. It is opened for reading only, so that it ends
/// when whoever writes to it is done.
fn open_stdin(path: &Path) -> Result<Option<File>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    // Otherwise this would wait for the writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let stdin = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fcntl_setfl(&stdin, OFlags::empty())?;
    Ok(Some(stdin.into()))
}

#[cfg(test)]
mod tests {
    use super::{Place, is_named_for_systemd, open_output};
    use containerd_shimkit::sandbox::InstanceConfig;
    use oci_spec::runtime::Spec;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    #[test]
    fn a_cgroup_is_systemds_if_it_is_named_so() {
        let is = |path: &str| {
            let spec = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"cgroupsPath": "{path}"}}}}"#);
            is_named_for_systemd(&serde_json::from_str::<Spec>(&spec).unwrap())
        };
        assert!(is("kubepods-burstable-pod1.slice:cri-containerd:abc"));
        assert!(!is("/kubepods/burstable/pod1/abc"));
        assert!(!is("/a:b:c"));
        assert!(!is_named_for_systemd(&Spec::default()));
    }

    #[test]
    fn the_state_of_a_container_is_a_folder_of_its_namespace() {
        let place = |id: &str| Place::new(id, &InstanceConfig::default()).map(|place| place.folder());
        assert!(place("a.b").unwrap().ends_with("a.b"));
        assert!(["", ".", "..", "a/b", "../a", "/a", "a/"].iter().all(|id| place(id).is_err()));
    }

    #[test]
    fn output_goes_to_pipes_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let uri = format!("file://{}", log.display());
        for line in ["first\n", "second\n"] {
            open_output(Path::new(&uri)).unwrap().unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "first\nsecond\n");
        assert!(open_output(Path::new("")).unwrap().is_none());
        let said = format!("{:#}", open_output(Path::new("binary:///bin/logger?a=b")).unwrap_err());
        assert!(said.contains("binary://"), "{said}");
        let said = format!("{:#}", open_output(Path::new("/there/is/no/pipe")).unwrap_err());
        assert!(said.contains("/there/is/no/pipe"), "{said}");
    }
}
