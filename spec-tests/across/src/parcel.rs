//! What one machine hands to another: a compiled module, and what is to be said of it.
//!
//! A parcel is three numbers of 8 bytes, the least significant first: the seed, the length of the
//! text, and that of the artifact, which is 0 if there is none. The text and the artifact follow.

use crate::head;
use anyhow::{Context, Result};
use minirt_runtimes::minirt::Engine;
use std::io::{Read, Write};

pub(crate) struct Parcel {
    pub(crate) seed: u64,
    pub(crate) head: String,
    pub(crate) artifact: Option<Vec<u8>>,
}

impl Parcel {
    /// Compiles the module of a seed.
    pub(crate) fn make(engine: &Engine, seed: u64) -> Result<Self> {
        let (head, artifact) = head(seed, |wasm| engine.precompile_module(wasm))?;
        Ok(Self { seed, head, artifact })
    }

    pub(crate) fn write(&self, output: &mut impl Write) -> Result<()> {
        let artifact = self.artifact.as_deref().unwrap_or_default();
        for number in [self.seed, self.head.len() as u64, artifact.len() as u64] {
            output.write_all(&number.to_le_bytes())?;
        }
        output.write_all(self.head.as_bytes())?;
        Ok(output.write_all(artifact)?)
    }

    /// Reads the next parcel. Returns `None` at the end.
    pub(crate) fn read(input: &mut impl Read) -> Result<Option<Self>> {
        let mut numbers = Vec::new();
        input.take(24).read_to_end(&mut numbers)?;
        if numbers.is_empty() {
            return Ok(None);
        }
        let number = |at: usize| {
            let bytes = numbers.get(8 * at..8 * at + 8).context("a parcel ends early")?;
            Ok::<_, anyhow::Error>(u64::from_le_bytes(bytes.try_into()?))
        };
        let (seed, head, artifact) = (number(0)?, number(1)?, number(2)?);
        let mut bytes = |len: u64| {
            let mut bytes = Vec::new();
            anyhow::ensure!(input.take(len).read_to_end(&mut bytes)? as u64 == len, "a parcel ends early");
            Ok(bytes)
        };
        let head = String::from_utf8(bytes(head)?)?;
        Ok(Some(Self { seed, head, artifact: Some(bytes(artifact)?).filter(|bytes| !bytes.is_empty()) }))
    }
}
