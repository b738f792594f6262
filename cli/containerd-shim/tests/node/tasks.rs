//! Does with tasks what `ctr` does only in one go: it creates them, and starts them later or never.

use super::{NAMESPACE, Node};
use anyhow::Result;
use containerd_client::services::v1::snapshots::MountsRequest;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CreateTaskRequest, DeleteTaskRequest, KillRequest, StartRequest, UpdateTaskRequest, WaitRequest,
};
use containerd_client::tonic::Request;
use containerd_client::tonic::transport::Channel;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

/// Creates the task of a container, which has a snapshot of the same name.
pub(crate) fn create(node: &Node, id: &str) -> Result<()> {
    create_on(node, id, false)
}

/// Creates the task of a container, with a terminal or without.
pub(crate) fn create_on(node: &Node, id: &str, terminal: bool) -> Result<()> {
    with(&node.address(), async |channel| {
        let mounts = MountsRequest { snapshotter: "overlayfs".to_owned(), key: id.to_owned() };
        let rootfs = SnapshotsClient::new(channel.clone()).mounts(request(mounts)?).await?.into_inner().mounts;
        let create = CreateTaskRequest { container_id: id.to_owned(), rootfs, terminal, ..Default::default() };
        TasksClient::new(channel).create(request(create)?).await?;
        Ok(())
    })
}

/// Starts a task.
pub(crate) fn start(node: &Node, id: &str) -> Result<()> {
    with(&node.address(), async |channel| {
        let start = StartRequest { container_id: id.to_owned(), ..Default::default() };
        TasksClient::new(channel).start(request(start)?).await?;
        Ok(())
    })
}

/// Changes the limits of a task: to none at all.
pub(crate) fn update(node: &Node, id: &str) -> Result<()> {
    with(&node.address(), async |channel| {
        let update = UpdateTaskRequest { container_id: id.to_owned(), ..Default::default() };
        TasksClient::new(channel).update(request(update)?).await?;
        Ok(())
    })
}

/// Sends a signal to a task.
pub(crate) fn kill(node: &Node, id: &str, signal: u32) -> Result<()> {
    with(&node.address(), async |channel| {
        let kill = KillRequest { container_id: id.to_owned(), signal, ..Default::default() };
        TasksClient::new(channel).kill(request(kill)?).await?;
        Ok(())
    })
}

/// Deletes a task.
pub(crate) fn delete(node: &Node, id: &str) -> Result<()> {
    with(&node.address(), async |channel| {
        TasksClient::new(channel).delete(request(DeleteTaskRequest { container_id: id.to_owned() })?).await?;
        Ok(())
    })
}

/// Waits for the end of a task in another thread.
pub(crate) fn wait(node: &Node, id: &str) -> Receiver<Result<u32>> {
    let (sender, ended) = mpsc::channel();
    let (address, container_id) = (node.address(), id.to_owned());
    std::thread::spawn(move || {
        let status = with(&address, async |channel| {
            let wait = WaitRequest { container_id: container_id.clone(), ..Default::default() };
            Ok(TasksClient::new(channel).wait(request(wait)?).await?.into_inner().exit_status)
        });
        let _ = sender.send(status);
    });
    ended
}

fn with<T>(address: &Path, ask: impl AsyncFnOnce(Channel) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { ask(containerd_client::connect(address).await?).await })
}

fn request<M>(message: M) -> Result<Request<M>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", NAMESPACE.parse()?);
    Ok(request)
}
