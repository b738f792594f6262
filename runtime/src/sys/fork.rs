//! Keeps the runtime usable in parent and child when the host process forks.
//!
//! A child made by `fork` has one thread. A lock that another thread of the parent held at that
//! moment would stay locked for ever in the child. So whoever owns locks registers them here, and
//! all of them are taken before the fork and given back after it, in both processes.
//!
//! A child made by a bare system call (`clone`, `fork` without the C library) runs none of these
//! handlers. It may use minirt only if the parent had no other threads. What it inherits that
//! describes the *parent* is kept in a page that the kernel empties in every child, however it was
//! made.

use super::mapping::page_size;
use minirt_compiler::instance::layout::PAGE_MIN;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLockWriteGuard, Weak};

/// Runs something once in the life of a process, and in its children only if no ancestor has.
///
/// The standard library's `Once` waits for the thread that runs it. In a child that was forked
/// meanwhile there is no such thread, and it would wait for ever. So this one knows the process: a
/// child runs it again, and what is run must therefore do no harm a second time.
pub(crate) struct Once(AtomicU64);

/// Nothing has been run.
const NEW: u64 = 0;
/// It has been run. Any other number is that of the process in which it is being run.
const DONE: u64 = u64::MAX;

impl Once {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(NEW))
    }

    /// Runs it, or waits until it has been run.
    #[inline]
    pub(crate) fn call_once(&self, run: impl FnOnce()) {
        let Ok(()) = self.try_once(|| {
            run();
            Ok::<(), Infallible>(())
        });
    }

    /// Runs it, or waits until it has been run. If that fails, it is run again the next time. Each
    /// instantiation asks, so the usual answer takes no system call.
    ///
    /// # Errors
    /// Returns the error of `run`.
    #[inline]
    pub(crate) fn try_once<E>(&self, run: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.0.load(SeqCst) == DONE { Ok(()) } else { self.call_first(run) }
    }

    #[cold]
    fn call_first<E>(&self, run: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let here = u64::from(std::process::id());
        loop {
            match self.0.load(SeqCst) {
                DONE => return Ok(()),
                now if now == here => std::thread::yield_now(),
                now => {
                    if self.0.compare_exchange(now, here, SeqCst, SeqCst).is_ok() {
                        break;
                    }
                }
            }
        }
        let done = run();
        self.0.store(if done.is_ok() { DONE } else { NEW }, SeqCst);
        done
    }
}

/// A lock that is held until this is dropped.
pub(crate) trait Guard {}
impl<T> Guard for MutexGuard<'_, T> {}
impl<T> Guard for RwLockWriteGuard<'_, T> {}

/// Something that owns locks.
pub(crate) trait Locks: Send + Sync + 'static {
    /// Takes all of them, always in the same order, and keeps them until the result is dropped.
    fn lock_all(&self) -> Vec<Box<dyn Guard + '_>>;
}

static REGISTERED: Mutex<Vec<Weak<dyn Locks>>> = Mutex::new(Vec::new());

/// The locks that the forking thread holds while it forks.
struct Held {
    /// Dropped first: these point into `owners`.
    guards: Vec<Box<dyn Guard>>,
    owners: Vec<Arc<dyn Locks>>,
    registered: Option<MutexGuard<'static, Vec<Weak<dyn Locks>>>>,
}

thread_local!(static HELD: RefCell<Held> = const {
    RefCell::new(Held { guards: Vec::new(), owners: Vec::new(), registered: None })
});

/// Has these locks taken around every fork, for as long as they exist.
pub(crate) fn register(locks: &Arc<impl Locks>) {
    static HANDLERS: Once = Once::new();
    // SAFETY: the functions are there as long as the process. If there is no memory to note them,
    // they are not called: then only a child of a process with several threads may hang.
    HANDLERS.call_once(|| _ = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) });
    let locks: Arc<dyn Locks> = Arc::clone(locks) as _;
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|locks| locks.strong_count() > 0);
    registered.push(Arc::downgrade(&locks));
}

/// A lock of the whole process, which threads take last if they hold several.
static INNERMOST: OnceLock<fn() -> Box<dyn Guard>> = OnceLock::new();

/// Has this one lock taken around every fork, after all others. Only the first call counts.
pub(crate) fn register_innermost(lock: fn() -> Box<dyn Guard>) {
    INNERMOST.get_or_init(|| lock);
}

