//! What a kubelet says to containerd, as far as the tests need it: messages of `runtime.v1`.

use anyhow::{Context, Result};
use containerd_client::tonic::Request;
use containerd_client::tonic::client::Grpc;
use containerd_client::tonic::codec::ProstCodec;
use containerd_client::tonic::codegen::http::uri::PathAndQuery;
use containerd_client::tonic::transport::Channel;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use tokio::runtime::Runtime;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodConfig {
    #[prost(message, optional, tag = "1")]
    pub(crate) metadata: Option<PodMetadata>,
    #[prost(string, tag = "3")]
    pub(crate) log_directory: String,
    #[prost(map = "string, string", tag = "7")]
    pub(crate) annotations: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(crate) linux: Option<LinuxPod>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
    #[prost(string, tag = "3")]
    pub(crate) namespace: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LinuxPod {
    #[prost(string, tag = "1")]
    pub(crate) cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) security_context: Option<PodSecurity>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodSecurity {
    #[prost(message, optional, tag = "1")]
    pub(crate) namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Namespaces {
    /// 2 is the node's: that needs no network plugins.
    #[prost(int32, tag = "1")]
    pub(crate) network: i32,
    /// 1 is the container's.
    #[prost(int32, tag = "2")]
    pub(crate) pid: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    pub(crate) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    pub(crate) image: Option<Image>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) args: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) envs: Vec<Variable>,
    #[prost(map = "string, string", tag = "10")]
    pub(crate) annotations: HashMap<String, String>,
    #[prost(string, tag = "11")]
    pub(crate) log_path: String,
    #[prost(message, optional, tag = "15")]
    pub(crate) linux: Option<LinuxContainer>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Image {
    #[prost(string, tag = "1")]
    pub(crate) image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Variable {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LinuxContainer {
    #[prost(message, optional, tag = "1")]
    pub(crate) resources: Option<Resources>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resources {
    #[prost(int64, tag = "4")]
    pub(crate) memory: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RunPod {
    #[prost(message, optional, tag = "1")]
    config: Option<PodConfig>,
    #[prost(string, tag = "2")]
    handler: String,
}

/// A message that names a pod or a container, which many are.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    pod: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pod_config: Option<PodConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

/// How a container is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    /// 2 is that it has exited.
    #[prost(int32, tag = "3")]
    pub(crate) state: i32,
    #[prost(int32, tag = "7")]
    pub(crate) exit_code: i32,
    #[prost(string, tag = "10")]
    pub(crate) reason: String,
    #[prost(string, tag = "11")]
    pub(crate) message: String,
}

pub(crate) struct Kubelet {
    runtime: Runtime,
    client: Grpc<Channel>,
}

impl Kubelet {
    pub(crate) fn connect(address: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Grpc::new(runtime.block_on(containerd_client::connect(address))?);
        Ok(Self { runtime, client })
    }

    pub(crate) fn run_pod(&mut self, config: &PodConfig, handler: &str) -> Result<String> {
        let request = RunPod { config: Some(config.clone()), handler: handler.to_owned() };
        Ok(self.call::<_, Named>("RunPodSandbox", request)?.id)
    }

    /// Creates a container in a pod, and starts it.
    pub(crate) fn run(&mut self, pod: &str, pod_config: &PodConfig, config: ContainerConfig) -> Result<String> {
        let (config, pod_config) = (Some(config), Some(pod_config.clone()));
        let create = CreateContainer { pod: pod.to_owned(), config, pod_config };
        let container = self.call::<_, Named>("CreateContainer", create)?.id;
        self.call::<_, ()>("StartContainer", Named { id: container.clone() })?;
        Ok(container)
    }

    pub(crate) fn status(&mut self, container: &str) -> Result<Status> {
        let response: StatusResponse = self.call("ContainerStatus", Named { id: container.to_owned() })?;
        response.status.context("a status")
    }

    pub(crate) fn remove_pod(&mut self, pod: &str) -> Result<()> {
        self.call::<_, ()>("StopPodSandbox", Named { id: pod.to_owned() })?;
        self.call::<_, ()>("RemovePodSandbox", Named { id: pod.to_owned() })
    }

    fn call<Q, A>(&mut self, method: &str, request: Q) -> Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
        let client = &mut self.client;
        let answer = self.runtime.block_on(async {
            client.ready().await?;
            let codec = ProstCodec::<Q, A>::default();
            Ok::<_, anyhow::Error>(client.unary(Request::new(request), path, codec).await?.into_inner())
        });
        answer.with_context(|| method.to_owned())
    }
}
