//! Finds what a container runs: a module in a layer of its image, a module among its files, or a
//! program of the host (the pause container of a pod, a sidecar).

use crate::annotations::Snapshot;
use crate::node::Node;
use crate::settings;
use anyhow::{Context, Result, bail, ensure};
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest};
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::path::Path;

/// The media types of layers that are modules, and not archives of files.
const LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// The function that is called unless the entry point names another.
const START: &str = "_start";
/// The most bytes of a module.
pub(crate) const MODULE_MOST: u64 = 1 << 30;

/// What a container runs.
#[derive(Debug)]
pub(crate) enum Program {
    /// A program of the host, as with any other runtime.
    Host,
    /// A module.
    Module(Box<ModuleSource>),
}

/// A module that is yet to be compiled, or has been.
#[derive(Debug)]
pub(crate) struct ModuleSource {
    /// Names it in messages.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) file: File,
    /// The digest of its bytes, as whoever made the image says.
    pub(crate) digest: String,
    /// The content that has to be there for as long as the artifact: the layer or the image.
    pub(crate) owner: Option<String>,
    /// How it is frozen before it starts.
    pub(crate) snapshot: Option<Snapshot>,
    /// The function to call.
    pub(crate) function: String,
}

/// The configuration of an image.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Labels,
}

#[derive(Debug, Default, Deserialize)]
struct Labels {
    #[serde(default, rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

/// An image, as far as it matters here.
#[derive(Debug)]
struct Image {
    digest: String,
    manifest: ImageManifest,
    labels: HashMap<String, String>,
}

/// Finds what the container `id` runs, whose files are in `rootfs`.
///
/// # Errors
/// Returns an error if the image is incomplete, or its module is not there.
pub(crate) async fn find(node: &Node, id: &str, spec: &Spec, rootfs: &Path) -> Result<Program> {
    if is_sandbox(spec) {
        return Ok(Program::Host);
    }
    let image = match node.image_of(id).await? {
        Some(digest) => Some(image(node, digest).await?),
        None => None,
    };
    let entry = spec.process().as_ref().and_then(|process| process.args().as_ref()?.first()).map_or("", String::as_str);
    let (path, function) = entry.split_once('#').unwrap_or((entry, START));
    let none = HashMap::new();
    let pod = spec.annotations().as_ref().unwrap_or(&none);
    let (manifest, labels) = image
        .as_ref()
        .map_or((&none, &none), |image| (image.manifest.annotations().as_ref().unwrap_or(&none), &image.labels));
    let layers = image.iter().flat_map(|image| image.manifest.layers());
    let modules: Vec<&Descriptor> = layers.filter(|layer| is_module(layer)).collect();
    let source = match modules[..] {
        [layer] => {
            let digest = layer.digest().to_string();
            let annotations = layer.annotations().as_ref().unwrap_or(&none);
            ModuleSource {
                name: format!("the layer {digest}"),
                file: node.open(&digest).await?,
                owner: Some(digest.clone()),
                digest,
                snapshot: Snapshot::asked_for([pod, annotations, manifest, labels]),
                function: function.to_owned(),
            }
        }
        [] => {
            ensure!(!path.is_empty(), "neither the container nor its image names a program");
            let Some(mut file) = module_file(spec, rootfs, path)? else { return Ok(Program::Host) };
            ModuleSource {
                name: path.to_owned(),
                digest: settings::digest_of_file(&mut file, MODULE_MOST).with_context(|| path.to_owned())?,
                file,
                owner: image.as_ref().map(|image| image.digest.clone()),
                snapshot: Snapshot::asked_for([pod, manifest, labels]),
                function: function.to_owned(),
            }
        }
        _ => bail!("the image has {} layers that are modules, and minirt runs one", modules.len()),
    };
    Ok(Program::Module(Box::new(source)))
}

/// Returns whether this is the container that holds a pod's namespaces.
fn is_sandbox(spec: &Spec) -> bool {
    let annotation = |name| spec.annotations().as_ref()?.get(name).map(String::as_str);
    annotation("io.kubernetes.cri.container-type") == Some("sandbox")
}

fn is_module(layer: &Descriptor) -> bool {
    let media_type = layer.media_type().to_string();
    // The first type for modules was one for components; many images still have it.
    LAYERS.contains(&media_type.as_str()) || media_type.ends_with(".layer.v0+wasm")
}

async fn image(node: &Node, digest: String) -> Result<Image> {
    let mut bytes = node.read_document(&digest).await?;
    if let Some(chosen) = platform(&bytes)? {
        bytes = node.read_document(&chosen).await?;
    }
    let manifest = ImageManifest::from_reader(&bytes[..]).with_context(|| format!("the image {digest} is damaged"))?;
    // The configuration of an artifact need not be that of an image.
    let configuration = node.read_document(manifest.config().digest().as_ref()).await?;
    let configuration: Configuration = serde_json::from_slice(&configuration).unwrap_or_default();
    Ok(Image { digest, manifest, labels: configuration.config.labels.unwrap_or_default() })
}

/// Returns the digest of the manifest for this node, if these bytes are an index of several.
fn platform(bytes: &[u8]) -> Result<Option<String>> {
    let Ok(index) = ImageIndex::from_reader(bytes) else { return Ok(None) };
    let here = if cfg!(target_arch = "aarch64") { Arch::ARM64 } else { Arch::Amd64 };
    let is_for = |manifest: &&Descriptor, arch: &Arch| {
        manifest.platform().as_ref().is_some_and(|platform| platform.architecture() == arch)
    };
    let manifests = index.manifests();
    let wanted = [Arch::Wasm, here];
    let found = wanted.iter().find_map(|arch| manifests.iter().find(|manifest| is_for(manifest, arch)));
    let found = found.or_else(|| manifests.first()).context("the image has no manifest")?;
    Ok(Some(found.digest().to_string()))
}

/// Opens the file that the entry point names if it is a module, or is meant to be one.
fn module_file(spec: &Spec, rootfs: &Path, path: &str) -> Result<Option<File>> {
    let cwd = spec.process().as_ref().map_or(Path::new("/"), |process| process.cwd().as_path());
    let named = path.ends_with(".wasm");
    let mut file = match open_in(rootfs, &cwd.join(path)) {
        Ok(Some(file)) => file,
        Ok(None) | Err(_) if !named => return Ok(None),
        Ok(None) => bail!("the entry point {path} is not a file"),
        Err(error) => bail!("the entry point {path} cannot be opened in the image: {error}"),
    };
    let mut magic = [0; 4];
    let is_module = file.read_exact(&mut magic).is_ok() && &magic == b"\0asm";
    file.rewind()?;
    Ok((named || is_module).then_some(file))
}

/// Opens a file of the container as the container would see it: links cannot lead out of it.
/// Returns `None` if it is not a regular file. An image may carry devices, and those of the node
/// must not be opened with the rights of a shim: some act when they are.
fn open_in(rootfs: &Path, path: &Path) -> Result<Option<File>, Errno> {
    let root = rustix::fs::open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let found = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(Some(rustix::fs::open(found, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into()))
}

#[cfg(test)]
mod tests {
    use super::{module_file, open_in, platform};
    use oci_spec::runtime::Spec;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn links_in_an_image_do_not_lead_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", root.path().join("absolute.wasm")).unwrap();
        symlink("../../../../../../etc/passwd", root.path().join("relative.wasm")).unwrap();
        for link in ["/absolute.wasm", "/relative.wasm"] {
            let file = open_in(root.path(), Path::new(link)).unwrap().unwrap();
            assert_eq!(std::io::read_to_string(file).unwrap(), "inside", "{link}");
        }
    }

    #[test]
    fn a_file_is_a_module_by_its_name_or_its_first_bytes() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("tool"), b"\x7fELF....").unwrap();
        fs::write(root.path().join("module"), b"\0asm\x01\0\0\0").unwrap();
        fs::write(root.path().join("damaged.wasm"), b"").unwrap();
        let found = |path| module_file(&Spec::default(), root.path(), path);
        assert!(found("/tool").unwrap().is_none());
        assert!(found("sh").unwrap().is_none());
        assert!(found("/module").unwrap().is_some());
        assert!(found("damaged.wasm").unwrap().is_some());
        assert!(found("/missing.wasm").unwrap_err().to_string().contains("/missing.wasm"));
    }

    #[test]
    fn a_device_of_an_image_is_not_opened() {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        let root = tempfile::tempdir().unwrap();
        // Nobody has a driver for this one, so opening it would be another error.
        let made = mknodat(
            CWD,
            root.path().join("device.wasm"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(60, 0),
        );
        if made.is_err() {
            eprintln!("only root makes devices");
            return;
        }
        let said = module_file(&Spec::default(), root.path(), "/device.wasm").unwrap_err().to_string();
        assert_eq!(said, "the entry point /device.wasm is not a file");
        symlink("/device.wasm", root.path().join("program")).unwrap();
        assert!(module_file(&Spec::default(), root.path(), "/program").unwrap().is_none());
    }

    #[test]
    fn of_several_manifests_that_for_wasm_is_taken() {
        let manifest = |arch: &str, digit: char| {
            let digest: String = std::iter::repeat_n(digit, 64).collect();
            format!(
                r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2, "digest": "sha256:{digest}",
                     "platform": {{"os": "linux", "architecture": "{arch}"}}}}"#
            )
        };
        let index = |manifests: &[String]| format!(r#"{{"schemaVersion": 2, "manifests": [{}]}}"#, manifests.join(","));
        let chosen = |manifests: &[String]| platform(index(manifests).as_bytes()).unwrap().unwrap();
        let (s390x, wasm) = (manifest("s390x", 'a'), manifest("wasm", 'b'));
        assert!(chosen(&[s390x.clone(), wasm]).ends_with("bbb"));
        assert!(chosen(&[s390x]).ends_with("aaa"));
        assert_eq!(platform(b"{\"schemaVersion\": 2, \"layers\": []}").unwrap(), None);
    }
}