extern "C" fn before() {
    // A thread that is ending has no such data any more. It forks without the locks, as if there
    // were no handlers.
    let _ = HELD.try_with(|held| {
        // The handlers may be registered twice (`Once`): the first has taken everything.
        if held.borrow().registered.is_some() {
            return;
        }
        let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        let owners: Vec<Arc<dyn Locks>> = registered.iter().filter_map(Weak::upgrade).collect();
        let mut guards: Vec<Box<dyn Guard>> = Vec::new();
        for owner in &owners {
            for guard in owner.lock_all() {
                // SAFETY: the guard lives no longer than what it points into: `Held` keeps that in
                // `owners`, and drops `guards` first (`after`).
                guards.push(unsafe { std::mem::transmute::<Box<dyn Guard + '_>, Box<dyn Guard>>(guard) });
            }
        }
        guards.extend(INNERMOST.get().map(|lock| lock()));
        *held.borrow_mut() = Held { guards, owners, registered: Some(registered) };
    });
}

extern "C" fn after() {
    let held = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        held.guards.clear();
        held.registered = None;
        std::mem::take(&mut held.owners)
    });
    // Perhaps the last handle to an engine was dropped meanwhile: it ends here, with no lock held.
    drop(held);
}

/// Returns one of several numbers that are 0 at first, and 0 again in every child process, however
/// it was made. `None` where the kernel cannot do that (Linux before 4.14).
pub(crate) fn zero_in_children(index: usize) -> Option<&'static AtomicI32> {
    /// As many as fit the smallest host page.
    type Numbers = [AtomicI32; PAGE_MIN as usize / size_of::<AtomicI32>()];
    static NUMBERS: AtomicPtr<Numbers> = AtomicPtr::new(std::ptr::null_mut());
    let mut numbers = NUMBERS.load(SeqCst);
    if numbers.is_null() {
        numbers = wiped_page()?.cast();
        if let Err(theirs) = NUMBERS.compare_exchange(std::ptr::null_mut(), numbers, SeqCst, SeqCst) {
            // SAFETY: the page was mapped above, and nobody else knows it.
            _ = unsafe { munmap(numbers.cast(), page_size()) };
            numbers = theirs;
        }
    }
    // SAFETY: the page is never unmapped, and zeros are numbers; all of their users go through the
    // atomics.
    Some(&unsafe { &*numbers }[index])
}

/// Maps a page that the kernel empties in children.
#[cold]
fn wiped_page() -> Option<*mut c_void> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: no address is asked for, so the kernel picks a range in which nothing is mapped.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), page_size(), access, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the page was mapped above, and nobody else knows it.
    unsafe {
        match madvise(page, page_size(), Advice::LinuxWipeOnFork) {
            Ok(()) => Some(page),
            Err(_) => {
                _ = munmap(page, page_size());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_failed_is_run_again_and_what_was_done_is_not() {
        let once = super::Once::new();
        let mut runs = 0;
        let mut run = |result| {
            once.try_once(|| {
                runs += 1;
                result
            })
        };
        assert_eq!([run(Err(1)), run(Err(2)), run(Ok(())), run(Err(3))], [Err(1), Err(2), Ok(()), Ok(())]);
        assert_eq!(runs, 3);
    }

    #[test]
    fn what_is_gone_is_no_longer_registered() {
        struct NoLocks;
        impl Locks for NoLocks {
            fn lock_all(&self) -> Vec<Box<dyn Guard + '_>> {
                Vec::new()
            }
        }
        let is_registered = |locks: &Weak<NoLocks>| {
            let registered = REGISTERED.lock().unwrap();
            registered.iter().any(|it| std::ptr::addr_eq(it.as_ptr(), locks.as_ptr()))
        };
        let first = Arc::new(NoLocks);
        let gone = Arc::downgrade(&first);
        register(&first);
        assert!(is_registered(&gone));
        drop(first);
        let second = Arc::new(NoLocks);
        register(&second);
        assert!(!is_registered(&gone) && is_registered(&Arc::downgrade(&second)));
    }

    #[test]
    fn a_child_does_not_wait_for_what_a_thread_of_its_parent_has_begun() {
        static ONCE: super::Once = super::Once::new();
        let (begun, has_begun) = channel();
        let (end, may_end) = channel();
        let thread = std::thread::spawn(move || {
            ONCE.call_once(|| {
                begun.send(()).unwrap();
                may_end.recv().unwrap();
            })
        });
        has_begun.recv().unwrap();
        // SAFETY: the child only touches an atomic and ends. If it hangs, the signal ends it.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(5);
                let mut has_run = false;
                ONCE.call_once(|| has_run = true);
                ONCE.call_once(|| has_run = false);
                libc::_exit(if has_run { 0 } else { 1 });
            }
            child
        };
        let mut status = 0;
        // SAFETY: the status is written to.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        end.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(status, 0, "{:#x} is a hang", libc::SIGALRM);
    }
}
