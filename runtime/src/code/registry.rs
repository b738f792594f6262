//! Registers all code that is loaded now by its address, and leads from an instruction back to its
//! tables.
//!
//! The signal handler asks, so a look-up takes no lock and allocates nothing.
//!
//! The list is sorted, and never changed, only replaced. Readers announce themselves in the count
//! of the current epoch. A writer publishes a new list, begins the next epoch, and frees the old
//! list when the last one's count is zero: later readers do not hold it up, however many they are.
//! Readers never wait; they are signal handlers, and so take only microseconds for the writer to
//! outlast.

use crate::sys::fork;
use minirt_compiler::Trap;
use minirt_compiler::instance::call_sites::CallSites;
use minirt_compiler::instance::code::CodeTables;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One text: where it is, and its tables.
#[derive(Clone)]
struct Entry {
    addresses: Range<usize>,
    tables: *const CodeTables,
}

static LIST: AtomicPtr<Vec<Entry>> = AtomicPtr::new(std::ptr::null_mut());
static EPOCH: AtomicUsize = AtomicUsize::new(0);
static READERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static WRITER: Mutex<()> = Mutex::new(());

/// All texts, for as long as their reader is announced.
pub(crate) struct Reader<'a> {
    list: &'a [Entry],
}

/// One text, as a reader sees it.
#[derive(Clone)]
pub(crate) struct Text<'a> {
    addresses: Range<usize>,
    /// Where in the text trampolines begin.
    bodies_end: usize,
    tables: &'a CodeTables,
}

/// Calls `f`, which must not panic, with all code that is loaded now. None of it goes away
/// meanwhile. Safe to call in a signal handler.
pub(crate) fn read<R>(f: impl FnOnce(&Reader<'_>) -> R) -> R {
    let readers = announce();
    // SAFETY: this reader was announced before the load, so the loaded list is not freed until the
    // reader leaves.
    let list = unsafe { LIST.load(SeqCst).as_ref() };
    let result = f(&Reader { list: list.map_or(&[], Vec::as_slice) });
    readers.fetch_sub(1, SeqCst);
    result
}

impl<'a> Reader<'a> {
    /// Returns the text that an address lies in.
    pub(crate) fn at(&self, address: usize) -> Option<Text<'a>> {
        let next = self.list.partition_point(|e| e.addresses.start <= address);
        let Entry { addresses, tables } = self.list[..next].last().filter(|e| e.addresses.contains(&address))?;
        // SAFETY: the tables are there until `remove` returns (see `add`), and it waits until we
        // leave.
        let tables = unsafe { &**tables };
        let bodies_end = addresses.start + tables.bodies_end() as usize;
        Some(Text { addresses: addresses.clone(), bodies_end, tables })
    }
}

impl<'a> Text<'a> {
    /// Returns whether an address lies in this text.
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.addresses.contains(&address)
    }

    /// Returns whether an address of this text is in the body of a function, not in a trampoline.
    pub(crate) fn is_body(&self, address: usize) -> bool {
        address < self.bodies_end
    }

    /// Returns the call sites of this text, and the place in them of one whose function goes on at
    /// an address.
    pub(crate) fn call_site(&self, return_address: usize) -> (&'a CallSites, u32) {
        (&self.tables.call_sites, (return_address - self.addresses.start) as u32)
    }

    /// Returns the address of an offset into this text.
    pub(crate) fn address(&self, offset: u32) -> usize {
        self.addresses.start + offset as usize
    }

    /// Returns what the trap table says about the instruction at an address of this text.
    pub(crate) fn trap_at(&self, address: usize) -> Option<Trap> {
        self.tables.trap_at((address - self.addresses.start) as u32)
    }
}

/// Makes a text known.
///
/// # Safety
/// The tables must stay where they are until [`remove`] has returned for these addresses.
pub(super) unsafe fn add(addresses: Range<usize>, tables: *const CodeTables) {
    let entry = Entry { addresses, tables };
    replace(|list| {
        let at = list.partition_point(|e| e.addresses.start < entry.addresses.start);
        list.insert(at, entry);
    });
}

/// Forgets the text that starts at an address. When it returns, nobody reads its tables any more.
pub(super) fn remove(start: usize) {
    replace(|list| list.retain(|e| e.addresses.start != start));
}

