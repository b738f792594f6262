//! Looks at a node: what runs there, and what is left behind.

use crate::node::{self, Node, wait_for};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the shims of a node: the processes that listen, not those that they fork.
pub(crate) fn shims(node: &Node) -> Result<Vec<String>> {
    let own = node.path().display().to_string();
    let mut shims = vec![];
    for (pid, words) in processes()? {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count).unwrap_or(0);
        // What a shim forks has one thread, and a guest two.
        if words.contains("shim-minirt") && words.contains(&own) && threads > 2 {
            shims.push(pid);
        }
    }
    Ok(shims)
}

/// Returns the processes that make artifacts, for whichever shim.
pub(crate) fn preparing() -> Result<Vec<String>> {
    let found = processes()?.into_iter().filter(|(_, words)| words.starts_with("/proc/self/exe\0prepare"));
    Ok(found.map(|(pid, _)| pid).collect())
}

/// Returns all processes: their numbers and their arguments.
fn processes() -> Result<Vec<(String, String)>> {
    let entries = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let words = |pid: String| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok().map(|words| (pid, words));
    Ok(entries.filter_map(words).collect())
}

pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Whoever has to wait for it may take a while.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub(crate) fn parent(pid: &str) -> Result<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(stat.rsplit_once(')').context("a name")?.1.split_whitespace().nth(1).context("a parent")?.parse()?)
}

/// Returns everything of a node that a container could leave behind.
pub(crate) fn leftovers(node: &Node) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for list in [["tasks", "ls", "-q"], ["containers", "ls", "-q"]] {
        found.extend(node.ctr_output(list)?.lines().map(|line| format!("{} {line}", list[0])));
    }
    found.extend(node.ctr_output(["snapshots", "ls"])?.lines().map(|line| format!("snapshot {line}")));
    found.extend(node.ctr_output(["leases", "ls", "-q"])?.lines().map(|line| format!("lease {line}")));
    let own = node.path().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    found.extend(mounts.lines().filter(|line| line.contains(&own)).map(|line| format!("mount {line}")));
    for (pid, words) in processes()? {
        if words.contains(&own) && words.contains("shim-minirt") {
            found.insert(format!("process {pid} {words}"));
        }
    }
    let run = Path::new("/run/containerd");
    for folder in [run.join("minirt"), node.path().join("state/io.containerd.runtime.v2.task")] {
        below(&folder.join(node.namespace()), 1, &mut found);
    }
    // Sockets of shims, those of other nodes as well.
    let sockets = fs::read_dir(run.join("s")).into_iter().flatten().flatten();
    found.extend(sockets.map(|socket| format!("socket {}", socket.path().display())));
    for controller in fs::read_dir("/sys/fs/cgroup")? {
        below(&controller?.path().join(node::NAMESPACE), 1, &mut found);
    }
    below(&Path::new("/sys/fs/cgroup").join(node::NAMESPACE), 1, &mut found);
    Ok(found)
}

/// Waits until a node has nothing that it did not have before. What was left of an earlier scenario
/// may have gone meanwhile.
pub(crate) fn same_as(node: &Node, before: &BTreeSet<String>) -> Result<()> {
    nothing_new(node, before, |_| true)
}

/// Does the same, and looks only at what `matters`.
pub(crate) fn nothing_new(node: &Node, before: &BTreeSet<String>, matters: impl Fn(&str) -> bool) -> Result<()> {
    let mut left = None;
    let gone = wait_for("everything to be gone", || {
        left = leftovers(node).ok().map(|mut after| {
            after.retain(|line| matters(line) && !before.contains(line));
            after
        });
        left.as_ref().is_some_and(BTreeSet::is_empty)
    });
    gone.with_context(|| format!("left: {left:?}"))
}

/// Adds the folders below one, down to this depth.
fn below(folder: &Path, depth: usize, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(format!("folder {}", entry.path().display()));
            if depth > 1 {
                below(&entry.path(), depth - 1, found);
            }
        }
    }
}

/// Returns how many descriptors a process has open.
pub(crate) fn descriptors(pid: &str) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Returns the process of a container that runs.
pub(crate) fn task(node: &Node, id: &str) -> Result<String> {
    let tasks = node.ctr_output(["tasks", "ls"])?;
    let words = tasks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = words.into_iter().find(|words| words.first() == Some(&id) && words.last() == Some(&"RUNNING"));
    found.map(|words| words[1].to_owned()).with_context(|| format!("{id} does not run: {tasks}"))
}

pub(crate) fn stopped(node: &Node, id: &str) -> Result<()> {
    wait_for("a container to end", || {
        let tasks = node.ctr_output(["tasks", "ls"]).unwrap_or_default();
        tasks.lines().any(|line| line.starts_with(id) && line.ends_with("STOPPED"))
    })
}

/// Deletes the task of a container that has ended, and returns its exit code.
pub(crate) fn deleted(node: &Node, id: &str) -> Result<i32> {
    let output = node.ctr(["tasks", "delete", id]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let code = said.split_once("exit code ").map_or("0", |(_, rest)| rest.trim_end().trim_end_matches('"'));
    code.parse().with_context(|| said.into_owned())
}

/// Returns how long a process has been running on a processor, in ticks.
pub(crate) fn cpu_ticks(pid: &str) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("a name")?.1;
    Ok(fields.split_whitespace().nth(11).context("a time")?.parse()?)
}
