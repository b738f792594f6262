//! Real guests that serve requests, from `examples/guests/requests`.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that prepares itself, and then answers requests.
#[derive(Clone, Copy)]
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    wasm: &'static [u8],
    requests: &'static str,
    answers: &'static str,
}

macro_rules! guest {
    ($name:literal, $about:literal) => {
        Guest {
            name: $name,
            about: $about,
            wasm: include_bytes!(concat!("../../../../examples/guests/requests/", $name, ".wasm")),
            requests: include_str!(concat!("../../../../examples/guests/requests/inputs/", $name, ".txt")),
            answers: include_str!(concat!("../../../../examples/guests/requests/expected/", $name, ".txt")),
        }
    };
}

pub(crate) const GUESTS: [Guest; 4] = [
    guest!("page", "HTML from templates (C)"),
    guest!("jsonq", "a query about a JSON document (C)"),
    guest!("lispd", "rules in Lisp (C)"),
    guest!("redact", "regular expressions and a dictionary (Go)"),
];

/// A request and its answer.
pub(crate) struct Exchange {
    pub(crate) request: &'static [u8],
    pub(crate) answer: &'static [u8],
}

const SEPARATOR: &str = "\n---\n";

impl Guest {
    pub(crate) fn named(name: &str) -> Result<Self> {
        GUESTS.into_iter().find(|guest| guest.name == name).with_context(|| format!("there is no guest `{name}`"))
    }

    pub(crate) fn wasm(&self) -> &'static [u8] {
        self.wasm
    }

    /// Returns its requests, with the answers that the native program gave.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let requests = self.requests.trim_end_matches('\n').split(SEPARATOR);
        let both = requests.zip(self.answers.split(SEPARATOR));
        both.map(|(request, answer)| Exchange { request: request.as_bytes(), answer: answer.as_bytes() }).collect()
    }

    /// Compiles the same source natively. `None` without a compiler for it.
    pub(crate) fn native(&self, into: &Path) -> Option<Native> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/guests/requests");
        let program = into.join(self.name);
        let mut compiler = if self.name == "redact" {
            let mut go = Command::new("go");
            go.current_dir(sources.join(self.name)).args(["build", "-o"]).arg(&program).arg(".");
            go
        } else {
            let mut cc = Command::new("cc");
            cc.args(["-std=c11", "-O2", "-D_GNU_SOURCE", "-o"]).arg(&program);
            cc.arg(sources.join(self.name).with_extension("c")).arg("-lm");
            cc
        };
        let done = compiler.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        done.then_some(Native { program })
    }
}

/// A native program that answers one request.
pub(crate) struct Native {
    program: PathBuf,
}

impl Native {
    /// Starts it, asks it, and waits for its end.
    pub(crate) fn serve(&self, request: &[u8], answer: &mut Vec<u8>) -> Result<()> {
        let mut child = Command::new(&self.program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(request)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{} ended with {}", self.program.display(), output.status);
        *answer = output.stdout;
        Ok(())
    }
}
