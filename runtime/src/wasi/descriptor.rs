//! What a guest's descriptor stands for, and what it may be used for.
//!
//! The one place where rights are compared with what a function needs.

use super::errno::{Errno, Result};
use super::rights::Rights;
use super::stdio::Stream;
use super::types::{Fdstat, Filetype};
use cap_std::fs::Dir;
use rustix::net::SocketType;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open file, directory or stream, with the rights of whoever holds it.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) object: Object,
    /// Of the object; it never changes.
    filetype: Filetype,
    rights: Rights,
    /// What descriptors opened through this one can have at most. Nothing, unless it is a directory.
    inheriting: Rights,
    /// `fdflags`.
    pub(super) flags: u16,
}

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum Object {
    Stream(Stream),
    File(File),
    Directory(Directory),
    Socket(OwnedFd),
}

/// A directory. Every path of the guest is resolved beneath one, by cap-std.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) dir: Dir,
    /// The guest's name for it, if it was preopened.
    pub(super) preopen: Option<String>,
}

impl Descriptor {
    pub(super) fn stream(stream: Stream, output: bool) -> Self {
        let filetype = match stream.host().map(rustix::fs::fstat) {
            Some(Ok(stat)) => Filetype::of_mode(stat.st_mode),
            _ => Filetype::UNKNOWN,
        };
        let seekable = stream.host().is_some_and(|fd| !fd.is_terminal() && rustix::fs::tell(fd).is_ok());
        let rights = Rights::standard(output, seekable);
        Self { object: Object::Stream(stream), filetype, rights, inheriting: Rights::NONE, flags: 0 }
    }

    pub(super) fn preopened(dir: Dir, name: String, writable: bool) -> Self {
        let (rights, inheriting) = Rights::preopened(writable);
        let object = Object::Directory(Directory { dir, preopen: Some(name) });
        Self { object, filetype: Filetype::DIRECTORY, rights, inheriting, flags: 0 }
    }

    /// Something opened through a directory; of the rights, it gets those that apply.
    pub(super) fn opened(file: File, filetype: Filetype, rights: Rights, inheriting: Rights, flags: u16) -> Self {
        let rights = rights & Rights::applicable(filetype);
        if filetype == Filetype::DIRECTORY {
            let object = Object::Directory(Directory { dir: Dir::from_std_file(file), preopen: None });
            return Self { object, filetype, rights, inheriting, flags };
        }
        let denied = if file.is_terminal() { Rights::FD_SEEK | Rights::FD_TELL } else { Rights::NONE };
        let object = Object::File(file);
        Self { object, filetype, rights: rights.without(denied), inheriting: Rights::NONE, flags }
    }

    /// A socket, of whatever kind.
    pub(super) fn socket(socket: OwnedFd, rights: Rights, inheriting: Rights, flags: u16) -> Self {
        let filetype = match rustix::net::sockopt::socket_type(&socket) {
            Ok(SocketType::STREAM) => Filetype::SOCKET_STREAM,
            Ok(SocketType::DGRAM) => Filetype::SOCKET_DGRAM,
            _ => Filetype::UNKNOWN,
        };
        Self { object: Object::Socket(socket), filetype, rights, inheriting, flags }
    }

    pub(super) fn stat(&self) -> Fdstat {
        let Self { filetype, rights, inheriting, flags, .. } = *self;
        Fdstat { filetype, flags, rights, inheriting }
    }

    /// Whether reading again can not wait for anybody.
    pub(super) fn is_regular(&self) -> bool {
        self.filetype == Filetype::REGULAR_FILE
    }

    pub(super) fn inheriting(&self) -> Rights {
        self.inheriting
    }

    pub(super) fn require(&self, rights: Rights) -> Result<()> {
        if self.rights.contains(rights) { Ok(()) } else { Err(Errno::NOTCAPABLE) }
    }

    pub(super) fn has(&self, rights: Rights) -> bool {
        self.rights.contains(rights)
    }

    /// Gives rights up.
    pub(super) fn restrict(&mut self, rights: Rights, inheriting: Rights) -> Result<()> {
        if !self.rights.contains(rights) || !self.inheriting.contains(inheriting) {
            return Err(Errno::NOTCAPABLE);
        }
        (self.rights, self.inheriting) = (rights, inheriting);
        Ok(())
    }

    /// The host's descriptor behind it, if any.
    pub(super) fn host(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::Stream(stream) => stream.host(),
            Object::File(file) => Some(file.as_fd()),
            Object::Directory(directory) => Some(directory.dir.as_fd()),
            Object::Socket(socket) => Some(socket.as_fd()),
        }
    }

    /// For reading and writing as a file or stream, which a directory is not.
    pub(super) fn require_data(&self, rights: Rights) -> Result<()> {
        match self.object {
            Object::Directory(_) => Err(Errno::ISDIR),
            _ => self.require(rights),
        }
    }

    /// For what needs a position, or a size.
    pub(super) fn positioned(&self, rights: Rights) -> Result<BorrowedFd<'_>> {
        match &self.object {
            Object::Directory(_) => Err(Errno::ISDIR),
            Object::Socket(_) => Err(Errno::SPIPE),
            Object::Stream(_) if !self.rights.intersects(Rights::FD_SEEK | Rights::FD_TELL) => Err(Errno::SPIPE),
            _ => {
                self.require(rights)?;
                self.host().ok_or(Errno::SPIPE)
            }
        }
    }

    /// For resolving paths beneath it.
    pub(super) fn directory(&self, rights: Rights) -> Result<&Directory> {
        match &self.object {
            Object::Directory(directory) => {
                self.require(rights)?;
                Ok(directory)
            }
            _ => Err(Errno::NOTDIR),
        }
    }
}
