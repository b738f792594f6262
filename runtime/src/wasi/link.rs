//! Defines the functions in a linker, with their names and types, and connects them to the runtime.
//!
//! The only file here that uses the runtime, and that through its public interface alone.

use super::call::{Call, Host};
use super::ctx::WasiCtx;
use super::exit::I32Exit;
use super::failure::Failure;
use super::flags::{Fdflags, Fstflags, Lookupflags, Oflags, Riflags, Sdflags, Siflags};
use super::guest::Guest;
use super::params::{
    Advice, Clockid, Dircookie, Fd, Filedelta, Filesize, GuestPath, GuestPtr, GuestSlice, Iovecs, Signal, Size,
    Timestamp, Whence,
};
use super::rights::Grant;
use super::{clock, dir, file, io, open, path, poll, process, socket};
use crate::{Caller, Extern, Linker, Memory, Result};

/// The name under which guests import these functions.
const MODULE: &str = "wasi_snapshot_preview1";

/// Defines each function of the table. A row has the function's name, what it takes in Wasm, the
/// file that it is in, what its arguments mean, and the places in the guest's memory where its
/// results go.
macro_rules! functions {
    ($linker:ident, $get:ident,
     $($name:ident($($argument:ident: $number:ty),*) = $file:ident($($Param:ident($($from:ident)*))*) $($out:ident)*;)*
    ) => {
        $(
            $linker.func_wrap(MODULE, stringify!($name), move |mut caller: Caller<'_, T>, $($argument: $number),*| {
                let memory = memory_of(&mut caller)?;
                let mut host = InStore { caller: &mut caller, memory, get: $get };
                let call = &mut Call(&mut host);
                let mut run = || {
                    // A place outside the memory is found out before anything is done.
                    $(let $out = GuestPtr::new($out);
                    call.guest().prepare($out)?;)*
                    functions!(@store call, ($($out)*), $file::$name(call, $($Param::from_wasm($($from),*)?),*)?);
                    Ok(())
                };
                number(run())
            })?;
        )*
    };
    (@store $call:ident, (), $done:expr) => { $done };
    (@store $call:ident, ($out:ident), $result:expr) => {{
        let result = $result;
        $call.guest().write($out, &result)?;
    }};
    (@store $call:ident, ($first:ident $second:ident), $results:expr) => {{
        let results = $results;
        $call.guest().write($first, &results.0)?;
        $call.guest().write($second, &results.1)?;
    }};
}

