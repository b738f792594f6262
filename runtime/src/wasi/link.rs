//! Where the functions meet the runtime: their names and types, the guest's memory, and exiting.
//!
//! The only file here that uses the runtime, and that through its public interface alone.

use super::ctx::WasiCtx;
use super::errno::Errno;
use super::exit::I32Exit;
use super::guest::Guest;
use super::{clock, dir, file, open, path, poll, process, socket};
use crate::{Caller, Extern, Linker, Result};

/// The name under which guests import these functions.
const MODULE: &str = "wasi_snapshot_preview1";

/// Defines each function of the table: it gets the guest's memory and our state, and its errno is the result.
macro_rules! functions {
    ($linker:ident, $get:ident, $($file:ident: $($name:ident($($parameter:ident)*))*;)*) => {
        $($(
            $linker.func_wrap(
                MODULE,
                stringify!($name),
                functions!(@closure $get, $file::$name, $($parameter)*; a b c d e f g h i),
            )?;
        )*)*
    };
    (@closure $get:ident, $function:path, $($parameter:ident)*; $($letter:ident)*) => {
        functions!(@named $get, $function, [$($parameter)*] [$($letter)*] [])
    };
    (@named $get:ident, $function:path, [$type:ident $($types:ident)*] [$letter:ident $($letters:ident)*] [$($done:tt)*]) => {
        functions!(@named $get, $function, [$($types)*] [$($letters)*] [$($done)* ($letter $type)])
    };
    (@named $get:ident, $function:path, [] [$($letters:ident)*] [$(($letter:ident $type:ident))*]) => {
        move |mut caller: Caller<'_, T>, $($letter: $type),*| -> Result<u32> {
            let (mut guest, ctx) = parts(&mut caller, $get)?;
            Ok(Errno::code($function(ctx, &mut guest, $($letter),*)))
        }
    };
}

/// Defines WASI preview 1 in a linker: all functions of the module `wasi_snapshot_preview1`.
///
/// `get` finds the guest's [`WasiCtx`] in the store's data. The guest's memory is its export `memory`.
///
/// # Errors
/// When one of the names is defined already and shadowing is not allowed.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<()> {
    functions! { linker, get,
        process:
            args_get(u32 u32)
            args_sizes_get(u32 u32)
            environ_get(u32 u32)
            environ_sizes_get(u32 u32)
            proc_raise(u32)
            random_get(u32 u32)
            sched_yield();
        clock:
            clock_res_get(u32 u32)
            clock_time_get(u32 u64 u32);
        file:
            fd_advise(u32 u64 u64 u32)
            fd_allocate(u32 u64 u64)
            fd_close(u32)
            fd_datasync(u32)
            fd_fdstat_get(u32 u32)
            fd_fdstat_set_flags(u32 u32)
            fd_fdstat_set_rights(u32 u64 u64)
            fd_filestat_get(u32 u32)
            fd_filestat_set_size(u32 u64)
            fd_filestat_set_times(u32 u64 u64 u32)
            fd_pread(u32 u32 u32 u64 u32)
            fd_prestat_dir_name(u32 u32 u32)
            fd_prestat_get(u32 u32)
            fd_pwrite(u32 u32 u32 u64 u32)
            fd_read(u32 u32 u32 u32)
            fd_renumber(u32 u32)
            fd_seek(u32 i64 u32 u32)
            fd_sync(u32)
            fd_tell(u32 u32)
            fd_write(u32 u32 u32 u32);
        dir:
            fd_readdir(u32 u32 u32 u64 u32);
        path:
            path_create_directory(u32 u32 u32)
            path_filestat_get(u32 u32 u32 u32 u32)
            path_filestat_set_times(u32 u32 u32 u32 u64 u64 u32)
            path_link(u32 u32 u32 u32 u32 u32 u32)
            path_readlink(u32 u32 u32 u32 u32 u32)
            path_remove_directory(u32 u32 u32)
            path_rename(u32 u32 u32 u32 u32 u32)
            path_symlink(u32 u32 u32 u32 u32)
            path_unlink_file(u32 u32 u32);
        open:
            path_open(u32 u32 u32 u32 u32 u64 u64 u32 u32);
        poll:
            poll_oneoff(u32 u32 u32 u32);
        socket:
            sock_accept(u32 u32 u32)
            sock_recv(u32 u32 u32 u32 u32 u32)
            sock_send(u32 u32 u32 u32 u32)
            sock_shutdown(u32 u32);
    }
    let exit = |code: u32| -> Result<()> { Err(I32Exit(code as i32).into()) };
    linker.func_wrap(MODULE, "proc_exit", exit)?;
    Ok(())
}

/// The guest's memory and our state, at the same time.
fn parts<'a, T: 'static>(
    caller: &'a mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasiCtx,
) -> Result<(Guest<'a>, &'a mut WasiCtx)> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| anyhow::anyhow!("a module that uses WASI must export its memory as `memory`"))?;
    let (memory, data) = memory.parts_mut(caller);
    Ok((Guest(memory), get(data)))
}
