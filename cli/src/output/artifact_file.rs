//! Writes artifacts, never into a file that may be mapped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes an artifact to a new file, which then takes the place of the old one. A process that runs
/// the old one keeps it, and nobody ever sees half of an artifact. `-` is standard output. Other
/// things than regular files, such as pipes, are written to directly.
///
/// # Errors
/// Returns the system's error.
pub(crate) fn write(output: &Path, artifact: &[u8]) -> io::Result<()> {
    if output == Path::new("-") {
        let mut stdout = io::stdout().lock();
        return stdout.write_all(artifact).and_then(|()| stdout.flush());
    }
    // A link stays, and what it leads to is replaced.
    let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    let old = fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return OpenOptions::new().write(true).open(&target)?.write_all(artifact);
    }
    let unfinished = beside(&target);
    // A file or link of that name is somebody else's.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
    let done = finish(&mut file, artifact, old.as_ref()).and_then(|()| fs::rename(&unfinished, &target));
    done.inspect_err(|_| _ = fs::remove_file(&unfinished))
}

fn beside(target: &Path) -> PathBuf {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.join(format!(".minirt-{}.tmp", std::process::id()))
}

/// Writes the new file, and gives it the old one's permissions.
fn finish(file: &mut File, artifact: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    file.write_all(artifact)?;
    old.map_or(Ok(()), |old| file.set_permissions(old.permissions()))
}

#[cfg(test)]
mod tests {
    use super::write;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn an_artifact_that_is_in_use_is_replaced_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.cwasm"), folder.path().join("link.cwasm"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.cwasm", &link).unwrap();
        let in_use = fs::File::open(&path).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let (old, new) = (in_use.metadata().unwrap(), fs::metadata(&path).unwrap());
        assert_ne!(old.ino(), new.ino());
        assert_eq!((old.len(), new.mode() & 0o777), (3, 0o640));
        assert_eq!(std::io::read_to_string(in_use).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("missing/a.cwasm"), b"new").is_err());
        assert!(write(folder.path(), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
