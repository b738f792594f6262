//! Implements `arch` for x86-64 with the System V calling convention, on Linux.

use super::position::{Frame, Position};
use libc::{REG_RBP, REG_RIP, REG_RSP, c_void, ucontext_t};
use minirt_compiler::instance::layout::PAGE_MIN;

/// The number of the frame pointer's register, `rbp`, in unwind tables (System V ABI, DWARF
/// register numbers).
pub(crate) const FRAME_POINTER: i32 = 6;

/// Reads where a signal has interrupted its thread.
///
/// # Safety
/// `context` must be what the kernel has given to the handler that is running.
pub(crate) unsafe fn interrupted(context: *const c_void) -> Position {
    // SAFETY: the kernel fills the structure in: the caller's promise.
    let registers = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    let register = |index: i32| registers[index as usize] as usize;
    Position { pc: register(REG_RIP), stack: register(REG_RSP), frame: register(REG_RBP) }
}

/// Makes the thread go on somewhere else when the handler returns. All other registers stay as they
/// are.
///
/// # Safety
/// As for [`interrupted`]. The code there must be able to go on with these three registers.
pub(crate) unsafe fn resume(context: *mut c_void, at: Position) {
    // SAFETY: as in `interrupted`.
    let registers = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    for (index, value) in [(REG_RIP, at.pc), (REG_RSP, at.stack), (REG_RBP, at.frame)] {
        registers[index as usize] = value as i64;
    }
}

/// Reads the frame that a frame pointer points to.
///
/// # Safety
/// It must be the frame pointer of a function that has not returned, and that keeps one: it has
/// pushed its caller's on top of the return address.
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
    // SAFETY: the first word of the thread's control block is its own address, and the register
    // points to it.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    pointer
}

/// The convention of entry trampolines: six arguments are in registers, of which three only keep
/// the last one out.
type Entry = unsafe extern "C" fn(*mut u8, *const u8, *mut u8, usize, usize, usize, *mut u8) -> u32;

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
        entry(callee, code, values, 0, 0, 0, activation)
    }
}

/// Returns the bytes in a host page: this processor has no other pages.
#[inline]
pub(crate) const fn page_size() -> usize {
    PAGE_MIN as usize
}

/// Makes every processor execute what stands in new code. Here they do: caches of instructions are
/// coherent, and code is at an address that was not executable before.
///
/// # Errors
/// Returns none.
///
/// # Safety
/// The bytes must be mapped readable.
#[inline]
pub(crate) unsafe fn publish_code(_start: *const u8, _len: usize) -> std::io::Result<()> {
    Ok(())
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
    // Both pass these arguments in the same registers.
    (tail: $($function:tt)*) => { $crate::sys::arch::shim_with_landing! { $($function)* } };
    (platform: $($function:tt)*) => { $crate::sys::arch::shim_with_landing! { $($function)* } };
    ($(#[$doc:meta])* fn $name:ident($($param:ident: $ty:ty),*) => $implementation:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name($($param: $ty),*) -> u32 {
            std::arch::naked_asm!(
                "push rbp",
                "mov rbp, rsp",
                "sub rsp, {size}",
                "mov rcx, rbp",
                "mov r8, rsp",
                "call {implementation}",
                // The stack pointer last: what is below it is anybody's.
                "mov rcx, [rsp + {pc}]",
                "mov rbp, [rsp + {frame}]",
                "mov rax, [rsp + {words}]",
                "mov rdx, [rsp + {words} + 8]",
                "mov rsp, [rsp + {stack}]",
                "jmp rcx",
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
                "push rbp",
                "mov rbp, rsp",
                "mov rcx, rbp",
                "call {implementation}",
                "pop rbp",
                "ret",
                implementation = sym $implementation,
            )
        }
    };
}
pub(crate) use shim_with_frame;
