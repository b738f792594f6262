//! Machine code in executable memory, and the way back from an address to the code it belongs to.
//!
//! The way back is used by the signal handler, so a look-up takes no lock and allocates nothing. Knows
//! nothing of modules or instances.

use crate::sys::fork;
use crate::sys::mapping::{Access, PAGE, Reservation, whole_pages};
use anyhow::{Context, Result};
use minirt_compiler::Trap;
use minirt_compiler::base::bytes::Bytes;
use minirt_compiler::instance::code::Code;
use rustix::fd::BorrowedFd;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// A module's code, executable until it is dropped.
#[derive(Debug)]
pub(crate) struct LoadedCode {
    text: Reservation,
    /// Bytes of text; the rest of its last page is zeros.
    len: usize,
    /// The tables that explain the text; their own copy of it is gone.
    code: Code,
}

impl LoadedCode {
    /// Places code in memory of its own: first writable, then executable, never both.
    ///
    /// # Errors
    /// When the kernel gives no memory, or refuses to make it executable.
    pub(crate) fn new(code: Code) -> Result<Arc<Self>> {
        let text = place(&code.text).context("could not place machine code in executable memory")?;
        Ok(Self::register(text, code))
    }

    /// Maps code from a file: `len` bytes at `offset`, whole pages.
    ///
    /// # Errors
    /// When the kernel gives no address space, or refuses to make the file executable.
    pub(crate) fn from_file(code: Code, file: BorrowedFd<'_>, offset: usize, len: usize) -> Result<Arc<Self>> {
        let map = || {
            let text = Reservation::new(len.max(PAGE))?;
            // SAFETY: the reservation is new, so nothing refers into it.
            unsafe { text.map_file(0..len, file, offset, Access::ReadExecute) }?;
            rustix::io::Result::Ok(text)
        };
        Ok(Self::register(map().context("could not map an artifact's machine code")?, code))
    }

    fn register(text: Reservation, code: Code) -> Arc<Self> {
        let len = code.text.len();
        let loaded = Arc::new(Self { text, len, code: Code { text: Bytes::default(), ..code } });
        registry::add(&loaded);
        loaded
    }

    /// What it was made from.
    pub(crate) fn code(self: &Arc<Self>) -> Code {
        Code { text: Bytes::new(Arc::<Self>::clone(self)), ..self.code.clone() }
    }

    /// The address of an offset into the text.
    pub(crate) fn address(&self, offset: u32) -> *const u8 {
        self.text.at(offset as usize)
    }

    /// The offset into the text that an address stands for.
    pub(crate) fn offset(&self, address: usize) -> Option<u32> {
        let offset = address.checked_sub(self.text.addresses().start)?;
        (offset < self.len).then_some(offset as u32)
    }

    /// Bytes of machine code.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The tables that explain the text.
    pub(crate) fn tables(&self) -> &Code {
        &self.code
    }

    fn addresses(&self) -> Range<usize> {
        self.text.addresses()
    }
}

/// The text.
impl AsRef<[u8]> for LoadedCode {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the text is mapped readable, at least `len` bytes of it, and never changes.
        unsafe { std::slice::from_raw_parts(self.text.at(0), self.len) }
    }
}

impl Drop for LoadedCode {
    fn drop(&mut self) {
        registry::remove(self.addresses().start);
    }
}

fn place(bytes: &[u8]) -> rustix::io::Result<Reservation> {
    let len = whole_pages(bytes.len().max(1));
    let text = Reservation::new(len)?;
    // SAFETY: the reservation is new, so nothing refers into it; `bytes` fit, because `len` rounds them up.
    unsafe {
        text.map_zeros(0..len, Access::ReadWrite)?;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), text.at(0), bytes.len());
        text.protect(0..len, Access::ReadExecute)?;
    }
    Ok(text)
}

/// Whether an instruction is a module's. Safe to call in a signal handler.
pub(crate) fn is_loaded(pc: usize) -> bool {
    registry::with(pc, |code| code.offset(pc)).is_some()
}

/// What the trap table says about the instruction at `pc`. Safe to call in a signal handler.
pub(crate) fn trap_at(pc: usize) -> Option<Trap> {
    registry::with(pc, |code| code.code.trap_at(code.offset(pc)?))
}

/// All code that is loaded now, by address.
///
/// A sorted list that is never changed, only replaced. Readers announce themselves in the count of the current epoch.
/// A writer publishes a new list, begins the next epoch, and frees the old list when the last one's count is zero: later
/// readers do not hold it up, however many they are. Readers never wait; they are signal handlers, and so take only
/// microseconds for the writer to outlast.
mod registry {
    use super::*;

    struct Entry {
        addresses: Range<usize>,
        code: *const LoadedCode,
    }

