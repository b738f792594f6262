//! Implements `arch` for 64-bit Arm with the AAPCS64 calling convention, on Linux.
//!
//! Compiled code does not sign return addresses (Cranelift's `sign_return_address` is off), so that
//! what a frame says is an address as it stands.

use super::position::{Frame, Position};
use libc::{c_void, ucontext_t};
use std::io::{Error, Result};

/// The number of the frame pointer's register, `x29`, in unwind tables (DWARF for the Arm 64-bit
/// architecture).
pub(crate) const FRAME_POINTER: i32 = 29;

/// Reads where a signal has interrupted its thread.
///
/// # Safety
/// `context` must be what the kernel has given to the handler that is running.
pub(crate) unsafe fn interrupted(context: *const c_void) -> Position {
    // SAFETY: the kernel fills the structure in: the caller's promise.
    let registers = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext };
    let frame = registers.regs[FRAME_POINTER as usize] as usize;
    Position { pc: registers.pc as usize, stack: registers.sp as usize, frame }
}

/// Makes the thread go on somewhere else when the handler returns. All other registers stay as they
/// are.
///
/// # Safety
/// As for [`interrupted`]. The code there must be able to go on with these three registers.
pub(crate) unsafe fn resume(context: *mut c_void, at: Position) {
    // SAFETY: as in `interrupted`.
    let registers = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext };
    (registers.pc, registers.sp) = (at.pc as u64, at.stack as u64);
    registers.regs[FRAME_POINTER as usize] = at.frame as u64;
}

/// Reads the frame that a frame pointer points to.
///
/// # Safety
/// It must be the frame pointer of a function that has not returned, and that keeps one: it has
/// stored its caller's below the return address.
#[inline]
pub(crate) unsafe fn frame(pointer: usize) -> Frame {
    let words = pointer as *const usize;
    // SAFETY: these words are the frame's and its caller's: the caller's promise.
    unsafe { Frame { outer: *words, return_address: *words.add(1), argument: *words.add(2) } }
}

/// Returns an address that no two threads have at the same time.
///
/// It is read anew each time, also where a function goes on as another thread than it began.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: it reads the register that holds the address of the thread's control block, and
    // nothing else.
    unsafe { std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem)) };
    pointer
}

/// The convention of entry trampolines: eight arguments are in registers, of which five only keep
/// the last one out.
type Entry = unsafe extern "C" fn(*mut u8, *const u8, *mut u8, usize, usize, usize, usize, usize, *mut u8) -> u32;

/// Calls an entry trampoline, with the activation where a trampoline expects it: as the first
/// argument on the stack.
///
/// # Safety
/// `entry` must be an entry trampoline, and the arguments what it is made for.
#[inline]
pub(crate) unsafe fn enter(
    entry: *const u8,
    callee: *mut u8,
    code: *const u8,
    values: *mut u8,
    activation: *mut u8,
) -> u32 {
    // SAFETY: entry trampolines have this convention: the caller's promise.
    unsafe {
        let entry = std::mem::transmute::<*const u8, Entry>(entry);
        entry(callee, code, values, 0, 0, 0, 0, 0, activation)
    }
}