/// Keeps writers out until the result is dropped.
fn lock() -> MutexGuard<'static, ()> {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn replace(change: impl FnOnce(&mut Vec<Entry>)) {
    fork::register_innermost(|| Box::new(lock()));
    // Before the lock is taken: a thread that forks may hold what this needs, and wait for the
    // lock.
    static FORKS: fork::Once = fork::Once::new();
    // SAFETY: the function is there as long as the process. Without memory for the entry it is not
    // called; then only a child that was forked while another thread was looking something up would
    // wait for that thread.
    FORKS.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(forget_readers)) });
    let _writer = lock();
    let old = LIST.load(SeqCst);
    // SAFETY: lists are only freed below, under the same lock, so `old` is alive.
    let mut list = unsafe { old.as_ref() }.cloned().unwrap_or_default();
    change(&mut list);
    LIST.store(Box::into_raw(Box::new(list)), SeqCst);
    let readers = &READERS[EPOCH.fetch_add(1, SeqCst) % 2];
    while readers.load(SeqCst) != 0 {
        std::hint::spin_loop();
    }
    if !old.is_null() {
        // SAFETY: it came from Box::into_raw. A reader that announces itself in the new epoch loads
        // the new list, and those that could have had the old one are gone, since their count was
        // zero after the store.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Joins the readers of the current epoch.
fn announce() -> &'static AtomicUsize {
    loop {
        let epoch = EPOCH.load(SeqCst);
        let readers = &READERS[epoch % 2];
        readers.fetch_add(1, SeqCst);
        if EPOCH.load(SeqCst) == epoch {
            return readers;
        }
        readers.fetch_sub(1, SeqCst); // A writer came in between, and may not have seen this one.
    }
}

/// Forgets all readers, in a child after a fork: of all threads only the one that forked goes on,
/// and it is no reader.
extern "C" fn forget_readers() {
    READERS.iter().for_each(|readers| readers.store(0, SeqCst));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    /// Each of these tests would hold up the other's writers.
    static ALONE: Mutex<()> = Mutex::new(());

    /// A text that is known until it is dropped. Nothing reads it: its addresses are enough.
    struct Known {
        text: Box<[u8; 100]>,
        _tables: Box<CodeTables>,
    }

    impl Known {
        fn new() -> Self {
            let (text, tables) = (Box::new([0; 100]), Box::<CodeTables>::default());
            let start = text.as_ptr() as usize;
            // SAFETY: the tables live in a Box, until after `drop`.
            unsafe { add(start..start + text.len(), &raw const *tables) };
            Self { text, _tables: tables }
        }

        fn start(&self) -> usize {
            self.text.as_ptr() as usize
        }
    }

    impl Drop for Known {
        fn drop(&mut self) {
            remove(self.start());
        }
    }

    /// A reader that stays inside until it is told to leave.
    struct Inside {
        leave: Sender<()>,
        thread: JoinHandle<Option<()>>,
    }

    impl Inside {
        fn new(pc: usize) -> Self {
            let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
            let look = move |text: Text<'_>| {
                assert!(text.contains(pc));
                enter.send(()).unwrap();
                left.recv().ok()
            };
            let thread = std::thread::spawn(move || read(|code| code.at(pc).and_then(look)));
            entered.recv().unwrap();
            Self { leave, thread }
        }

        fn leave(self) {
            self.leave.send(()).unwrap();
            assert_eq!(self.thread.join().unwrap(), Some(()));
        }
    }

    #[test]
    fn an_address_is_found_in_its_text_and_nowhere_else() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (one, other) = (Known::new(), Known::new());
        let start_of = |pc| read(|code| code.at(pc).map(|text| text.addresses.start));
        for start in [one.start(), other.start()] {
            assert_eq!((start_of(start), start_of(start + 99)), (Some(start), Some(start)));
            assert_eq!((start_of(start - 1), start_of(start + 100)), (None, None));
        }
        let gone = one.start();
        drop(one);
        assert_eq!((start_of(gone), start_of(other.start())), (None, Some(other.start())));
    }

    #[test]
    fn readers_that_come_later_do_not_hold_a_writer_up() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Known::new();
        let first = Inside::new(known.start());
        let (write, written) = channel();
        let writer = std::thread::spawn(move || {
            let known = Known::new();
            write.send(()).unwrap();
            known
        });
        assert!(written.recv_timeout(Duration::from_millis(100)).is_err(), "it waits for the first reader");
        let second = Inside::new(known.start());
        first.leave();
        written.recv_timeout(Duration::from_secs(20)).expect("it does not wait for the second, which came later");
        second.leave();
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_reader_on_another_thread_does_not_hold_up_a_child_after_a_fork() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Known::new();
        let reader = Inside::new(known.start());
        // SAFETY: the child calls what the C library allows after a fork, allocates (which glibc
        // sees to) and exits.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(20);
                Known::new();
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0, "the child was stopped by its alarm");
        }
        reader.leave();
    }
}
