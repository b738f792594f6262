//! Describes what a guest's descriptor stands for, and what it may be used for.
//!
//! The one place where rights are compared with what a function needs.

use super::errno::{Errno, Result};
use super::filetype::Filetype;
use super::flags::{Fdflags, Flags};
use super::records::Fdstat;
use super::rights::{Grant, Rights};
use super::stdio::Stream;
use cap_std::fs::Dir;
use rustix::fs::FileType;
use rustix::net::SocketType;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open file, directory, stream or socket, with the rights of whoever holds it.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) object: Object,
    /// The kind of descriptor, as far as moving bytes depends on it.
    pub(super) kind: Kind,
    /// The type that the guest is told. It never changes.
    filetype: Filetype,
    rights: Grant,
    pub(super) flags: Fdflags,
}

/// The thing that a descriptor stands for.
#[derive(Debug)]
pub(super) enum Object {
    /// Standard input, output or error. The host's descriptor behind it, if there is one, is
    /// shared.
    Stream(Stream),
    /// Opened for this guest, which alone uses it. Unless it is a regular file, it never waits: see
    /// `open`.
    File(File),
    Directory(Directory),
    Socket(OwnedFd),
}

/// How bytes come out of and go into something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not the host's: a stream in memory.
    Memory,
    /// A regular file or block device: it never waits for anybody, and its size may be limited.
    File,
    /// It waits for the other side, and there may be none.
    Pipe,
    /// A socket whose bytes have no borders.
    Connection,
    /// A socket of messages, each of which is sent and received as a whole.
    Messages,
    /// A terminal, or anything else.
    Device,
    Directory,
}

/// A directory. Every path of the guest is resolved beneath one, by cap-std.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) dir: Dir,
    /// The guest's name for it, if it was preopened.
    pub(super) preopen: Option<String>,
}

impl Kind {
    fn of(host: BorrowedFd<'_>, filetype: FileType) -> Self {
        match filetype {
            FileType::RegularFile | FileType::BlockDevice => Self::File,
            FileType::Fifo => Self::Pipe,
            FileType::Directory => Self::Directory,
            FileType::Socket if rustix::net::sockopt::socket_type(host) == Ok(SocketType::STREAM) => Self::Connection,
            FileType::Socket => Self::Messages,
            _ => Self::Device,
        }
    }
}

impl Descriptor {
    /// Makes a standard stream. The guest learns whether it is a terminal, and nothing else: a file
    /// would have a size and a position, which are not the guest's.
    pub(super) fn stream(stream: Stream, output: bool) -> Self {
        let (kind, filetype) = match stream.host() {
            None => (Kind::Memory, Filetype::UNKNOWN),
            Some(host) => {
                let terminal = host.is_terminal();
                let filetype = if terminal { Filetype::CHARACTER_DEVICE } else { Filetype::UNKNOWN };
                let found = rustix::fs::fstat(host).map(|stat| FileType::from_raw_mode(stat.st_mode));
                (found.map_or(Kind::Device, |found| Kind::of(host, found)), filetype)
            }
        };
        let rights = Grant::only(Rights::standard(output));
        Self { object: Object::Stream(stream), kind, filetype, rights, flags: Fdflags::default() }
    }

    pub(super) fn preopened(dir: Dir, name: String, writable: bool) -> Self {
        let object = Object::Directory(Directory { dir, preopen: Some(name) });
        let (kind, filetype) = (Kind::Directory, Filetype::DIRECTORY);
        Self { object, kind, filetype, rights: Grant::preopened(writable), flags: Fdflags::default() }
    }

