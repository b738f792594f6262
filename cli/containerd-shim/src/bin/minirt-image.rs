//! `minirt-image`: makes an image of a module, as an archive for `ctr images import`.
//!
//! It needs no network and no daemon. Builders of images do the same, and more.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
minirt-image [--layer] [--init FUNCTION] [--allow FUNCTIONS] NAME MODULE.wasm OUT.tar

Makes an image of a module, as an archive for `ctr images import`.

  --layer            the module is a layer of its own, and not a file in one
                     (containerd runs those from 1.6.25 and 1.7.7 on)
  --init FUNCTION    containers start from a snapshot taken after this function
  --allow FUNCTIONS  functions of WASI that it may call all the same";

struct Arguments {
    layer: bool,
    annotations: BTreeMap<&'static str, String>,
    name: String,
    module: PathBuf,
    output: PathBuf,
}

fn main() -> ExitCode {
    let done = arguments(std::env::args().skip(1)).and_then(|arguments| write(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
    let (mut layer, mut annotations, mut names) = (false, BTreeMap::new(), vec![]);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--layer" => layer = true,
            "--init" => _ = annotations.insert("minirt.snapshot.init", value()?),
            "--allow" => _ = annotations.insert("minirt.snapshot.allow", value()?),
            _ if word.starts_with('-') => bail!("{USAGE}"),
            _ => names.push(word),
        }
    }
    let Ok([name, module, output]) = <[String; 3]>::try_from(names) else { bail!("{USAGE}") };
    Ok(Arguments { layer, annotations, name, module: module.into(), output: output.into() })
}

/// The files of an image: its content under its digests, and what leads there.
#[derive(Default)]
struct Archive {
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// Adds content, and returns its description.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let hex: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let description = json!({"mediaType": media_type, "size": content.len(), "digest": format!("sha256:{hex}")});
        self.files.insert(format!("blobs/sha256/{hex}"), content);
        description
    }

    fn write(mut self, index: &Value, output: &Path) -> Result<()> {
        self.files.insert("index.json".to_owned(), index.to_string().into());
        self.files.insert("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into());
        let mut archive = tar::Builder::new(File::create(output)?);
        for (path, content) in &self.files {
            append(&mut archive, path, content, 0o644)?;
        }
        archive.finish()?;
        Ok(())
    }
}

fn append<W: std::io::Write>(archive: &mut tar::Builder<W>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    archive.append_data(&mut header, path, content)?;
    Ok(())
}

fn write(arguments: &Arguments) -> Result<()> {
    let content =
        fs::read(&arguments.module).with_context(|| format!("{} cannot be read", arguments.module.display()))?;
    let file = arguments.module.file_name().and_then(|name| name.to_str()).context("the module has no name")?;
    ensure!(!arguments.name.is_empty(), "the image has no name");
    let mut archive = Archive::default();
    let layer = if arguments.layer {
        archive.add("application/wasm", content)
    } else {
        let mut files = tar::Builder::new(vec![]);
        append(&mut files, file, &content, 0o755)?;
        archive.add("application/vnd.oci.image.layer.v1.tar", files.into_inner()?)
    };
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let (os, architecture) = if arguments.layer { ("wasip1", "wasm") } else { ("linux", here) };
    let configuration = json!({
        "os": os,
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {"Entrypoint": [format!("/{file}")]},
    });
    let configuration = archive.add("application/vnd.oci.image.config.v1+json", configuration.to_string().into());
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": configuration,
        "layers": [layer],
        "annotations": arguments.annotations,
    });
    let mut manifest = archive.add(MANIFEST, manifest.to_string().into());
    manifest["platform"] = json!({"os": os, "architecture": architecture});
    manifest["annotations"] = json!({"io.containerd.image.name": arguments.name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    archive
        .write(&index, &arguments.output)
        .with_context(|| format!("{} cannot be written", arguments.output.display()))
}
