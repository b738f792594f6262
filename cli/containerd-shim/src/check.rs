//! Finds what a specification asks for and cannot have, and says so where libcontainer does not.

use crate::guest::{is_bind, memory_limit};
use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::path::{Path, PathBuf};

/// The user or group with which setresuid(2) and setresgid(2) leave a process as it is: root.
const NO_ID: u32 = u32::MAX;

/// Finds what no container can have.
///
/// # Errors
/// Returns an error that says what it is.
pub(crate) fn specification(spec: &Spec) -> Result<()> {
    let process = spec.process().as_ref().context("its specification names no process")?;
    let words = process.args().iter().chain(process.env()).flatten();
    for word in words.map(String::as_str).chain(process.cwd().to_str()) {
        ensure!(!word.contains('\0'), "its specification has a NUL character in {word:?}");
    }
    // It may be empty, which is `/`.
    let cwd = process.cwd();
    let has_place = cwd.as_os_str().is_empty() || cwd.is_absolute();
    ensure!(has_place, "its working directory {} does not begin with /", cwd.display());
    let user = process.user();
    let groups = user.additional_gids().iter().flatten();
    let is_user = [user.uid(), user.gid()].iter().chain(groups).all(|id| *id != NO_ID);
    ensure!(is_user, "there is no user and no group {NO_ID}");
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    let has_mounts = namespaces.into_iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount);
    ensure!(has_mounts, "it has no mount namespace, and its mounts would become the node's");
    Ok(())
}

/// Finds mounts of files that are not there. libcontainer's process would only say that one is.
///
/// # Errors
/// Returns an error that names the file.
pub(crate) fn mounts(spec: &Spec, bundle: &Path) -> Result<()> {
    for (place, source) in binds(spec, bundle) {
        let there = source.metadata();
        there.with_context(|| format!("{} cannot be mounted at {}", source.display(), place.display()))?;
    }
    Ok(())
}

/// Returns the mounts of a container that bind a file of the node, and the file of each.
fn binds<'s>(spec: &'s Spec, bundle: &Path) -> impl Iterator<Item = (&'s Path, PathBuf)> {
    let mounts = spec.mounts().iter().flatten().filter(|mount| is_bind(mount));
    mounts.filter_map(move |mount| Some((mount.destination().as_path(), bundle.join(mount.source().as_ref()?))))
}

/// Returns why there is no container, and what may be the reason where libcontainer does not say.
pub(crate) fn explain(spec: &Spec, error: &anyhow::Error) -> String {
    let said = format!("{error:#}");
    // Its process sends the outermost words of an error, and none if it was ended.
    if said.contains("failed to prepare rootfs") {
        let places: Vec<String> = binds(spec, Path::new("/")).map(|(place, _)| place.display().to_string()).collect();
        return format!("{said}: perhaps for a mount, of those at {}", places.join(", "));
    }
    if said.contains("failed to unix syscall") {
        let process = spec.process().as_ref();
        let cwd = process.map_or(String::new(), |process| process.cwd().display().to_string());
        return format!("{said}: perhaps for its working directory {cwd}, which has to be there");
    }
    if !said.contains("BrokenChannel") {
        return said;
    }
    let limit = memory_limit(spec).map(|limit| format!("lack of memory, of which its cgroup allows {limit} bytes"));
    let linux = spec.linux().as_ref();
    let filter = linux.and_then(|linux| linux.seccomp().as_ref()).map(|_| "its seccomp profile".to_owned());
    let reasons: Vec<String> = limit.into_iter().chain(filter).collect();
    if reasons.is_empty() { said } else { format!("{said}: perhaps for {}", reasons.join(", or ")) }
}

#[cfg(test)]
mod tests {
    use super::specification;
    use oci_spec::runtime::Spec;

    fn check(process: &str, namespaces: &str) -> String {
        let text = format!(
            r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces": [{namespaces}]}},
                "process": {{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, "args": ["/a"], {process}}}}}"#
        );
        let checked = specification(&serde_json::from_str::<Spec>(&text).unwrap());
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_no_container_can_have_is_named() {
        const MOUNT: &str = r#"{"type": "mount"}"#;
        assert_eq!(check(r#""env": ["A=1"]"#, MOUNT), "");
        assert!(check(r#""env": ["A=1\u0000"]"#, MOUNT).contains(r#"NUL character in "A=1\0""#));
        assert!(check(r#""env": []"#, r#"{"type": "pid"}"#).contains("no mount namespace"));
        let text = r#"{"ociVersion": "1.0.2"}"#;
        assert!(specification(&serde_json::from_str::<Spec>(text).unwrap()).is_err());
    }
}
