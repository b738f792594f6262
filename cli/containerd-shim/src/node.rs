//! Talks to the node's containerd: which image a container is of, and what the content store holds.
//!
//! Artifacts are content like any other. A label on the content that an artifact was made from
//! names it, and keeps it from being collected: `containerd.io/gc.ref.content.minirt.KEY`. So
//! artifacts go when their image goes, and only someone who may write to the store can offer one.

use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::introspection_client::IntrospectionClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    CreateRequest, DeleteContentRequest, DeleteRequest, GetContainerRequest, GetImageRequest, Info, InfoRequest,
    PluginsRequest, ReadContentRequest, UpdateRequest, WriteAction, WriteContentRequest,
};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status};
use futures::TryStreamExt;
use futures::stream;
use rustix::fs::{FlockOperation, MemfdFlags, flock};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Bytes of content in one message. containerd takes no more than 16 MiB.
const CHUNK: usize = 4 << 20;
/// The most bytes of a manifest, an index or a configuration. Registries take 4 MiB of the first.
const DOCUMENT_MOST: u64 = 16 << 20;
/// How long to wait for another container that has the same artifact made.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// The longest time for which content is kept without a label, if the shim dies: an hour.
const LEASE_HOURS: i64 = 1;

/// A connection to containerd, for one namespace.
#[derive(Debug)]
pub(crate) struct Node {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    /// The folder of the content store, if it is a folder of this machine.
    blobs: OnceCell<Option<PathBuf>>,
}

impl Node {
    /// Connects to the containerd that listens here.
    ///
    /// # Errors
    /// Returns an error if there is none.
    pub(crate) async fn connect(address: &str, namespace: &str) -> Result<Self> {
        let channel = containerd_client::connect(address)
            .await
            .with_context(|| format!("there is no connection to containerd at {address}"))?;
        Ok(Self { channel, namespace: namespace.parse()?, blobs: OnceCell::new() })
    }

