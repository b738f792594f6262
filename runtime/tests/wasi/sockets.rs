//! Sockets that the embedder gives.

use crate::program::*;
use minirt::wasi::{FsPerms, WasiCtxBuilder};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use tempfile::TempDir;

/// `sock_recv` with its buffers laid out: bytes, and whether the message was cut off.
fn receive(p: &mut Program, fd: i32, lens: &[usize], flags: i32) -> Result<(Vec<u8>, bool), i32> {
    p.buffers(lens);
    let (buffers, truncated) = (lens.len() as i32, OUT + 8);
    let args = [fd.into(), VECTORS.into(), buffers.into(), flags.into(), OUT.into(), truncated.into()];
    match p.call("sock_recv", &args) {
        0 => Ok((p.bytes(p.u32(OUT)), p.take::<1>(truncated) == [1])),
        errno => Err(errno),
    }
}

fn send(p: &mut Program, fd: i32, bytes: &[u8]) -> Result<i32, i32> {
    p.put(BYTES, bytes);
    p.buffers(&[bytes.len()]);
    match p.call("sock_send", &[fd.into(), VECTORS.into(), 1.into(), 0.into(), OUT.into()]) {
        0 => Ok(p.u32(OUT)),
        errno => Err(errno),
    }
}

fn accept(p: &mut Program, fd: i32, flags: i32) -> Result<i32, i32> {
    match p.call("sock_accept", &[fd.into(), flags.into(), OUT.into()]) {
        0 => Ok(p.u32(OUT)),
        errno => Err(errno),
    }
}

#[test]
fn a_guest_accepts_receives_sends_and_ends_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dir = TempDir::new().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    wasi.socket(listener).unwrap().preopened_dir(dir.path(), "/", FsPerms::ReadOnly).unwrap();
    let mut p = Program::new(&mut wasi);
    // Directories come first, so that a guest finds them.
    assert_eq!((p.fdstat(3).0, p.fdstat(4).0), (3, 6));
    assert_eq!(p.call("fd_prestat_get", &[4.into(), OUT.into()]), BADF);

    let mut client = TcpStream::connect(address).unwrap();
    let fd = accept(&mut p, 4, 0).unwrap();
    assert_eq!((fd, p.fdstat(fd).0), (5, 6));
    client.write_all(b"hello guest").unwrap();
    assert_eq!(receive(&mut p, fd, &[5], PEEK), Ok((b"hello".to_vec(), false)));
    assert_eq!(receive(&mut p, fd, &[2, 4, 5], WAITALL), Ok((b"hello guest".to_vec(), false)));
    assert_eq!(send(&mut p, fd, b"hello host"), Ok(10));
    assert_eq!(p.write(fd, b"!"), Ok(1), "a socket is written to like a file, too");
    let mut text = [0; 11];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello host!");
    // Waiting for what is there does not wait.
    client.write_all(b"more").unwrap();
    assert_eq!(p.poll(&[fd_subscription(7, 1, fd as u8)]), Ok(vec![(7, 0, 1)]));
    assert_eq!(p.read(fd, 9), Ok(b"more".to_vec()));

    assert_eq!(p.call("sock_shutdown", &[fd.into(), 2.into()]), 0);
    assert_eq!(client.read(&mut text).unwrap(), 0);
    assert!(matches!(send(&mut p, fd, b"x"), Err(PIPE)), "and no signal");
    drop(client);
    assert_eq!(receive(&mut p, fd, &[5], 0), Ok((Vec::new(), false)));
    assert_eq!((p.close(fd), accept(&mut p, fd, 0)), (0, Err(BADF)));
}

#[test]
fn a_message_that_does_not_fit_is_cut_off_and_said_to_be() {
    let (host, guest) = UnixDatagram::pair().unwrap();
    let mut p = Program::new(WasiCtxBuilder::new().socket(guest).unwrap());
    assert_eq!(p.fdstat(3).0, 5);
    host.send(b"0123456789").unwrap();
    host.send(b"ab").unwrap();
    assert_eq!(receive(&mut p, 3, &[2, 2], 0), Ok((b"0123".to_vec(), true)));
    assert_eq!(receive(&mut p, 3, &[2, 2], 0), Ok((b"ab".to_vec(), false)));
}

#[test]
fn sockets_have_rights_and_everything_else_is_no_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_host, connected) = UnixStream::pair().unwrap();
    let mut wasi = WasiCtxBuilder::new();
    let mut p = Program::new(wasi.socket(listener).unwrap().socket(connected).unwrap().max_descriptors(6));
    // Only what listens accepts, and that neither sends nor ends.
    assert_eq!((accept(&mut p, 4, 0), send(&mut p, 3, b"x")), (Err(NOTCAPABLE), Err(NOTCAPABLE)));
    assert_eq!(p.call("sock_shutdown", &[3.into(), 1.into()]), NOTCAPABLE);
    assert_eq!((p.seek(4, 0, 0), p.seek(3, 0, 1)), (Err(SPIPE), Err(SPIPE)));
    // Flags that there are not.
    assert_eq!((accept(&mut p, 3, 1), accept(&mut p, 3, 32)), (Err(INVAL), Err(INVAL)));
    assert_eq!((receive(&mut p, 4, &[1], 4), p.call("sock_shutdown", &[4.into(), 0.into()])), (Err(INVAL), INVAL));
    assert_eq!(p.call("sock_send", &[4.into(), VECTORS.into(), 0.into(), 1.into(), OUT.into()]), INVAL);
    // An accepted socket may not wait, if that is asked for.
    let _client = TcpStream::connect(address).unwrap();
    let fd = accept(&mut p, 3, NONBLOCK).unwrap();
    assert_eq!((receive(&mut p, fd, &[1], 0), p.fdstat(fd).1), (Err(AGAIN), NONBLOCK as u8));
    // No connection is accepted if there is no room for it, or if its number cannot be written.
    let _other = TcpStream::connect(address).unwrap();
    assert_eq!(accept(&mut p, 3, 0), Err(MFILE));
    assert_eq!((p.close(fd), p.call("sock_accept", &[3.into(), 0.into(), (-1).into()])), (0, FAULT));
    assert!(accept(&mut p, 3, 0).is_ok());
    for fd in [0, 1, 2] {
        assert_eq!((accept(&mut p, fd, 0), send(&mut p, fd, b"x")), (Err(NOTSOCK), Err(NOTSOCK)));
        assert_eq!(p.call("sock_shutdown", &[fd.into(), 3.into()]), NOTSOCK);
    }
    assert!(WasiCtxBuilder::new().socket(fs::File::open("/dev/null").unwrap()).is_err());
}