/// Returns the bytes in a host page, which the kernel has chosen when it was built: 4, 16 or 64
/// KiB. It was told to the process when it began, so this asks nobody.
#[inline]
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Makes every processor execute what stands in `len` bytes of new code: the caches of data and of
/// instructions are not coherent, and processors may have fetched what was there before.
///
/// # Errors
/// Returns an error if the kernel cannot make the other processors fetch anew.
///
/// # Safety
/// The bytes must be mapped readable.
pub(crate) unsafe fn publish_code(start: *const u8, len: usize) -> Result<()> {
    let types: usize;
    // SAFETY: it reads what the processor says about its caches, which the kernel permits.
    unsafe { std::arch::asm!("mrs {}, ctr_el0", out(reg) types, options(nostack, preserves_flags, nomem)) };
    // Both lengths are binary logarithms of a number of words of four bytes.
    let (data, instructions) = (4_usize << (types >> 16 & 15), 4_usize << (types & 15));
    let (start, end) = (start as usize, start as usize + len);
    // SAFETY: writing a line of data back and forgetting a line of instructions changes no memory,
    // and the lines are mapped: the caller's promise.
    unsafe {
        for line in (start & !(data - 1)..end).step_by(data) {
            std::arch::asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", options(nostack, preserves_flags));
        for line in (start & !(instructions - 1)..end).step_by(instructions) {
            std::arch::asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
    fetch_anew()
}

/// Makes the other processors that run threads of this process forget instructions that they have
/// fetched.
fn fetch_anew() -> Result<()> {
    const GLOBAL: i32 = 1 << 0;
    const PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 5;
    const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 6;
    let membarrier = |command: i32| {
        // SAFETY: the call touches no memory.
        let done = unsafe { libc::syscall(libc::SYS_membarrier, command, 0) } == 0;
        if done { Ok(()) } else { Err(Error::last_os_error()) }
    };
    membarrier(PRIVATE_EXPEDITED_SYNC_CORE).or_else(|error| match error.raw_os_error() {
        // The process has not said yet that it will ask for this.
        Some(libc::EPERM) => {
            membarrier(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)?;
            membarrier(PRIVATE_EXPEDITED_SYNC_CORE)
        }
        // Before Linux 4.16: slower, and the same to those who wait.
        Some(libc::EINVAL) => membarrier(GLOBAL),
        _ => Err(error),
    })
}

/// Defines a function that compiled code calls and that never returns to it. It keeps a frame, as
/// compiled code does, and calls `$implementation` with its own arguments, of which there may be
/// three, then that frame, and room for a `Landing`. The implementation has to fill that in: the
/// function goes there, without any frame that was in between.
///
/// The Rust function has returned by then, and all frames that are left out are those of compiled
/// code, which have nothing to clean up.
///
/// The first word says in which convention it is called: `tail`, that of Wasm functions, or
/// `platform`.
macro_rules! shim_with_landing {
    // The first two registers have other uses in this convention.
    (tail: $($function:tt)*) => {
        $crate::sys::arch::shim_with_landing! { ["mov x0, x2", "mov x1, x3", "mov x2, x4",] $($function)* }
    };
    (platform: $($function:tt)*) => { $crate::sys::arch::shim_with_landing! { [] $($function)* } };
    ([$($move:literal,)*] $(#[$doc:meta])* fn $name:ident($($param:ident: $ty:ty),*) => $implementation:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name($($param: $ty),*) -> u32 {
            std::arch::naked_asm!(
                "stp x29, x30, [sp, #-16]!",
                "mov x29, sp",
                "sub sp, sp, #{size}",
                $($move,)*
                "mov x3, x29",
                "mov x4, sp",
                "bl {implementation}",
                // The stack pointer last: what is below it is anybody's.
                "ldr x16, [sp, #{pc}]",
                "ldr x17, [sp, #{stack}]",
                "ldr x29, [sp, #{frame}]",
                "ldr x0, [sp, #{words}]",
                "ldr x1, [sp, #{words} + 8]",
                "mov sp, x17",
                "br x16",
                size = const size_of::<$crate::sys::arch::Landing>().next_multiple_of(16),
                pc = const std::mem::offset_of!($crate::sys::arch::Landing, at.pc),
                stack = const std::mem::offset_of!($crate::sys::arch::Landing, at.stack),
                frame = const std::mem::offset_of!($crate::sys::arch::Landing, at.frame),
                words = const std::mem::offset_of!($crate::sys::arch::Landing, words),
                implementation = sym $implementation,
            )
        }
    };
}
pub(crate) use shim_with_landing;

/// Defines a function that compiled code calls. It keeps a frame, as compiled code does, and calls
/// `$implementation` with its own arguments, of which there may be three, and that frame.
macro_rules! shim_with_frame {
    ($(#[$doc:meta])* fn $name:ident($($param:ident: $ty:ty),*) -> $result:ty => $implementation:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name($($param: $ty),*) -> $result {
            std::arch::naked_asm!(
                "stp x29, x30, [sp, #-16]!",
                "mov x29, sp",
                "mov x3, x29",
                "bl {implementation}",
                "ldp x29, x30, [sp], #16",
                "ret",
                implementation = sym $implementation,
            )
        }
    };
}
pub(crate) use shim_with_frame;
