//! Makes images that `minirt-image` would not make.

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// What an image consists of.
pub(crate) struct Parts<'p> {
    pub(crate) configuration: &'p [u8],
    /// The media type and the content of each layer.
    pub(crate) layers: &'p [(&'p str, &'p [u8])],
    /// The manifest's.
    pub(crate) annotations: Value,
}

/// Writes an image as an archive for `ctr images import`.
pub(crate) fn write(name: &str, parts: &Parts<'_>, output: &Path) -> Result<()> {
    let mut blobs = BTreeMap::new();
    let mut add = |media_type: &str, content: &[u8]| {
        let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        blobs.insert(format!("blobs/sha256/{hex}"), content.to_vec());
        json!({"mediaType": media_type, "size": content.len(), "digest": format!("sha256:{hex}")})
    };
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let layers: Vec<Value> = parts.layers.iter().map(|(media_type, content)| add(media_type, content)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add("application/vnd.oci.image.config.v1+json", parts.configuration),
        "layers": layers,
        "annotations": parts.annotations,
    });
    let mut manifest = add(MANIFEST, manifest.to_string().as_bytes());
    manifest["platform"] = json!({"os": "wasip1", "architecture": "wasm"});
    manifest["annotations"] = json!({"io.containerd.image.name": name});
    blobs.insert("index.json".to_owned(), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string().into());
    blobs.insert("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into());
    let mut archive = tar::Builder::new(File::create(output)?);
    for (path, content) in &blobs {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    archive.finish()?;
    Ok(())
}
