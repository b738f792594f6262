//! Ends a shim that has no containers any more, whatever becomes of its server.
//!
//! containerd asks a shim to end once its last container is deleted (`Shutdown`). That is not
//! enough:
//!
//! - containerd gives up asking after a few seconds, or is restarted meanwhile.
//! - The server of the crate `ttrpc` (0.8.6) waits for its own threads, and some may never end.
//!   Where a connection is new, all of its threads may see that they are to end before they have
//!   begun, and then none of them wakes the one that waits for them (`control_rx` in
//!   `sync/server.rs`).
//!
//! So the kernel ends a shim that is idle for too long. And its socket goes with its last
//! container, so that nobody connects to a shim that is about to end.

use containerd_shimkit::zygote::Zygote;
use nix::unistd::{alarm, close};
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Seconds that a shim waits for its first container. containerd creates it right after the shim.
const FIRST_SECONDS: u32 = 60;
/// Seconds that a shim stays after its last container. Ending takes milliseconds unless the node is
/// overloaded.
const IDLE_SECONDS: u32 = 10;
/// The descriptor of the socket that a shim listens on (`SOCKET_FD` of the crate
/// `containerd-shim`).
const SOCKET: RawFd = 3;
/// What `/proc/net/unix` says of a socket that listens (`__SO_ACCEPTCON`).
const LISTENS: u32 = 1 << 16;

/// How many containers there are, those that are being created among them.
static PRESENT: Mutex<usize> = Mutex::new(0);

/// Has this process ended if no container comes. To be called before there are any.
pub(crate) fn wait_for_first() {
    alarm::set(FIRST_SECONDS);
}

/// Forks the process that makes containers, and closes the shim's socket there. So nobody listens
/// any more once the shim has ended, whatever the processes do that it forked. To be called before
/// there are threads.
pub(crate) fn keep_socket() {
    // Without that process, the first container says so.
    let close = |()| {
        let _ = close(SOCKET);
    };
    let _ = Zygote::global().try_run(close, ());
}

/// A container that this shim has, or creates.
pub(crate) struct Present {
    /// The bundle's file that names the socket.
    address: PathBuf,
}

impl Present {
    /// Counts a container, as long as what this returns is not dropped.
    pub(crate) fn new(bundle: &Path) -> Self {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        *present += 1;
        alarm::cancel();
        Self { address: bundle.join("address") }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        *present -= 1;
        if *present == 0 {
            if let Some(socket) = socket(&self.address) {
                let _ = fs::remove_file(socket);
            }
            // Its default action ends the process. Where it is a fork's, it has no alarm.
            alarm::set(IDLE_SECONDS);
        }
    }
}

/// Returns where a shim for this container listens, or listened: as its bundle says, and where it
/// would if it is the first container of its shim. The bundle may be gone already.
pub(crate) fn sockets(bundle: &Path, containerd: &str, namespace: &str, id: &str) -> Vec<String> {
    let usual = containerd_shim::socket_address(containerd, namespace, id);
    let usual = usual.strip_prefix("unix://").map(str::to_owned);
    socket(&bundle.join("address")).into_iter().chain(usual).collect()
}

/// Removes the sockets on which nobody listens any more. The shim may have other containers. To
/// connect and see would make the server's end uncertain.
pub(crate) fn remove_sockets(paths: &[String]) {
    let Ok(sockets) = fs::read_to_string("/proc/net/unix") else { return };
    for path in paths.iter().filter(|path| !is_listening(&sockets, path)) {
        let _ = fs::remove_file(path);
    }
}

/// Returns the path of the socket that this file names.
fn socket(address: &Path) -> Option<String> {
    Some(fs::read_to_string(address).ok()?.trim().strip_prefix("unix://")?.to_owned())
}

/// Returns whether somebody listens on a socket, according to `/proc/net/unix` (proc(5)).
fn is_listening(sockets: &str, path: &str) -> bool {
    sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let flags = words.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
        flags & LISTENS != 0 && words.get(7) == Some(&path)
    })
}

#[cfg(test)]
mod tests {
    use super::is_listening;
    use std::fs;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn whoever_listens_is_seen_and_not_disturbed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let is = || is_listening(&fs::read_to_string("/proc/net/unix").unwrap(), path.to_str().unwrap());
        assert!(!is());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is());
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
        // What is accepted has the same path, and does not listen.
        let (_client, _server) = (UnixStream::connect(&path).unwrap(), listener.accept().unwrap());
        drop(listener);
        assert!(path.exists() && !is());
    }
}
