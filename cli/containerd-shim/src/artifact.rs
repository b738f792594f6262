//! Gets the artifact of a module: from the node's content store, or made and kept there.

use crate::node::Node;
use crate::prepare;
use crate::program::{MODULE_MOST, ModuleSource};
use crate::settings;
use anyhow::{Context, Result, ensure};
use minirt::Engine;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::{Read, Seek};

/// An artifact, in a file that nobody writes to.
#[derive(Debug)]
pub(crate) struct ArtifactFile {
    pub(crate) file: File,
    /// Where it is in the content store, if it is there and was not just made.
    pub(crate) found: Option<Found>,
}

/// An artifact that is in the content store.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    owner: String,
    key: String,
    digest: String,
}

/// Gets the artifact for a module and the way in which it is to be frozen.
///
/// # Errors
/// Returns an error if the module is damaged, is no module that minirt can run, or cannot be
/// frozen.
pub(crate) async fn get(node: &Node, source: &mut ModuleSource) -> Result<ArtifactFile> {
    let key = settings::key(&settings::engine()?, &source.digest, source.snapshot.as_ref());
    let Some(owner) = source.owner.clone() else { return Ok(ArtifactFile { file: make(source)?, found: None }) };
    if let Some(found) = find(node, &owner, &key).await? {
        return Ok(found);
    }
    // Of many containers of a new image, the first makes the artifact, and the others find it then.
    let _lock = node.lock(&owner).await?;
    if let Some(found) = find(node, &owner, &key).await? {
        return Ok(found);
    }
    let mut artifact = make(source)?;
    let stored = async {
        let digest = node.keep(&owner, &key, &mut artifact).await?;
        node.open(&digest).await
    };
    // Without a place in the store, it is made again next time.
    let file = stored.await.unwrap_or_else(|error| {
        log::warn!("the artifact of {} is not kept: {error:#}", source.name);
        artifact
    });
    Ok(ArtifactFile { file, found: None })
}

/// Finds an artifact in the content store.
async fn find(node: &Node, owner: &str, key: &str) -> Result<Option<ArtifactFile>> {
    let Some(digest) = node.artifact(owner, key).await? else { return Ok(None) };
    match node.open(&digest).await {
        Ok(file) => {
            let found = Found { owner: owner.to_owned(), key: key.to_owned(), digest };
            Ok(Some(ArtifactFile { file, found: Some(found) }))
        }
        Err(error) => {
            log::warn!("the artifact {digest} is made again: {error:#}");
            Ok(None)
        }
    }
}

/// Removes an artifact that turned out to be damaged.
///
/// # Errors
/// Returns an error if containerd does not remove it.
pub(crate) async fn remove(node: &Node, found: &Found) -> Result<()> {
    node.remove(&found.owner, &found.key, &found.digest).await
}

fn make(source: &mut ModuleSource) -> Result<File> {
    let digest = settings::digest_of_file(&mut source.file, MODULE_MOST).with_context(|| source.name.clone())?;
    ensure!(
        digest == source.digest,
        "{} is damaged: its content has the digest {digest}; remove the image and pull it again",
        source.name
    );
    let mut header = vec![];
    (&source.file).take(8).read_to_end(&mut header)?;
    source.file.rewind()?;
    ensure!(
        !is_component(&header),
        "{} is a component, and minirt runs modules: build it for wasm32-wasip1",
        source.name
    );
    ensure!(
        header.starts_with(b"\0asm"),
        "{} cannot be run: it does not begin as a WebAssembly module, and compiled code is not taken from images",
        source.name
    );
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut output = File::from(rustix::fs::memfd_create("minirt-artifact", flags)?);
    prepare::run(source.file.try_clone()?, source.snapshot.as_ref(), output.try_clone()?)
        .with_context(|| format!("{} cannot be run", source.name))?;
    // Whatever became of the process that made it, it is not changed any more.
    rustix::fs::fcntl_add_seals(&output, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    output.rewind()?;
    Ok(output)
}

/// Returns whether these bytes are a component: the same magic number, another layer.
fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[1, 0])
}

/// Returns whether an error is about an artifact, which can be made again.
pub(crate) fn is_damage(error: &minirt::Error) -> bool {
    error.is::<minirt::ArtifactError>()
}

/// Loads an artifact.
///
/// # Errors
/// Returns an error if it is damaged.
#[allow(unsafe_code, reason = "an artifact is machine code")]
pub(crate) fn load(engine: &Engine, file: File) -> minirt::Result<minirt::Module> {
    // SAFETY: the file is the content store's, where only root can write and no content is ever
    // changed, or a copy of this process; and `get` took it from there by a label that only this
    // program sets.
    unsafe { minirt::Module::deserialize_open_file(engine, file) }
}

#[cfg(test)]
mod tests {
    use super::is_component;

    #[test]
    fn components_are_told_from_modules() {
        assert!(is_component(&wat::parse_str("(component)").unwrap()));
        assert!(!is_component(&wat::parse_str("(module)").unwrap()));
        assert!(!is_component(b"\0asm"));
    }
}
