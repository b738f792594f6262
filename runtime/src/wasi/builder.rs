//! Builds what a guest can see and do.

use super::ctx::WasiCtx;
use super::descriptor::Descriptor;
use super::fd_table::FdTable;
use super::flags::Fdflags;
use super::host_io::beyond_standard_streams;
use super::rights::Grant;
use super::stdio::{Input, Output, Stream};
use super::strings::Strings;
use anyhow::{Context, Result, ensure};
use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};
use std::borrow::Borrow;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How many descriptors a guest can have open, unless the embedder says otherwise.
const DESCRIPTOR_LIMIT: u32 = 1024;

/// The access of a guest to a preopened directory and everything beneath it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsPerms {
    /// List and read.
    ReadOnly,
    /// All that this process may do.
    ReadWrite,
}

/// Puts a [`WasiCtx`] together. What is not given is not there: no arguments, no environment, no
/// input, no directories, and output goes nowhere.
#[derive(Debug)]
pub struct WasiCtxBuilder {
    args: Vec<Vec<u8>>,
    environ: Vec<Vec<u8>>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    preopens: Vec<Descriptor>,
    sockets: Vec<Descriptor>,
    descriptor_limit: u32,
}

impl WasiCtx {
    /// Returns a builder, as [`WasiCtxBuilder::new`] does.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl WasiCtxBuilder {
    /// Returns a builder that gives the guest nothing.
    pub fn new() -> Self {
        Self {
            args: Vec::new(),
            environ: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            preopens: Vec::new(),
            sockets: Vec::new(),
            descriptor_limit: DESCRIPTOR_LIMIT,
        }
    }

    /// Adds an argument. The first is the program's name.
    pub fn arg(&mut self, arg: impl AsRef<[u8]>) -> &mut Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<[u8]>>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_vec()));
        self
    }

    /// Adds the arguments of this process, of which the first is its name.
    pub fn inherit_args(&mut self) -> &mut Self {
        self.args(std::env::args_os().map(OsString::into_vec))
    }

    /// Adds an environment variable.
    pub fn env(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.environ.push([name.as_ref(), b"=", value.as_ref()].concat());
        self
    }

    /// Adds environment variables: any pairs of names and values, or a slice of them.
    pub fn envs<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: impl IntoIterator<Item = impl Borrow<(N, V)>>,
    ) -> &mut Self {
        for pair in pairs {
            let (name, value) = pair.borrow();
            self.env(name, value);
        }
        self
    }

    /// Adds the environment of this process.
    pub fn inherit_env(&mut self) -> &mut Self {
        self.envs(std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())))
    }

    /// Sets where standard input comes from. Default: it is empty.
    pub fn stdin(&mut self, input: Input) -> &mut Self {
        self.stdin = input;
        self
    }

    /// Sets where standard output goes. Default: nowhere.
    pub fn stdout(&mut self, output: Output) -> &mut Self {
        self.stdout = output;
        self
    }

    /// Sets where standard error goes. Default: nowhere.
    pub fn stderr(&mut self, output: Output) -> &mut Self {
        self.stderr = output;
        self
    }

    /// Gives the guest the standard input, output and error of this process. They are not buffered
    /// on the way.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.stdin(Input::Inherit).stdout(Output::Inherit).stderr(Output::Inherit)
    }

    /// Gives the guest the standard input of this process.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(Input::Inherit)
    }

    /// Gives the guest the standard output of this process. It is not buffered on the way.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.stdout(Output::Inherit)
    }

    /// Gives the guest the standard error of this process. It is not buffered on the way.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(Output::Inherit)
    }

    /// Opens a directory of the host for the guest, which sees it under its own name. Directories
    /// get the descriptors from 3 on, in the order in which they are given.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be opened.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl Into<String>,
        access: FsPerms,
    ) -> Result<&mut Self> {
        let (host_path, guest_path) = (host_path.as_ref(), guest_path.into());
        let dir = open_dir(host_path)
            .with_context(|| format!("cannot open the directory `{}` for the guest", host_path.display()))?;
        let writable = access == FsPerms::ReadWrite;
        self.preopens.push(Descriptor::preopened(dir, guest_path, writable));
        Ok(self)
    }

    /// Gives the guest a socket: a connected one, or one that listens, of which it can accept
    /// others. Any type that owns a socket will do ([`TcpListener`](std::net::TcpListener),
    /// [`UnixStream`](std::os::unix::net::UnixStream), ...). Sockets get the descriptors after
    /// those of directories, in the order in which they are given: guests look for directories from
    /// 3 on until there is none.
    ///
    /// # Errors
    /// Returns an error if it is not a socket.
    pub fn socket(&mut self, socket: impl Into<OwnedFd>) -> Result<&mut Self> {
        let socket = socket.into();
        let listens = rustix::net::sockopt::socket_acceptconn(&socket).context("not a socket, for the guest")?;
        let rights = if listens { Grant::LISTENING } else { Grant::CONNECTED };
        let nonblocking = rustix::fs::fcntl_getfl(&socket)?.contains(OFlags::NONBLOCK);
        let flags = if nonblocking { Fdflags::NONBLOCK } else { Fdflags::default() };
        self.sockets.push(Descriptor::socket(socket, rights, flags));
        Ok(self)
    }

    /// Sets how many descriptors the guest can have open, the standard three, directories and
    /// sockets included. Default: 1024. Each may take one of this process's.
    pub fn max_descriptors(&mut self, limit: u32) -> &mut Self {
        self.descriptor_limit = limit;
        self
    }

    /// Returns the context that was put together. The builder is as new afterwards.
    ///
    /// # Errors
    /// Returns an error if an argument or variable holds a NUL, or if there are more directories
    /// and sockets than descriptors.
    pub fn build(&mut self) -> Result<WasiCtx> {
        let given = std::mem::take(self);
        let standard = [
            Descriptor::stream(Stream::input(given.stdin), false),
            Descriptor::stream(Stream::output(given.stdout), true),
            Descriptor::stream(Stream::error(given.stderr), true),
        ];
        let limit = given.descriptor_limit;
        let too_many = || format!("the guest cannot have more than {limit} descriptors");
        let mut table = FdTable::new(standard, limit).ok().with_context(too_many)?;
        for descriptor in given.preopens.into_iter().chain(given.sockets) {
            ensure!(table.insert(descriptor).is_ok(), too_many());
        }
        Ok(WasiCtx {
            args: strings(given.args, "arguments")?,
            environ: strings(given.environ, "environment variables")?,
            table,
        })
    }

    /// Does the same as [`build`](Self::build), in the shape that this has in wasmtime.
    ///
    /// # Panics
    /// Panics where [`build`](Self::build) returns an error.
    pub fn build_p1(&mut self) -> WasiCtx {
        self.build().expect("arguments, variables and descriptors that a guest can have")
    }
}

fn strings(strings: Vec<Vec<u8>>, what: &str) -> Result<Strings> {
    Strings::new(strings).with_context(|| format!("the guest's {what} hold a NUL, or are too long"))
}

/// Opens a directory, to be listed or else to be passed through.
fn open_dir(path: &Path) -> std::io::Result<Dir> {
    let open = |flags| {
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path.as_os_str().as_bytes(), flags, Mode::empty()).and_then(beyond_standard_streams)
    };
    let dir = match open(OFlags::RDONLY) {
        Err(rustix::io::Errno::ACCESS) => open(OFlags::PATH),
        other => other,
    };
    Ok(Dir::from_std_file(dir?.into()))
}
