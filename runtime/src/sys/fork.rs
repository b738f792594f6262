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

use super::mapping::PAGE;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use std::cell::RefCell;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, RwLockWriteGuard, Weak};

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
    type Numbers = [AtomicI32; PAGE / size_of::<AtomicI32>()];
    static NUMBERS: OnceLock<Option<&'static Numbers>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so the kernel picks a range in which nothing is mapped.
        // The page is never unmapped, and zeros are numbers; all of their users go through the
        // atomics.
        unsafe {
            let page = mmap_anonymous(std::ptr::null_mut(), PAGE, access, MapFlags::PRIVATE).ok()?;
            madvise(page, PAGE, Advice::LinuxWipeOnFork).ok()?;
            Some(&*page.cast::<Numbers>())
        }
    });
    numbers.map(|numbers| &numbers[index])
}
