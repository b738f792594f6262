//! Waits for the end of a container's process, and explains it if the kernel ended it.

use crate::guest::memory_limit;
use anyhow::{Context, Result};
use containerd_shim::monitor::{ExitEvent, Subject, Subscription, Topic, monitor_subscribe};
use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// The status if nobody knows it.
pub(crate) const UNKNOWN: u32 = 137;
/// The status of a process that SIGKILL ended.
const KILLED: u32 = 128 + 9;
/// How long another thread may take to tell about a process that it waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The end of a process, which is yet to come.
pub(crate) struct Watch {
    pid: i32,
    process: OwnedFd,
    /// The shim waits for all of its children in one thread, which may be first.
    exits: Subscription,
}

impl Watch {
    /// Watches a child of this process.
    ///
    /// # Errors
    /// Returns an error if there is no such process.
    pub(crate) fn new(pid: i32) -> Result<Self> {
        let exits = monitor_subscribe(Topic::Pid)?;
        let process = Pid::from_raw(pid).context("a process has a positive number")?;
        Ok(Self { pid, process: pidfd_open(process, PidfdFlags::NONBLOCK)?, exits })
    }

    /// Returns the exit code, or 128 and the number of the signal that ended the process.
    pub(crate) async fn status(self) -> u32 {
        self.wait().await.unwrap_or_else(|error| {
            log::error!("the exit code is not known: {error:#}");
            UNKNOWN
        })
    }

    async fn wait(self) -> Result<u32> {
        #[allow(deprecated, reason = "the other way is unsafe, for descriptors that are not owned; this one is")]
        let process = AsyncFd::new(self.process)?;
        loop {
            match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => {
                    let signal = status.terminating_signal().map(|signal| 128 + signal);
                    return Ok(status
                        .exit_status()
                        .or(signal)
                        .context("it neither exited nor was ended")?
                        .cast_unsigned());
                }
                Ok(None) | Err(Errno::AGAIN) => drop(process.readable().await?),
                Err(Errno::CHILD) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let (pid, exits) = (self.pid, self.exits);
        tokio::task::spawn_blocking(move || told(pid, &exits)).await?.context("nobody has told about its end")
    }
}

/// Returns what the thread that waits for all children tells about this one.
fn told(pid: i32, exits: &Subscription) -> Option<u32> {
    while let Ok(ExitEvent { subject, exit_code }) = exits.rx.recv_timeout(PATIENCE) {
        if matches!(subject, Subject::Pid(ended) if ended == pid) {
            return Some(exit_code.cast_unsigned());
        }
    }
    None
}

/// Where the kernel counts what it ended in a container's cgroup for lack of memory.
pub(crate) struct MemoryKills {
    counters: Vec<PathBuf>,
    limit: Option<usize>,
}

impl MemoryKills {
    /// Finds the counters of a process that runs, and has not been moved from its cgroup.
    pub(crate) fn of(pid: i32, spec: &Spec) -> Self {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut counters: Vec<PathBuf> = cgroups.lines().flat_map(counters).collect();
        // Without a namespace for cgroups around this shim, the path from there leads elsewhere.
        let asked = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.to_str());
        counters.extend(
            asked
                .into_iter()
                .flat_map(|path| [":memory:", "::"].map(|of| format!("0{of}{path}")))
                .flat_map(|line| self::counters(&line)),
        );
        Self { counters, limit: memory_limit(spec) }
    }
}

/// Returns a line about a process that ended with this status, if it was for lack of memory.
pub(crate) fn out_of_memory(memory: &MemoryKills, status: u32) -> Option<String> {
    if status != KILLED {
        return None;
    }
    let kills = memory.counters.iter().filter_map(|file| kills(&fs::read_to_string(file).ok()?)).max()?;
    let limit = memory.limit.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"));
    (kills > 0).then(|| format!("minirt: the guest was killed: it used up the memory{limit} that its cgroup allows"))
}

/// Returns the counters of a cgroup from a line of `/proc/PID/cgroup` (cgroups(7)): in the first
/// version the one of the controller for memory, and in the second the only one, which is mounted
/// below where there are both.
fn counters(line: &str) -> Vec<PathBuf> {
    const ROOT: &str = "/sys/fs/cgroup";
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return vec![] };
    let below = |folder: &str, file: &str| Path::new(ROOT).join(folder).join(path.trim_start_matches('/')).join(file);
    match controllers {
        "" => vec![below("", "memory.events"), below("unified", "memory.events")],
        _ if controllers.split(',').any(|name| name == "memory") => vec![below(controllers, "memory.oom_control")],
        _ => vec![],
    }
}

fn kills(counters: &str) -> Option<u64> {
    counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{counters, kills};
    use std::path::Path;

    #[test]
    fn both_versions_of_cgroups_count_kills() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(kills("low 0\nhigh 0\nmax 31\noom 1\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills(""), None);
    }

    #[test]
    fn counters_are_where_the_cgroup_of_a_process_is() {
        let first = |line: &str| counters(line).into_iter().next();
        let at = |path: &'static str| Some(Path::new(path).to_path_buf());
        assert_eq!(first("4:memory:/pod/a:b"), at("/sys/fs/cgroup/memory/pod/a:b/memory.oom_control"));
        assert_eq!(first("0::/pods.slice/a.scope"), at("/sys/fs/cgroup/pods.slice/a.scope/memory.events"));
        assert_eq!(first("8:pids:/pod"), None);
        assert_eq!(first(""), None);
    }
}
