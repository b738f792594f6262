//! A node of its own: a containerd with its own root, state and socket, and images made on the
//! spot.

pub(crate) mod image;
pub(crate) mod tasks;

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The namespace of the tests, beside that of a containerd which is somebody's.
pub(crate) const NAMESPACE: &str = "minirt-test";
pub(crate) const RUNTIME: &str = "io.containerd.minirt.v1";

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many seconds one `ctr` may take, which does not end by itself.
const CTR_SECONDS: &str = "300";

pub(crate) struct Node {
    dir: TempDir,
    namespace: &'static str,
    containerd: Child,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Node {
    /// Starts a containerd that nobody else uses.
    pub(crate) fn start() -> Result<Self> {
        Self::with(NAMESPACE, "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
    }

    /// Starts a containerd as a kubelet wants it.
    pub(crate) fn for_kubelet() -> Result<Self> {
        const CRI: &str = r#"
            [plugins."io.containerd.grpc.v1.cri"]
            sandbox_image = "docker.io/library/minirt-pause:1"
            # Not every root may give a process precedence.
            restrict_oom_score_adj = true
            [plugins."io.containerd.grpc.v1.cri".containerd]
            default_runtime_name = "minirt"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.minirt]
            runtime_type = "io.containerd.minirt.v1"
            pod_annotations = ["minirt.snapshot.*"]
            container_annotations = ["minirt.snapshot.*"]
        "#;
        Self::with("k8s.io", CRI)
    }

    /// Starts a containerd whose images and artifacts have so much room, as tmpfs(5) understands
    /// it.
    pub(crate) fn with_room(size: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("minirt-node-").tempdir()?;
        let root = dir.path().join("root");
        fs::create_dir(&root)?;
        let data = std::ffi::CString::new(format!("size={size}"))?;
        mount("minirt-test", &root, "tmpfs", MountFlags::empty(), data.as_c_str())?;
        Self::inside(dir, NAMESPACE, "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
    }

    fn with(namespace: &'static str, config: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("minirt-node-").tempdir()?;
        Self::inside(dir, namespace, config)
    }

    fn inside(dir: TempDir, namespace: &'static str, config: &str) -> Result<Self> {
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (root, state, socket) = (at("root"), at("state"), at("containerd.sock"));
        let places = format!("version = 2\nroot = {root:?}\nstate = {state:?}\n");
        fs::write(dir.path().join("config.toml"), format!("{places}{config}\n[grpc]\naddress = {socket:?}\n"))?;
        let containerd = Self::containerd(dir.path())?;
        Ok(Self { dir, namespace, containerd })
    }

    fn containerd(dir: &Path) -> Result<Child> {
        let shim = Path::new(env!("CARGO_BIN_EXE_containerd-shim-minirt-v1"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folder = shim.parent().context("the shim is in a folder")?.to_path_buf();
        let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))?;
        let log = File::options().create(true).append(true).open(dir.join("log"))?;
        let child = Command::new("containerd")
            .args(["--config".as_ref(), dir.join("config.toml").as_os_str()])
            .env("PATH", path)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("containerd cannot be started: apt-get install containerd runc")?;
        let socket = dir.join("containerd.sock");
        let version = || Command::new("ctr").arg("-a").arg(&socket).arg("version").output();
        wait_for("containerd to answer", || version().is_ok_and(|output| output.status.success()))?;
        Ok(child)
    }

    /// Ends containerd and starts it again. What runs under it goes on.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.containerd.kill()?;
        self.containerd.wait()?;
        self.containerd = Self::containerd(self.dir.path())?;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace
    }

    pub(crate) fn pid(&self) -> u32 {
        self.containerd.id()
    }

    pub(crate) fn address(&self) -> PathBuf {
        self.path().join("containerd.sock")
    }

    pub(crate) fn ctr<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=10", CTR_SECONDS, "ctr"]);
        command.arg("-a").arg(self.address()).args(["-n", self.namespace]).args(words).stdin(Stdio::null());
        command
    }

