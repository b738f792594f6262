//! What containerd asks of a container, from its creation to its end.

use crate::artifact::{self, ArtifactFile};
use crate::check;
use crate::container::{Built, Place, Plan, SPEC, open_output};
use crate::exit::{self, MemoryKills, Watch};
use crate::idle::Present;
use crate::node::Node;
use crate::program::{self, Program};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use containerd_shimkit::sandbox::sync::WaitableCell;
use containerd_shimkit::sandbox::{Error, Instance, InstanceConfig};
use oci_spec::runtime::Spec;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Bytes of a message about a container that cannot be created.
const LINE_MOST: usize = 2048;

/// A container.
pub(crate) struct Container {
    place: Place,
    pid: i32,
    spec: Spec,
    config: InstanceConfig,
    end: WaitableCell<(u32, DateTime<Utc>)>,
    /// Until it is deleted.
    present: Mutex<Option<Present>>,
}

impl Instance for Container {
    async fn new(id: String, config: &InstanceConfig) -> Result<Self, Error> {
        create(&id, config).await.map_err(|error| {
            let said = one_line(&format!("minirt: {error:#}"));
            tell(open_output(&config.stderr).ok().flatten(), &said);
            Error::Any(anyhow::Error::msg(said))
        })
    }

    async fn start(&self) -> Result<u32, Error> {
        // There is an end whatever happens here.
        let unknown = self.end.set_guard_with(|| (exit::UNKNOWN, Utc::now()));
        // The log ends when nobody can write to it any more, and there may be a line after the last
        // of the guest.
        let log = open_output(&self.config.stderr).ok().flatten();
        let watch = Watch::new(self.pid)?;
        let kills = MemoryKills::of(self.pid, &self.spec);
        self.place.start()?;
        let end = self.end.clone();
        tokio::spawn(async move {
            let _unknown = unknown;
            let status = watch.status().await;
            if let Some(reason) = exit::out_of_memory(&kills, status) {
                tell(log, &reason);
            }
            let _ = end.set((status, Utc::now()));
        });
        Ok(self.pid.cast_unsigned())
    }

    async fn kill(&self, signal: u32) -> Result<(), Error> {
        Ok(self.place.kill(signal)?)
    }

    async fn delete(&self) -> Result<(), Error> {
        self.place.delete()?;
        // Someone may wait for a container that was never started.
        let _ = self.end.set((exit::UNKNOWN, Utc::now()));
        drop(self.present.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }

    async fn wait(&self) -> (u32, DateTime<Utc>) {
        *self.end.wait().await
    }
}

/// Returns what is to be said without control characters, and not too long for a pipe that nobody
/// reads yet: names in it may come from an image.
fn one_line(said: &str) -> String {
    let mut line = String::new();
    for c in said.chars() {
        if line.len() >= LINE_MOST {
            line.push_str("...");
            break;
        }
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Writes a line to the container's log.
fn tell(log: Option<File>, line: &str) {
    log::info!("{line}");
    if let Some(mut log) = log {
        let _ = writeln!(log, "{line}");
    }
}

async fn create(id: &str, config: &InstanceConfig) -> Result<Container> {
    let present = Mutex::new(Some(Present::new(&config.bundle)));
    let mut spec = Spec::load(config.bundle.join(SPEC))?;
    check::specification(&spec)?;
    spec.canonicalize_rootfs(&config.bundle)?;
    let rootfs: PathBuf = spec.root().as_ref().context("the specification names no root")?.path().clone();
    let place = Place::new(id, config)?;
    let node = Node::connect(&config.containerd_address, &config.namespace).await?;
    let pid = match program::find(&node, id, &spec, &rootfs).await? {
        Program::Host => started(place.build(config, Plan::Host)?)?,
        Program::Module(mut module) => {
            let name = module.name.clone();
            let ArtifactFile { file, found } = artifact::get(&node, &mut module).await?;
            let function = module.function.clone();
            let plan = |artifact: File| Plan::Guest { artifact: artifact.into(), function: function.clone() };
            let mut built = place.build(config, plan(file))?;
            if let (Built::Damaged(reason), Some(found)) = (&built, found) {
                log::warn!("the artifact of {name} is made again: {reason}");
                artifact::remove(&node, &found).await?;
                let ArtifactFile { file, .. } = artifact::get(&node, &mut module).await?;
                built = place.build(config, plan(file))?;
            }
            started(built).with_context(|| format!("{name} cannot be run"))?
        }
    };
    Ok(Container { place, pid, spec, config: config.clone(), end: WaitableCell::new(), present })
}

fn started(built: Built) -> Result<i32> {
    match built {
        Built::Container { pid } => Ok(pid),
        Built::Damaged(reason) | Built::Refused(reason) => bail!("{reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MOST, one_line};

    #[test]
    fn a_message_is_one_line_whatever_an_image_says() {
        assert_eq!(one_line("no function `a\nb\x1b[2J` \u{fc}"), "no function `a\\nb\\u{1b}[2J` \u{fc}");
        let long = one_line(&"x".repeat(1 << 20));
        assert!(long.len() < LINE_MOST + 10 && long.ends_with("x..."));
    }
}