/// Defines WASI preview 1 in a linker: all functions of the module `wasi_snapshot_preview1`.
///
/// `get` finds the guest's [`WasiCtx`] in the store's data. The guest's memory is its export
/// `memory`.
///
/// # Errors
/// Returns an error if one of the names is defined already and shadowing is not allowed.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<()> {
    functions! { linker, get,
        args_get(argv: u32, buffer: u32) = process(GuestPtr(argv) GuestPtr(buffer));
        args_sizes_get(count: u32, bytes: u32) = process() count bytes;
        environ_get(environ: u32, buffer: u32) = process(GuestPtr(environ) GuestPtr(buffer));
        environ_sizes_get(count: u32, bytes: u32) = process() count bytes;
        proc_raise(signal: u32) = process(Signal(signal));
        random_get(buffer: u32, len: u32) = process(GuestSlice(buffer len));
        sched_yield() = process();

        clock_res_get(clock: u32, resolution: u32) = clock(Clockid(clock)) resolution;
        clock_time_get(clock: u32, precision: u64, time: u32) = clock(Clockid(clock) Timestamp(precision)) time;

        fd_advise(fd: u32, offset: u64, len: u64, advice: u32) =
            file(Fd(fd) Filesize(offset) Filesize(len) Advice(advice));
        fd_allocate(fd: u32, offset: u64, len: u64) = file(Fd(fd) Filesize(offset) Filesize(len));
        fd_close(fd: u32) = file(Fd(fd));
        fd_datasync(fd: u32) = file(Fd(fd));
        fd_fdstat_get(fd: u32, stat: u32) = file(Fd(fd)) stat;
        fd_fdstat_set_flags(fd: u32, flags: u32) = file(Fd(fd) Fdflags(flags));
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) = file(Fd(fd) Grant(base inheriting));
        fd_filestat_get(fd: u32, stat: u32) = file(Fd(fd)) stat;
        fd_filestat_set_size(fd: u32, size: u64) = file(Fd(fd) Filesize(size));
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, which: u32) =
            file(Fd(fd) Timestamp(accessed) Timestamp(modified) Fstflags(which));
        fd_prestat_dir_name(fd: u32, buffer: u32, len: u32) = file(Fd(fd) GuestSlice(buffer len));
        fd_prestat_get(fd: u32, prestat: u32) = file(Fd(fd)) prestat;
        fd_renumber(from: u32, to: u32) = file(Fd(from) Fd(to));
        fd_seek(fd: u32, offset: i64, whence: u32, position: u32) = file(Fd(fd) Filedelta(offset) Whence(whence)) position;
        fd_sync(fd: u32) = file(Fd(fd));
        fd_tell(fd: u32, position: u32) = file(Fd(fd)) position;

        fd_pread(fd: u32, iovecs: u32, count: u32, offset: u64, size: u32) =
            io(Fd(fd) Iovecs(iovecs count) Filesize(offset)) size;
        fd_pwrite(fd: u32, iovecs: u32, count: u32, offset: u64, size: u32) =
            io(Fd(fd) Iovecs(iovecs count) Filesize(offset)) size;
        fd_read(fd: u32, iovecs: u32, count: u32, size: u32) = io(Fd(fd) Iovecs(iovecs count)) size;
        fd_write(fd: u32, iovecs: u32, count: u32, size: u32) = io(Fd(fd) Iovecs(iovecs count)) size;

        fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, size: u32) =
            dir(Fd(fd) GuestSlice(buffer len) Dircookie(cookie)) size;

        path_create_directory(fd: u32, path: u32, len: u32) = path(Fd(fd) GuestPath(path len));
        path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, stat: u32) =
            path(Fd(fd) Lookupflags(flags) GuestPath(path len)) stat;
        path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, which: u32) =
            path(Fd(fd) Lookupflags(flags) GuestPath(path len) Timestamp(accessed) Timestamp(modified) Fstflags(which));
        path_link(old: u32, flags: u32, old_path: u32, old_len: u32, new: u32, new_path: u32, new_len: u32) =
            path(Fd(old) Lookupflags(flags) GuestPath(old_path old_len) Fd(new) GuestPath(new_path new_len));
        path_readlink(fd: u32, path: u32, len: u32, buffer: u32, room: u32, size: u32) =
            path(Fd(fd) GuestPath(path len) GuestSlice(buffer room)) size;
        path_remove_directory(fd: u32, path: u32, len: u32) = path(Fd(fd) GuestPath(path len));
        path_rename(old: u32, old_path: u32, old_len: u32, new: u32, new_path: u32, new_len: u32) =
            path(Fd(old) GuestPath(old_path old_len) Fd(new) GuestPath(new_path new_len));
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32) =
            path(GuestPath(target target_len) Fd(fd) GuestPath(path len));
        path_unlink_file(fd: u32, path: u32, len: u32) = path(Fd(fd) GuestPath(path len));

        path_open(
            fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, flags: u32, opened: u32
        ) = open(
            Fd(fd) Lookupflags(lookup) GuestPath(path len) Oflags(oflags) Grant(base inheriting) Fdflags(flags)
        ) opened;

        poll_oneoff(subscriptions: u32, events: u32, count: u32, size: u32) =
            poll(GuestPtr(subscriptions) GuestPtr(events) Size(count)) size;

        sock_accept(fd: u32, flags: u32, accepted: u32) = socket(Fd(fd) Fdflags(flags)) accepted;
        sock_recv(fd: u32, iovecs: u32, count: u32, flags: u32, size: u32, became: u32) =
            socket(Fd(fd) Iovecs(iovecs count) Riflags(flags)) size became;
        sock_send(fd: u32, iovecs: u32, count: u32, flags: u32, size: u32) =
            socket(Fd(fd) Iovecs(iovecs count) Siflags(flags)) size;
        sock_shutdown(fd: u32, how: u32) = socket(Fd(fd) Sdflags(how));
    }
    let exit = |code: u32| -> Result<()> { Err(I32Exit(code as i32).into()) };
    linker.func_wrap(MODULE, "proc_exit", exit)?;
    Ok(())
}

/// Returns what a function gives back to the guest: 0, or why not. An error stops the guest.
fn number(done: Result<(), Failure>) -> Result<u32> {
    match done {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(errno.number().into()),
        Err(Failure::Stop(error)) => Err(error),
    }
}

fn memory_of<T>(caller: &mut Caller<'_, T>) -> Result<Memory> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| anyhow::anyhow!("a module that uses WASI must export its memory as `memory`"))
}

/// A store in the middle of a call.
struct InStore<'a, 'b, T: 'static, G> {
    caller: &'a mut Caller<'b, T>,
    memory: Memory,
    get: G,
}

impl<T: 'static, G: Fn(&mut T) -> &mut WasiCtx> Host for InStore<'_, '_, T, G> {
    fn parts(&mut self) -> (Guest<'_>, &mut WasiCtx) {
        let (memory, data) = self.memory.parts_mut(&mut *self.caller);
        (Guest(memory), (self.get)(data))
    }

    fn has_deadlines(&self) -> bool {
        self.caller.has_epoch_deadlines()
    }

    fn check_deadline(&mut self) -> Result<()> {
        self.caller.check_epoch_deadline()
    }
}
