//! Prepares a thread for Wasm: gives it a stack for signal handlers, and unblocks signals.
//!
//! It gets both when it first enters Wasm. Afterwards others may block the signals again, or take
//! the place of minirt's handlers; then the next fault ends the process, and even a valid write can
//! fault. To ask the kernel takes about as long as twenty short calls, so a thread does not ask at
//! each of them: it has *credit*, which entries use up, and *looks* when that is gone. Threads and
//! processes are set up early, so a new thread looks often; one that has found nothing for some
//! time looks seldom; and one that finds something begins anew.

use super::arch::thread_pointer;
use super::mapping::{Access, Reservation, page_size, whole_pages};
use super::signal::{self, Displaced};
use super::stack;
use rustix::io::{Errno, Result};
use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Room for the handler: the kernel's saved registers (up to some 11 KiB with AMX), its own
/// frames, and a previous handler that it may call.
const SIGNAL_STACK: usize = 64 * 1024;
/// The part of that for handlers.
const FOR_HANDLERS: usize = 48 * 1024;

/// Returns the bytes of a stack for signal handlers. Registers can be more than is usual: on 64-bit
/// Arm, those for matrices (SME) alone take up to 64 KiB.
fn signal_stack() -> usize {
    // SAFETY: the call reads what the kernel has left to the process: 0 if it has not said.
    let registers = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    whole_pages(SIGNAL_STACK.max(registers.saturating_add(FOR_HANDLERS)))
}

/// The cost of the first entry into an instance, where any other costs 1. Its pages are often still
/// write-protected.
pub(crate) const FIRST_ENTRY: u32 = 64;

/// How many times a thread looks often.
const OFTEN: u32 = 1_024;

/// While it looks often, it looks at all four handlers once in so many times, and otherwise at the
/// most important.
const THOROUGH: u32 = 16;

/// The credit after a look, while a thread looks often: not enough for a first entry, so each is
/// preceded by a look.
const SMALL_CREDIT: u32 = FIRST_ENTRY - 1;

/// The credit after a look, afterwards.
const LARGE_CREDIT: u32 = 4_096 * FIRST_ENTRY;

/// Facts about this thread. They can be used as long as the thread runs: there is nothing to drop.
struct Thread {
    credit: Cell<u32>,
    /// Looks since the beginning, or since one that found something.
    looks: Cell<u32>,
    /// The addresses of its stack: from the lowest, up to the end. Both are 0 before the first
    /// look.
    stack: Cell<(usize, usize)>,
}

thread_local! {
    static THREAD: Thread =
        const { Thread { credit: Cell::new(0), looks: Cell::new(0), stack: Cell::new((0, 0)) } };
    static SIGNALS: OnceCell<SignalStack> = const { OnceCell::new() };
}

/// Uses up credit for an entry into Wasm. Returns false if there is not enough: the thread has to
/// [`look`] first.
#[inline]
pub(crate) fn spend(cost: u32) -> bool {
    THREAD.with(|thread| {
        let left = thread.credit.get().checked_sub(cost);
        left.inspect(|left| thread.credit.set(*left)).is_some()
    })
}

/// Makes sure that this thread can handle faults, whatever has been done to its signals and their
/// handlers. Says if other handlers get the faults all the same.
///
/// # Errors
/// When the thread has no stack for its signals yet, and the kernel gives no memory for one.
#[cold]
#[inline(never)]
pub(crate) fn look() -> Result<std::result::Result<(), Displaced>> {
    THREAD.with(|thread| {
        let first = thread.stack.get() == (0, 0);
        let was_blocked = signal::unblock() && !first;
        let looks = thread.looks.get();
        let kept = signal::keep_in_front(looks.is_multiple_of(THOROUGH) || looks >= OFTEN);
        if first {
            give_signal_stack()?;
            let Range { start, end } = stack::of_this_thread();
            thread.stack.set((start.max(1), end));
        }
        let looks = if was_blocked || kept != Ok(false) { 0 } else { looks.saturating_add(1) };
        thread.looks.set(looks);
        thread.credit.set(match kept {
            Err(Displaced) => 0,
            Ok(_) if looks < OFTEN => SMALL_CREDIT,
            Ok(_) => LARGE_CREDIT,
        });
        Ok(kept.map(drop))
    })
}

/// Threads that could handle faults and have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Tells a thread that can handle faults from all others: a thread with an equal mark is the same
/// one.
///
/// A new thread may get the place in memory, and so the thread pointer, of one that has ended. Then
/// the number of those is another: a thread counts itself before its place is given to anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pointer: usize,
    ended: usize,
}

impl Mark {
    #[inline]
    pub(crate) fn of_this_thread() -> Self {
        Self { pointer: thread_pointer(), ended: ENDED.load(Relaxed) }
    }
}

