//! Functions on sockets, of which a guest never has one: preview 1 can not open them, and none are handed in.

use super::ctx::WasiCtx;
use super::errno::{Errno, Result};
use super::guest::Guest;

fn not_a_socket(ctx: &WasiCtx, fd: u32) -> Result<()> {
    ctx.table.get(fd)?;
    Err(Errno::NOTSOCK)
}

pub(super) fn sock_accept(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, _flags: u32, _accepted: u32) -> Result<()> {
    not_a_socket(ctx, fd)
}

#[expect(clippy::too_many_arguments, reason = "they are WASI's")]
pub(super) fn sock_recv(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    _iovs: u32,
    _iovs_len: u32,
    _flags: u32,
    _count: u32,
    _out_flags: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}

pub(super) fn sock_send(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    _iovs: u32,
    _iovs_len: u32,
    _flags: u32,
    _count: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}

pub(super) fn sock_shutdown(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, _how: u32) -> Result<()> {
    not_a_socket(ctx, fd)
}
