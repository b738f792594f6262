//! Makes containers with libcontainer, and does with them what containerd asks for.
//!
//! Making a container forks, which a process with threads must not do. So everything here is done
//! in a process that was forked before the shim had any, and lives only as long as it takes.

use crate::artifact::is_damage;
use crate::guest::{Guest, Workload};
use anyhow::{Context, Result, anyhow};
use containerd_shimkit::sandbox::InstanceConfig;
use containerd_shimkit::set_logger_kv;
use containerd_shimkit::zygote::{WireFd, Zygote};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::signal::Signal;
use libcontainer::syscall::syscall::SyscallType;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a container is to run.
#[derive(Serialize, Deserialize)]
pub(crate) enum Plan {
    /// A program of the host.
    Host,
    /// A guest.
    Guest { artifact: WireFd<File>, function: String },
}

/// What became of a plan.
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
    /// Returns an error if the bundle's options cannot be read.
    pub(crate) fn new(id: &str, config: &InstanceConfig) -> Result<Self> {
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

    fn answer(&self, request: &Request) -> Result<()> {
        let mut container = Container::load(self.root.join(&self.id))?;
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
        let mut tries = 1..TRIES;
        loop {
            match self.build_container(config, &workload) {
                Err(error) if is_overtaken(&error) && tries.next().is_some() => log::warn!("once more: {error:#}"),
                Err(error) => return Ok(Built::Refused(format!("{error:#}"))),
                Ok(pid) => return Ok(Built::Container { pid }),
            }
        }
    }

    fn build_container(&self, config: &InstanceConfig, workload: &Workload) -> Result<i32> {
        let mut builder = ContainerBuilder::new(self.id.clone(), SyscallType::Linux)
            .with_executor(workload.clone())
            .with_root_path(self.root.clone())?;
        if let Some(stdin) = open_stdin(&config.stdin)? {
            builder = builder.with_stdin(stdin);
        }
        if let Ok(stdout) = config.open_stdout() {
            builder = builder.with_stdout(stdout);
        }
        if let Ok(stderr) = config.open_stderr() {
            builder = builder.with_stderr(stderr);
        }
        let init = builder.as_init(&config.bundle).as_sibling(true).with_systemd(config.config.systemd_cgroup);
        let pid = init.build()?.pid().context("the container has no process")?;
        Ok(pid.as_raw())
    }
}

/// How often a container is tried to be made, if libcontainer's processes overtake each other.
const TRIES: u32 = 5;

/// Whether the container's process was ready before the one that made it could tell that there is
/// one. libcontainer 0.6 does not expect that, but does it about once in a thousand starts.
/// It has killed that process by then and removed the container. Its error can only be told from
/// others by its words.
fn is_overtaken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("received unexpected message: InitReady, expected: IntermediateReady")
}

/// Ends and removes a container whose shim is gone, if that is what containerd asks this process for
/// (`delete`). The rest of the answer is the same for all shims.
pub(crate) fn remove_what_a_shim_left() {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let Ok(flags) = containerd_shim::parse(&words) else { return };
    if flags.action != "delete" || flags.id.is_empty() || flags.namespace.is_empty() {
        return;
    }
    // The bundle is the working directory unless it is named.
    let config =
        InstanceConfig { bundle: flags.bundle.into(), namespace: flags.namespace, ..InstanceConfig::default() };
    // Where a shim has ended as it should, there is no such container.
    if let Ok(place) = Place::new(&flags.id, &config)
        && let Err(error) = place.answer(&Request::Delete)
        && place.root.join(&place.id).exists()
    {
        eprintln!("the container {} is not removed: {error:#}", place.id);
    }
}

/// What to do with a container.
#[derive(Serialize, Deserialize)]
enum Request {
    Start,
    Kill(i32),
    Delete,
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