/// Makes sure that this thread can handle faults, after code may have come here from another
/// thread. Without memory for a signal stack, it does without: handlers then run where the fault
/// was.
#[cold]
#[inline(never)]
pub(crate) fn arrive() {
    if own_stack().is_empty() {
        let _ = look();
    }
}

/// Returns the addresses of this thread's stack. Empty before the first look.
#[inline]
pub(crate) fn own_stack() -> Range<usize> {
    let (start, end) = THREAD.with(|thread| thread.stack.get());
    start..end
}

fn give_signal_stack() -> Result<()> {
    let given = SIGNALS.try_with(|cell| match cell.get() {
        Some(_) => Ok(()),
        None => SignalStack::install().map(|stack| _ = cell.set(stack)),
    });
    // The thread is about to end, and has given it back: handlers run on its own stack now, which
    // has room for them.
    given.unwrap_or(Ok(()))
}

/// An alternate signal stack with an inaccessible page below it. It is minirt's until the thread
/// ends.
struct SignalStack {
    space: Reservation,
}

impl SignalStack {
    fn install() -> Result<Self> {
        let size = signal_stack();
        let space = Reservation::new(page_size() + size)?;
        let stack = libc::stack_t { ss_sp: space.at(page_size()).cast(), ss_flags: 0, ss_size: size };
        // SAFETY: the memory is fresh, so nothing refers to it; it is handed to the kernel for this
        // thread and stays mapped until `drop` has taken it back.
        unsafe {
            space.map_zeros(page_size()..page_size() + size, Access::ReadWrite)?;
            if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
                return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOMEM));
            }
        }
        Ok(Self { space })
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Relaxed);
        // SAFETY: both calls only read and write the structures given. The stack is disabled only
        // while it is still the one in use; the memory goes away after that.
        unsafe {
            let mut current = std::mem::zeroed::<libc::stack_t>();
            let known = libc::sigaltstack(std::ptr::null(), &mut current) == 0;
            if known && current.ss_sp == self.space.at(page_size()).cast() {
                current.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&current, std::ptr::null_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_its_stack_after_the_first_look() {
        std::thread::spawn(|| {
            let local = 0_u8;
            assert!(own_stack().is_empty() && !spend(1));
            assert_eq!(look(), Ok(Ok(())));
            assert!(own_stack().contains(&(&raw const local as usize)));
            assert!(own_stack().len() < 1 << 30);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_looks_before_each_first_entry_at_the_beginning_and_seldom_later() {
        std::thread::spawn(|| {
            let looks = |entries: u32| (0..entries).filter(|_| !spend(FIRST_ENTRY) && look().is_ok()).count() as u32;
            assert_eq!(looks(OFTEN), OFTEN);
            assert_eq!(looks(3 * 4_096), 2);
            block_and_look();
            assert_eq!(looks(100), 100);
            let short_calls = (0..1_000).filter(|_| !spend(1) && look().is_ok()).count() as u32;
            assert_eq!(short_calls, 1_000 / FIRST_ENTRY);
        })
        .join()
        .unwrap();
    }

    fn block_and_look() {
        // SAFETY: the set is initialised and outlives the calls.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
        }
        assert_eq!(look(), Ok(Ok(())));
        assert!(!signal::unblock(), "they are not blocked any more");
    }

    #[test]
    fn a_stack_for_signals_has_room_for_all_registers_and_a_handler() {
        let size = std::thread::spawn(|| {
            look().unwrap().unwrap();
            // SAFETY: the structure outlives the call, which fills it in.
            unsafe {
                let mut stack = std::mem::zeroed::<libc::stack_t>();
                assert_eq!(libc::sigaltstack(std::ptr::null(), &mut stack), 0);
                stack.ss_size
            }
        });
        // SAFETY: as in `signal_stack`.
        let registers = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        assert!(size.join().unwrap() >= registers + FOR_HANDLERS, "registers take {registers} bytes");
    }

    #[test]
    fn no_thread_has_the_mark_of_one_that_has_ended() {
        let mark = || {
            look().unwrap().unwrap();
            Mark::of_this_thread()
        };
        let marks: Vec<Mark> = (0..50).map(|_| std::thread::spawn(mark).join().unwrap()).collect();
        assert!((1..marks.len()).all(|i| !marks[..i].contains(&marks[i])));
    }

    #[test]
    fn threads_come_and_go_without_leaving_mappings() {
        let count = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let run = || std::thread::spawn(look).join().unwrap().unwrap().unwrap();
        run();
        // Other tests map memory at the same time. A leak would show in each attempt.
        let grows = || {
            let before = count();
            (0..100).for_each(|_| run());
            count() >= before + 50
        };
        assert!((0..10).any(|_| !grows()), "each time, a hundred threads leave mappings behind");
    }
}
