//! Transfers bytes between a guest's buffers and a descriptor, with as many system calls as that
//! takes.
//!
//! Bytes that were moved are never lost: an error after the first piece ends the transfer with the
//! bytes moved before, and the guest meets the error in its next call, if it is still there.
//! Messages are not cut into pieces.

use super::call::{Call, PIECE};
use super::descriptor::{Descriptor, Kind};
use super::errno::{Errno, Result};
use super::failure::Failure;
use super::guest::{Cursor, Guest};
use super::params::{Fd, Iovecs, Size};
use rustix::event::PollFlags;
use std::io::{IoSlice, IoSliceMut};

/// The longest message that is received into more buffers than the host takes at once. Longer ones
/// are cut off.
const MESSAGE_LIMIT: usize = 1 << 18;

/// When reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// After one piece, which stays where it is.
    Once,
    /// When there is nothing more that can be read without waiting.
    Available,
    /// When the buffers are full, however long that takes.
    Whole,
}

/// The step after a piece.
enum Next {
    /// Another one, from here on.
    Piece(Cursor),
    /// The same one, when the descriptor is ready; or nothing, if something was moved and that is
    /// enough.
    Wait { enough: bool },
    /// Nothing. So many bytes have been moved.
    Over(u64),
}

/// Moves piece after piece.
fn transfer(
    call: &mut Call<'_>,
    fd: Fd,
    events: PollFlags,
    iovecs: Iovecs,
    mut piece: impl FnMut(&mut Call<'_>, Cursor) -> Result<Next>,
) -> Result<Size, Failure> {
    let mut cursor = call.guest().begin(iovecs)?;
    loop {
        match piece(call, cursor) {
            Ok(Next::Piece(next)) => cursor = next,
            Ok(Next::Over(done)) => return Ok(Size(done as u32)),
            Err(error) if cursor.done == 0 => return Err(error.into()),
            Err(_) | Ok(Next::Wait { enough: true }) if cursor.done > 0 => return Ok(Size(cursor.done as u32)),
            _ => match call.wait(fd, events) {
                Err(Failure::Errno(_)) if cursor.done > 0 => return Ok(Size(cursor.done as u32)),
                waited => waited?,
            },
        }
        call.checkpoint()?;
    }
}

/// Reads into a guest's buffers. `read` is given some of them at a time, and the number of bytes
/// read before.
pub(super) fn read(
    call: &mut Call<'_>,
    fd: Fd,
    iovecs: Iovecs,
    fill: Fill,
    mut read: impl FnMut(&mut Descriptor, &mut [IoSliceMut<'_>], u64) -> Result<usize>,
) -> Result<Size, Failure> {
    transfer(call, fd, PollFlags::IN, iovecs, |call, start| {
        let (guest, ctx) = call.parts();
        let descriptor = ctx.table.get_mut(fd)?;
        let waits = descriptor.waits();
        let next = match descriptor.kind {
            Kind::Messages => read_message(guest, start, |buffers| read(descriptor, buffers, start.done)),
            _ => read_piece(guest, start, fill, |buffers| read(descriptor, buffers, start.done)),
        };
        match next {
            Err(Errno::AGAIN) if waits => Ok(Next::Wait { enough: fill != Fill::Whole }),
            next => next,
        }
    })
}

fn read_piece(
    mut guest: Guest<'_>,
    start: Cursor,
    fill: Fill,
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result<Next> {
    let mut chunk = guest.buffers_mut(start, PIECE)?;
    if chunk.buffers().is_empty() {
        return Ok(Next::without_bytes(chunk.end));
    }
    let count = read(chunk.buffers())?;
    let next = chunk.after(count);
    let goes_on = match fill {
        Fill::Once => false,
        Fill::Available => next == chunk.end,
        Fill::Whole => count > 0,
    };
    Ok(if goes_on { Next::Piece(next) } else { Next::Over(next.done) })
}

/// Receives a message with one call of the host. If there are more buffers than that takes, the
/// message goes through a buffer of minirt's.
fn read_message(
    mut guest: Guest<'_>,
    start: Cursor,
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result<Next> {
    let (room, end) = {
        let (buffers, end) = guest.buffers(start, usize::MAX)?;
        (buffers.iter().map(|buffer| buffer.len()).sum::<usize>(), end)
    };
    if !end.is_at_end() {
        return Err(Errno::MSGSIZE);
    }
    let mut chunk = guest.buffers_mut(start, usize::MAX)?;
    if chunk.end.done == end.done {
        return Ok(Next::Over(read(chunk.buffers())? as u64));
    }
    let mut message = vec![0; room.min(MESSAGE_LIMIT)];
    let len = read(&mut [IoSliceMut::new(&mut message)])?;
    guest.scatter(start, &message[..len])?;
    Ok(Next::Over(len as u64))
}

/// Writes from a guest's buffers. `write` is given some of them at a time, and the number of bytes
/// written before.
pub(super) fn write(
    call: &mut Call<'_>,
    fd: Fd,
    iovecs: Iovecs,
    mut write: impl FnMut(&Descriptor, &[IoSlice<'_>], u64) -> Result<usize>,
) -> Result<Size, Failure> {
    let patience = call.patience();
    transfer(call, fd, PollFlags::OUT, iovecs, |call, start| {
        let (guest, ctx) = call.parts();
        let descriptor = ctx.table.get(fd)?;
        let write = |buffers: &[IoSlice<'_>]| write(descriptor, buffers, start.done);
        let next = match descriptor.kind {
            Kind::Messages => write_message(&guest, start, write),
            // A piece that was taken in part is taken whole when there is room again. A file that
            // is full stays so.
            Kind::Pipe | Kind::Connection | Kind::Device => {
                write_piece(&guest, start, descriptor.room(patience).unwrap_or(PIECE), true, write)
            }
            _ => write_piece(&guest, start, PIECE, false, write),
        };
        match next {
            Err(Errno::AGAIN) if descriptor.waits() => Ok(Next::Wait { enough: false }),
            next => next,
        }
    })
}

fn write_piece(
    guest: &Guest<'_>,
    start: Cursor,
    most: usize,
    insists: bool,
    write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize>,
) -> Result<Next> {
    let (buffers, end) = guest.buffers(start, most)?;
    if buffers.is_empty() {
        return Ok(Next::without_bytes(end));
    }
    let count = write(&buffers)?;
    let done = start.done + count as u64;
    Ok(match done == end.done {
        true => Next::Piece(end),
        false if insists && count > 0 => Next::Piece(guest.buffers(start, count)?.1),
        false => Next::Over(done),
    })
}

/// Sends a message with one call of the host.
fn write_message(
    guest: &Guest<'_>,
    start: Cursor,
    write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize>,
) -> Result<Next> {
    let (buffers, end) = guest.buffers(start, usize::MAX)?;
    if !end.is_at_end() {
        return Err(Errno::MSGSIZE);
    }
    Ok(Next::Over(write(&buffers)? as u64))
}

impl Next {
    /// Moves past empty buffers, perhaps to the end.
    fn without_bytes(end: Cursor) -> Self {
        if end.is_at_end() { Self::Over(end.done) } else { Self::Piece(end) }
    }
}