    /// Returns the digest of the image that a container is of, or `None` if it is of no image that
    /// containerd knows.
    ///
    /// # Errors
    /// Returns an error if containerd does not answer.
    pub(crate) async fn image_of(&self, container: &str) -> Result<Option<String>> {
        let request = self.request(GetContainerRequest { id: container.to_owned() });
        let found = ContainersClient::new(self.channel.clone()).get(request).await?.into_inner().container;
        let name = found.with_context(|| format!("containerd does not know the container {container}"))?.image;
        if name.is_empty() {
            return Ok(None);
        }
        match ImagesClient::new(self.channel.clone()).get(self.request(GetImageRequest { name })).await {
            Ok(found) => Ok(found.into_inner().image.and_then(|image| image.target).map(|target| target.digest)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Returns a manifest, an index or a configuration.
    ///
    /// # Errors
    /// Returns an error if it is not there, or too large to be one.
    pub(crate) async fn read_document(&self, digest: &str) -> Result<Vec<u8>> {
        let size = self.info(digest).await?.map_or(0, |info| info.size);
        let most = DOCUMENT_MOST >> 20;
        ensure!(
            size.cast_unsigned() <= DOCUMENT_MOST,
            "the content {digest} has {size} bytes, and may have {most} MiB"
        );
        self.read(digest).await
    }

    async fn info(&self, digest: &str) -> Result<Option<Info>> {
        let request = self.request(InfoRequest { digest: digest.to_owned() });
        let info = ContentClient::new(self.channel.clone()).info(request).await;
        Ok(info.with_context(|| format!("the content {digest} cannot be found"))?.into_inner().info)
    }

    async fn read(&self, digest: &str) -> Result<Vec<u8>> {
        let request = self.request(ReadContentRequest { digest: digest.to_owned(), ..Default::default() });
        let read = async {
            let parts = ContentClient::new(self.channel.clone()).read(request).await?.into_inner();
            parts.map_ok(|part| part.data).try_concat().await
        };
        read.await.with_context(|| format!("the content {digest} cannot be read"))
    }

    /// Opens some content as a file that nobody writes to: the content store's own, which all
    /// containers share, or else a copy in memory.
    ///
    /// # Errors
    /// Returns an error if it is not there.
    pub(crate) async fn open(&self, digest: &str) -> Result<File> {
        if let Some(blobs) = self.blobs().await?
            && let Some((algorithm, hex)) = digest.split_once(':')
            && [algorithm, hex].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            && let Ok(file) = File::open(blobs.join(algorithm).join(hex))
        {
            return Ok(file);
        }
        let content = self.read(digest).await?;
        let mut copy = File::from(rustix::fs::memfd_create("minirt-content", MemfdFlags::CLOEXEC)?);
        copy.write_all(&content)?;
        copy.rewind()?;
        Ok(copy)
    }

    async fn blobs(&self) -> Result<Option<&PathBuf>> {
        let find = || async {
            let request = self.request(PluginsRequest { filters: vec!["type==io.containerd.content.v1".to_owned()] });
            let plugins = IntrospectionClient::new(self.channel.clone()).plugins(request).await?.into_inner().plugins;
            let root = plugins.iter().find_map(|plugin| plugin.exports.get("root"));
            anyhow::Ok(root.map(|root| Path::new(root).join("blobs")))
        };
        Ok(self.blobs.get_or_try_init(find).await?.as_ref())
    }

    /// Returns the digest of the artifact with this key that was made from the content `owner`.
    ///
    /// # Errors
    /// Returns an error if containerd does not answer, or has no such content.
    pub(crate) async fn artifact(&self, owner: &str, key: &str) -> Result<Option<String>> {
        let info = self.info(owner).await?;
        Ok(info.and_then(|info| info.labels.get(&label(key)).cloned()).filter(|digest| !digest.is_empty()))
    }

    /// Waits until no other container on this node has an artifact made of the content `owner`, or
    /// for a minute. Others wait until the file that is returned is closed.
    ///
    /// # Errors
    /// Returns an error if there is no such content.
    pub(crate) async fn lock(&self, owner: &str) -> Result<File> {
        let file = self.open(owner).await?;
        let begin = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if begin.elapsed() < LOCK_PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Where files have no locks, as after a minute, it is made twice: that is all.
                _ => return Ok(file),
            }
        }
    }

    /// Stores an artifact for as long as the content `owner` is there, and returns its digest.
    ///
    /// # Errors
    /// Returns an error if containerd cannot store it.
    pub(crate) async fn keep(&self, owner: &str, key: &str, artifact: &mut File) -> Result<String> {
        let lease = self.lease(key).await?;
        let kept = async {
            let digest = self.write(artifact, key, &lease).await?;
            self.set_label(owner, key, &digest).await?;
            anyhow::Ok(digest)
        };
        let kept = kept.await;
        // A lease that is not given back ends by itself.
        let request = self.request(DeleteRequest { id: lease, sync: false });
        let _ = LeasesClient::new(self.channel.clone()).delete(request).await;
        kept
    }

    /// Removes an artifact that is damaged, so that another can have its place.
    ///
    /// # Errors
    /// Returns an error if containerd does not answer.
    pub(crate) async fn remove(&self, owner: &str, key: &str, artifact: &str) -> Result<()> {
        self.set_label(owner, key, "").await?;
        let request = self.request(DeleteContentRequest { digest: artifact.to_owned() });
        ContentClient::new(self.channel.clone()).delete(request).await?;
        // The file goes when garbage is collected, and the end of a lease can wait for that.
        let lease = self.lease(key).await?;
        let request = self.request(DeleteRequest { id: lease, sync: true });
        LeasesClient::new(self.channel.clone()).delete(request).await?;
        Ok(())
    }

    async fn lease(&self, key: &str) -> Result<String> {
        let expire = chrono::Utc::now() + chrono::TimeDelta::hours(LEASE_HOURS);
        let labels = HashMap::from([("containerd.io/gc.expire".to_owned(), expire.to_rfc3339())]);
        // Two containers may be made at once.
        let id = format!("minirt-{key}-{}-{}", std::process::id(), expire.timestamp_nanos_opt().unwrap_or_default());
        let request = self.request(CreateRequest { id, labels });
        let lease = LeasesClient::new(self.channel.clone()).create(request).await?.into_inner().lease;
        Ok(lease.context("containerd has given no lease")?.id)
    }

    async fn write(&self, content: &mut File, key: &str, lease: &str) -> Result<String> {
        let size = content.metadata()?.len();
        let digest = crate::settings::digest_of_file(content, size)?;
        let total = size.cast_signed();
        let common = WriteContentRequest {
            r#ref: format!("minirt-{key}-{lease}"),
            total,
            expected: digest.clone(),
            ..Default::default()
        };
        let mut file = content.try_clone()?;
        let commit = WriteContentRequest { action: WriteAction::Commit.into(), offset: total, ..common.clone() };
        let messages = (0..size).step_by(CHUNK).map(move |offset| {
            let mut data = Vec::new();
            // What cannot be read is missing when containerd compares the digest.
            let _ = (&mut file).take(CHUNK as u64).read_to_end(&mut data);
            let offset = offset.cast_signed();
            WriteContentRequest { action: WriteAction::Write.into(), offset, data, ..common.clone() }
        });
        let mut request = self.request(stream::iter(messages.chain([commit])));
        request.metadata_mut().insert("containerd-lease", lease.parse()?);
        let sent = async {
            let mut answers = ContentClient::new(self.channel.clone()).write(request).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok::<(), Status>(())
        };
        match sent.await {
            Err(status) if status.code() != Code::AlreadyExists => {
                Err(anyhow::Error::from(status).context("containerd does not store the artifact"))
            }
            _ => Ok(digest),
        }
    }

    async fn set_label(&self, owner: &str, key: &str, value: &str) -> Result<()> {
        let name = label(key);
        let labels = HashMap::from([(name.clone(), value.to_owned())]);
        let info = Info { digest: owner.to_owned(), labels, ..Default::default() };
        let mut update = UpdateRequest { info: Some(info), update_mask: Some(Default::default()) };
        // Only this label: others may be set at the same time.
        update.update_mask.as_mut().expect("it was set").paths = vec![format!("labels.{name}")];
        ContentClient::new(self.channel.clone()).update(self.request(update)).await?;
        Ok(())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }
}

fn label(key: &str) -> String {
    format!("containerd.io/gc.ref.content.minirt.{key}")
}