    /// Runs `ctr`, which has to succeed, and returns what it prints.
    pub(crate) fn ctr_output<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Result<String> {
        let output = self.ctr(words).output()?;
        ensure!(output.status.success(), "ctr: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes an image of a file, and imports it.
    pub(crate) fn import(&self, name: &str, file: &Path, how: &[&str]) -> Result<()> {
        let archive = self.path().join("image.tar");
        let make =
            Command::new(env!("CARGO_BIN_EXE_minirt-image")).args(how).arg(name).args([file, &archive]).output()?;
        ensure!(make.status.success(), "{}", String::from_utf8_lossy(&make.stderr));
        let archive = archive.to_str().context("a path in UTF-8")?;
        let layer = how.contains(&"--layer");
        let how: &[&str] = if layer { &["--all-platforms", "--no-unpack"] } else { &[] };
        let words = ["images", "import"].iter().chain(how).chain([&archive]);
        self.ctr_output(words)?;
        Ok(())
    }

    /// Makes an image of a module in the text format, and imports it.
    pub(crate) fn import_text(&self, name: &str, text: &str, how: &[&str]) -> Result<()> {
        let short = name.rsplit('/').next().and_then(|name| name.split(':').next()).context("a name")?;
        let file = self.path().join(format!("{short}.wasm"));
        fs::write(&file, wat::parse_str(text)?)?;
        self.import(name, &file, how)
    }

    /// Runs a container until it ends: `options`, the image, the name, `arguments`.
    pub(crate) fn run(&self, options: &[&str], image: &str, id: &str, arguments: &[&str]) -> Result<Ended> {
        let words = ["run", "--rm", "--runtime", RUNTIME].iter().chain(options).chain([&image, &id]).chain(arguments);
        ended(self.ctr(words).output()?)
    }

    /// Makes an image of parts that need not fit together, and imports it.
    pub(crate) fn import_parts(&self, name: &str, parts: &image::Parts<'_>) -> Result<()> {
        let archive = self.path().join("image.tar");
        image::write(name, parts, &archive)?;
        let archive = archive.to_str().context("a path in UTF-8")?;
        self.ctr_output(["images", "import", "--all-platforms", "--no-unpack", archive])?;
        Ok(())
    }

    /// Runs a container of an image whose layer is a module until it ends, with these annotations.
    pub(crate) fn run_layer(&self, image: &str, id: &str, annotations: &[(&str, &str)]) -> Result<Ended> {
        self.run_changed(image, id, |spec| {
            for (name, value) in annotations {
                spec["annotations"][name] = serde_json::json!(value);
            }
        })
    }

    /// Runs a container of an image whose layer is a module until it ends, after a change to its
    /// specification.
    pub(crate) fn run_changed(&self, image: &str, id: &str, change: impl FnOnce(&mut Value)) -> Result<Ended> {
        self.create(image, id, change)?;
        let ended = ended(self.ctr(["tasks", "start", id]).output()?);
        self.remove(id);
        ended
    }

    /// Creates a container of an image whose layer is a module, as `ctr run` does from 1.6.25 on.
    pub(crate) fn create(&self, image: &str, id: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut spec: Value = serde_json::from_str(&self.ctr_output(["oci", "spec"])?)?;
        spec["process"]["args"] = serde_json::json!([format!("/{image}.wasm")]);
        spec["root"] = serde_json::json!({"path": "rootfs"});
        spec["linux"]["cgroupsPath"] = serde_json::json!(format!("/{NAMESPACE}/{id}"));
        change(&mut spec);
        self.ctr_output(["snapshots", "prepare", id, ""])?;
        create(&self.address(), image, id, &spec)
    }

    /// Removes a container, in whatever state it is.
    pub(crate) fn remove(&self, id: &str) {
        for words in
            [["tasks", "delete", "--force", id].as_slice(), &["containers", "delete", id], &["snapshots", "rm", id]]
        {
            let _ = self.ctr(words).output();
        }
    }

    /// Returns where the content with this digest is.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.path().join("root/io.containerd.content.v1.content/blobs/sha256").join(hex)
    }

    /// Returns the digests of the artifacts that are in the content store, by the labels that name
    /// them.
    pub(crate) fn artifacts(&self) -> Result<Vec<String>> {
        let listed = self.ctr_output(["content", "ls"])?;
        let labels = listed.split([' ', ',', '\t', '\n']).filter(|word| word.contains("gc.ref.content.minirt."));
        let mut digests: Vec<String> =
            labels.filter_map(|label| label.split_once('=')).map(|(_, digest)| digest.to_owned()).collect();
        digests.sort();
        digests.dedup();
        Ok(digests)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.path().join("log")).unwrap_or_default());
        }
        let tasks = self.ctr_output(["tasks", "ls", "-q"]).unwrap_or_default();
        tasks.lines().for_each(|id| self.remove(id));
        let _ = self.containerd.kill();
        let _ = self.containerd.wait();
        // Where there is no mount, there is nothing to do.
        let _ = unmount(self.path().join("root"), UnmountFlags::DETACH);
    }
}

fn create(address: &Path, image: &str, id: &str, spec: &Value) -> Result<()> {
    use containerd_client::services::v1::containers_client::ContainersClient;
    use containerd_client::services::v1::{Container, CreateContainerRequest, container::Runtime};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut container = Container {
            id: id.to_owned(),
            image: image.to_owned(),
            runtime: Some(Runtime { name: RUNTIME.to_owned(), options: None }),
            snapshotter: "overlayfs".to_owned(),
            snapshot_key: id.to_owned(),
            spec: Some(Default::default()),
            ..Default::default()
        };
        let any = container.spec.as_mut().context("it was set")?;
        any.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec".to_owned();
        any.value = serde_json::to_vec(spec)?;
        let message = CreateContainerRequest { container: Some(container) };
        let mut request = containerd_client::tonic::Request::new(message);
        request.metadata_mut().insert("containerd-namespace", NAMESPACE.parse()?);
        ContainersClient::new(containerd_client::connect(address).await?).create(request).await?;
        Ok(())
    })
}

fn ended(output: Output) -> Result<Ended> {
    Ok(Ended {
        code: output.status.code().context("ctr was ended by a signal")?,
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if is_so() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("waited in vain for {what}")
}