    static LIST: AtomicPtr<Vec<Entry>> = AtomicPtr::new(std::ptr::null_mut());
    static EPOCH: AtomicUsize = AtomicUsize::new(0);
    static READERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    static WRITER: Mutex<()> = Mutex::new(());

    pub(super) fn add(code: &Arc<LoadedCode>) {
        let entry = Entry { addresses: code.addresses(), code: Arc::as_ptr(code) };
        replace(|list| {
            let at = list.partition_point(|e| e.addresses.start < entry.addresses.start);
            list.insert(at, entry);
        });
    }

    pub(super) fn remove(start: usize) {
        replace(|list| list.retain(|e| e.addresses.start != start));
    }

    /// Keeps writers out until the result is dropped.
    fn lock() -> MutexGuard<'static, ()> {
        WRITER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(change: impl FnOnce(&mut Vec<Entry>)) {
        fork::register_innermost(|| Box::new(lock()));
        let _writer = lock();
        static FORKS: Once = Once::new();
        // SAFETY: the function is there as long as the process. Without memory for the entry it is not called; then only
        // a child that was forked while another thread was looking something up would wait for that thread.
        FORKS.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(forked)) });
        let old = LIST.load(SeqCst);
        // SAFETY: lists are only freed below, under the same lock, so `old` is alive.
        let mut list = unsafe { old.as_ref() }.map_or_else(Vec::new, |list| {
            list.iter().map(|e| Entry { addresses: e.addresses.clone(), code: e.code }).collect()
        });
        change(&mut list);
        LIST.store(Box::into_raw(Box::new(list)), SeqCst);
        let readers = &READERS[EPOCH.fetch_add(1, SeqCst) % 2];
        while readers.load(SeqCst) != 0 {
            std::hint::spin_loop();
        }
        if !old.is_null() {
            // SAFETY: it came from Box::into_raw. A reader that announces itself in the new epoch loads the new list, and
            // those that could have had the old one are gone, since their count was zero after the store.
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

    /// After a fork, of all threads only the one that forked goes on, and it is no reader.
    extern "C" fn forked() {
        READERS.iter().for_each(|readers| readers.store(0, SeqCst));
    }

    /// Calls `f` with the code that `pc` lies in.
    pub(super) fn with<R>(pc: usize, f: impl FnOnce(&LoadedCode) -> Option<R>) -> Option<R> {
        let readers = announce();
        // SAFETY: having announced ourselves before the load, whatever list we get is not freed until we leave.
        let list = unsafe { LIST.load(SeqCst).as_ref() };
        let found = list.and_then(|list| {
            let next = list.partition_point(|e| e.addresses.start <= pc);
            let entry = list[..next].last().filter(|e| e.addresses.contains(&pc))?;
            // SAFETY: code takes itself out of the list when it is dropped, and waits there for readers, so it
            // is alive while we are announced.
            f(unsafe { &*entry.code })
        });
        readers.fetch_sub(1, SeqCst);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    /// Each of these tests would hold up the other's writers.
    static ALONE: Mutex<()> = Mutex::new(());

    fn some_code() -> Arc<LoadedCode> {
        LoadedCode::new(Code { text: vec![0xc3; 100].into(), ..Code::default() }).unwrap()
    }

    /// A reader that stays inside until it is told to leave.
    struct Reader {
        leave: Sender<()>,
        thread: JoinHandle<Option<()>>,
    }

    impl Reader {
        fn inside(pc: usize) -> Self {
            let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
            let look = move |_: &LoadedCode| {
                enter.send(()).unwrap();
                left.recv().ok()
            };
            let thread = std::thread::spawn(move || registry::with(pc, look));
            entered.recv().unwrap();
            Self { leave, thread }
        }

        fn leave(self) {
            self.leave.send(()).unwrap();
            assert_eq!(self.thread.join().unwrap(), Some(()));
        }
    }

    #[test]
    fn readers_that_come_later_do_not_hold_a_writer_up() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let code = some_code();
        let pc = code.address(0) as usize;
        let first = Reader::inside(pc);
        let (write, written) = channel();
        let writer = std::thread::spawn(move || {
            let code = some_code();
            write.send(()).unwrap();
            code
        });
        assert!(written.recv_timeout(Duration::from_millis(100)).is_err(), "it waits for the first reader");
        let second = Reader::inside(pc);
        first.leave();
        written.recv_timeout(Duration::from_secs(20)).expect("it does not wait for the second, which came later");
        second.leave();
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_reader_on_another_thread_does_not_hold_up_a_child_after_a_fork() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let code = some_code();
        let reader = Reader::inside(code.address(0) as usize);
        // SAFETY: the child calls what the C library allows after a fork, allocates (which glibc sees to) and exits.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(20);
                some_code();
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0, "the child was stopped by its alarm");
        }
        reader.leave();
    }
}