    /// Makes a descriptor of something opened through a directory. Of the rights, it gets those
    /// that apply.
    pub(super) fn opened(file: File, host: FileType, Grant { base, inheriting }: Grant, flags: Fdflags) -> Self {
        let filetype = Filetype::from(host);
        let kind = Kind::of(file.as_fd(), host);
        let base = base & Rights::applicable(filetype);
        if kind == Kind::Directory {
            let object = Object::Directory(Directory { dir: Dir::from_std_file(file), preopen: None });
            return Self { object, kind, filetype, rights: Grant { base, inheriting }, flags };
        }
        // Something that cannot seek must not claim it can: guests tell a terminal by that.
        let denied =
            if kind == Kind::Device && file.is_terminal() { Rights::FD_SEEK | Rights::FD_TELL } else { Rights::NONE };
        Self { object: Object::File(file), kind, filetype, rights: Grant::only(base.without(denied)), flags }
    }

    /// Makes a descriptor of a socket, of whatever kind.
    pub(super) fn socket(socket: OwnedFd, rights: Grant, flags: Fdflags) -> Self {
        let filetype = match rustix::net::sockopt::socket_type(&socket) {
            Ok(SocketType::STREAM) => Filetype::SOCKET_STREAM,
            Ok(SocketType::DGRAM) => Filetype::SOCKET_DGRAM,
            _ => Filetype::UNKNOWN,
        };
        let kind = Kind::of(socket.as_fd(), FileType::Socket);
        Self { object: Object::Socket(socket), kind, filetype, rights, flags }
    }

    pub(super) fn stat(&self) -> Fdstat {
        let Self { filetype, rights, flags, .. } = *self;
        Fdstat { filetype, flags, rights }
    }

    pub(super) fn filetype(&self) -> Filetype {
        self.filetype
    }

    /// Returns whether the guest waits until something can be read or written, instead of getting
    /// `AGAIN`.
    pub(super) fn waits(&self) -> bool {
        !self.flags.contains(Fdflags::NONBLOCK)
    }

    /// Returns the rights that something opened through this can have.
    pub(super) fn inheriting(&self) -> Rights {
        self.rights.inheriting
    }

    pub(super) fn require(&self, rights: Rights) -> Result<()> {
        if self.rights.base.contains(rights) { Ok(()) } else { Err(Errno::NOTCAPABLE) }
    }

    pub(super) fn has(&self, rights: Rights) -> bool {
        self.rights.base.contains(rights)
    }

    /// Gives up all rights but these.
    pub(super) fn restrict(&mut self, rights: Grant) -> Result<()> {
        if !self.rights.contains(rights) {
            return Err(Errno::NOTCAPABLE);
        }
        self.rights = rights;
        Ok(())
    }

    /// Returns the host's descriptor behind it, if any.
    pub(super) fn host(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::Stream(stream) => stream.host(),
            Object::File(file) => Some(file.as_fd()),
            Object::Directory(directory) => Some(directory.dir.as_fd()),
            Object::Socket(socket) => Some(socket.as_fd()),
        }
    }

    /// Requires rights for reading and writing, as a directory cannot be.
    pub(super) fn require_data(&self, rights: Rights) -> Result<()> {
        match self.object {
            Object::Directory(_) => Err(Errno::ISDIR),
            _ => self.require(rights),
        }
    }

    /// Returns the host's descriptor for what needs a position, or a size.
    pub(super) fn positioned(&self, rights: Rights) -> Result<BorrowedFd<'_>> {
        match &self.object {
            Object::Directory(_) => Err(Errno::ISDIR),
            Object::Socket(_) | Object::Stream(_) => Err(Errno::SPIPE),
            Object::File(file) => {
                self.require(rights)?;
                Ok(file.as_fd())
            }
        }
    }

    /// Returns the directory for resolving paths beneath it.
    pub(super) fn directory(&self, rights: Rights) -> Result<&Directory> {
        match &self.object {
            Object::Directory(directory) => {
                self.require(rights)?;
                Ok(directory)
            }
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Returns the socket for what only sockets do.
    pub(super) fn as_socket(&self, rights: Rights) -> Result<BorrowedFd<'_>> {
        match &self.object {
            Object::Socket(socket) => {
                self.require(rights)?;
                Ok(socket.as_fd())
            }
            _ => Err(Errno::NOTSOCK),
        }
    }
}
